"""
Bodies for the serving model: what is kept, what changes, and what is left to the provider.
"""

import copy
from typing import Any

import pytest

from pricing.facts import model_facts
from router.translate import Translated, translate

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
OLD_HAIKU, OLD_OPUS = "claude-haiku-4-5", "claude-opus-4-5"


def request(model: str = OPUS, **fields: Any) -> dict[str, Any]:
    """Give a plain body."""
    return {"model": model, "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]} | fields


def to(
    served: str,
    body: dict[str, Any],
    *,
    asked: str | None = "",
    effort: str | None = None,
    max_tokens: int | None = None,
    before: frozenset[str] = frozenset(),
) -> Translated:
    """Translate, and check that the given body stays as it was."""
    kept = copy.deepcopy(body)
    named = body["model"] if asked == "" else asked
    result = translate(
        body,
        model_facts(served),
        asked=None if named is None else model_facts(named),
        effort=effort,
        max_tokens=body["max_tokens"] if max_tokens is None else max_tokens,
        served_before=before,
    )
    assert body == kept, "the input was changed"
    return result


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "claude-haiku-4-5-20251001"},
        {"temperature": 0.5, "tool_choice": {"type": "any"}, "thinking": {"type": "enabled"}},
        {"max_tokens": 500_000},
        {"output_config": {"effort": "ultra", "format": {}}, "unknown": [1]},
        {"speed": "fast", "fallbacks": [{"model": HAIKU}]},
        {
            "messages": [
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": ""}]}
            ]
        },
    ],
)
def test_a_body_for_its_own_model_goes_out_as_it_came(fields: dict[str, Any]) -> None:
    """Nothing is changed, not even what the model will reject; the caller's spelling of the model stays."""
    body = request(**fields)
    effort = (body.get("output_config") or {}).get("effort") or model_facts(body["model"]).default_effort
    result = to(body["model"], body, effort=effort)
    assert result.body == body
    assert result.notes == ()


def test_shrinking_changes_only_what_is_shrunk() -> None:
    """Effort and max_tokens fall at the same model; all else stays."""
    body = request(system="s", output_config={"effort": "high", "format": {"a": 1}})
    result = to(OPUS, body, effort="low", max_tokens=100)
    assert result.body == body | {"max_tokens": 100, "output_config": {"format": {"a": 1}, "effort": "low"}}
    assert len(result.notes) == 2


@pytest.mark.parametrize(
    ("asked", "own", "served", "effort", "sent"),
    [
        (OPUS, None, SONNET, None, "medium"),
        (OPUS, None, SONNET, "low", "low"),
        (OPUS, None, SONNET, "high", "medium"),
        (OPUS, "max", "claude-opus-4-5", "max", "high"),
        (OPUS, "xhigh", "claude-opus-4-6", "xhigh", "high"),
        (SONNET, None, HAIKU, None, "high"),
        (OPUS, "high", OLD_HAIKU, None, None),
        (OLD_HAIKU, None, HAIKU, None, "medium"),
        (None, None, SONNET, "high", "high"),
        (None, None, SONNET, None, "high"),
        (None, "low", SONNET, "high", "low"),
    ],
)
def test_effort_is_explicit_after_a_switch_and_never_raised(
    asked: str | None, own: str | None, served: str, effort: str | None, sent: str | None
) -> None:
    """The served model works at the effort that the request meant at its own model, or lower."""
    fields = {} if own is None else {"output_config": {"effort": own}}
    result = to(served, request(asked or "outlay/auto", **fields), asked=asked, effort=effort)
    assert (result.body.get("output_config") or {}).get("effort") == sent


@pytest.mark.parametrize(
    ("kind", "asked", "served", "sent"),
    [
        ({"type": "enabled", "budget_tokens": 2048}, OLD_OPUS, HAIKU, {"type": "adaptive"}),
        (
            {"type": "enabled", "budget_tokens": 2048},
            OLD_OPUS,
            OLD_HAIKU,
            {"type": "enabled", "budget_tokens": 2048},
        ),
        ({"type": "adaptive"}, OPUS, OLD_HAIKU, {"type": "enabled", "budget_tokens": 2048}),
        ({"type": "adaptive", "display": "omitted"}, OPUS, HAIKU, {"type": "adaptive", "display": "omitted"}),
        ({"type": "disabled"}, OLD_OPUS, HAIKU, {"type": "disabled"}),
        ({"type": "disabled"}, OLD_OPUS, SONNET, {"type": "between_tools"}),
        ({"type": "disabled"}, OLD_OPUS, OPUS, None),
        ({"type": "between_tools"}, SONNET, HAIKU, {"type": "disabled"}),
        ({"type": "between_tools"}, SONNET, OPUS, {"type": "adaptive"}),
        ({"type": "to_come"}, SONNET, OLD_HAIKU, None),
    ],
)
def test_thinking_is_said_in_the_words_of_the_served_model(
    kind: dict[str, Any], asked: str, served: str, sent: dict[str, Any] | None
) -> None:
    """Each kind of thinking becomes the nearest one that the served model accepts."""
    assert to(served, request(asked, thinking=kind)).body.get("thinking") == sent


