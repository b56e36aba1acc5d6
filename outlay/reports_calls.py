"""
Read models about decisions: spend by tier, refusals, downgrades and what they saved.

Everything is counted by the database over the decision log; costs are what the provider bills.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.dialects.postgresql import JSONB

from ledger import tables
from outlay.decisions_sql import cost
from outlay.reports_periods import Period, Span, fitting_period, period
from outlay.tables import decision, refusal_count
from router.types import ReasonCode

UNLISTED: Final = "unlisted"
"""Stands for the tier of a model that no tier lists."""
UNKNOWN: Final = "unknown"
"""Stands for the code of refusals without one."""
NOT_ROUTED: Final = "not routed"
"""Stands for the tier asked for by calls that were refused before they were routed."""
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
_SOME_REASON: Final = '"reasons":[{'  # as `router.codec.to_json` writes it
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
    What downgraded calls cost, beside what their usage had cost at the model asked for.
    """

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


def tier_spend(conn: Connection, period: Period, tenant: str | None) -> tuple[TierSpend, ...]:
    """
    Sum the cost of calls by served tier and bucket, the oldest bucket first.
    """
    step = (decision.c.at_us - decision.c.at_us % sa.literal(period.step_us)).label("step")
    tier = sa.func.coalesce(decision.c.served_tier, UNLISTED).label("tier")
    query = (
        sa.select(step, tier, sa.func.sum(cost()), sa.func.count(cost()))
        .where(*within(period, tenant), decision.c.served_model.is_not(None))
        .group_by("step", "tier")
    )
    sums: dict[tuple[int, int, str], tuple[int, int]] = {}
    for step_us, name, nanos, calls in conn.execute(query):
        if calls == 0:
            continue  # in flight still
        key = (*period.bucket(int(step_us)), str(name))
        nanos_before, calls_before = sums.get(key, (0, 0))
        sums[key] = (nanos_before + int(nanos), calls_before + int(calls))
    return tuple(TierSpend(*key, *amounts) for key, amounts in sorted(sums.items()))


def outcomes(conn: Connection, period: Period, tenant: str | None) -> tuple[Count, ...]:
    """
    Count decisions by outcome, the most frequent first.
    """
    query = sa.select(decision.c.outcome, sa.func.count()).where(*within(period, tenant))
    return _counts(conn.execute(query.group_by(decision.c.outcome)))


def refusals(conn: Connection, period: Period, tenant: str | None) -> tuple[Count, ...]:
    """
    Count refusals by code, the most frequent first: those in the log and those that were only counted.
    """
    return _counts((group.code, group.count) for group in refusal_groups(conn, period, tenant))


