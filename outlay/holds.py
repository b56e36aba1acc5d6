"""
Holds for callers that talk to a provider themselves: may I spend, on what, and here is what it cost.

The bodies are those of `/outlay/v1/holds`; the blocking and the async driver carry the same steps out.
Money is decimal text in USD. A hold can be settled by any process, as its plan is kept with it.
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final

import ledger.types as books
from ledger.read_models import HoldRow
from outlay import closing, fields, records, refusals, repeats, requests
from outlay.calls import CallRequest, Completed, Refused, Sending
from outlay.clock import iso
from outlay.effects import Commit, FindHold, Tools, ask
from outlay.errors import BadInput
from outlay.flow import hold
from outlay.hint_words import hints_of
from outlay.repeats import HOLDS, plan_of
from pricing.money import format_usd
from router.codec import to_json
from router.types import Hints, Offer, Rights

TTL_S_MAX: Final = 7 * 86_400
OFFERS_MAX: Final = 20
Answer = dict[str, Any]
Steps = Generator[Any, Any, Answer | Refused]


def authorize(request: CallRequest, tools: Tools) -> Steps:
    """
    Hold money for the first offer that fits, or for what the policy makes of a request: a call is run up to
    the point where it would be sent, and its hold stays open.

    Args:
        request: As `order` reads it.
    Returns:
        hold, offer, model, tier, effort, max_tokens, held_usd (as the tenant pays), held_cost_usd (as the
        provider bills), expires_at, reasons and, where a request was given, the request as it has to be sent.
    """
    sending = yield from hold(request, tools)
    if not isinstance(sending, Refused):
        return _authorized(request, sending)
    first = sending.details.get("first_decision")
    found = None if first is None else (yield from repeats.open_again(request, str(first)))
    return sending if found is None else _repeated(request, found)  # its answer was lost on its way


def settle(tenant: str, hold_id: str, body: Mapping[str, object], tools: Tools) -> Steps:
    """
    Book what a held call has cost, `{"cost_usd"}`, or `{"model", "usage"}` to be priced; and the record of
    its decision.
    """
    _only(body, ("cost_usd", "model", "usage"))
    price = _reported(body, tools)
    return (yield from _close(tenant, hold_id, tools, price, _settled))


def release(tenant: str, hold_id: str, body: Mapping[str, object], tools: Tools) -> Steps:
    """
    Give a hold back, as the provider billed nothing: `{"reason"}`; with the record of its decision.
    """
    _only(body, ("reason",))
    why = fields.reason(body.get("reason", ""))

    def released(held: closing.Held, now_us: int) -> closing.Closing:
        return closing.released(held, why or "released", now_us)

    return (yield from _close(tenant, hold_id, tools, released, _released))


def renew(tenant: str, hold_id: str, body: Mapping[str, object], tools: Tools) -> Steps:
    """
    Keep a hold open for longer: `{"ttl_s"}` from now.
    """
    _only(body, ("ttl_s",))
    ttl_us = fields.whole(body.get("ttl_s"), "ttl_s", 1, TTL_S_MAX) * 1_000_000
    found = yield from _find(tenant, hold_id, tools)
    if isinstance(found, Refused):
        return found
    now_us = tools.now_us()
    op = books.Renew(tenant, f"renew:{tools.new_id(now_us)}", now_us, hold_id, ttl_us)
    reply = yield from ask(Commit(op))
    if isinstance(reply, books.Refused):
        return refusals.from_ledger(hold_id, tenant, reply, now_us)
    assert isinstance(reply, books.Renewed)
    return {"hold": hold_id, "expires_at": iso(reply.expires_us)}


Closer = Callable[[closing.Held, int], closing.Closing]


def _close(
    tenant: str, hold_id: str, tools: Tools, closer: Closer, shape: Callable[[HoldRow, books.Result], Answer]
) -> Steps:
    found = yield from _find(tenant, hold_id, tools)
    if isinstance(found, Refused):
        return found
    now_us = tools.now_us()
    plan = plan_of(found)
    assert plan is not None, "holds of this surface have plans"
    done = closer(closing.Held(tenant, hold_id, found.cost_bound_nanos, plan), now_us)
    if done.op is None:
        raise BadInput("usage", "…", str(done.row["code"]), "report cost_usd instead")
    reply = yield from ask(Commit(done.op, done.row))
    if isinstance(reply, books.Refused):
        return refusals.from_ledger(hold_id, tenant, _told_otherwise(reply), now_us)
    return shape(found, reply)


def _told_otherwise(reply: books.Refused) -> books.Refused:
    """Say of another end under a hold's own key how the hold has ended."""
    if reply.reason is not books.Reason.KEY_CONFLICT:
        return reply
    cost_nanos = reply.numbers.get("cost_nanos")
    ended: dict[str, books.Number] = {"state": "released"}
    if cost_nanos is not None:
        ended = {"state": "settled", "cost_nanos": cost_nanos}
    return books.Refused(books.Reason.HOLD_CLOSED, ended)


