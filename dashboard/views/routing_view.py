"""
Routing: what was asked and what served it, for which reasons, and why one call went as it did.
"""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from dashboard import calibration, charts, frame, refusals, session, theme, why
from dashboard.money_text import (
    COMPARED,
    NONE,
    OF_CALLS,
    amount,
    compared,
    moment,
    on_clock,
    plain,
    plural,
    times_of,
    usd,
    words,
    zoned,
)
from outlay import reports_calls, reports_log, reports_routing
from outlay.reports_calls import Refusals
from outlay.reports_log import Filter, LogPage, LogRow, Place
from outlay.reports_routing import Routing

_ANY: Final = "Any"
_PLACES: Final = "log_places"
_TASK_PX, _OUTCOME_PX, _REASON_PX = 125, 90, 315  # so that at 900 px the reason is seen whole
_LINE_CHARS: Final = 43
"""So many characters of a reason fit its column at least."""
_LINE_PX, _ROW_PX, _WRAPPED_PX, _LOG_PX = 18, 35, 61, 560


def show() -> None:
    """
    Show the page.
    """
    st.title("Routing")
    tenant, span = frame.tenant(), frame.span()
    seen, error = session.attempt(lambda: reports_routing.routing(session.books(), tenant, span=span))
    if error is not None:
        session.show_error(error)
        return
    if seen is None or not frame.zones():
        frame.no_tenant_yet()
        return
    if not seen.cells:
        frame.no_calls_yet()
    else:
        _summary(seen)
    calibration.show(tenant)
    _log(seen, refusals.show(seen.refusals, seen.zone))


def _summary(seen: Routing) -> None:
    left, right = frame.pair(3, 2)
    with left:
        st.subheader("Asked and served")
        chart = charts.asked_to_served(seen.cells, seen.tiers, theme.ink(st.context.theme.type))
        st.altair_chart(chart, width="stretch")
        saved = seen.savings
        st.caption(
            f"Calls and what the provider billed for them, {frame.period_text(seen.period)}. "
            + plain(f"Downgrades saved {usd(saved.saved_nanos)} over {compared(saved, 'call')}.")
            + ("" if saved.calls == saved.downgraded else f" {COMPARED}")
        )
    with right:
        st.subheader("Reasons")
        muted = theme.muted(st.context.theme.type)
        st.altair_chart(charts.counts(seen.reasons, theme.LINE_COLOR, muted), width="stretch")
        st.caption(
            "Decisions that name the reason; one can name several." + _only_counted(seen) + _suppressed(seen)
        )


def _only_counted(seen: Routing) -> str:
    """Say of which refusals the charts know the code only, where there are some."""
    calls = reports_calls.only_counted(seen.refusals)
    if calls == 0:
        return ""
    were = plural(calls, "refused call of a storm was", "refused calls of storms were")
    return f" {were} only counted: a row of its own on the left; of their reasons only the refusal is known."


def _suppressed(seen: Routing) -> str:
    spared, told = seen.suppressed, ""
    if spared.calls > 0:
        changes = plural(spared.calls, "change")
        told += f" Conversations were spared {changes} of model or effort that would have lost a warm prompt "
        told += f"cache and cost {usd(spared.cost_nanos)} more."
    if spared.saving_calls > 0:
        changes = plural(spared.saving_calls, "change was", "changes were")
        told += f" {changes} not made that would have saved too little for the warm cache thrown away."
    return plain(told)


def _log(seen: Routing, group: Refusals | None) -> None:
    st.subheader("Decisions")
    wanted = _filter(seen, group)
    places: list[Place | None] = st.session_state.setdefault(_PLACES, [None])
    page, error = session.attempt(lambda: reports_log.decisions(session.books(), wanted, before=places[-1]))
    if page is None:
        session.show_error(error)
        return
    if wanted.without_refused:
        st.caption("Refused calls are left out here; above they are grouped.")
    if page.rows:
        _page(page, seen.zone)
    elif page.looked_to_us is None:
        st.caption(_none(wanted, is_first=len(places) == 1))
    if page.looked_to_us is not None:
        st.caption(_looked(page, page.looked_to_us, seen.zone))
    _paging(page, places)
    _by_id(seen.zone)


def _none(wanted: Filter, *, is_first: bool) -> str:
    if not is_first:
        return "No older decision matches."
    if wanted == Filter(wanted.tenant, without_refused=wanted.without_refused):
        return "No call was let through yet." if wanted.without_refused else "No call was made yet."
    return "No decision matches. Clear a filter above to see more."


