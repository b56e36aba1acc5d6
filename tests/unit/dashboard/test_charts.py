"""Charts carry the rows they are given, exactly, in the tenant's clock, and are valid Vega-Lite."""

from dataclasses import replace
from typing import Any

import altair as alt
import pytest
from dashboard_books import HOUR_US, NOON, USD

from dashboard import charts, theme
from outlay.reports import Band
from outlay.reports_budgets import BudgetWindow
from outlay.reports_calls import Count, TierSpend
from outlay.reports_money import BurnPoint
from outlay.reports_periods import Span, period
from outlay.reports_routing import Cell

TIERS = ("large", "medium", "small")
BANDS = (Band(0, 0.5, 1.0, "as asked"), Band(1, 0.0, 0.5, "small at most"))
INK = theme.ink("light")
DAY = BudgetWindow(5 * USD, 3 * USD, 0, 0, NOON - 12 * HOUR_US, NOON + 12 * HOUR_US)


def values(chart: Any, key: str) -> list[dict[str, Any]]:
    """Return the data of a valid chart: the rows that have this key, of every layer."""
    spec = chart.to_dict()  # validates against the schema of Vega-Lite
    named = spec.get("datasets", {})
    found = []
    for layer in (spec, *spec.get("layer", [])):
        data = layer.get("data", {})
        found.extend(data.get("values") or named.get(data.get("name"), []))
    return list({str(row): row for row in found if key in row}.values())


def test_burn_down_draws_every_point_and_band() -> None:
    """Points stand at the zone's wall clock with their exact share; each band has its range and text."""
    points = (BurnPoint(NOON, 3 * USD, 0.6), BurnPoint(NOON + HOUR_US, 2 * USD, 0.4))
    chart = charts.burn_down(points, BANDS, DAY, "Europe/Berlin", INK, whole_day=True)
    assert [(row["at"], row["left"]) for row in values(chart, "Left")] == [
        ("2026-11-21T13:00:00.000", 0.6), ("2026-11-21T14:00:00.000", 0.4),
    ]  # fmt: skip
    assert [(row["low"], row["high"], row["text"]) for row in values(chart, "high")] == [
        (0.5, 1.0, "as asked"), (0.0, 0.5, "small at most"),
    ]  # fmt: skip


@pytest.mark.parametrize("whole_day", [True, False])
def test_burn_down_of_one_instant_is_valid(whole_day: bool) -> None:
    """The first call of a day gives one point, which is drawn."""
    chart = charts.burn_down((BurnPoint(NOON, USD, 0.2),), BANDS, DAY, "UTC", INK, whole_day=whole_day)
    assert len(values(chart, "Left")) == 1


def test_axes_and_hints_of_time_name_their_zone() -> None:
    """Whose clock it is stands below the axis, and beside each time that a pointer shows."""
    points = (BurnPoint(NOON, 3 * USD, 0.6), BurnPoint(NOON + HOUR_US, 2 * USD, 0.4))
    burn = charts.burn_down(points, BANDS, DAY, "Asia/Kolkata", INK, whole_day=True)
    assert {row["Time"] for row in values(burn, "Time")} == {
        "21 Nov 17:30 Asia/Kolkata", "21 Nov 18:30 Asia/Kolkata"
    }  # fmt: skip
    spend = (TierSpend(NOON - HOUR_US, NOON, "large", USD, 1),)
    for span, told in (
        (Span.TODAY, "21 Nov 16:30 – 17:30 Asia/Kolkata"), (Span.WEEK, "Sat 21 Nov Asia/Kolkata")
    ):  # fmt: skip
        bars = charts.spend_by_tier(spend, TIERS, period(span, "Asia/Kolkata", NOON))
        assert [row["Time"] for row in values(bars, "Time")] == [told]
        assert time_titles(bars) == {"Asia/Kolkata"}
    assert time_titles(burn) == {"Asia/Kolkata"}


def time_titles(chart: alt.LayerChart) -> set[str | None]:
    """The titles of the axes of time."""
    axes = (layer["encoding"]["x"] for layer in chart.to_dict()["layer"] if "x" in layer["encoding"])
    return {axis["title"] for axis in axes if axis.get("type") == "temporal"}


def test_spend_keeps_every_bar_and_shows_exact_cost() -> None:
    """A bar has its bucket, its height and its exact text; a tier of an older policy has a place, too."""
    seen = period(Span.TODAY, "UTC", NOON)
    spend = (
        TierSpend(NOON - HOUR_US, NOON, "large", 1_234_567_891, 3),
        TierSpend(NOON - HOUR_US, NOON, "huge", 1, 1),
    )
    rows = values(charts.spend_by_tier(spend, TIERS, seen), "Cost")
    assert [(row["tier"], row["usd"], row["Cost"], row["Calls"]) for row in rows] == [
        ("large", 1.234567891, "$1.234567891", 3), ("huge", 1e-9, "$0.000000001", 1),
    ]  # fmt: skip
    assert [row["place"] for row in rows] == [0, 3]
    assert all("T11:" in row["from"] and "T11:" in row["to"] for row in rows)


