"""
Admission: the chain of switches and breakers that a call passes before anything else is decided.

Pure: a snapshot, the rules and an instant give the answer and the transitions that became due. The
answer already counts those, so it does not depend on who gets to write them first.
"""

from collections.abc import Mapping

from circuit import breaker
from circuit.breaker import blocked_until_us
from circuit.health import provider_due
from circuit.rules import Rules
from circuit.spend import spend_due, spend_numbers
from circuit.switch import halted
from circuit.types import (
    FOREVER_US,
    GLOBAL,
    US_PER_S,
    BreakerState,
    CallWindow,
    HaltCode,
    Halted,
    Numbers,
    Permit,
    Snapshot,
    State,
    Transition,
    is_model_scope,
    model_scope,
    tenant_scope,
)


def admit(snapshot: Snapshot, rules: Rules, tenant: str, now_us: int) -> Permit | Halted:
    """
    Decide whether a tenant may spend: global switch, tenant's switch, global speed, tenant's speed.

    The first that refuses names its scope, reason, end and numbers. The call that crosses a spend
    threshold has passed; every later one is refused. Provider breakers do not refuse here: see
    `unhealthy_models`.
    """
    refusal = halted(snapshot.switches, tenant)
    if refusal is not None:
        return refusal
    for scope in (GLOBAL, tenant_scope(tenant)):
        refusal = _speeding(snapshot, rules, scope, now_us)
        if refusal is not None:
            return refusal
    return Permit(
        {scope: settled_breaker(snapshot, rules, scope, now_us).version for scope in snapshot.breakers}
    )


def transitions_due(snapshot: Snapshot, rules: Rules, tenant: str, now_us: int) -> tuple[Transition, ...]:
    """
    The transitions that became due in what was read: of all, of the tenant and of the models.
    """
    models = sorted(scope for scope in {*snapshot.breakers, *snapshot.calls} if is_model_scope(scope))
    due = (_due(snapshot, rules, scope, now_us) for scope in (GLOBAL, tenant_scope(tenant), *models))
    return tuple(transition for transition in due if transition is not None)


def unhealthy_models(snapshot: Snapshot, rules: Rules, now_us: int) -> Mapping[str, int]:
    """
    The models that must not be called now, and until when (FOREVER_US: until a person says so).

    A model whose cooldown has passed is not among them, but `probes_due` names it.
    """
    found: dict[str, int] = {}
    for model, state in _models(snapshot, rules, now_us):
        until_us = blocked_until_us(state, now_us)
        if until_us is not None:
            found[model] = until_us
    return found


def probes_due(snapshot: Snapshot, rules: Rules, now_us: int) -> Mapping[str, BreakerState]:
    """
    The models that may be called only by whoever claims the probe, with the state to claim from.

    Claim with `claim_probe(state, ...)` and the store's `apply`, which must be given the transitions
    due first; who loses the claim treats the model as unhealthy.
    """
    return {
        model: state for model, state in _models(snapshot, rules, now_us) if breaker.probe_due(state, now_us)
    }


def settled_breaker(snapshot: Snapshot, rules: Rules, scope: str, now_us: int) -> BreakerState:
    """
    The breaker of a scope as it is once what is due has been written.
    """
    due = _due(snapshot, rules, scope, now_us)
    return snapshot.breaker(scope) if due is None else breaker.after(due)


def _models(snapshot: Snapshot, rules: Rules, now_us: int) -> list[tuple[str, BreakerState]]:
    scopes = sorted(scope for scope in {*snapshot.breakers, *snapshot.calls} if is_model_scope(scope))
    prefix = len(model_scope(""))
    return [(scope[prefix:], settled_breaker(snapshot, rules, scope, now_us)) for scope in scopes]


def _due(snapshot: Snapshot, rules: Rules, scope: str, now_us: int) -> Transition | None:
    state = snapshot.breaker(scope)
    if is_model_scope(scope):
        return provider_due(state, snapshot.calls.get(scope, CallWindow()), rules.provider, now_us)
    return spend_due(state, snapshot.spent_nanos(scope), rules.spend_rule(scope), now_us)


def _speeding(snapshot: Snapshot, rules: Rules, scope: str, now_us: int) -> Halted | None:
    state = settled_breaker(snapshot, rules, scope, now_us)
    until_us = blocked_until_us(state, now_us)
    if until_us is None:
        return None
    numbers = _numbers(snapshot, rules, state, until_us)
    if until_us == FOREVER_US:
        return Halted(HaltCode.KILL_SWITCH, scope, state.reason, None, None, numbers)
    retry_after_s = max(1, -((now_us - until_us) // US_PER_S))
    return Halted(HaltCode.RUNAWAY, scope, state.reason, until_us, retry_after_s, numbers)


def _numbers(snapshot: Snapshot, rules: Rules, state: BreakerState, until_us: int) -> Numbers:
    rule = rules.spend_rule(state.scope)
    spent_nanos = snapshot.spent_nanos(state.scope)
    seen = {"spent_nanos": spent_nanos} if rule is None else spend_numbers(spent_nanos, rule)
    until = None if state.state is State.FORCED_OPEN else until_us
    return {
        **seen,
        "opened_us": state.changed_us,
        "until_us": until,
        "trips": state.trips,
        "actor": state.actor,
    }
