"""
A tenant's day against its usual curve: what was spent, what is expected, and when the money would be gone.

Read models only, on the same estimates as pacing (`outlay/demand.py`); shown in every mode of degradation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from outlay.demand import (
    DAY_US,
    HISTORY_DAYS,
    DemandRow,
    Past,
    past,
    quarter_start,
    running_day,
    window_of,
)
from outlay.demand_sql import Demand
from outlay.levels_sql import read_standing
from outlay.reports_budgets import BudgetWindow
from outlay.reports_money import TenantRow
from router.demand import QUARTER_US, Window, level
from router.policy import Policy

LATEST: Final = 4
"""Quarter-hours that tell how much of what is asked is spent."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """
    Shares of the day's budget at an instant.

    Attributes:
        usual: Spent by now if the budget lasted exactly, on the tenant's curve.
        spent: Spent until then; None for what is to come.
        projected: Spent by then if today goes on as it does; None for what is past.
    """

    at_us: int
    usual: float
    spent: float | None
    projected: float | None


@dataclass(frozen=True, slots=True)
class PaceReport:
    """
    The day of one tenant against its curve.

    Attributes:
        mode: Of degradation: steps, pace or off.
        days: Days of history behind the curve; 0 is an even day.
        rung: Levers that pacing has pulled.
        exhausted_us: When the budget would be spent as today goes; None if it lasts.
    """

    mode: str
    days: int
    rung: int
    points: tuple[CurvePoint, ...]
    exhausted_us: int | None


def pace_report(
    conn: Connection, row: TenantRow, policy: Policy, multiplier_ppm: int, now_us: int
) -> PaceReport | None:
    """
    Return a tenant's day against its curve; None without a budget that anything may be spent of.
    """
    day = row.day
    if day is None or not day.limit_nanos:
        return None
    read = Demand(conn.dialect.name)
    rows = read.rows(conn, row.tenant, now_us - HISTORY_DAYS * DAY_US, now_us)
    before = past(rows, row.timezone, now_us)
    window = window_of(before.known, row.timezone, day.starts_us, day.resets_us)
    today = [one for one in rows if one.quarter_us >= quarter_start(day.starts_us)]
    points = _points(before, window, day, today, multiplier_ppm, now_us)
    return PaceReport(
        mode=policy.degradation.mode,
        days=before.known.days,
        rung=read_standing(conn, row.tenant).pace.rung,
        points=points,
        exhausted_us=_exhausted(points),
    )


def _points(
    before: Past, window: Window, day: BudgetWindow, today: Sequence[DemandRow], ppm: int, now_us: int
) -> tuple[CurvePoint, ...]:
    limit = day.limit_nanos or 1
    spent: dict[int, int] = {}
    for row in today:
        spent[row.quarter_us] = spent.get(row.quarter_us, 0) + row.cost_nanos
    rate = _rate(before, window, day, today, now_us) * ppm / 1_000_000 / limit
    found, sum_nanos, here = [], 0, day.spent_nanos / limit
    passed_now = window.passed(now_us)
    starts = range(quarter_start(day.starts_us), day.resets_us + 1, QUARTER_US)
    for at_us in sorted({*starts, now_us}):
        passed = window.passed(at_us)
        usual = passed / window.days if window.days > 0 else 0.0
        ahead = None if at_us < now_us else here + rate * (passed - passed_now)
        so_far = None if at_us > now_us else here if at_us == now_us else sum_nanos * ppm / 1_000_000 / limit
        found.append(CurvePoint(at_us, usual, so_far, ahead))
        sum_nanos += spent.get(at_us, 0)
    return tuple(found)


def _rate(before: Past, window: Window, day: BudgetWindow, today: Sequence[DemandRow], now_us: int) -> float:
    """Give what a whole day would cost as today goes: its level, at the part of it that is spent lately."""
    budget_day = (day.limit_nanos or 0) / window.days if window.days > 0 else 0.0
    now = level(before.known, running_day(today, before, now_us), budget_day, now_us)
    latest = [row for row in today if row.quarter_us > now_us - (LATEST + 1) * QUARTER_US]
    asked = sum(row.asked_nanos for row in latest)
    return now.day_nanos * (sum(row.cost_nanos for row in latest) / asked if asked > 0 else 1.0)


def _exhausted(points: Sequence[CurvePoint]) -> int | None:
    return next((one.at_us for one in points if one.projected is not None and one.projected >= 1.0), None)
