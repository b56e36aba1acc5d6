"""
Halting and resuming, breakers and their reset; every change with a reason and an actor.
"""

import time
from typing import Any, Final

from circuit.breaker import shown_state
from circuit.types import (
    GLOBAL,
    BreakerState,
    Event,
    Manual,
    ManualCode,
    Switch,
    model_scope,
    tenant_scope,
)
from ledger import reads
from outlay import fields
from outlay.admin.common import known_tenant
from outlay.clock import now_us
from outlay.errors import BadInput, translated
from outlay.fields import instant_text
from outlay.refusals import shown
from outlay.wiring import App
from pricing.facts import UnknownModel, known_models, model_facts

HALT_WAIT_S: Final = 0.25
"""Senders may use a reading of the kill switch that is up to 20 ms old; after this no new call starts."""
EVENTS_MAX: Final = 50
_UNREAD: Final = frozenset(
    {
        ManualCode.SCOPE_INVALID,
        ManualCode.REASON_REQUIRED,
        ManualCode.ACTOR_REQUIRED,
        ManualCode.TEXT_INVALID,
    }
)
_MODEL: Final = "model:"
_TENANT: Final = "tenant:"


def breaker_status(app: App) -> dict[str, Any]:
    """
    Return every switch and breaker that ever moved, and the newest events; times of a tenant's own in its
    zone, all others in UTC.
    """
    at_us = now_us()
    with translated():
        standing = app.circuit.standing()
        events = app.circuit.events(limit=EVENTS_MAX)
        with app.reading() as connection:
            zones = {tenant_scope(row.tenant): row.timezone for row in reads.tenants(connection)}
    return {
        "switches": [_switch(switch, zones.get(switch.scope, "UTC")) for switch in standing.switches],
        "breakers": [_breaker(one, at_us, zones.get(one.scope, "UTC")) for one in standing.breakers],
        "events": [_event(event, zones.get(event.transition.scope, "UTC")) for event in events],
    }


def _switch(switch: Switch, zone: str) -> dict[str, Any]:
    return {
        "scope": switch.scope,
        "halted": switch.halted,
        "reason": switch.reason,
        "actor": switch.actor,
        "at": instant_text(switch.changed_us, zone),
    }


def _breaker(breaker: BreakerState, at_us: int, zone: str) -> dict[str, Any]:
    until_us = breaker.until_us
    forever = until_us is None or until_us >= 2**62  # only a person ends it
    return {
        "scope": breaker.scope,
        "state": shown_state(breaker, at_us).value,
        "until": None if forever else instant_text(until_us, zone),
        "trips": breaker.trips,
        "rule": breaker.rule,
        "reason": breaker.reason,
        "actor": breaker.actor,
        "at": instant_text(breaker.changed_us, zone),
    }


def _event(event: Event, zone: str) -> dict[str, Any]:
    change = event.transition
    return {
        "at": instant_text(change.at_us, zone),
        "subject": change.subject.value,
        "scope": change.scope,
        "from": change.from_state,
        "to": change.to_state,
        "rule": change.rule,
        "reason": change.reason,
        "actor": change.actor,
        "numbers": shown(change.numbers),
    }


def halt(app: App, *, tenant: str | None = None, reason: str, actor: str) -> dict[str, Any]:
    """
    Stop spending, of all or of one tenant: once this returns, no process starts a new call.

    Returns:
        scope, tenant, halted, changed (false where it was halted before), reason, actor, at: of the halt.
    """
    scope, zone, reason, actor = _order(app, tenant, reason, actor)
    with translated():
        made = app.circuit.halt(scope, reason, actor, now_us())
    time.sleep(HALT_WAIT_S)
    return {"tenant": tenant, "halted": True, **_made(made, zone)}


def resume(app: App, *, tenant: str | None = None, reason: str, actor: str) -> dict[str, Any]:
    """
    Let spending go on, of all or of one tenant; a halt of the other kind stays.

    Returns:
        scope, tenant, halted, changed (false where it was not halted), reason, actor, at; and
        `still_halted_by`, the scope of a halt that holds all the same.
    """
    scope, zone, reason, actor = _order(app, tenant, reason, actor)
    with translated():
        others = () if tenant is None else app.circuit.standing((GLOBAL,)).switches
        made = app.circuit.resume(scope, reason, actor, now_us())
    still = next((switch.scope for switch in others if switch.halted), None)
    return {"tenant": tenant, "halted": False, **_made(made, zone), "still_halted_by": still}


def reset_breaker(app: App, scope: str, *, reason: str, actor: str) -> dict[str, Any]:
    """
    Close a breaker from any state; what was spent before no longer counts against it.

    Args:
        scope: `global`, `tenant:NAME` or `model:ID`.
    Returns:
        scope, state, changed (false where it was closed), reason, actor, at.
    """
    reason, actor = fields.reason(reason, required=True), fields.word(actor, "actor")
    known, zone = _known_scope(app, scope)
    with translated():
        made = app.circuit.reset(known, reason, actor, now_us())
    return {"state": "closed", **_made(made, zone)}


def _order(app: App, tenant: str | None, reason: str, actor: str) -> tuple[str, str, str, str]:
    """
    Check an order; returns scope, time zone, reason, actor. All is read before anything is turned: a reading
    that fails later would tell of an order as failed that was made.
    """
    reason, actor = fields.reason(reason, required=True), fields.word(actor, "actor")
    scope, zone = (GLOBAL, "UTC") if tenant is None else _known_tenant(app, tenant, "tenant")
    return scope, zone, reason, actor


def _known_tenant(app: App, tenant: str, field: str) -> tuple[str, str]:
    """
    Return the scope of a tenant and its time zone.
    """
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant, field)
    return tenant_scope(row.tenant), row.timezone


def _known_scope(app: App, scope: object) -> tuple[str, str]:
    """
    Return the scope of a breaker and its time zone: that of its tenant, else UTC.
    """
    if scope == GLOBAL:
        return GLOBAL, "UTC"
    if isinstance(scope, str) and scope.startswith(_TENANT):
        return _known_tenant(app, scope.removeprefix(_TENANT), "scope")
    if isinstance(scope, str) and scope.startswith(_MODEL):
        return model_scope(_known_model(scope)), "UTC"
    raise BadInput("scope", scope, "not a scope of a breaker", "Use global, tenant:NAME or model:ID.")


def _known_model(scope: str) -> str:
    model = scope.removeprefix(_MODEL)
    try:
        return model_facts(model).id
    except UnknownModel as error:
        fix = fields.close_name(model, known_models()) or f"Known: {', '.join(known_models())}."
        raise BadInput("scope", scope, "unknown model", fix) from error


def _made(made: Manual, zone: str) -> dict[str, Any]:
    assert made.code not in _UNREAD, f"fields let through what the circuit refuses: {made.reason}"
    return {
        "scope": made.scope,
        "changed": made.changed,
        "reason": made.reason,
        "actor": made.actor,
        "at": instant_text(made.since_us or None, zone),
    }
