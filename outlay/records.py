"""
The decision record: what is known before a call is sent, and the row that its end makes of it.

What is known at the hold is kept with the hold as its plan, so that whoever closes it (this process, another
one, or the capture of an expired hold) can write the record. Pure.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ledger.types import Held, HoldEvent
from ledger.types import Offer as LedgerOffer
from outlay.calls import Refused
from outlay.refusals import LEDGER, shown
from router.codec import to_json
from router.types import Choice, Offer, Reason, ReasonCode

Plan = Mapping[str, Any]

_PLANNED: Final = (
    "id", "tenant", "key_id", "at_us", "mode", "would", "surface", "stream", "task", "priority", "session",
    "asked_model", "asked_tier", "level", "reasons", "ratio", "gauge", "offers", "counterfactual", "inputs",
    "policy_tenant", "policy_version", "tags", "parent", "attempt", "strategy", "prices",
    "turn",
)  # fmt: skip
"""Columns that are known before the call is sent."""

_OF_EVERY_REFUSAL: Final = frozenset({"error_code", "decision_id"})

_BLANK: Final[Mapping[str, Any]] = {
    "key_id": "", "mode": "enforce", "would": None, "stream": False, "task": None, "priority": "normal",
    "session": None, "asked_tier": None, "level": 0, "reasons": "[]", "ratio": None, "gauge": None,
    "offers": "[]", "counterfactual": None, "inputs": "{}", "policy_tenant": "*", "policy_version": 0,
    "tags": "{}", "geo": None, "speed": None, "parent": None, "attempt": 0, "strategy": None, "prices": "",
    "turn": None, "served_before": (),
}  # fmt: skip

_SPARED: Final = ReasonCode.SWITCH_SUPPRESSED_CACHE
_NEEDED: Final = frozenset({"id", "tenant", "at_us", "surface", "asked_model", "offer"})


def opened(**known: object) -> dict[str, Any]:
    """
    Begin a record from the columns that are known; the others say that nothing was decided yet.

    Args:
        known: At least id, tenant, at_us, surface and asked_model.
    """
    return {**_BLANK, **known}


def decided(record: Plan, choice: Choice, before: tuple[Reason, ...] = ()) -> dict[str, Any]:
    """
    Add what the router decided.

    Args:
        before: Reasons from before the choice.
    """
    return {
        **record,
        "priority": str(choice.priority),
        "asked_tier": choice.asked_tier,
        "level": choice.level,
        "ratio": choice.ratio,
        "gauge": choice.gauge,
        "reasons": to_json((*before, *choice.reasons)),
        "offers": to_json(choice.offers),
        "counterfactual": to_json(choice.counterfactual),
        "would": None if choice.would is None else to_json({"router": choice.would}),
    }


def observed(record: Plan, held: Held, zone: str) -> dict[str, Any]:
    """
    Add to what the router would have done what the ledger would have done under enforcement.

    Args:
        zone: Of the tenant, for instants.
    """
    would, refuse = json.loads(record["would"] or "{}"), held.would_refuse
    would["ledger"] = {
        "refuse": None if refuse is None else LEDGER[refuse.reason].code,
        "numbers": {} if refuse is None else shown(refuse.numbers, zone),
        "offer": held.would_offer,
    }
    return {**record, "would": to_json(would)}


def refused(record: Plan, refusal: Refused) -> dict[str, Any]:
    """
    Let the explanation end with the refusal: of all reasons it is the one that decided.
    """
    numbers: Any = {name: value for name, value in refusal.details.items() if name not in _OF_EVERY_REFUSAL}
    return with_reason(record, Reason(refusal.code, refusal.message, numbers))


def with_reason(record: Plan, reason: Reason) -> dict[str, Any]:
    """
    Add a reason at the end of the explanation.
    """
    told = [*json.loads(record["reasons"]), *json.loads(to_json((reason,)))]
    return {**record, "reasons": to_json(told)}


def plans(record: Plan, offers: Sequence[Offer]) -> tuple[str, ...]:
    """
    Write the plan of each offer: the record, and which of its offers is meant.
    """
    common = _storable(json.dumps(dict(record), separators=(",", ":"), ensure_ascii=False))
    return tuple(f'{common[:-1]},"offer":{index}}}' for index in range(len(offers)))


def held_offers(record: Plan, offers: Sequence[Offer]) -> tuple[LedgerOffer, ...]:
    """
    Put offers in the ledger's words, each with its plan.
    """
    return tuple(
        LedgerOffer(offer.cost_bound_nanos, offer.expected_cost_nanos, plan, offer.waits)
        for offer, plan in zip(offers, plans(record, offers), strict=True)
    )


def read_plan(text: str) -> Plan | None:
    """
    Read a plan back; None where a hold was made without one. What an older version did not plan is blank.
    """
    try:
        plan = json.loads(text)
    except ValueError:
        return None
    return {**_BLANK, **plan} if isinstance(plan, dict) and plan.keys() >= _NEEDED else None


def offer_of(plan: Plan) -> Mapping[str, Any]:
    """
    Give the offer that a plan was held for; empty where the caller brought offers of its own.
    """
    offers = json.loads(plan["offers"])
    found = offers[plan["offer"]] if plan["offer"] < len(offers) else {}
    return found if isinstance(found, dict) else {}


def row(
    plan: Plan,
    *,
    outcome: str,
    finished_us: int,
    code: str | None = None,
    held_nanos: int | None = None,
    cost_nanos: int | None = None,
    asked_cost_nanos: int | None = None,
    usage: Mapping[str, Any] | None = None,
) -> dict[str, object]:
    """
    Make the row of `outlay_decision`.

    Args:
        outcome: served, refused, failed, broken or uncertain.
        code: Of the refusal, or of the provider's error.
        cost_nanos: What the provider bills; None while nobody knows.
        asked_cost_nanos: The same usage at the price of the model that was asked for.
    """
    served = offer_of(plan) if "offer" in plan else {}
    made: dict[str, object] = {
        **{name: plan[name] for name in _PLANNED},
        "finished_us": finished_us,
        "outcome": outcome,
        "code": code,
        "served_model": served.get("model"),
        "served_tier": served.get("tier"),
        "effort": served.get("effort"),
        "max_tokens": served.get("max_tokens"),
        "hold_id": plan["id"] if "offer" in plan else None,
        "held_nanos": held_nanos,
        "cost_nanos": cost_nanos,
        "asked_cost_nanos": asked_cost_nanos,
        "usage": None if usage is None else usage_text(usage),
        **_told(plan, served),
    }
    return {name: _storable(value) if isinstance(value, str) else value for name, value in made.items()}


def _told(plan: Plan, served: Mapping[str, Any]) -> dict[str, object]:
    """
    Say what the roll-up counts: the reasons of the choice and of the offer, and the change that was spared.
    """
    choice = json.loads(plan["reasons"])
    codes = {str(one["code"]) for one in (*choice, *served.get("reasons", ()))}
    spared = [one["numbers"].get("cost_nanos") for one in choice if one["code"] == _SPARED]
    return {"codes": " ".join(sorted(codes)), "spared_nanos": spared[0] if spared else None}


def usage_text(usage: Mapping[str, Any]) -> str:
    """
    Write usage as the provider reported it; what JSON does not know, from a caller in process, as its text.
    """
    return json.dumps(usage, sort_keys=True, separators=(",", ":"), default=str)


def _storable(text: str) -> str:
    """
    Escape what no database takes in a text, NUL and lone surrogates; within JSON the escape means the same.
    """
    if text.isprintable():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\u0000")


def captured_row(event: HoldEvent) -> dict[str, object] | None:
    """
    Make the record of a call whose owner died or which never got an answer: its hold was captured.
    """
    plan = read_plan(event.plan)
    if plan is None:
        return None
    try:
        return row(plan, outcome="uncertain", code="captured", finished_us=event.now_us)
    except (KeyError, TypeError, ValueError, IndexError):
        return None  # a plan of another making; no record is worth a capture that fails
