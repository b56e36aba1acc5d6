"""
What a tenant will still ask for: the curve of its days, the level of its demand today, and the money to keep
back.

Works on sums of quarter-hours that the shell has stored; which local quarter-hour an instant belongs to is
the shell's to say, as only the ledger knows time zones. These are estimates, never bounds, and so are floats:
what may be spent is decided by the ledger alone. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt
from typing import Final

QUARTER_US: Final = 15 * 60 * 1_000_000
DAY_SLOTS: Final = 96
WEEK_SLOTS: Final = 7 * DAY_SLOTS
HALF_LIFE_US: Final = 60 * 60 * 1_000_000
"""What came an hour ago tells half as much about the rest of the day as what comes now."""
RECENT_WEIGHT: Final = 0.05
"""The day so far counts as much as this share of a day of the latest traffic."""
HISTORY_WEIGHT: Final = 0.30
BUDGET_WEIGHT: Final = 0.05
"""A usual day counts as much as this share of today; without history, "exactly the budget" counts so much."""
SHRINK_DAYS: Final = 7
"""A curve of so many days is believed by half."""
AGE_HALVES_DAYS: Final = 10
"""A day that is so much older counts half: about four weeks are remembered."""
RESERVE_SDS: Final = 1.645
"""The reserve covers demand up to so many standard deviations: 95 times of 100."""
SPREAD_LEVEL: Final = 0.30
"""Relative spread of a day's level before the day began."""
SPREAD_REST: Final = 0.12
"""Relative spread of the rest of a day, however well its level is known."""
SPREAD_GUSTS: Final = 0.01
"""Variance, in days, that a day of traffic gathers by its gusts."""
SPREAD_CALLS: Final = 9.0
"""Variance of the cost of one call, relative to the square of its mean."""


@dataclass(frozen=True, slots=True)
class Quarter:
    """
    What a tenant's calls of one quarter of an hour have cost.

    Args:
        slot: Local weekday (Monday is 0) times 96, plus the quarter-hour of the local day.
        day: Local date as a number; consecutive dates follow each other.
        asked_nanos: What they would have cost as asked.
        least_nanos: What they would have cost on the cheapest tier that each of them may be served from.
    """

    start_us: int
    slot: int
    day: int
    calls: int
    asked_nanos: int
    least_nanos: int


@dataclass(frozen=True, slots=True)
class Habits:
    """
    What is usual for a tenant, from the days before this one.

    Args:
        days: Days with traffic that this was learned from.
        shares: Share of its day that each slot of the week has; each day adds up to 1.
        day_nanos: Cost of a usual day as asked; 0 without history.
        day_calls: Calls of a usual day.
        least_ratio: What the cheapest tier costs of what was asked; None without history.
    """

    days: int
    shares: tuple[float, ...]
    day_nanos: float = 0.0
    day_calls: float = 0.0
    least_ratio: float | None = None


UNIFORM: Final = Habits(days=0, shares=(1 / DAY_SLOTS,) * WEEK_SLOTS)


@dataclass(frozen=True, slots=True)
class Outlook:
    """
    What one budget has to last for, as estimated at an instant.

    Args:
        gauge: Name of the budget, as in the headroom.
        curve_left: Share of the window's expected traffic that is still to come.
        asked_nanos: Expected cost of that traffic as asked.
        least_nanos: Expected cost on the cheapest tier; None while nothing is known about it.
        reserve_nanos: The same at an upper quantile: what has to be kept back for it.
        call_nanos: Mean cost of a call as asked.
        resets_us: End of the window.
        within_day: The window is no longer than a day.
    """

    gauge: str
    curve_left: float
    asked_nanos: int
    least_nanos: int | None
    reserve_nanos: int | None
    call_nanos: int
    resets_us: int
    within_day: bool


@dataclass(frozen=True, slots=True)
class PaceState:
    """
    Where pacing stands between two calls of a tenant.

    Args:
        rung: Levers that pacing has pulled, in their order (`router.pace.rungs`); 0 for none.
        since_us: When the last one was pulled or let go.
        moves: Rungs left within the last hour, each with its instant, to notice a flutter.
    """

    rung: int = 0
    since_us: int = 0
    moves: tuple[tuple[int, int], ...] = ()


