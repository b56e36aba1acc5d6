"""
The meter of a stream: what passes at once, what waits for the books, and what came of the call.
"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outlay.calls import Broken, Completed, Failed, Uncertain
from outlay.meter import MESSAGE_STOP, StreamMeter


def event(kind: str, **fields: Any) -> bytes:
    """One event on the wire."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


START = event("message_start", message={"model": "m-1", "usage": {"input_tokens": 9, "output_tokens": 1}})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Grüße"})
FINAL = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5})
STOP = event("message_stop")
ERROR = event("error", error={"type": "overloaded_error", "message": "x", "details": {"error_code": "c"}})


def fed(*chunks: bytes) -> tuple[StreamMeter, bytes]:
    """A meter that saw some chunks, and what it let pass."""
    meter = StreamMeter("served")
    return meter, b"".join(meter.feed(chunk) for chunk in chunks)


@given(st.lists(st.integers(0, len(START + DELTA + FINAL + STOP)), max_size=20))
def test_all_passes_but_the_last_event_which_waits(cuts: list[int]) -> None:
    """However a whole answer is cut, only message_stop waits for the settlement, and no byte is lost."""
    raw = START + DELTA + FINAL + STOP
    places = sorted(cuts)
    meter, passed = fed(
        *(raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True))
    )
    assert passed == START + DELTA + FINAL
    assert meter.closing() == STOP
    assert meter.outcome("") == Completed("m-1", {"input_tokens": 9, "output_tokens": 5})


def test_a_stream_that_breaks_is_settled_by_what_was_seen() -> None:
    """Without final counts the outcome carries the bytes of content seen."""
    meter, _ = fed(START, DELTA, DELTA[:-3])
    assert meter.closing() is None
    assert meter.outcome("") == Broken("m-1", {"input_tokens": 9, "output_tokens": 1}, len("Grüße".encode()))


def test_a_stream_that_lacks_only_its_last_event_is_whole() -> None:
    """Final counts make an answer complete; the missing message_stop is added."""
    meter, _ = fed(START, DELTA, FINAL)
    assert meter.closing() == MESSAGE_STOP
    assert isinstance(meter.outcome(""), Completed)


def test_an_error_before_the_answer_began_costs_nothing() -> None:
    """An error event in place of message_start is the provider's refusal, with its type and code."""
    meter, passed = fed(ERROR)
    assert passed == b""
    assert meter.closing() == ERROR
    assert meter.outcome("") == Failed(529, "overloaded_error", "c")


def test_an_error_in_the_middle_is_settled_as_broken() -> None:
    """What was generated before the error may be billed."""
    meter, passed = fed(START, DELTA, ERROR)
    assert passed == START + DELTA
    assert meter.closing() == ERROR
    assert isinstance(meter.outcome(""), Broken)


@given(
    st.sampled_from(["server_tool_use", "web_search_tool_result", "fallback", "new_kind"]),
    st.booleans(),
)
def test_a_break_after_what_only_the_last_event_counts_is_uncertain(kind: str, given_up: bool) -> None:
    """A search or a declined attempt is billed, but not reported yet: the hold is captured at its bound."""
    block = event("content_block_start", index=1, content_block={"type": kind})
    for end in ((), (ERROR,)):
        meter, _ = fed(START, block, DELTA, *end)
        assert meter.outcome("stream_broken", given_up=given_up) == Uncertain("stream_broken", given_up)
    meter, _ = fed(START, block, DELTA, FINAL)
    assert meter.outcome("") == Completed("m-1", {"input_tokens": 9, "output_tokens": 5})


def test_a_stream_that_we_left_is_not_measured_by_what_was_seen() -> None:
    """The provider may generate on: only one that broke by itself is booked by its bytes."""
    meter, _ = fed(START, DELTA)
    left, broken = meter.outcome("left", given_up=True), meter.outcome("broken")
    assert isinstance(left, Broken)
    assert isinstance(broken, Broken)
    assert (left.output_bytes is None, broken.output_bytes is None) == (True, False)


def test_silence_and_nonsense_are_uncertain() -> None:
    """Without a single event that is understood, nobody knows what was billed."""
    for raw in (b"", b"<html>\n\n", b"data: {\n\n", b": ping\n\n"):
        meter, _ = fed(raw)
        assert meter.outcome("no_answer") == Uncertain("no_answer")
        assert meter.closing() is None
