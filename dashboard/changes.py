"""
Who changed which setting of a tenant, when, from what to what, and why: the journal, to be read only.
"""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from dashboard import session
from dashboard.money_text import NONE, dated, dollars, plain, times_of, words
from outlay.admin.history import SUBJECTS, history

PAGE: Final = 25
_ALL: Final = "All"
_NOTHING: Final = "nothing, it was so already"


def show(tenant: str, zone: str) -> None:
    """
    Show a page of the changes of a tenant's settings, the newest first.
    """
    head = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    head.subheader("Changes of settings", width="content")
    kept = f"changes_{tenant}"

    def newest() -> None:
        st.session_state[kept] = 0

    of = head.segmented_control(
        "Of", [_ALL, *SUBJECTS], default=_ALL, required=True, label_visibility="collapsed",
        format_func=str.capitalize, key="changes_of", on_change=newest,
    )  # fmt: skip
    first = PAGE * st.session_state.setdefault(kept, 0)
    found, error = session.attempt(
        lambda: history(session.books(), tenant, of=None if of == _ALL else str(of), limit=first + PAGE + 1)
    )
    if error is not None or found is None:
        session.show_error(error) if error is not None else None
        return
    lines = found["changes"][::-1][first:]
    if not lines:
        st.caption(
            "None is on record. What is set from now on stands here: budgets, price, freeze, time zone, "
            "and the terms of credits, each with who set it, and why."
        )
        return
    _table(lines[:PAGE], zone)
    st.caption(
        f"The newest first. {times_of(zone)} A lot is one top-up or grant, kept apart until it is spent. "
        "Keys, policies and halts have lists of their own; all of it on the command line: "
        f"`outlay tenant history {tenant}`."
    )
    _paging(kept, more=len(lines) > PAGE)


def _paging(kept: str, *, more: bool) -> None:
    page = st.session_state[kept]
    if page == 0 and not more:
        return
    with st.container(horizontal=True):
        if st.button("Newer", disabled=page == 0, icon=":material/chevron_left:", key="changes_newer"):
            st.session_state[kept] = page - 1
            st.rerun()
        if st.button("Older", disabled=not more, icon=":material/chevron_right:", key="changes_older"):
            st.session_state[kept] = page + 1
            st.rerun()


def _table(lines: list[Mapping[str, Any]], zone: str) -> None:
    st.table(
        {
            "Time": [dated(line["at"], zone) for line in lines],
            "Who": [plain(line["actor"] or NONE) for line in lines],
            "Of": [plain(" ".join(line["subject"].split(":", 1))) for line in lines],
            "Setting": [_setting(line["setting"]) for line in lines],
            "From": [plain(_value(line["setting"], line["from"], zone)) for line in lines],
            "To": [plain(_value(line["setting"], line["to"], zone)) for line in lines],
            "Reason": [plain(line["reason"] or NONE) for line in lines],
        },
        hide_index=True,
    )


def _setting(name: str | None) -> str:
    return _NOTHING if name is None else words(name.removesuffix("_usd").removesuffix("_at"))


def _value(name: str | None, value: Any, zone: str) -> str:
    """Write a setting as people read it: money with its sign, yes and no, instants on the tenant's clock."""
    if value is None or name is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_usd"):
        return "no limit" if value == "none" else dollars(value)
    return dated(value, zone) if name.endswith(("_at", "_until")) else str(value)
