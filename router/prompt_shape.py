"""
What a classifier sees of a prompt: its terms, and how it is built.

Training and scoring use the same two functions, so that a stored model means the same wherever it is read.
A long prompt is read at its beginning and end only: the time that scoring takes has a bound.
"""

import re
from math import log1p
from typing import Final

HEAD_CHARS: Final = 4_000
TAIL_CHARS: Final = 2_000

_WORD: Final = re.compile(r"\w+|[^\w\s]")
_LETTERS: Final = re.compile(r"[A-Za-z']+")
_ITEM: Final = re.compile(r"^(?:[A-Za-z]|\d{1,2})[.)] (.*)$", re.MULTILINE)
_NUMBER: Final = re.compile(r"[-$+]?[\d.,/ ]+\W*\w{0,3}")
_SENTENCE: Final = re.compile(r"[.!?]\s")
_NEGATION: Final = re.compile(
    r"\b(?:not|except|never|no|least|none|false|incorrect|cannot)\b|n't\b", re.IGNORECASE
)
_STRESS: Final = re.compile(r"\b(?:NOT|EXCEPT|LEAST|MUST|ONLY)\b")
_MATHS: Final = re.compile(r"[=+*/^<>\\]")
_REASONING: Final = re.compile(r"\b(?:why|how|because|if|then|suppose|assume)\b", re.IGNORECASE)
_FIRST_PERSON: Final = re.compile(r"\bI\b")
_SUPERLATIVE: Final = re.compile(r"\b(?:best|most)\b", re.IGNORECASE)
_DIGIT: Final = re.compile(r"\d")
_UPPER: Final = re.compile(r"[A-Z]")
_SYMBOL: Final = re.compile(r"[^\w\s]")

SHAPE: Final = (
    "length", "body_length", "lines", "digits", "capitals", "symbols", "ascii", "word_length", "long_words",
    "distinct_words", "items", "item_length", "item_longest", "item_shortest", "items_of_numbers",
    "questions", "sentences", "negations", "stressed", "maths", "quotes", "blanks", "first_person",
    "superlatives", "reasoning", "commas", "parentheses",
)  # fmt: skip
"""Names of what `shape` measures, in its order; a model says which of them it was trained on."""


def excerpt(prompt: str) -> str:
    """
    Give the part of a prompt that is looked at: all of it, or its beginning and its end.
    """
    if len(prompt) <= HEAD_CHARS + TAIL_CHARS:
        return prompt
    return f"{prompt[:HEAD_CHARS]}\n{prompt[-TAIL_CHARS:]}"


def terms(text: str) -> list[str]:
    """
    List the words and signs of a text, then its pairs of neighbours; capitals count.
    """
    words = _WORD.findall(text)
    return words + [f"{one} {two}" for one, two in zip(words, words[1:], strict=False)]


def shape(text: str) -> tuple[float, ...]:
    """
    Measure how a text is built, in the order of `SHAPE`.
    """
    chars = max(1, len(text))
    words = _LETTERS.findall(text)
    count = max(1, len(words))
    items: list[str] = _ITEM.findall(text)
    lengths = [len(item) for item in items] or [0]
    return (
        log1p(len(text)),
        log1p(len(text) - sum(lengths)),
        float(min(text.count("\n"), 40)),
        _count(_DIGIT, text) / chars,
        _count(_UPPER, text) / chars,
        _count(_SYMBOL, text) / chars,
        float(text.isascii()),
        sum(map(len, words)) / count,
        sum(len(word) > 8 for word in words) / count,
        len({word.lower() for word in words}) / count,
        float(min(len(items), 40)),
        log1p(sum(lengths) / len(lengths)),
        log1p(max(lengths)),
        log1p(min(lengths)),
        float(sum(_NUMBER.fullmatch(item) is not None for item in items)),
        float(text.count("?")),
        float(min(30, _count(_SENTENCE, text))),
        float(_count(_NEGATION, text)),
        float(_count(_STRESS, text)),
        _count(_MATHS, text) / chars,
        float(text.count('"') + text.count("“")),
        float("__" in text),
        float(_count(_FIRST_PERSON, text)),
        float(_count(_SUPERLATIVE, text)),
        float(_count(_REASONING, text)),
        text.count(",") / chars,
        text.count("(") / chars,
    )


def _count(pattern: re.Pattern[str], text: str) -> int:
    return len(pattern.findall(text))
