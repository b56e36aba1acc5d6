"""
Classes of calls: what gives points, what a caller may say, and how calls are counted together.
"""

from dataclasses import replace
from typing import Any

import pytest

from router.codec import from_json, to_json
from router.complexity import STARTS_AT, Complexity, assess, class_at, points, task_class
from router.types import Hints, Profile, Refusal, Rights, Said, Signals

FREE = Rights(loosen=True)


def seen(profile: Any, body: Any, **fields: Any) -> Signals:
    """The signals of a body whose last message is a text."""
    found = profile(body(**fields)).signals
    assert found is not None
    return found


def asking(text: str) -> list[dict[str, Any]]:
    """One message of the user."""
    return [{"role": "user", "content": text}]


def kind(signals: Signals, max_tokens: int = 4096, **more: Any) -> str:
    """The class of signals."""
    return str(assess(signals, max_tokens, may_raise=more.pop("may_raise", False), **more).kind)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Answer in 50 words.", 50),
        ("Write a 1,500-word essay.", 1500),
        ("Say it in at most 20 words please", 20),
        ("no more than 300 words", 300),
        ("around 200 words, about 200 words", 200),
        ("in 50 words, then in 80 words", None),
        ("The words of 3 poets", None),
        ("It has 50 wordsmiths", None),
        ("I counted 70 words", None),
        ("in 5000000 words", None),
        ("", None),
    ],
)
def test_the_length_asked_for_is_read_where_it_is_clear(
    profile: Any, body: Any, text: str, words: int | None
) -> None:
    """One clear length counts; several, or a number that is no order, count for nothing."""
    assert seen(profile, body, messages=asking(text)).output_words == words


