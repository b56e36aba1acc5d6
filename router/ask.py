"""
What a call asks for, once policy and rights have been applied: its tier, priority, floor and hard
constraints.

Looks at names only. Money, health and size come later (`router/degrade.py`, `router/candidates.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pricing.facts import ModelFacts, UnknownModel, known_models, model_facts
from router.base_tier import base_tier, role_of
from router.types import (
    AUTO,
    NOTHING_KNOWN,
    TIER_PREFIX,
    Known,
    Priority,
    Profile,
    Reason,
    ReasonCode,
    Refusal,
    RefusalCode,
)

if TYPE_CHECKING:
    from router.policy_model import Policy
    from router.policy_routes import TaskRoute


@dataclass(frozen=True, slots=True)
class Ask:
    """
    A request with the policy applied to its names.

    Args:
        facts: Model that the caller named; None when it named a tier or left the choice to the router.
        asked_rank: Tier of what the caller named, or that its task means; 0 for the highest.
        rank: Tier to start from, once task and floor have had their say.
        model_rank: Tier of the named model; None when the caller named none, or no tier lists it.
        floor_rank: Lowest tier allowed.
        allowed: Ids of the models that may serve, None for every model that a tier lists.
        exempt: Neither a step nor a shortage of money may change the call.
        preferred: Model of the tier to start from that comes before the others.
        tokens_cap: Largest max_tokens of the call's complexity class.
    """

    facts: ModelFacts | None
    asked_rank: int
    rank: int
    model_rank: int | None
    floor_rank: int
    priority: Priority
    route: "TaskRoute | None"
    allowed: frozenset[str] | None
    exempt: bool
    pinned: bool
    reasons: tuple[Reason, ...]
    preferred: ModelFacts | None = None
    tokens_cap: int | None = None


def resolve(profile: Profile, policy: "Policy", known: Known = NOTHING_KNOWN) -> Ask | Refusal:
    """
    Apply the policy to the names in a request.
    """
    named = _named(profile, policy)
    if isinstance(named, Refusal):
        return named
    facts, model_rank, rank, reasons = named
    found = policy.routing.route(profile.task) if profile.task is not None else None
    route = found[1] if found is not None else None
    limits = _limits(profile, policy, route)
    if isinstance(limits, Refusal):
        return limits
    allowed, floor_rank = limits
    priority, told = effective_priority(profile, route)
    exempt = priority in policy.degradation.exempt
    base = base_tier(profile, policy, rank, found, exempt=exempt, known=known)
    rank = base.rank
    reasons = (*profile.reasons, *told, *reasons, *base.reasons)
    pinned = profile.pin and model_rank is not None and model_rank <= floor_rank
    if rank > floor_rank:
        reasons = (*reasons, _floor_reason(policy, rank, floor_rank))
        rank = floor_rank
    if pinned:
        reasons = (*reasons, Reason(ReasonCode.PINNED, f"the call is pinned to {profile.asked_model}"))
    return Ask(
        facts=facts,
        asked_rank=base.asked_rank,
        rank=rank,
        model_rank=model_rank,
        floor_rank=floor_rank,
        priority=priority,
        route=route,
        allowed=allowed,
        exempt=exempt,
        pinned=pinned,
        reasons=reasons,
        preferred=base.model,
        tokens_cap=base.tokens_cap,
    )


def _limits(
    profile: Profile, policy: "Policy", route: "TaskRoute | None"
) -> tuple[frozenset[str] | None, int] | Refusal:
    """Find the models and the floor that the call is limited to."""
    allowed = _allowed(policy, privacy_classes(profile.privacy, route))
    if isinstance(allowed, Refusal):
        return allowed
    refusal = _fallbacks_refused(profile, policy, allowed)
    if refusal is not None:
        return refusal
    floor_rank = _floor_rank(policy, profile, route)
    return floor_rank if isinstance(floor_rank, Refusal) else (allowed, floor_rank)


def route_of(profile: Profile, policy: "Policy") -> "TaskRoute | None":
    """
    Find the route of a call's task.
    """
    found = policy.routing.route(profile.task) if profile.task is not None else None
    return found[1] if found is not None else None


_Named = tuple[ModelFacts | None, int | None, int, tuple[Reason, ...]]


def _named(profile: Profile, policy: "Policy") -> _Named | Refusal:
    """Find the tier that the caller's words mean."""
    asked, default = profile.asked_model, policy.tier_ranks[policy.routing.default_tier]
    if asked == AUTO:
        return None, None, default, ()
    if asked.startswith(TIER_PREFIX):
        tier = asked.removeprefix(TIER_PREFIX)
        rank = policy.tier_ranks.get(tier)
        if rank is None:
            return _unknown(asked, policy.asked_names)
        return None, None, rank, (Reason(ReasonCode.ASKED_TIER, f"the call asks for tier {tier}"),)
    try:
        facts = model_facts(asked)
    except UnknownModel:
        return _unknown(asked, (*known_models(), *policy.asked_names))
    rank = policy.model_ranks.get(facts.id)
    if rank is not None:
        text = f"the call asks for {asked}, which is in tier {policy.tier_names[rank]}"
        return facts, rank, rank, (Reason(ReasonCode.ASKED_MODEL, text),)
    if policy.routing.unlisted_models == "refuse":
        return _unlisted(facts, policy)
    text = f"no tier lists {asked}; served from default tier {policy.routing.default_tier}"
    return facts, None, default, (Reason(ReasonCode.UNLISTED_MODEL, text),)


