"""
Read model about conversations: changes of model or effort that were not made, and what they would have cost.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.dialects.postgresql import JSONB

from outlay.reports_calls import within
from outlay.reports_periods import Period
from outlay.tables import decision
from router.types import ReasonCode


@dataclass(frozen=True, slots=True)
class Suppressed:
    """
    Changes that conversations were spared.

    Attributes:
        calls: Changes that would have cost more than staying.
        cost_nanos: How much more, over the turns expected at the time.
        saving_calls: Changes that would have saved something, but too little for the cache they threw away.
    """

    calls: int = 0
    cost_nanos: int = 0
    saving_calls: int = 0


def suppressed(conn: Connection, period: Period, tenant: str | None) -> Suppressed:
    """
    Count the changes that were not made, as a prompt cache would have been lost.
    """
    each, code, cost = _unfolded(conn.dialect.name)
    lost = sa.cast(cost, sa.BigInteger)
    query = (
        sa.select(_sum(lost >= 0, 1), _sum(lost >= 0, lost), _sum(lost < 0, 1))
        .select_from(decision.join(each, sa.true()))
        .where(*within(period, tenant))
        .where(decision.c.reasons.contains(f'"{ReasonCode.SWITCH_SUPPRESSED_CACHE}"'))
        .where(code == ReasonCode.SWITCH_SUPPRESSED_CACHE)
    )
    return Suppressed(*(int(value) for value in conn.execute(query).one()))


def _sum(where: ColumnElement[bool], value: Any) -> ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((where, value), else_=0)), 0)


def _unfolded(dialect: str) -> tuple[Any, ColumnElement[Any], ColumnElement[Any]]:
    """Unfold the reasons of a decision into rows with their code and what the change would have cost."""
    if dialect == "sqlite":
        each = sa.func.json_each(decision.c.reasons).table_valued("value", name="each_reason")
        value = each.c.value
        return (
            each,
            sa.func.json_extract(value, "$.code"),
            sa.func.json_extract(value, "$.numbers.cost_nanos"),
        )
    unfolded = sa.func.jsonb_array_elements(sa.cast(decision.c.reasons, JSONB))
    rows = unfolded.table_valued(sa.column("value", JSONB), name="each_reason").render_derived()
    return rows, rows.c.value["code"].astext, rows.c.value["numbers"]["cost_nanos"].astext