NOT_PACED: Final = PaceState()
"""Where pacing stands before it ever began."""


@dataclass(frozen=True, slots=True)
class Pace:
    """
    What pacing knows of a tenant: stored with each decision that was made by it.

    Args:
        days: Days of history behind the curve.
        outlooks: What each budget with a limit and an end has to last for.
        tier_ratios: Expected cost with each tier as the highest one served, per cost as asked.
        worth: See `router.worth.price_curve`.
    """

    days: int
    outlooks: tuple[Outlook, ...]
    tier_ratios: tuple[float, ...]
    worth: tuple[float, ...] = ()
    state: PaceState = NOT_PACED


def habits(history: Sequence[Quarter], today: int) -> Habits:
    """
    Learn the curve of each weekday from finished days: its own mean, leaning on the mean of all days, leaning
    on an even day.
    """
    days: dict[int, list[Quarter]] = {}
    for quarter in history:
        if quarter.day < today and quarter.asked_nanos > 0:
            days.setdefault(quarter.day, []).append(quarter)
    if not days:
        return UNIFORM
    weights = {day: 0.5 ** ((today - day) / AGE_HALVES_DAYS) for day in days}
    total = sum(weights.values())
    asked = sum(weights[day] * _asked(found) for day, found in days.items())
    least = sum(weights[day] * sum(q.least_nanos for q in found) for day, found in days.items())
    calls = sum(weights[day] * sum(q.calls for q in found) for day, found in days.items())
    return Habits(len(days), _shares(days, weights), asked / total, calls / total, least / asked)


def _asked(quarters: Sequence[Quarter]) -> int:
    return sum(quarter.asked_nanos for quarter in quarters)