def test_matrix_has_every_cell_with_its_share() -> None:
    """Shares are of what was asked; what was refused and what failed stand apart, as no tier served it."""
    cells = (
        Cell("large", "large", 1, USD, USD),
        Cell("large", "small", 2, USD, 9 * USD),
        Cell("large", None, 1, 0, 0, refused=True),
        Cell("large", None, 4, 0, 0),
    )
    rows = values(charts.asked_to_served(cells, TIERS, theme.ink(None)), "asked")
    assert [(row["served"], row["share"], row["calls"], row["kind"]) for row in rows] == [
        ("large", 0.125, "1", "same"),
        ("small", 0.25, "2", "other"),
        (charts.REFUSED, 0.125, "1", "not served"),
        (charts.FAILED, 0.5, "4", "not served"),
    ]  # fmt: skip


def test_a_cell_under_a_cent_is_short_and_its_hint_exact() -> None:
    """Beside $4.98 stands $0.0086; a pointer shows every digit."""
    (row,) = values(charts.asked_to_served((Cell("large", "small", 4, 8_618_100, USD),), TIERS, INK), "asked")
    assert (row["cost"], row["Cost"]) == ("$0.0086", "$0.0086181")


def test_a_row_of_the_heat_map_keeps_its_height() -> None:
    """Axes take their own room, so that one row is as high as each of three."""
    heights = []
    for count in (1, 3):
        cells = tuple(Cell(tier, tier, 2, USD, USD) for tier in TIERS[:count])
        heights.append(charts.asked_to_served(cells, TIERS, theme.ink(None)).to_dict()["height"])
    row = (heights[1] - heights[0]) / 2
    assert row >= 60
    assert heights[0] - row >= 50


def test_counts_are_drawn_as_words() -> None:
    """Codes read as words, counts keep their number."""
    rows = values(charts.counts((Count("outlay_frozen", 1_200),), theme.LINE_COLOR, INK), "name")
    assert rows == [{"name": "frozen", "count": 1_200, "label": "1,200"}]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_counts_are_written_in_the_readers_theme(scheme: str) -> None:
    """A mark does not follow the theme by itself; one colour for both is read badly in one of them."""
    labels = charts.counts((Count("a", 1),), theme.LINE_COLOR, theme.muted(scheme)).to_dict()["layer"][1]
    assert labels["mark"]["color"] == theme.muted(scheme)


@pytest.mark.parametrize("count", [7, 133, 24_760, 1_234_567])
def test_a_bar_leaves_room_for_its_label(count: int) -> None:
    """At the narrowest a chart has about 190 pixels for bar and label, and a digit takes 7 of them."""
    encoding = charts.counts((Count("a", count),), theme.LINE_COLOR, INK).to_dict()["layer"][0]["encoding"]
    bar_px = 190 * count / encoding["x"]["scale"]["domain"][1]
    assert bar_px + 5 + 7 * len(f"{count:,}") <= 190.001


def test_counts_that_are_not_drawn_are_added_up() -> None:
    """Of seven codes with room for six bars two are others, so that the bars add up to all."""
    seven = tuple(Count(f"code_{place}", 9 - place) for place in range(7))
    rows = values(charts.counts(seven, theme.LINE_COLOR, INK, most=6), "name")
    assert [row["name"] for row in rows] == [*(f"code {place}" for place in range(5)), "others"]
    assert sum(row["count"] for row in rows) == sum(count.count for count in seven)
    assert len(values(charts.counts(seven[:6], theme.LINE_COLOR, INK, most=6), "name")) == 6


def test_bands_bar_covers_the_whole_range() -> None:
    """The bands of a policy tile the range from all to nothing."""
    rows = values(charts.bands_bar(BANDS), "low")
    assert [(row["high"], row["low"]) for row in rows] == [(1.0, 0.5), (0.5, 0.0)]


def test_tiers_keep_their_colours() -> None:
    """A tier's colour depends on its place only, and repeats where there are more tiers than colours."""
    many = [f"t{place}" for place in range(len(theme.TIER_COLORS) + 1)]
    colors = charts.tier_colors(many)
    assert list(colors) == many
    assert colors["t0"] == colors[many[-1]] == theme.TIER_COLORS[0]


def test_charts_fetch_nothing() -> None:
    """Data is inline: no chart names an address to load from."""
    chart = charts.counts((Count("a", 1),), theme.LINE_COLOR, INK)
    assert isinstance(chart, alt.LayerChart)
    assert "url" not in str(chart.to_dict()["layer"])


def test_bars_of_a_second_have_a_width() -> None:
    """The finest bars are told apart in milliseconds."""
    seen = replace(period(Span.QUARTER, "UTC", NOON), step_us=1_000_000)
    (row,) = values(
        charts.spend_by_tier((TierSpend(NOON, NOON + 1_000_000, "large", 5, 1),), TIERS, seen), "Cost"
    )
    assert "2026-11-21T12:00:00.000" < row["from"] < row["to"] < "2026-11-21T12:00:01.000"


def test_a_close_look_ends_soon_after_the_last_call() -> None:
    """Calls of ten seconds are not pressed into a corner by the rest of the hour."""
    second = 1_000_000
    points = (
        BurnPoint(NOON, 5 * USD, 1.0),
        BurnPoint(NOON + 9 * second, USD, 0.2),
        BurnPoint(NOON + HOUR_US, USD, 0.2),
    )
    rows = values(charts.burn_down(points, BANDS, DAY, "UTC", INK, whole_day=False), "Left")
    assert [(row["at"][-9:], row["left"]) for row in rows] == [
        ("00:00.000", 1.0),
        ("00:09.000", 0.2),
        ("00:12.000", 0.2),
    ]
    whole = values(charts.burn_down(points, BANDS, DAY, "UTC", INK, whole_day=True), "Left")
    assert whole[-1]["at"] == "2026-11-21T13:00:00.000"
