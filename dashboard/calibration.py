"""
What scores prove of each task class, as the routing page shows it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from dashboard import session
from dashboard.money_text import plural
from outlay import reports_quality
from outlay.reports_quality import ClassRow
from router.gate import GateStatus

STATES: Final[Mapping[GateStatus, str]] = {
    GateStatus.PROVEN: "proven",
    GateStatus.NOT_ENOUGH: "not enough evidence",
    GateStatus.INFEASIBLE: "infeasible",
}
_NONE: Final = (
    "No downgraded call has been scored yet. Until scores prove that cheaper answers are good enough, no "
    "classifier may choose them: `outlay score DECISION_ID pass`."
)


def show(tenant: str | None) -> None:
    """
    Show the state of each task class of a tenant, or of all.
    """
    rows, error = session.attempt(lambda: reports_quality.calibration(session.books(), tenant))
    st.subheader("Calibration")
    if rows is None:
        session.show_error(error)
    elif not rows:
        st.caption(_NONE)
    else:
        _table(rows)


def _table(rows: Sequence[ClassRow]) -> None:
    st.dataframe(
        {
            "Tenant": [row.tenant for row in rows],
            "Task class": [row.task_class for row in rows],
            "Served by": [row.tier for row in rows],
            "Scored": [row.state.n for row in rows],
            "Failed": [row.state.failed for row in rows],
            "At most": [row.state.bound * 100 for row in rows],
            "Allowed": [row.max_failed_ratio * 100 for row in rows],
            "State": [state_text(row) for row in rows],
        },
        column_config={
            "Scored": st.column_config.NumberColumn(format="%.6g"),
            "Failed": st.column_config.NumberColumn(format="%.6g"),
            "At most": st.column_config.NumberColumn(format="%.1f %%"),
            "Allowed": st.column_config.NumberColumn(format="%.1f %%"),
        },
        hide_index=True,
    )
    st.caption(
        "Scored calls that were served below the tier they asked for. At most: the share that fails in the "
        "long run, at the confidence that the policy asks for. A classifier downgrades a proven class only."
    )


def state_text(row: ClassRow) -> str:
    """
    Name a state, and what is missing to a proof.
    """
    name = STATES[row.state.status]
    if not row.state.needed:
        return name
    return f"{name}: {plural(row.state.needed, 'more pass', 'more passes')}"
