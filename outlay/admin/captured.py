"""
What the provider has truly billed for a call, told by an operator: of a call that was captured at its hold
because nobody knew, of one that was settled wrong, of one that was given back and billed all the same.
"""

from typing import Any, Final

from sqlalchemy import Connection, select

from ledger import tables
from ledger.codec import result_from_json
from ledger.read_models import HoldRow
from ledger.rows import AFTER_EXPIRY
from ledger.types import Correct, Corrected
from outlay import fields
from outlay.admin.common import account, carry_out_on_hold, known_hold, order_key
from outlay.clock import now_us
from outlay.errors import Rejected, translated
from outlay.fields import instant_text, usd
from outlay.wiring import App

TIMES_MAX: Final = 10
"""A cost above so many times what the call could cost at most has to be confirmed: it may be a typo."""


def settle(
    app: App,
    hold_id: str,
    cost: str,
    *,
    reason: str,
    confirmed: bool = False,
    idempotency_key: str | None = None,
    actor: str,
) -> dict[str, Any]:
    """
    Book what the provider has billed for a call that has ended, above or below what is booked.

    Credit, debt and the budgets of the call's own windows change by the difference. What was refunded of the
    call counts as given back where the cost becomes less.

    Args:
        cost: What the provider billed, decimal USD; 0 where it billed nothing.
        reason: Required: where the truth is from.
        confirmed: Book it also where it is far above what the call could cost.
    Returns:
        hold, tenant, cost_usd, charge_usd (now), cost_before_usd and charge_before_usd (until then),
        refunded_usd (given back of it beside), refund_used_usd (of what was refunded before, the part that
        counts as given back by this), credit_usd and debt_usd (afterwards), replayed.
    Raises:
        Rejected: `unknown_hold`; `hold_closed` while in flight; `cost_unconfirmed`; `key_conflict`.
    """
    hold_id, actor = fields.word(hold_id, "hold"), fields.word(actor, "actor")
    cost_nanos, why = fields.money(cost, "cost"), fields.reason(reason, required=True)
    sure, at_us = fields.flag(confirmed, "confirmed"), now_us()
    key, (tenant, hold) = order_key(idempotency_key, at_us), known_hold(app, hold_id)
    if hold is not None:
        if hold.state == "open":
            raise _in_flight(app, hold)
        told = hold.state == "settled" and hold.cost_nanos == cost_nanos
        if told and idempotency_key is None:
            return _told(tenant, _first(app, hold))
        if not (told or sure):
            _check_size(hold, cost_nanos)
    op = Correct(tenant, key, at_us, hold_id, actor=actor, reason=why, cost_nanos=cost_nanos)
    return _told(tenant, carry_out_on_hold(app, op, Corrected))


def _in_flight(app: App, hold: HoldRow) -> Rejected:
    ends = instant_text(hold.expires_us, account(app, hold.tenant).timezone)
    text = f"the call of hold {hold.id} is in flight: who sent it settles it, or it is captured after {ends}"
    fix = "settle it by hand after that; see: outlay holds"
    return Rejected("hold_closed", text, {"hold_id": hold.id, "state": hold.state, "fix": fix})


def _check_size(hold: HoldRow, cost_nanos: int) -> None:
    """
    Refuse a cost that is far above what the call could cost at most, until it is confirmed.
    """
    if cost_nanos <= TIMES_MAX * hold.cost_bound_nanos:
        return
    most, cost = usd(hold.cost_bound_nanos), usd(cost_nanos)
    text = f"{cost} USD is more than {TIMES_MAX} times what this call could cost at most ({most} USD)"
    fix = "check the amount; if the provider did bill it, confirm it: --yes (over HTTP: confirmed)"
    raise Rejected("cost_unconfirmed", text, {"cost_usd": cost, "cost_bound_usd": most, "fix": fix})


def _first(app: App, hold: HoldRow) -> Corrected:
    """
    Return what was answered when the cost that a hold has was told.
    """
    with translated(), app.reading() as connection:
        found = _stored(connection, hold)
        if found is not None:
            return found
        late = connection.execute(select(tables.hold.c.late).where(tables.hold.c.id == hold.id)).scalar_one()
    row, expired = account(app, hold.tenant), late == AFTER_EXPIRY
    before: tuple[int | None, int] = (hold.cost_bound_nanos, hold.amount_nanos) if expired else (None, 0)
    return Corrected(
        hold.id, hold.cost_nanos or 0, hold.charge_nanos, *before, hold.refunded_nanos, row.credit_nanos,
        row.debt_nanos, replayed=True,
    )  # fmt: skip


def _stored(connection: Connection, hold: HoldRow) -> Corrected | None:
    """
    Find the answer of the order that moved money for a hold last, where that is what told its cost.
    """
    held, transfer, op = tables.hold.c, tables.transfer.c, tables.op.c
    query = (
        select(op.result)
        .join(tables.transfer, (transfer.tenant == op.tenant) & (transfer.op_key == op.key))
        .join(tables.hold, (held.tenant == transfer.tenant) & (held.settle_seq == transfer.seq))
        .where(held.id == hold.id, op.kind == Correct.__name__)
    )
    text = connection.execute(query).scalar_one_or_none()
    found = None if text is None else result_from_json(text)
    return found if isinstance(found, Corrected) and found.cost_nanos == hold.cost_nanos else None


def _told(tenant: str, done: Corrected) -> dict[str, Any]:
    return {
        "hold": done.hold_id,
        "tenant": tenant,
        "cost_usd": usd(done.cost_nanos),
        "charge_usd": usd(done.charge_nanos),
        "cost_before_usd": usd(done.cost_before_nanos),
        "charge_before_usd": usd(done.charge_before_nanos),
        "refunded_usd": usd(done.refunded_nanos),
        "refund_used_usd": usd(done.refund_used_nanos),
        "credit_usd": usd(done.credit_nanos),
        "debt_usd": usd(done.debt_nanos),
        "replayed": done.replayed,
    }
