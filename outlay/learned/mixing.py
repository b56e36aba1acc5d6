"""
How much each part of the classifier says: one of a few mixes, chosen on prompts that the parts do not know.

A free fit of the weights follows the noise of single rows and ranked worse on data it had not seen
(docs/decisions/0019-learned-classifier.md).
"""

from collections.abc import Sequence
from typing import Final

from outlay.learned.examples import Example, ranking
from outlay.learned.familiar import Trial
from router.learned import Parts

MIXES: Final[tuple[Parts, ...]] = (
    (0.0, 0.25, 0.75),
    (0.0, 0.5, 0.5),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (0.5, 0.15, 0.35),
    (1.0, 0.0, 0.0),
)
"""Weights of table, words and trees, the best first where nothing tells them apart."""


def blend(trials: Sequence[Trial], rows: Sequence[Example]) -> tuple[float, ...]:
    """
    Give the bias and the weights of the parts, so that the sum is a gain in the share of right answers.
    """
    mix = _best(trials, rows)
    bias, slope = _line([_mixed(mix, trial) for trial in trials], rows)
    return tuple(round(value, 6) for value in (bias, *(slope * part for part in mix)))


def honest(trials: Sequence[Trial], rows: Sequence[Example]) -> list[float]:
    """
    Predict each fold with parts and a mix that know nothing of it.
    """
    mixes = {}
    for fold in {trial.fold for trial in trials}:
        others = [place for place, trial in enumerate(trials) if trial.fold != fold]
        mixes[fold] = _best([trials[place] for place in others], [rows[place] for place in others])
    return [_mixed(mixes[trial.fold], trial) for trial in trials]


def as_gains(mixed: Sequence[float], rows: Sequence[Example]) -> list[float]:
    """
    Bring predictions to the scale of a model: gains in the share of right answers.
    """
    bias, slope = _line(mixed, rows)
    return [max(-1.0, min(1.0, bias + slope * value)) for value in mixed]


def _line(mixed: Sequence[float], rows: Sequence[Example]) -> tuple[float, float]:
    """Fit bias and slope of the gains on what the parts say; it never turns their order around."""
    gains = [row.strong - row.weak for row in rows]
    middle, mean = sum(mixed) / len(mixed), sum(gains) / len(gains)
    spread = sum((value - middle) ** 2 for value in mixed)
    together = sum((value - middle) * (gain - mean) for value, gain in zip(mixed, gains, strict=True))
    slope = max(0.0, together / spread) if spread > 0 else 0.0
    return mean - slope * middle, slope


def _best(trials: Sequence[Trial], rows: Sequence[Example]) -> Parts:
    """Choose the mix that ranks best; the first where the large tier is no better than the small one."""

    def area(mix: Parts) -> float:
        found = ranking([_mixed(mix, trial) for trial in trials], rows)
        return 0.0 if found is None else round(found.apgr, 6)

    return max(MIXES, key=area)


def _mixed(mix: Parts, trial: Trial) -> float:
    return sum(weight * part for weight, part in zip(mix, trial.parts, strict=True))
