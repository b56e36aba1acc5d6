"""
Usage collected from a stream, whole or broken.
"""

from typing import Any

import pytest

from pricing.usage import StreamUsage, UsageError, billed_from_api, broken_stream_usage

START = {
    "type": "message_start",
    "message": {
        "model": "claude-opus-5-5",
        "usage": {
            "input_tokens": 10,
            "output_tokens": 1,
            "cache_creation_input_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 5},
            "service_tier": "standard",
            "speed": "fast",
        },
    },
}


def text(value: str) -> dict[str, Any]:
    """A delta with text."""
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": value}}


def last(**usage: Any) -> dict[str, Any]:
    """The final message_delta."""
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def fed(*events: Any) -> StreamUsage:
    """A stream that has seen these events."""
    stream = StreamUsage()
    for event in events:
        stream.feed(event)
    return stream


def test_start_and_cumulative_delta_are_merged_and_never_added() -> None:
    """Counts of the last delta replace, the 5m/1h split and the speed of the start stay."""
    stream = fed(START, text("hello"), last(input_tokens=10, output_tokens=30, cache_creation_input_tokens=5))
    assert stream.finished
    assert stream.stop_reason == "end_turn"
    assert stream.model == "claude-opus-5-5"
    (billed,) = billed_from_api("claude-opus-5-5", stream.usage)
    assert (billed.usage.input_tokens, billed.usage.output_tokens) == (10, 30)
    assert (billed.usage.cache_write_5m_tokens, billed.usage.cache_write_1h_tokens) == (0, 5)
    assert billed.usage.speed == "fast"


def test_nulls_of_a_delta_do_not_erase_the_start() -> None:
    """Fields that the delta leaves open keep their value."""
    stream = fed(START, last(input_tokens=None, output_tokens=2, cache_creation=None))
    assert stream.usage["input_tokens"] == 10
    assert stream.usage["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 5}


def test_a_stream_is_not_finished_by_progress() -> None:
    """A delta without a stop reason is progress."""
    progress = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 3}}
    assert not fed(START, progress).finished
    assert fed(START).seen_start
    assert not fed().seen_start


@pytest.mark.parametrize("usage", [{}, {"output_tokens": None}, {"output_tokens": "5"}, {"input_tokens": 10}])
def test_a_stream_without_its_final_count_is_not_finished(usage: dict[str, Any]) -> None:
    """Only the count of the last delta is what is billed; that of the start is one token."""
    stop = {"type": "message_stop"}
    assert not fed(START, text("hello"), stop).finished
    assert not fed(START, text("hello"), last(**usage), stop).finished
    assert fed(START, text("hello"), last(**usage), last(output_tokens=5)).finished


def test_bytes_of_every_kind_of_generated_content_are_seen() -> None:
    """Text in UTF-8, tool names and inputs."""
    stop = {"type": "content_block_stop"}
    delta = {"type": "content_block_delta"}
    stream = fed(
        START,
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        text("né"),
        {**delta, "delta": {"type": "citations_delta", "citation": {"cited_text": "free"}}},
        stop,
        {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "get", "input": {}}},
        {**delta, "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
    )
    assert stream.output_bytes_seen == 3 + 3 + 7


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_thinking_hides_what_was_generated(kind: str) -> None:
    """Thinking is shown in summary or not at all: the most that may have been generated is taken."""
    block = {"type": "content_block_start", "content_block": {"type": kind}}
    hidden = fed(START, block, {"type": "content_block_stop"}, text("hello"))
    assert hidden.output_bytes_seen is None
    estimate = broken_stream_usage(hidden.usage, output_bytes_seen=None, max_tokens=500)
    assert (estimate.lower["output_tokens"], estimate.upper["output_tokens"]) == (1, 500)


def test_a_fallback_in_the_stream_names_the_serving_model() -> None:
    """From the boundary on, another model answers."""
    block = {"type": "fallback", "from": {"model": "claude-fable-5-1"}, "to": {"model": "claude-opus-5"}}
    assert fed(START, {"type": "content_block_start", "content_block": block}).model == "claude-opus-5"


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        *((kind, True) for kind in ("text", "tool_use", "thinking", "redacted_thinking")),
        *((kind, False) for kind in ("server_tool_use", "web_search_tool_result", "fallback", "compaction")),
        ("new_kind", False),
        (None, False),
        (["text"], False),
    ],
)
def test_only_known_content_is_bounded_by_what_was_seen(kind: object, counted: bool) -> None:
    """Searches, search results and declined attempts are reported at the end: until then nobody knows."""
    block = {"type": "content_block_start", "content_block": {"type": kind}}
    plain = {"type": "content_block_start", "content_block": {"type": "text"}}
    assert fed(START).counted
    assert fed(START, block, plain).counted is counted


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": None},
        {"type": "ping"},
        {"type": "message_start"},
        {"type": "message_start", "message": None},
        {"type": "message_start", "message": {"model": 3, "usage": []}},
        {"type": "message_delta", "usage": "x", "delta": 4},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": 5}},
        {"type": "content_block_delta", "delta": {"type": ["x"]}},
        {"type": "content_block_start", "content_block": {"type": "fallback", "to": None}},
        {"type": "error", "error": {"type": "overloaded_error"}},
    ],
)
def test_strange_events_are_ignored(event: dict[str, Any]) -> None:
    """A stream is forwarded whether or not we understand it."""
    stream = fed(START, event)
    assert stream.usage["input_tokens"] == 10
    assert stream.output_bytes_seen == 0


@pytest.mark.parametrize(
    ("reported", "seen", "max_tokens", "upper"),
    [(1, 0, 100, 1), (1, 50, 100, 50), (1, 500, 100, 100), (70, 50, 100, 70), (120, 500, 100, 120)],
)
def test_a_broken_stream_settles_between_what_was_reported_and_max_tokens(
    reported: int, seen: int, max_tokens: int, upper: int
) -> None:
    """Never below what was seen (a token has at least a byte) or reported, else at most max_tokens."""
    usage = {"input_tokens": 10, "output_tokens": reported, "cache_read_input_tokens": 7}
    broken = broken_stream_usage(usage, output_bytes_seen=seen, max_tokens=max_tokens)
    assert broken.lower["output_tokens"] == reported
    assert broken.upper == {**usage, "output_tokens": upper}


def test_a_stream_that_never_started_stays_unreadable() -> None:
    """Without message_start the input is unknown: the caller captures its hold instead of booking nothing."""
    broken = broken_stream_usage(fed().usage, output_bytes_seen=0, max_tokens=100)
    with pytest.raises(UsageError):
        billed_from_api("claude-opus-5-5", broken.upper)
