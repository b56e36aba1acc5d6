"""
Read model about budgets: what each window of a tenant allows, what is spent, held and left of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ledger import reads, tables
from ledger.books import Books
from ledger.budget import current_window
from ledger.journal import budget_subject
from ledger.journal_reads import budgets_since
from ledger.rows import COUNTS_NAMES, DAY, WINDOW_NAMES, Budget, Window

TENANT: Final = "tenant"
"""The scope of all of a tenant's calls."""
LOW_RATIO: Final = 0.2
"""Share of a budget under which the dashboard calls it low."""
LINES_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class BudgetWindow:
    """
    A budget's window that is open now; `limit_nanos` None is no limit.
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
        Return what may still be held in the window; None is no limit, and never less than 0.
        """
        if self.limit_nanos is None:
            return None
        return max(0, self.limit_nanos - self.spent_nanos - self.held_nanos)

    @property
    def remaining_ratio(self) -> float | None:
        """
        Return the share of the budget that is neither spent nor held; 0 where the limit is 0.
        """
        left, limit = self.remaining_nanos, self.limit_nanos
        if left is None or limit is None:
            return None
        return left / limit if limit > 0 else 0.0

    @property
    def is_low(self) -> bool:
        """
        Tell whether little of the budget is left.
        """
        left = self.remaining_ratio
        return left is not None and left < LOW_RATIO


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """
    One budget of a tenant.

    Attributes:
        scope: `tenant`, or the part of its calls that it limits: key, task, user or tag.
        name: What people call the scope, where that differs: of a key its name.
        window: hour, day, week or month.
        counts: `charge` (what the tenant pays) or `cost` (what the provider bills).
        raised_until_us: End of the raise that is in force; `standing_nanos` holds again after it.
        timezone: In which its windows run; a change of the tenant's zone comes with its next window.
        counts_from_us: When it was set within the window that runs: what was held before in it is not in it.
            None: it counts the whole window. Only `all_budgets` knows.
    """

    scope: str
    name: str
    window: str
    counts: str
    standing_nanos: int | None
    raised_until_us: int | None
    timezone: str
    now: BudgetWindow
    counts_from_us: int | None = None


def own_budgets(
    conn: Connection, now_us: int, tenant: str | None = None
) -> Mapping[str, tuple[BudgetLine, ...]]:
    """
    Return the budgets on all calls of each tenant, or of one, the shortest window first.
    """
    found: dict[str, tuple[BudgetLine, ...]] = {}
    for name, line in _lines(conn, now_us, tenant, tables.budget.c.scope == TENANT):
        found[name] = (*found.get(name, ()), line)
    return found


def all_budgets(
    conn: Connection, tenant: str, now_us: int, key_names: Mapping[str, str], *, most: int | None = LINES_MAX
) -> tuple[BudgetLine, ...]:
    """
    Return every budget of a tenant: on all its calls, then by scope.

    Args:
        key_names: Names of the tenant's keys by their ids.
        most: Of more than these only the tightest; None is all.
    """
    lines = [line for _, line in _lines(conn, now_us, tenant, sa.true(), key_names)]
    account, since = reads.account(conn, tenant), budgets_since(conn, tenant)
    opened_us = 0 if account is None else account.opened_us
    if most is not None and len(lines) > most:
        lines = sorted(lines, key=_tightness)[:most]
    order = {kind: place for place, kind in enumerate(WINDOW_NAMES)}
    lines.sort(key=lambda line: (line.scope != TENANT, line.scope, order[line.window]))
    return tuple(replace(line, counts_from_us=_midway_us(line, since, opened_us)) for line in lines)


def _midway_us(line: BudgetLine, since: Mapping[str, int], opened_us: int) -> int | None:
    return counts_from_us(since, line.scope, line.window, max(line.now.starts_us, opened_us))


def counts_from_us(since: Mapping[str, int], scope: str, window: str, starts_us: int) -> int | None:
    """
    Return from when a budget counts its window; None from the beginning.

    Args:
        starts_us: Of the window, or of the account where that is later: before it there was nothing to count.
    """
    set_us = since.get(budget_subject(scope, WINDOW_NAMES.index(window)), 0)
    return set_us if set_us > starts_us else None


def _tightness(line: BudgetLine) -> tuple[bool, float]:
    left = line.now.remaining_ratio
    return line.scope != TENANT, 1.0 if left is None else left


def day_of(lines: tuple[BudgetLine, ...]) -> BudgetWindow | None:
    """
    Return the day among a tenant's own budgets.
    """
    return next((line.now for line in lines if line.window == WINDOW_NAMES[DAY]), None)


def _lines(
    conn: Connection,
    now_us: int,
    tenant: str | None,
    which: sa.ColumnElement[bool],
    key_names: Mapping[str, str] | None = None,
) -> list[tuple[str, BudgetLine]]:
    """Read budgets and their open windows with two queries; a window without a row is still empty."""
    budget, window = tables.budget, tables.budget_window
    budgets = sa.select(budget).where(which).order_by(budget.c.tenant, budget.c.scope, budget.c.window_kind)
    current = sa.select(window).where(window.c.starts_at <= now_us, window.c.ends_at > now_us)
    if tenant is not None:
        budgets = budgets.where(budget.c.tenant == tenant)
        current = current.where(window.c.tenant == tenant)
    windows = {row.budget_id: Window(*row) for row in conn.execute(current)}
    found = [Budget(*row) for row in conn.execute(budgets)]
    return [(one.tenant, _line(one, windows.get(one.id), now_us, key_names or {})) for one in found]


def _line(budget: Budget, window: Window | None, now_us: int, key_names: Mapping[str, str]) -> BudgetLine:
    shown = window or current_window(Books(budget.tenant), budget, max(now_us, budget.tiled_until))
    raised = budget.valid_until is not None and now_us < budget.valid_until
    kind, _, key_id = budget.scope.partition(":")
    return BudgetLine(
        scope=budget.scope,
        name=key_names.get(key_id, "") if kind == "key" else "",
        window=WINDOW_NAMES[budget.window_kind],
        counts=COUNTS_NAMES[budget.counts],
        standing_nanos=budget.limit_amt,
        raised_until_us=budget.valid_until if raised else None,
        timezone=budget.timezone,
        now=BudgetWindow(
            budget.limit_at(now_us), shown.spent, shown.held, shown.overage, shown.starts_at, shown.ends_at
        ),
    )
