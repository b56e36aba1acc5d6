"""
Budget windows in every zone of the tz database: they tile the time line, on the right dates.

Compared with windows worked out from nothing but the offsets of the zone (`ledger_calendar`). Days are swept
in every zone around each change of offset, and whole years in one zone of each set of changes;
`OUTLAY_TEST_LONG=1` sweeps whole years in every zone.
"""

import os
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import available_timezones

import ledger_calendar as calendar
import pytest

from ledger.books import Books
from ledger.budget import bounds, bounds_from, current_window, keep_window, known_timezone, meters
from ledger.rows import DAY, MONTH, WEEK, WINDOW_NAMES, Account, Budget

LONG = "OUTLAY_TEST_LONG" in os.environ
FIRST, LAST = date(2026, 1, 1), date(2027, 12, 31)
ZONES = sorted(zone for zone in available_timezones() if zone not in ("localtime", "Factory"))
SECOND_US, HOUR_US = calendar.SECOND_US, calendar.HOUR_US
ODDITIES = {
    "Pacific/Apia": (2011, 12, "no 30 December"),
    "Pacific/Kwajalein": (1993, 8, "no 21 August"),
    "Australia/Lord_Howe": (2026, 4, "half an hour of daylight saving"),
    "America/Santiago": (2026, 9, "no midnight in spring, two in autumn"),
    "America/Havana": (2026, 11, "midnight twice"),
    "Africa/Cairo": (2026, 4, "no midnight on the last Friday of April"),
    "Asia/Beirut": (2026, 3, "no midnight on the last Sunday of March"),
    "America/Sao_Paulo": (2018, 11, "no midnight while it had daylight saving"),
    "Asia/Pyongyang": (2018, 5, "the clock leaps half an hour at 23:30"),
    "America/Caracas": (2016, 5, "half an hour ahead at 02:30"),
    "Africa/Casablanca": (2026, 2, "daylight saving ends for Ramadan"),
    "America/Juneau": (1867, 10, "a day twice, and offsets with seconds"),
    "Asia/Manila": (1844, 12, "no 31 December"),
    "Antarctica/Troll": (2026, 3, "two hours of daylight saving"),
    "America/Nuuk": (2024, 3, "changes on a Saturday evening"),
    "Europe/Dublin": (2026, 10, "negative daylight saving"),
}


def second(day: date) -> int:
    """Return the UTC second at which a date begins in UTC."""
    return (day - calendar.EPOCH_DAY).days * calendar.DAY_S


@cache
def pieces(zone: str) -> tuple[calendar.Span, ...]:
    """Cut the years, and a month beside them, into spans of one offset."""
    around = timedelta(days=40)
    return tuple(calendar.spans(zone, second(FIRST - around), second(LAST + around)))


def starts(zone: str, days: list[date]) -> dict[date, int]:
    """Return the first instant of each date, in microseconds."""
    cut = list(pieces(zone))
    return {day: calendar.first_second(day, cut) * SECOND_US for day in days}


