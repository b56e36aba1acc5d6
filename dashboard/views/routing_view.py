"""
Routing: what was asked and what served it, for which reasons, and why one call went as it did.
"""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from dashboard import calibration, charts, frame, refusals, session, theme
from dashboard.money_text import (
    NONE,
    amount,
    exact,
    moment,
    on_clock,
    percent,
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
from outlay.reports_routing import Routing, Why
from pricing.money import PPM

_ANY: Final = "Any"
_PLACES: Final = "log_places"
_UNSEEN: Final[Mapping[str, str]] = {
    "open": "Nobody saw how it ended. Its hold stands until it expires, and is captured then.",
    "expired": "Nobody saw how it ended, so its hold was captured; `outlay settle` books what was billed.",
    "released": "Nobody saw how it ended; its hold was given back later.",
    "settled": "Nobody saw how it ended; what the provider billed was told later.",
}
"""What stands behind an uncertain call, by the state of its hold."""


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
    if seen is None:
        frame.no_tenant_yet()
        return
    if reports_calls.total(seen.outcomes) == 0:
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
            + plain(f"Downgrades saved {usd(saved.saved_nanos)} over {plural(saved.calls, 'call')}.")
        )
    with right:
        st.subheader("Reasons")
        st.altair_chart(charts.counts(seen.reasons, theme.LINE_COLOR), width="stretch")
        st.caption("Decisions that name the reason; one can name several." + _suppressed(seen))


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
    if error is not None or page is None:
        session.show_error(error) if error is not None else None
        return
    if wanted.without_refused:
        st.caption("Refused calls are left out here; above they are grouped.")
    if page.rows:
        _page(page, seen.zone)
    elif page.looked_to_us is None:
        none = "No decision matches. Clear a filter above to see more."
        st.caption(none if len(places) == 1 else "No older decision matches.")
    if page.looked_to_us is not None:
        st.caption(_looked(page, page.looked_to_us, seen.zone))
    _paging(page, places)
    _by_id(seen.zone)


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
    chosen = st.dataframe(
        {
            "Time": [moment(row.at_us, zone, seconds=True) for row in rows],
            "Tenant": [row.tenant for row in rows],
            "Task": [row.task or NONE for row in rows],
            "Outcome": [_outcome(row) for row in rows],
            "Asked": [row.asked_tier or row.asked_model for row in rows],
            "Served": [row.served_tier or row.served_model or NONE for row in rows],
            "Cost": [amount(row.cost_nanos) for row in rows],
            "As asked": [amount(row.asked_cost_nanos) for row in rows],
            "Deciding reason": [on_clock(row.why, zone) for row in rows],
        },
        column_config={
            "Cost": st.column_config.NumberColumn(format="$%.6f"),
            "As asked": st.column_config.NumberColumn(
                format="$%.6f", help="The same usage at the model asked for"
            ),
            "Deciding reason": st.column_config.TextColumn(width="large"),
        },
        hide_index=True,
        placeholder=NONE,
        on_select="rerun",
        selection_mode="single-row",
        key=f"log_{rows[0].id}",
    )
    picked = chosen["selection"]["rows"]
    if picked:
        _explain(rows[picked[0]].id, zone)
    else:
        st.caption(f"Select a row to see why the call went as it did. {times_of(zone)}")


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
            _explain(decision_id, zone)


def _explain(decision_id: str, zone: str) -> None:
    found, error = session.attempt(lambda: reports_routing.why(session.books(), decision_id))
    if error is not None:
        session.show_error(error)
    elif found is None:
        st.error("No decision has this id. Copy it from the `outlay-decision-id` header of an answer.")
    else:
        with st.container(border=True):
            _why(found, zone)


