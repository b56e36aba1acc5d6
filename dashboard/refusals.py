"""
Refusals of a period in groups, so that a storm of them is one line; choosing a line shows its single calls.
"""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from dashboard.money_text import moment, plain, plural, times_of, words
from outlay.reports_calls import Refusals

SHOWN: Final = 500


def show(groups: Sequence[Refusals], zone: str) -> Refusals | None:
    """
    Show refusals by tenant and code; return the line that was chosen.
    """
    st.subheader("Refusals")
    if not groups:
        st.caption("Nothing was refused in this period.")
        return None
    shown = groups[:SHOWN]
    chosen = st.dataframe(
        {
            "Code": [words(group.code) for group in shown],
            "Tenant": [group.tenant for group in shown],
            "Count": [group.count for group in shown],
            "In the log": [group.kept for group in shown],
            "First": [moment(group.first_us, zone) for group in shown],
            "Last": [moment(group.last_us, zone) for group in shown],
        },
        column_config={
            "Count": st.column_config.NumberColumn(format="localized"),
            "In the log": st.column_config.NumberColumn(
                format="localized",
                help="Of a storm only the first 30 a minute have a record; the others are counted",
            ),
        },
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=" ".join(("refusals", *(f"{group.tenant}/{group.code}" for group in shown))),
    )
    picked = chosen["selection"]["rows"]
    if not picked:
        more = f" The latest {SHOWN} of {plural(len(groups), 'line')}." if len(groups) > SHOWN else ""
        st.caption(f"Select a line to see its single calls below. {times_of(zone)}{more}")
        return None
    group = shown[picked[0]]
    said = f"Below are the refused calls of {group.tenant} with this code; clear the selection to see all."
    st.caption(f"{plain(said)} {times_of(zone)}")
    return group
