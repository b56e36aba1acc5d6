"""
Budget windows in every time zone: they tile the time line, through daylight saving and changes of zone.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from ledger.budget import bounds, bounds_from, day_start_us, known_timezone, local_date
from ledger.rows import DAY, HOUR, MONTH, WEEK
from ledger.store_memory import MemoryLedger
from ledger.types import (
    BudgetSet,
    Held,
    Offer,
    OpenAccount,
    Reason,
    Refused,
    Reserve,
    SetAccount,
    SetBudget,
    Settle,
)

HOUR_US = 3_600 * 1_000_000
ODD_ZONES = (
    "Africa/Cairo", "America/Santiago", "Asia/Beirut", "America/Asuncion", "America/Havana", "Pacific/Apia",
    "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati", "Antarctica/Troll",
    "Europe/Berlin", "Asia/Tehran", "America/Scoresbysund", "UTC",
)  # fmt: skip


def us(*when: int) -> int:
    """Return a UTC instant in microseconds."""
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000


def test_days_of_every_zone_tile_the_time_line() -> None:
    """
    In every zone, around every day of 2026 on which its offset changes, each day ends where the next starts,
    and the first instant of a day is its own.
    """
    for zone in sorted(available_timezones()):
        for day in _days_of_change(zone):
            for offset in (-1, 0, 1):
                one = day + timedelta(days=offset)
                start, end = day_start_us(zone, one), day_start_us(zone, one + timedelta(days=1))
                assert start < end, (zone, one)
                assert 22 * HOUR_US <= end - start <= 26 * HOUR_US, (zone, one)
                assert (local_date(zone, start), local_date(zone, end - 1)) == (one, one)
                assert local_date(zone, start - 1) == one - timedelta(days=1)


def _days_of_change(zone: str) -> list[date]:
    """Return the days of 2026 on which a zone's offset changes, and one plain day."""
    info, first = ZoneInfo(zone), datetime(2026, 1, 1)
    days = [first + timedelta(days=n) for n in range(366)]
    offsets = [day.replace(tzinfo=info).utcoffset() for day in days]
    changes = [day.date() for day, a, b in zip(days, offsets, offsets[1:], strict=False) if a != b]
    return [date(2026, 7, 4), *changes]


@pytest.mark.parametrize("zone", ODD_ZONES)
@pytest.mark.parametrize("kind", [HOUR, DAY, WEEK, MONTH])
def test_windows_tile_for_two_years_in_odd_zones(zone: str, kind: int) -> None:
    """
    Windows of every kind follow each other without gap or overlap and contain the instants they are for.
    """
    at = us(2025, 12, 30)
    window = bounds(kind, zone, at)
    for _ in range(760 if kind == DAY else 110):
        assert window.starts_us <= at < window.ends_us
        assert bounds(kind, zone, window.ends_us - 1) == window
        following = bounds(kind, zone, window.ends_us)
        assert following.starts_us == window.ends_us
        window, at = following, following.starts_us


def test_samoa_has_no_30th_of_december_2011() -> None:
    """
    A date that a zone skipped has no window; the days before and after it touch.
    """
    start = day_start_us("Pacific/Apia", date(2011, 12, 31))
    assert day_start_us("Pacific/Apia", date(2011, 12, 30)) == start
    assert bounds(DAY, "Pacific/Apia", start - 1).label == "2011-12-29"
    assert bounds(DAY, "Pacific/Apia", start).label == "2011-12-31"


def test_day_without_midnight_starts_at_its_first_instant() -> None:
    """
    In Cairo the clock jumps from 24 April 2026 00:00 to 01:00: the day starts at that jump, 22:00 UTC.
    """
    assert day_start_us("Africa/Cairo", date(2026, 4, 24)) == us(2026, 4, 23, 22)
    assert day_start_us("Europe/Berlin", date(2026, 3, 29)) == us(2026, 3, 28, 23)
    assert day_start_us("Europe/Berlin", date(2026, 3, 30)) == us(2026, 3, 29, 22)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe", "Europe/Berlin\0", "/etc"])
def test_names_that_are_no_zone(name: str) -> None:
    """
    What is not in the time zone database is told apart without an exception.
    """
    assert not known_timezone(name)


@pytest.mark.parametrize("old", ["Pacific/Kiritimati", "Europe/Berlin", "Etc/GMT+12"])
@pytest.mark.parametrize("new", ODD_ZONES)
def test_changing_zones_gives_no_second_budget(old: str, new: str) -> None:
    """
    The first window of the new zone starts where the old one's ended and is no shorter than a natural day.
    """
    end = bounds(DAY, old, us(2026, 5, 5, 12)).ends_us
    following = bounds_from(DAY, new, end)
    assert following.starts_us == end
    assert 22 * HOUR_US <= following.ends_us - end < 50 * HOUR_US
    assert bounds(DAY, new, following.ends_us).starts_us == following.ends_us


class Tenant:
    """A tenant with much credit and a budget."""

    def __init__(self, limit: int | None = 1_000, zone: str = "Europe/Berlin") -> None:
        self.ledger = MemoryLedger()
        self.now = us(2026, 11, 21, 10)
        self.count = 0
        self.ledger.do(OpenAccount("t", "open", self.now, zone, 10**9, limit))

    def spend(self, cost: int, *scopes: str) -> Held | Refused:
        """Reserve and settle."""
        self.count += 1
        name = f"{self.count}"
        held = self.ledger.do(Reserve("t", name, self.now, name, (Offer(cost, cost),), scopes=scopes))
        assert isinstance(held, Held | Refused)
        self.ledger.do(Settle("t", name + "s", self.now, name, cost))
        return held

    def set_budget(
        self, limit: int | None, scope: str = "tenant", window: str = "day", until: int | None = None
    ) -> None:
        """Set a limit."""
        self.count += 1
        done = self.ledger.do(SetBudget("t", f"b{self.count}", self.now, limit, scope, window, until))
        assert isinstance(done, BudgetSet), done