def refusal_groups(conn: Connection, period: Period, tenant: str | None) -> tuple[Refusals, ...]:
    """
    Group refusals by tenant and code, the latest first: those in the log and those that were only counted.
    """
    at, code = decision.c.at_us, sa.func.coalesce(decision.c.code, UNKNOWN).label("shown_code")
    logged = (
        sa.select(decision.c.tenant, code, sa.func.count(), sa.func.count(), sa.func.min(at), sa.func.max(at))
        .where(*within(period, tenant), decision.c.outcome == "refused")
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
        counted = counted.where(seen.tenant == tenant)
    groups: dict[tuple[str, str], Refusals] = {}
    for row in (*conn.execute(logged), *conn.execute(counted)):
        one = Refusals(row[0], row[1], int(row[2]), int(row[3]), int(row[4]), int(row[5]))
        before = groups.get((one.tenant, one.code))
        groups[(one.tenant, one.code)] = one if before is None else _joined(before, one)
    return tuple(sorted(groups.values(), key=lambda one: (-one.last_us, one.tenant, one.code)))


def _joined(one: Refusals, other: Refusals) -> Refusals:
    return replace(
        one,
        count=one.count + other.count,
        kept=one.kept + other.kept,
        first_us=min(one.first_us, other.first_us),
        last_us=max(one.last_us, other.last_us),
    )


def savings(conn: Connection, period: Period, tenant: str | None, tiers: Sequence[str]) -> Savings:
    """
    Sum what served downgraded calls cost and had cost at the model asked for.
    """
    asked, cost = decision.c.asked_cost_nanos, decision.c.cost_nanos
    query = sa.select(
        sa.func.count(), sa.func.coalesce(sa.func.sum(asked), 0), sa.func.coalesce(sa.func.sum(cost), 0)
    ).where(
        *within(period, tenant), downgraded(tiers), decision.c.outcome == "served",
        asked.is_not(None), cost.is_not(None),
    )  # fmt: skip
    return Savings(*(int(value) for value in conn.execute(query).one()))


def reasons(conn: Connection, period: Period, tenant: str | None) -> tuple[Count, ...]:
    """
    Count decisions by the reasons that they name, the most frequent first.
    """
    told = _all_told(conn, period, tenant)
    named = sa.select(told.c.told_code, sa.func.count()).where(told.c.told_code.is_not(None))
    return _counts(conn.execute(named.group_by(told.c.told_code)))


def downgrades(
    conn: Connection, period: Period, tenant: str | None, tiers: Sequence[str]
) -> tuple[Count, ...]:
    """
    Count downgraded calls by what lowered them: each stands under a reason, `UNTOLD` where none is known to.

    Args:
        tiers: As `downgraded` takes them.
    """
    told = _all_told(conn, period, tenant, downgraded(tiers))
    weights = dict.fromkeys(LOWERING, len(LOWERING_ALONE) + 1)
    weights |= {code: weight for weight, code in enumerate(reversed(LOWERING_ALONE), start=1)}
    lowers = sa.case(weights, value=told.c.told_code, else_=0)
    strongest = sa.func.max(lowers).over(partition_by=told.c.id)
    each = sa.select(
        told.c.id, told.c.told_code, lowers.label("lowers"), strongest.label("strongest")
    ).subquery()  # fmt: skip
    code = sa.case((each.c.strongest == 0, UNTOLD), else_=each.c.told_code).label("shown_code")
    query = sa.select(code, sa.func.count(each.c.id.distinct())).where(each.c.lowers == each.c.strongest)
    return _counts(conn.execute(query.group_by("shown_code")))


def _all_told(
    conn: Connection, period: Period, tenant: str | None, *which: ColumnElement[bool]
) -> sa.Subquery:
    sources = (_told(source, period, tenant, conn.dialect.name, *which) for source in ("choice", "offer"))
    return sa.union(*sources).subquery()


def _told(source: str, period: Period, tenant: str | None, dialect: str, *which: ColumnElement[bool]) -> Any:
    """Select which decision names which reason, of its choice or its held offer; NULL where it has none."""
    listed: ColumnElement[Any] = decision.c.reasons
    rows: Any = decision
    if source == "offer":
        rows = decision.join(tables.hold, tables.hold.c.id == decision.c.hold_id)
        listed = _held_reasons(dialect)
        which = (*which, decision.c.offers.contains(_SOME_REASON))  # few have one: the others need no look
    each, code = _unfolded(listed, dialect)
    query = sa.select(decision.c.id, code.label("told_code")).select_from(rows.outerjoin(each, sa.true()))
    return query.where(*within(period, tenant), *which)


def _held_reasons(dialect: str) -> ColumnElement[Any]:
    """Reach into the list of offers for the reasons of the one that the ledger held."""
    place = tables.hold.c.offer_index
    if dialect == "sqlite":
        path = sa.literal("$[") + sa.cast(place, sa.Text) + sa.literal("].reasons")
        return sa.func.coalesce(sa.func.json_extract(decision.c.offers, path), "[]")
    offer = sa.cast(decision.c.offers, JSONB)[sa.cast(place, sa.Integer)]
    return sa.func.coalesce(offer["reasons"], sa.cast("[]", JSONB))


def _unfolded(listed: ColumnElement[Any], dialect: str) -> tuple[Any, ColumnElement[str]]:
    """Unfold a JSON list of reasons into rows, and name their code."""
    if dialect == "sqlite":
        each = sa.func.json_each(listed).table_valued("value", name="each_reason")
        return each, sa.func.json_extract(each.c.value, "$.code")
    unfolded = sa.func.jsonb_array_elements(sa.cast(listed, JSONB))
    rows = unfolded.table_valued(sa.column("value", JSONB), name="each_reason").render_derived()
    return rows, rows.c.value["code"].astext


def _counts(rows: Any) -> tuple[Count, ...]:
    sums: dict[str, int] = {}
    for name, count in rows:
        sums[str(name)] = sums.get(str(name), 0) + int(count)
    return tuple(
        Count(name, count) for name, count in sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    )


def history(conn: Connection, tenant: str | None) -> tuple[int | None, int | None]:
    """
    Return the instants of the oldest and of the newest decision; None before the first.
    """
    query = sa.select(sa.func.min(decision.c.at_us), sa.func.max(decision.c.at_us))
    if tenant is not None:
        query = query.where(decision.c.tenant == tenant)
    oldest, newest = conn.execute(query).one()
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
