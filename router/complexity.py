"""
How hard a call is: a class from trivial to expert, from counts that are cheap to see.

`read_signals` looks at a request once and keeps counts only; everything after it is arithmetic on them, so
that a replay needs no prompt. Points are added up signal by signal, and thresholds turn them into a class.
Keep the table in docs/reference/complexity.md in sync with `points`.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from pricing.bound import RequestBound
from router.shape import blocks, messages_of, role_of, thinking_kind
from router.types import Hints, Profile, Said, Signals

SCANNED_CHARS: Final = 8_000
"""Of the last message no more than this is looked through, from its beginning and its end."""
SHORT_MAX_TOKENS: Final = 128
"""An answer that may have no more tokens than this is short, whatever the prompt says."""

LEVELS: Final = ("low", "medium", "high")
"""What `outlay-reasoning` and `outlay-context` may say."""
_LEVEL_WORDS: Final = {"true": "high", "false": "low", "none": "low"}

# the number stands in one of a few clear phrases, or before "-word"
_WORDS: Final = re.compile(
    r"\b(?:in|within|under|below|than|most|least|to|about|around|roughly|approximately|exactly|of|max\.?)\s+"
    r"(\d{1,3}(?:,\d{3})+|\d{1,6})[ -]words?\b|\b(\d{1,3}(?:,\d{3})+|\d{1,6})-words?\b",
    re.IGNORECASE,
)


class Complexity(StrEnum):
    """
    Classes of calls, the easiest first.
    """

    TRIVIAL = "trivial"
    SIMPLE = "simple"
    STANDARD = "standard"
    COMPLEX = "complex"
    EXPERT = "expert"

    @property
    def rank(self) -> int:
        """
        Give the place in the order, 0 for the easiest.
        """
        return _RANKS[self]


_NOTHING_SAID: Final = Said()
_RANKS: Final = {kind: rank for rank, kind in enumerate(Complexity)}
_CLASSES: Final = tuple(Complexity)
STARTS_AT: Final = (1, 2, 5, 8)
"""Points from which a call is simple, standard, complex and expert."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """
    The class of a call, and how it came about.

    Args:
        points: By signal, only those that count.
        seen: Class without what the caller says of the call.
        refused: The caller's words meant a higher class, which the key may not ask for.
    """

    kind: Complexity
    points: Mapping[str, int]
    seen: Complexity
    refused: bool = False


# reading a request


def read_signals(body: Mapping[str, Any], hints: Hints, bound: RequestBound) -> Signals:
    """
    Count what a request shows of how hard it is. The body is only read.
    """
    messages = messages_of(body)
    text = _asked_text(messages)
    kinds = [block.get("type") for message in messages for block in blocks(message)]
    tools = body.get("tools")
    return Signals(
        context_bytes=sum(p.typical_bytes for p in bound.parts if p.name in ("system", "messages")),
        turns=sum(1 for message in messages if role_of(message) == "user"),
        documents=kinds.count("document"),
        images=kinds.count("image"),
        tools=len(tools) if isinstance(tools, list) else 0,
        thinking=thinking_kind(body) not in (None, "disabled"),
        questions=text.count("?") + text.count("？"),
        code_blocks=(text.count("```") + 1) // 2,
        output_words=_words_asked(text),
        said=Said(
            hints.complexity, hints.output_words, hints.revision, level(hints.reasoning), level(hints.context)
        ),
    )


def level(text: str | None) -> str | None:
    """
    Read low, medium or high; true and false stand for high and low.
    """
    return None if text is None else _LEVEL_WORDS.get(text.lower(), text.lower())


def _asked_text(messages: list[Any]) -> str:
    """Give the text of the user's last message, the middle of a long one left out."""
    for message in reversed(messages):
        if role_of(message) != "user":
            continue
        content = message["content"] if isinstance(message.get("content"), str) else None
        text = content if content is not None else "\n".join(_texts(message))
        half = SCANNED_CHARS // 2
        return text if len(text) <= SCANNED_CHARS else f"{text[:half]}\n{text[-half:]}"
    return ""


def _texts(message: Any) -> Iterator[str]:
    return (block["text"] for block in blocks(message) if isinstance(block.get("text"), str))