def test_budget_resets_at_local_midnight() -> None:
    """
    A spent budget refuses until midnight in Berlin (23:00 UTC in winter), names that instant, then admits.
    """
    tenant = Tenant()
    assert isinstance(tenant.spend(1_000), Held)
    refused = tenant.spend(1)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BUDGET_EXHAUSTED
    assert refused.numbers["resets_us"] == us(2026, 11, 21, 23)
    tenant.now = us(2026, 11, 21, 23) - 1
    assert isinstance(tenant.spend(1), Refused)
    tenant.now += 1
    assert isinstance(tenant.spend(1_000), Held)


def test_hold_counts_on_the_day_of_its_authorization() -> None:
    """
    Held before midnight and settled after it: the old day bears it, the new day is untouched.
    """
    tenant = Tenant()
    tenant.now = us(2026, 11, 21, 22, 59)
    tenant.ledger.do(Reserve("t", "a", tenant.now, "a", (Offer(700, 1),)))
    tenant.now = us(2026, 11, 21, 23, 1)
    assert isinstance(tenant.spend(1_000), Held)
    tenant.ledger.do(Settle("t", "as", tenant.now, "a", 650))
    rows = {row[3]: row[6:8] for row in tenant.ledger.rows("ledger_budget_window")}
    assert rows == {"2026-11-21": (650, 0), "2026-11-22": (1_000, 0)}


def test_new_zone_starts_at_the_old_zones_next_boundary() -> None:
    """
    The running day is not cut short, and a zone corrected before it began leaves no trace.
    """
    tenant = Tenant()
    tenant.spend(1_000)
    tenant.ledger.do(SetAccount("t", "z1", tenant.now, timezone="America/New_York"))
    tenant.now += 12 * HOUR_US
    assert isinstance(tenant.spend(1), Refused), "still the old day"
    tenant.now = us(2026, 11, 21, 23)
    assert isinstance(tenant.spend(1_000), Held)
    tenant.now = us(2026, 11, 22, 23)
    assert isinstance(tenant.spend(1), Refused), "the first day in New York lasts to its second midnight"
    tenant.now = us(2026, 11, 23, 5)
    assert isinstance(tenant.spend(1_000), Held)


def test_zone_corrected_before_it_began() -> None:
    """
    A second change before the boundary replaces the first.
    """
    tenant = Tenant()
    tenant.ledger.do(SetAccount("t", "z1", tenant.now, timezone="Asia/Tokyo"))
    tenant.ledger.do(SetAccount("t", "z2", tenant.now, timezone="Europe/Berlin"))
    spans = sorted((row[1], row[4]) for row in tenant.ledger.rows("ledger_budget_window"))
    assert spans == [
        (us(2026, 11, 20, 23), us(2026, 11, 21, 23)),
        (us(2026, 11, 21, 23), us(2026, 11, 22, 23)),
    ]


def test_zero_is_a_limit_and_none_is_not() -> None:
    """
    A budget of 0 lets nothing be spent (but a free call), no budget lets everything.
    """
    tenant = Tenant(limit=0)
    assert isinstance(tenant.spend(0), Held)
    assert isinstance(tenant.spend(1), Refused)
    tenant.set_budget(None)
    assert isinstance(tenant.spend(10**6), Held)


@pytest.mark.parametrize("window", ["hour", "day", "week", "month"])
def test_every_window_kind_of_a_scope_limits(window: str) -> None:
    """
    A key's budget limits calls with that key, and no others.
    """
    tenant = Tenant(limit=None)
    tenant.set_budget(100, "key:a", window)
    assert isinstance(tenant.spend(100, "key:a"), Held)
    refused = tenant.spend(1, "key:a", "task:b")
    assert isinstance(refused, Refused)
    assert (refused.numbers["budget_scope"], refused.numbers["budget_window"]) == ("key:a", window)
    assert isinstance(tenant.spend(1, "key:other"), Held)
    tenant.now += 32 * 24 * HOUR_US
    assert isinstance(tenant.spend(100, "key:a"), Held)


def test_temporary_raise_ends_by_itself() -> None:
    """
    A raise with an end is in force until then; the standing limit returns.
    """
    tenant = Tenant(limit=100)
    tenant.spend(100)
    tenant.set_budget(300, until=tenant.now + HOUR_US)
    assert isinstance(tenant.spend(150), Held)
    tenant.now += HOUR_US
    refused = tenant.spend(1)
    assert isinstance(refused, Refused)
    assert refused.numbers["limit_nanos"] == 100


def test_lowering_refuses_only_new_work() -> None:
    """
    A limit lowered below what is spent leaves what was admitted, and admits nothing more.
    """
    tenant = Tenant(limit=1_000)
    tenant.ledger.do(Reserve("t", "a", tenant.now, "a", (Offer(800, 1),)))
    tenant.set_budget(100)
    refused = tenant.spend(1)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BUDGET_BUSY
    tenant.ledger.do(Settle("t", "as", tenant.now, "a", 800))
    refused = tenant.spend(1)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BUDGET_EXHAUSTED
