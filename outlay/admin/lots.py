"""
Lots of credit and corrections of them: listed, told from their first transfer on, adjusted, taken back.

A lot is named by the transfer that brought it, as `topup` answers and the statement shows. A correction needs
a reason; who made it and why is kept with its key and shown on the statement.
"""

from typing import Any, Final

from sqlalchemy import Connection

from ledger import history, reads
from ledger.corrections import REVERSALS
from ledger.read_models import AccountRow, HoldRow
from ledger.seals import Seal, export, make_seals
from ledger.types import Adjust, Adjusted, Reverse, Reversed
from outlay import fields
from outlay.admin.common import carry_out, known_tenant, new_file, order_key, own_key
from outlay.admin.conflicts import first_order
from outlay.clock import now_us
from outlay.errors import Rejected, translated
from outlay.fields import instant_text, usd
from outlay.wiring import App

HOLDS_MAX: Final = 100_000


def adjust(
    app: App,
    tenant: str,
    amount: str,
    *,
    take: bool = False,
    reason: str,
    confirmed: bool = False,
    idempotency_key: str | None = None,
    actor: str,
) -> dict[str, Any]:
    """
    Correct a tenant's credit by hand: add an amount, or take it; what no free credit covers becomes debt.

    Args:
        confirmed: Take it also where it makes debt.
    Returns:
        transfer, amount_usd (negative if taken), credit_usd and debt_usd (afterwards), repaid_usd, replayed.
    Raises:
        Rejected: `debt_unconfirmed`; `key_conflict`.
    """
    nanos = fields.positive(amount, "amount") * (-1 if fields.flag(take, "take") else 1)
    why, by = fields.reason(reason, required=True), fields.word(actor, "actor")
    sure, at_us = fields.flag(confirmed, "confirmed"), now_us()
    key = order_key(idempotency_key, at_us)
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant)
        if not sure and first_order(connection, row.tenant, key) is None:
            _check_debt(row, -nanos)
    result = carry_out(app, Adjust(row.tenant, key, at_us, nanos, why, by), Adjusted)
    return {
        "transfer": result.transfer,
        "amount_usd": usd(result.amount_nanos),
        "credit_usd": usd(result.credit_nanos),
        "repaid_usd": usd(result.repaid_nanos),
        "debt_usd": usd(result.debt_nanos),
        "replayed": result.replayed,
    }


def _check_debt(row: AccountRow, taken_nanos: int) -> None:
    """
    Refuse to take more than what is free, until it is confirmed: it may be a typo, and debt stops calls.
    """
    short = taken_nanos - row.available_nanos
    if taken_nanos <= 0 or short <= 0:
        return
    amount, free, debt = usd(taken_nanos), usd(row.available_nanos), usd(short)
    text = (
        f"{amount} USD is more than the {free} USD of free credit: it would make {debt} USD of debt, and new "
        "calls are refused until that is repaid"
    )
    fix = "check the amount; if the tenant does owe it, confirm it: --yes (over HTTP: confirmed)"
    details = {"amount_usd": amount, "available_usd": free, "debt_usd": debt, "fix": fix}
    raise Rejected("debt_unconfirmed", text, details)


def reverse(
    app: App,
    lot: str,
    *,
    kind: str = "reversal",
    amount: str | None = None,
    freeze: bool | None = None,
    reason: str,
    idempotency_key: str | None = None,
    actor: str,
) -> dict[str, Any]:
    """
    Take a lot back: its unspent part at once, what had expired of it from there, what was spent as debt.

    Args:
        kind: "reversal" of a mistake, or "chargeback" by the bank, for paid credit only.
        amount: None is all that was not taken back yet.
        freeze: Stop the tenant's spending; None does so for a chargeback.
    Returns:
        tenant, transfer, amount_usd, taken_usd, forfeited_usd, debt_usd (of this lot, whatever other credit
        there is), credit_usd (afterwards), frozen, replayed.
    """
    lot_id, kind = fields.word(lot, "lot"), fields.choice(kind, "kind", REVERSALS)
    nanos = None if amount is None else fields.positive(amount, "amount")
    why, by = fields.reason(reason, required=True), fields.word(actor, "actor")
    stop = kind == "chargeback" if freeze is None else fields.flag(freeze, "freeze")
    with translated(), app.reading() as connection:
        tenant = _known_lot(connection, lot_id).tenant
    at_us = now_us()
    op = Reverse(tenant, order_key(idempotency_key, at_us), at_us, lot_id, why, nanos, kind, stop, by)
    result = carry_out(app, op, Reversed)
    return {
        "tenant": tenant,
        "transfer": result.transfer,
        "amount_usd": usd(result.amount_nanos),
        "taken_usd": usd(result.taken_nanos),
        "forfeited_usd": usd(result.forfeited_nanos),
        "debt_usd": usd(result.debt_nanos),
        "credit_usd": usd(result.credit_nanos),
        "frozen": result.frozen,
        "replayed": result.replayed,
    }


