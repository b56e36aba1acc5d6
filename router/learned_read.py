"""
Reads the text of a trained model: every size, type and range is checked, and a bad file is refused with the
field named. It is JSON, so nothing of it can run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

from router.learned import CLASS_MEASURES, Blend, Guard, LearnedModel, TaskRow, Tree, Words
from router.prompt_shape import PLAIN, SHAPE

FORMAT: Final = 1
TEXT_MAX: Final = 8_000_000
"""Longest text of a model, in characters."""
TERMS_MAX: Final = 60_000
CLASSES_MAX: Final = 5_000
TREES_MAX: Final = 500
NODES_MAX: Final = 119
NAME_MAX: Final = 300
MEASURES: Final = len(SHAPE) + len(CLASS_MEASURES)


class LearnedError(ValueError):
    """
    Text that is no trained model; the message begins with the field.
    """


def read_model(text: str) -> LearnedModel:
    """
    Read a trained model.

    Raises:
        LearnedError: The text is no model, or one of another format.
    """
    if len(text) > TEXT_MAX:
        raise LearnedError(f"text: {len(text)} characters, over {TEXT_MAX}")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LearnedError(f"text: not JSON ({error})") from error
    top = _table(raw, "text", ("format", "shape", "base", "classes", "blend", "guard", "words", "trees"))
    if top["format"] != FORMAT or isinstance(top["format"], bool):
        raise LearnedError(f"format: {str(top['format'])[:40]} is not {FORMAT}; train it again")
    if top["shape"] != list(SHAPE):
        raise LearnedError("shape: other measures of a prompt than this version takes; train it again")
    base = _numbers(top["base"], "base", 2)
    return LearnedModel(
        version=version_of(text),
        base_weak=base[0],
        base_strong=base[1],
        classes=_classes(top["classes"]),
        blend=Blend(*_numbers(top["blend"], "blend", 4)),
        guard=_guard(top["guard"]),
        words=None if top["words"] is None else _words(top["words"]),
        trees=None if top["trees"] is None else _forest(top["trees"]),
    )


def version_of(text: str) -> str:
    """
    Name a model by its text: the same weights have the same name everywhere.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _classes(raw: Any) -> Mapping[str, TaskRow]:
    rows = _mapping(raw, "classes", CLASSES_MAX)
    return {name: _task_row(row, f"classes.{name[:40]}") for name, row in rows.items()}


def _task_row(raw: Any, where: str) -> TaskRow:
    weak, strong, count, weak_margin, strong_margin = _numbers(raw, where, 5)
    if not (0 <= weak <= 1 and 0 <= strong <= 1 and 0 <= count == int(count)):
        raise LearnedError(f"{where}: shares are 0 to 1 and a count is whole")
    return TaskRow(weak, strong, int(count), weak_margin, strong_margin)


def _guard(raw: Any) -> Guard:
    names = ("class_count_min", "coverage_min", "shape_low", "shape_high", "outside_max")
    table = _table(raw, "guard", names)
    count, coverage, outside = _numbers([table[names[0]], table[names[1]], table[names[4]]], "guard", 3)
    low = _numbers(table["shape_low"], "guard.shape_low", len(SHAPE))
    high = _numbers(table["shape_high"], "guard.shape_high", len(SHAPE))
    return Guard(int(count), coverage, low, high, int(outside))


def _words(raw: Any) -> Words:
    table = _table(raw, "words", ("bias", "terms", "shape"))
    weak, strong = _numbers(table["bias"], "words.bias", 2)
    known = _mapping(table["terms"], "words.terms", TERMS_MAX)
    terms = {name: _term(row, name) for name, row in known.items()}
    return Words(weak, strong, terms, _measures(table["shape"]))


def _measures(raw: Any) -> tuple[tuple[float, float, float, float], ...]:
    rows = _list(raw, "words.shape", PLAIN)
    if len(rows) != PLAIN:
        raise LearnedError(f"words.shape: {len(rows)} rows, not one for each of {PLAIN} measures")
    return tuple(_measure(row, f"words.shape[{place}]") for place, row in enumerate(rows))


def _measure(raw: Any, where: str) -> tuple[float, float, float, float]:
    mean, scale, weak, strong = _numbers(raw, where, 4)
    return mean, scale, weak, strong


def _term(raw: Any, name: str) -> tuple[float, float, float]:
    rarity, weak, strong = _numbers(raw, f"words.terms.{name[:40]}", 3)
    return rarity, weak, strong


def _forest(raw: Any) -> tuple[Tree, ...]:
    trees = _list(raw, "trees", TREES_MAX)
    return tuple(_tree(tree, f"trees[{place}]") for place, tree in enumerate(trees))


def _tree(raw: Any, where: str) -> Tree:
    nodes = _list(raw, where, NODES_MAX)
    if not nodes:
        raise LearnedError(f"{where}: a tree has at least one node")
    behind: dict[float, Tree] = {}
    for place in reversed(range(len(nodes))):
        behind[place] = _node(nodes[place], behind, f"{where}[{place}]")
    return behind[0]


def _node(raw: Any, behind: Mapping[float, Tree], where: str) -> Tree:
    if isinstance(raw, list) and len(raw) == 1:
        return _numbers(raw, where, 1)[0]
    feature, threshold, left, right = _numbers(raw, where, 4)
    if not (0 <= feature < MEASURES and feature == int(feature)):
        raise LearnedError(f"{where}: feature {feature} is not one of {MEASURES}")
    if left not in behind or right not in behind:
        raise LearnedError(f"{where}: children stand behind their parent, within the tree")
    return int(feature), threshold, behind[left], behind[right]


def _table(raw: Any, where: str, names: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or set(raw) != set(names):
        raise LearnedError(f"{where}: a table of {', '.join(names)} is expected")
    return raw


def _mapping(raw: Any, where: str, size_max: int) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or len(raw) > size_max or any(len(name) > NAME_MAX for name in raw):
        raise LearnedError(f"{where}: a table of at most {size_max} names is expected")
    return raw


def _list(raw: Any, where: str, size_max: int) -> Sequence[Any]:
    if not isinstance(raw, list) or len(raw) > size_max:
        raise LearnedError(f"{where}: a list of at most {size_max} is expected")
    return raw


def _numbers(raw: Any, where: str, count: int) -> tuple[float, ...]:
    if not isinstance(raw, list) or len(raw) != count:
        raise LearnedError(f"{where}: a list of {count} numbers is expected")
    for value in raw:
        if type(value) not in (int, float) or abs(value) > 1e12 or not isfinite(value):
            raise LearnedError(f"{where}: {str(value)[:40]} is not a number of a sensible size")
    return tuple(float(value) for value in raw)