def test_thinking_that_cannot_be_disabled_works_at_low_effort() -> None:
    """A model that always thinks is asked to think little."""
    body = request("claude-opus-4-8", thinking={"type": "disabled"})
    result = to(OPUS, body, effort="high")
    assert result.body["output_config"] == {"effort": "low"}


def test_disabled_thinking_lowers_the_effort_where_the_model_ties_them() -> None:
    """Haiku 5.5 lets thinking be disabled up to high effort only."""
    body = request("claude-opus-4-8", thinking={"type": "disabled"}, output_config={"effort": "max"})
    assert to(HAIKU, body, effort="max").body["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(
    ("limit", "sent"), [(3000, 1500), (1500, 1024), (1025, 1024), (1024, None), (1, None)]
)
def test_a_thinking_budget_stays_under_a_shrunk_max_tokens(limit: int, sent: int | None) -> None:
    """The budget falls with max_tokens; without room for the least budget, thinking is left out."""
    body = request(OLD_OPUS, thinking={"type": "enabled", "budget_tokens": 4000})
    thinking = to(OLD_OPUS, body, max_tokens=limit).body.get("thinking")
    assert (thinking or {}).get("budget_tokens") == sent


def test_max_tokens_is_clamped_to_what_the_other_model_gives() -> None:
    """Haiku 4.5 gives 64k tokens."""
    assert to(OLD_HAIKU, request(max_tokens=128_000)).body["max_tokens"] == 64_000


def test_what_the_served_model_rejects_is_dropped_with_a_note() -> None:
    """Sampling, prefill, forced tools, fast mode and fallbacks do not survive a switch to Sonnet 5.5."""
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{"}]
    body = request(
        OLD_OPUS,
        messages=turns,
        temperature=0.2,
        top_k=5,
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        speed="fast",
        fallbacks=[{"model": OPUS}],
    )
    result = to(SONNET, body)
    assert result.body == {
        "model": SONNET,
        "max_tokens": 4096,
        "messages": turns[:1],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "output_config": {"effort": "high"},
    }
    assert len(result.notes) == 7


def test_what_the_served_model_accepts_is_kept() -> None:
    """Cache markers, tools and sampling reach a model that takes them."""
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body = request(
        OLD_OPUS, temperature=0.2, tool_choice={"type": "any"}, system=[{"type": "text", "text": "s"} | mark]
    )
    assert to(OLD_HAIKU, body).body == body | {"model": OLD_HAIKU}


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}


def loop(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a conversation in the middle of a tool loop."""
    return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": list(blocks)}, RESULT]


@pytest.mark.parametrize(
    ("asked", "served", "before", "dropped"),
    [
        (OPUS, HAIKU, frozenset(), True),
        (OPUS, OPUS, frozenset(), False),
        (OPUS, OPUS, frozenset({HAIKU}), True),
        (OPUS, OPUS, frozenset({OPUS, HAIKU}), True),
        (OPUS, HAIKU, frozenset({HAIKU}), False),
        (None, OPUS, frozenset(), True),
        (None, OPUS, frozenset({OPUS}), False),
        (None, OLD_HAIKU, frozenset(), False),
    ],
)
def test_thinking_of_another_model_is_dropped_from_the_history(
    asked: str | None, served: str, before: frozenset[str], dropped: bool
) -> None:
    """Blocks are bound to their author: the asked model, unless the session is known to have moved."""
    body = request(asked or "outlay/auto", messages=loop(THOUGHT, CALL))
    content = to(served, body, asked=asked, before=before).body["messages"][1]["content"]
    assert content == ([CALL] if dropped else [THOUGHT, CALL])


def test_a_message_of_thinking_alone_goes_whole() -> None:
    """No empty message is sent."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [THOUGHT]}]
    body = request(messages=[*turns, {"role": "user", "content": "b"}])
    assert [m["role"] for m in to(HAIKU, body).body["messages"]] == ["user", "user"]


def test_an_open_tool_loop_that_lost_its_thinking_goes_on_without() -> None:
    """A model that wants the thinking before its tool call does not think in the middle of the loop."""
    body = request(
        OLD_OPUS, messages=loop(THOUGHT, CALL), thinking={"type": "enabled", "budget_tokens": 2000}
    )
    assert "thinking" not in to(OLD_HAIKU, body).body


@pytest.mark.parametrize("messages", [None, "x", [None], [{"role": "assistant"}], [5], []])
def test_malformed_bodies_are_left_to_the_provider(messages: Any) -> None:
    """Translation never fails on what it does not understand."""
    body = request(messages=messages, thinking="x", tool_choice=5, output_config=None)
    assert to(HAIKU, body).body["model"] == HAIKU


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": "any"}},
        {"tool_choice": {"type": "tool", "name": "f"}},
        {"temperature": 0.5},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]},
    ],
)
def test_adaptive_thinking_is_left_out_where_its_substitute_would_clash(fields: dict[str, Any]) -> None:
    """A model that only knows `enabled` does not combine it with forced tools, sampling or a prefill."""
    body = request("claude-opus-4-6", thinking={"type": "adaptive"}, **fields)
    assert "thinking" not in to(OLD_HAIKU, body).body
