"""
The curve of a tenant's days, the level of today, and the projection to the end of a window.
"""

import pytest

from router.demand import (
    DAY_SLOTS,
    QUARTER_US,
    UNIFORM,
    Quarter,
    Window,
    habits,
    level,
    outlook,
)

DAY_US = DAY_SLOTS * QUARTER_US


def day_of(number: int, nanos: int, slots: range = range(DAY_SLOTS), calls: int = 10) -> list[Quarter]:
    """A day with the same traffic in each of some quarter-hours; day 0 is a Monday."""
    first = (number % 7) * DAY_SLOTS
    return [
        Quarter(number * DAY_US + slot * QUARTER_US, first + slot, number, calls, nanos, nanos // 5)
        for slot in slots
    ]


def even(number: int = 7) -> Window:
    """A whole day of an even curve."""
    return Window(UNIFORM, number * DAY_US, (number + 1) * DAY_US, range(DAY_SLOTS))


def test_without_history_a_day_is_even() -> None:
    """Each quarter-hour of every weekday has a 96th of its day."""
    assert habits([], 7) == UNIFORM
    assert sum(UNIFORM.shares) == pytest.approx(7)


def test_a_curve_leans_on_an_even_day_until_a_week_is_known() -> None:
    """One day with all its traffic in the first hour is believed by an eighth."""
    known = habits(day_of(0, 100, range(4)), 1)
    tuesday = known.shares[DAY_SLOTS : 2 * DAY_SLOTS]
    assert sum(tuesday) == pytest.approx(1)
    assert tuesday[0] == pytest.approx(1 / 8 / 4 + 7 / 8 / 96)
    assert known.least_ratio == pytest.approx(0.2)


def test_a_weekday_has_a_curve_of_its_own() -> None:
    """After four weeks of late Sundays a quieter morning is expected of Sunday than of Monday."""
    rows = [q for n in range(28) for q in day_of(n, 100, range(48, 96) if n % 7 == 6 else range(96))]
    known = habits(rows, 28)
    assert known.shares[6 * DAY_SLOTS + 10] < 0.7 * known.shares[10]


def test_today_is_no_part_of_the_habits() -> None:
    """A day that has not ended would look like one with a quiet evening."""
    assert habits(day_of(7, 100), 7) == UNIFORM


def test_a_window_passes_with_the_curve() -> None:
    """Half of an even day has passed at noon, all of it at its end and ever after."""
    window = even(0)
    assert window.passed(-5) == 0
    assert window.passed(DAY_US // 2) == pytest.approx(0.5)
    assert window.passed(DAY_US) == window.passed(3 * DAY_US) == pytest.approx(1)
    assert window.within_day


def test_a_day_of_25_hours_is_one_day_and_a_week_is_not() -> None:
    """The clock that falls back makes a hundred quarter-hours of one day."""
    assert Window(UNIFORM, 0, 25 * 4 * QUARTER_US, [0] * 100).within_day
    assert not Window(UNIFORM, 0, 7 * DAY_US, range(7 * DAY_SLOTS)).within_day


def test_without_history_the_budget_is_expected_until_traffic_tells() -> None:
    """At midnight exactly the budget is expected; after a morning at three times that, nearly three times."""
    assert level(UNIFORM, [], 1_000, 7 * DAY_US).day_nanos == pytest.approx(1_000)
    morning = day_of(7, 3_000 * 100 // 96, range(32))
    now = level(UNIFORM, morning, 100_000, 7 * DAY_US + 32 * QUARTER_US)
    assert 250_000 < now.day_nanos < 300_000
    assert now.least_ratio == pytest.approx(0.2)


def test_quiet_quarters_count() -> None:
    """A morning without any traffic lowers what is expected of the day."""
    quiet = day_of(7, 0, range(32), calls=0)
    assert level(UNIFORM, quiet, 100_000, 7 * DAY_US + 32 * QUARTER_US).day_nanos < 40_000


def test_the_latest_hour_counts_more_than_the_first() -> None:
    """The same traffic later in the morning promises more for the rest of the day."""
    at_us = 7 * DAY_US + 32 * QUARTER_US
    early = day_of(7, 1_000, range(8)) + day_of(7, 0, range(8, 32))
    late = day_of(7, 0, range(24)) + day_of(7, 1_000, range(24, 32))
    assert level(UNIFORM, late, 9_000, at_us).day_nanos > 2 * level(UNIFORM, early, 9_000, at_us).day_nanos


def test_the_projection_ends_with_the_window() -> None:
    """What is left to come falls to nothing, and so does what is kept for it."""
    known = habits([q for n in range(7) for q in day_of(n, 1_000)], 7)
    window = Window(known, 7 * DAY_US, 8 * DAY_US, range(DAY_SLOTS))
    made = []
    for quarter in (0, 48, 95):
        at_us = 7 * DAY_US + quarter * QUARTER_US
        now = level(known, day_of(7, 1_000, range(quarter)), 50_000, at_us)
        made.append(outlook("tenant/day", window, now, at_us))
    assert [one.asked_nanos for one in made] == pytest.approx([96_000, 48_000, 1_000], rel=0.01)
    assert made[0].least_nanos == pytest.approx(19_200, rel=0.01)
    at_end = outlook("tenant/day", window, now, 8 * DAY_US)
    assert (at_end.asked_nanos, at_end.reserve_nanos) == (0, 0)


def test_the_reserve_is_above_what_is_expected_and_shrinks_faster_than_the_day() -> None:
    """The less is known of the day, the more is kept per call to come."""
    known = habits([q for n in range(7) for q in day_of(n, 1_000)], 7)
    window = Window(known, 7 * DAY_US, 8 * DAY_US, range(DAY_SLOTS))
    kept = []
    for quarter in (0, 24, 48):
        at_us = 7 * DAY_US + quarter * QUARTER_US
        now = level(known, day_of(7, 1_000, range(quarter)), 50_000, at_us)
        found = outlook("tenant/day", window, now, at_us)
        assert found.reserve_nanos is not None
        assert found.least_nanos is not None
        assert found.reserve_nanos > found.least_nanos
        kept.append(found.reserve_nanos - found.least_nanos)
    assert kept == sorted(kept, reverse=True)


def test_a_quiet_morning_of_a_tenant_that_sleeps_late_is_as_usual() -> None:
    """Who asks for nothing before noon on any day is not expected to ask for less on this one."""
    known = habits([q for n in range(28) for q in day_of(n, 1_000, range(48, 96))], 28)
    quiet = day_of(28, 0, range(40), calls=0)
    now = level(known, quiet, 1_000, 28 * DAY_US + 40 * QUARTER_US)
    assert now.day_nanos > 0.7 * known.day_nanos
    awake = level(UNIFORM, quiet, known.day_nanos, 28 * DAY_US + 40 * QUARTER_US)
    assert awake.day_nanos < 0.3 * known.day_nanos


def test_a_busy_afternoon_of_a_tenant_that_sleeps_late_is_as_usual() -> None:
    """Half of its usual day within six hours is no surge for who always does so, though it is for others."""
    known = habits([q for n in range(28) for q in day_of(n, 1_000, range(48, 96))], 28)
    busy = day_of(28, 0, range(48), calls=0) + day_of(28, 1_000, range(48, 72))
    at_us = 28 * DAY_US + 72 * QUARTER_US
    assert level(known, busy, 1_000, at_us).day_nanos == pytest.approx(known.day_nanos, rel=0.15)
    assert level(UNIFORM, busy, known.day_nanos, at_us).day_nanos > 1.3 * known.day_nanos
