"""
Read models about money: credits, budgets of the day, the burn-down of a day, statement lines.

Nothing is decided here, and money stays integer nano-USD; views format it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ledger import reads, tables
from ledger.budget import current_window
from ledger.read_models import AccountRow
from ledger.rows import (
    COUNTS_COST,
    DAY,
    KIND_NAMES,
    WALLET,
    Books,
    Budget,
    Window,
)

BURN_POINTS: Final = 240
LOW_RATIO: Final = 0.2
"""Share of a day's budget under which the dashboard calls it low."""
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
class Day:
    """
    The budget of a tenant's day; `limit_nanos` None is no limit.
    """

    limit_nanos: int | None
    spent_nanos: int
    held_nanos: int
    overage_nanos: int
    starts_us: int
    resets_us: int

    @property
    def remaining_nanos(self) -> int | None:
        """
        Return what may still be held today; None is no limit, and never less than 0.
        """
        if self.limit_nanos is None:
            return None
        return max(0, self.limit_nanos - self.spent_nanos - self.held_nanos)

    @property
    def remaining_ratio(self) -> float | None:
        """
        Return the share of the day's budget that is neither spent nor held; 0 where the limit is 0.
        """
        left, limit = self.remaining_nanos, self.limit_nanos
        if left is None or limit is None:
            return None
        return left / limit if limit > 0 else 0.0

    @property
    def is_low(self) -> bool:
        """
        Tell whether little of the day's budget is left.
        """
        left = self.remaining_ratio
        return left is not None and left < LOW_RATIO


@dataclass(frozen=True, slots=True)
class TenantRow:
    """
    One tenant as operators list it.

    Attributes:
        halted: Its own kill switch is thrown.
        tripped: Its spend breaker is open.
    """

    tenant: str
    timezone: str
    opened_us: int
    credits: Credits
    day: Day | None
    frozen: bool
    halted: bool
    tripped: bool
    multiplier_ppm: int


@dataclass(frozen=True, slots=True)
class Stops:
    """
    Names of tenants that are kept from spending: by their kill switch, by their spend breaker.
    """

    halted: frozenset[str]
    tripped: frozenset[str]


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
    One line of a statement: `change_nanos` is what it did to the credit, `balance_nanos` the credit after it.
    """

    seq: int
    at_us: int
    kind: str
    change_nanos: int
    balance_nanos: int
    hold_id: str | None
    actor: str
    reason: str


def tenant_rows(conn: Connection, now_us: int, stops: Stops) -> tuple[TenantRow, ...]:
    """
    Return every tenant with its credits and its day, by name.
    """
    days = _days(conn, now_us)
    return tuple(_tenant_row(row, days.get(row.tenant), stops) for row in reads.tenants(conn))


def tenant_row(conn: Connection, tenant: str, now_us: int, stops: Stops) -> TenantRow | None:
    """
    Return one tenant; None where there is no account of this name.
    """
    row = reads.account(conn, tenant)
    return None if row is None else _tenant_row(row, _days(conn, now_us, tenant).get(tenant), stops)


def _tenant_row(row: AccountRow, day: Day | None, stops: Stops) -> TenantRow:
    money = Credits(row.credit_nanos, row.held_nanos, row.available_nanos, row.debt_nanos)
    return TenantRow(
        tenant=row.tenant, timezone=row.timezone, opened_us=row.opened_us, credits=money, day=day,
        frozen=row.frozen, halted=row.tenant in stops.halted, tripped=row.tenant in stops.tripped,
        multiplier_ppm=row.multiplier_ppm,
    )  # fmt: skip


def _days(conn: Connection, now_us: int, tenant: str | None = None) -> Mapping[str, Day]:
    """Read the day windows of all tenants with two queries; a day without a row is still empty."""
    budget, window = tables.budget, tables.budget_window
    budgets = sa.select(budget).where(budget.c.scope == "tenant", budget.c.window_kind == DAY)
    current = sa.select(window).where(window.c.starts_at <= now_us, window.c.ends_at > now_us)
    if tenant is not None:
        budgets = budgets.where(budget.c.tenant == tenant)
        current = current.where(window.c.tenant == tenant)
    windows = {row.budget_id: Window(*row) for row in conn.execute(current)}
    return {
        found.tenant: _day(found, windows.get(found.id), now_us)
        for found in (Budget(*row) for row in conn.execute(budgets))
    }


def _day(budget: Budget, window: Window | None, now_us: int) -> Day:
    shown = window or current_window(Books(budget.tenant), budget, max(now_us, budget.tiled_until))
    return Day(
        limit_nanos=budget.limit_at(now_us), spent_nanos=shown.spent, held_nanos=shown.held,
        overage_nanos=shown.overage, starts_us=shown.starts_at, resets_us=shown.ends_at,
    )  # fmt: skip


def burn_down(conn: Connection, tenant: str, day: Day, from_us: int, now_us: int) -> tuple[BurnPoint, ...]:
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
    conn: Connection, tenant: str, day: Day, from_us: int, step_us: int
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
        query = query.where(transfer.c.hold_id.is_(None) | (transfer.c.kind == KIND_NAMES.index("refund")))
    rows = conn.execute(query.order_by(transfer.c.seq.desc()).limit(limit))
    return tuple(
        Line(
            seq=row.seq, at_us=row.at, kind=KIND_NAMES[row.kind],
            change_nanos=row.amount * ((row.credit == WALLET) - (row.debit == WALLET)),
            balance_nanos=row.wallet_after, hold_id=row.hold_id, actor=row.actor or "",
            reason=row.reason or "",
        )
        for row in rows
    )  # fmt: skip
