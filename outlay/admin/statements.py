"""
Statements: what moved a tenant's credit and debt in a period, line by line, with both before and after.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, select

from ledger import reads, tables
from ledger.history import debt_at
from ledger.read_models import AccountRow, StatementLine
from ledger.rows import PARTY_NAMES, RECEIVABLE
from outlay import fields
from outlay.admin.common import known_tenant, own_key, period_us
from outlay.errors import translated
from outlay.fields import instant_text, usd
from outlay.wiring import App

LINES_MAX: Final = 1_000_000
OWED: Final = PARTY_NAMES[RECEIVABLE]


def statement(
    app: App, tenant: str, *, since: str | None = None, until: str | None = None, limit: int | None = None
) -> dict[str, Any]:
    """
    Return the transfers of a period, oldest first, with the credit and the debt before and after.

    `amount_usd` has no sign; `change_usd` is what a line did to the credit, `debt_change_usd` to the debt.
    The sum of `charge_usd` is what the tenant was charged for calls, that of `cost_usd` what the books hold
    as the provider's cost: each is the difference that a line makes.

    Args:
        since: First date or instant of it, in the tenant's zone.
        until: End of it, itself excluded.
        limit: At most the newest so many lines; the opening credit is that before the first one shown.
    """
    most = None if limit is None else fields.whole(limit, "limit", 1, LINES_MAX)
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant)
        zone = row.timezone
        from_us, to_us = period_us(since, until, zone)
        lines = _lines(connection, row.tenant, from_us, to_us, most)
        if not lines:
            before, after = (_quiet(connection, row, to_us if from_us is None else from_us),) * 2
    if lines:
        (first, owed), (last, owing) = lines[0], lines[-1]
        before = first.balance_nanos - first.change_nanos, owed - _debt(first)
        after = last.balance_nanos, owing
    return {
        "tenant": row.tenant,
        "timezone": zone,
        "opening_usd": usd(before[0]),
        "closing_usd": usd(after[0]),
        "opening_debt_usd": usd(before[1]),
        "closing_debt_usd": usd(after[1]),
        "lines": [_line(line, owed, zone) for line, owed in lines],
    }


def _quiet(connection: Connection, row: AccountRow, end_us: int | None) -> tuple[int, int]:
    """
    Return credit and debt of a time in which nothing moved.
    """
    if end_us is None:
        return row.credit_nanos, row.debt_nanos
    return reads.credit_at(connection, row.tenant, end_us - 1), debt_at(connection, row.tenant, end_us - 1)


def _lines(
    connection: Connection, tenant: str, from_us: int | None, to_us: int | None, most: int | None
) -> list[tuple[StatementLine, int]]:
    """
    Read the lines of a period, each with the debt after it; with a limit, no more of them than can be among
    the newest.
    """
    if most is not None:
        transfer = tables.transfer
        query = select(transfer.c.at).where(transfer.c.tenant == tenant)
        if to_us is not None:
            query = query.where(transfer.c.at < to_us)
        first = connection.execute(query.order_by(transfer.c.seq.desc()).offset(most - 1).limit(1))
        start_us = first.scalar_one_or_none()
        if start_us is not None:
            from_us = max(start_us, from_us or 0)
    lines = reads.statement(connection, tenant, from_us, to_us)
    owed = debt_at(connection, tenant, lines[0].at_us - 1) if lines else 0
    found = list(_with_debt(lines, owed))
    return found if most is None else found[-most:]


def _with_debt(lines: Iterable[StatementLine], owed: int) -> Iterator[tuple[StatementLine, int]]:
    for line in lines:
        owed += _debt(line)
        yield line, owed


def _debt(line: StatementLine) -> int:
    """
    Return what a line did to the debt.
    """
    return line.amount_nanos * ((line.debit == OWED) - (line.credit == OWED))


def _line(line: StatementLine, owed: int, zone: str) -> dict[str, Any]:
    return {
        "transfer": line.transfer,
        "at": instant_text(line.at_us, zone),
        "kind": line.kind,
        "debit": line.debit,
        "credit": line.credit,
        "amount_usd": usd(line.amount_nanos),
        "change_usd": usd(line.change_nanos),
        "balance_usd": usd(line.balance_nanos),
        "charge_usd": usd(_charge(line)),
        "cost_usd": usd(line.cost_nanos),
        "hold": line.hold_id,
        "key": own_key(line.key),
        "actor": line.actor,
        "reason": line.reason,
        "debt_change_usd": usd(_debt(line)),
        "debt_usd": usd(owed),
    }


def _charge(line: StatementLine) -> int | None:
    """
    Return what a line changed of what the tenant pays for calls; None where it is about none, or absorbed.
    """
    parties = line.debit, line.credit
    if "usage" not in parties or "absorbed" in parties:
        return None
    return line.amount_nanos if line.credit == "usage" else -line.amount_nanos
