"""
Who changed which setting, from what to what: the journal as people ask for it (reads only).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ledger import tables

Value = int | str | None


@dataclass(frozen=True, slots=True)
class Change:
    """
    One entry: the settings of its subject before (None: there was no such subject) and after it.
    """

    n: int
    at_us: int
    subject: str
    before: Mapping[str, Value] | None
    after: Mapping[str, Value]
    actor: str
    reason: str
    key: str


def changes(
    connection: Connection, tenant: str, from_us: int | None = None, to_us: int | None = None
) -> tuple[Change, ...]:
    """
    Return the entries of a period (its end excluded), oldest first.
    """
    table = tables.setting
    query = select(table).where(table.c.tenant == tenant).order_by(table.c.n)
    if to_us is not None:
        query = query.where(table.c.at < to_us)
    last: dict[str, Mapping[str, Value]] = {}
    found = []
    for row in connection.execute(query):
        before, after = last.get(row.subject), json.loads(row.value)
        last[row.subject] = after
        if from_us is None or row.at >= from_us:
            found.append(Change(row.n, row.at, row.subject, before, after, row.actor, row.reason, row.op_key))
    return tuple(found)
