"""
Decides whether scores prove that cheaper answers are good enough: so many fail at most, at such a confidence.

The bound is Clopper and Pearson's, exact for any number of calls. Nothing is proven by too few calls, and
what other tenants have seen can only delay a proof, never give one. It counts nothing itself: the shell does
(`outlay/evidence.py`).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from router.beta import beta_cdf
from router.types import Counts, Evidence, Reason, ReasonCode

if TYPE_CHECKING:
    from router.policy_calibration import Calibration

_HALVINGS: Final = 40
_NEEDED_MAX: Final = 1_000_000
_NOTHING: Final = Counts()
_ROUNDING: Final = 1e-12


class GateStatus(StrEnum):
    """
    What the scores of a task class amount to.
    """

    PROVEN = "proven"
    NOT_ENOUGH = "not_enough"
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, slots=True)
class GateState:
    """
    What the scores prove, and the numbers that decided it.

    Args:
        n, failed: Scored downgraded calls, and how many failed; sums of weights.
        rate: Share that failed; 0 without calls.
        bound: Share that may fail at most, at the confidence asked for; 1 without calls.
        needed: More calls, none of which fails, that would prove it; 0 where proven, None where infeasible.
    """

    status: GateStatus
    n: float
    failed: float
    rate: float
    bound: float
    needed: int | None


def upper_bound(n: float, failed: float, confidence: float) -> float:
    """
    Bound the share of failures from above (one-sided Clopper-Pearson).

    Args:
        n, failed: Calls and failures; sums of weights of at most 1 are taken as that many calls.
    Source:
        Clopper and Pearson, Biometrika 26 (1934): the share p at which `failed` or fewer failures have the
        probability 1 - confidence; P(X <= k) = 1 - I_p(k + 1, n - k).
    """
    if n - failed <= _ROUNDING:
        return 1.0
    return _bisect(lambda share: beta_cdf(share, failed + 1, n - failed) >= confidence)


def holds(n: float, failed: float, alpha: float, confidence: float) -> bool:
    """
    Tell whether the upper bound is at most alpha, without working out the bound.
    """
    return n - failed > _ROUNDING and beta_cdf(alpha, failed + 1, n - failed) >= confidence


def least_calls(alpha: float, confidence: float) -> int:
    """
    Count the calls that can prove alpha at all: as many as would prove it if none failed.
    """
    return _more_passes(_NOTHING, alpha, confidence)


def gate(counts: Counts, alpha: float, confidence: float, prior: Counts = _NOTHING) -> GateState:
    """
    Say what the scores of one task class prove.

    Args:
        alpha: Share that may fail at most.
        prior: Calls to be added from the global table (`shrunk_to`); the worse of both readings counts.
    """
    return _gate(counts.n, counts.failed, prior.n, prior.failed, alpha, confidence)


@lru_cache(maxsize=4_096)
def _gate(
    n: float, failed: float, prior_n: float, prior_failed: float, alpha: float, confidence: float
) -> GateState:
    readings = {Counts(n, failed), Counts(n + prior_n, failed + prior_failed)}
    rate = failed / n if n > 0 else 0.0
    bound = max(upper_bound(one.n, one.failed, confidence) for one in readings)
    if all(holds(one.n, one.failed, alpha, confidence) for one in readings):
        return GateState(GateStatus.PROVEN, n, failed, rate, bound, 0)
    if rate > alpha and n >= least_calls(alpha, confidence):
        return GateState(GateStatus.INFEASIBLE, n, failed, rate, bound, None)
    needed = max(_more_passes(one, alpha, confidence) for one in readings)
    return GateState(GateStatus.NOT_ENOUGH, n, failed, rate, bound, needed)


def shrunk_to(others: Counts, strength: float) -> Counts:
    """
    Weigh the global table: its rate, as of `strength` calls at most.
    """
    weight = min(strength, others.n)
    return Counts(weight, weight * others.failed / others.n) if others.n > 0 else _NOTHING


def estimated_rate(counts: Counts, others: Counts, strength: float) -> float | None:
    """
    Estimate the share that fails, shrunk to the global table; None where nothing is known.
    """
    prior = shrunk_to(others, strength)
    n = counts.n + prior.n
    return (counts.failed + prior.failed) / n if n > 0 else None


def counts_of(counts: Mapping[str, Counts], models: Collection[str]) -> Counts:
    """
    Add up what was counted of the models of a tier.
    """
    found = [counts[model] for model in sorted(models) if model in counts]
    return Counts(sum(one.n for one in found), sum(one.failed for one in found))


def state_of(evidence: Evidence | None, calibration: "Calibration", models: Collection[str]) -> GateState:
    """
    Say what is proven of the models of a tier for one task class.
    """
    own = counts_of(evidence.models, models) if evidence is not None else _NOTHING
    others = counts_of(evidence.others, models) if evidence is not None else _NOTHING
    prior = shrunk_to(others, calibration.shrinkage)
    return gate(own, calibration.max_failed_ratio, calibration.confidence, prior)


def quality_downgrade_allowed(
    evidence: Evidence | None, calibration: "Calibration", *, classifier: str, models: Collection[str]
) -> tuple[bool, Reason | None]:
    """
    Decide whether a classifier may choose a tier below the one that the names of the call mean.

    Args:
        classifier: `complexity`, `learned` or `llm`.
        models: Ids of the models of the tier that it wants.
    Returns:
        Whether it may, and what to tell; nothing to tell where the policy asks for no proof.
    """
    if classifier not in calibration.required:
        return True, None
    state = state_of(evidence, calibration, models)
    allowed = state.status is GateStatus.PROVEN
    code = ReasonCode.DOWNGRADE_PROVEN if allowed else ReasonCode.DOWNGRADE_NOT_PROVEN
    task_class = evidence.task_class if evidence is not None else None
    what = "this call" if task_class is None else f"class {task_class}"
    text = f"{classifier}, {what}: {explained(state, calibration.max_failed_ratio, calibration.confidence)}"
    numbers = {
        "state": str(state.status),
        "classifier": classifier,
        "task_class": task_class,
        "n": state.n,
        "failed": state.failed,
        "bound": state.bound,
        "max_failed_ratio": calibration.max_failed_ratio,
        "confidence": calibration.confidence,
        "needed": state.needed,
    }
    return allowed, Reason(code, text, numbers)


def explained(state: GateState, alpha: float, confidence: float) -> str:
    """
    Say in a sentence what a state means.
    """
    seen = f"{state.failed:.4g} of {state.n:.4g} downgraded calls failed"
    if state.status is GateStatus.PROVEN:
        return f"{seen}; at most {state.bound:.1%} do (confidence {confidence:.4g}), {alpha:.4g} may"
    if state.status is GateStatus.INFEASIBLE:
        return f"{seen}, {state.rate:.1%}; only {alpha:.4g} may, so it is not downgraded (infeasible)"
    return f"{seen}; {state.needed} more that pass would prove it (not enough evidence)"


def _more_passes(counts: Counts, alpha: float, confidence: float) -> int:
    """Count the passes that are missing to a proof, by doubling and halving."""

    def enough(more: int) -> bool:
        return holds(counts.n + more, counts.failed, alpha, confidence)

    high = 1
    while not enough(high) and high < _NEEDED_MAX:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return 0 if enough(0) else high


def _bisect(above: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if above(middle) else (middle, high)
    return high
