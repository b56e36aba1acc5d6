"""
Calls that were captured at their hold because nobody knew what the provider billed: the truth, told later.
"""

import json
from typing import Any

from ledger.read_models import HoldRow
from ledger.types import Settle, Settled, settle_key
from outlay import fields
from outlay.admin.common import carry_out, known_hold
from outlay.clock import now_us
from outlay.errors import Rejected
from outlay.fields import usd
from outlay.wiring import App


def settle_captured(app: App, hold_id: str, cost: str, *, reason: str, actor: str) -> dict[str, Any]:
    """
    Book what the provider has billed for a call whose hold expired; the tenant gets the difference.

    Calls in flight are closed by who sent them, and a settled call is corrected by a refund.

    Args:
        cost: What the provider billed, decimal USD; 0 where it billed nothing.
        reason: Required: where the truth is from.
    Returns:
        hold, tenant, cost_usd, charge_usd (now), captured_usd (until now), replayed.
    Raises:
        Rejected: `unknown_hold`; `hold_closed` where it did not expire, or was settled at another cost.
    """
    hold_id, actor = fields.word(hold_id, "hold"), fields.word(actor, "actor")
    cost_nanos, why = fields.money(cost, "cost"), fields.reason(reason, required=True)
    hold = known_hold(app, hold_id)
    if hold.state != "expired" and not (hold.state == "settled" and hold.cost_nanos == cost_nanos):
        text = f"hold {hold.id} is {hold.state}; only one that expired is settled by hand"
        raise Rejected("hold_closed", text, {"hold_id": hold.id, "state": hold.state})
    if hold.state == "settled":
        return _told(hold, hold.cost_nanos, hold.charge_nanos, replayed=True)
    detail = json.dumps({"told_by": actor, "reason": why}, sort_keys=True)
    op = Settle(hold.tenant, settle_key(hold.id), now_us(), hold.id, cost_nanos, detail)
    result = carry_out(app, op, Settled)
    return _told(hold, result.cost_nanos, result.charge_nanos, replayed=result.replayed)


def _told(hold: HoldRow, cost_nanos: int | None, charge_nanos: int, *, replayed: bool) -> dict[str, Any]:
    return {
        "hold": hold.id,
        "tenant": hold.tenant,
        "cost_usd": usd(cost_nanos),
        "charge_usd": usd(charge_nanos),
        "captured_usd": usd(hold.charge_nanos),
        "replayed": replayed,
    }
