"""
From stored sums of quarter-hours to what pacing goes by: the shell's part of `router/demand.py`.

Knows local time and the ledger's gauges, reads no database and no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from ledger.types import Gauge
from pricing.table import PriceTable
from router.demand import (
    NOT_PACED,
    QUARTER_US,
    Habits,
    Level,
    Outlook,
    Pace,
    PaceState,
    Quarter,
    Window,
    habits,
    level,
    outlook,
)
from router.policy import Policy
from router.tier_ratios import tier_ratios
from router.worth import price_curve

DAY_US: Final = 96 * QUARTER_US
DAY_QUARTERS_MAX: Final = 104
"""26 hours: no local day is longer."""
HISTORY_DAYS: Final = 29
"""Four weeks, and the day that has not ended."""
WORTH_DAYS: Final = 7
WORTH_FADES: Final = 0.3
"""What upgrades were worth on a day counts so much less than on the day after it."""
SCOPE_WEIGHT: Final = 0.01
"""A key or task is taken to ask for its budget until it has shown this share of a day."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DemandRow:
    """
    Sums of one quarter-hour and tier, as `outlay_demand` keeps them.

    Attributes:
        tier: That the calls start from, with money to spare; empty for those of no tier.
        asked_nanos: What they would have cost there, `least_nanos` on the cheapest tier allowed to each.
        cost_nanos: What they did cost.
    """

    quarter_us: int
    tier: str
    calls: int
    asked_nanos: int
    least_nanos: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class WorthRow:
    """
    Extra money of one day's calls whose upgrade has a worth of this bin (`router/worth.py`).
    """

    day_us: int
    bin: int
    extra_nanos: int


@dataclass(frozen=True, slots=True)
class Past:
    """
    What a tenant's stored demand says, apart from the running day.

    Attributes:
        zone: Of the tenant's day.
        today: Local date as a number, which all this holds for.
    """

    zone: str
    today: int
    known: Habits


def quarter_start(at_us: int) -> int:
    """
    Give the start of the quarter-hour of an instant.
    """
    return at_us - at_us % QUARTER_US


@lru_cache(maxsize=65_536)
def local_slot(zone: str, quarter_us: int) -> tuple[int, int]:
    """
    Give the slot of the week, and the number of the date, that the tenant's clock shows.
    """
    local = (_EPOCH + timedelta(microseconds=quarter_us)).astimezone(ZoneInfo(zone))
    return local.weekday() * 96 + local.hour * 4 + local.minute // 15, local.toordinal()


def quarters(rows: Sequence[DemandRow], zone: str) -> list[Quarter]:
    """
    Put rows on the tenant's clock, all tiers together.
    """
    sums: dict[int, tuple[int, int, int]] = {}
    for row in rows:
        calls, asked, least = sums.get(row.quarter_us, (0, 0, 0))
        sums[row.quarter_us] = (calls + row.calls, asked + row.asked_nanos, least + row.least_nanos)
    return [Quarter(start, *local_slot(zone, start), *found) for start, found in sorted(sums.items())]


def past(rows: Sequence[DemandRow], zone: str, at_us: int) -> Past:
    """
    Learn the habits of a tenant from the rows of some weeks.
    """
    today = local_slot(zone, quarter_start(at_us))[1]
    return Past(zone, today, habits(quarters(rows, zone), today))


def pace(
    before: Past,
    today: Sequence[DemandRow],
    worth: Sequence[WorthRow],
    gauges: Sequence[Gauge],
    policy: Policy,
    prices: PriceTable,
    at_us: int,
    *,
    multiplier_ppm: int = 1_000_000,
    state: PaceState = NOT_PACED,
) -> Pace:
    """
    Make what pacing goes by.

    Args:
        today: Rows since the local day began, at least.
    """
    day = running_day(today, before, at_us)
    found: list[Outlook] = []
    ratio: float | None = before.known.least_ratio
    for gauge in gauges:
        if gauge.limit_nanos is None or gauge.resets_us is None:
            continue
        window = window_of(before.known, before.zone, gauge.starts_us, gauge.resets_us)
        limit = gauge.limit_nanos * 1_000_000 / max(1, multiplier_ppm)
        now = level(before.known, day, limit / window.days if window.days > 0 else 0.0, at_us)
        ratio = now.least_ratio
        share = _share(gauge, limit, now, today, multiplier_ppm)
        found.append(outlook(gauge.name, window, _scaled(now, share), at_us))
    return Pace(
        days=before.known.days,
        outlooks=tuple(found),
        tier_ratios=tier_ratios(policy, _by_tier(today), ratio, prices, at_us),
        worth=price_curve(_faded(worth, at_us)),
        state=state,
    )


def running_day(rows: Sequence[DemandRow], before: Past, at_us: int) -> list[Quarter]:
    """
    Give every quarter-hour of the local day until now, the quiet ones as well.
    """
    came = {quarter.start_us: quarter for quarter in quarters(rows, before.zone)}
    day: list[Quarter] = []
    start_us = quarter_start(at_us)
    slot, date = local_slot(before.zone, start_us)
    today = date
    while date == today and len(day) < DAY_QUARTERS_MAX:
        day.append(came.get(start_us, Quarter(start_us, slot, date, 0, 0, 0)))
        start_us -= QUARTER_US
        slot, date = local_slot(before.zone, start_us)
    return day[::-1]


def window_of(known: Habits, zone: str, starts_us: int, ends_us: int) -> Window:
    """
    Put a budget window on the tenant's curve.
    """
    return Window(known, starts_us, ends_us, _slots(zone, quarter_start(starts_us), ends_us))


@lru_cache(maxsize=512)
def _slots(zone: str, starts_us: int, ends_us: int) -> tuple[int, ...]:
    return tuple(local_slot(zone, start)[0] for start in range(starts_us, ends_us, QUARTER_US))


def _share(gauge: Gauge, limit: float, now: Level, today: Sequence[DemandRow], multiplier_ppm: int) -> float:
    """Find how much of the tenant's demand a budget sees: all, unless it is that of a key, a task, a tag."""
    if gauge.scope == "tenant":
        return 1.0
    spent = gauge.spent_nanos * 1_000_000 / max(1, multiplier_ppm)
    tenant = sum(row.cost_nanos for row in today if row.quarter_us >= quarter_start(gauge.starts_us))
    prior = SCOPE_WEIGHT * now.day_nanos
    if tenant + prior <= 0:
        return 1.0
    return min(1.0, (spent + min(SCOPE_WEIGHT * limit, prior)) / (tenant + prior))


def _scaled(now: Level, share: float) -> Level:
    return Level(now.day_nanos * share, now.day_calls * share, now.least_ratio, now.spread)


def _by_tier(rows: Sequence[DemandRow]) -> Mapping[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.tier] = sums.get(row.tier, 0) + row.asked_nanos
    return sums


def _faded(rows: Sequence[WorthRow], at_us: int) -> Mapping[int, int]:
    sums: dict[int, float] = {}
    for row in rows:
        age = max(0, at_us // DAY_US - row.day_us // DAY_US)
        sums[row.bin] = sums.get(row.bin, 0.0) + row.extra_nanos * WORTH_FADES**age
    return {place: round(money) for place, money in sums.items()}