def check_days(zone: str, days: list[date]) -> None:
    """Each date's window begins and ends where the offsets say, and is found from both of its ends."""
    begun = starts(zone, [*days, days[-1] + timedelta(1)])
    for day, after in pairwise(begun):
        if begun[day] == begun[after]:
            continue
        for at_us in (begun[day], (begun[day] + begun[after]) // 2, begun[after] - 1):
            found = bounds(DAY, zone, at_us)
            assert (found.label, found.starts_us, found.ends_us) == (str(day), begun[day], begun[after]), zone
            assert at_us < found.ends_us


def test_every_zone_around_every_change_of_offset() -> None:
    """
    In each zone, the days around each change of its offset tile, with the local date as their label.
    """
    assert len(ZONES) > 500
    for zone in ZONES:
        assert known_timezone(zone)
        changes = [start for start, _, _ in pieces(zone)][1:] or [second(date(2026, 6, 15))]
        for change in changes:
            middle = datetime.fromtimestamp(change, UTC).date()
            check_days(zone, [middle + timedelta(days=shift) for shift in range(-2, 3)])


def distinct_zones() -> list[str]:
    """Return one zone of each set of changes."""
    groups: defaultdict[tuple[calendar.Span, ...], list[str]] = defaultdict(list)
    for zone in ZONES:
        groups[pieces(zone)].append(zone)
    return ZONES if LONG else [names[0] for names in groups.values()]


def test_years_of_days_tile() -> None:
    """
    Two whole years of days have neither gap nor overlap.
    """
    days = [FIRST + timedelta(days=count) for count in range((LAST - FIRST).days)]
    for zone in distinct_zones():
        check_days(zone, days)


@pytest.mark.parametrize("kind", [WEEK, MONTH])
def test_weeks_and_months_tile(kind: int) -> None:
    """
    Weeks begin on Monday and months on the first, at the first instant of that date; each ends where the next
    begins.
    """
    for zone in distinct_zones():
        cut = list(pieces(zone))
        at_us = second(FIRST) * SECOND_US
        while at_us < second(LAST) * SECOND_US:
            found = bounds(kind, zone, at_us)
            middle = datetime.fromtimestamp((found.starts_us + found.ends_us) // 2 / SECOND_US, UTC).date()
            first, after, label = calendar.dates(WINDOW_NAMES[kind], middle)
            ends = tuple(calendar.first_second(day, cut) * SECOND_US for day in (first, after))
            assert (found.label, found.starts_us, found.ends_us) == (label, *ends), zone
            assert bounds(kind, zone, found.ends_us - 1) == found
            at_us = found.ends_us


def test_hours_are_whole_and_tile_in_every_zone() -> None:
    """
    An hour window is an hour of UTC whatever the zone does.
    """
    for zone in ZONES:
        for change, _, _ in pieces(zone):
            found = bounds(0, zone, change * SECOND_US)
            assert found.ends_us - found.starts_us == HOUR_US
            assert found.starts_us <= change * SECOND_US < found.ends_us


@pytest.mark.parametrize("zone", ODDITIES)
def test_oddities_of_history_tile(zone: str) -> None:
    """
    Skipped days, repeated days, midnights that were not or came twice: still one window after the other.
    """
    year, month, _ = ODDITIES[zone]
    first = date(year, month, 1) - timedelta(days=8)
    at_us = calendar.day_start_us(zone, first)
    stop_us = at_us + 60 * 24 * HOUR_US
    seen: list[str] = []
    while at_us < stop_us:
        found = bounds(DAY, zone, at_us)
        assert (found.label, found.starts_us, found.ends_us) == calendar.window("day", zone, at_us)
        assert found.starts_us == at_us
        assert bounds(DAY, zone, found.ends_us - 1) == found
        seen.append(found.label)
        at_us = found.ends_us
    assert seen == sorted(set(seen)), "a date was repeated or went backwards"
    missing = {str(first + timedelta(days=count)) for count in range(len(seen))} - set(seen)
    assert missing <= {"2011-12-30", "1993-08-21", "1844-12-31"}


@pytest.mark.parametrize("kind", [DAY, WEEK, MONTH])
def test_changing_to_any_zone_leaves_no_gap_and_no_second_budget(kind: int) -> None:
    """
    From the end of a window in one zone, the first one of any other begins there and is not cut short.
    """
    froms = ("Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago", "America/Havana")
    for old in froms:
        ends_us = bounds(kind, old, second(date(2026, 10, 31)) * SECOND_US).ends_us
        for zone in distinct_zones():
            found = bounds_from(kind, zone, ends_us)
            label, _, wanted = calendar.window_after(WINDOW_NAMES[kind], zone, ends_us)
            assert (found.label, found.starts_us, found.ends_us) == (label, ends_us, wanted), (old, zone)
            assert bounds(kind, zone, found.ends_us).starts_us == found.ends_us, (
                "the next one does not follow"
            )


def test_resets_lie_in_the_future() -> None:
    """
    Whatever the zone and the instant, every gauge says a reset after now.
    """
    for zone in ZONES:
        for change, _, _ in pieces(zone)[:3]:
            for now_us in (change * SECOND_US - 1, change * SECOND_US):
                books = books_in(zone, now_us)
                for meter in meters(books, (), now_us)[1:]:
                    gauge = meter.gauge()
                    assert gauge.resets_us is not None
                    assert gauge.starts_us <= now_us < gauge.resets_us, (zone, gauge)


def books_in(zone: str, now_us: int) -> Books:
    """Return books with one budget of each window."""
    account = Account("t", 0, 0, 0, 0, 0, "", now_us, 0, 0, 1_000_000, 0, zone, now_us)
    books = Books("t", account)
    for kind, name in enumerate(WINDOW_NAMES):
        budget = Budget(f"t\ntenant\n{name}", "t", "tenant", kind, 5, None, None, 0, zone, 0)
        books.budgets["tenant", kind] = budget
        keep_window(books, budget, current_window(books, budget, now_us))
    return books
