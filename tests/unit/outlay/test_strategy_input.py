"""
What strategies and verifiers refuse while they are made, before any call has cost anything.
"""

from collections.abc import Callable
from typing import Any

import pytest

from outlay.errors import BadInput
from outlay.strategies.cascade import Cascade
from outlay.strategies.names import check_names
from outlay.strategies.speculative import Speculative
from outlay.strategies.verify import JsonSchema, Judge, Length, Matches, StatedConfidence
from outlay.strategies.workflow import Step, Tool, Workflow
from router.policy import load_policy

NAN, ENDLESS = float("nan"), float("inf")
BODY = {"model": "outlay/auto", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}]}
POLICY = load_policy(
    """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-4-5"]
[routing]
default_tier = "large"
"""
)
Make = Callable[[Any], object]


def workflow_of(steps: Any) -> Workflow:
    """A workflow with a budget."""
    return Workflow("w", steps, "1")


REFUSED: list[tuple[str, Make, tuple[Any, ...]]] = [
    ("pattern", Matches, ("([", 7, b"a", None)),
    (
        "schema",
        JsonSchema,
        (
            "x",
            None,
            True,
            {"type": "nosuch"},
            {"type": {1}},
            {"pattern": "(["},
            {"$ref": "#/$defs/none"},
            {"$ref": 5},
            {"properties": {"a": {"$ref": "http://127.0.0.1:9/never.json"}}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}}},
            {"$schema": "http://nosuch/schema"},
            {"$schema": 5},
        ),
    ),
    ("min", Length, (NAN, -1, True, "1", 1.5)),
    ("max", lambda most: Length(5, most), (1, 4, NAN, "9", ENDLESS)),
    ("min", StatedConfidence, (5, -0.1, NAN, "0.8", True, None)),
    ("min", lambda least: Judge("outlay/small", min=least), (2, -1, NAN, "0.7", True)),
    ("model", Judge, ("gpt-4", "", None, 7)),
    ("max_tokens", lambda room: Judge("outlay/small", max_tokens=room), (0, -1, 1.5, True, "9")),
    ("drain_s", lambda drain_s: Speculative(("small",), None, drain_s), (-1, NAN, ENDLESS, "x", None, True)),
    ("verify", lambda verify: Cascade(("small",), verify), ("x", 7, Judge, Matches)),
    ("verify", lambda verify: Speculative(("small",), verify), ("x", 7, Judge, Matches)),
    ("verify", lambda verify: Step("a", BODY, verify=verify), ("x", 7, Judge, Matches)),
    ("tiers", lambda tiers: Cascade(tiers, Length()), ((7,), ("small", None), ("",), ["small"])),
    ("share", lambda share: Step("a", BODY, share=share), (NAN, "1", True)),
    ("ask", lambda ask: Step("a", ask), ("x", None)),
    ("run", lambda run: Tool("a", run), ("x", None)),
    ("name", lambda name: Step(name, BODY), ("", 7, None)),
    ("name", lambda name: Tool(name, print), ("", 7, None)),
    ("name", lambda name: Workflow(name, (Step("a", BODY),)), ("", 7, None)),
    ("steps", workflow_of, (("x",), "x", 7, None, (Step("a", BODY), None), {})),
]
CASES = [(field, make, given) for field, make, values in REFUSED for given in values]


@pytest.mark.parametrize(("field", "make", "given"), CASES)
def test_nonsense_is_refused_while_it_is_made(field: str, make: Make, given: Any) -> None:
    """The field is named, and what to write instead; nothing was paid for by then."""
    with pytest.raises(BadInput) as caught:
        make(given)
    assert caught.value.field == field
    assert caught.value.fix


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {"b": {"$ref": "#"}}}}},
        {"$id": "http://x/y", "properties": {"$ref": {"type": "string"}}, "$ref": "#/properties/$ref"},
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        {"const": {"$ref": "nowhere"}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": {"$ref": "#/definitions/a"},
         "definitions": {"a": {"type": "integer"}}},
    ],
)  # fmt: skip
def test_references_within_a_schema_are_fine(schema: Any) -> None:
    """Circles that consume something, names that only look like references, published metaschemas."""
    JsonSchema(schema)


def test_a_schema_that_leads_nowhere_only_fails() -> None:
    """A reference to itself can be judged by nobody; the answer does not pass, and nothing is raised."""
    assert JsonSchema({"$ref": "#"}).check("{}").passed is False
    assert JsonSchema({"$ref": "#/x", "x": {"not": {"$ref": "#/y"}}}).check("{}").passed is False


@pytest.mark.parametrize(
    ("make", "least"),
    [(StatedConfidence, 0), (StatedConfidence, 1), (Length, 0), (lambda n: Length(n, n), 5)],
)
def test_bounds_themselves_are_fine(make: Make, least: Any) -> None:
    """0 and 1 are shares; as many as at most can be asked for."""
    make(least)


@pytest.mark.parametrize(
    ("field", "plan"),
    [
        ("tiers", Cascade(("small", "huge"), Length())),
        ("tiers", Speculative(("huge",))),
        ("tiers", Workflow("w", (Tool("t", print), Step("a", BODY, tiers=("small", "huge"))))),
        ("model", Cascade(("small",), Judge("outlay/huge"))),
        ("model", Workflow("w", (Step("a", BODY, verify=Judge("outlay/huge")),))),
    ],
)
def test_tiers_are_those_of_the_policy(field: str, plan: Any) -> None:
    """The refusal names the tiers that there are."""
    with pytest.raises(BadInput, match="large, small") as caught:
        check_names(plan, POLICY)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "plan",
    [
        Cascade(("auto", "large"), Judge("claude-haiku-4-5")),
        Speculative(("small", "large"), Judge("outlay/small")),
        Workflow("w", (Step("a", BODY), Tool("t", print))),
    ],
)
def test_what_the_policy_knows_is_fine(plan: Any) -> None:
    """Its tiers, the router's own choice, and models by their name."""
    check_names(plan, POLICY)
