"""
Admission: the chain of switches and breakers that a call passes before anything else is decided.

Pure: a snapshot, the rules and an instant give the answer and the transitions that became due. The
answer already counts those, so it does not depend on who gets to write them first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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

NO_CALLS = CallWindow()


@dataclass(frozen=True, slots=True)
class Assessment:
    """
    All that one reading says to one call.

    Attributes:
        answer: Whether the tenant may spend.
        due: Transitions to be given to the store's `apply`; the other fields count them already.
        unhealthy: Models that must not be called, and until when; FOREVER_US is until a person says so.
        probes: Models that only the winner of a claim may call, with the state to claim from. Claim with
            `claim_probe` and `apply` after *due*; who loses treats the model as unhealthy.
    """

    answer: Permit | Halted
    due: tuple[Transition, ...]
    unhealthy: Mapping[str, int]
    probes: Mapping[str, BreakerState]


def assess(snapshot: Snapshot, rules: Rules, tenant: str, now_us: int) -> Assessment:
    """
    Judge a reading once for everything that a call needs to know.
    """
    models = _models(snapshot)
    wishes = [_due(snapshot, rules, scope, now_us) for scope in (GLOBAL, tenant_scope(tenant), *models)]
    due = tuple(wish for wish in wishes if wish is not None)
    breakers = {**snapshot.breakers, **{wish.scope: breaker.after(wish) for wish in due}}
    unhealthy, probes = _health(breakers, now_us)
    refusal = halted(snapshot.switches, tenant) or _speeding(snapshot, breakers, rules, tenant, now_us)
    permit = Permit({scope: state.version for scope, state in breakers.items()})
    return Assessment(permit if refusal is None else refusal, due, unhealthy, probes)


def admit(snapshot: Snapshot, rules: Rules, tenant: str, now_us: int) -> Permit | Halted:
    """
    Decide whether a tenant may spend: global switch, tenant's switch, global speed, tenant's speed.

    The first that refuses names its scope, reason, end and numbers. The call that crosses a spend
    threshold has passed; every later one is refused. Provider breakers do not refuse here.
    """
    return assess(snapshot, rules, tenant, now_us).answer


def transitions_due(snapshot: Snapshot, rules: Rules, tenant: str, now_us: int) -> tuple[Transition, ...]:
    """
    The transitions that became due in what was read: of all, of the tenant and of the models.
    """
    return assess(snapshot, rules, tenant, now_us).due


def unhealthy_models(snapshot: Snapshot, rules: Rules, now_us: int) -> Mapping[str, int]:
    """
    The models that must not be called now, and until when; see `Assessment.unhealthy`.
    """
    return _health(_settled_models(snapshot, rules, now_us), now_us)[0]


def probes_due(snapshot: Snapshot, rules: Rules, now_us: int) -> Mapping[str, BreakerState]:
    """
    The models that only the winner of a claim may call; see `Assessment.probes`.
    """
    return _health(_settled_models(snapshot, rules, now_us), now_us)[1]


def _models(snapshot: Snapshot) -> list[str]:
    return sorted(scope for scope in {*snapshot.breakers, *snapshot.calls} if is_model_scope(scope))


def _settled_models(snapshot: Snapshot, rules: Rules, now_us: int) -> Mapping[str, BreakerState]:
    settled = {}
    for scope in _models(snapshot):
        due = _due(snapshot, rules, scope, now_us)
        settled[scope] = snapshot.breaker(scope) if due is None else breaker.after(due)
    return settled


def _health(
    breakers: Mapping[str, BreakerState], now_us: int
) -> tuple[Mapping[str, int], Mapping[str, BreakerState]]:
    prefix = len(model_scope(""))
    unhealthy: dict[str, int] = {}
    probes: dict[str, BreakerState] = {}
    for scope, state in breakers.items():
        if state.state is State.CLOSED or not is_model_scope(scope):
            continue
        until_us = blocked_until_us(state, now_us)
        if until_us is not None:
            unhealthy[scope[prefix:]] = until_us
        elif breaker.probe_due(state, now_us):
            probes[scope[prefix:]] = state
    return unhealthy, probes


def _due(snapshot: Snapshot, rules: Rules, scope: str, now_us: int) -> Transition | None:
    state = snapshot.breaker(scope)
    if is_model_scope(scope):
        return provider_due(state, snapshot.calls.get(scope, NO_CALLS), rules.provider, now_us)
    return spend_due(state, snapshot.spent_nanos(scope), rules.spend_rule(scope), now_us)


def _speeding(
    snapshot: Snapshot, breakers: Mapping[str, BreakerState], rules: Rules, tenant: str, now_us: int
) -> Halted | None:
    for scope in (GLOBAL, tenant_scope(tenant)):
        state = breakers.get(scope)
        until_us = None if state is None else blocked_until_us(state, now_us)
        if state is not None and until_us is not None:
            return _halted(snapshot, rules, state, until_us, now_us)
    return None


def _halted(snapshot: Snapshot, rules: Rules, state: BreakerState, until_us: int, now_us: int) -> Halted:
    numbers = _numbers(snapshot, rules, state, until_us)
    if until_us == FOREVER_US:
        return Halted(HaltCode.KILL_SWITCH, state.scope, state.reason, None, None, numbers)
    retry_after_s = max(1, -((now_us - until_us) // US_PER_S))
    return Halted(HaltCode.RUNAWAY, state.scope, state.reason, until_us, retry_after_s, numbers)


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