def _shares(days: Mapping[int, Sequence[Quarter]], weights: Mapping[int, float]) -> tuple[float, ...]:
    every = _leaning(days, weights, (1 / DAY_SLOTS,) * DAY_SLOTS)
    shares: list[float] = []
    for weekday in range(7):
        same = {day: found for day, found in days.items() if found[0].slot // DAY_SLOTS == weekday}
        shares += _leaning(same, weights, every)
    return tuple(shares)


def _leaning(
    days: Mapping[int, Sequence[Quarter]], weights: Mapping[int, float], prior: Sequence[float]
) -> Sequence[float]:
    """Mean curve of n days, leaning on another one: n / (n + 7) of it is their own."""
    if not days:
        return prior
    sums, total = [0.0] * DAY_SLOTS, sum(weights[day] for day in days)
    for day, found in days.items():
        whole = _asked(found)
        for quarter in found:
            sums[quarter.slot % DAY_SLOTS] += weights[day] * quarter.asked_nanos / whole
    own = len(days) / (len(days) + SHRINK_DAYS)
    return [own * one / total + (1 - own) * other for one, other in zip(sums, prior, strict=True)]


class Window:
    """
    One budget window on the tenant's curve.

    Args:
        starts_us: Start of the window's first quarter-hour.
        slots: Slot of each quarter-hour of the window by local time; a day has 92 or 100 when clocks change.
    """

    def __init__(self, known: Habits, starts_us: int, ends_us: int, slots: Sequence[int]) -> None:
        """
        Add the curve up once, so that any instant is found quickly.
        """
        self.starts_us = starts_us
        self.ends_us = ends_us
        self._passed = (0.0, *accumulate(known.shares[slot] for slot in slots))

    @property
    def days(self) -> float:
        """
        Give the traffic of the whole window, in usual days.
        """
        return self._passed[-1]

    @property
    def within_day(self) -> bool:
        """
        Tell whether the window is no longer than a day with a change of clocks.
        """
        return len(self._passed) <= DAY_SLOTS + 5

    def passed(self, at_us: int) -> float:
        """
        Give the traffic expected from the start until an instant, in usual days.
        """
        place = (min(at_us, self.ends_us) - self.starts_us) / QUARTER_US
        if place <= 0:
            return 0.0
        whole = min(int(place), len(self._passed) - 2)
        before, after = self._passed[whole], self._passed[whole + 1]
        return before + min(1.0, place - whole) * (after - before)


@dataclass(frozen=True, slots=True)
class Level:
    """
    How much a tenant asks for today.

    Args:
        day_nanos: Cost of a whole day at this level, as asked.
        day_calls: Calls of a whole day at this level.
        least_ratio: What the cheapest tier costs of that; None while nothing is known.
        spread: Relative standard deviation of the level.
    """

    day_nanos: float
    day_calls: float
    least_ratio: float | None
    spread: float


def level(known: Habits, today: Sequence[Quarter], budget_day_nanos: float, at_us: int) -> Level:
    """
    Estimate today's level: the latest traffic, leaning on the day so far, leaning on a usual day.

    Args:
        today: Every quarter-hour from the start of the local day to the running one, quiet ones included.
        budget_day_nanos: What a day may cost; stands for a usual day where there is no history.
    """
    weight = HISTORY_WEIGHT if known.days else BUDGET_WEIGHT
    usual = known.day_nanos if known.days else budget_day_nanos
    passed = [min(1.0, max(0.0, (at_us - quarter.start_us) / QUARTER_US)) for quarter in today]
    seen = [share * known.shares[quarter.slot] for share, quarter in zip(passed, today, strict=True)]
    fresh = [0.5 ** ((at_us - quarter.start_us) / HALF_LIFE_US) for quarter in today]
    so_far = (_asked(today) + weight * usual) / (sum(seen) + weight)
    latest = sum(one * quarter.asked_nanos for one, quarter in zip(fresh, today, strict=True))
    latest_seen = sum(one * share for one, share in zip(fresh, seen, strict=True))
    return Level(
        day_nanos=(latest + RECENT_WEIGHT * so_far) / (latest_seen + RECENT_WEIGHT),
        day_calls=(sum(q.calls for q in today) + weight * known.day_calls) / (sum(seen) + weight),
        least_ratio=_least_ratio(known, today, weight),
        spread=SPREAD_LEVEL * sqrt(weight / (weight + sum(seen))),
    )


def _least_ratio(known: Habits, today: Sequence[Quarter], weight: float) -> float | None:
    """Find what the cheapest tier costs of what is asked, today's calls with those of the days before."""
    asked, least = float(_asked(today)), float(sum(quarter.least_nanos for quarter in today))
    if known.least_ratio is not None:
        asked, least = asked + weight * known.day_nanos, least + weight * known.day_nanos * known.least_ratio
    return least / asked if asked > 0 else None


def outlook(gauge: str, window: Window, now: Level, at_us: int) -> Outlook:
    """
    Project the demand until the end of a window, and what of the money has to be kept for it.
    """
    left = max(0.0, window.days - window.passed(at_us))
    asked, ratio = now.day_nanos * left, now.least_ratio
    kept = left + RESERVE_SDS * _spread_days(now, left)
    return Outlook(
        gauge=gauge,
        curve_left=round(left / window.days, 6) if window.days > 0 else 0.0,
        asked_nanos=round(asked),
        least_nanos=None if ratio is None else round(ratio * asked),
        reserve_nanos=None if ratio is None else round(ratio * now.day_nanos * kept),
        call_nanos=round(now.day_nanos / max(1.0, now.day_calls)),
        resets_us=window.ends_us,
        within_day=window.within_day,
    )


def spread_in_flight(held_nanos: int, call_nanos: int) -> int:
    """
    Give what has to be kept back for calls in flight that cost more than is expected of them.
    """
    return round(RESERVE_SDS * sqrt(SPREAD_CALLS * max(0, held_nanos) * call_nanos))


def _spread_days(now: Level, left: float) -> float:
    """Give the standard deviation of the demand that is left, in days at today's level."""
    slow = (now.spread * left) ** 2 + (SPREAD_REST * left) ** 2
    gusts = SPREAD_GUSTS * left
    calls = SPREAD_CALLS * left / max(1.0, now.day_calls)
    return sqrt(slow + gusts + calls)
