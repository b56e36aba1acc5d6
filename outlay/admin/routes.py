"""
Routes: the task table beside recent traffic, and what would happen to a call of a task.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

from outlay import fields
from outlay.admin.common import known_tenant
from outlay.clock import now_us
from outlay.errors import translated
from outlay.latencies_sql import Latencies
from outlay.policies_sql import Applied
from outlay.tables import EVERYBODY
from outlay.traffic_sql import TaskSeen, tasks_seen
from outlay.wiring import App
from router.choose import choose
from router.classify import profile_request
from router.codec import to_json
from router.demand import Outlook, Pace, PaceState
from router.hints import canonical
from router.pace import rungs
from router.policy import Policy, lint
from router.types import AUTO, Budget, Choice, Headroom, Hints, Known, Reason, ReasonCode, Refusal, Rights

Answer = dict[str, Any]
MAX_TOKENS: Final = 4_096
_AMPLE_NANOS: Final = 10**18
"""A budget so large that only its share left decides."""
_UNDER: Final = 1e-9
_GAUGE: Final = "example"


def list_routes(app: App, *, tenant: str | None = None) -> Answer:
    """
    Return the task table with the calls of the last seven days, and the tasks that have no entry.

    Args:
        tenant: Its own policy and calls; None is the policy for everybody and the calls of all.
    Returns:
        tenant, version, classifier, default_tier, routes, unrouted, warnings.
    """
    applied, seen = _found(app, tenant)
    policy = applied.policy
    calls = dict.fromkeys(policy.routing.tasks, 0)
    unrouted: list[Answer] = []
    for one in seen:
        found = policy.routing.route(one.task) if one.task is not None else None
        if found is not None:
            calls[found[0]] += one.calls
        else:
            unrouted.append({"task": one.task, "calls": one.calls, "models": one.models})
    return {
        "tenant": tenant,
        "version": applied.version,
        "classifier": policy.routing.classifier,
        "default_tier": policy.routing.default_tier,
        "routes": [_entry(policy, name, calls[name]) for name in policy.routing.tasks],
        "unrouted": unrouted,
        "warnings": list(lint(policy, names(seen))),
    }


def show_route(app: App, task: str, *, role: str | None = None, tenant: str | None = None) -> Answer:
    """
    Say what happens to a short call of a task that leaves the model to the router.

    Returns:
        task, role, tenant, version, entry (that routes it, None for none), served (with money to spare),
        reasons, pace (what pacing may make of it as money gets short, in this order; None under another
        mode), steps (where each degradation step leads), recent (calls of the last seven days by model).
    Raises:
        BadInput: The name cannot be one of a task.
    """
    task = canonical(fields.word(task, "task"))
    hints = Hints(task=task, role=None if role is None else fields.word(role, "role"))
    applied, seen = _found(app, tenant)
    policy = applied.policy
    found = policy.routing.route(task)
    with translated(), app.reading() as connection:
        known = Known(latencies_ms=Latencies().of(connection, policy, now_us()))

    def outcome(left: float, pace: Pace | None = None) -> Choice | Refusal:
        return _outcome(app, policy, hints, left, replace(known, pace=pace))

    first = outcome(1.0)
    recent = next((one for one in seen if one.task == task), TaskSeen(task, 0, {}))
    return {
        "task": task,
        "role": role,
        "tenant": tenant,
        "version": applied.version,
        "entry": None if found is None else _entry(policy, found[0], recent.calls),
        "served": _served(first),
        "reasons": _reasons(first),
        "pace": _paced(policy, _served(first), lambda pace: outcome(1.0, pace)),
        "steps": [
            {"below": step.below, **_served(outcome(step.below - _UNDER))}
            for step in (policy.degradation.steps if policy.degradation.mode != "off" else ())
        ],
        "recent": {"calls": recent.calls, "models": recent.models},
    }


def names(seen: tuple[TaskSeen, ...]) -> tuple[str, ...]:
    """
    Return the names of the tasks that were seen.
    """
    return tuple(one.task for one in seen if one.task is not None)


def seen_tasks(app: App, tenant: str | None) -> tuple[str, ...]:
    """
    Return the tasks that recent calls name, those of a tenant or of all.
    """
    with translated(), app.reading() as connection:
        return names(tasks_seen(connection, now_us(), tenant=tenant))


def _found(app: App, tenant: str | None) -> tuple[Applied, tuple[TaskSeen, ...]]:
    with translated(), app.reading() as connection:
        name = EVERYBODY if tenant is None else known_tenant(connection, tenant).tenant
        applied = app.policies.applied(connection, name)
        return applied, tasks_seen(connection, now_us(), tenant=tenant)


def _entry(policy: Policy, name: str, calls: int) -> Answer:
    route = policy.routing.tasks[name].model_dump(mode="json", exclude_none=True)
    return {"name": name, **route, "calls": calls}


def _outcome(app: App, policy: Policy, hints: Hints, left: float, known: Known) -> Choice | Refusal:
    """Decide on a short call with a share of a large budget left."""
    body = {
        "model": AUTO,
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": "What would happen to this call?"}],
    }
    expected = MAX_TOKENS // 4
    made = profile_request(body, hints, Rights(), policy, expected_output_tokens=expected)
    if isinstance(made, Refusal):
        return made
    spent = round(_AMPLE_NANOS * (1 - left))
    money = Headroom((Budget(_GAUGE, _AMPLE_NANOS, spent),))
    return choose(made, money, policy, app.prices, level=0, unhealthy={}, now_us=now_us(), known=known)


def _paced(
    policy: Policy, served: Answer, outcome: Callable[[Pace], Choice | Refusal]
) -> list[Answer] | None:
    """Pull the levers of pacing one after the other; those that change nothing of the call are left out."""
    if policy.degradation.mode != "pace":
        return None
    at_us = now_us()
    rest = Outlook(_GAUGE, 0.0, 0, None, None, 0, at_us, True)  # nothing to come, so the rung stays
    places = range(1, len(rungs(policy, ())))
    found = [_served(outcome(Pace(0, (rest,), (), state=PaceState(rung, at_us)))) for rung in places]
    return [now for before, now in pairwise((served, *found)) if now != before]


def _served(outcome: Choice | Refusal) -> Answer:
    if isinstance(outcome, Refusal):
        return {"refused": str(outcome.code), "why": outcome.message}
    offer = outcome.offers[0]
    return {"model": offer.model, "tier": offer.tier, "effort": offer.effort, "max_tokens": offer.max_tokens}


def _reasons(outcome: Choice | Refusal) -> list[Answer]:
    if isinstance(outcome, Refusal):
        return []
    reasons = (_at_the_call(reason) for reason in (*outcome.reasons, *outcome.offers[0].reasons))
    told: list[Answer] = json.loads(to_json(tuple(reasons)))
    return told


def _at_the_call(reason: Reason) -> Reason:
    """Nobody asked a classifier that reads prompts: there is none here to read."""
    if reason.code != ReasonCode.CLASSIFIED:
        return reason
    kind, tier = reason.numbers["source"], reason.numbers["tier"]
    text = f"the {kind} classifier decides at the call; where it gives no answer, tier {tier} serves"
    return replace(reason, text=text)
