"""
Takes old holds and keys out of the books without breaking what proves them.

Transfers, draws, lots and seals stay for ever: balances, statements and chains need them. What goes are holds
that are settled or released for good, their parts in windows that have ended, and the answers to calls' keys.
Sums of what went stay behind, so that `verify` still adds up. A capture at expiry waits for the truth and
never goes; nor do keys of operators, which say who did what and why.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, delete, exists, insert, select, text

from ledger import tables
from ledger.rows import COUNTS_COST, RELEASED, SETTLED

CALL_KINDS: Final = ("Reserve", "Settle", "Release", "Renew", "Note")
Line = dict[str, Any]
Keep = Callable[[Sequence[Line]], None]


def lines_of(table: Table, rows: Sequence[Row[Any]]) -> list[Line]:
    """
    Write rows as they stand in the file, named by table and column.
    """
    return [{"table": table.name, "row": dict(row._mapping)} for row in rows]


def digest_of(lines: Sequence[Line]) -> str:
    """
    Return SHA-256 over lines of the file.
    """
    return sha256("\n".join(json.dumps(line, sort_keys=True) for line in lines).encode()).hexdigest()


def take_holds(
    connection: Connection, tenant: str, before_us: int, *, step: str, now_us: int, most: int, keep: Keep
) -> tuple[str, ...]:
    """
    Take closed holds of a tenant out of the books, under the lock of its account; returns their ids.

    Args:
        step: Unique name of this step.
        keep: Is given the rows and must have them on disk when it returns; what it raises undoes the step.
    """
    account = tables.account
    connection.execute(select(account.c.seq).where(account.c.tenant == tenant).with_for_update())
    holds = connection.execute(_ripe(tenant, before_us).limit(most)).all()
    if not holds:
        return ()
    ids = [row.id for row in holds]
    part = tables.hold_window
    parts = connection.execute(select(part).where(part.c.hold_id.in_(ids))).all()
    lines = [*lines_of(tables.hold, holds), *lines_of(part, parts)]
    keep(lines)
    connection.execute(insert(tables.archive).values(
        id=step, tenant=tenant, before_at=before_us, holds=len(holds), digest=digest_of(lines), at=now_us,
        charged=sum(row.captured - row.refunded for row in holds),
        absorbed=sum(row.absorbed for row in holds),
    ))  # fmt: skip
    _remember_windows(connection, {row.id: row for row in holds}, parts)
    connection.execute(delete(part).where(part.c.hold_id.in_(ids)))
    connection.execute(delete(tables.hold).where(tables.hold.c.id.in_(ids)))
    return tuple(ids)


def _ripe(tenant: str, before_us: int) -> Any:
    """
    Select the holds that nothing can change any more: closed for good, and all their windows have ended.
    """
    hold, part, window = tables.hold, tables.hold_window, tables.budget_window
    running = exists().where(
        part.c.hold_id == hold.c.id, window.c.budget_id == part.c.budget_id,
        window.c.starts_at == part.c.starts_at, window.c.ends_at > before_us,
    )  # fmt: skip
    query = select(hold).where(
        hold.c.tenant == tenant, hold.c.opened_at < before_us, hold.c.closed_at < before_us,
        hold.c.state.in_((SETTLED, RELEASED)), ~running,
    )  # fmt: skip
    return query.order_by(hold.c.opened_at, hold.c.id)


_ADD_WINDOW: Final = text(
    """
    INSERT INTO ledger_archived_window (budget_id, starts_at, spent) VALUES (:budget_id, :starts_at, :spent)
    ON CONFLICT (budget_id, starts_at) DO UPDATE SET spent = ledger_archived_window.spent + excluded.spent
    """
)


def _remember_windows(
    connection: Connection, holds: Mapping[str, Row[Any]], parts: Sequence[Row[Any]]
) -> None:
    """
    Add up, by window, what the holds had spent in it.
    """
    spent: defaultdict[tuple[str, int], int] = defaultdict(int)
    for part in parts:
        hold = holds[part.hold_id]
        if hold.state == SETTLED:
            truth = hold.actual if part.counts == COUNTS_COST else hold.captured
            spent[(part.budget_id, part.starts_at)] += truth - part.refunded
    rows = [{"budget_id": place[0], "starts_at": place[1], "spent": sum_} for place, sum_ in spent.items()]
    if rows:
        connection.execute(_ADD_WINDOW, sorted(rows, key=lambda row: (row["budget_id"], row["starts_at"])))


def take_ops(connection: Connection, tenant: str, before_us: int, *, most: int, keep: Keep) -> int:
    """
    Take old answers to keys of calls out of the books; returns their number.
    """
    op = tables.op
    old = select(op).where(op.c.tenant == tenant, op.c.at < before_us, op.c.kind.in_(CALL_KINDS))
    rows = connection.execute(old.limit(most)).all()
    if rows:
        keep(lines_of(op, rows))
        keys = [row.key for row in rows]
        connection.execute(delete(op).where(op.c.tenant == tenant, op.c.key.in_(keys)))
    return len(rows)
