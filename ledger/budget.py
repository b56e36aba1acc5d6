"""
Budget windows in the tenant's time zone, and what is left in them (pure).

The only module that knows time zones. A day starts at the UTC instant of local midnight with `fold=0`, which
is the first instant of that date in every zone and year checked, and ends where the next date starts; no
arithmetic with 24 hours. Rows are created at first use: nothing has to run at midnight.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from ledger.books import Books
from ledger.rows import COUNTS_COST, DAY, HOUR, MONTH, WEEK, WINDOW_NAMES, Account, Budget, Window
from ledger.types import Gauge

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The shortest window that daylight saving makes by itself; a change of zone must not make a shorter one,
# else switching zones would buy a second full budget.
_SHORTEST_US: Final = {HOUR: HOUR_US, DAY: 22 * HOUR_US, WEEK: 166 * HOUR_US, MONTH: 670 * HOUR_US}


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    A window's local label and its half-open span in UTC.
    """

    label: str
    starts_us: int
    ends_us: int


def known_timezone(name: str) -> bool:
    """
    Tell whether the time zone database has this name.
    """
    try:
        _zone(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, a folder of the database
        return False
    return True


@lru_cache(maxsize=1_024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=65_536)
def day_start_us(zone: str, day: date) -> int:
    """
    Return the first instant of a date in a zone.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=_zone(zone)).astimezone(UTC)
    return (midnight - _EPOCH) // timedelta(microseconds=1)


def local_date(zone: str, at_us: int) -> date:
    """
    Return the date whose window contains an instant.

    Where a zone falls back across midnight the clock shows the old date again; the window of the new date
    has begun all the same.
    """
    instant = _EPOCH + timedelta(microseconds=at_us)
    day = instant.astimezone(_zone(zone)).date()
    while at_us < day_start_us(zone, day):
        day -= timedelta(days=1)
    while at_us >= day_start_us(zone, day + timedelta(days=1)):
        day += timedelta(days=1)
    return day


def bounds(kind: int, zone: str, at_us: int) -> Bounds:
    """
    Return the window of a kind that contains an instant.

    Hours are UTC hours: the same as local hours in every zone with a whole-hour offset.
    """
    if kind == HOUR:
        start = at_us - at_us % HOUR_US
        label = (_EPOCH + timedelta(microseconds=start)).strftime("%Y-%m-%dT%HZ")
        return Bounds(label, start, start + HOUR_US)
    day = local_date(zone, at_us)
    first, after, label = _span(kind, day)
    return Bounds(label, day_start_us(zone, first), day_start_us(zone, after))


def _span(kind: int, day: date) -> tuple[date, date, str]:
    """
    Return the first date of a window, the first date after it, and its label.
    """
    if kind == DAY:
        return day, day + timedelta(days=1), day.isoformat()
    if kind == WEEK:
        monday = day - timedelta(days=day.weekday())
        year, week, _ = monday.isocalendar()
        return monday, monday + timedelta(days=7), f"{year}-W{week:02d}"
    assert kind == MONTH, kind
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1), f"{day.year}-{day.month:02d}"


def bounds_from(kind: int, zone: str, starts_us: int) -> Bounds:
    """
    Return the window that follows a change of zone: it starts where the old zone's window ended.

    It ends at the first boundary of the new zone that leaves it no shorter than a natural window.
    """
    natural = bounds(kind, zone, starts_us)
    while natural.ends_us - starts_us < _SHORTEST_US[kind]:
        natural = bounds(kind, zone, natural.ends_us)
    return Bounds(natural.label, starts_us, natural.ends_us)


def budget_id(tenant: str, scope: str, kind: int) -> str:
    """
    Return the id of a budget: unique, since a scope never contains a line feed.
    """
    return f"{tenant}\n{scope}\n{WINDOW_NAMES[kind]}"


def current_window(books: Books, budget: Budget, now_us: int) -> Window:
    """
    Return the window of a budget that contains an instant; a new one is not yet part of the books.
    """
    for window in books.windows.get(budget.id, {}).values():
        if window.starts_at <= now_us < window.ends_at:
            return window
    natural = bounds(budget.window_kind, budget.timezone, now_us)
    starts_us = max(natural.starts_us, budget.tiled_until)
    assert starts_us <= now_us < natural.ends_us, "the clock of an account never steps back"
    return new_window(budget, Bounds(natural.label, starts_us, natural.ends_us), now_us)


def new_window(budget: Budget, span: Bounds, now_us: int) -> Window:
    """
    Make an empty window.
    """
    return Window(
        budget_id=budget.id, starts_at=span.starts_us, tenant=budget.tenant, local_date=span.label,
        ends_at=span.ends_us, limit_amt=budget.limit_at(now_us), spent=0, held=0, held_expected=0, overage=0,
        fresh=True,
    )  # fmt: skip


def keep_window(books: Books, budget: Budget, window: Window) -> None:
    """
    Make a window part of the books and note that it changed.
    """
    if window.starts_at not in books.windows.get(budget.id, ()):
        books.add_window(window)
        if window.ends_at > budget.tiled_until:
            budget.tiled_until = window.ends_at
            books.changes.budgets[budget.id] = budget
    elif window.ends_at < books.windows_due_us:  # a change of zone has moved it
        books.windows_due_us = window.ends_at
    books.changes.windows[(budget.id, window.starts_at)] = window


@dataclass(slots=True)
class Meter:
    """
    One thing that limits a reservation, with the unit it counts in.
    """

    scope: str
    kind: int | None
    limit: int | None
    spent: int
    held: int
    expected: int
    counts_cost: bool = False
    budget: Budget | None = None
    window: Window | None = None

    def left(self, held: int) -> int | None:
        """
        Return what is left given an amount held; `None` is no limit.
        """
        return None if self.limit is None else self.limit - self.spent - held

    def fits(self, amount: int, held: int) -> bool:
        """
        Tell whether an amount fits beside what is spent and held.
        """
        return self.limit is None or self.spent + held + amount <= self.limit

    def gauge(self) -> Gauge:
        """
        Return the meter as callers see it.
        """
        if self.window is None or self.kind is None:
            return Gauge("credit", "credit", "", self.limit, 0, self.held, self.expected, 0, 0, None)
        kind = WINDOW_NAMES[self.kind]
        return Gauge(
            f"{self.scope}/{kind}", self.scope, kind, self.limit, self.spent, self.held, self.expected,
            self.window.overage, self.window.starts_at, self.window.ends_at, self.counts_cost,
        )  # fmt: skip


def credit_meter(account: Account) -> Meter:
    """
    Return the credit as a meter: limit is the posted wallet, nothing of it is spent.
    """
    return Meter("credit", None, account.wallet, 0, account.held, account.held_expected)


def budget_meter(budget: Budget, window: Window, now_us: int) -> Meter:
    """
    Return one budget window as a meter.
    """
    return Meter(
        budget.scope, budget.window_kind, budget.limit_at(now_us), window.spent, window.held,
        window.held_expected, budget.counts == COUNTS_COST, budget, window,
    )  # fmt: skip


def meters(books: Books, scopes: tuple[str, ...], now_us: int) -> list[Meter]:
    """
    Return everything that limits a reservation in these scopes: the credit first, then the budgets.

    Order: the tenant's own budgets, then the scopes as given; short windows before long ones.
    """
    assert books.account is not None
    found = [credit_meter(books.account)]
    for scope in dict.fromkeys(("tenant", *scopes)):
        assert books.knows(scope), f"the budgets of {scope} are not loaded"
        for kind in (HOUR, DAY, WEEK, MONTH):
            budget = books.budgets.get((scope, kind))
            if budget is not None:
                found.append(budget_meter(budget, current_window(books, budget, now_us), now_us))
    return found
