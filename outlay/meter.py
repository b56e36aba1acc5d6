"""
One streamed answer as it passes: which bytes may go on at once, and what came of the call.

The event that ends an answer is held back until the call is settled, so that a client never holds a complete
answer that the books do not. The gateway and the in-process middleware both read streams through it.
"""

from collections.abc import Mapping
from typing import Final

from outlay.calls import Broken, Completed, Failed, Outcome, Uncertain
from outlay.sse import Event, EventSplitter
from pricing.usage import StreamUsage

EVENT_BYTES_MAX = 32 * 1024 * 1024
STATUS_BY_TYPE: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Status that an error inside a stream would have as an answer."""
_LAST = frozenset({"message_stop", "error"})
MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class StreamMeter:
    """
    Read a copy of a stream while it passes.

    Attributes:
        usage: What the provider reported so far.
        ended: Whether the event that ends an answer was seen.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._splitter = EventSplitter()
        self._held: list[bytes] = []
        self._error: tuple[str, str] | None = None
        self.usage = StreamUsage()
        self.ended = False

    def feed(self, chunk: bytes) -> bytes:
        """
        Take in the next bytes; return those that may be forwarded now: complete events before the last.
        """
        passing: list[bytes] = []
        for event in self._splitter.feed(chunk):
            if not self.ended:
                self._read(event)
            (self._held if self.ended else passing).append(event.raw)
        return b"".join(passing)

    @property
    def overlong(self) -> bool:
        """
        True where an event grows beyond all bounds.
        """
        return len(self._splitter.rest) > EVENT_BYTES_MAX

    def closing(self) -> bytes | None:
        """
        Return the bytes that end the answer, to be forwarded after the settlement.

        An answer whose final counts arrived is whole: where only its last event is missing, that is added.
        None where the stream broke.
        """
        if self.ended:
            return b"".join(self._held)
        return MESSAGE_STOP if self.usage.finished else None

    def outcome(self, why: str, *, given_up: bool = False) -> Outcome:
        """
        Say what came of the call.

        Args:
            why: What happened, where the stream says nothing of it itself.
            given_up: Whether it was our side that ended the stream.
        """
        model = self.usage.model or self._model
        if self.usage.finished:
            return Completed(model, self.usage.usage)
        if self.usage.seen_start and not self.usage.counted:
            return Uncertain(why, given_up)  # captured at its bound: the bill was to come in the last event
        if self.usage.seen_start:
            seen = None if given_up else self.usage.output_bytes_seen  # it may be generated on, unseen by us
            return Broken(model, self.usage.usage, seen, given_up)
        if self._error is not None:
            error_type, error_code = self._error
            return Failed(STATUS_BY_TYPE.get(error_type, 500), error_type, error_code)
        return Uncertain(why, given_up)

    def _read(self, event: Event) -> None:
        decoded = event.decoded()
        self.usage.feed(decoded)
        kind = decoded.get("type", event.name)
        if kind == "error":
            self._error = error_of(decoded)
        self.ended = kind in _LAST


def error_of(body: object) -> tuple[str, str]:
    """
    Return type and code of an error body in Anthropic's shape; empty where it names none.
    """
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return "", ""
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    kind = error.get("type")
    return kind if isinstance(kind, str) else "", code if isinstance(code, str) else ""
