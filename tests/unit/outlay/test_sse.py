"""
The event splitter: any chunking gives the same events, and no byte is lost.
"""

from hypothesis import example, given
from hypothesis import strategies as st

from outlay.sse import Event, EventSplitter

_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
_TEXT = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), max_size=20)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, str]]]:
    """A stream and the events that it holds, written with any line ends."""
    text, expected = "", []
    for _ in range(draw(st.integers(0, 5))):
        name, data, end = draw(_TEXT), draw(st.lists(_TEXT, min_size=1, max_size=3)), draw(_ENDS)
        space = draw(st.sampled_from([" ", ""]))
        lines = [f"event:{space or ' '}{name}", ": a comment", *(f"data: {part}" for part in data)]
        text += "".join(line + end for line in lines) + end
        expected.append((name, "\n".join(data)))
    return text.encode(), expected


def split(stream: bytes, cuts: list[int]) -> tuple[list[Event], bytes]:
    """Feed a stream in pieces; return the events that hold data, and the bytes that are left."""
    splitter = EventSplitter()
    events: list[Event] = []
    places = sorted({min(cut, len(stream)) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        events += splitter.feed(stream[start:end])
    return events, splitter.rest


@given(streams(), st.lists(st.integers(0, 400), max_size=30))
@example((b"event: a\r\ndata: 1\r\n\r\nevent: b\r\ndata: 2\r\n\r\n", [("a", "1"), ("b", "2")]), [19, 20, 21])
def test_any_chunking_gives_the_same_events(
    stream: tuple[bytes, list[tuple[str, str]]], cuts: list[int]
) -> None:
    """Events do not depend on where chunks end, be it inside UTF-8 or between CR and LF."""
    raw, expected = stream
    events, rest = split(raw, cuts)
    assert b"".join(event.raw for event in events) + rest == raw
    assert [(event.name, event.data.decode()) for event in events if event.data or event.name] == [
        pair for pair in expected if pair != ("", "")
    ]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=20))
def test_no_byte_is_lost_of_anything(stream: bytes, cuts: list[int]) -> None:
    """Whatever comes, events and rest hold exactly the bytes that came; malformed data decodes to nothing."""
    events, rest = split(stream, cuts)
    assert b"".join(event.raw for event in events) + rest == stream
    assert all(isinstance(event.decoded(), dict) for event in events)


def test_an_event_is_complete_only_with_its_empty_line() -> None:
    """A line end alone does not end an event, nor does half of a CRLF."""
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\r") == []
    assert splitter.feed(b"\n") == []
    assert [event.data for event in splitter.feed(b"\r\n")] == [b"1"]
    assert splitter.rest == b""


def test_byte_order_mark_at_the_start_is_no_part_of_the_first_field() -> None:
    """A stream may open with a byte order mark."""
    assert [event.name for event in EventSplitter().feed(b"\xef\xbb\xbfevent: ping\n\n")] == ["ping"]


def test_data_that_is_no_object_decodes_to_nothing() -> None:
    """Lists, numbers, broken and too deep JSON are no event that we read."""
    deep = b"[" * 100_000
    for data in (b"[1]", b"1", b"{", b"", deep):
        assert Event(b"", "x", data).decoded() == {}