def _why(found: Why, zone: str) -> None:
    record = found.record
    served = record["served_model"] or "nothing"
    st.markdown(f"#### Why {plain(str(record['asked_model']))} was served by {plain(str(served))}")
    st.caption(
        plain(f"{record['tenant']}, {zoned(record['at_us'], zone, seconds=True)}, ")
        + plain(f"role {found.role}, " if found.role else "")
        + f"{record['priority']} priority, policy version {record['policy_version']}"
        + f" {'for everybody' if record['policy_tenant'] == '*' else 'of the tenant'}, `{record['id']}`"
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        _reasons(found, zone)
    with right:
        _money(found, zone)
    _offers(found)
    _attempts(found)
    _scores(found, zone)


def _reasons(found: Why, zone: str) -> None:
    st.markdown("**Reasons, in order**")
    if not found.reasons:
        st.caption(
            "None: nothing stood in the way of what was asked."
            if found.hold
            else "The call was refused first."
        )
    for place, reason in enumerate(found.reasons, start=1):
        numbers = ", ".join(
            f"{_name(name)} {_number(name, value, zone)}" for name, value in reason.numbers.items()
        )
        told = f"{reason.code}: {numbers}" if numbers else reason.code
        st.markdown(f"{place}. {plain(on_clock(reason.text, zone))}  \n:small[:gray[{plain(told)}]]")
    if found.record["outcome"] != "served":
        code = f": {words(found.record['code'])}" if found.record["code"] else ""
        st.markdown(f"**Ended as {found.record['outcome']}{plain(code)}.**")


def _attempts(found: Why) -> None:
    if not found.attempts:
        return
    st.markdown("**Attempts of this call**")
    st.dataframe(
        {
            "": ["this one" if one["id"] == found.record["id"] else "" for one in found.attempts],
            "Strategy": [words(one["strategy"]) if one["strategy"] else "first" for one in found.attempts],
            "Model": [one["served_model"] for one in found.attempts],
            "Tier": [one["served_tier"] for one in found.attempts],
            "Ended": [one["outcome"] for one in found.attempts],
            "Cost": [
                NONE if one["cost_nanos"] is None else exact(one["cost_nanos"]) for one in found.attempts
            ],
            "Decision": [one["id"] for one in found.attempts],
        },
        hide_index=True,
        width="stretch",
    )


def _scores(found: Why, zone: str) -> None:
    st.markdown("**Scores of the answer**")
    if not found.scores:
        st.caption(f"Nobody has judged it yet: `outlay score {found.record['id']} pass`.")
        return
    st.dataframe(
        {
            "Score": [percent(score.score_ppm / PPM) for score in found.scores],
            "Source": [score.source for score in found.scores],
            "Weight": [percent(score.weight_ppm / PPM) for score in found.scores],
            "Model": [score.served_model for score in found.scores],
            "Who": [score.actor for score in found.scores],
            "When": [moment(score.at_us, zone, seconds=True) for score in found.scores],
            "Counts": [score.id in found.counted for score in found.scores],
            "Comment": [score.comment for score in found.scores],
        },
        column_config={
            "Score": st.column_config.NumberColumn(format="%d %%", help="0 % is wrong, 100 % is right"),
            "Weight": st.column_config.NumberColumn(format="%d %%", help="How sure the judge is"),
            "Counts": st.column_config.CheckboxColumn(help="Of each source and model the newest counts"),
        },
        hide_index=True,
        placeholder=NONE,
    )
    st.caption(times_of(zone))


def _name(name: str) -> str:
    """Leave out the unit, which the number itself is written in."""
    return words(name.removesuffix("_nanos").removesuffix("_us"))


def _number(name: str, value: Any, zone: str) -> str:
    """Write a number of a reason in its unit, which the end of its name tells."""
    if isinstance(value, int) and name.endswith("_nanos"):
        return exact(value)
    if isinstance(value, int) and name.endswith("_us"):
        return zoned(value, zone, seconds=True)
    if isinstance(value, float):
        return f"{value:.4g}"
    return NONE if value is None else str(value)


def _offers(found: Why) -> None:
    rows = [
        ("served" if offer.taken else f"offer {place}", offer)
        for place, offer in enumerate(found.offers, start=1)
    ]
    if found.road_not_taken is not None:
        rows.append(("as asked, at full quality", found.road_not_taken))
    if not rows:
        return
    st.markdown("**Offers, best first, and the road not taken**")
    st.dataframe(
        {
            "": [name for name, _ in rows],
            "Model": [offer.model for _, offer in rows],
            "Tier": [offer.tier for _, offer in rows],
            "Effort": [offer.effort for _, offer in rows],
            "max_tokens": [offer.max_tokens for _, offer in rows],
            "Expected": [amount(offer.expected_cost_nanos) for _, offer in rows],
            "At most": [amount(offer.cost_bound_nanos) for _, offer in rows],
        },
        column_config={
            "Expected": st.column_config.NumberColumn(format="$%.6f"),
            "At most": st.column_config.NumberColumn(format="$%.6f"),
        },
        hide_index=True,
        placeholder=NONE,
    )


def _money(found: Why, zone: str) -> None:
    st.markdown("**Hold and settlement**")
    record, hold = found.record, found.hold
    if hold is None:
        st.caption("Nothing was held, nothing was spent.")
        return
    lines = {
        "Held": exact(hold.amount_nanos),
        "Cost, as billed": exact(hold.cost_nanos),
        "Charged to the tenant": exact(hold.charge_nanos),
        "Cost as asked": exact(record["asked_cost_nanos"]),
        "Refunded": exact(hold.refunded_nanos) if hold.refunded_nanos else None,
        "Owed": exact(hold.debt_nanos) if hold.debt_nanos else None,
        "Borne by the operator": exact(hold.absorbed_nanos) if hold.absorbed_nanos else None,
        "State": hold.state,
        "Opened": moment(hold.opened_us, zone, seconds=True),
        "Closed": moment(hold.closed_us, zone, seconds=True),
        **_usage(record["usage"]),
    }
    shown = {name: text for name, text in lines.items() if text is not None}
    st.dataframe({"": list(shown), "Value": list(shown.values())}, hide_index=True)
    st.caption(times_of(zone))
    if record["outcome"] == "uncertain":
        st.caption(_UNSEEN[hold.state])


def _usage(usage: object) -> dict[str, str]:
    counts = usage if isinstance(usage, Mapping) else {}
    return {words(str(name)): f"{value:,}" for name, value in counts.items() if isinstance(value, int)}
