"""
Server-sent events, cut out of a byte stream without changing a byte of it.

It decides where an event ends and what it holds. The raw bytes stay with each event, so that they can be
forwarded as they came. It knows nothing of messages or money.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LINE_END = re.compile(rb"\r\n?|\n")
_EVENT_END = re.compile(rb"(?>\r\n?|\n)(?>\r\n?|\n)")  # a line's end, then an empty line
_EVENT_END_MAX = 4
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event of a stream.

    Attributes:
        raw: Its bytes as they came, the empty line that ends it included.
        name: Its `event` field; empty where it has none.
        data: Its `data` lines, joined by line feeds.
    """

    raw: bytes
    name: str
    data: bytes

    def decoded(self) -> Mapping[str, Any]:
        """
        Return the data as a JSON object; empty where it is none.
        """
        try:
            value = json.loads(self.data) if self.data else None
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


class EventSplitter:
    """
    Cut a stream of bytes into events, wherever its chunks happen to end.
    """

    __slots__ = ("_at_start", "_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = b""
        self._searched = 0
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Event]:
        """
        Take in the next bytes; return the events that they complete.
        """
        buffer = self._buffer + chunk if self._buffer else chunk
        events: list[Event] = []
        start, search_from = 0, self._searched
        while (end := _EVENT_END.search(buffer, search_from)) is not None:
            events.append(self._event(buffer[start : end.end()]))
            start = search_from = end.end()
        self._buffer = buffer[start:] if start else buffer
        self._searched = max(0, len(self._buffer) - _EVENT_END_MAX)
        return events

    @property
    def rest(self) -> bytes:
        """
        The bytes of an event that is not complete.
        """
        return self._buffer

    def _event(self, raw: bytes) -> Event:
        block = raw.removeprefix(_BOM) if self._at_start else raw
        self._at_start = False
        name, data = "", []
        for line in _LINE_END.split(block):
            key, _, value = line.partition(b":")
            if key == b"event":
                name = value.removeprefix(b" ").decode("utf-8", "replace")
            elif key == b"data":
                data.append(value.removeprefix(b" "))
        return Event(raw, name, b"\n".join(data))
