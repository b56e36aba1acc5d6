"""
Charts: rows of the read models in, an Altair chart out. Pure; nothing is read, and numbers are for the eye.

Instants are given on the tenant's own clock and without an offset, so that every browser shows that clock.
Colours are named per tier and band, never left to the theme's order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import altair as alt

from dashboard import theme
from dashboard.money_text import clock, exact, moment, rough, usd, words, zoned
from outlay.reports import Band
from outlay.reports_budgets import BudgetWindow
from outlay.reports_calls import NOT_ROUTED, ONLY_COUNTED, Count, TierSpend
from outlay.reports_money import BurnPoint
from outlay.reports_periods import Period, local
from outlay.reports_routing import Cell
from outlay.tally_sql import UNLISTED

REFUSED: Final = "was refused"
FAILED: Final = "has failed"
_HEIGHT: Final = 300
_ROW_PX: Final = 84
_BAR_PX: Final = 190  # for a bar and its label, where a chart of counts is narrowest; a digit takes 7
_AXES_PX: Final = 60  # the height of a chart includes its axes
_NANOS: Final = 1e9
_CENTS_FROM: Final = 50_000_000  # below it, whole cents would repeat along an axis
_AXIS: Final[Mapping[str, Any]] = {
    "labelFontSize": 12,
    "titleFontSize": 12,
    "gridOpacity": 0.35,
    "domain": False,
    "tickSize": 0,
}


def tier_colors(tiers: Sequence[str]) -> Mapping[str, str]:
    """
    Give each tier its colour, by its place from the highest down.
    """
    return {tier: theme.TIER_COLORS[place % len(theme.TIER_COLORS)] for place, tier in enumerate(tiers)}


def burn_down(
    points: Sequence[BurnPoint],
    bands: Sequence[Band],
    day: BudgetWindow,
    zone: str,
    ink: str,
    *,
    whole_day: bool,
) -> alt.LayerChart:
    """
    Draw what is left of the day's budget over the bands in which calls are degraded.

    Args:
        ink: Colour of text in the reader's theme, which marks do not follow by themselves.
        whole_day: Show the day to its end with the even pace; else only the time that the points cover.
    """
    points = points if whole_day else _without_quiet_end(points)
    first, last = points[0].at_us, points[-1].at_us
    ends = day.resets_us if whole_day else max(last, first + 1)
    x = alt.X(
        "at:T",
        title=zone,
        axis=_time_axis("hour" if whole_day else "step"),
        scale=alt.Scale(domain=[_moment(first, zone), _moment(ends, zone)]),
    )
    y = alt.Y(
        "left:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(**_AXIS, format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
    )
    rows = [_left(point, zone, seconds=not whole_day) for point in points]
    base = alt.Chart(_data(rows)).encode(x=x, y=y)
    line = base.mark_line(interpolate="step-after", strokeWidth=2.5, color=theme.LINE_COLOR)
    touch = base.mark_point(size=60, opacity=0).encode(tooltip=["Time:N", "Left:N"])
    layers = [*_bands(bands, ink), line, touch, _now_dot(rows[-1], x, y)]
    if whole_day:
        layers.insert(-3, _even_pace(day, zone, x, y))
    chart: alt.LayerChart = (
        alt.layer(*layers).properties(height=_HEIGHT, width="container").configure_view(stroke=None)
    )
    return chart


def _left(point: BurnPoint, zone: str, *, seconds: bool) -> dict[str, Any]:
    return {
        "at": _stamp(point.at_us, zone),
        "left": point.remaining_ratio,
        "Time": zoned(point.at_us, zone, seconds=seconds),
        "Left": f"{usd(point.remaining_nanos)} ({point.remaining_ratio:.1%})",
    }


def _without_quiet_end(points: Sequence[BurnPoint]) -> Sequence[BurnPoint]:
    """End a close look soon after the last call: a long rest would press the calls into a corner."""
    changes = [
        at for at in range(1, len(points)) if points[at].remaining_nanos != points[at - 1].remaining_nanos
    ]
    if not changes:
        return points
    last = points[changes[-1]]
    rest_us = max(1_000_000, (last.at_us - points[0].at_us) // 3)
    kept = [point for point in points if point.at_us <= last.at_us]
    return [*kept, replace(last, at_us=min(points[-1].at_us, last.at_us + rest_us))]


def _bands(bands: Sequence[Band], ink: str) -> list[alt.Chart]:
    """Shade each band and say within it what it changes."""
    rows = [
        {
            "low": band.low_ratio,
            "high": band.high_ratio,
            "middle": (band.low_ratio + band.high_ratio) / 2,
            "text": band.text,
            "color": _band_color(band),
        }
        for band in bands
    ]
    base = alt.Chart(_data(rows))
    shade = base.mark_rect(opacity=0.13).encode(
        y=alt.Y("low:Q"), y2="high:Q", color=alt.Color("color:N", scale=None), tooltip=alt.value(None)
    )
    edge = (
        base.transform_filter("datum.low > 0")
        .mark_rule(strokeDash=[3, 3], opacity=0.6)
        .encode(y="low:Q", color=alt.Color("color:N", scale=None))
    )
    texts = base.mark_text(align="left", baseline="middle", dx=8, fontSize=11, fontWeight=600, color=ink)
    texts = texts.encode(y="middle:Q", x=alt.value(0), text="text:N")
    return [shade, edge, texts]


def bands_bar(bands: Sequence[Band]) -> alt.LayerChart:
    """
    Draw the bands of a policy side by side, from the full budget at the left to nothing at the right.
    """
    rows = [
        {
            "low": band.low_ratio,
            "high": band.high_ratio,
            "color": _band_color(band),
            "Left": f"{band.high_ratio:.0%} to {band.low_ratio:.0%}",
            "Served": band.text,
        }
        for band in bands
    ]
    scale = alt.Scale(domain=[1, 0], nice=False)
    edges = [1.0, *(band.low_ratio for band in bands)]
    axis = alt.Axis(**_AXIS, grid=False, format=".0%", values=edges, labelOverlap="greedy")
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("low:Q", title="share of the budget that is left", axis=axis, scale=scale), x2="high"
    )
    shade = base.mark_rect(opacity=0.35, cornerRadius=4).encode(
        color=alt.Color("color:N", scale=None), tooltip=["Left:N", "Served:N"]
    )
    chart: alt.LayerChart = (
        alt.layer(shade).properties(height=84, width="container").configure_view(stroke=None)
    )
    return chart


def _band_color(band: Band) -> str:
    return theme.BAND_COLORS[min(band.level, len(theme.BAND_COLORS) - 1)]


def _even_pace(day: BudgetWindow, zone: str, x: alt.X, y: alt.Y) -> alt.Chart:
    ends = [{"at": _stamp(day.starts_us, zone), "left": 1}, {"at": _stamp(day.resets_us, zone), "left": 0}]
    chart: alt.Chart = (
        alt.Chart(_data(ends))
        .mark_line(strokeDash=[2, 4], color=theme.MUTED_COLOR, strokeWidth=1.2, opacity=0.7)
        .encode(x=x, y=y)
    )
    return chart


def _now_dot(row: Mapping[str, Any], x: alt.X, y: alt.Y) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(_data([dict(row)]))
        .mark_point(filled=True, size=90, color=theme.LINE_COLOR, opacity=1)
        .encode(x=x, y=y, tooltip=["Time:N", "Left:N"])
    )
    return chart


def spend_by_tier(spend: Sequence[TierSpend], tiers: Sequence[str], period: Period) -> alt.LayerChart:
    """
    Draw what each served tier cost, in bars of the period's buckets.
    """
    seen = {row.tier for row in spend}
    names = [*tiers, *sorted(seen - set(tiers))]
    colors = tier_colors(names)
    shown = [name for name in names if name in seen or name in tiers]
    starts, ends = period.bucket(period.from_us)[0], period.bucket(period.to_us - 1)[1]
    if period.grain == "step":
        ends = max((row.ends_us for row in spend), default=ends)
    span = [{"from": _stamp(at_us, period.zone), "low": 0} for at_us in (starts, ends)]
    x = alt.X("from:T", title=period.zone, axis=_time_axis(period.grain))
    digits = "$,.2f" if max((row.cost_nanos for row in spend), default=0) > _CENTS_FROM else "$,.5~f"
    y = alt.Y("low:Q", title=None, axis=alt.Axis(**_AXIS, format=digits, tickCount=5))
    whole = alt.Chart(_data(span)).mark_point(opacity=0).encode(x=x, y=y)  # quiet times are shown, too
    bars = (
        alt.Chart(_data(_spend_rows(spend, names, period), dates=("from", "to")))
        .transform_stack(stack="usd", as_=["low", "high"], groupby=["from"], sort=[alt.SortField("place")])
        .mark_rect(cornerRadius=1.5)
        .encode(
            x=x,
            x2="to",
            y=y,
            y2="high",
            color=alt.Color(
                "tier:N",
                title=None,
                scale=alt.Scale(domain=shown, range=[colors[name] for name in shown]),
                legend=alt.Legend(orient="top", symbolType="square", labelFontSize=12, offset=4, padding=0),
            ),
            tooltip=["Time:N", alt.Tooltip("tier:N", title="Tier"), "Cost:N", "Calls:Q"],
        )
    )
    chart: alt.LayerChart = (
        alt.layer(whole, bars).properties(height=_HEIGHT - 40, width="container").configure_view(stroke=None)
    )
    return chart


def _spend_rows(spend: Sequence[TierSpend], names: Sequence[str], period: Period) -> list[dict[str, Any]]:
    """Write each bar with a little space beside it."""
    return [
        {
            "from": _stamp(row.starts_us + (row.ends_us - row.starts_us) // 16, period.zone),
            "to": _stamp(row.ends_us - (row.ends_us - row.starts_us) // 16, period.zone),
            "usd": row.cost_nanos / _NANOS,
            "tier": row.tier,
            "place": names.index(row.tier),
            "Time": _bucket_text(row, period),
            "Cost": exact(row.cost_nanos),
            "Calls": row.calls,
        }
        for row in spend
    ]


def counts(rows: Sequence[Count], color: str, ink: str, *, most: int | None = None) -> alt.LayerChart:
    """
    Draw how often each thing was seen, the most frequent on top.

    Args:
        ink: Colour of the numbers in the reader's theme.
        most: Bars at most; the last one is then all others together. None draws every one.
    """
    if most is not None and len(rows) > most:
        rest = sum(row.count for row in rows[most - 1 :])
        rows = (*rows[: most - 1], Count("others", rest))
    data = _data([{"name": words(row.name), "count": row.count, "label": f"{row.count:,}"} for row in rows])
    names = [words(row.name) for row in rows]
    longest = max((row.count for row in rows), default=1)
    room = _BAR_PX / (_BAR_PX - 5 - 7 * len(f"{longest:,}"))  # for the longest label, right of its bar
    base = alt.Chart(data).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(**_AXIS, labelLimit=190, labelPadding=8)),
        x=alt.X("count:Q", title=None, axis=None, scale=alt.Scale(domain=[0, longest * room])),
    )
    bars = base.mark_bar(color=color, cornerRadiusEnd=3, height=16).encode(
        tooltip=[alt.Tooltip("name:N", title="Code"), alt.Tooltip("label:N", title="Count")]
    )
    labels = base.mark_text(align="left", dx=5, fontSize=12, color=ink).encode(text="label:N")
    chart: alt.LayerChart = (
        alt.layer(bars, labels)
        .properties(height=28 * max(1, len(rows)) + 8, width="container")
        .configure_view(stroke=None)
    )
    return chart


def asked_to_served(cells: Sequence[Cell], tiers: Sequence[str], ink: str) -> alt.LayerChart:
    """
    Draw asked tiers against served ones; the stronger a field, the larger its share of what was asked.

    Args:
        ink: Colour of text in the reader's theme, which marks do not follow by themselves.
    """
    asked = [
        tier for tier in _order({cell.asked for cell in cells}, tiers) if any(c.asked == tier for c in cells)
    ]
    served = _served_order(cells, tiers)
    kinds = {"same": theme.BAND_COLORS[0], "other": theme.TIER_COLORS[2], "not served": theme.REFUSED_COLOR}
    base = alt.Chart(_data(_matrix_rows(cells))).encode(
        x=alt.X(
            "served:N",
            scale=alt.Scale(domain=served), title="served",
            axis=alt.Axis(**_AXIS, orient="top", labelAngle=0, labelPadding=6, titlePadding=10),
        ),
        y=alt.Y(
            "asked:N", scale=alt.Scale(domain=asked), title="asked", axis=alt.Axis(**_AXIS, labelPadding=8)
        ),
        tooltip=["asked:N", "served:N", "Calls:N", "Cost:N", "As asked:N"],
    )  # fmt: skip
    field = base.mark_rect(cornerRadius=6).encode(
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=list(kinds), range=list(kinds.values())), legend=None
        ),
        opacity=alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.12, 0.75]), legend=None),
    )
    calls = base.mark_text(color=ink, fontSize=16, fontWeight=600, dy=-8).encode(text="calls:N")
    cost = base.mark_text(color=ink, fontSize=12, dy=12, opacity=0.8).encode(text="cost:N")
    height = _ROW_PX * len(asked) + _AXES_PX
    chart: alt.LayerChart = (
        alt.layer(field, calls, cost)
        .properties(height=height, width="container")
        .configure_view(stroke=None)
        .configure_axis(grid=False)
        .configure_scale(rectBandPaddingInner=0.04)
    )
    return chart


def _matrix_rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Write each cell with its share of what was asked."""
    sums: dict[str, int] = {}
    for cell in cells:
        sums[cell.asked] = sums.get(cell.asked, 0) + cell.calls
    return [
        {
            "asked": cell.asked,
            "served": _column(cell),
            "share": cell.calls / sums[cell.asked],
            "kind": "not served" if cell.served is None else "same" if cell.served == cell.asked else "other",
            "calls": f"{cell.calls:,}",
            "cost": rough(cell.cost_nanos) if cell.served else "",
            "Calls": f"{cell.calls:,} of {sums[cell.asked]:,} ({cell.calls / sums[cell.asked]:.0%})",
            "Cost": exact(cell.cost_nanos),
            "As asked": exact(cell.asked_cost_nanos) if cell.served else "",
        }
        for cell in cells
    ]