def privacy_classes(named: tuple[str, ...], route: "TaskRoute | None") -> tuple[str, ...]:
    """
    Give every privacy class that applies; a model must be allowed by all of them.
    """
    task = (route.privacy,) if route is not None and route.privacy is not None else ()
    return tuple(dict.fromkeys((*named, *task)))


def unknown_class(policy: "Policy", classes: Iterable[str]) -> Refusal | None:
    """
    Refuse a privacy class that the policy does not define: to ignore it could leak what it protects.
    """
    for name in classes:
        if name not in policy.privacy:
            known = ", ".join(policy.privacy) or "none"
            text = f"privacy class {name!r} is not defined in the policy (defined: {known})"
            return Refusal(RefusalCode.INVALID_HINT, text, {"field": "outlay-privacy", "value": name})
    return None


def _allowed(policy: "Policy", classes: tuple[str, ...]) -> frozenset[str] | Refusal | None:
    if not classes:
        return None
    refusal = unknown_class(policy, classes)
    if refusal is not None:
        return refusal
    return frozenset.intersection(*(policy.privacy[name].model_ids for name in classes))


def _floor_rank(policy: "Policy", profile: Profile, route: "TaskRoute | None") -> int | Refusal:
    role = role_of(profile, policy)
    own = [one.floor for one in (route, role) if one is not None and one.floor is not None]
    rank = min((policy.tier_ranks[floor] for floor in own), default=len(policy.tiers) - 1)
    if profile.floor is None:
        return rank
    hinted = policy.tier_ranks.get(profile.floor)
    if hinted is None:
        text = f"floor {profile.floor!r} is not a tier (tiers: {', '.join(policy.tiers)})"
        return Refusal(RefusalCode.INVALID_HINT, text, {"field": "outlay-floor", "value": profile.floor})
    return min(rank, hinted)


def effective_priority(profile: Profile, route: "TaskRoute | None") -> tuple[Priority, tuple[Reason, ...]]:
    """
    Give the priority that counts: the task's own, lowered as hinted, raised only with the right to.
    """
    own = route.priority if route is not None and route.priority is not None else Priority.NORMAL
    hinted = profile.priority
    if hinted is None or hinted is own:
        return own, ()
    if hinted.rank > own.rank or profile.may_raise:
        return hinted, ()
    text = f"the key may not raise the priority from {own} to {hinted}"
    return own, (Reason(ReasonCode.HINT_NOT_ALLOWED, text, {"hint": "priority", "value": str(hinted)}),)


def _floor_reason(policy: "Policy", rank: int, floor_rank: int) -> Reason:
    low, floor = policy.tier_names[rank], policy.tier_names[floor_rank]
    return Reason(
        ReasonCode.FLOOR, f"raised from tier {low} to its floor {floor}", {"tier": low, "floor": floor}
    )


def _fallbacks_refused(profile: Profile, policy: "Policy", allowed: frozenset[str] | None) -> Refusal | None:
    """Refuse server-side fallbacks that could take the call to a model outside its constraints."""
    listed = policy.model_ranks
    for model in profile.bound.fallbacks:
        try:
            name = model_facts(model).id
        except UnknownModel:
            return _unknown(model, known_models())
        if name not in listed or (allowed is not None and name not in allowed):
            text = f"fallback model {model} is not allowed here; remove it from fallbacks"
            return Refusal(RefusalCode.MODEL_NOT_ALLOWED, text, {"field": "fallbacks", "value": model})
    return None


def _unknown(asked: str, known: Iterable[str]) -> Refusal:
    close = get_close_matches(asked, list(known), n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; ask for {AUTO} to let the task decide"
    return Refusal(RefusalCode.UNKNOWN_MODEL, f"model {asked!r} is unknown{hint}", {"value": asked[:200]})


def _unlisted(facts: ModelFacts, policy: "Policy") -> Refusal:
    names = ", ".join(policy.asked_names)
    text = f"no tier of the policy lists {facts.id}; ask for one of {names}, or have it added to a tier"
    return Refusal(RefusalCode.MODEL_NOT_ALLOWED, text, {"value": facts.id})