def _words_asked(text: str) -> int | None:
    """Give the length that a text asks for; None where it names none, or several that differ."""
    found = {int((one or other).replace(",", "")) for one, other in _WORDS.findall(text)}
    return found.pop() if len(found) == 1 else None


# from counts to a class


def _steps(*starts: int) -> Callable[[int], int]:
    """Give a point for each bound that a count has reached."""
    return lambda count: bisect_right(starts, count)


_OUTPUT: Final = _steps(51, 301, 1_001)
_BYTES: Final = _steps(4_000, 40_000, 200_000)
_TURNS: Final = _steps(5, 20)
_PIECES: Final = _steps(1, 3)
_REVISION: Final = _steps(1, 3)
_QUESTIONS: Final = _steps(3, 6)
_TOOLS: Final = _steps(1, 9)


def _output(signals: Signals, max_tokens: int) -> int:
    words = signals.output_words if signals.said.output_words is None else signals.said.output_words
    if words is not None:
        return _OUTPUT(words)
    return 0 if max_tokens <= SHORT_MAX_TOKENS else 1


def _context(signals: Signals) -> int:
    if signals.said.context is not None:
        return LEVELS.index(signals.said.context)
    pieces = signals.documents + signals.images
    return max(_BYTES(signals.context_bytes), _TURNS(signals.turns), _PIECES(pieces))


def _reasoning(signals: Signals) -> int:
    if signals.said.reasoning is not None:
        return 2 * LEVELS.index(signals.said.reasoning)
    return 2 if signals.thinking else 0


def points(signals: Signals, max_tokens: int) -> dict[str, int]:
    """
    Give the points of each signal, before weights.
    """
    return {
        "output": _output(signals, max_tokens),
        "context": _context(signals),
        "reasoning": _reasoning(signals),
        "revision": _REVISION(signals.said.revision or 0),
        "code": min(signals.code_blocks, 1),
        "questions": _QUESTIONS(signals.questions),
        "tools": _TOOLS(signals.tools),
    }


def class_at(total: int, starts_at: tuple[int, ...] = STARTS_AT) -> Complexity:
    """
    Give the class that so many points make.
    """
    return _CLASSES[bisect_right(starts_at, total)]


def assess(
    signals: Signals,
    max_tokens: int,
    *,
    may_raise: bool,
    starts_at: tuple[int, ...] = STARTS_AT,
    weights: Mapping[str, int] | None = None,
) -> Assessed:
    """
    Find the class of a call.

    Args:
        may_raise: What the caller says may make the class higher than what is seen; without it only lower.
        weights: Factors of the points by signal, 1 where none is given, 0 turns a signal off.
    """
    silent = signals.said == _NOTHING_SAID
    unsaid = signals if silent else replace(signals, said=_NOTHING_SAID)
    seen_points = _counted(unsaid, max_tokens, weights)
    seen = class_at(sum(seen_points.values()), starts_at)
    if silent:
        return Assessed(seen, seen_points, seen)
    said_points = _counted(signals, max_tokens, weights)
    named = signals.said.complexity
    kind = class_at(sum(said_points.values()), starts_at) if named is None else Complexity(named)
    if kind.rank > seen.rank and not may_raise:
        return Assessed(seen, seen_points, seen, refused=True)
    return Assessed(kind, said_points, seen)


def _counted(signals: Signals, max_tokens: int, weights: Mapping[str, int] | None) -> dict[str, int]:
    """Weigh the points of each signal, and leave out those that have none."""
    given = points(signals, max_tokens)
    if weights:
        given = {name: count * weights.get(name, 1) for name, count in given.items()}
    return {name: count for name, count in given.items() if count}


def task_class(profile: Profile) -> str:
    """
    Name the calls that this one is counted with: those of its task, else of its class, else of what it asks.

    The thresholds are the packaged ones, so that counts keep their meaning when a policy moves its own.
    """
    if profile.task is not None:
        return profile.task
    if profile.signals is None:
        return profile.asked_model
    found = assess(profile.signals, profile.max_tokens, may_raise=profile.may_raise)
    return f"complexity:{found.kind}"
