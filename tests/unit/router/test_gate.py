"""
The gate: an exact bound, three states, and a prior that can delay a proof but never give one.
"""

from typing import Any

import pytest

from router.beta import beta_cdf
from router.gate import (
    GateStatus,
    estimated_rate,
    gate,
    least_calls,
    quality_downgrade_allowed,
    shrunk_to,
    state_of,
    upper_bound,
)
from router.policy_calibration import Calibration
from router.types import Counts, Evidence, ReasonCode

HAIKU = "claude-haiku-5-5"


def evidence(n: float, failed: float, model: str = HAIKU, **others: Counts) -> Evidence:
    """Scores of one class, all of one model."""
    return Evidence("crm/summary", {model: Counts(n, failed)}, others)


@pytest.mark.parametrize(
    ("n", "failed", "confidence", "bound"),
    [
        (10, 0, 0.95, 0.2588656),  # 1 - 0.05 ** (1 / 10)
        (10, 3, 0.95, 0.6066242),
        (20, 1, 0.95, 0.2161069),
        (100, 5, 0.95, 0.1022534),
        (100, 5, 0.99, 0.1258517),
        (1_000, 80, 0.95, 0.0955511),
        (100_000, 12_345, 0.95, 0.1251742),
    ],
)
def test_the_upper_bound_is_that_of_the_tables(n: int, failed: int, confidence: float, bound: float) -> None:
    """Clopper and Pearson's one-sided bound, as scipy.stats.beta.ppf gives it."""
    assert upper_bound(n, failed, confidence) == pytest.approx(bound, abs=1e-6)


def test_nothing_is_bounded_by_nothing() -> None:
    """Without calls, or with failures only, everything may fail."""
    assert upper_bound(0, 0, 0.95) == 1
    assert upper_bound(3, 3, 0.95) == 1


def test_the_beta_function_ends_at_0_and_1() -> None:
    """A share lies between 0 and 1, and the median of a symmetrical one is one half."""
    assert [beta_cdf(x, 2, 3) for x in (-1, 0, 1, 2)] == [0, 0, 1, 1]
    assert beta_cdf(0.5, 7, 7) == pytest.approx(0.5)


@pytest.mark.parametrize(("alpha", "calls"), [(0.05, 59), (0.10, 29), (0.30, 9)])
def test_too_few_calls_prove_nothing(alpha: float, calls: int) -> None:
    """Even without a failure it takes log(0.05) / log(1 - alpha) calls; one less is not enough."""
    assert least_calls(alpha, 0.95) == calls
    assert gate(Counts(calls, 0), alpha, 0.95).status is GateStatus.PROVEN
    one_less = gate(Counts(calls - 1, 0), alpha, 0.95)
    assert (one_less.status, one_less.needed) == (GateStatus.NOT_ENOUGH, 1)


@pytest.mark.parametrize("failed", [0, 1, 3])
def test_what_is_needed_is_what_proves_it(failed: int) -> None:
    """So many more passes prove it, one less does not."""
    seen = gate(Counts(60, failed), 0.05, 0.95)
    needed = seen.needed or 0
    assert gate(Counts(60 + needed, failed), 0.05, 0.95).status is GateStatus.PROVEN
    assert needed == 0 or gate(Counts(59 + needed, failed), 0.05, 0.95).status is not GateStatus.PROVEN


def test_more_failures_than_allowed_are_infeasible_and_say_so() -> None:
    """Once there are calls enough, a rate above alpha is told with its numbers."""
    state = gate(Counts(50, 14), 0.10, 0.95)
    assert (state.status, state.rate, state.needed) == (GateStatus.INFEASIBLE, 0.28, None)
    assert gate(Counts(5, 4), 0.10, 0.95).status is GateStatus.NOT_ENOUGH


def test_others_can_delay_a_proof_but_not_give_one() -> None:
    """The worse of both readings counts."""
    assert gate(Counts(29, 0), 0.10, 0.95, Counts(20, 10)).status is GateStatus.NOT_ENOUGH
    assert gate(Counts(0, 0), 0.10, 0.95, Counts(10_000, 0)).status is GateStatus.NOT_ENOUGH
    assert gate(Counts(28, 0), 0.10, 0.95, Counts(20, 0)).needed == 1


def test_the_global_table_weighs_little() -> None:
    """However much others have seen, it counts as `shrinkage` calls, and fades as own calls come."""
    assert shrunk_to(Counts(10_000, 1_000), 20) == Counts(20, 2)
    assert shrunk_to(Counts(4, 1), 20) == Counts(4, 1)
    assert shrunk_to(Counts(), 20) == Counts()
    assert estimated_rate(Counts(), Counts(), 20) is None
    assert estimated_rate(Counts(20, 0), Counts(100, 10), 20) == 0.05


def test_only_the_models_of_the_tier_count() -> None:
    """What another model answered proves nothing of this one."""
    proven = evidence(29, 0)
    assert state_of(proven, Calibration(), [HAIKU]).status is GateStatus.PROVEN
    assert state_of(proven, Calibration(), ["claude-sonnet-5-5"]).n == 0


def test_a_downgrade_for_quality_needs_the_proof() -> None:
    """Allowed where proven; else it is told what is missing."""
    asked: dict[str, Any] = {"classifier": "learned", "models": [HAIKU]}
    allowed, reason = quality_downgrade_allowed(evidence(29, 0), Calibration(), **asked)
    assert allowed
    assert reason is not None
    assert reason.code == ReasonCode.DOWNGRADE_PROVEN
    allowed, reason = quality_downgrade_allowed(evidence(20, 0), Calibration(), **asked)
    assert not allowed
    assert reason is not None
    assert reason.code == ReasonCode.DOWNGRADE_NOT_PROVEN
    assert (reason.numbers["state"], reason.numbers["needed"]) == ("not_enough", 9)
    assert "9 more that pass" in reason.text


def test_without_evidence_there_is_no_downgrade() -> None:
    """Nobody looked, or nobody scored: both prove nothing."""
    for found in (None, Evidence("crm/summary")):
        allowed, reason = quality_downgrade_allowed(found, Calibration(), classifier="llm", models=[HAIKU])
        assert not allowed
        assert reason is not None


def test_the_owners_own_map_needs_no_proof_unless_asked_for() -> None:
    """Complexity is the owner's word, as the task table is."""
    asked: dict[str, Any] = {"classifier": "complexity", "models": [HAIKU]}
    assert quality_downgrade_allowed(None, Calibration(), **asked) == (True, None)
    assert not quality_downgrade_allowed(None, Calibration(required=("complexity",)), **asked)[0]


def test_an_infeasible_class_is_told_with_its_rate() -> None:
    """The text names the share that failed."""
    _, reason = quality_downgrade_allowed(
        evidence(50, 14), Calibration(), classifier="learned", models=[HAIKU]
    )
    assert reason is not None
    assert "28.0%" in reason.text
    assert reason.numbers["state"] == "infeasible"
