"""
The provider rule: what counts as a failure, and when the share trips.
"""

from types import SimpleNamespace

import pytest

from circuit import CallWindow, Outcome, ProviderRule, call_delta, outcome_of, probe_verdict
from circuit.health import provider_due


@pytest.mark.parametrize(
    ("status", "error_type", "error_code", "expected"),
    [
        (200, None, None, Outcome.SUCCESS),
        (400, "invalid_request_error", None, Outcome.SUCCESS),
        (404, "not_found_error", None, Outcome.SUCCESS),
        (401, "authentication_error", None, Outcome.SUCCESS),
        (429, "rate_limit_error", None, Outcome.NEUTRAL),
        (429, "rate_limit_error", "enforced_spend_limit_reached", Outcome.NEUTRAL),
        (402, "billing_error", "linked_organization_spend_limit_reached", Outcome.NEUTRAL),
        (400, "invalid_request_error", "contract_spend_limit_reached", Outcome.NEUTRAL),
        (200, "rate_limit_error", None, Outcome.NEUTRAL),
        (500, "api_error", None, Outcome.FAILURE),
        (503, None, None, Outcome.FAILURE),
        (504, "timeout_error", None, Outcome.FAILURE),
        (529, "overloaded_error", None, Outcome.FAILURE),
        (200, "overloaded_error", None, Outcome.FAILURE),
        (None, None, None, Outcome.FAILURE),
    ],
)
def test_what_an_answer_says_about_the_provider(
    status: int | None, error_type: str | None, error_code: str | None, expected: Outcome
) -> None:
    """
    Its own errors, also within a stream, are failures; the caller's are not; limits say nothing.
    """
    assert expected is outcome_of(status, error_type, error_code)


@pytest.mark.parametrize(
    ("outcome", "counts", "verdict"),
    [(Outcome.SUCCESS, (1, 0), True), (Outcome.FAILURE, (1, 1), False), (Outcome.NEUTRAL, None, None)],
)
def test_an_outcome_becomes_one_call_of_its_generation(
    outcome: Outcome, counts: tuple[int, int] | None, verdict: bool | None
) -> None:
    """
    Success and failure are counted under the generation of the call; what says nothing is not counted.
    """
    delta = call_delta("m", outcome, 12_345_678, "w", generation=4)
    assert counts == (None if delta is None else (delta.calls, delta.failures))
    assert verdict is probe_verdict(outcome)
    if delta is not None:
        assert (
            delta.scope,
            delta.starts_us,
            delta.writer,
            delta.generation,
        ) == ("model:m", 10_000_000, "w", 4)


@pytest.mark.parametrize(
    ("calls", "failures", "trips"),
    [(19, 19, False), (20, 9, False), (20, 10, True), (21, 10, False), (20, 20, True), (0, 0, False)],
)
def test_trips_at_half_of_at_least_twenty_calls(
    given: SimpleNamespace, calls: int, failures: int, trips: bool
) -> None:
    """
    Both edges are sharp: 20 calls and exactly one half trip.
    """
    due = provider_due(given.closed, CallWindow(calls, failures), given.provider, given.now_us)
    assert trips is (due is not None)
    if due is not None:
        assert (calls, failures) == (due.numbers["calls"], due.numbers["failures"])
        assert given.now_us + 30 * given.s == due.until_us


@pytest.mark.parametrize("tenths", range(1, 10))
def test_a_decimal_threshold_trips_exactly_at_it(given: SimpleNamespace, tenths: int) -> None:
    """
    Three tenths of 30 calls are nine failures although 0.3 has no exact binary form.
    """
    rule = ProviderRule(min_calls=1, failure_ratio=tenths / 10)
    assert provider_due(given.closed, CallWindow(30, 3 * tenths), rule, given.now_us) is not None
    assert provider_due(given.closed, CallWindow(30, 3 * tenths - 1), rule, given.now_us) is None


@pytest.mark.parametrize("state", ["open", "forced_open", "disabled"])
def test_only_a_closed_breaker_trips(given: SimpleNamespace, state: str) -> None:
    """
    An open breaker waits for a probe; a disabled one never trips.
    """
    breaker = given.breaker(state, until_us=given.now_us + 1)
    assert provider_due(breaker, CallWindow(100, 100), given.provider, given.now_us) is None


def test_a_lease_runs_out_even_without_a_rule(given: SimpleNamespace) -> None:
    """
    Taking the rule away does not wedge a breaker that is half-open.
    """
    state = given.breaker("half_open", until_us=given.now_us, trips=1)
    due = provider_due(state, CallWindow(), None, given.now_us)
    assert given.kind(due)[1:] == ("half_open", "open")


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.1, float("nan")])
def test_a_senseless_ratio_is_refused(ratio: float) -> None:
    """
    A share outside (0, 1] is refused with its value.
    """
    with pytest.raises(ValueError, match="failure_ratio is"):
        ProviderRule(failure_ratio=ratio)
