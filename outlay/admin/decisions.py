"""
Decisions: explained with the hold and the settlement, and listed.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row

from ledger import reads
from ledger.read_models import HoldRow
from outlay import fields, records
from outlay.admin.common import known_tenant, zone_of
from outlay.admin.quality import scores_of
from outlay.decisions_sql import decode, role
from outlay.errors import Rejected, translated
from outlay.fields import instant_text, usd
from outlay.reports_log import LOOK_S, OUTCOMES, STRETCH, Filter, Place, id_at, look
from outlay.tables import EVERYBODY
from outlay.wiring import App

LIST_MAX: Final = 1_000
_IN_LIST: Final = (
    "id", "tenant", "at", "outcome", "code", "mode", "surface", "task", "priority", "session", "asked",
    "served", "level", "ratio", "gauge", "reasons", "policy_tenant", "policy_version", "held_usd", "cost_usd",
    "asked_cost_usd", "tags",
)  # fmt: skip
_OF_ATTEMPT: Final = (
    "id", "attempt", "strategy", "at", "outcome", "code", "asked", "served", "held_usd", "cost_usd",
)  # fmt: skip
_PLAIN: Final = (
    "id", "tenant", "key_id", "outcome", "code", "mode", "surface", "stream", "task", "priority", "session",
    "level", "ratio", "gauge", "policy_tenant", "policy_version", "usage", "tags", "parent", "attempt",
    "strategy",
)  # fmt: skip


def explain(app: App, decision_id: str) -> dict[str, Any]:
    """
    Return a decision as stored, with its hold and its settlement, and with all attempts of the same call.

    A call in flight has no record yet; it is explained by the plan that is kept with its hold (`recorded`
    is false then).

    Raises:
        Rejected: `unknown_decision`.
    """
    wanted = fields.word(decision_id, "decision")
    with translated(), app.reading() as connection:
        row = app.decisions.find(connection, wanted)
        hold = reads.hold(connection, wanted if row is None or row["hold_id"] is None else row["hold_id"])
        if row is None and hold is None:
            text = f"there is no decision {wanted}; the newest are in: outlay explain --list"
            raise Rejected("unknown_decision", text, {"decision": wanted})
        tenant = row["tenant"] if row is not None else hold.tenant if hold is not None else ""
        zone = zone_of(connection, tenant)
        scores = scores_of(app, connection, wanted, zone)
        first = wanted if row is None else row["parent"] or row["id"]
        attempts = _attempts(app, connection, first, zone)
    if row is not None:
        told = {**decision_dict(row, zone), "recorded": True, "recorded_cost_usd": usd(row["recorded_nanos"])}
    else:
        assert hold is not None
        told = {**_from_plan(hold, zone), "recorded": False}
    more = {"settlement": _settlement(hold, zone), "scores": scores, "attempts": attempts}
    return {**told, "hold": _hold(hold, zone), **more}


def _attempts(app: App, connection: Connection, first: str, zone: str) -> list[dict[str, Any]]:
    """Tell in short of all recorded attempts of a decision's call; empty where there was only one."""
    rows = app.decisions.attempts(connection, first)
    return [_attempt(one, zone) for one in rows] if len(rows) > 1 else []


def _attempt(row: Mapping[str, Any], zone: str) -> dict[str, Any]:
    whole = decision_dict(row, zone)
    return {name: whole[name] for name in _OF_ATTEMPT}


def _from_plan(hold: HoldRow, zone: str) -> dict[str, Any]:
    """
    Tell what the plan of a hold says; a plan of another's making is shown as it is.
    """
    outcome = "in_flight" if hold.state == "open" else hold.state
    plan = records.read_plan(hold.plan)
    try:
        if plan is not None:
            made = records.row(
                plan, outcome=outcome, finished_us=hold.opened_us, held_nanos=hold.cost_bound_nanos
            )
            return {**decision_dict(decode(made), zone), "finished_at": None}
    except (KeyError, TypeError, ValueError):
        pass  # made by another version: shown as it is
    return {
        "id": hold.id,
        "tenant": hold.tenant,
        "at": instant_text(hold.opened_us, zone),
        "outcome": outcome,
        "plan": hold.plan,
    }


