"""
Halting and resuming, breakers and their reset; every change with a reason and an actor.
"""

import time
from collections.abc import Iterable, Mapping
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
from outlay import fields
from outlay.admin.common import known_tenant, zone_of
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
    standing_scopes = {*(one.scope for one in standing.switches), *(one.scope for one in standing.breakers)}
    zones = _zones(app, standing_scopes | {event.transition.scope for event in events})
    return {
        "switches": [_switch(switch, zones[switch.scope]) for switch in standing.switches],
        "breakers": [_breaker(breaker, at_us, zones[breaker.scope]) for breaker in standing.breakers],
        "events": [_event(event, zones[event.transition.scope]) for event in events],
    }


def _zones(app: App, scopes: Iterable[str]) -> Mapping[str, str]:
    """Return the time zone of each scope: that of its tenant, else UTC."""
    with translated(), app.reading() as connection:
        return {
            scope: zone_of(connection, scope.removeprefix(_TENANT)) if scope.startswith(_TENANT) else "UTC"
            for scope in scopes
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
    scope, reason, actor = _order(app, tenant, reason, actor)
    with translated():
        made = app.circuit.halt(scope, reason, actor, now_us())
    time.sleep(HALT_WAIT_S)
    return {"tenant": tenant, "halted": True, **_made(app, made)}


def resume(app: App, *, tenant: str | None = None, reason: str, actor: str) -> dict[str, Any]:
    """
    Let spending go on, of all or of one tenant; a halt of the other kind stays.

    Returns:
        scope, tenant, halted, changed (false where it was not halted), reason, actor, at; and
        `still_halted_by`, the scope of a halt that holds all the same.
    """
    scope, reason, actor = _order(app, tenant, reason, actor)
    with translated():
        made = app.circuit.resume(scope, reason, actor, now_us())
        others = [switch.scope for switch in app.circuit.standing((GLOBAL,)).switches if switch.halted]
    still = others[0] if tenant is not None and others else None
    return {"tenant": tenant, "halted": False, **_made(app, made), "still_halted_by": still}


def reset_breaker(app: App, scope: str, *, reason: str, actor: str) -> dict[str, Any]:
    """
    Close a breaker from any state; what was spent before no longer counts against it.

    Args:
        scope: `global`, `tenant:NAME` or `model:ID`.
    Returns:
        scope, state, changed (false where it was closed), reason, actor, at.
    """
    reason, actor = fields.reason(reason, required=True), fields.word(actor, "actor")
    known = _known_scope(app, scope)
    with translated():
        made = app.circuit.reset(known, reason, actor, now_us())
    return {"state": "closed", **_made(app, made)}


def _order(app: App, tenant: str | None, reason: str, actor: str) -> tuple[str, str, str]:
    reason, actor = fields.reason(reason, required=True), fields.word(actor, "actor")
    if tenant is None:
        return GLOBAL, reason, actor
    with translated(), app.reading() as connection:
        return tenant_scope(known_tenant(connection, tenant).tenant), reason, actor


def _known_scope(app: App, scope: object) -> str:
    if scope == GLOBAL:
        return GLOBAL
    if isinstance(scope, str) and scope.startswith(_TENANT):
        with translated(), app.reading() as connection:
            return tenant_scope(known_tenant(connection, scope.removeprefix(_TENANT), "scope").tenant)
    if isinstance(scope, str) and scope.startswith(_MODEL):
        return model_scope(_known_model(scope))
    raise BadInput("scope", scope, "not a scope of a breaker", "Use global, tenant:NAME or model:ID.")


def _known_model(scope: str) -> str:
    model = scope.removeprefix(_MODEL)
    try:
        return model_facts(model).id
    except UnknownModel as error:
        fix = fields.close_name(model, known_models()) or f"Known: {', '.join(known_models())}."
        raise BadInput("scope", scope, "unknown model", fix) from error


def _made(app: App, made: Manual) -> dict[str, Any]:
    assert made.code not in _UNREAD, f"fields let through what the circuit refuses: {made.reason}"
    return {
        "scope": made.scope,
        "changed": made.changed,
        "reason": made.reason,
        "actor": made.actor,
        "at": instant_text(made.since_us or None, _zones(app, (made.scope,))[made.scope]),
    }