def _looked(page: LogPage, to_us: int, zone: str) -> str:
    """Say that older calls may match, too: the page ended before it was full."""
    found = plural(len(page.rows), "match", "matches") if page.rows else "No match"
    return f"{found} back to {zoned(to_us, zone, seconds=True)}; older calls were not looked at yet."


def _filter(seen: Routing, group: Refusals | None) -> Filter:
    """Read the filters; a change of one goes back to the newest page. A group of refusals stands for all."""

    def newest() -> None:
        st.session_state[_PLACES] = [None]

    grouped = group is not None
    first, second, third = frame.form_row("log", [2, 2, 3])
    task = first.selectbox(
        "Task",
        [_ANY, *(task.name for task in seen.tasks)],
        key="log_task",
        on_change=newest,
        disabled=grouped,
    )
    outcome = second.selectbox(
        "Outcome", [_ANY, *reports_log.OUTCOMES], key="log_outcome", on_change=newest, disabled=grouped
    )
    switches = third.container(horizontal=True)
    lowered = switches.toggle("Downgraded only", key="log_downgraded", on_change=newest, disabled=grouped)
    refused = switches.toggle("With refused calls", key="log_refused", on_change=newest, disabled=grouped)
    wanted = Filter(
        tenant=seen.tenant,
        task=None if task == _ANY else task,
        outcome=None if outcome == _ANY else outcome,
        downgraded=lowered,
        without_refused=outcome == _ANY and not refused,
    )
    if group is not None:
        wanted = Filter(tenant=group.tenant, outcome="refused", code=group.code)
    if st.session_state.get("log_filter") != wanted:
        newest()
        st.session_state["log_filter"] = wanted
    return wanted


def _page(page: LogPage, zone: str) -> None:
    rows = page.rows
    reasons = [on_clock(row.why, zone) for row in rows]
    whose = {"Tenant": [row.tenant for row in rows]} if frame.tenant() is None else {}
    chosen = st.dataframe(
        {
            "Time": [moment(row.at_us, zone, seconds=True) for row in rows],
            **whose,
            "Deciding reason": reasons,
            "Task": [row.task or NONE for row in rows],
            "Outcome": [_outcome(row) for row in rows],
            "Asked": [row.asked_tier or row.asked_model for row in rows],
            "Served": [row.served_tier or row.served_model or NONE for row in rows],
            "Cost": [amount(row.cost_nanos) for row in rows],
            "As asked": [amount(row.asked_cost_nanos) for row in rows],
        },
        column_config={
            "Cost": st.column_config.NumberColumn(format=OF_CALLS),
            "As asked": st.column_config.NumberColumn(
                format=OF_CALLS, help="The same usage at the model asked for"
            ),
            "Task": st.column_config.TextColumn(width=_TASK_PX),
            "Outcome": st.column_config.TextColumn(width=_OUTCOME_PX),
            "Deciding reason": st.column_config.TextColumn(width=_REASON_PX),
        },
        hide_index=True,
        row_height=_row_px(reasons),
        height=min(_LOG_PX, _ROW_PX + 3 + len(rows) * _row_px(reasons)),
        placeholder=NONE,
        on_select="rerun",
        selection_mode="single-row",
        key=f"log_{rows[0].id}",
    )
    picked = chosen["selection"]["rows"]
    if picked:
        why.explain(rows[picked[0]].id, zone)
    else:
        st.caption(f"Select a row to see why the call went as it did. {times_of(zone)}")


def _row_px(reasons: Sequence[str]) -> int:
    """Give rows the height in which the longest reason is read whole; rows under 4 rem do not wrap."""
    lines = -(-max(map(len, reasons)) // _LINE_CHARS)
    return _ROW_PX if lines <= 1 else max(_WRAPPED_PX, _ROW_PX + (lines - 1) * _LINE_PX)


def _outcome(row: LogRow) -> str:
    return row.outcome if row.code is None else f"{row.outcome}: {words(row.code)}"


def _paging(page: LogPage, places: list[Place | None]) -> None:
    with st.container(horizontal=True):
        if st.button("Newer", disabled=len(places) == 1, icon=":material/chevron_left:"):
            places.pop()
            st.rerun()
        older = "Older" if page.looked_to_us is None else "Look further back"
        if st.button(
            older, disabled=page.next_place is None, icon=":material/chevron_right:", key="log_older"
        ):
            places.append(page.next_place)
            st.rerun()


def _by_id(zone: str) -> None:
    with st.expander("Explain a decision by its id"):
        decision_id = st.text_input(
            "Decision id", key="decision_id", placeholder="outlay-decision-id of an answer", max_chars=100
        ).strip()
        if decision_id:
            why.explain(decision_id, zone)