def decision_dict(row: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """
    Return a decision for people and JSON: money as decimal text, instants in a zone.
    """
    served = None
    if row["served_model"] is not None:
        served = {
            "model": row["served_model"],
            "tier": row["served_tier"],
            "effort": row["effort"],
            "max_tokens": row["max_tokens"],
        }
    return {
        **{name: row[name] for name in _PLAIN},
        "role": role(row),
        "policy_tenant": None if row["policy_tenant"] == EVERYBODY else row["policy_tenant"],
        "at": instant_text(row["at_us"], zone),
        "finished_at": instant_text(row["finished_us"], zone),
        "asked": {"model": row["asked_model"], "tier": row["asked_tier"]},
        "served": served,
        "reasons": readable(row["reasons"] or [], zone),
        "offers": readable(row["offers"] or [], zone),
        "counterfactual": readable(row["counterfactual"], zone),
        "would": readable(row["would"], zone),
        "held_usd": usd(row["held_nanos"]),
        "cost_usd": usd(row["cost_nanos"]),
        "asked_cost_usd": usd(row["asked_cost_nanos"]),
    }


def readable(value: Any, zone: str) -> Any:
    """
    Return a stored value with its money as decimal text and its instants as ISO 8601 text, to any depth.
    """
    if isinstance(value, list):
        return [readable(item, zone) for item in value]
    if not isinstance(value, Mapping):
        return value
    told: dict[str, Any] = {}
    for name, item in value.items():
        number = item if isinstance(item, int) and not isinstance(item, bool) else None
        if name.endswith("_nanos") and (number is not None or item is None):
            told[name.removesuffix("_nanos") + "_usd"] = usd(number)
        elif name.endswith("_us") and number is not None:
            told[name.removesuffix("_us") + "_at"] = instant_text(number, zone)
        else:
            told[name] = readable(item, zone)
    return told


def _hold(hold: HoldRow | None, zone: str) -> dict[str, Any] | None:
    if hold is None:
        return None
    return {
        "id": hold.id,
        "state": hold.state,
        "amount_usd": usd(hold.amount_nanos),
        "expected_usd": usd(hold.expected_nanos),
        "cost_bound_usd": usd(hold.cost_bound_nanos),
        "offer": hold.offer_index,
        "scopes": list(hold.scopes),
        "released_for": hold.detail if hold.state == "released" else None,
        "owner": hold.owner,
        "opened_at": instant_text(hold.opened_us, zone),
        "expires_at": instant_text(hold.expires_us, zone),
        "closed_at": instant_text(hold.closed_us, zone),
    }


def _settlement(hold: HoldRow | None, zone: str) -> dict[str, Any] | None:
    """
    Return what was booked for a hold; None while nothing is (in flight, released, refused).
    """
    if hold is None or hold.state not in ("settled", "expired"):
        return None
    return {
        "state": hold.state,
        "cost_usd": usd(hold.cost_nanos),
        "charge_usd": usd(hold.charge_nanos),
        "debt_usd": usd(hold.debt_nanos),
        "absorbed_usd": usd(hold.absorbed_nanos),
        "refunded_usd": usd(hold.refunded_nanos),
        "at": instant_text(hold.closed_us, zone),
    }


def list_decisions(
    app: App,
    *,
    tenant: str | None = None,
    limit: int = 50,
    before: str | None = None,
    outcome: str | None = None,
    look_s: float = LOOK_S,
    stretch: int = STRETCH,
) -> dict[str, Any]:
    """
    Return decisions in short, the newest first; `next` is the `before` of the following page.

    A rare outcome is looked for about as long as a reader waits. The page may then have fewer than `limit`,
    or none: `looked_to` says how far back it looked, and `next` continues there.

    Args:
        before: Id of a decision; only older ones are returned.
        outcome: served, refused, failed, broken or uncertain.
        look_s: No further stretch of the log is begun after so long.
    Raises:
        Rejected: `unknown_tenant`, `unknown_decision` (of `before`).
    """
    most = fields.whole(limit, "limit", 1, LIST_MAX)
    kind = None if outcome is None else fields.choice(outcome, "outcome", OUTCOMES)
    place = None if before is None else fields.word(before, "before")
    with translated(), app.reading() as connection:
        name = None if tenant is None else known_tenant(connection, tenant).tenant
        last = None if place is None else _place(app, connection, place)
        found = look(
            connection, Filter(tenant=name, outcome=kind), (), limit=most, before=last, look_s=look_s,
            stretch=stretch,
        )  # fmt: skip
        zones = {whose: zone_of(connection, whose) for whose in {row.tenant for row in found.rows}}
        reached = None if found.next_place is None else id_at(connection, found.next_place)
        zone = "UTC" if name is None else zone_of(connection, name)
    return {
        "decisions": [_short(row, zones[row.tenant]) for row in found.rows],
        "next": reached,
        "looked_to": instant_text(found.looked_to_us, zone),
    }


def _place(app: App, connection: Connection, decision_id: str) -> Place:
    found = app.decisions.find(connection, decision_id)
    if found is None:
        raise Rejected("unknown_decision", f"there is no decision {decision_id}", {"decision": decision_id})
    return found["at_us"], found["id"]


def _short(row: Row[Any], zone: str) -> dict[str, Any]:
    whole = decision_dict(decode(dict(row._mapping)), zone)
    return {name: whole[name] for name in _IN_LIST}
