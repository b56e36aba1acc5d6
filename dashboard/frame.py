"""
What stands around every page: the choice of the tenant and of the period, messages that outlive a rerun,
and the first steps where there is nothing to show yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import session
from dashboard.money_text import amount, cells, plain
from outlay import reports
from outlay.reports_periods import Period, Span

Tone = Literal["off", "orange", "red"]
_Cell = TypeVar("_Cell")
Columns = tuple[Mapping[str, Sequence[Decimal | None]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Card:
    """
    One figure: its name, its value, what stands below it, and what its question mark explains.
    """

    label: str
    value: str
    below: str
    explained: str
    tone: Tone = "off"


ALL: Final = "All tenants"
_FLASH: Final = "flash"
_DIALOG: Final = "dialog"
_SPANS: Final = {
    Span.QUARTER: "15 min",
    Span.HOUR: "1 hour",
    Span.TODAY: "Today",
    Span.WEEK: "7 days",
    Span.MONTH: "30 days",
}
_AUTO: Final = "Auto"


def sidebar() -> None:
    """
    Let the reader choose whose figures every page shows; the choice is kept in the address.
    """
    zones, error = session.attempt(lambda: reports.tenant_zones(session.books()))
    if error is not None or zones is None:
        return
    with st.sidebar:
        wanted = st.session_state.get("tenant", st.query_params.get("tenant"))
        options = [ALL, *zones]
        st.session_state["tenant"] = wanted if wanted in options else ALL
        st.selectbox("Tenant", options, key="tenant")
        st.caption(_clock(zones.get(st.session_state["tenant"])))
    _keep_in_address()


def _clock(zone: str | None) -> str:
    """Tell the one rule of times: all of a page are on one clock."""
    if zone is None:
        return f"All times are in {reports.ALL_ZONE}. Choose a tenant to read them in its own time zone."
    return f"All times are in {plain(zone)}, the tenant's own time zone."


def _keep_in_address() -> None:
    chosen = st.session_state["tenant"]
    if chosen == ALL:
        st.query_params.pop("tenant", None)
    elif st.query_params.get("tenant") != chosen:
        st.query_params["tenant"] = chosen


def tenant() -> str | None:
    """
    Return the chosen tenant; None means all.
    """
    chosen = st.session_state.get("tenant", ALL)
    return None if chosen == ALL else str(chosen)


def zone() -> str:
    """
    Return on whose clock a page tells times: the chosen tenant's, or one for all tenants.
    """
    return zones().get(tenant() or "", reports.ALL_ZONE)


def zones() -> Mapping[str, str]:
    """
    Return the time zone of each tenant; nothing where the books cannot be read, which the page itself tells.
    """
    found, _ = session.attempt(lambda: reports.tenant_zones(session.books()))
    return found or {}


def span() -> Span | None:
    """
    Let the reader choose the period; None leaves it to the report.
    """
    kept = st.session_state.get("kept_span", _AUTO)
    chosen = st.segmented_control(
        "Period",
        [_AUTO, *_SPANS],
        default=kept,
        required=True,
        format_func=lambda option: _SPANS.get(option, _AUTO),
        label_visibility="collapsed",
        key="span",
    )
    st.session_state["kept_span"] = chosen
    return None if chosen == _AUTO else Span(chosen)


def header(title: str) -> DeltaGenerator:
    """
    Show the title of a page, and return the place at its right for the page's orders.
    """
    row = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    row.title(title, width="content")
    return row.container(horizontal=True, horizontal_alignment="right", width="content")


def cards(rows: Sequence[Card]) -> None:
    """
    Show figures side by side, as many in a row as there is room for.
    """
    with st.container(key="row_cards"):
        for column, card in zip(st.columns(len(rows)), rows, strict=True):
            column.metric(
                card.label,
                card.value,
                plain(card.below),
                delta_color=card.tone,
                delta_arrow="off",
                border=True,
                height="stretch",
                help=plain(card.explained),
            )


def money_columns(named: Mapping[str, Sequence[int | None]], **helps: str) -> Columns:
    """
    Lay out columns of amounts for a table: their cells, and how all are written, as they are compared.

    Args:
        helps: What some columns mean, by their names with `_` for a blank.
    """
    cells_of = {name: [amount(nanos) for nanos in column] for name, column in named.items()}
    digits = cells([nanos for column in named.values() for nanos in column])
    written = {
        name: st.column_config.NumberColumn(format=digits, help=helps.get(name.replace(" ", "_")))
        for name in named
    }
    return cells_of, written


def only_where_some(name: str, column: Sequence[_Cell]) -> Mapping[str, Sequence[_Cell]]:
    """
    Leave a column out of a table where it says nothing in any row: no text, no amount, nothing above 0.
    """
    return {name: column} if any(column) else {}


def pair(left: int, right: int) -> list[DeltaGenerator]:
    """
    Return two columns, which stand below each other where the page is narrow.
    """
    return st.container(key="row_pair").columns([left, right], gap="large")


def form_row(name: str, widths: Sequence[int]) -> list[DeltaGenerator]:
    """
    Return the columns of one row of a form, which go on below where the page is narrow.
    """
    return st.container(key=f"row_form_{name}").columns(widths, vertical_alignment="bottom")


def period_text(shown: Period) -> str:
    """
    Name a period in the middle of a sentence; a day of all tenants is none of theirs, so its zone is named.
    """
    if shown.span is Span.TODAY:
        return "today" if tenant() is not None else f"today in {shown.zone}"
    return f"last {_SPANS[shown.span]}"


def open_dialog(name: str) -> None:
    """
    Open a dialog. It is kept open by its name, so that a rerun of the whole page does not close it.
    """
    st.session_state[_DIALOG] = name


def dialog_is(name: str) -> bool:
    """
    Tell whether a dialog is open.
    """
    return st.session_state.get(_DIALOG) == name


def close_dialog() -> None:
    """
    Close whatever dialog is open.
    """
    st.session_state.pop(_DIALOG, None)


def entered(page: str) -> None:
    """
    Close what was open on another page.
    """
    if st.session_state.get("page") != page:
        close_dialog()
        st.session_state["page"] = page


def flash(text: str) -> None:
    """
    Close the dialog and leave a message for the next run of the page: what a dialog or a form has done.
    """
    close_dialog()
    st.session_state[_FLASH] = text


def show_flash() -> None:
    """
    Show the message that was left, once.
    """
    text = st.session_state.pop(_FLASH, None)
    if text is not None:
        st.success(text, icon=":material/check_circle:")


def no_tenant_yet() -> None:
    """
    Say what to do first where there is no tenant.
    """
    with st.container(border=True):
        st.subheader("No tenant yet")
        st.markdown("Create the first one on the **Tenants** page, or on the command line:")
        st.code(
            "outlay tenant create acme --credit 20 --daily-budget 5 --timezone Europe/Berlin", language="bash"
        )


def no_calls_yet() -> None:
    """
    Say how calls get here where there was none.
    """
    with st.container(border=True):
        st.subheader("No calls in this period")
        st.markdown("Choose a longer period above, or put an application behind Outlay with two variables:")
        st.code(
            "ANTHROPIC_BASE_URL=http://127.0.0.1:8787\nANTHROPIC_API_KEY=olk_…   # the tenant's key",
            language="bash",
        )
