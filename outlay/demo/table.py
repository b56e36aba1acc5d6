"""
Shows the summary to people: one table of tenants, a few lists, and the checks with both numbers.
"""

from collections.abc import Mapping
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from outlay.demo.summary import Line, Summary
from outlay.words import plural
from pricing.money import format_usd

_HEADINGS: Final = (
    "tenant", "calls", "served", "refused", "failed", "lower\ntier", "spent\nUSD", "saved\nUSD",
    "budget\nUSD", "credit\nUSD",
)  # fmt: skip
_MILLI: Final = 1_000_000


def show(summary: Summary, console: Console) -> None:
    """
    Print the whole summary.
    """
    console.print("\n[bold]The day of six tenants[/bold]")
    _stories(console, summary)
    console.print(_tenants(summary))
    _counts(console, "Downgrades by reason", summary.downgrades)
    _counts(console, "Refusals by code", summary.refusals)
    _retried(console, summary)
    _counts(console, "Errors that clients saw (retried ones included)", summary.failures)
    _counts(console, "Observe mode, what enforcement would have done", summary.would)
    _counts(console, "Breakers opened", summary.trips)
    _savings(console, summary)
    console.print("\n[bold]Books against the provider's own bill[/bold]")
    console.print(_checks(summary))
    if not summary.equal:
        console.print("[bold red]NOT EQUAL: the books differ from the bill; see above.[/bold red]")


def _tenants(summary: Summary) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0)  # 79 columns wide: no terminal is too narrow
    for place, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    for line in summary.lines:
        table.add_row(*_cells(line))
    return table


def _cells(line: Line) -> tuple[str, ...]:
    counts = (line.calls, line.served, line.refused, line.failed, line.downgraded)
    money = (short_usd(line.booked_nanos), short_usd(line.saved_nanos), line.budget_usd or "-")
    return (line.tenant, *(str(count) for count in counts), *money, short_usd(line.credit_nanos))


def short_usd(nanos: int) -> str:
    """
    Write money to the nearest tenth of a cent, half up; the checks below the table show every digit.
    """
    milli = (abs(nanos) + _MILLI // 2) // _MILLI
    return f"{'-' if nanos < 0 < milli else ''}{milli // 1_000}.{milli % 1_000:03d}"


def _stories(console: Console, summary: Summary) -> None:
    for line in summary.lines:
        console.print(f"  {line.tenant} ({line.timezone}): {line.story}", highlight=False)


def _counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    console.print(f"[bold]{title}:[/bold] {_listed(counts) or 'none'}", highlight=False)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _retried(console: Console, summary: Summary) -> None:
    """Tell the refusals that the dashboard counts beyond those: of attempts that the client made again."""
    ends = {"served": summary.refusals_served, "not served": summary.refusals_repeated}
    for end, counts in ends.items():
        if counts:
            console.print(f"  retried and then {end}: {_listed(counts)}", highlight=False)


def _savings(console: Console, summary: Summary) -> None:
    saved = format_usd(sum(line.saved_nanos for line in summary.lines))
    calls, extra = sum(summary.detours.values()), format_usd(summary.detour_nanos)
    console.print(
        f"[bold]Savings:[/bold] calls of a lower tier cost {saved} USD less than the models asked for; "
        f"{plural(calls, 'call')} went to another model of the same tier and cost {extra} USD more",
        highlight=False,
    )
    missed = ", ".join(name for name, count in summary.situations.items() if count == 0)
    if missed:
        console.print(f"[yellow]Did not happen this time:[/yellow] {missed}", highlight=False)


def _checks(summary: Summary) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "books", "bill", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for check in summary.checks:
        said = "[green]equal[/green]" if check.equal else "[bold red]NOT EQUAL[/bold red]"
        table.add_row(check.name, check.books, check.bill, said)
    return table