def _find(tenant: str, hold_id: str, tools: Tools) -> Generator[Any, Any, HoldRow | Refused]:
    """
    Find a hold that this tenant closes itself. Another tenant's does not exist for it, and nor does that of a
    call which Outlay sent: its caller must not be the one who says what it cost.
    """
    found = yield from ask(FindHold(hold_id))
    if found is None or found.tenant != tenant or plan_of(found) is None:
        unknown = books.Refused(books.Reason.UNKNOWN_HOLD)
        return refusals.from_ledger(hold_id, tenant, unknown, tools.now_us())
    return found


def _reported(body: Mapping[str, object], tools: Tools) -> Closer:
    """Read what a caller reports: a cost, or usage to be priced."""
    if "cost_usd" in body:
        if "usage" in body:
            raise BadInput("usage", "…", "comes together with cost_usd", "report one of them")
        cost_nanos = fields.money(body["cost_usd"], "cost_usd")
        return lambda held, now_us: closing.settled_at(held, cost_nanos, None, now_us)
    usage, model = body.get("usage"), body.get("model")
    if not isinstance(usage, Mapping):
        raise BadInput("cost_usd", None, "is missing", 'report "cost_usd", or "model" and "usage"')
    if not isinstance(model, str):
        raise BadInput("model", model, "is missing", "name the model that answered")
    return lambda held, now_us: closing.close(held, Completed(model, usage), tools.prices, now_us)


def _authorized(request: CallRequest, sending: Sending) -> Answer:
    answer: Answer = {
        "hold": sending.decision_id,
        "offer": sending.offer_index,
        **_offered(json.loads(to_json(sending.offer))),
        "held_usd": format_usd(sending.held_nanos),
        "held_cost_usd": format_usd(sending.offer.cost_bound_nanos),
        "expires_at": iso(sending.expires_us),
        "reasons": json.loads(to_json(sending.reasons)),
        "replayed": False,
    }
    return answer if request.offers else {**answer, "request": dict(sending.body)}


def _repeated(request: CallRequest, found: HoldRow) -> Answer:
    plan = records.read_plan(found.plan)
    assert plan is not None
    offer = records.offer_of(plan)
    answer: Answer = {
        "hold": found.id,
        "offer": found.offer_index,
        **_offered(offer),
        "held_usd": format_usd(found.amount_nanos),
        "held_cost_usd": format_usd(found.cost_bound_nanos),
        "expires_at": iso(found.expires_us),
        "reasons": [*json.loads(plan["reasons"]), *offer["reasons"]],
        "replayed": True,
    }
    if request.offers:
        return answer
    before = frozenset(plan["served_before"])
    body = requests.served_body(request.body, offer["model"], offer["effort"], offer["max_tokens"], before)
    return {**answer, "request": body}


def _offered(offer: Mapping[str, Any]) -> Answer:
    shown = {name: offer[name] for name in ("model", "tier", "effort", "max_tokens")}
    return {**shown, "max_tokens": offer["max_tokens"] or None}


