"""
The provider breaker's rule: share of failed calls per window and model.

What counts as a failure of the provider is decided here from status, error type and code: its own
errors, overload, a lost connection, a timeout. A caller's mistake is a success of the provider; our
own rate or spend limit says nothing about it.
"""

from dataclasses import dataclass
from enum import StrEnum

from circuit import breaker
from circuit.rules import Cooldown, ProviderRule
from circuit.spend import bucket_start_us
from circuit.types import BreakerState, CallWindow, Numbers, State, Transition, model_scope

FAILURE_TYPES = frozenset({"api_error", "overloaded_error", "timeout_error"})
QUOTA_TYPES = frozenset({"rate_limit_error", "billing_error"})
NO_RULE_COOLDOWN = Cooldown(base_s=30, max_s=900, quiet_s=600)
"""Open times of a breaker that stands open while its rule was taken away."""


@dataclass(frozen=True, slots=True)
class CallDelta:
    """
    Change of one call bucket: a row of `circuit_call_bucket` to be added up.
    """

    scope: str
    starts_us: int
    writer: str
    generation: int
    calls: int
    failures: int

    @property
    def row(self) -> dict[str, int | str]:
        """
        The column values; `calls` and `failures` are to be added on conflict of the primary key.
        """
        return {
            "scope": self.scope,
            "starts_us": self.starts_us,
            "writer": self.writer,
            "generation": self.generation,
            "calls": self.calls,
            "failures": self.failures,
        }


class Outcome(StrEnum):
    """
    What one call says about the provider's health.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


def outcome_of(status: int | None, error_type: str | None = None, error_code: str | None = None) -> Outcome:
    """
    Judge one finished call.

    Args:
        status: HTTP status; None for a connection failure or a timeout without an answer.
        error_type: `error.type` of the answer, or of an error event within a stream of status 200.
        error_code: `error.details.error_code`; a spend limit is no failure whatever the status.
    """
    if status is None:
        return Outcome.FAILURE
    if (
        status in (402, 429)
        or error_type in QUOTA_TYPES
        or (error_code or "").endswith("spend_limit_reached")
    ):
        return Outcome.NEUTRAL
    if status >= 500 or error_type in FAILURE_TYPES:
        return Outcome.FAILURE
    return Outcome.SUCCESS


def call_delta(
    model: str, outcome: Outcome, now_us: int, writer: str, generation: int = 0
) -> CallDelta | None:
    """
    Turn an outcome into the change of a call bucket; None where it says nothing.

    Args:
        generation: From the permit of the call: the breaker counts only outcomes of calls that began
            in its present generation, so a late one cannot trip or help a newer state.
    """
    if outcome is Outcome.NEUTRAL:
        return None
    failures = int(outcome is Outcome.FAILURE)
    return CallDelta(model_scope(model), bucket_start_us(now_us), writer, generation, 1, failures)


def provider_due(
    state: BreakerState, calls: CallWindow, rule: ProviderRule | None, now_us: int
) -> Transition | None:
    """
    The transition of a provider breaker that is due without anybody probing, if any.

    Closed trips at the share or above, given enough calls. Half-open reopens when the probe's lease
    has run out. Open waits for a caller to claim the probe.
    """
    if state.state is State.CLOSED:
        return None if rule is None or not is_failing(calls, rule) else _trip(state, calls, rule, now_us)
    cooldown = NO_RULE_COOLDOWN if rule is None else rule.cooldown
    if state.state is State.HALF_OPEN:
        return breaker.expire_probe(state, cooldown, now_us)
    return breaker.anchor(state, cooldown, now_us)


def _trip(state: BreakerState, calls: CallWindow, rule: ProviderRule, now_us: int) -> Transition:
    cause = breaker.Cause("provider", "too many calls failed", call_numbers(calls, rule))
    return breaker.trip(state, rule.cooldown, now_us, cause)


def is_failing(calls: CallWindow, rule: ProviderRule) -> bool:
    """
    Tell whether the window trips: enough calls, and the failed share at the threshold or above.

    The quotient of two integers is correctly rounded, so a share that equals the threshold in decimal
    compares equal; a product with the threshold would not.
    """
    return calls.calls >= rule.min_calls and calls.failures / calls.calls >= rule.failure_ratio


def call_numbers(calls: CallWindow, rule: ProviderRule) -> Numbers:
    """
    What explains a provider breaker: calls, failures, threshold, window.
    """
    return {
        "calls": calls.calls,
        "failures": calls.failures,
        "failure_ratio_max": rule.failure_ratio,
        "min_calls": rule.min_calls,
        "window_s": rule.window_s,
    }


def probe_verdict(outcome: Outcome) -> bool | None:
    """
    What a probe's outcome means for `finish_probe`.
    """
    return None if outcome is Outcome.NEUTRAL else outcome is Outcome.SUCCESS
