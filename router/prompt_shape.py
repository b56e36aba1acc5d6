"""
What a classifier sees of a prompt: its terms, and how it is built.

Training and scoring use the same two functions, so that a stored model means the same wherever it is read.
A long prompt is read at its beginning and end only: the time that scoring takes has a bound.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from math import log1p, sqrt
from typing import Any, Final

from router.shape import blocks, messages_of, role_of

HEAD_CHARS: Final = 4_000
TAIL_CHARS: Final = 2_000
COMPARED_ITEMS: Final = 8
"""So many items of a list are compared with each other."""
COMPARED_VALUES: Final = 50
VALUE_CHARS: Final = 15
"""So many digits of a number count."""

_WORD: Final = re.compile(r"\w+|[^\w\s]")
_LETTERS: Final = re.compile(r"[A-Za-z']+")
_ITEM: Final = re.compile(r"^(?:[A-Za-z]|\d{1,2})[.)] (.*)$", re.MULTILINE)
_NUMBER: Final = re.compile(r"[-$+]?[\d.,/ ]+\W*\w{0,3}")
_SENTENCE: Final = re.compile(r"[.!?]\s")
_TOKEN: Final = re.compile(r"\w+")
_NOT: Final = re.compile(r"n't\b", re.IGNORECASE)
_STRESS: Final = re.compile(r"\b(?:NOT|EXCEPT|LEAST|MUST|ONLY)\b")
_MATHS: Final = re.compile(r"[=+*/^<>\\]")
_FORMULA: Final = re.compile(r"[a-z][(]|\^|_[{]|\\")
_FIRST_PERSON: Final = re.compile(r"\bI\b")
_DIGIT: Final = re.compile(r"\d")
_DIGITS: Final = re.compile(r"\d+")
_UPPER: Final = re.compile(r"[A-Z]")
_SYMBOL: Final = re.compile(r"[^\w\s]")
_YEAR: Final = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_AMOUNT: Final = re.compile(r"[%$]")
_ROMAN: Final = re.compile(r"\b(?:II|III|IV)\b")
_ACRONYM: Final = re.compile(r"\b[A-Z]{2,}\b")
_VALUE: Final = re.compile(r"\d+(?:\.\d+)?")
_DECIMAL: Final = re.compile(r"\d\.\d")
_TRUTH: Final = re.compile(r"\b(?:true|false)\b", re.IGNORECASE)
_ENDING: Final = re.compile(r"\w{4}(?:tion|sion|ment|ness|ity|ism|ance|ence)s?\b")
_SENTENCE_END: Final = re.compile(r"[.?!:]\s")

# Looked up among the tokens, which takes a fraction of the time of searching the text for each of them.
_NEGATIONS: Final = ("not", "except", "never", "no", "least", "none", "false", "incorrect", "cannot")
_REASONING: Final = ("why", "how", "because", "if", "then", "suppose", "assume")
_SUPERLATIVES: Final = ("best", "most")
_SMALL: Final = (
    "the", "of", "a", "an", "in", "to", "and", "is", "that", "for", "with", "as", "by", "on", "are", "be",
    "or", "it", "at", "from",
)  # fmt: skip

SHAPE: Final = (
    "length", "body_length", "lines", "digits", "capitals", "symbols", "ascii", "word_length", "long_words",
    "distinct_words", "questions", "sentences", "negations", "stressed", "maths", "quotes", "blanks",
    "first_person", "superlatives", "reasoning", "commas", "parentheses", "years", "amounts", "romans",
    "acronyms", "formulas", "longest_word",
    "items", "item_length", "item_longest", "item_shortest", "item_spread", "items_of_numbers",
    "items_of_one_word", "items_alike", "items_most_alike", "items_in_body", "items_above",
    "body_share", "body_names", "body_digits", "body_numbers", "body_asks", "body_leads", "body_states",
    "body_gap", "begins_which", "begins_what", "begins_how", "begins_case",
    "items_distinct", "items_begin_alike", "items_end_alike", "items_true_false", "items_commas",
    "items_capital", "items_ended", "items_digits", "items_symbols", "items_word_length",
    "items_longest_word", "items_lead", "items_largest", "items_range", "body_largest",
    "body_distinct_numbers", "decimals", "small_words", "endings", "first_sentence",
)  # fmt: skip
"""Names of what `shape` measures, in its order; a model says which of them it was trained on."""
PLAIN: Final = SHAPE.index("items_distinct")
"""So many of them, the first, go into the regressions too; the others say something to trees only."""


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
    tokens = Counter(_TOKEN.findall(text.lower()))
    whole, listed = _whole(text, tokens, sum(map(len, items))), _items(text, items, body)
    style = _style(text, tokens, body)
    return (*whole, *listed, *_body(text, body), *_choices(items), *_values(items, body), *style)


def _whole(text: str, tokens: Mapping[str, int], item_chars: int) -> tuple[float, ...]:
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
        float(_times(_NEGATIONS, tokens) + _count(_NOT, text)),
        float(_count(_STRESS, text)),
        _count(_MATHS, text) / chars,
        float(text.count('"') + text.count("“")),
        float("__" in text),
        float(_count(_FIRST_PERSON, text)),
        float(_times(_SUPERLATIVES, tokens)),
        float(_times(_REASONING, tokens)),
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


def _choices(items: list[str]) -> tuple[float, ...]:
    """Measure what the items of a list have in common, and what they are made of."""
    count, listed = max(1, len(items)), "\n".join(items)
    words, chars = _LETTERS.findall(listed), max(1, len(listed))
    said = [_LETTERS.findall(item.lower()) for item in items[:COMPARED_ITEMS]]
    split = [item.lower().split() for item in items if item.strip()]
    longest, second = sorted((0, 0, *map(len, items)), reverse=True)[:2]
    return (
        len({word for one in said for word in one}) / max(1, sum(len(set(one)) for one in said)),
        _repeated([one[0] for one in split]),
        _repeated([one[-1] for one in split]),
        float(_count(_TRUTH, listed)),
        float(min((item.count(",") for item in items), default=0)),
        sum(item[:1].isupper() for item in items) / count,
        sum(item.rstrip().endswith(".") for item in items) / count,
        _count(_DIGIT, listed) / chars,
        _count(_SYMBOL, listed) / chars,
        sum(map(len, words)) / max(1, len(words)),
        float(max(map(len, words), default=0)),
        log1p(longest) - log1p(second),
    )


def _repeated(words: list[str]) -> float:
    return 1 - len(set(words)) / len(words) if words else 0.0


def _values(items: list[str], body: str) -> tuple[float, ...]:
    """Measure the numbers in a list and before it by their size."""
    listed, before = _sizes("\n".join(items)), _sizes(body)
    largest = max(listed, default=0.0)
    return largest, largest - min(listed, default=0.0), max(before, default=0.0), float(len(set(before)))


def _sizes(text: str) -> list[float]:
    return [log1p(float(found[:VALUE_CHARS])) for found in _VALUE.findall(text)[:COMPARED_VALUES]]


def _style(text: str, tokens: Mapping[str, int], body: str) -> tuple[float, ...]:
    """Measure how learned a text sounds."""
    words = max(1, len(_LETTERS.findall(text)))
    end = _SENTENCE_END.search(body.lstrip())
    return (
        float(_count(_DECIMAL, text)),
        _times(_SMALL, tokens) / words,
        _count(_ENDING, text) / words,
        log1p(len(body.strip()) if end is None else end.start()),
    )


def _bag(text: str) -> frozenset[str]:
    return frozenset(_TOKEN.findall(text.lower()))


def _times(words: Sequence[str], tokens: Mapping[str, int]) -> int:
    return sum(tokens.get(word, 0) for word in words)


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
