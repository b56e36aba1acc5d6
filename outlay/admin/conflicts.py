"""
What an idempotency key was used for before, in the words of who used it.

The ledger refuses another order under a used key by its own names of things; here they become words.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from ledger import history, reads, tables
from ledger.codec import result_from_json
from ledger.types import Adjusted, BudgetSet, Refunded, Result, Reversed, ToppedUp
from outlay.fields import instant_text, usd
from outlay.refusals import budget_name
from outlay.reports_periods import local

_USED: Final = "this idempotency key was used for {words}; use another key"
_ELSE: Final = "something else"


def first_use(connection: Connection, tenant: str, key: str) -> tuple[str, Mapping[str, Any]]:
    """
    Say what an order's key was used for, and the same as details for programs.

    Returns:
        The message; amount_usd (where it was about an amount), used_at, used_by.
    """
    op, account = tables.op, reads.account(connection, tenant)
    found = connection.execute(select(op).where(op.c.tenant == tenant, op.c.key == key)).one_or_none()
    if found is None or account is None:
        return _USED.format(words=_ELSE), {}
    return _told(connection, found, account.timezone)


def _told(connection: Connection, row: Row[Any], zone: str) -> tuple[str, Mapping[str, Any]]:
    result = result_from_json(row.result)
    amount_usd = usd(_amount_nanos(connection, result))
    when = f"{local(row.at, zone):%Y-%m-%d at %H:%M} {zone}"
    words = f"{_words(result, amount_usd)} on {when}, by {row.actor}"
    details = {"used_at": instant_text(row.at, zone), "used_by": row.actor}
    return _USED.format(words=words), details if amount_usd is None else {"amount_usd": amount_usd, **details}


def _words(result: Result, amount_usd: str | None) -> str:
    match result:
        case ToppedUp():
            return f"a top-up of {amount_usd} USD"
        case Adjusted():
            return f"an adjustment of {amount_usd} USD"
        case Refunded():
            return f"a refund of {amount_usd} USD"
        case Reversed():
            return f"taking {amount_usd} USD of a lot back"
        case BudgetSet():
            limit = "no limit" if amount_usd is None else f"{amount_usd} USD"
            return f"setting {budget_name(result.scope, result.window)} to {limit}"
        case _:
            return _ELSE


def _amount_nanos(connection: Connection, result: Result) -> int | None:
    match result:
        case ToppedUp():
            lot = history.lot(connection, result.transfer)
            return None if lot is None else lot.granted_nanos
        case Adjusted() | Refunded() | Reversed():
            return result.amount_nanos
        case BudgetSet():
            return result.limit_nanos
        case _:
            return None
