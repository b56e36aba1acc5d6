"""
What stands in the way of a tenant's calls, in words, and its budgets as a table.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import streamlit as st

from dashboard import frame
from dashboard.money_text import (
    NONE,
    moment,
    on_clock,
    percent,
    plain,
    plural,
    times_of,
    usd,
    zoned,
)
from outlay.reports_budgets import TENANT, BudgetLine
from outlay.reports_money import TenantRow
from outlay.reports_observed import BOOKED
from outlay.reports_standing import Obstacle, Stop

_STATES: Final[Mapping[Obstacle, str]] = {
    Obstacle.ALL_HALTED: "halted",
    Obstacle.HALTED: "halted",
    Obstacle.BREAKER_OPEN: "breaker open",
    Obstacle.FROZEN: "frozen",
    Obstacle.IN_DEBT: "owes money",
    Obstacle.NO_CREDIT: "no credit",
    Obstacle.BUDGET_USED_UP: "budget spent",
}


WHY_SHOWN: Final = 20
_MIDWAY: Final = (
    "A budget that was set within its window counts from then on; what was held before is not in it"
)


def state_text(row: TenantRow) -> str:
    """
    Say in a word what keeps a tenant from spending, if anything does.
    """
    if row.stops:
        return _STATES[row.stops[0].obstacle]
    if row.tight is not None:
        return "credit low" if row.tight.gauge == "credit" else "budget low"
    return "observed" if row.observed else "running"


def why_text(row: TenantRow, zone: str) -> str:
    """
    Say in sentences why no call of a tenant passes and what ends that, or why its latest one did not; of one
    that is only observed, what would stop it.
    """
    if row.stops or row.tight is None:
        lead = ("Observe mode lets its calls pass all the same.",) if row.observed and not row.stops else ()
        told = (_SENTENCES[stop.obstacle](stop, row, zone) for stop in row.stops or row.observed)
        return " ".join((*lead, *told))
    at = zoned(row.tight.at_us, zone)
    said = on_clock(row.tight.text, zone)
    return f"A cheaper call may pass; the latest one was refused, {at}: {said}."


def warn(row: TenantRow, zone: str) -> None:
    """
    Warn where no call passes, or where the latest one was refused for money that is still missing.
    """
    if row.observed and not row.stops:
        st.info(observed_text(row, zone), icon=":material/visibility:")
    elif why := why_text(row, zone):
        said = f"**No call passes.** {plain(why)}" if row.stops else plain(why)
        st.warning(said, icon=":material/block:" if row.stops else ":material/warning:")


def observed_text(row: TenantRow | None, zone: str) -> str:
    """
    Say what observe mode does, and what would let no call of a tenant pass without it.
    """
    told = () if row is None else (_SENTENCES[stop.obstacle](stop, row, zone) for stop in row.observed)
    stops = plain(" ".join(told))
    return f"**Observe mode**: {BOOKED}." + (f" Enforced, none would pass now. {stops}" if stops else "")


def why_list(rows: Sequence[TenantRow], zone: str) -> None:
    """
    Show below a table of tenants why calls of some do not pass.
    """
    stopped = [(row, why) for row in rows if (why := why_text(row, zone))]
    lines = [
        f"- **{plain(row.tenant)}**, {state_text(row)}. {plain(why)}" for row, why in stopped[:WHY_SHOWN]
    ]
    more = len(stopped) - WHY_SHOWN
    if more > 0:
        lines.append(f"- and {plural(more, 'tenant')} more; choose one in the sidebar to see why")
    if lines:
        st.markdown("\n".join(lines))


def scheduled_text(row: TenantRow, zone: str) -> str:
    """
    Say what credit comes later; empty where none does.
    """
    return ", ".join(
        f"{usd(later.nanos)} comes {zoned(later.effective_us, zone, year=True)}" for later in row.scheduled
    )


def _because(stop: Stop) -> str:
    return f": {stop.text}." if stop.text else "."


def _breaker(stop: Stop, _row: TenantRow, zone: str) -> str:
    ends = "until somebody resets it" if stop.until_us is None else f"until {zoned(stop.until_us, zone)}"
    return f"The spend breaker is open {ends}{_because(stop)}"


def _no_credit(_stop: Stop, row: TenantRow, zone: str) -> str:
    later = scheduled_text(row, zone)
    return f"No credit is left; {later}." if later else "No credit is left: top up."


def _budget(stop: Stop, _row: TenantRow, zone: str) -> str:
    ends = f" until {zoned(stop.until_us, zone)}" if stop.until_us is not None else ""
    if stop.nanos == 0:
        return f"The budget of the {stop.window} is $0.00: nothing may be spent{ends}."
    return f"The budget of the {stop.window}, {usd(stop.nanos)}, is spent{ends}."


_SENTENCES: Final[Mapping[Obstacle, Callable[[Stop, TenantRow, str], str]]] = {
    Obstacle.ALL_HALTED: lambda stop, _row, _zone: f"All spending is halted{_because(stop)}",
    Obstacle.HALTED: lambda stop, _row, _zone: f"Its spending is halted{_because(stop)}",
    Obstacle.BREAKER_OPEN: _breaker,
    Obstacle.FROZEN: lambda _stop, _row, _zone: "It is frozen until somebody unfreezes it.",
    Obstacle.IN_DEBT: lambda stop, _row, _zone: (
        f"It owes {usd(stop.nanos)}; the next top-up repays that first."
    ),
    Obstacle.NO_CREDIT: _no_credit,
    Obstacle.BUDGET_USED_UP: _budget,
}


def budgets_table(lines: Sequence[BudgetLine], zone: str) -> None:
    """
    Show budgets with what each allows, what is spent, held and left, and when it begins anew.
    """
    money, written = frame.money_columns(
        {
            "Limit": [line.now.limit_nanos for line in lines],
            "Spent": [line.now.spent_nanos for line in lines],
            **frame.only_where_some("Held", [line.now.held_nanos for line in lines]),
            "Left": [line.now.remaining_nanos for line in lines],
        },
        Limit="In force now; empty: no limit",
    )
    st.dataframe(
        {
            "Calls of": [scope_text(line) for line in lines],
            "Window": [line.window for line in lines],
            **money,
            "Share left": [percent(line.now.remaining_ratio) for line in lines],
            **frame.only_where_some("Counts from", [_counts_from(line, zone) for line in lines]),
            "Begins anew": [moment(line.now.resets_us, zone) for line in lines],
            **frame.only_where_some("Raised", [_raised(line, zone) for line in lines]),
            "Counts": [line.counts for line in lines],
        },
        column_config={
            **written,
            "Share left": st.column_config.ProgressColumn(
                format="%d %%", min_value=0, max_value=100, width="small"
            ),
            "Counts from": st.column_config.TextColumn(help=_MIDWAY),
            "Raised": st.column_config.TextColumn(help="Until when, and the limit that holds again then"),
            "Counts": st.column_config.TextColumn(
                help="charge: what the tenant pays; cost: what the provider bills"
            ),
        },
        hide_index=True,
        placeholder=NONE,
    )
    st.caption(
        f"{times_of(zone)} A call needs room in every budget that it counts in. A budget counts the charge, "
        "which the tenant pays, or the cost, which the provider bills."
        + (f" {_MIDWAY}." if any(line.counts_from_us is not None for line in lines) else "")
    )


def scope_text(line: BudgetLine) -> str:
    """
    Name what a budget limits.
    """
    kind, _, name = line.scope.partition(":")
    if line.scope == TENANT:
        return "the tenant"
    return f'key "{line.name}" …{name[-6:]}' if line.name else f"{kind} {name}"


def _counts_from(line: BudgetLine, zone: str) -> str | None:
    return None if line.counts_from_us is None else moment(line.counts_from_us, zone)


def _raised(line: BudgetLine, zone: str) -> str | None:
    if line.raised_until_us is None:
        return None
    standing = "no limit" if line.standing_nanos is None else usd(line.standing_nanos)
    return f"to {moment(line.raised_until_us, zone, year=True)}, then {standing}"
