"""
What traffic like that of the training looks like, so that a model knows where it says nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Final

from outlay.learned.parts import Seen
from router.learned import Parts
from router.prompt_shape import SHAPE

CLASS_COUNT_MIN: Final = 10
COVERAGE_SHARE: Final = 0.02
"""Share of prompts like the training's that may be taken for foreign by their words."""
SHAPE_SHARE: Final = 0.005
"""The same by one measure of their shape, at either end."""
OUTSIDE_SHARE: Final = 0.01
"""The same by the number of measures outside."""

_DECIMALS: Final = 10**6

OPEN_GUARD: Final[Mapping[str, Any]] = {
    "class_count_min": 0, "coverage_min": 0.0, "outside_max": len(SHAPE),
    "shape_low": [0.0] * len(SHAPE), "shape_high": [0.0] * len(SHAPE),
}  # fmt: skip
"""Lets everything pass, while parts are tried out."""


@dataclass(frozen=True, slots=True)
class Trial:
    """
    What parts that were trained without an example say of it.

    Attributes:
        lost: P(small right, large wrong) of its task class.
    """

    fold: int
    parts: Parts
    coverage: float
    lost: float


def guard_of(seen: Sequence[Seen], trials: Sequence[Trial]) -> dict[str, Any]:
    """
    Find the bounds that nearly every prompt like the training's keeps.
    """
    columns = list(zip(*(one.shape for one in seen), strict=True))
    low = [_quantile(column, SHAPE_SHARE) for column in columns]
    high = [_quantile(column, 1 - SHAPE_SHARE) for column in columns]
    outside = [
        sum(not a <= value <= b for value, a, b in zip(one.shape, low, high, strict=True)) for one in seen
    ]
    named = any(one.row.task_class for one in seen)  # without a task, all calls are of one class
    return {
        "class_count_min": CLASS_COUNT_MIN if named else 0,
        "coverage_min": _quantile([trial.coverage for trial in trials], COVERAGE_SHARE),
        "shape_low": low,
        "shape_high": high,
        "outside_max": int(_quantile(outside, 1 - OUTSIDE_SHARE)),
    }


def _quantile(values: Sequence[float], share: float) -> float:
    """Give the value at a share of the order, to six decimals; towards the outside in both."""
    to_outside = floor if share < 0.5 else ceil
    value = sorted(values)[to_outside((len(values) - 1) * share)]
    return to_outside(value * _DECIMALS) / _DECIMALS
