"""
The chart of a day against its curve: spent, usual and projected shares of the budget. Pure.
"""

from math import ceil
from typing import Any

import altair as alt

from dashboard import theme
from dashboard.money_text import plural, zoned
from outlay.reports_pace import PaceReport
from outlay.reports_periods import local

_HEIGHT = 200
_GRID = 0.5
_TOP = 1.5
"""Shares of the budget above this are not drawn; the text says when the budget is spent."""


def against_curve(report: PaceReport, zone: str) -> alt.LayerChart:
    """
    Draw what is spent over the usual curve, and on to the end of the day as it goes.
    """
    x = alt.X("at:T", title=zone, axis=alt.Axis(grid=False, format="%H:%M", tickCount=8))
    top = _top(report)
    y = alt.Y(
        "share:Q",
        title=None,
        axis=alt.Axis(format=".0%", values=[part * _GRID for part in range(round(top / _GRID) + 1)]),
        scale=alt.Scale(domain=[0, top], nice=False),
    )
    layers = [
        _line(report, zone, "usual", "as usual", x, y, dash=[2, 4], color=theme.MUTED_COLOR),
        _line(report, zone, "projected", "as today goes", x, y, dash=[6, 3], color=theme.LINE_COLOR),
        _line(report, zone, "spent", "spent", x, y, dash=[1, 0], color=theme.LINE_COLOR),
    ]
    chart: alt.LayerChart = (
        alt.layer(*layers).properties(height=_HEIGHT, width="container").configure_view(stroke=None)
    )
    return chart


def _top(report: PaceReport) -> float:
    """
    End the axis at a line of the grid, not far above the whole budget: a projection of many times that would
    flatten the rest.
    """
    shares = [share for point in report.points for share in (point.spent, point.usual, point.projected)]
    highest = max(1.0, *(share for share in shares if share is not None))
    return min(_TOP, ceil(highest / _GRID) * _GRID)


def _line(
    report: PaceReport, zone: str, field: str, name: str, x: alt.X, y: alt.Y, *, dash: list[int], color: str
) -> alt.Chart:
    rows: list[dict[str, Any]] = [
        {
            "at": local(point.at_us, zone).replace(tzinfo=None).isoformat(timespec="milliseconds"),
            "share": getattr(point, field),
            "Time": zoned(point.at_us, zone),
            "Share": f"{getattr(point, field):.1%} {name}",
        }
        for point in report.points
        if getattr(point, field) is not None
    ]
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeDash=dash, color=color, strokeWidth=2, clip=True)
        .encode(x=x, y=y, tooltip=["Time:N", "Share:N"])
    )
    return chart


def told(report: PaceReport, zone: str) -> str:
    """
    Say which mode decides, and whether the money lasts.
    """
    modes = {
        "steps": "Thresholds decide; the curve only shows.",
        "pace": "Pacing decides"
        + (", no lever pulled." if report.rung == 0 else f", levers pulled: {report.rung}."),
        "off": "Degradation is off.",
    }
    days = f"{plural(report.days, 'day')} of history" if report.days else "no history yet: an even day"
    curve = f"Dotted: the usual curve ({days}). Dashed: as today goes"
    return f"{modes[report.mode]} {curve}; {_end(report, zone)}."


def _end(report: PaceReport, zone: str) -> str:
    if any(point.spent is not None and point.spent >= 1.0 for point in report.points):
        return "the budget is spent already"
    if report.exhausted_us is None:
        return "the budget lasts until it resets"
    return f"the budget is spent at {zoned(report.exhausted_us, zone)}"
