"""
Read models about decisions: spend by tier, refusals, downgrades and what they saved.

Counted from the tallies of a period; costs are what the provider bills.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from outlay.decisions_sql import REFUSED, of_tenant
from outlay.reports_periods import Period, Span, fitting_period, period
from outlay.tables import decision, refusal_count
from outlay.tallies import Tally
from outlay.tally_sql import UNLISTED
from router.types import ReasonCode

UNKNOWN: Final = "unknown"
"""Stands for the code of refusals without one."""
NOT_ROUTED: Final = "not routed"
"""Stands for the tier asked for by calls that were refused before they were routed."""
ONLY_COUNTED: Final = "only counted"
"""Stands for the tier asked for by refused calls of storms: only tenant, code and minute are kept."""
UNTOLD: Final = "other_reason"
"""Stands for downgrades whose records name no reason that is known to lower."""
LOWERING: Final = (
    ReasonCode.DEGRADED,
    ReasonCode.PACED,
    ReasonCode.DOWNGRADE_PROVEN,
    ReasonCode.AFFORDABILITY,
    ReasonCode.ONLY_AFFORDABLE,
    ReasonCode.PROVIDER_UNHEALTHY,
    ReasonCode.FALLBACK,
    ReasonCode.SESSION_ESCALATED,
    ReasonCode.CONSTRAINT,
    ReasonCode.TOO_SLOW,
    ReasonCode.TIER_LIMIT,
    ReasonCode.FLOOR,
)
"""Reasons for serving a lower tier than the one asked for."""
LOWERING_ALONE: Final = (
    ReasonCode.SWITCH_SUPPRESSED_CACHE,
    ReasonCode.CLASSIFIED,
    ReasonCode.COMPLEXITY,
    ReasonCode.TASK_ROUTE,
)
"""Reasons that lower some calls only: each did where neither `LOWERING` nor one before it is named."""
MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Count:
    """
    How often something was seen.
    """

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """
    Refusals of one tenant with one code.

    Attributes:
        count: All of them; of a storm only the first of each minute have a record of their own.
        kept: Those that have one.
        first_us, last_us: To the minute.
    """

    tenant: str
    code: str
    count: int
    kept: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class TierSpend:
    """
    What a served tier cost within one bucket of time.
    """

    starts_us: int
    ends_us: int
    tier: str
    cost_nanos: int
    calls: int


@dataclass(frozen=True, slots=True)
class Savings:
    """
    What downgraded calls cost, beside what their usage would have cost at the model asked for.

    Attributes:
        downgraded: All of them, those that failed or have no price at the model asked for, too.
        calls: Those that were served and have one: the amounts are theirs.
    """

    downgraded: int
    calls: int
    asked_cost_nanos: int
    cost_nanos: int

    @property
    def saved_nanos(self) -> int:
        """
        Return the difference; negative where calls were served by a dearer tier than asked.
        """
        return self.asked_cost_nanos - self.cost_nanos


def within(period: Period, tenant: str | None) -> list[ColumnElement[bool]]:
    """
    Return the conditions for decisions of a period, of one tenant or of all.
    """
    conditions = [decision.c.at_us >= period.from_us, decision.c.at_us < period.to_us]
    return conditions if tenant is None else [*conditions, decision.c.tenant == tenant]


def downgraded(tiers: Sequence[str]) -> ColumnElement[bool]:
    """
    Return the condition for calls that were served below the tier asked for.

    Args:
        tiers: Of the policy in force, the best first; a tier that it no longer names counts as below.
    """
    raised = list(combinations(tiers, 2))
    return (
        decision.c.served_tier.is_not(None)
        & decision.c.asked_tier.is_not(None)
        & (decision.c.served_tier != decision.c.asked_tier)
        & sa.tuple_(decision.c.served_tier, decision.c.asked_tier).not_in(raised)
    )


def lowered(tallies: Iterable[Tally], tiers: Sequence[str]) -> Iterator[Tally]:
    """
    Yield of tallied calls those that `downgraded` selects; a test holds the two to one rule.
    """
    raised = {*combinations(tiers, 2)}
    for one in tallies:
        named = one.asked != "" and one.served not in ("", UNLISTED)
        if named and one.served != one.asked and (one.served, one.asked) not in raised:
            yield one


def tier_spend(tallies: Iterable[Tally]) -> tuple[TierSpend, ...]:
    """
    Sum the cost of calls by served tier and bucket, the oldest bucket first; calls in flight have none yet.
    """
    sums: dict[tuple[int, int, str], tuple[int, int]] = {}
    for one in tallies:
        if one.served and one.costed:
            key = (one.starts_us, one.ends_us, one.served)
            nanos, calls = sums.get(key, (0, 0))
            sums[key] = (nanos + one.cost_nanos, calls + one.costed)
    return tuple(TierSpend(*key, *amounts) for key, amounts in sorted(sums.items()))


def outcomes(tallies: Iterable[Tally]) -> tuple[Count, ...]:
    """
    Count decisions by outcome, the most frequent first.
    """
    return counts((one.outcome, one.calls) for one in tallies)


def refusals(conn: Connection, period: Period, tenant: str | None) -> tuple[Count, ...]:
    """
    Count refusals by code, the most frequent first: those in the log and those that were only counted.
    """
    return counts((group.code, group.count) for group in refusal_groups(conn, period, tenant))


def refusal_groups(conn: Connection, period: Period, tenant: str | None) -> tuple[Refusals, ...]:
    """
    Group refusals by tenant and code, the latest first: those in the log and those that were only counted.
    """
    at, code = decision.c.at_us, sa.func.coalesce(decision.c.code, UNKNOWN).label("shown_code")
    logged = (
        sa.select(decision.c.tenant, code, sa.func.count(), sa.func.count(), sa.func.min(at), sa.func.max(at))
        .where(*within(period, None), REFUSED)
        .group_by(decision.c.tenant, "shown_code")
    )
    seen, from_us = refusal_count.c, period.from_us - period.from_us % MINUTE_US
    first, last = sa.func.min(seen.minute_us), sa.func.max(seen.minute_us)
    counted = (
        sa.select(seen.tenant, seen.code, sa.func.sum(seen.count), sa.literal(0), first, last)
        .where(seen.minute_us >= from_us, seen.minute_us < period.to_us)
        .group_by(seen.tenant, seen.code)
    )
    if tenant is not None:
        logged, counted = logged.where(of_tenant(tenant)), counted.where(seen.tenant == tenant)
    groups: dict[tuple[str, str], Refusals] = {}
    for row in (*conn.execute(logged), *conn.execute(counted)):
        one = Refusals(row[0], row[1], int(row[2]), int(row[3]), int(row[4]), int(row[5]))
        before = groups.get((one.tenant, one.code))
        groups[(one.tenant, one.code)] = one if before is None else _joined(before, one)
    return tuple(sorted(groups.values(), key=lambda one: (-one.last_us, one.tenant, one.code)))


def only_counted(groups: Iterable[Refusals]) -> int:
    """
    Return how many refusals have no record: those of storms.
    """
    return sum(group.count - group.kept for group in groups)


def _joined(one: Refusals, other: Refusals) -> Refusals:
    return replace(
        one,
        count=one.count + other.count,
        kept=one.kept + other.kept,
        first_us=min(one.first_us, other.first_us),
        last_us=max(one.last_us, other.last_us),
    )


def savings(tallies: Iterable[Tally], tiers: Sequence[str]) -> Savings:
    """
    Sum what served downgraded calls cost and would have cost at the model asked for.
    """
    below = list(lowered(tallies, tiers))
    served = [one for one in below if one.outcome == "served"]
    return Savings(
        downgraded=sum(one.calls for one in below),
        calls=sum(one.priced for one in served),
        asked_cost_nanos=sum(one.asked_nanos for one in served),
        cost_nanos=sum(one.priced_nanos for one in served),
    )


def reasons(tallies: Iterable[Tally], refusals: Iterable[Refusals]) -> tuple[Count, ...]:
    """
    Count decisions by the reasons that they name, the most frequent first.

    Args:
        refusals: Of those that have no record only the code is known, which a recorded one names as well.
    """
    alike = counts((one.codes, one.calls) for one in tallies)
    named = ((code, one.count) for one in alike for code in one.name.split())
    return counts([*named, *((group.code, group.count - group.kept) for group in refusals)])


def downgrades(tallies: Iterable[Tally], tiers: Sequence[str]) -> tuple[Count, ...]:
    """
    Count downgraded calls by what lowered them: each stands under a reason, `UNTOLD` where none is known to.

    Args:
        tiers: Of the policy in force, as `downgraded` takes them.
    """
    alike = counts((one.codes, one.calls) for one in lowered(tallies, tiers))
    return counts((code, one.count) for one in alike for code in _lowering(one.name.split()))


def _lowering(codes: Sequence[str]) -> Sequence[str]:
    """Pick those that lowered a call: all that do so always, else the first that does so sometimes."""
    always = [code for code in LOWERING if code in codes]
    return always or [code for code in LOWERING_ALONE if code in codes][:1] or [UNTOLD]


def counts(named: Iterable[tuple[str, int]]) -> tuple[Count, ...]:
    """
    Add up counts by name, the most frequent first.
    """
    sums: Counter[str] = Counter()
    for name, count in named:
        sums[name] += count
    found = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Count(name, count) for name, count in found if count > 0)


def history(conn: Connection, tenant: str | None) -> tuple[int | None, int | None]:
    """
    Return the instants of the oldest and of the newest decision; None before the first.
    """
    one = sa.select(decision.c.at_us).limit(1)
    if tenant is not None:
        one = one.where(decision.c.tenant == tenant)
    at = decision.c.at_us
    oldest, newest = (conn.execute(one.order_by(order)).scalar() for order in (at.asc(), at.desc()))
    return oldest, newest


def seen_period(conn: Connection, tenant: str | None, span: Span | None, zone: str, now_us: int) -> Period:
    """
    Return the period of a span; None chooses the one that shows the traffic best.
    """
    if span is not None:
        return period(span, zone, now_us)
    return fitting_period(*history(conn, tenant), zone, now_us)


def total(counts: Sequence[Count]) -> int:
    """
    Add up counts.
    """
    return sum(count.count for count in counts)