def test_signals_are_counts_of_the_request(profile: Any, body: Any) -> None:
    """Turns, pieces and tools are counted, questions and code in the last message of the user only."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}
    code = {"type": "text", "text": "Why? And how?\n```python\nx\n```\n```\ny\n```"}
    messages = [
        {"role": "user", "content": "What? ```z```"},
        {"role": "assistant", "content": "Why? How? ```a```"},
        {"role": "user", "content": [image, document, code]},
    ]
    tools = [{"name": "t", "input_schema": {"type": "object"}}]
    found = seen(profile, body, messages=messages, tools=tools, system="s" * 100)
    assert (found.turns, found.images, found.documents, found.tools) == (2, 1, 1, 1)
    assert (found.questions, found.code_blocks, found.thinking) == (2, 2, False)
    assert 100 < found.context_bytes < 400


def test_nothing_of_the_prompt_is_kept(profile: Any, body: Any) -> None:
    """What is stored with a decision has no word of the request."""
    stored = to_json(profile(body(messages=asking("A secret, in 50 words?"), system="hidden")))
    assert "secret" not in stored
    assert "hidden" not in stored
    assert (
        from_json(Profile, stored).signals
        == profile(body(messages=asking("A secret, in 50 words?"), system="hidden")).signals
    )


def test_a_long_message_is_looked_at_at_its_ends(profile: Any, body: Any) -> None:
    """The question usually stands before or after what was pasted; megabytes are not searched."""
    text = "Why? " + "a? " * 50_000 + " In 40 words."
    found = seen(profile, body, messages=asking(text))
    assert found.output_words == 40
    assert found.questions < 10_000


ODD = [
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]},
    {"messages": [{"role": "user", "content": []}]},
    {"messages": asking("x"), "tools": []},
    {"messages": asking("```" * 5 + "?" * 9)},
]


@pytest.mark.parametrize("fields", ODD)
def test_odd_bodies_have_signals_too(profile: Any, body: Any, fields: dict[str, Any]) -> None:
    """Whatever passes as a request can be counted."""
    assert seen(profile, body, **fields).turns == 1


TABLE = [
    ({}, 128, {"output": 0}),
    ({}, 129, {"output": 1}),
    ({"output_words": 50}, 4096, {"output": 0}),
    ({"output_words": 51}, 4096, {"output": 1}),
    ({"output_words": 301}, 4096, {"output": 2}),
    ({"output_words": 1001}, 4096, {"output": 3}),
    ({"context_bytes": 3_999}, 128, {"context": 0}),
    ({"context_bytes": 4_000}, 128, {"context": 1}),
    ({"context_bytes": 40_000}, 128, {"context": 2}),
    ({"context_bytes": 200_000}, 128, {"context": 3}),
    ({"turns": 4}, 128, {"context": 0}),
    ({"turns": 5}, 128, {"context": 1}),
    ({"turns": 20, "context_bytes": 4_000}, 128, {"context": 2}),
    ({"documents": 1}, 128, {"context": 1}),
    ({"documents": 2, "images": 1}, 128, {"context": 2}),
    ({"thinking": True}, 128, {"reasoning": 2}),
    ({"questions": 2}, 128, {"questions": 0}),
    ({"questions": 3}, 128, {"questions": 1}),
    ({"questions": 6}, 128, {"questions": 2}),
    ({"code_blocks": 9}, 128, {"code": 1}),
    ({"tools": 1}, 128, {"tools": 1}),
    ({"tools": 9}, 128, {"tools": 2}),
    ({"said": Said(revision=1)}, 128, {"revision": 1}),
    ({"said": Said(revision=3)}, 128, {"revision": 2}),
    ({"said": Said(output_words=0), "output_words": 900}, 4096, {"output": 0}),
    ({"said": Said(context="low"), "context_bytes": 900_000}, 128, {"context": 0}),
    ({"said": Said(context="high")}, 128, {"context": 2}),
    ({"said": Said(reasoning="low"), "thinking": True}, 128, {"reasoning": 0}),
    ({"said": Said(reasoning="medium")}, 128, {"reasoning": 2}),
    ({"said": Said(reasoning="high")}, 128, {"reasoning": 4}),
]


@pytest.mark.parametrize(("fields", "max_tokens", "expected"), TABLE)
def test_points_are_as_tabled(fields: dict[str, Any], max_tokens: int, expected: dict[str, int]) -> None:
    """Both sides of each bound of docs/reference/complexity.md; what is not named gives nothing."""
    found = points(Signals(**fields), max_tokens)
    assert {name: count for name, count in found.items() if count or name in expected} == expected


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (0, "trivial"),
        (1, "simple"),
        (2, "standard"),
        (4, "standard"),
        (5, "complex"),
        (7, "complex"),
        (8, "expert"),
    ],
)
def test_points_make_a_class(total: int, expected: str) -> None:
    """The packaged thresholds, both sides of each."""
    assert class_at(total) == expected
    assert class_at(total + 1).rank >= class_at(total).rank


def test_thresholds_and_weights_are_the_owners(profile: Any, body: Any) -> None:
    """Moved thresholds move the class; a weight of 0 turns a signal off."""
    signals = seen(profile, body, tools=[{"name": "t", "input_schema": {"type": "object"}}])
    assert kind(signals) == "standard"
    assert kind(signals, starts_at=(1, 3, 4, 5)) == "simple"
    assert kind(signals, weights={"tools": 0, "output": 0}) == "trivial"
    assert kind(signals, weights={"tools": 4}) == "complex"
    assert STARTS_AT == (1, 2, 5, 8)


def test_a_caller_can_only_call_for_less_without_the_right_to() -> None:
    """What is said counts where it makes the class lower, or where the key may loosen."""
    signals = Signals(context_bytes=5_000)
    assert kind(signals) == "standard"
    lower, higher = Said(complexity="trivial"), Said(complexity="expert")
    assert kind(replace(signals, said=lower)) == "trivial"
    assert kind(replace(signals, said=higher)) == "standard"
    assert kind(replace(signals, said=higher), may_raise=True) == "expert"
    assert assess(replace(signals, said=higher), 4096, may_raise=False).refused
    assert kind(replace(signals, said=Said(reasoning="high"))) == "standard"
    assert kind(replace(signals, said=Said(reasoning="high")), may_raise=True) == "complex"
    assert kind(replace(signals, said=Said(context="low", output_words=10))) == "trivial"


def test_calls_are_counted_by_task_then_class_then_name(profile: Any, body: Any) -> None:
    """The name that scores, predictions and demand are kept under."""
    request = profile(body(), hints=Hints(task="crm/x"))
    assert task_class(request) == "crm/x"
    assert task_class(replace(request, task=None)) == "complexity:simple"
    assert task_class(replace(request, task=None, signals=None)) == "claude-opus-5-5"


def test_what_was_stored_before_there_were_signals_still_reads(profile: Any, body: Any) -> None:
    """Older decisions are replayed without signals."""
    text = to_json(replace(profile(body()), signals=None)).replace('"signals":null,', "")
    assert from_json(Profile, text).signals is None


@pytest.mark.parametrize(
    ("hints", "says"),
    [
        (Hints(complexity="expart"), "did you mean 'expert'"),
        (Hints(reasoning="lots"), "one of low, medium, high"),
        (Hints(context="rich"), "outlay-context"),
        (Hints(output_words=-1), "outlay-output-words is -1"),
        (Hints(revision=1_000_001), "from 0 to 1000000"),
    ],
)
def test_hints_that_mean_nothing_are_refused(body: Any, policy: Any, hints: Hints, says: str) -> None:
    """A misspelt class is not taken for none."""
    from router.classify import profile_request

    found = profile_request(body(), hints, FREE, policy, expected_output_tokens=1)
    assert isinstance(found, Refusal)
    assert found.code == "outlay_invalid_hint"
    assert says in found.message


def test_reasoning_may_be_true_or_false(profile: Any, body: Any) -> None:
    """They mean high and low."""
    for word, level in (("true", "high"), ("False", "low"), ("none", "low"), ("HIGH", "high")):
        found = profile(body(), hints=Hints(reasoning=word)).signals
        assert found.said.reasoning == level


def test_classes_have_an_order() -> None:
    """From the easiest to the hardest."""
    assert [one.rank for one in Complexity] == [0, 1, 2, 3, 4]
