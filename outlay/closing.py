"""
How a call is closed: what came of it becomes one operation of the ledger and one decision record.

Pure. It needs only the plan that was stored with the hold, so that any process can close any call.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ledger.types import Release, Settle, settle_key
from outlay import records
from outlay.calls import Broken, Completed, Failed, NotSent, Outcome, Uncertain
from outlay.records import Plan, offer_of, row
from pricing.cost import bill_nanos
from pricing.facts import UnknownModel
from pricing.table import PriceTable, UnknownPrice
from pricing.usage import Billed, UsageError, billed_from_api, broken_stream_usage
from router.types import Reason

_UNPRICED: Final = (UsageError, UnknownModel, UnknownPrice)


@dataclass(frozen=True, slots=True)
class Held:
    """
    A hold that stands, as far as closing it needs to know.

    Attributes:
        cost_nanos: Most that the provider can bill for it.
    """

    tenant: str
    hold_id: str
    cost_nanos: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class Closing:
    """
    What to write about a call that ended.

    Attributes:
        op: None where the hold stays until it expires into a capture, as nobody knows what was billed.
        outcome: served, failed, broken or uncertain.
        output_tokens: Of a complete answer; None else.
    """

    op: Settle | Release | None
    outcome: str
    row: Mapping[str, object]
    cost_nanos: int | None = None
    output_tokens: int | None = None


def close(held: Held, outcome: Outcome, prices: PriceTable, now_us: int) -> Closing:
    """
    Turn what came of a call into what is written about it.

    Raises nothing: usage that cannot be read or priced leaves the hold to be captured.
    """
    match outcome:
        case Completed(model, usage):
            return _billed(held, "served", model, usage, prices, now_us)
        case Broken(model, usage, output_bytes, _):
            most = _max_tokens(held.plan)
            seen = broken_stream_usage(usage, output_bytes_seen=output_bytes, max_tokens=most).upper
            return _billed(_estimated(held, seen), "broken", model, seen, prices, now_us)
        case Failed(_, error_type, error_code):
            return _released(held, error_code or error_type or "provider_error", now_us)
        case NotSent(why, _):
            return _released(held, "not_sent", now_us, why)
        case Uncertain(why):
            return _unknown(held, why, now_us)


def settled_at(held: Held, cost_nanos: int, usage: Mapping[str, Any] | None, now_us: int) -> Closing:
    """
    Close a call at a cost that its caller reports, for calls that Outlay did not send itself.
    """
    return _settled(held, "served", cost_nanos, None, usage, now_us)


def released(held: Held, why: str, now_us: int) -> Closing:
    """
    Close a call that its own caller gave up, or that its provider does not bill.
    """
    return _released(held, "released", now_us, why)


def withdrawn(held: Held, code: str, now_us: int) -> Closing:
    """
    Close a call that was refused after its money was held.
    """
    return _released(held, code, now_us, outcome="refused")


def _billed(
    held: Held, outcome: str, model: str, usage: Mapping[str, Any], prices: PriceTable, now_us: int
) -> Closing:
    try:
        asked = held.plan.get("geo"), held.plan.get("speed")
        billed = billed_from_api(model, usage, default_geo=asked[0], default_speed=asked[1])
        cost_nanos = bill_nanos(billed, prices, held.plan["at_us"])
    except _UNPRICED as error:
        return _unknown(held, f"usage_unreadable: {error}", now_us, usage)
    asked_nanos = _asked_cost_nanos(held.plan, billed, prices)
    return _settled(held, outcome, cost_nanos, asked_nanos, usage, now_us)


def _estimated(held: Held, usage: Mapping[str, Any]) -> Held:
    """Say in the record that the provider never reported this usage: the most that it may have billed."""
    told = Reason(
        "estimated_usage",
        "the stream ended before its final counts; the most that the provider may have billed is booked",
        {"output_tokens": usage.get("output_tokens")},
    )
    return replace(held, plan=records.with_reason(held.plan, told))


def _settled(
    held: Held,
    outcome: str,
    cost_nanos: int,
    asked_nanos: int | None,
    usage: Mapping[str, Any] | None,
    now_us: int,
) -> Closing:
    detail = "" if usage is None else records.usage_text(usage)
    op = Settle(held.tenant, settle_key(held.hold_id), now_us, held.hold_id, cost_nanos, detail)
    written = row(
        held.plan,
        outcome=outcome,
        finished_us=now_us,
        held_nanos=held.cost_nanos,
        cost_nanos=cost_nanos,
        asked_cost_nanos=asked_nanos,
        usage=usage,
    )
    tokens = usage.get("output_tokens") if usage is not None and outcome == "served" else None
    return Closing(
        op=op,
        outcome=outcome,
        row=written,
        cost_nanos=cost_nanos,
        output_tokens=tokens if isinstance(tokens, int) else None,
    )


def _released(held: Held, code: str, now_us: int, why: str = "", *, outcome: str = "failed") -> Closing:
    op = Release(held.tenant, f"release:{held.hold_id}", now_us, held.hold_id, why or code)
    written = row(
        held.plan, outcome=outcome, code=code, finished_us=now_us, held_nanos=held.cost_nanos, cost_nanos=0
    )
    return Closing(op=op, outcome=outcome, row=written, cost_nanos=0)


def _unknown(held: Held, why: str, now_us: int, usage: Mapping[str, Any] | None = None) -> Closing:
    code = why.partition(":")[0][:80]
    written = row(
        held.plan,
        outcome="uncertain",
        code=code,
        finished_us=now_us,
        held_nanos=held.cost_nanos,
        usage=usage,
    )
    return Closing(op=None, outcome="uncertain", row=written)


def _max_tokens(plan: Plan) -> int:
    most = offer_of(plan).get("max_tokens")
    return most if isinstance(most, int) else 0


def _asked_cost_nanos(plan: Plan, billed: tuple[Billed, ...], prices: PriceTable) -> int | None:
    """
    Price the same usage at the model that was asked for; None where that cannot be said.

    Counts of tokens are kept, though another tokenizer would count a little differently.
    """
    if plan["counterfactual"] is None:
        return None
    asked = json.loads(plan["counterfactual"])["model"]
    plain = tuple(Billed(asked, part.usage) for part in billed)
    try:
        return bill_nanos(plain, prices, plan["at_us"])
    except _UNPRICED:
        return None
