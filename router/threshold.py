"""
Chooses how high a score may be for a call to go to the small tier, so that a promise about failures is kept.

A threshold that merely did well on the calibration data breaks its promise in half of all cases: it was
picked for its luck. So candidates are tried in an order that is fixed before anything is known of failures,
and a walk ends at the first that fails; and each is held to what the next calls will show, not only to their
long-run rate. Why: docs/decisions/0020-calibration.md.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp, lgamma
from typing import Final

from router.gate import GateStatus

STARTS: Final = (0.1, 0.4)
"""Shares of the calls at which a walk begins; the confidence is divided among the walks."""
STEP: Final = 0.05
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Threshold:
    """
    The most that a call may score to go to the small tier.

    Args:
        score: None where no threshold is proven.
        n, failed: Calibration calls up to it, and how many of them failed.
        share: Those calls as a share of all.
    """

    status: GateStatus
    score: float | None = None
    n: int = 0
    failed: int = 0
    share: float = 0.0


def choose_threshold(rated: Sequence[tuple[float, bool]], alpha: float, confidence: float) -> Threshold:
    """
    Choose the highest threshold that keeps the promise: among as many calls below it as there were, at most
    the share alpha will fail.

    Args:
        rated: Score of each calibration call, low for one that the small tier probably serves as well, and
            whether it failed there.
    Returns:
        Also whether more calls may yet prove one (not enough evidence), as few enough failed at the share
        where a walk begins, or too many failed there (infeasible): so they do for every smaller alpha.
    """
    calls = len(rated)
    delta = (1 - confidence) / len(STARTS)
    least = _least(calls, alpha, delta)
    ordered = sorted(rated)
    scores = [score for score, _ in ordered]
    failures = list(accumulate((failed for _, failed in ordered), initial=0))
    best, may_be = 0, calls == 0
    for start in (max(1, round(share * calls)) for share in STARTS if calls > 0):
        n = bisect_right(scores, scores[start - 1])
        may_be = may_be or failures[n] <= alpha * n + _ROUNDING
        for place in () if least is None else _places(max(least, start), calls):
            n = bisect_right(scores, scores[place - 1])
            if not kept_ahead(n, failures[n], alpha, delta):
                break
            best = max(best, n)
    if best == 0:  # few enough failed at a start, but so few calls do not prove it; or more failed
        return Threshold(GateStatus.NOT_ENOUGH if may_be else GateStatus.INFEASIBLE)
    return Threshold(GateStatus.PROVEN, scores[best - 1], best, failures[best], best / calls)


def kept_ahead(n: int, failed: int, alpha: float, delta: float) -> bool:
    """
    Tell whether the next n calls keep the promise, given that `failed` of n calls failed.

    Source:
        If the next n calls broke it, with y > alpha n failures at the least, all 2n calls would have
        failed + y, and so few of them had fallen into the first half by chance: hypergeometric, exact.
    """
    broken = int(alpha * n + _ROUNDING) + 1
    return broken <= n and few_by_chance(failed, failed + broken, n) <= delta


def few_by_chance(seen: int, total: int, n: int) -> float:
    """
    Return the chance that at most `seen` of `total` failures among 2n calls are in a random half of them.
    """
    if total > 2 * n:
        return 0.0
    term = exp(_log_choose(n, seen) + _log_choose(n, total - seen) - _log_choose(2 * n, total))
    chance = term
    for k in range(seen, max(0, total - n), -1):
        term *= k * (n - total + k) / ((n - k + 1) * (total - k + 1))
        chance += term
    return min(chance, 1.0)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _least(calls: int, alpha: float, delta: float) -> int | None:
    """Count the calls that prove the promise if none of them fails; None where there are not so many."""
    return next((n for n in range(1, calls + 1) if kept_ahead(n, 0, alpha, delta)), None)


def _places(start: int, calls: int) -> Iterator[int]:
    """Give the walk: how many calls stand at or below each candidate, all of them at last."""
    step = max(1, round(STEP * calls))
    yield from range(start, calls, step)
    yield calls
