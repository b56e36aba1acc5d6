"""
The spend breaker's rule: money per window, counting holds, for a tenant and for all.

Money is metered in buckets of ten seconds, one row per writer so that processes do not contend; the
ledger's writer adds the rows in the transaction of the hold itself. A bucket is that of the hold's
opening, so that settling below the hold lowers the bucket that the hold raised.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from circuit import breaker
from circuit.rules import SpendRule
from circuit.types import (
    BUCKET_US,
    GLOBAL,
    SKEW_US,
    US_PER_S,
    BreakerState,
    Numbers,
    State,
    Transition,
    tenant_scope,
)

CLOSE_PERCENT = 70
"""A spend breaker closes only when the window is below this share of the threshold."""


@dataclass(frozen=True, slots=True)
class BucketDelta:
    """
    Change of one spend bucket: a row of `circuit_spend_bucket` to be added up.
    """

    scope: str
    starts_us: int
    writer: str
    delta_nanos: int

    @property
    def row(self) -> dict[str, int | str]:
        """
        The column values; `amount_nanos` is to be added on conflict of the primary key.
        """
        return {
            "scope": self.scope,
            "starts_us": self.starts_us,
            "writer": self.writer,
            "amount_nanos": self.delta_nanos,
        }


def spend_deltas(events: Sequence[tuple[str, int, int]], writer: str) -> tuple[BucketDelta, ...]:
    """
    Turn changes of exposure into changes of buckets, of the tenant and of all.

    Args:
        events: Tenant, instant of the hold's opening, change in nano-USD (plus at the hold, actual
            minus held at the settlement, minus at the release).
        writer: Name of this process's writer, the shard.
    Returns:
        One delta per bucket in key order, so that two writers never wait for each other crosswise;
        none for a bucket that did not change in sum.
    """
    sums: dict[tuple[str, int], int] = {}
    for tenant, opened_us, delta_nanos in events:
        starts_us = bucket_start_us(opened_us)
        for scope in (GLOBAL, tenant_scope(tenant)):
            sums[scope, starts_us] = sums.get((scope, starts_us), 0) + delta_nanos
    return tuple(
        BucketDelta(scope, starts_us, writer, delta)
        for (scope, starts_us), delta in sorted(sums.items())
        if delta
    )


def bucket_start_us(at_us: int) -> int:
    """
    The start of the bucket that an instant lies in.
    """
    return at_us - at_us % BUCKET_US


@dataclass(frozen=True, slots=True)
class Range:
    """
    The buckets of a window: those that start after *after_us* and up to *last_us*.
    """

    after_us: int
    last_us: int

    def holds(self, starts_us: int) -> bool:
        """
        Tell whether a bucket belongs to the window.
        """
        return self.after_us < starts_us <= self.last_us


def window(window_s: int, now_us: int) -> Range:
    """
    The buckets of the window that ends now.

    Every bucket that overlaps the window counts whole, so the sum is never too low. Buckets up to
    one window ahead count too: another machine's clock, or one that was set back.
    """
    length_us = window_s * US_PER_S
    return Range(now_us - length_us - BUCKET_US, now_us + length_us)


def counted_from_us(state: BreakerState, now_us: int) -> int:
    """
    The start of the first bucket that counts after a reset; keep in sync with `sql.py`.

    A reset from the future (the clock was set back) is ignored: it would hide all spending until then.
    """
    return bucket_start_us(state.since_us) if state.since_us <= now_us + SKEW_US else 0


def spend_due(
    state: BreakerState, spent_nanos: int, rule: SpendRule | None, now_us: int
) -> Transition | None:
    """
    The transition of a spend breaker that is due, if any.

    Closed trips at the threshold or above. Open, once the cooldown has passed: closes if the window
    is below 70 % of the threshold (or the rule is gone), else stays open for another cooldown.
    """
    if state.state is State.CLOSED:
        return _trip(state, spent_nanos, rule, now_us)
    if state.state is not State.OPEN:
        return None
    if rule is not None and (anchored := breaker.anchor(state, rule.cooldown, now_us)) is not None:
        return anchored
    if breaker.is_blocking(state, now_us):
        return None
    return _judge(state, spent_nanos, rule, now_us)


def _trip(state: BreakerState, spent_nanos: int, rule: SpendRule | None, now_us: int) -> Transition | None:
    if rule is None or spent_nanos < rule.max_nanos:
        return None
    cause = breaker.Cause("spend", "spending too fast", spend_numbers(spent_nanos, rule))
    return breaker.trip(state, rule.cooldown, now_us, cause)


def _judge(state: BreakerState, spent_nanos: int, rule: SpendRule | None, now_us: int) -> Transition:
    if rule is None:
        cause = breaker.Cause("spend", "cooldown passed and no rule is left", {"spent_nanos": spent_nanos})
        return breaker.move(state, State.CLOSED, now_us, cause, trips=state.trips)
    numbers = spend_numbers(spent_nanos, rule)
    if spent_nanos * 100 < rule.max_nanos * CLOSE_PERCENT:
        cause = breaker.Cause("spend", "spending is slow again", numbers)
        return breaker.move(state, State.CLOSED, now_us, cause, trips=state.trips)
    cause = breaker.Cause("spend", "still spending too fast: another cooldown", numbers)
    until_us = now_us + breaker.cooldown_us(rule.cooldown, state.trips)
    return breaker.move(state, State.OPEN, now_us, cause, until_us=until_us, trips=state.trips)


def spend_numbers(spent_nanos: int, rule: SpendRule) -> Numbers:
    """
    What explains a spend breaker: the sum, the threshold, where it closes again, the window.
    """
    return {
        "spent_nanos": spent_nanos,
        "max_nanos": rule.max_nanos,
        "close_below_nanos": rule.max_nanos * CLOSE_PERCENT // 100,
        "window_s": rule.window_s,
    }
