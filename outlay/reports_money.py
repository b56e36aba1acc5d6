"""
Read models about money: credits, budgets of the day, the burn-down of a day, statement lines.

Nothing is decided here, and money stays integer nano-USD; views format it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ledger import reads, tables
from ledger.read_models import AccountRow
from ledger.rows import COUNTS_COST, DAY, KIND_NAMES, RECEIVABLE, WALLET
from ledger.types import Correct, Refund
from outlay.reports_budgets import BudgetWindow, day_of, own_budgets
from outlay.reports_standing import (
    Guards,
    Lots,
    Obstacle,
    Scheduled,
    Stop,
    Tight,
    Usual,
    lots_of,
    money_stops,
    refused_last,
    tight,
)

BURN_POINTS: Final = 240
_STEP_MIN_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Credits:
    """
    Prepaid money: posted credit, what calls in flight hold of it, what is left to hold, what is owed.
    """

    credit_nanos: int
    held_nanos: int
    available_nanos: int
    debt_nanos: int


@dataclass(frozen=True, slots=True)
class TenantRow:
    """
    One tenant as operators list it.

    Attributes:
        scheduled: Credit that comes later.
        stops: What lets none of its calls pass, in the order in which a call meets it.
        tight: What its latest call was refused for, where its usual calls would be refused as well.
        observed: What would let none pass, were the tenant not in observe mode.
        low_budgets: How many budgets on all its calls, of any window, have little left.
    """

    tenant: str
    timezone: str
    opened_us: int
    credits: Credits
    day: BudgetWindow | None
    frozen: bool
    multiplier_ppm: int
    scheduled: tuple[Scheduled, ...] = ()
    stops: tuple[Stop, ...] = ()
    tight: Tight | None = None
    observed: tuple[Stop, ...] = ()
    low_budgets: int = 0


@dataclass(frozen=True, slots=True)
class BurnPoint:
    """
    What was left of the day's budget at an instant.
    """

    at_us: int
    remaining_nanos: int
    remaining_ratio: float


@dataclass(frozen=True, slots=True)
class Line:
    """
    One line of a statement: `change_nanos` is what it did to the credit, `balance_nanos` the credit after it,
    `debt_change_nanos` what it did to the debt.
    """

    seq: int
    at_us: int
    kind: str
    change_nanos: int
    balance_nanos: int
    debt_change_nanos: int
    hold_id: str | None
    actor: str
    reason: str


def tenant_rows(conn: Connection, now_us: int, standing: Guards) -> tuple[TenantRow, ...]:
    """
    Return every tenant with its credits, its budgets and what stands in its way, by name.
    """
    known = _Known(conn, now_us, None, standing)
    return tuple(known.row(row) for row in reads.tenants(conn))


def tenant_row(conn: Connection, tenant: str, now_us: int, standing: Guards) -> TenantRow | None:
    """
    Return one tenant; None where there is no account of this name.
    """
    row = reads.account(conn, tenant)
    return None if row is None else _Known(conn, now_us, tenant, standing).row(row)


class _Known:
    """
    What is read once for all tenants, or for one.
    """

    def __init__(self, conn: Connection, now_us: int, tenant: str | None, standing: Guards) -> None:
        self._standing = standing
        self._usual = partial(Usual, conn, now_us=now_us)
        self._budgets = own_budgets(conn, now_us, tenant)
        self._lots = lots_of(conn, now_us, tenant)
        self._refused = refused_last(conn, now_us, tenant)

    def row(self, row: AccountRow) -> TenantRow:
        """Put together what is known of one tenant."""
        budgets, lots = self._budgets.get(row.tenant, ()), self._lots.get(row.tenant, Lots())
        frozen = (Stop(Obstacle.FROZEN),) if row.frozen else ()
        money = money_stops(row.credit_nanos, row.debt_nanos, lots, budgets)
        usable = row.available_nanos + lots.due_nanos
        return TenantRow(
            tenant=row.tenant,
            timezone=row.timezone,
            opened_us=row.opened_us,
            credits=Credits(row.credit_nanos, row.held_nanos, row.available_nanos, row.debt_nanos),
            day=day_of(budgets),
            frozen=row.frozen,
            multiplier_ppm=row.multiplier_ppm,
            scheduled=lots.scheduled,
            stops=(*self._standing.stops(row.tenant), *frozen, *money),
            tight=tight(self._refused.get(row.tenant), usable, budgets, self._usual(row.tenant)),
            low_budgets=sum(line.now.is_low for line in budgets),
        )


def burn_down(
    conn: Connection, tenant: str, day: BudgetWindow, from_us: int, now_us: int
) -> tuple[BurnPoint, ...]:
    """
    Return what was left of a limited day over time, from an instant of that day until now.

    A call counts in the day in which its hold was opened, as in the budget itself; the last point is what
    the budget says now, calls in flight left out.
    """
    limit = day.limit_nanos
    if limit is None or limit == 0:
        return ()
    from_us = max(from_us, day.starts_us)
    step_us = max(_STEP_MIN_US, (now_us - from_us) // BURN_POINTS)
    spent = 0
    points = []
    for at_us, amount in _spent_steps(conn, tenant, day, from_us, step_us):
        spent += amount
        points.append(_point(at_us, limit, spent))
    first = () if points and points[0].at_us <= from_us else (_point(from_us, limit, 0),)
    return (*first, *points, _point(now_us, limit, day.spent_nanos))


def _point(at_us: int, limit: int, spent: int) -> BurnPoint:
    left = max(0, limit - spent)
    return BurnPoint(at_us, left, left / limit)


def _spent_steps(
    conn: Connection, tenant: str, day: BudgetWindow, from_us: int, step_us: int
) -> list[tuple[int, int]]:
    """Sum what the calls of the day came to, by the step in which they ended."""
    hold, budget = tables.hold, tables.budget
    counts = conn.execute(
        sa.select(budget.c.counts).where(
            budget.c.tenant == tenant, budget.c.scope == "tenant", budget.c.window_kind == DAY
        )
    ).scalar()
    amount = (
        sa.func.coalesce(hold.c.actual, 0) if counts == COUNTS_COST else hold.c.captured - hold.c.refunded
    )
    since = hold.c.closed_at - sa.literal(from_us)
    step = sa.case((since <= 0, 0), else_=since - since % sa.literal(step_us) + sa.literal(step_us))
    query = (
        sa.select(step.label("step"), sa.func.sum(amount))
        .where(
            hold.c.tenant == tenant,
            hold.c.opened_at >= day.starts_us,
            hold.c.opened_at < day.resets_us,
            hold.c.closed_at.is_not(None),
        )
        .group_by("step")
        .order_by("step")
    )
    return [(from_us + int(step), int(total)) for step, total in conn.execute(query)]


def statement_lines(
    conn: Connection, tenant: str, *, limit: int, before_seq: int | None = None, calls: bool = True
) -> tuple[Line, ...]:
    """
    Return the latest lines of a tenant's statement, newest first.

    Args:
        before_seq: Only lines older than this one; None begins with the newest.
        calls: Whether what single calls cost is listed; without it only what people did remains.
    """
    transfer, op = tables.transfer, tables.op
    joined = transfer.outerjoin(op, (op.c.tenant == transfer.c.tenant) & (op.c.key == transfer.c.op_key))
    query = sa.select(transfer, op.c.actor, op.c.reason).select_from(joined)
    query = query.where(transfer.c.tenant == tenant)
    if before_seq is not None:
        query = query.where(transfer.c.seq < before_seq)
    if not calls:
        ordered = op.c.kind.in_((Refund.__name__, Correct.__name__))
        query = query.where(transfer.c.hold_id.is_(None) | ordered)
    rows = conn.execute(query.order_by(transfer.c.seq.desc()).limit(limit))
    return tuple(
        Line(
            seq=row.seq, at_us=row.at, kind=KIND_NAMES[row.kind],
            change_nanos=row.amount * ((row.credit == WALLET) - (row.debit == WALLET)),
            balance_nanos=row.wallet_after,
            debt_change_nanos=row.amount * ((row.debit == RECEIVABLE) - (row.credit == RECEIVABLE)),
            hold_id=row.hold_id, actor=row.actor or "", reason=row.reason or "",
        )
        for row in rows
    )  # fmt: skip
