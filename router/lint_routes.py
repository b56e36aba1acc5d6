"""
Warnings about how calls find their tier: the task table beside recent traffic, roles, classifiers.
"""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final

from router.complexity import Complexity
from router.policy_model import Policy

NAMED_MAX: Final = 20
"""So many tasks without a route are named one by one."""


def route_findings(policy: Policy, seen_tasks: Collection[str]) -> Iterator[str]:
    """
    Review the tables of `[routing]`.

    Args:
        seen_tasks: Names of tasks in recent traffic; without any, nothing is said of unused entries.
    """
    yield from _tasks(policy)
    yield from _unrouted(policy, seen_tasks)
    yield from _unused(policy, seen_tasks)
    yield from _roles(policy)
    yield from _complexity(policy)
    yield from _classifier(policy)


def led_to(policy: Policy) -> set[str]:
    """
    Give the tiers that tasks, roles and classifiers lead to.
    """
    routing, names = policy.routing, policy.tier_names
    led = {routing.default_tier}
    for route in routing.tasks.values():
        led |= {name for name in (route.tier, route.floor) if name is not None}
    for role in routing.roles.values():
        led |= {name for name in (role.tier, role.floor, policy.tier_of(role.model)) if name is not None}
    if routing.classifier == "complexity":
        entries = routing.complexity.routes.values()
        led |= {name for one in entries if (name := one.tier or policy.tier_of(one.model)) is not None}
    if routing.classifier == "learned":
        larger = policy.tier_ranks[routing.learned.larger or routing.default_tier]
        led |= {names[larger], routing.learned.smaller or names[min(larger + 1, len(names) - 1)]}
    return set(names) if routing.classifier == "llm" else led


def _tasks(policy: Policy) -> Iterator[str]:
    tasks = policy.routing.tasks
    for name, route in tasks.items():
        where = f'routing.tasks."{name}"'
        if _under(policy, route.tier, route.floor):
            yield f"{where}: tier {route.tier} is under its floor {route.floor}, so the floor always decides"
        wider = _wider(policy, name)
        if wider is not None and tasks[wider] == route:
            yield f'{where}: shadowed, "{wider}" already says the same'
    if "*" in tasks:
        spared = "default_tier" if policy.routing.classifier == "table" else "the classifier"
        if tasks["*"].tier is not None:
            yield f'routing.tasks."*": covers every task, so {spared} only serves calls that name none'


def _under(policy: Policy, tier: str | None, floor: str | None) -> bool:
    return tier is not None and floor is not None and policy.tier_ranks[tier] > policy.tier_ranks[floor]


def _wider(policy: Policy, name: str) -> str | None:
    stem = name.removesuffix("*")
    wider = (other for other in policy.routing.tasks if other.endswith("*") and other != name)
    covering = [other for other in wider if stem.startswith(other[:-1])]
    return max(covering, key=len, default=None)


def _unrouted(policy: Policy, seen_tasks: Collection[str]) -> Iterator[str]:
    table = policy.routing.tasks
    follower = "default_tier" if policy.routing.classifier == "table" else "the classifier"
    unrouted = sorted(task for task in set(seen_tasks) if policy.routing.route(task) is None)
    for task in unrouted[:NAMED_MAX]:
        close = get_close_matches(task, table, n=1, cutoff=0.8)
        meant = f' (close to "{close[0]}")' if close else ""
        yield f"routing.tasks: traffic names {task!r}{meant}, which has no route and goes to {follower}"
    if len(unrouted) > NAMED_MAX:
        yield f"routing.tasks: tasks of recent traffic without a route: {len(unrouted) - NAMED_MAX} more"


def _unused(policy: Policy, seen_tasks: Collection[str]) -> Iterator[str]:
    """Name the entries that no recent call was routed by."""
    if not seen_tasks:
        return
    found = (policy.routing.route(task) for task in seen_tasks)
    used = {entry[0] for entry in found if entry is not None}
    for name in policy.routing.tasks:
        if name not in used:
            yield f'routing.tasks."{name}": unused, no recent call names a task that it routes'


def _roles(policy: Policy) -> Iterator[str]:
    for name, role in policy.routing.roles.items():
        tier = role.tier or policy.tier_of(role.model)
        if _under(policy, tier, role.floor):
            yield f"routing.roles.{name}: {tier} is under its floor {role.floor}, so the floor always decides"


def _complexity(policy: Policy) -> Iterator[str]:
    routing, routes = policy.routing, policy.routing.complexity.routes
    if routing.classifier != "complexity":
        if routes:
            yield f'routing.complexity: has entries, but classifier is "{routing.classifier}" and uses none'
        return
    gaps = [str(kind) for kind in Complexity if kind not in routes]
    if gaps:
        listed, default = ", ".join(gaps), routing.default_tier
        yield f"routing.complexity: no entry for {listed}; such calls go to default_tier {default}"
    before: tuple[Complexity, int] | None = None
    for kind in Complexity:
        route = routes.get(kind)
        tier = routing.default_tier if route is None else route.tier or policy.tier_of(route.model)
        rank = policy.tier_ranks[tier or routing.default_tier]
        if before is not None and rank > before[1]:
            lower, higher = policy.tier_names[rank], policy.tier_names[before[1]]
            yield f"routing.complexity.{kind}: goes to {lower}, while the easier {before[0]} goes to {higher}"
        before = (kind, rank)


def _classifier(policy: Policy) -> Iterator[str]:
    rule, ranks = policy.routing.learned, policy.tier_ranks
    if policy.routing.classifier != "learned" or rule.smaller is not None:
        return
    larger = rule.larger or policy.routing.default_tier
    if ranks[larger] == len(ranks) - 1:
        yield f"routing.learned: {larger} is the lowest tier, so there is nothing to choose; set larger"
