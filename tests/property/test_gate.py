"""
The gate for any counts: its bound is exact, grows with failures, shrinks with passes, and agrees with itself.
"""

from math import comb

from hypothesis import assume, given
from hypothesis import strategies as st

from router.beta import beta_cdf
from router.gate import GateStatus, gate, holds, least_calls, upper_bound
from router.types import Counts

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
WEIGHTS = st.tuples(st.floats(0, 500), st.floats(0, 1)).map(lambda pair: (pair[0], pair[0] * pair[1]))
CONFIDENCES = st.sampled_from((0.5, 0.8, 0.9, 0.95, 0.99, 0.999))
ALPHAS = st.floats(0.005, 0.9)


def at_most(failed: int, n: int, share: float) -> float:
    """The chance of so few failures or fewer, summed term by term."""
    return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(failed + 1))


@given(COUNTS, CONFIDENCES)
def test_the_bound_is_where_so_few_failures_are_as_unlikely_as_said(
    counts: tuple[int, int], confidence: float
) -> None:
    """The definition of Clopper and Pearson, against a sum over the binomial distribution."""
    n, failed = counts
    assume(failed < n)
    bound = upper_bound(n, failed, confidence)
    assert abs(at_most(failed, n, bound) - (1 - confidence)) < 1e-6


@given(COUNTS, CONFIDENCES)
def test_the_bound_lies_over_the_rate(counts: tuple[int, int], confidence: float) -> None:
    """At any confidence over one half it is no less than what was seen."""
    n, failed = counts
    assert failed / n <= upper_bound(n, failed, confidence)


@given(WEIGHTS, CONFIDENCES, st.floats(0.01, 1))
def test_a_failure_raises_the_bound_and_a_pass_lowers_it(
    counts: tuple[float, float], confidence: float, weight: float
) -> None:
    """Also where calls weigh less than one."""
    n, failed = counts
    before = upper_bound(n, failed, confidence)
    assert upper_bound(n + weight, failed + weight, confidence) >= before - 1e-9
    assert upper_bound(n + weight, failed, confidence) <= before + 1e-9


@given(WEIGHTS, ALPHAS, CONFIDENCES)
def test_the_quick_answer_is_that_of_the_bound(
    counts: tuple[float, float], alpha: float, confidence: float
) -> None:
    """Deciding needs no search for the bound."""
    n, failed = counts
    bound = upper_bound(n, failed, confidence)
    assume(abs(bound - alpha) > 1e-9)
    assert holds(n, failed, alpha, confidence) == (bound <= alpha)


@given(WEIGHTS, WEIGHTS, ALPHAS, CONFIDENCES)
def test_a_prior_never_proves_what_own_calls_do_not(
    own: tuple[float, float], others: tuple[float, float], alpha: float, confidence: float
) -> None:
    """What is proven with the global table is proven without it."""
    state = gate(Counts(*own), alpha, confidence, Counts(*others))
    if state.status is GateStatus.PROVEN:
        assert gate(Counts(*own), alpha, confidence).status is GateStatus.PROVEN
        assert state.bound <= alpha + 1e-9


@given(COUNTS, ALPHAS, CONFIDENCES)
def test_what_is_needed_is_enough(counts: tuple[int, int], alpha: float, confidence: float) -> None:
    """A state that is not proven yet says truly how many passes are missing."""
    n, failed = counts
    state = gate(Counts(n, failed), alpha, confidence)
    if state.status is GateStatus.NOT_ENOUGH and state.needed is not None and state.needed < 10_000:
        assert holds(n + state.needed, failed, alpha, confidence)
        assert not holds(n + state.needed - 1, failed, alpha, confidence)


@given(ALPHAS, CONFIDENCES)
def test_the_least_number_of_calls_is_that_of_the_formula(alpha: float, confidence: float) -> None:
    """Without failures the chance of n passes is (1 - alpha) ** n."""
    n = least_calls(alpha, confidence)
    assert (1 - alpha) ** n <= 1 - confidence + 1e-9
    assert (1 - alpha) ** (n - 1) > 1 - confidence - 1e-9


@given(st.floats(0.001, 0.999), st.floats(0.1, 300), st.floats(0.1, 300))
def test_the_beta_function_is_a_distribution_and_mirrors_itself(x: float, a: float, b: float) -> None:
    """I_x(a, b) = 1 - I_(1-x)(b, a), between 0 and 1."""
    value = beta_cdf(x, a, b)
    assert -1e-12 <= value <= 1 + 1e-12
    assert abs(value + beta_cdf(1 - x, b, a) - 1) < 1e-9


@given(st.integers(1, 300), st.sampled_from((0.05, 0.1, 0.15, 0.2, 0.3)), CONFIDENCES)
def test_what_just_breaks_the_promise_is_seldom_proven(n: int, alpha: float, confidence: float) -> None:
    """Where the truth is alpha, so few failures that it is proven are as unlikely as said, or more so."""
    chance = sum(
        comb(n, k) * alpha**k * (1 - alpha) ** (n - k) for k in range(n + 1) if holds(n, k, alpha, confidence)
    )
    assert chance <= 1 - confidence + 1e-9
