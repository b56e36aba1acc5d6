"""
What an idempotency key was used for before, in the words of who used it.

The ledger refuses another order under a used key by its own names of things; here they become words.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from ledger import history, reads, tables
from ledger.codec import result_from_json
from ledger.journal_reads import zone_at
from ledger.types import Adjusted, BudgetSet, Corrected, Refunded, Result, Reversed, ToppedUp
from outlay.fields import instant_text, usd
from outlay.refusals import budget_name
from outlay.reports_periods import local

_BOOKED: Final = (
    "this idempotency key is booked already: {words}. The order given now differs from that one and was not "
    "booked. If that one is what you mean, nothing is left to do; under another key it is booked as well, "
    "beside the first"
)
_ELSE: Final = "another order"


def first_use(connection: Connection, tenant: str, key: str) -> tuple[str, Mapping[str, Any]]:
    """
    Say what an order's key was used for, and the same as details for programs.

    Returns:
        The message; fix, amount_usd and transfer (where it was about money), used_at, used_by.
    """
    found, account = first_order(connection, tenant, key), reads.account(connection, tenant)
    if found is None or account is None:
        return _BOOKED.format(words=_ELSE), {}
    return _told(connection, found, account.timezone)


def first_zone(connection: Connection, tenant: str, key: str) -> str | None:
    """
    Return the time zone that the tenant had when a key was used first; None where that is not known.
    """
    found = first_order(connection, tenant, key)
    return None if found is None else zone_at(connection, tenant, found.at)


def first_order(connection: Connection, tenant: str, key: str) -> Row[Any] | None:
    """
    Return the order that a key was used for first; None where it is new.
    """
    op = tables.op
    return connection.execute(select(op).where(op.c.tenant == tenant, op.c.key == key)).one_or_none()


def _told(connection: Connection, row: Row[Any], zone: str) -> tuple[str, Mapping[str, Any]]:
    result = result_from_json(row.result)
    amount_usd = usd(_amount_nanos(connection, result))
    words = f"{_words(connection, result, amount_usd, zone)}, on {_clock(row.at, zone)}, by {row.actor}"
    look = (
        f"tenant history {row.tenant} --of budget"
        if isinstance(result, BudgetSet)
        else f"statement {row.tenant}"
    )
    details = {
        "fix": f"look at what is booked first: outlay {look}",
        "amount_usd": amount_usd,
        "transfer": getattr(result, "transfer", None),
        "used_at": instant_text(row.at, zone),
        "used_by": row.actor,
    }
    return _BOOKED.format(words=words), {name: value for name, value in details.items() if value is not None}


def _clock(at_us: int, zone: str) -> str:
    return f"{local(at_us, zone):%Y-%m-%d at %H:%M} {zone}"


def _words(connection: Connection, result: Result, amount_usd: str | None, zone: str) -> str:
    match result:
        case ToppedUp():
            return _top_up(connection, result, zone)
        case Adjusted():
            return f"an adjustment of {amount_usd} USD"
        case Refunded():
            return f"a refund of {amount_usd} USD of call {_moved(connection, result.transfer).hold_id}"
        case Corrected():
            return f"settling call {result.hold_id} at {amount_usd} USD"
        case Reversed():
            return f"taking {amount_usd} USD of lot {_moved(connection, result.transfer).lot_id} back"
        case BudgetSet():
            limit = "no limit" if amount_usd is None else f"{amount_usd} USD"
            until_us = result.valid_until_us
            until = "" if until_us is None else f" until {_clock(until_us, zone)}"
            return f"setting {budget_name(result.scope, result.window)} to {limit}{until}"
        case _:
            return _ELSE


def _moved(connection: Connection, transfer: str) -> Row[Any, Any]:
    """
    Return the call and the lot that a transfer was about.
    """
    table, (tenant, _, seq) = tables.transfer.c, transfer.rpartition("-")
    query = select(table.hold_id, table.lot_id).where(table.tenant == tenant, table.seq == int(seq))
    return connection.execute(query).one()


def _top_up(connection: Connection, result: ToppedUp, zone: str) -> str:
    """
    Tell a top-up with its terms, in which another one of the same amount may differ.
    """
    lot = history.lot(connection, result.transfer)
    if lot is None:
        return "a top-up"
    later, ends_us = lot.effective_us > lot.created_us, lot.expires_us
    begins = f" that begins {_clock(lot.effective_us, zone)}" if later else ""
    ends = "" if ends_us is None else f"{' and' if later else ' that'} ends {_clock(ends_us, zone)}"
    return f"a {lot.kind} top-up of {usd(lot.granted_nanos)} USD{begins}{ends}"


def _amount_nanos(connection: Connection, result: Result) -> int | None:
    match result:
        case ToppedUp():
            lot = history.lot(connection, result.transfer)
            return None if lot is None else lot.granted_nanos
        case Adjusted() | Refunded() | Reversed():
            return result.amount_nanos
        case Corrected():
            return result.cost_nanos
        case BudgetSet():
            return result.limit_nanos
        case _:
            return None
