"""
Hints as callers in process say them, beside the body of a call: read here, judged by the router.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

from outlay import fields
from outlay.errors import BadInput
from router.types import HINT_NUMBER_MAX, NUMBER_HINTS, TEXT_HINTS, Hints, RefusalCode


class HintWords(TypedDict, total=False):
    """
    What a caller may say about a call beside its body; the same as the gateway's `outlay-*` headers.
    """

    task: str | None
    role: str | None
    priority: str | None
    session: str | None
    privacy: str | None
    floor: str | None
    complexity: str | None
    output_words: int | None
    revision: int | None
    reasoning: str | None
    context: str | None
    pin: bool
    tags: Mapping[str, str] | None


_KNOWN = (*TEXT_HINTS, *NUMBER_HINTS, "pin", "tags")
_PREFIX: Final = "outlay-"
_HEADERS: Final = tuple(f"{_PREFIX}{name.replace('_', '-')}" for name in (*_KNOWN, "idempotency_key"))
_OF_ANSWERS: Final = frozenset(
    {
        "outlay-attempts",
        "outlay-budget-remaining-ratio",
        "outlay-charge-usd",
        "outlay-cost-usd",
        "outlay-credit-usd",
        "outlay-decision-id",
        "outlay-hold-cost-usd",
        "outlay-hold-usd",
        "outlay-model-asked",
        "outlay-model-served",
        "outlay-reason",
        "outlay-tier-asked",
        "outlay-tier-served",
    }
)
"""Headers of an answer, which mean nothing in a request: its caller has sent back what it was told."""


def hints_of(words: Mapping[str, object]) -> Hints:
    """
    Read hints.

    Raises:
        BadInput: A name is unknown, or a value is of the wrong kind; what it means is judged later.
    """
    for name in words:
        if name not in _KNOWN:
            fix = fields.close_name(name, _KNOWN) or f"Known are {', '.join(_KNOWN)}."
            raise BadInput(name, words[name], "is no hint", fix)
    pin = fields.flag(words.get("pin", False), "pin")
    return Hints(**read_hints(words), pin=pin, tags=_tags(words.get("tags")))


def check_headers(names: Iterable[str]) -> None:
    """
    Refuse a header that would be one of Outlay's, but is none: what it was to say would be lost in silence.

    Args:
        names: Of a request's headers, in lower case.
    Raises:
        BadInput: Names the first such header, and the one that was probably meant.
    """
    for name in names:
        if name.startswith(_PREFIX) and name not in _HEADERS and name not in _OF_ANSWERS:
            fix = fields.close_name(name, _HEADERS, prefix=_PREFIX) or f"Known are {', '.join(_HEADERS)}."
            raise BadInput(name, None, "is no header of Outlay", fix, code=str(RefusalCode.INVALID_HINT))


def read_hints(words: Mapping[str, object], at: str = "") -> dict[str, Any]:
    """
    Read the hints that are texts or numbers, those that are given.

    Args:
        at: What stands before a name in a refusal.
    Raises:
        BadInput: A value is of the wrong kind.
    """
    given = {name: value for name, value in words.items() if value is not None}
    texts: dict[str, Any] = {
        name: fields.word(given[name], f"{at}{name}") for name in TEXT_HINTS if name in given
    }
    numbers: dict[str, Any] = {
        name: fields.whole(given[name], f"{at}{name}", 0, HINT_NUMBER_MAX)
        for name in NUMBER_HINTS
        if name in given
    }
    return {**texts, **numbers}


def _tags(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise BadInput("tags", value, "is no mapping", 'Give {"name": "value"}.')
    return tuple(
        sorted((fields.word(name, "tags"), fields.word(text, f"tags.{name}")) for name, text in value.items())
    )
