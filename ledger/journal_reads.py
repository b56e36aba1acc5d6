"""
Who changed which setting, from what to what: the journal as people ask for it (reads only).
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ledger import tables
from ledger.journal import ACCOUNT, BUDGET, budget_subject
from ledger.rows import WINDOW_NAMES

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


def zone_at(connection: Connection, tenant: str, at_us: int) -> str | None:
    """
    Return a tenant's time zone at an instant; None where the journal does not go back to it.
    """
    table = tables.setting
    query = select(table.c.value).where(
        table.c.tenant == tenant, table.c.subject == ACCOUNT, table.c.at <= at_us
    )
    found = connection.execute(query.order_by(table.c.n.desc()).limit(1)).scalar_one_or_none()
    return None if found is None else str(json.loads(found)["timezone"])


Zones = Mapping[str, Sequence[tuple[int, str]]]
"""Of each budget, by the subject of its entries: its time zones, each with the instant of the order."""


def budget_zones(connection: Connection, tenant: str) -> Zones:
    """
    Return the time zones that a tenant's budgets were given, the oldest first.
    """
    table = tables.setting
    query = select(table.c.subject, table.c.at, table.c.value).where(
        table.c.tenant == tenant, table.c.subject.startswith(BUDGET, autoescape=True)
    )
    found = defaultdict[str, list[tuple[int, str]]](list)
    for subject, at_us, value in connection.execute(query.order_by(table.c.n)):
        found[subject].append((at_us, str(json.loads(value)["timezone"])))
    return found


def budgets_since(connection: Connection, tenant: str, subject: str | None = None) -> Mapping[str, int]:
    """
    Return when each of a tenant's budgets was first set, or only one of them, by the subject of its entries;
    not of those that are older than the journal: their first entry is of the migration and has no key.
    """
    table = tables.setting
    query = select(table.c.subject, table.c.at, table.c.op_key).where(table.c.tenant == tenant)
    if subject is None:
        query = query.where(table.c.subject.startswith(BUDGET, autoescape=True))
    else:
        query = query.where(table.c.subject == subject).limit(1)
    first: dict[str, tuple[int, str]] = {}
    for name, at_us, key in connection.execute(query.order_by(table.c.n)):
        first.setdefault(name, (at_us, key))
    return {name: at_us for name, (at_us, key) in first.items() if key}


def zone_of_window(zones: Zones, scope: str, window: str, starts_us: int) -> str | None:
    """
    Return the time zone in which a budget's window runs that began at an instant: a window that runs while
    the zone changes ends in the old one. None where the journal does not say.
    """
    known = zones.get(budget_subject(scope, WINDOW_NAMES.index(window)), ())
    before = [zone for at_us, zone in known if at_us <= starts_us]
    first = known[0][1] if known else None  # set in the midst of its first window
    return before[-1] if before else first
