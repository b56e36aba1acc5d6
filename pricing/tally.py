"""
The running counts of a scan, and the small readers that refuse wrong shapes.

How text and JSON become an upper bound of tokens is decided here; why that bound holds is explained in
`bound.py`.
"""

import json
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from pricing.media import Effort

_HANGUL = (0xAC00, 0xD7A4)
_DECOMPOSED_END = 0x30000  # Unicode decomposes no character from here on; a test holds this module to it
_UNBOUNDED_NAMED = 20
_SHOWN_CHARS = 200
_BLOCK_CHARS = 65_536  # read at a time, so that a long text takes no multiple of its size in memory


class RequestInvalid(ValueError):  # noqa: N818 reads better without a suffix
    """
    The body is not a Messages API request: names the field, the value and the fix.
    """

    def __init__(self, field: str, value: object, fix: str) -> None:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:60] + "…"
        super().__init__(f"{field}: {shown}: {fix}")
        self.field = field
        self.value = None if value is None else shown
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Unbounded:
    """
    A part of the request whose cost has no bound, and why.
    """

    field: str
    why: str


@dataclass(frozen=True, slots=True)
class Fallback:
    """
    One hop of server-side fallbacks; None means as in the request.
    """

    model: str
    max_tokens: int | None
    speed: str | None


@dataclass(slots=True)
class Part:
    """
    Running counts of one section: the worst case in tokens, and the bytes that a typical estimate goes by.
    """

    tokens: int = 0
    typical_bytes: int = 0


@dataclass(slots=True)
class Tally:
    """
    What the scan has found so far.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    here: Part = field(default_factory=Part)
    images: list[int | None] = field(default_factory=list)
    pdf_pages: int = 0
    pdf_unreadable: int = 0
    pdf_effort: Effort = field(default_factory=Effort)
    cache_ttl: str = "none"
    searches_max: int = 0
    samplings: int = 1
    unbounded: list[Unbounded] = field(default_factory=list)
    unbounded_more: int = 0

    def enter(self, name: str) -> None:
        """
        Count what follows under this section.
        """
        self.here = self.parts.setdefault(name, Part())

    def text(self, text: str) -> None:
        """
        Count text: at most one token per byte, of the text as sent or as any normal form would expand it.
        """
        size, worst = _text_bytes(text)
        self.here.tokens += worst
        self.here.typical_bytes += size

    def json(self, value: object, at: str) -> None:
        """
        Count a value by its JSON in ASCII, the longest common form (an escaped character is six bytes or
        more).
        """
        try:
            dumped = json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise RequestInvalid(at, type(value).__name__, f"not plain JSON: {error}") from error
        if '"cache_control"' in dumped:
            self.cache("1h" if '"1h"' in dumped else "5m")
        size = worst = len(dumped)
        if "\\u" in dumped:
            size, worst = _text_bytes(json.dumps(value, ensure_ascii=False))
        self.here.tokens += max(worst, len(dumped))
        self.here.typical_bytes += size

    def tokens(self, count: int) -> None:
        """
        Count tokens that the provider adds around the content.
        """
        self.here.tokens += count

    def cache(self, ttl: str) -> None:
        """
        Note a cache write; the dearest time to live in the body is the one that counts.
        """
        if self.cache_ttl != "1h":
            self.cache_ttl = ttl

    def no_bound(self, at: str, why: str) -> None:
        """
        Note a part without a bound; the first ones by name, cut to a length that fits a record.
        """
        if len(self.unbounded) < _UNBOUNDED_NAMED:
            self.unbounded.append(Unbounded(_cut(at), _cut(why)))
        else:
            self.unbounded_more += 1

    def without_bound(self) -> tuple[Unbounded, ...]:
        """
        Return the parts without a bound; what is not named stands as a number at the end.
        """
        if self.unbounded_more == 0:
            return tuple(self.unbounded)
        return (*self.unbounded, Unbounded("(more)", f"and {self.unbounded_more} more parts without a bound"))


@dataclass(frozen=True, slots=True)
class Surface:
    """
    What of the API is known to be bounded.
    """

    fields: frozenset[str]
    betas: frozenset[str]
    json_blocks: frozenset[str]
    client_tools: Mapping[str, int] = field(hash=False)
    unbounded_tools: Mapping[str, str] = field(hash=False)


@cache
def surface() -> Surface:
    """
    Read the packaged data once.
    """
    raw = tomllib.loads(files("pricing").joinpath("data/surface.toml").read_text("utf-8"))
    return Surface(
        fields=frozenset(raw["fields"]),
        betas=frozenset(raw["betas"]),
        json_blocks=frozenset(raw["json_blocks"]),
        client_tools=raw["client_tools"],
        unbounded_tools=raw["unbounded_tools"],
    )


def whole(value: object, at: str) -> int:
    """
    Read a whole number >= 0.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RequestInvalid(at, value, "expected a whole number >= 0")
    return value


def note_cache_control(tally: Tally, fields: Mapping[str, object], at: str) -> None:
    """
    Note the cache write that an object of the body asks for.
    """
    control = fields.get("cache_control")
    if control is None:
        return
    ttl = as_object(control, f"{at}cache_control").get("ttl")
    if ttl not in (None, "5m", "1h"):
        tally.no_bound(f"{at}cache_control.ttl", f'cache writes for "{ttl}" have no known price')
        return
    tally.cache("1h" if ttl == "1h" else "5m")


def as_object(value: object, at: str) -> Mapping[str, object]:
    """
    Read an object.
    """
    if not isinstance(value, Mapping):
        raise RequestInvalid(at, value, "expected an object")
    return value


def as_list(value: object, at: str) -> list[object] | tuple[object, ...]:
    """
    Read a list.
    """
    if not isinstance(value, list | tuple):
        raise RequestInvalid(at, value, "expected a list")
    return value


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


def _text_bytes(text: str) -> tuple[int, int]:
    """Return the UTF-8 bytes of a text as sent, and the most that any of its normal forms can have."""
    if text.isascii():
        return len(text), len(text)
    size = len(text.encode("utf-8", "surrogatepass"))
    growing, growth = _growth()
    blocks = (text[start : start + _BLOCK_CHARS] for start in range(0, len(text), _BLOCK_CHARS))
    return size, size + sum(growth[char] for block in blocks for char in growing.findall(block))


@cache
def _growth() -> tuple[re.Pattern[str], dict[str, int]]:
    """
    Return the characters that a normal form lengthens, and the bytes that it adds at most to each.

    Decomposing goes character by character and composing never adds a byte, so their sum bounds each normal
    form of a whole text, in linear time; to normalise the text itself is quadratic in runs of marks.

    Syllables of Hangul are left out: nothing keeps a composing form from putting them together again, no
    tokenizer reads decomposed text, and three times the money would be held for every Korean prompt.
    """
    growth = {}
    for char in map(chr, (*range(0x80, _HANGUL[0]), *range(_HANGUL[1], _DECOMPOSED_END))):
        if (decomposed := unicodedata.normalize("NFKD", char)) != char:
            forms = (decomposed, *(unicodedata.normalize(form, char) for form in ("NFC", "NFD", "NFKC")))
            if (added := max(map(_utf8, forms)) - _utf8(char)) > 0:
                growth[char] = added
    return re.compile(f"[{''.join(growth)}]"), growth


def _utf8(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
