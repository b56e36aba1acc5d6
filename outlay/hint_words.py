"""
Hints as callers in process say them, beside the body of a call: read here, judged by the router.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from outlay import fields
from outlay.errors import BadInput
from router.types import HINT_NUMBER_MAX, NUMBER_HINTS, TEXT_HINTS, Hints


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
