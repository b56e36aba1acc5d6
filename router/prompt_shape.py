"""
What a classifier sees of a prompt: its terms, and how it is built.

Training and scoring use the same two functions, so that a stored model means the same wherever it is read.
A long prompt is read at its beginning and end only: the time that scoring takes has a bound.
"""

import re
from collections.abc import Mapping
from itertools import combinations, pairwise
from math import log1p, sqrt
from typing import Any, Final

from router.shape import blocks, messages_of, role_of

HEAD_CHARS: Final = 4_000
TAIL_CHARS: Final = 2_000
COMPARED_ITEMS: Final = 8
"""So many items of a list are compared with each other."""

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
_FORMULA: Final = re.compile(r"[a-z][(]|\^|_[{]|\\")
_REASONING: Final = re.compile(r"\b(?:why|how|because|if|then|suppose|assume)\b", re.IGNORECASE)
_FIRST_PERSON: Final = re.compile(r"\bI\b")
_SUPERLATIVE: Final = re.compile(r"\b(?:best|most)\b", re.IGNORECASE)
_DIGIT: Final = re.compile(r"\d")
_DIGITS: Final = re.compile(r"\d+")
_UPPER: Final = re.compile(r"[A-Z]")
_SYMBOL: Final = re.compile(r"[^\w\s]")
_YEAR: Final = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_AMOUNT: Final = re.compile(r"[%$]")
_ROMAN: Final = re.compile(r"\b(?:II|III|IV)\b")
_ACRONYM: Final = re.compile(r"\b[A-Z]{2,}\b")

SHAPE: Final = (
    "length", "body_length", "lines", "digits", "capitals", "symbols", "ascii", "word_length", "long_words",
    "distinct_words", "questions", "sentences", "negations", "stressed", "maths", "quotes", "blanks",
    "first_person", "superlatives", "reasoning", "commas", "parentheses", "years", "amounts", "romans",
    "acronyms", "formulas", "longest_word",
    "items", "item_length", "item_longest", "item_shortest", "item_spread", "items_of_numbers",
    "items_of_one_word", "items_alike", "items_most_alike", "items_in_body", "items_above",
    "body_share", "body_names", "body_digits", "body_numbers", "body_asks", "body_leads", "body_states",
    "body_gap", "begins_which", "begins_what", "begins_how", "begins_case",
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
    return words + [f"{one} {two}" for one, two in pairwise(words)]


def shape(text: str) -> tuple[float, ...]:
    """
    Measure how a text is built, in the order of `SHAPE`.
    """
    first = _ITEM.search(text)
    items: list[str] = _ITEM.findall(text)
    body = text if first is None else text[: first.start()]
    return (*_whole(text, sum(map(len, items))), *_items(text, items, body), *_body(text, body))


def _whole(text: str, item_chars: int) -> tuple[float, ...]:
    chars = max(1, len(text))
    words = _LETTERS.findall(text)
    count = max(1, len(words))
    return (
        log1p(len(text)),
        log1p(len(text) - item_chars),
        float(min(text.count("\n"), 40)),
        _count(_DIGIT, text) / chars,
        _count(_UPPER, text) / chars,
        _count(_SYMBOL, text) / chars,
        float(text.isascii()),
        sum(map(len, words)) / count,
        sum(len(word) > 8 for word in words) / count,
        len({word.lower() for word in words}) / count,
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
        float(_count(_YEAR, text)),
        float(_count(_AMOUNT, text)),
        float(_count(_ROMAN, text)),
        float(_count(_ACRONYM, text)),
        float(_count(_FORMULA, text)),
        float(max(map(len, words), default=0)),
    )


def _items(text: str, items: list[str], body: str) -> tuple[float, ...]:
    """Measure a list of choices or points, and how alike its items are."""
    lengths = [len(item) for item in items] or [0]
    mean = sum(lengths) / len(lengths)
    spread = sqrt(sum((length - mean) ** 2 for length in lengths) / len(lengths))
    bags, body_bag = [_bag(item) for item in items[:COMPARED_ITEMS]], _bag(body)
    alike = [len(one & two) / max(1, len(one | two)) for one, two in combinations(bags, 2)] or [0.0]
    within = [len(bag & body_bag) / max(1, len(bag)) for bag in bags] or [0.0]
    return (
        float(min(len(items), 40)),
        log1p(mean),
        log1p(max(lengths)),
        log1p(min(lengths)),
        spread / (mean + 1),
        float(sum(_NUMBER.fullmatch(item) is not None for item in items)),
        float(sum(len(item.split()) == 1 for item in items)),
        sum(alike) / len(alike),
        max(alike),
        sum(within) / len(within),
        float(text.count("above")),
    )


def _body(text: str, body: str) -> tuple[float, ...]:
    """Measure what stands before a list, or all of a text that has none."""
    ended, begun = body.rstrip(), body.lstrip()[:10].lower()
    words = _LETTERS.findall(body)
    return (
        len(body) / max(1, len(text)),
        sum(word[0].isupper() for word in words[1:]) / max(1, len(words)),
        _count(_DIGIT, body) / max(1, len(body)),
        float(min(100, _count(_DIGITS, body))),
        float(ended.endswith("?")),
        float(ended.endswith(":")),
        float(ended.endswith(".")),
        float(ended.endswith("_")),
        float(begun.startswith("which")),
        float(begun.startswith("what")),
        float(begun.startswith("how")),
        float(begun.startswith(("a ", "an "))),
    )


def _bag(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _count(pattern: re.Pattern[str], text: str) -> int:
    return len(pattern.findall(text))


def newest_prompt(body: Mapping[str, Any]) -> str:
    """
    Give the text of the newest message of the user that has one; results of tools are none.
    """
    for message in reversed(messages_of(body)):
        text = _text(message) if role_of(message) == "user" else ""
        if text:
            return text
    return ""


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = (block.get("text") for block in blocks(message) if block.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))