def why_owed(app: App, lot: str) -> dict[str, Any]:
    """
    Tell what else is known of a lot that is owed after it was taken back.

    Returns:
        adjusted_usd: What was taken of the lot by hand before.
        available_usd: The tenant's other credit that no call in flight needs.
    """
    with translated(), app.reading() as connection:
        found = _known_lot(connection, lot)
        row = known_tenant(connection, found.tenant)
        return {
            "adjusted_usd": usd(history.adjusted(connection, found)),
            "available_usd": usd(row.available_nanos),
        }


def _known_lot(connection: Connection, lot_id: str) -> history.LotRow:
    found = history.lot(connection, lot_id)
    if found is None:
        raise Rejected("unknown_lot", f"there is no lot {lot_id}", {"lot": lot_id})
    return found


def list_lots(app: App, tenant: str) -> dict[str, Any]:
    """
    Return a tenant's lots, the oldest first.
    """
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant)
        found = history.lots(connection, row.tenant)
    return {"tenant": row.tenant, "lots": [_lot(lot, row.timezone) for lot in found]}


def show_lot(app: App, lot: str) -> dict[str, Any]:
    """
    Return one lot and everything that happened to it, oldest first.
    """
    lot_id = fields.word(lot, "lot")
    with translated(), app.reading() as connection:
        found = _known_lot(connection, lot_id)
        zone = known_tenant(connection, found.tenant).timezone
        lines = history.lot_history(connection, found)
    return {"tenant": found.tenant, **_lot(found, zone), "lines": [_line(line, zone) for line in lines]}


def _lot(lot: history.LotRow, zone: str) -> dict[str, Any]:
    return {
        "lot": lot.id,
        "kind": lot.kind,
        "state": "scheduled" if lot.scheduled else "open" if lot.remaining_nanos > 0 else "empty",
        "priority": lot.priority,
        "granted_usd": usd(lot.granted_nanos),
        "remaining_usd": usd(lot.remaining_nanos),
        "repaid_usd": usd(lot.repaid_nanos),
        "reversed_usd": usd(lot.reversed_nanos),
        "forfeited_usd": usd(lot.forfeited_nanos),
        "effective_at": instant_text(lot.effective_us, zone),
        "expires_at": instant_text(lot.expires_us, zone),
        "created_at": instant_text(lot.created_us, zone),
    }


def _line(line: history.LotLine, zone: str) -> dict[str, Any]:
    return {
        "transfer": line.transfer,
        "at": instant_text(line.at_us, zone),
        "kind": line.kind,
        "amount_usd": usd(line.amount_nanos),
        "change_usd": usd(line.change_nanos),
        "left_usd": usd(line.left_nanos),
        "hold": line.hold_id,
        "key": own_key(line.key),
    }


def list_holds(app: App, tenant: str | None = None, *, limit: int = 1_000) -> dict[str, Any]:
    """
    Return the open holds of a tenant, or of all, the next to expire first; `count` is of all of them.
    """
    most = fields.whole(limit, "limit", 1, HOLDS_MAX)
    with translated(), app.reading() as connection:
        name = None if tenant is None else known_tenant(connection, tenant).tenant
        found = reads.open_holds(connection, name)
    return {
        "count": len(found),
        "held_usd": usd(sum(hold.amount_nanos for hold in found)),
        "holds": [_hold(hold) for hold in found[:most]],
    }


def _hold(hold: HoldRow) -> dict[str, Any]:
    return {
        "hold": hold.id,
        "tenant": hold.tenant,
        "amount_usd": usd(hold.amount_nanos),
        "expected_usd": usd(hold.expected_nanos),
        "opened_at": instant_text(hold.opened_us),
        "expires_at": instant_text(hold.expires_us),
        "scopes": list(hold.scopes),
        "owner": hold.owner,
    }


def seal(app: App) -> dict[str, Any]:
    """
    Seal every day (UTC) that has ended and is not sealed yet.
    """
    with translated():
        at_us = now_us()
        app.ledger.check_clock(at_us)  # a day that has not ended is not sealed
        made = make_seals(app.engine, at_us)
    return {"sealed": len(made), "seals": [_seal(one) for one in made]}


def _seal(seal: Seal) -> dict[str, Any]:
    return {
        "tenant": seal.tenant,
        "day": seal.day,
        "seq_from": seal.seq_from,
        "seq_to": seal.seq_to,
        "head_hash": seal.head_hash,
        "credit_usd": usd(seal.wallet),
        "debt_usd": usd(seal.debt),
    }


def export_seals(app: App, path: str) -> dict[str, Any]:
    """
    Seal what can be sealed, and write all seals and the heads of the chains to a new file.
    """
    made, at_us = seal(app), now_us()
    with translated(), app.reading() as connection:
        text = export(connection, str(instant_text(at_us)))
    with new_file(path), open(path, "x", encoding="utf-8") as file:
        file.write(text)
    return {"file": path, "exported_at": instant_text(at_us), "sealed": made["sealed"]}
