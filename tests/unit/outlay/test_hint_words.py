"""
Hints, read: as headers of a call, and as the arguments of Python. They are read exactly or refused by name.
"""

import pytest

from outlay.errors import BadInput
from outlay.hint_words import betas_heard, hints_heard, hints_of, key_heard
from router.types import Hints


def test_hints_are_read_from_their_headers() -> None:
    """Every hint header lands in its field; absent and empty ones say nothing."""
    headers = {
        "outlay-task": " crm/note ",
        "outlay-role": "planner",
        "outlay-priority": "low",
        "outlay-session": "s1",
        "outlay-privacy": "eu",
        "outlay-floor": "",
        "outlay-pin": "True",
        "outlay-tags": "team=a, run = 7 ,",
        "outlay-complexity": "simple",
        "outlay-output-words": "0",
        "outlay-revision": "2",
        "outlay-reasoning": "high",
        "outlay-context": "low",
    }
    assert Hints(**hints_heard(headers)) == Hints(
        task="crm/note",
        role="planner",
        priority="low",
        session="s1",
        privacy="eu",
        floor=None,
        pin=True,
        tags=(("team", "a"), ("run", "7")),
        complexity="simple",
        output_words=0,
        revision=2,
        reasoning="high",
        context="low",
    )
    assert hints_heard({}) == {}
    assert hints_heard({"outlay-pin": "false"}) == {"pin": False}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outlay-task", "x" * 201),
        ("outlay-session", "a\x00b"),
        ("outlay-pin", "yes"),
        ("outlay-tags", "team"),
        ("outlay-tags", "=a"),
        ("outlay-tags", "team=x, team=y"),
        ("outlay-tags", "team=x, team=x"),
        ("outlay-tags", ",".join(f"a{i}=b" for i in range(21))),
        ("outlay-tags", "a=" + "b" * 201),
        ("outlay-tags", "a" * 201 + "=b"),
        ("outlay-output-words", "-1"),
        ("outlay-output-words", "many"),
        ("outlay-revision", "1000001"),
        ("outlay-revision", "٣"),
        ("outlay-revision", "9" * 5_000),
    ],
)
def test_a_malformed_header_is_refused_by_its_name(name: str, value: str) -> None:
    """A hint that cannot be read is not dropped silently."""
    with pytest.raises(BadInput) as caught:
        hints_heard({name: value})
    assert (caught.value.field, caught.value.code) == (name, "outlay_invalid_hint")
    assert len(str(caught.value)) < 300


def test_idempotency_keys_are_bounded() -> None:
    """A caller's key is kept as it is, up to its bound."""
    assert key_heard({"outlay-idempotency-key": "k" * 200}) == "k" * 200
    assert key_heard({}) is None
    with pytest.raises(BadInput) as caught:
        key_heard({"outlay-idempotency-key": "k" * 201})
    assert caught.value.code == "outlay_invalid_hint"


WRONG = [
    {"taks": "x"},
    {"task": 7},
    {"revision": -1},
    {"output_words": "5"},
    {"pin": "yes"},
    {"tags": "x=1"},
    {"tags": {"x": 1}},
    {"task": ""},
    {"tags": (("x", "1"),)},
    {"tags": {"": "1"}},
    {"tags": {"caf\u00e9": "1", "cafe\u0301": "2"}},
    {"tags": {f"x{number}": "1" for number in range(21)}},
]


@pytest.mark.parametrize("words", WRONG)
def test_wrong_hints_are_named(words: dict[str, object]) -> None:
    """Each wrong hint is refused with its name, under the code that its header has."""
    with pytest.raises(BadInput) as caught:
        hints_of(words)
    assert (caught.value.field, caught.value.code) == (next(iter(words)), "outlay_invalid_hint")


def test_a_misspelt_hint_is_guessed() -> None:
    """The error says what was probably meant."""
    with pytest.raises(BadInput, match='Did you mean "task"'):
        hints_of({"taks": "x"})


def test_both_ways_say_the_same() -> None:
    """A header and an argument of one meaning make the same hint, and the same refusal but for its name."""
    headers = {"outlay-task": "a", "outlay-revision": "2", "outlay-pin": "true", "outlay-tags": "x=1,y="}
    words = {"task": "a", "revision": 2, "pin": True, "tags": {"x": "1", "y": ""}}
    assert Hints(**hints_heard(headers)) == hints_of(words)
    for name, value in (("revision", "many"), ("pin", "yes"), ("task", "x" * 201)):
        with pytest.raises(BadInput) as heard:
            hints_heard({f"outlay-{name}": value})
        with pytest.raises(BadInput) as given:
            hints_of({name: value})
        assert heard.value.details == {**given.value.details, "field": f"outlay-{name}"}
        assert str(heard.value) == f"outlay-{given.value}"


def test_betas_are_a_set_of_names() -> None:
    """The header is a comma list."""
    assert betas_heard({"anthropic-beta": "a-1, b-2,,"}) == frozenset({"a-1", "b-2"})
    assert betas_heard({}) == frozenset()
