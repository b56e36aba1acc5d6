"""
The journal of settings, held against the rows that it tells of and the orders that wrote it (reads only; part
of `verify`).

A setting that was changed by hand is unlike its last entry; an entry that was changed breaks the chain; one
that was taken from the end leaves its order behind. Somebody who does all of it at once is found by seals. A
hold must have the price and the rule for overage that its account had when it was opened.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Table, select

from ledger import tables
from ledger.chain import GENESIS, list_hash
from ledger.evidence import in_parts
from ledger.journal import ACCOUNT, LOT, SETTINGS, budget_subject, settings_of
from ledger.rows import REFUND, Account, Budget, Lot
from ledger.types import OpenAccount, SetAccount, SetBudget, TopUp

_ALWAYS_WRITE: Final = tuple(kind.__name__ for kind in (OpenAccount, TopUp, SetBudget, SetAccount))


class _Terms(NamedTuple):
    at: int
    multiplier_ppm: int | None
    overage: int | None


@dataclass(slots=True)
class _Told:
    """
    What the journals say: the last entry of each subject, who gave which order, after which instant they tell
    everything, and the multiplier and rule for overage of each account from each instant on.
    """

    last: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    orders: dict[tuple[str, str], tuple[str, str, int]] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    terms: dict[str, list[_Terms]] = field(default_factory=dict)


def check_settings(connection: Connection) -> Iterator[str]:
    """
    Yield what is broken, naming the entry, the row or the order.
    """
    told = _Told()
    yield from _walk(connection, told)
    yield from _compare(connection, told)
    yield from _orders(connection, told)
    yield from _holds(connection, told)


def _walk(connection: Connection, told: _Told) -> Iterator[str]:
    """
    Walk each tenant's journal from its first entry.
    """
    table = tables.setting
    tenant, number, head, clock = "", 0, GENESIS, 0
    for row in in_parts(connection, select(table).order_by(table.c.tenant, table.c.n)):
        if row.tenant != tenant:
            tenant, number, head, clock = row.tenant, 0, GENESIS, row.at
            found = row.op_key == ""  # by the migration, which tells nothing of its own instant
            told.since[tenant] = row.at if found else row.at - 1
        if row.n != number + 1:
            yield f"{entry(tenant, row.n)} follows {number}"
        if row.prev_hash != head or row.hash != list_hash(head, *row[:8]):
            yield f"{entry(tenant, row.n)} does not match its hash"
        elif row.at < clock:
            yield f"{entry(tenant, row.n)} is older than the one before"
        number, head, clock = row.n, row.hash, row.at
        told.last[tenant, row.subject] = row.n, row.value
        told.orders[tenant, row.op_key] = row.actor, row.reason, row.at
        if row.subject == ACCOUNT:
            known = _read(row.value)
            terms = _Terms(row.at, known.get("multiplier_ppm"), known.get("overage"))
            told.terms.setdefault(tenant, []).append(terms)


def entry(tenant: str, n: int) -> str:
    """
    Name an entry of a journal.
    """
    return f"setting {tenant}#{n}"


def _compare(connection: Connection, told: _Told) -> Iterator[str]:
    """
    Compare each account, budget and lot with its last entry.
    """
    for row in in_parts(connection, select(tables.account)):
        yield from _against(told, Account, tables.account, ACCOUNT, row)
    for row in in_parts(connection, select(tables.budget)):
        if row.window_kind in range(4):
            subject = budget_subject(row.scope, row.window_kind)
            yield from _against(told, Budget, tables.budget, subject, row)
    lots = select(tables.grant_lot).where(tables.grant_lot.c.kind != REFUND)
    for row in in_parts(connection, lots):
        yield from _against(told, Lot, tables.grant_lot, f"{LOT}{row.id}", row)
    for (tenant, subject), (n, _) in told.last.items():
        yield f"{entry(tenant, n)} is about {subject}, which is not there"


def _against(told: _Told, kind: type, table: Table, subject: str, row: Row[Any]) -> Iterator[str]:
    n, value = told.last.pop((row.tenant, subject), (0, ""))
    if n == 0:
        yield f"{table.name} of {row.tenant}: no entry tells who set {subject}"
    elif value != settings_of(kind, row):
        known = _read(value)
        for name in SETTINGS[kind]:
            found = getattr(row, name)
            if known.get(name, found) != found:
                wanted = f"{entry(row.tenant, n)} set it to {known[name]!r}"
                yield f"{subject} of {row.tenant} has {name} {found!r}, {wanted}"


def _read(value: str) -> dict[str, Any]:
    """
    Read an entry's settings; one that cannot be read does not match its hash either.
    """
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _orders(connection: Connection, told: _Told) -> Iterator[str]:
    """
    Compare what is kept of operators' orders with the entries that they wrote, since there is a journal.
    """
    op = tables.op.c
    query = select(op.tenant, op.key, op.actor, op.reason, op.at).where(op.kind.in_(_ALWAYS_WRITE))
    for tenant, key, *given in in_parts(connection, query):
        known = told.orders.get((tenant, key))
        older = known is None and given[2] <= told.since.get(tenant, given[2])
        if not older and known != tuple(given):
            yield f"order {key!r} of {tenant} does not stand among the settings as it was given"


def _holds(connection: Connection, told: _Told) -> Iterator[str]:
    """
    Compare each hold with the account's settings when it was opened; an observed one absorbs by itself.
    """
    hold = tables.hold.c
    query = select(
        hold.id, hold.tenant, hold.opened_at, hold.multiplier_ppm, hold.overage, hold.enforced
    )  # fmt: skip
    for name, tenant, at, ppm, overage, enforced in in_parts(connection, query):
        if at <= told.since.get(tenant, at):
            continue
        possible = _in_force(told.terms.get(tenant, []), at)
        if not any(
            ppm == one.multiplier_ppm and (overage == one.overage or not enforced) for one in possible
        ):
            yield f"hold {name} has multiplier {ppm} and overage {overage}, which its account did not have"


def _in_force(terms: list[_Terms], at: int) -> list[_Terms]:
    """
    Return the settings that were in force at an instant; several where some were set in that instant.
    """
    if len(terms) < 2:
        return terms
    first = bisect_left(terms, at, key=attrgetter("at"))
    return terms[max(0, first - 1) : bisect_right(terms, at, key=attrgetter("at"))]