def _column(cell: Cell) -> str:
    return cell.served or (REFUSED if cell.refused else FAILED)


def _order(seen: set[str], tiers: Sequence[str]) -> list[str]:
    """Put tiers of older policies behind those of today, and what no tier lists last."""
    last = (UNLISTED, NOT_ROUTED, ONLY_COUNTED)
    others = sorted(seen - {*tiers, *last})
    return [*tiers, *others, *(name for name in last if name in seen)]


def _served_order(cells: Sequence[Cell], tiers: Sequence[str]) -> list[str]:
    served = _order({cell.served for cell in cells if cell.served is not None}, tiers)
    seen = {_column(cell) for cell in cells}
    return [*served, *(name for name in (REFUSED, FAILED) if name in seen)]


def _time_axis(grain: str) -> alt.Axis:
    shape = {"day": "%d %b", "hour": "%H:%M", "step": "%H:%M:%S"}[grain]
    return alt.Axis(**_AXIS, grid=False, labelOverlap=True, labelFlush=True, tickCount=8, format=shape)


def _bucket_text(row: TierSpend, period: Period) -> str:
    if period.grain == "day":
        return f"{local(row.starts_us, period.zone).strftime('%a %d %b')} {period.zone}"
    starts = moment(row.starts_us, period.zone, seconds=period.grain == "step")
    return f"{starts} – {clock(row.ends_us, period.zone)} {period.zone}"


def _stamp(at_us: int, zone: str) -> str:
    return local(at_us, zone).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _moment(at_us: int, zone: str) -> alt.DateTime:
    """Give an instant as Vega knows it: as text, a range's two ends would be read in two ways."""
    at = local(at_us, zone)
    return alt.DateTime(
        year=at.year,
        month=at.month,
        date=at.day,
        hours=at.hour,
        minutes=at.minute,
        seconds=at.second,
        milliseconds=at.microsecond // 1_000,
    )


def _data(rows: Sequence[Mapping[str, Any]], dates: Sequence[str] = ()) -> alt.InlineData:
    """Wrap rows; a second end of a range (x2) has no type of its own, so its dates are named here."""
    values = [dict(row) for row in rows]
    if not dates:
        return alt.InlineData(values=values)
    return alt.InlineData(
        values=values, format=alt.JsonDataFormat(type="json", parse=dict.fromkeys(dates, "date"))
    )
