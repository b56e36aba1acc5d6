"""
Scores a prompt with a trained model: how much more often the large tier is right than the small one.

A model is text: numbers that `router/learned_read.py` checks and reads; nothing of it is ever run. It is
trained by `outlay/learned/train.py`. Scoring is plain Python over dictionaries and takes about a millisecond.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Final, TypeAlias

from router.prompt_shape import PLAIN, excerpt, shape, terms

Tree: TypeAlias = "float | tuple[int, float, Tree, Tree]"
"""A leaf is its value; a split is (feature, threshold, left, right) and goes left up to its threshold."""
Parts: TypeAlias = tuple[float, float, float]
"""What table, words and trees say of a prompt."""

CLASS_MEASURES: Final = ("class_weak", "class_strong", "class_gain")
"""What trees see of a task class, behind the measures of `router.prompt_shape.SHAPE`."""
NORMAL_MAX: Final = 4.0
"""A measure counts no more than so many standard deviations from its mean."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """
    What training found out about a task class.

    Attributes:
        weak, strong: How often the small and the large tier were right, shrunk to the mean of all classes.
        count: Rows of the class.
        weak_margin, strong_margin: What the class adds to the margins of the words.
    """

    weak: float
    strong: float
    count: int
    weak_margin: float
    strong_margin: float


@dataclass(frozen=True, slots=True)
class Words:
    """
    Two logistic regressions over the terms and the shape of a prompt: is the small tier right, is the large.

    Attributes:
        terms: By term its rarity, and its weights in the two regressions.
        shape: For the first measures the mean, what they are multiplied by after, and two weights.
    """

    weak_bias: float
    strong_bias: float
    terms: Mapping[str, tuple[float, float, float]]
    shape: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Blend:
    """
    How much each part says.
    """

    bias: float
    table: float
    words: float
    trees: float


@dataclass(frozen=True, slots=True)
class Guard:
    """
    What traffic like that of the training looks like.

    Attributes:
        class_count_min: Rows that a task class needs to count as known.
        coverage_min: Least share of a prompt's words and signs that training has seen.
        shape_low, shape_high: Where nearly all training prompts were, measure by measure.
        outside_max: How many measures may lie outside of that.
    """

    class_count_min: int
    coverage_min: float
    shape_low: tuple[float, ...]
    shape_high: tuple[float, ...]
    outside_max: int


@dataclass(frozen=True, slots=True)
class Scored:
    """
    What a model says of one prompt.

    Attributes:
        gain: P(large right) - P(small right), None where the prompt is unlike what it was trained on.
        risk: P(small wrong, large right), likewise.
        why: What is unlike, empty where nothing is.
        coverage: Share of the prompt's words and signs that training has seen.
    """

    gain: float | None
    risk: float | None
    why: str
    coverage: float


@dataclass(frozen=True, slots=True)
class LearnedModel:
    """
    A trained model, read from its text by `router.learned_read.read_model`.

    Attributes:
        trees: A forest over the shape of a prompt and its task class; its leaves are parts of the gain.
    """

    version: str
    base_weak: float
    base_strong: float
    classes: Mapping[str, TaskRow]
    blend: Blend
    guard: Guard
    words: Words | None
    trees: tuple[Tree, ...] | None

    def gain(self, prompt: str, task_class: str | None) -> float:
        """
        Give P(large right) - P(small right), however foreign the prompt is (`score` says whether it is).
        """
        text = excerpt(prompt)
        return self._gain(terms(text), shape(text), task_class)

    def score(self, prompt: str, task_class: str | None) -> Scored:
        """
        Give the gain of a prompt, unless it is unlike what the model was trained on.
        """
        text = excerpt(prompt)
        found, measures = terms(text), shape(text)
        coverage = self._coverage(found)
        why = self.unlike(coverage, measures, task_class)
        if why:
            return Scored(None, None, why, coverage)
        gain = self._gain(found, measures, task_class)
        return Scored(gain, risk(gain, self.lost(task_class)), why, coverage)

    def parts(self, prompt: str, task_class: str | None) -> Parts:
        """
        Give what each part says of a prompt; 0 where it is absent.
        """
        text = excerpt(prompt)
        return self._parts(terms(text), shape(text), task_class)

    def coverage(self, prompt: str) -> float:
        """
        Give the share of a prompt's words and signs that training has seen.
        """
        return self._coverage(terms(excerpt(prompt)))

    def lost(self, task_class: str | None) -> float:
        """
        Give P(small right, large wrong) of a task class, as if the two were right independently.
        """
        weak, strong = self._shares(task_class)
        return weak * (1 - strong)

    def unlike(self, coverage: float, measures: tuple[float, ...], task_class: str | None) -> str:
        """
        Say what is unlike the training in a prompt of this coverage and shape; empty where nothing is.
        """
        guard, row = self.guard, self.classes.get(task_class or "")
        seen = 0 if row is None else row.count
        if seen < guard.class_count_min:
            return f"task class {task_class!r} has {seen} of the {guard.class_count_min} examples it needs"
        if coverage < guard.coverage_min:
            return f"training knows {coverage:.0%} of the words, under {guard.coverage_min:.0%}"
        bounds = zip(measures, guard.shape_low, guard.shape_high, strict=True)
        outside = sum(not low <= value <= high for value, low, high in bounds)
        if outside > guard.outside_max:
            return f"measures of the prompt outside of training's: {outside}, over {guard.outside_max}"
        return ""

    def _gain(self, found: Sequence[str], measures: tuple[float, ...], task_class: str | None) -> float:
        table, words, trees = self._parts(found, measures, task_class)
        blend = self.blend
        gain = blend.bias + blend.table * table + blend.words * words + blend.trees * trees
        return max(-1.0, min(1.0, gain))

    def _parts(self, found: Sequence[str], measures: tuple[float, ...], task_class: str | None) -> Parts:
        row, (weak, strong) = self._row(task_class), self._shares(task_class)
        words = 0.0 if self.words is None else _words_gain(self.words, found, measures, row)
        inputs = (*measures, weak, strong, strong - weak)
        trees = 0.0 if self.trees is None else sum(_leaf(tree, inputs) for tree in self.trees)
        return strong - weak, words, trees

    def _row(self, task_class: str | None) -> TaskRow | None:
        return self.classes.get(task_class or "", self.classes.get(""))  # "": rows that named no task

    def _shares(self, task_class: str | None) -> tuple[float, float]:
        row = self._row(task_class)
        return (row.weak, row.strong) if row is not None else (self.base_weak, self.base_strong)

    def _coverage(self, found: Sequence[str]) -> float:
        singles = found[: (len(found) + 1) // 2]  # the words; their pairs follow
        if self.words is None or not singles:
            return 1.0
        return sum(term in self.words.terms for term in singles) / len(singles)


def risk(gain: float, lost: float) -> float:
    """
    Give P(small wrong, large right): the gain is that, less P(small right, large wrong).

    Rounded as decisions store it, so that a call at a threshold is on the same side of it everywhere.
    """
    return round(max(0.0, min(1.0, gain + lost)), 6)


def _words_gain(
    words: Words, found: Sequence[str], measures: tuple[float, ...], row: TaskRow | None
) -> float:
    """Weigh terms by how often they occur and how rare they are, as a vector of length 1."""
    weak = strong = square = 0.0
    for term, times in Counter(found).items():
        known = words.terms.get(term)
        if known is None:
            continue
        rarity, to_weak, to_strong = known
        value = rarity if times == 1 else rarity * (1.0 + log(times))
        square += value * value
        weak += value * to_weak
        strong += value * to_strong
    length = sqrt(square) or 1.0
    weak, strong = words.weak_bias + weak / length, words.strong_bias + strong / length
    for value, (mean, scale, to_weak, to_strong) in zip(measures[:PLAIN], words.shape, strict=True):
        normal = max(-NORMAL_MAX, min(NORMAL_MAX, (value - mean) * scale))
        weak += normal * to_weak
        strong += normal * to_strong
    weak_class, strong_class = (row.weak_margin, row.strong_margin) if row is not None else (0.0, 0.0)
    return _share(strong + strong_class) - _share(weak + weak_class)


def _leaf(tree: Tree, measures: tuple[float, ...]) -> float:
    while isinstance(tree, tuple):  # trees are read from their leaves upwards, so this ends
        feature, threshold, left, right = tree
        tree = left if measures[feature] <= threshold else right
    return tree


def _share(margin: float) -> float:
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, margin))))
