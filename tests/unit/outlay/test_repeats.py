"""
What a caller's own key stands for, and under which names its tries are held.
"""

from typing import Any

import pytest

from outlay import Cascade, Speculative, Step, Tool, Workflow
from outlay.calls import CallRequest, Link
from outlay.repeats import hold_key, stands_for
from outlay.strategies.names import asked_of
from outlay.strategies.verify import Length
from router.types import Offer

BODY: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "hello"}],
}


def keyed(body: Any = BODY, **more: Any) -> CallRequest:
    """A call under a key."""
    return CallRequest("acme", body, idempotency_key="k", **more)


def test_a_key_stands_for_the_body_or_for_the_offers() -> None:
    """The order of fields means nothing; any value does; own offers are told apart by name and cost."""
    turned = dict(reversed(BODY.items()))
    assert stands_for(keyed()) == stands_for(keyed(turned))
    assert stands_for(keyed()) != stands_for(keyed({**BODY, "max_tokens": 6}))
    one, two, dear = (Offer(name, None, None, 0, cost, 1) for name, cost in (("a", 1), ("b", 1), ("a", 2)))
    assert len({stands_for(keyed({}, offers=(offer,))) for offer in (one, two, dear)}) == 3
    assert stands_for(keyed(request_hash="the run")) == "the run"
    assert stands_for(CallRequest("acme", BODY)) == ""


def test_holds_are_named_so_that_no_key_meets_another() -> None:
    """Whatever a caller's key looks like, its tries, their questions and calls without a key stay apart."""
    question = CallRequest("acme", BODY, idempotency_key="0:k", link=Link(inner=True))
    lookalike = CallRequest("acme", BODY, idempotency_key="0:k")
    names = [
        hold_key(keyed(), "h", 0),
        hold_key(keyed(), "h", 1),
        hold_key(question, "h", 0),
        hold_key(lookalike, "h", 0),
        hold_key(CallRequest("acme", BODY), "h", 0),
    ]
    assert names == ["call:0:k", "call:1:k", "ask:0:0:k", "call:0:0:k", "hold:h"]


def plan(*steps: Step | Tool, budget: str | None = None) -> Workflow:
    """A workflow."""
    return Workflow("w", steps, budget_usd=budget)


@pytest.mark.parametrize(
    "other",
    [
        Cascade(("small", "large"), Length()),
        Speculative(("large", "small")),
        plan(Step("one", BODY)),
        plan(Step("one", lambda values: BODY)),
        plan(Step("one", BODY, tiers=("small",))),
        plan(Step("one", BODY, task="t")),
        plan(Step("one", BODY), budget="1"),
        plan(Tool("one", print)),
    ],
)
def test_what_is_asked_otherwise_is_another_request(other: Any) -> None:
    """Kinds of strategy, tiers, steps and budgets are told apart; a function is known by its step's name."""
    assert asked_of(other) != asked_of(Cascade(("large", "small"), Length()))
    assert asked_of(plan(Step("one", lambda values: BODY))) == asked_of(plan(Step("one", lambda values: {})))
    assert asked_of(plan(Step("one", BODY))) != asked_of(plan(Step("one", {**BODY, "max_tokens": 6})))