def _settled(_: HoldRow, reply: books.Result) -> Answer:
    assert isinstance(reply, books.Settled)
    return {
        "hold": reply.hold_id,
        "cost_usd": format_usd(reply.cost_nanos),
        "charge_usd": format_usd(reply.charge_nanos),
        "late": reply.late,
        "replayed": reply.replayed,
    }


def _released(found: HoldRow, reply: books.Result) -> Answer:
    assert isinstance(reply, books.Released)
    return {
        "hold": reply.hold_id,
        "returned_usd": format_usd(reply.returned_nanos if reply.late else found.amount_nanos),
        "late": reply.late,
        "replayed": reply.replayed,
    }


# reading an order


def order(
    tenant: str,
    body: Mapping[str, object],
    *,
    key_id: str = "",
    rights: Rights | None = None,
    idempotency_key: str | None = None,
) -> CallRequest:
    """
    Read the body of an authorization: `{"offers": [{"name", "cost_usd", "expected_usd"}], "ttl_s"}` or
    `{"request": {body of the Messages API}, "hints": {...}, "ttl_s"}`.

    Raises:
        BadInput: A field is unknown, missing or wrong; it is named with the fix.
    """
    _only(body, ("offers", "request", "hints", "ttl_s"))
    if ("offers" in body) == ("request" in body):
        raise BadInput("offers", None, "is missing, or stands beside request", "give one of the two")
    ttl_s = None if body.get("ttl_s") is None else fields.whole(body["ttl_s"], "ttl_s", 1, TTL_S_MAX)
    request = body.get("request", {})
    if not isinstance(request, Mapping):
        raise BadInput("request", request, "is no object", "give the body of a Messages API call")
    return CallRequest(
        tenant=tenant,
        body=request,
        key_id=key_id,
        rights=Rights() if rights is None else rights,
        hints=_hints(body.get("hints")),
        idempotency_key=fields.idempotency_key(idempotency_key),
        surface=HOLDS,
        offers=_offers(body["offers"]) if "offers" in body else (),
        hold_ttl_s=ttl_s,
    )


def _offers(value: object) -> tuple[Offer, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not 0 < len(value) <= OFFERS_MAX:
        raise BadInput("offers", value, "is no list of offers", f"give 1 to {OFFERS_MAX} objects")
    return tuple(_offer(one, f"offers[{index}]") for index, one in enumerate(value))


def _offer(one: object, field: str) -> Offer:
    if not isinstance(one, Mapping):
        raise BadInput(field, one, "is no object", 'give {"name": ..., "cost_usd": ...}')
    _only(one, ("name", "cost_usd", "expected_usd"), field)
    if one.get("cost_usd") is None:
        raise BadInput(
            f"{field}.cost_usd", None, "is missing", 'give the most that it can cost, as in "0.05"'
        )
    cost_nanos = fields.money(one["cost_usd"], f"{field}.cost_usd")
    expected = one.get("expected_usd")
    expected_nanos = cost_nanos if expected is None else fields.money(expected, f"{field}.expected_usd")
    if expected_nanos > cost_nanos:
        fix = f"give at most {fields.usd(cost_nanos)}, or leave it out"
        raise BadInput(
            f"{field}.expected_usd", expected, "is more than cost_usd, the most that it can cost", fix
        )
    return Offer(
        model=fields.word(one.get("name"), f"{field}.name"),
        tier=None,
        effort=None,
        max_tokens=0,
        cost_bound_nanos=cost_nanos,
        expected_cost_nanos=expected_nanos,
    )


def _hints(value: object) -> Hints:
    if value is None:
        return Hints()
    if not isinstance(value, Mapping):
        raise BadInput("hints", value, "is no object", 'give {"task": ..., "priority": ...}')
    return hints_of(value, "hints.")


def _only(body: Mapping[str, object], known: tuple[str, ...], at: str = "") -> None:
    """Refuse fields that mean nothing here: a misspelt one would change what money is held for."""
    for name in body:
        if name not in known:
            close = fields.close_name(str(name), known) or f"known are {', '.join(known)}"
            raise BadInput(f"{at}.{name}".lstrip("."), None, "is not a field of this call", close)
