"""
Statements: what moved a tenant's credit in a period, line by line, with the credit before and after.
"""

from typing import Any, Final

from sqlalchemy import Connection, select

from ledger import reads, tables
from ledger.read_models import StatementLine
from outlay import fields
from outlay.admin.common import known_tenant, own_key, period_us
from outlay.errors import translated
from outlay.fields import instant_text, usd
from outlay.wiring import App

LINES_MAX: Final = 1_000_000


def statement(
    app: App, tenant: str, *, since: str | None = None, until: str | None = None, limit: int | None = None
) -> dict[str, Any]:
    """
    Return the transfers of a period, oldest first, with the credit before and after.

    `amount_usd` has no sign. The sum of `charge_usd` is what the tenant was charged for calls, that of
    `cost_usd` what the books hold as the provider's cost: each is the difference that a line makes.

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
        before_us = to_us if from_us is None else from_us
        quiet = (
            row.credit_nanos if before_us is None else reads.credit_at(connection, row.tenant, before_us - 1)
        )
    opening = lines[0].balance_nanos - lines[0].change_nanos if lines else quiet
    closing = lines[-1].balance_nanos if lines else quiet
    return {
        "tenant": row.tenant,
        "timezone": zone,
        "opening_usd": usd(opening),
        "closing_usd": usd(closing),
        "lines": [_line(line, zone) for line in lines],
    }


def _lines(
    connection: Connection, tenant: str, from_us: int | None, to_us: int | None, most: int | None
) -> tuple[StatementLine, ...]:
    """
    Read the lines of a period; with a limit, no more of them than can be among the newest.
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
    return lines if most is None else lines[-most:]


def _line(line: StatementLine, zone: str) -> dict[str, Any]:
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
    }


def _charge(line: StatementLine) -> int | None:
    """
    Return what a line changed of what the tenant pays for calls; None where it is about none, or absorbed.
    """
    parties = line.debit, line.credit
    if "usage" not in parties or "absorbed" in parties:
        return None
    return line.amount_nanos if line.credit == "usage" else -line.amount_nanos
