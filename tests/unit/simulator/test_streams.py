"""Streams: order of events, usage, and what is billed."""

import json
import re
from typing import Any

import pytest

TOOL = {
    "name": "look",
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}, "deep": {"type": "boolean"}}},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
    },
    "$defs": {
        "tag": {"type": "object", "properties": {"x": {"type": "number"}}, "additionalProperties": False}
    },
    "required": ["name", "count", "kind", "tags", "note"],
    "additionalProperties": False,
}
ORDER = re.compile(
    r"message_start (content_block_start (ping )?(content_block_delta )*content_block_stop )*"
    r"message_delta message_stop "
)


def _order(reply: Any) -> str:
    return "".join(event["type"] + " " for event in reply.events)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "claude-sonnet-5-5", "thinking": {"type": "adaptive", "display": "summarized"}},
        {"model": "claude-haiku-5-5", "tools": [TOOL], "tool_choice": {"type": "any"}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"max_tokens": 0},
        {"max_tokens": 1},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ],
)
def test_events_come_in_the_order_of_the_api(caller: Any, fields: dict[str, Any]) -> None:
    """message_start, whole blocks in turn, message_delta, message_stop; the deltas make the block."""
    reply = caller.ask(stream=True, **fields)
    assert ORDER.fullmatch(_order(reply))
    assert reply.headers["content-type"].startswith("text/event-stream")
    starts = [event["index"] for event in reply.events if event["type"] == "content_block_start"]
    assert list(range(len(starts))) == starts


def test_the_usage_of_a_stream_comes_in_two_parts(caller: Any) -> None:
    """The start has the cache writes by lifetime; the delta has cumulative counts and no split."""
    system = [{"type": "text", "text": "long " * 1000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    reply = caller.ask(stream=True, system=system, headers={"simulator-output-tokens": "321"})
    start = reply.events[0]["message"]["usage"]
    final = next(event for event in reply.events if event["type"] == "message_delta")["usage"]
    assert start["cache_creation"]["ephemeral_1h_input_tokens"] == start["cache_creation_input_tokens"] > 0
    assert start["output_tokens"] == 1
    assert final["output_tokens"] == 321
    assert not {"cache_creation", "service_tier", "speed"} & set(final)
    same = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert [start[name] for name in same] == [final[name] for name in same]


def test_a_stream_and_a_plain_answer_cost_the_same(caller: Any) -> None:
    """The same request is billed the same either way."""
    wishes = {"simulator-input-tokens": "1234", "simulator-output-tokens": "567"}
    caller.ask(headers=wishes)
    plain = caller.provider.bill.total_usd
    caller.ask(headers=wishes, stream=True)
    assert 2 * plain == caller.provider.bill.total_usd


@pytest.mark.parametrize(("limit", "stop"), [(99, "max_tokens"), (100, "end_turn"), (0, "max_tokens")])
def test_output_ends_at_max_tokens(caller: Any, limit: int, stop: str) -> None:
    """What the model would have written beyond max_tokens is neither written nor billed."""
    reply = caller.ask(max_tokens=limit, headers={"simulator-output-tokens": "100"})
    assert (stop, min(limit, 100)) == (reply.json["stop_reason"], reply.json["usage"]["output_tokens"])


def test_thinking_is_part_of_the_output(caller: Any) -> None:
    """Thinking tokens are counted inside output_tokens; a model with thinking off has none."""
    wishes = {"simulator-output-tokens": "100", "simulator-thinking-tokens": "60"}
    usage = caller.ask(headers=wishes).json["usage"]
    assert (usage["output_tokens"], usage["output_tokens_details"]["thinking_tokens"]) == (100, 60)
    off = caller.ask(model="claude-haiku-5-5", thinking={"type": "disabled"}, headers=wishes).json
    assert off["usage"]["output_tokens_details"]["thinking_tokens"] == 0
    assert [block["type"] for block in off["content"]] == ["text"]


@pytest.mark.parametrize(("wish", "stop"), [("1", "tool_use"), ("0", "end_turn")])
def test_tools_are_used_when_asked(caller: Any, wish: str, stop: str) -> None:
    """A tool_use block fits the tool's schema and ends the answer."""
    reply = caller.ask(tools=[TOOL], headers={"simulator-tool-use": wish}).json
    assert stop == reply["stop_reason"]
    if stop == "tool_use":
        block = reply["content"][-1]
        assert ("look", {"at", "deep"}) == (block["name"], set(block["input"]))


def test_tools_are_sometimes_used_unasked(caller: Any) -> None:
    """With tools on offer some answers use one and some do not; with tool_choice none, none does."""
    stops = {caller.ask(tools=[TOOL]).json["stop_reason"] for _ in range(30)}
    assert {"tool_use", "end_turn"} <= stops
    none = {caller.ask(tools=[TOOL], tool_choice={"type": "none"}).json["stop_reason"] for _ in range(30)}
    assert "tool_use" not in none


def test_structured_output_fits_its_schema(caller: Any) -> None:
    """The text of the answer is JSON of the schema, whole when there is room and cut when not."""
    format_ = {"format": {"type": "json_schema", "schema": SCHEMA}}
    text = caller.ask(output_config=format_).json["content"][-1]["text"]
    assert json.loads(text) == {
        "name": "simulated",
        "count": 1,
        "kind": "a",
        "tags": [{"x": 1.5}],
        "note": None,
    }
    cut = caller.ask(output_config=format_, max_tokens=10, headers={"simulator-thinking-tokens": "0"}).json
    assert cut["stop_reason"] == "max_tokens"
    assert text.startswith(cut["content"][-1]["text"])


def test_a_stop_sequence_ends_the_answer(caller: Any) -> None:
    """The text stops before the sequence, which is named."""
    reply = caller.ask(stop_sequences=["meaning", "words"], headers={"simulator-output-tokens": "200"}).json
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("stop_sequence", "words")
    assert "words" not in reply["content"][-1]["text"]


def test_a_refusal_says_so(caller: Any) -> None:
    """A refused answer has stop_reason refusal and its details, plain and streamed."""
    wish = {"simulator-fault": "refusal"}
    assert caller.ask(headers=wish).json["stop_details"]["type"] == "refusal"
    final = caller.ask(headers=wish, stream=True).events[-2]
    assert final["delta"]["stop_reason"] == "refusal"


def test_a_failing_stream_ends_with_an_error_event(caller: Any, tmp_path: Any) -> None:
    """stream_error_after=N sends N events and an error, and bills what was generated by then."""
    reply = caller.ask(stream=True, headers={"simulator-fault": "stream_error_after=6"})
    assert len(reply.events) == 7
    assert reply.events[-1]["error"]["type"] == "overloaded_error"
    assert caller.provider.bill.calls == 1
