"""
Budget windows worked out again from the offsets of a zone, to check the ledger's own.

The ledger asks `zoneinfo` for local midnight. Here a zone is only a function from instants to offsets: it is
cut into spans of one offset, and a date begins at the first instant whose local clock has reached it.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_S = 86_400
STEP_S = 6 * 3_600
EPOCH_DAY = date(1970, 1, 1)
KINDS = ("hour", "day", "week", "month")
# A change of zone makes no window shorter than daylight saving makes by itself.
SHORTEST_US = {"hour": HOUR_US, "day": 22 * HOUR_US, "week": 166 * HOUR_US, "month": 670 * HOUR_US}

Span = tuple[int, int, int]
Window = tuple[str, int, int]


@lru_cache(maxsize=2_000_000)
def offset_s(zone: str, at_s: int) -> int:
    """Return the offset from UTC at an instant."""
    shift = datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    assert shift is not None
    return int(shift.total_seconds())


def spans(zone: str, from_s: int, to_s: int) -> list[Span]:
    """Cut a stretch of time into spans of one offset: (start, end, offset)."""
    found: list[Span] = []
    start, offset = from_s, offset_s(zone, from_s)
    for step in range(from_s, to_s, STEP_S):
        after = min(step + STEP_S, to_s)
        if offset_s(zone, after) == offset:
            continue
        change = _change(zone, step, after, offset)
        found.append((start, change, offset))
        start, offset = change, offset_s(zone, change)
    return [*found, (start, to_s, offset)]


def _change(zone: str, before_s: int, after_s: int, offset: int) -> int:
    """Find the first second of a new offset by halving."""
    while after_s - before_s > 1:
        middle = (before_s + after_s) // 2
        if offset_s(zone, middle) == offset:
            before_s = middle
        else:
            after_s = middle
    return after_s


def first_second(day: date, pieces: list[Span]) -> int:
    """Return the first instant, among spans, whose local clock has reached a date."""
    local = (day - EPOCH_DAY).days * DAY_S
    for start, end, offset in pieces:
        reached = max(start, local - offset)
        if reached < end:
            return reached
    raise AssertionError(f"{day} is not in these spans")


@lru_cache(maxsize=200_000)
def day_start_us(zone: str, day: date) -> int:
    """Return the first instant of a date."""
    noon = (day - EPOCH_DAY).days * DAY_S
    return first_second(day, spans(zone, noon - 3 * DAY_S, noon + 3 * DAY_S)) * SECOND_US


def date_of(zone: str, at_us: int) -> date:
    """Return the newest date that has begun."""
    near = EPOCH_DAY + timedelta(days=at_us // (DAY_S * SECOND_US))
    return max(
        day
        for day in (near + timedelta(days=shift) for shift in range(-2, 3))
        if day_start_us(zone, day) <= at_us
    )


def window(kind: str, zone: str, at_us: int) -> Window:
    """Return label, start and end of the window that contains an instant."""
    if kind == "hour":
        hour = at_us // HOUR_US
        label = datetime.fromtimestamp(hour * 3_600, UTC).strftime("%Y-%m-%dT%HZ")
        return label, hour * HOUR_US, (hour + 1) * HOUR_US
    day = date_of(zone, at_us)
    first, after, label = dates(kind, day)
    return label, day_start_us(zone, first), day_start_us(zone, after)


def dates(kind: str, day: date) -> tuple[date, date, str]:
    """Return the first date of a window, the first one after it, and its label."""
    if kind == "day":
        return day, day + timedelta(1), str(day)
    if kind == "week":
        year, week, weekday = day.isocalendar()
        monday = day - timedelta(weekday - 1)
        return monday, monday + timedelta(7), f"{year}-W{week:02d}"
    after = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return date(day.year, day.month, 1), after, f"{day.year}-{day.month:02d}"


def window_after(kind: str, zone: str, starts_us: int) -> Window:
    """Return the window of a new zone that starts where the old zone's window ended."""
    at_us = starts_us
    while True:
        label, _, ends_us = window(kind, zone, at_us)
        if ends_us - starts_us >= SHORTEST_US[kind]:
            return label, starts_us, ends_us
        at_us = ends_us
