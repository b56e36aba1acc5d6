"""
The usage of a stream, collected from its events, and what to settle when it breaks.

`message_start` carries the input side with the 5m/1h split of cache writes; `message_delta` carries
cumulative counts. They are merged, never added. A stream that breaks before its last `message_delta` has no
true output count: the estimate from the bytes seen is explained at `broken_stream_usage`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_COUNTED = ("text", "tool_use", "thinking", "redacted_thinking")
_DELTA_TEXT = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "compaction_delta": "content",
}


class StreamUsage:
    """
    Collect the usage of one streamed answer, event by event.

    Events of unknown kinds and of malformed shape are ignored: a stream is forwarded whether or not we
    understand it. `output_bytes_seen` counts the UTF-8 bytes of generated content. Once the model thought,
    it is None: thinking is shown in summary or not at all, so nobody can say how much was generated.

    `finished` tells that the final counts are in: the stream's end alone says nothing of them.

    `counted` tells whether the input side of `message_start` and the bytes seen bound what is billed.
    Searches, their results, declined attempts before a fallback and the like are reported at the end only, so
    the first block of any kind but text, tool use and thinking makes it false.
    """

    __slots__ = (
        "_seen_bytes",
        "_thought",
        "_usage",
        "counted",
        "finished",
        "model",
        "seen_start",
        "stop_reason",
    )

    def __init__(self) -> None:
        self._usage: dict[str, object] = {}
        self._seen_bytes = 0
        self._thought = False
        self.counted = True
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.seen_start = False
        self.finished = False

    @property
    def usage(self) -> Mapping[str, object]:
        """
        Return the usage as the API would report it by now; empty before `message_start`.
        """
        return dict(self._usage)

    @property
    def output_bytes_seen(self) -> int | None:
        """
        Return the UTF-8 bytes of generated content seen so far; None where some of it was hidden.
        """
        return None if self._thought else self._seen_bytes

    def feed(self, event: Mapping[str, object]) -> None:
        """
        Take in one decoded event.
        """
        kind = event.get("type")
        if kind == "content_block_delta":
            self._delta(_mapping(event, "delta"))
        elif kind == "content_block_start":
            self._block_start(_mapping(event, "content_block"))
        elif kind == "message_start":
            self._start(_mapping(event, "message"))
        elif kind == "message_delta":
            self._message_delta(event)

    def _start(self, message: Mapping[str, object]) -> None:
        self.seen_start = True
        model = message.get("model")
        if isinstance(model, str):
            self.model = model
        self._merge(_mapping(message, "usage"))

    def _message_delta(self, event: Mapping[str, object]) -> None:
        usage = _mapping(event, "usage")
        self._merge(usage)
        reason = _mapping(event, "delta").get("stop_reason")
        if isinstance(reason, str):
            self.stop_reason = reason
        told = isinstance(usage.get("output_tokens"), int)
        self.finished = self.finished or (told and self.stop_reason is not None)

    def _merge(self, usage: Mapping[str, object]) -> None:
        """Later cumulative counts replace earlier ones; what a later event leaves out stays."""
        self._usage.update({name: value for name, value in usage.items() if value is not None})

    def _block_start(self, block: Mapping[str, object]) -> None:
        kind = block.get("type")
        self.counted = self.counted and kind in _COUNTED
        self._thought = self._thought or kind in ("thinking", "redacted_thinking")
        if kind == "fallback":
            served = _mapping(block, "to").get("model")
            self.model = served if isinstance(served, str) else self.model
        self._seen_bytes += _size(block.get("text")) + _size(block.get("data")) + _size(block.get("name"))

    def _delta(self, delta: Mapping[str, object]) -> None:
        kind = delta.get("type")
        if isinstance(kind, str) and kind in _DELTA_TEXT:
            self._seen_bytes += _size(delta.get(_DELTA_TEXT[kind]))


@dataclass(frozen=True, slots=True)
class BrokenUsage:
    """
    Usage of a stream that broke: `lower` as last reported, `upper` by the bytes seen. Settle at `upper`.
    """

    lower: Mapping[str, object]
    upper: Mapping[str, object]


def broken_stream_usage(
    usage: Mapping[str, object], *, output_bytes_seen: int | None, max_tokens: int
) -> BrokenUsage:
    """
    Estimate the usage of a stream that ended before its final counts.

    The provider bills what it generated. A token covers at least one byte, so the tokens of what was seen
    are at most its bytes: `upper` never undercounts what was seen, and stops at max_tokens, which the
    provider enforces (a higher count that it did report is kept). Tokens generated but not delivered are
    unknown either way; the truth, when it arrives, corrects the settlement. The input side is as
    `message_start` reported it, which holds for streams that are `counted` only.

    Args:
        usage: `StreamUsage.usage`; empty when not even `message_start` arrived, and then it stays
            unreadable, so that the caller captures its hold instead of booking nothing.
        output_bytes_seen: `StreamUsage.output_bytes_seen`; None means that there is no telling, and the most
            that the provider may have generated is taken.
    """
    reported = usage.get("output_tokens")
    known = reported if isinstance(reported, int) and not isinstance(reported, bool) else 0
    if usage.get("input_tokens") is None:
        return BrokenUsage(lower={}, upper={})
    most = max_tokens if output_bytes_seen is None else min(output_bytes_seen, max_tokens)
    seen = max(known, most)
    return BrokenUsage(
        lower={**usage, "output_tokens": known},
        upper={**usage, "output_tokens": seen},
    )


def _mapping(parent: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def _size(text: object) -> int:
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
