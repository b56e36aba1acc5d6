"""
Hints, which callers say beside the body of a call: read here, judged by the router.

They come as arguments in Python, as an object over HTTP, and as `outlay-*` headers of a call, to the gateway
or in process; what cannot be read is refused in the same words and under one code everywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypedDict

from outlay import fields
from outlay.errors import BadInput
from router.hints import canonical
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


INVALID: Final = str(RefusalCode.INVALID_HINT)
TAGS_MAX: Final = 20
PREFIX: Final = "outlay-"
KEY: Final = f"{PREFIX}idempotency-key"
BETA: Final = "anthropic-beta"
_KNOWN: Final = (*TEXT_HINTS, *NUMBER_HINTS, "pin", "tags")
_HEADERS: Final = {name: f"{PREFIX}{name.replace('_', '-')}" for name in _KNOWN}
HEADERS: Final = (*_HEADERS.values(), KEY)
"""Headers of Outlay that a caller may send."""
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


def hints_of(words: Mapping[str, object], at: str = "") -> Hints:
    """
    Read hints that are values.

    Args:
        at: What stands before a name in a refusal.
    Raises:
        BadInput: A name is unknown, or a value is of the wrong kind; what it means is judged later.
    """
    with _as_hints():
        for name in words:
            if name not in _KNOWN:
                fix = fields.close_name(str(name), _KNOWN) or f"Known are {', '.join(_KNOWN)}."
                raise BadInput(f"{at}{name}", words[name], "is no hint", fix)
        tags = words.get("tags")
        if not isinstance(tags, Mapping | None):
            raise BadInput(f"{at}tags", tags, "is no mapping", 'Give {"name": "value"}.')
        pairs = None if tags is None else tuple(tags.items())
        return Hints(**_read({**words, "tags": pairs}, lambda name: f"{at}{name}"))


def hints_heard(headers: Mapping[str, str]) -> dict[str, Any]:
    """
    Read the hints in the headers of a call, those that are given; an empty one says nothing.

    Args:
        headers: By their names in lower case.
    Returns:
        Fields of `Hints`.
    Raises:
        BadInput: A header looks like one of Outlay's and is none, or its value is malformed.
    """
    with _as_hints():
        check_headers(headers)
        texts = {name: headers.get(header, "").strip() for name, header in _HEADERS.items()}
        words = {name: _value(name, text) for name, text in texts.items() if text}
        return _read(words, _HEADERS.__getitem__)


def key_heard(headers: Mapping[str, str]) -> str | None:
    """
    Read the caller's own key for a call from its headers.

    Raises:
        BadInput: It is too long or holds unprintable characters.
    """
    text = headers.get(KEY, "").strip()
    with _as_hints():
        return fields.word(text, KEY) if text else None


def betas_heard(headers: Mapping[str, str]) -> frozenset[str]:
    """
    Read the names in `anthropic-beta`.
    """
    named = headers.get(BETA, "").split(",")
    return frozenset(name.strip() for name in named if name.strip())


def check_headers(names: Iterable[str]) -> None:
    """
    Refuse a header that would be one of Outlay's, but is none: what it was to say would be lost in silence.

    Args:
        names: Of a request's headers, in lower case.
    Raises:
        BadInput: Names the first such header, and the one that was probably meant.
    """
    for name in names:
        if name.startswith(PREFIX) and name not in HEADERS and name not in _OF_ANSWERS:
            fix = fields.close_name(name, HEADERS, prefix=PREFIX) or f"Known are {', '.join(HEADERS)}."
            raise BadInput(name, None, "is no header of Outlay", fix, code=INVALID)


@contextmanager
def _as_hints() -> Iterator[None]:
    """Give what is refused the code of hints."""
    try:
        yield
    except BadInput as error:
        error.code = INVALID
        raise


def _read(words: Mapping[str, Any], field: Callable[[str], str]) -> dict[str, Any]:
    """Check the hints that are given; *field* names one in a refusal."""
    given = {name: value for name, value in words.items() if value is not None}
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in TEXT_HINTS:
            found[name] = fields.word(value, field(name))
        elif name in NUMBER_HINTS:
            found[name] = fields.whole(value, field(name), 0, HINT_NUMBER_MAX)
        elif name == "pin":
            found[name] = fields.flag(value, field(name))
        else:
            found[name] = _tags(value, field(name))
    return found


def _value(name: str, text: str) -> object:
    """Read the text of a header as what its hint is; what cannot be stays as it is, to be refused."""
    if name in NUMBER_HINTS:
        return int(text) if text.isascii() and text.isdigit() and len(text) <= fields.NAME_MAX else text
    if name == "pin":
        return {"true": True, "false": False}.get(text.lower(), text)
    return _pairs(text) if name == "tags" else text


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for name, equals, value in pairs:
        if not name.strip() or not equals:
            fix = "Write name=value, separated by commas."
            raise BadInput(_HEADERS["tags"], f"{name}{equals}{value}".strip(), "is no tag", fix)
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def _tags(pairs: tuple[tuple[object, object], ...], field: str) -> tuple[tuple[str, str], ...]:
    """Check tags; the value of one may be empty."""
    if len(pairs) > TAGS_MAX:
        raise BadInput(field, len(pairs), "are too many tags", f"Use at most {TAGS_MAX}.")
    tags: dict[str, tuple[str, str]] = {}
    for given, text in pairs:
        name = fields.word(given, field)
        if canonical(name) in tags:
            raise BadInput(field, name, "is named twice", "Give each name of a tag one value.")
        tags[canonical(name)] = (name, "" if text == "" else fields.word(text, field))
    return tuple(tags.values())
