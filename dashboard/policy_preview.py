"""
Preview of a drafted policy on recent traffic: what it would have spent, lowered and refused.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import streamlit as st

from dashboard import frame, session
from dashboard.money_text import NONE, OF_CALLS, cells, dated, plain, plural, times_of, words
from outlay.admin.preview import preview_policy

DECISIONS_MAX: Final = 50_000
"""Newer decisions than so many are looked at; the command line takes more."""
_DAYS: Final = {1: "1 day", 7: "7 days", 30: "30 days"}
_KINDS: Final = {
    "model": "served by another model",
    "effort": "served at another effort",
    "max_tokens": "served with other max_tokens",
    "refused": "refused",
    "served": "served that were refused",
}


def show(text: str, tenant: str | None, key: str) -> None:
    """
    Offer the preview of a valid draft, and show the last one while it is of this very draft.
    """
    choice, button = frame.form_row(f"{key}/preview", [3, 1])
    days = choice.segmented_control(
        "Recent traffic", _DAYS, default=7, required=True, format_func=_DAYS.__getitem__, key=f"{key}_days"
    )
    asked, place = (text, tenant, days), f"{key}_previewed"
    if button.button("Preview", key=f"{key}_preview", icon=":material/science:", width="stretch"):
        found, error = session.attempt(lambda: _made(text, tenant, int(days or 7)))
        if error is not None:
            session.show_error(error)
        st.session_state[place] = (asked, found)
    kept = st.session_state.get(place)
    if kept is None or kept[1] is None:
        return
    if kept[0] != asked:
        st.caption("The draft or the period is another one now; preview it again.")
        return
    _result(kept[1])


def _made(text: str, tenant: str | None, days: int) -> dict[str, Any]:
    bar = st.progress(0.0, "Deciding recent calls again…")
    try:
        return preview_policy(
            session.books(),
            text,
            days=days,
            tenant=tenant,
            most=DECISIONS_MAX,
            progress=lambda done, total: bar.progress(min(1.0, done / max(1, total))),
        )
    finally:
        bar.empty()


def _result(found: Mapping[str, Any]) -> None:
    if found["decisions"] == 0:
        st.info("No call was made in this period, so there is nothing to compare with.")
        return
    kinds = ", ".join(f"{count:,} {_KINDS[kind]}" for kind, count in found["changed_by"].items())
    calls = plural(found["total"]["calls"], "call")
    changed = f"{found['changed']:,} of {calls} would have gone otherwise"
    st.markdown(plain(f"{changed}: {kinds}." if kinds else f"{changed}."))
    _lines("Tenant", [(row["tenant"], row) for row in found["tenants"]])
    for risk in found["risks"]:
        st.warning(plain(risk), icon=":material/trending_up:")
    tasks = [(_task(row, task), task) for row in found["tenants"] for task in row["tasks"]]
    if len(tasks) > 1:
        with st.expander("By task"):
            _lines("Task", tasks)
    if found["changes"]:
        with st.expander(f"Calls that would have gone otherwise ({found['changed']:,})"):
            _changes(found["changes"], frame.zone())
            first = f"The first {len(found['changes'])}. " if len(found["changes"]) < found["changed"] else ""
            st.caption(f"{first}{times_of(frame.zone())}")
    st.caption(plain(" ".join(found["notes"])))


def _task(tenant: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    return f"{tenant['tenant']}: {task['task'] or 'no task'}"


def _lines(first: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Lay out sums now and then, one line each."""
    money = {"Spent": "spend_now_usd", "Spent then": "spend_then_usd", "Change, USD": "change_usd"}
    raised = {"Raised": "raised_now", "Raised then": "raised_then"}
    counts = {
        "Lowered": "downgrades_now",
        "Lowered then": "downgrades_then",
        **(raised if any(row[field] for _, row in rows for field in raised.values()) else {}),
        "Refused": "refusals_now",
        "Refused then": "refusals_then",
        "Otherwise": "changed",
    }
    spent, written = frame.money_columns(
        {name: [_nanos(row[field]) for _, row in rows] for name, field in money.items()}
    )
    change = cells([_nanos(row[field]) for _, row in rows for field in money.values()]).replace("$%", "%+")
    st.dataframe(
        {
            first: [name for name, _ in rows],
            "Calls": [row["calls"] for _, row in rows],
            **spent,
            **{name: [row[field] for _, row in rows] for name, field in counts.items()},
        },
        column_config={
            **written,
            "Change, USD": st.column_config.NumberColumn(format=change),
            "Lowered": st.column_config.NumberColumn(help="Calls served below the tier asked for"),
            "Raised": st.column_config.NumberColumn(help="Calls served above the tier asked for"),
            "Otherwise": st.column_config.NumberColumn(help="Calls that would have gone otherwise"),
        },
        hide_index=True,
    )


def _nanos(text: str) -> int:
    return int(Decimal(text).scaleb(9))


def _changes(changes: Sequence[Mapping[str, Any]], zone: str) -> None:
    st.dataframe(
        {
            "Time": [dated(one["at"], zone) for one in changes],
            "Tenant": [one["tenant"] for one in changes],
            "Task": [one["task"] for one in changes],
            "Asked": [one["asked"]["model"] for one in changes],
            "Now": [_served(one, "now") for one in changes],
            "Then": [_served(one, "then") for one in changes],
            "Cost": [Decimal(one["cost_now_usd"]) for one in changes],
            "Cost then": [Decimal(one["cost_then_usd"]) for one in changes],
            "Why": [_why(one) for one in changes],
            "Call": [one["id"] for one in changes],
        },
        column_config={
            **dict.fromkeys(("Cost", "Cost then"), st.column_config.NumberColumn(format=OF_CALLS)),
            "Call": st.column_config.TextColumn(help="Explain it on the Routing page"),
        },
        hide_index=True,
        placeholder=NONE,
    )


def _served(one: Mapping[str, Any], when: str) -> str:
    served = one[f"served_{when}"]
    if served is None:
        return f"refused: {words(one[f'code_{when}'] or '')}"
    effort = f", {served['effort']}" if served["effort"] else ""
    return f"{served['model']}{effort}, {served['max_tokens']:,}"


def _why(one: Mapping[str, Any]) -> str:
    return one["reasons"][-1]["text"] if one["reasons"] else ""
