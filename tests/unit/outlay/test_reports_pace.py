"""
A tenant's day against its curve, as the overview shows it.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dashboard.pace_chart import against_curve, told
from outlay.demand import DemandRow, past
from outlay.reports_budgets import BudgetWindow
from outlay.reports_pace import PaceReport, _exhausted, _points, window_of
from router.demand import QUARTER_US

START_US = int(datetime(2026, 7, 6, tzinfo=UTC).timestamp()) * 1_000_000
HOUR_US = 4 * QUARTER_US
DAY_US = 24 * HOUR_US


def report(spent_per_quarter: int, hours: int, mode: str = "pace") -> PaceReport:
    """A day with a budget of 9,600 that spends evenly for some hours."""
    now_us = START_US + hours * HOUR_US
    day = BudgetWindow(9_600, spent_per_quarter * hours * 4, 0, 0, START_US, START_US + DAY_US)
    rows = [
        DemandRow(START_US + n * QUARTER_US, "large", 1, spent_per_quarter, 1, spent_per_quarter)
        for n in range(hours * 4)
    ]
    before = past((), "UTC", now_us)
    window = window_of(before.known, "UTC", START_US, START_US + DAY_US)
    points = _points(before, window, day, rows, 1_000_000, now_us)
    return PaceReport(mode, 0, 1, points, _exhausted(points))


def test_a_day_that_spends_as_usual_lasts() -> None:
    """A hundred per quarter-hour is exactly the budget: all three lines meet, and nothing runs out early."""
    made = report(90, 12)
    assert made.exhausted_us is None
    noon = next(point for point in made.points if point.at_us == START_US + 12 * HOUR_US)
    assert noon.usual == pytest.approx(0.5)
    assert noon.spent == noon.projected == pytest.approx(0.45)


def test_a_day_that_spends_twice_as_fast_ends_at_noon() -> None:
    """At 200 per quarter-hour half of the money is gone at 6, and the rest is projected to go by noon."""
    made = report(200, 6)
    assert made.exhausted_us is not None
    assert (made.exhausted_us - START_US) / HOUR_US == pytest.approx(12, abs=0.5)


def test_what_is_past_is_not_projected_and_what_comes_is_not_spent() -> None:
    """The line of what was spent ends now, where the projection begins."""
    made = report(200, 6)
    now_us = START_US + 6 * HOUR_US
    assert all((point.spent is None) == (point.at_us > now_us) for point in made.points)
    assert all((point.projected is None) == (point.at_us < now_us) for point in made.points)


@pytest.mark.parametrize(("mode", "says"), [("pace", "Pacing decides"), ("steps", "Thresholds decide")])
def test_the_caption_says_which_mode_decides(mode: str, says: str) -> None:
    """And when the budget would be spent, on the tenant's clock."""
    made = report(200, 6, mode)
    assert told(made, "UTC").startswith(says)
    assert "the budget is spent at" in told(made, "UTC")
    assert "lasts until it resets" in told(report(50, 6, mode), "UTC")
    assert "1 day of history" in told(replace(made, days=1), "UTC")
    drawn = against_curve(made, "UTC").to_dict()["layer"]
    assert {line["encoding"]["x"]["title"] for line in drawn} == {"UTC"}


def test_what_is_spent_already_is_not_foretold() -> None:
    """A day that has spent its budget by now, as observe mode lets it, is not told when that will be."""
    said = told(report(900, 12), "UTC")
    assert "the budget is spent already" in said
    assert "the budget is spent at" not in said


@pytest.mark.parametrize(
    ("spent", "hours", "top"), [(10, 6, 1.0), (100, 12, 1.0), (110, 12, 1.5), (600, 1, 1.5)]
)
def test_a_day_that_began_fast_does_not_flatten_the_chart(spent: int, hours: int, top: float) -> None:
    """The axis ends at the whole budget, or not far above it, whatever is projected."""
    drawn = against_curve(report(spent, hours), "UTC").to_dict()["layer"]
    assert {tuple(line["encoding"]["y"]["scale"]["domain"]) for line in drawn} == {(0, top)}
    assert all(line["mark"]["clip"] for line in drawn)
    (labels,) = {tuple(line["encoding"]["y"]["axis"]["values"]) for line in drawn}
    assert (labels[0], labels[-1], 1.0 in labels) == (0, top, True)
