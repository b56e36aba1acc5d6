"""
What an owner may promise with a trained classifier: for each promise the risk up to which calls may go to the
small tier, found on examples that neither parts nor mix were trained on.

The statistics are those of `router/threshold.py`; the risk is on the scale of `routing.learned.max_risk`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outlay.learned.familiar import Trial
from outlay.learned.parts import Seen
from router.learned import LearnedModel, risk
from router.threshold import choose_threshold

PROMISES: Final = (0.05, 0.10, 0.15, 0.20, 0.30)
"""Shares of the calls to the small tier that may fail at most."""
CONFIDENCE: Final = 0.95
FAILED_BELOW: Final = 0.5
"""An answer of a lower score is wrong, as in `outlay/scores_sql.py`."""

Rated = tuple[float | None, bool]
"""The risk of a call, None where it is foreign to the model; and whether it failed."""


def rated(
    model: LearnedModel, seen: Sequence[Seen], trials: Sequence[Trial], gains: Sequence[float]
) -> list[Rated]:
    """
    Rate each prompt once, so that one which is repeated counts as one call: failed if it ever failed.

    Args:
        model: Says what is foreign, as it will; what parts trained without a prompt know of its words counts.
        gains: Predicted without the prompt.
    """
    found: dict[str, Rated] = {}
    for one, trial, gain in zip(seen, trials, gains, strict=True):
        foreign = model.unlike(trial.coverage, one.shape, one.row.task_class)
        before = found.get(one.row.prompt)
        failed = one.row.weak < FAILED_BELOW <= one.row.strong or (before is not None and before[1])
        found[one.row.prompt] = None if foreign else risk(gain, trial.lost), failed
    return list(found.values())


def proposals(calls: Sequence[Rated]) -> list[Mapping[str, Any]]:
    """
    Propose the highest risk for each promise: among the calls up to it at most that share will fail.

    Returns:
        promise; state (proven, not_enough, infeasible); max_risk, None where nothing is proven; share of all
        calls that go to the small tier then; n of them that were judged, and how many failed.
    """
    familiar = [(score, failed) for score, failed in calls if score is not None]
    return [_proposal(familiar, len(calls), promise) for promise in PROMISES]


def _proposal(familiar: Sequence[tuple[float, bool]], calls: int, promise: float) -> Mapping[str, Any]:
    chosen = choose_threshold(familiar, promise, CONFIDENCE)
    return {
        "promise": promise,
        "confidence": CONFIDENCE,
        "state": str(chosen.status),
        "max_risk": chosen.score,
        "share": round(chosen.n / calls, 4),
        "n": chosen.n,
        "failed": chosen.failed,
    }
