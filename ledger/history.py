"""
The books as they were: balance at a past instant, and the life of each lot (reads only).

Credit and debt at an instant come from an index, however long the history is. What was held then is
summed up over the holds of that time, and is not known for times whose holds are archived.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, case, func, or_, select, text

from ledger import tables
from ledger.reads import credit_at
from ledger.rows import (
    KIND,
    KIND_NAMES,
    LOT_NAMES,
    RECEIVABLE,
    REFUND,
    SCHEDULED,
    WALLET,
)


@dataclass(frozen=True, slots=True)
class PastBalance:
    """
    A tenant's balance at an instant; `held_nanos` is None where the holds of that time are archived.
    """

    credit_nanos: int
    debt_nanos: int
    held_nanos: int | None


@dataclass(frozen=True, slots=True)
class LotRow:
    """
    One lot of credit and what is left of it.
    """

    id: str
    tenant: str
    kind: str
    priority: int
    granted_nanos: int
    remaining_nanos: int
    repaid_nanos: int
    reversed_nanos: int
    forfeited_nanos: int
    effective_us: int
    expires_us: int | None
    created_us: int
    scheduled: bool
    source_ref: str


@dataclass(frozen=True, slots=True)
class LotLine:
    """
    One event in the life of a lot; `left_nanos` is what it had afterwards.
    """

    transfer: str
    seq: int
    at_us: int
    kind: str
    amount_nanos: int
    change_nanos: int
    left_nanos: int
    hold_id: str | None
    key: str


def balance_at(connection: Connection, tenant: str, at_us: int) -> PastBalance:
    """
    Return the balance as it stood after everything up to an instant, that included.
    """
    return PastBalance(
        credit_at(connection, tenant, at_us),
        debt_at(connection, tenant, at_us),
        held_at(connection, tenant, at_us),
    )


def debt_at(connection: Connection, tenant: str, at_us: int) -> int:
    """
    Return the debt at an instant: what was booked as owed, less what was repaid.
    """
    transfer = tables.transfer
    change = case((transfer.c.debit == RECEIVABLE, transfer.c.amount), else_=-transfer.c.amount)
    query = select(func.coalesce(func.sum(change), 0)).where(
        transfer.c.tenant == tenant, transfer.c.at <= at_us, text(f"({tables.OF_DEBT})")
    )
    return int(connection.execute(query).scalar_one())


def held_at(connection: Connection, tenant: str, at_us: int) -> int | None:
    """
    Return what was held at an instant, from the opening and closing times of the holds.
    """
    archive, hold = tables.archive, tables.hold
    newest = select(func.max(archive.c.before_at)).where(archive.c.tenant == tenant)
    archived_us = connection.execute(newest).scalar_one_or_none()
    if archived_us is not None and at_us < archived_us:
        return None
    query = select(func.coalesce(func.sum(hold.c.amount), 0)).where(
        hold.c.tenant == tenant,
        hold.c.opened_at <= at_us,
        or_(hold.c.closed_at.is_(None), hold.c.closed_at > at_us),
    )
    return int(connection.execute(query).scalar_one())


def lots(connection: Connection, tenant: str) -> tuple[LotRow, ...]:
    """
    Return all lots of a tenant, the oldest first.
    """
    table = tables.grant_lot
    query = select(table).where(table.c.tenant == tenant).order_by(table.c.created_at, table.c.id)
    return tuple(_lot_row(row) for row in connection.execute(query))


def lot(connection: Connection, lot_id: str) -> LotRow | None:
    """
    Return one lot.
    """
    row = connection.execute(select(tables.grant_lot).where(tables.grant_lot.c.id == lot_id)).one_or_none()
    return None if row is None else _lot_row(row)


def _lot_row(row: Row[Any]) -> LotRow:
    return LotRow(
        id=row.id, tenant=row.tenant, kind=LOT_NAMES[row.kind], priority=row.priority,
        granted_nanos=row.granted, remaining_nanos=row.remaining, repaid_nanos=row.repaid,
        reversed_nanos=row.reversed, forfeited_nanos=row.forfeited, effective_us=row.effective_at,
        expires_us=row.expires_at, created_us=row.created_at, scheduled=bool(row.scheduled),
        source_ref=row.source_ref,
    )  # fmt: skip


def lot_history(connection: Connection, lot: LotRow) -> tuple[LotLine, ...]:
    """
    Return what happened to a lot, oldest first: how it came, each draw and return, its end.
    """
    transfer, draw = tables.transfer, tables.draw
    own = select(transfer).where(transfer.c.lot_id == lot.id)
    events = [(row, row.amount, _own_change(row)) for row in connection.execute(own)]
    drawn = (
        select(transfer, draw.c.amount.label("part"))
        .join(draw, (draw.c.tenant == transfer.c.tenant) & (draw.c.seq == transfer.c.seq))
        .where(draw.c.tenant == lot.tenant, draw.c.lot_id == lot.id)
    )
    for row in connection.execute(drawn):
        homeless = row.part < 0 and lot.expires_us is not None and row.at >= lot.expires_us
        events.append((row, abs(row.part), 0 if homeless else -row.part))
    if lot.kind == LOT_NAMES[REFUND]:
        made = select(transfer).where(
            transfer.c.tenant == lot.tenant, transfer.c.seq == int(lot.id.rpartition("-")[2])
        )
        events += [(row, lot.granted_nanos, lot.granted_nanos) for row in connection.execute(made)]
    return _lines(sorted(events, key=lambda event: (event[0].seq, -event[2])))


def adjusted(connection: Connection, lot: LotRow) -> int:
    """
    Return what was taken of a lot by adjustments.
    """
    transfer, draw = tables.transfer, tables.draw
    query = (
        select(func.coalesce(func.sum(draw.c.amount), 0))
        .join(transfer, (draw.c.tenant == transfer.c.tenant) & (draw.c.seq == transfer.c.seq))
        .where(draw.c.tenant == lot.tenant, draw.c.lot_id == lot.id, transfer.c.kind == KIND["adjust"])
    )
    return int(connection.execute(query).scalar_one())


def _own_change(row: Row[Any]) -> int:
    """
    Return what a transfer that names the lot did to what is left of it.
    """
    if row.debit in (WALLET, SCHEDULED) and row.kind != KIND["activate"]:
        return -int(row.amount)
    if row.kind == KIND["schedule"] or (row.credit == WALLET and row.kind != KIND["activate"]):
        return int(row.amount)
    return 0


def _lines(events: list[tuple[Row[Any], int, int]]) -> tuple[LotLine, ...]:
    left, lines = 0, []
    for row, amount, change in events:
        left += change
        name, kind = f"{row.tenant}-{row.seq}", KIND_NAMES[row.kind]
        lines.append(LotLine(name, row.seq, row.at, kind, amount, change, left, row.hold_id, row.op_key))
    return tuple(lines)
