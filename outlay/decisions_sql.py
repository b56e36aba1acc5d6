"""
The decision log, read: one decision with its attempts, and what a call costs. Rows are written by the flow,
in the transaction of the settlement, and never changed. `outlay/reports_log.py` reads the newest ones,
`outlay/sessions_sql.py` what a conversation was served with.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, func, literal_column, select

from ledger.rows import RELEASED, SETTLED
from ledger.tables import hold
from outlay.tables import decision as table

JSON_COLUMNS: Final = ("would", "reasons", "offers", "counterfactual", "usage", "tags")


UNSEEN: Final = table.c.outcome.in_([literal_column("'uncertain'"), literal_column("'failed'")])
"""Calls whose cost may be told later than their record; in the words of their index."""


REFUSED: Final = table.c.outcome == literal_column("'refused'")
"""Calls that were refused, in the words of their index."""


def of_tenant(tenant: str) -> ColumnElement[bool]:
    """
    Return the condition for a tenant's calls that leaves them to the index of `UNSEEN` or `REFUSED`: SQLite
    would take that of the tenant, and read every call of the period.
    """
    return func.coalesce(table.c.tenant, "") == tenant


def cost() -> ColumnElement[int]:
    """
    Return what the provider bills for a call, as the books have it now.

    A record is never changed. Of a call whose end nobody saw it says no cost, and of one that was given back
    it says 0; the hold knows what was captured, what was told later, and what was corrected since.
    """
    booked = case((hold.c.state == RELEASED, 0), else_=hold.c.actual)
    told = select(booked).where(hold.c.id == table.c.hold_id).scalar_subquery()
    return func.coalesce(told, table.c.cost_nanos)


def asked_cost() -> ColumnElement[int]:
    """
    Return what a call's usage would have cost at the model asked for; nothing where its cost was corrected.

    Its usage is not what was billed then, and a saving made of the two would be nobody's.
    """
    return case((cost() == table.c.cost_nanos, table.c.asked_cost_nanos))


def usage() -> ColumnElement[str]:
    """
    Return what the provider reported of a call; of one that was recorded before, as its settlement told it.
    """
    by_the_call = (hold.c.state == SETTLED) & hold.c.detail.like("{%")
    told = select(hold.c.detail).where(hold.c.id == table.c.hold_id, by_the_call).scalar_subquery()
    return func.coalesce(table.c.usage, told)


_NOW: Final[Mapping[str, ColumnElement[Any]]] = {
    "cost_nanos": cost(),
    "asked_cost_nanos": asked_cost(),
    "usage": usage(),
}
COLUMNS: Final = (
    *(_NOW[column.name].label(column.name) if column.name in _NOW else column for column in table.c),
    table.c.cost_nanos.label("recorded_nanos"),
)
"""What is shown of a decision: the record, with what the books have now, and the cost that it recorded."""


class Decisions:
    """
    The decision log of one database.
    """

    def find(self, connection: Connection, decision_id: str) -> dict[str, Any] | None:
        """
        Return a decision, its JSON columns decoded (`inputs` stays text); None if there is none.
        """
        row = connection.execute(select(*COLUMNS).where(table.c.id == decision_id)).one_or_none()
        return None if row is None else decode(dict(row._mapping))

    def attempts(self, connection: Connection, first: str) -> tuple[dict[str, Any], ...]:
        """
        Return a decision and all attempts that belong to it, in order.
        """
        query = select(*COLUMNS).where((table.c.id == first) | (table.c.parent == first))
        rows = connection.execute(query.order_by(table.c.at_us, table.c.attempt, table.c.id))
        return tuple(decode(dict(row._mapping)) for row in rows)


def role(row: Mapping[str, Any]) -> str | None:
    """
    Return the role that a call named; it stands among the inputs of the choice.
    """
    profile = json.loads(row["inputs"] or "{}").get("profile") or {}
    return profile.get("role")


def decode(row: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the columns of a decision by name, those that hold JSON as values; `inputs` stays text.
    """
    return {name: _value(value) if name in JSON_COLUMNS else value for name, value in row.items()}


def _value(text: str | None) -> Any:
    return None if text is None or text == "" else json.loads(text)
