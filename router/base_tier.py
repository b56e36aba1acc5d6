"""
The tier that a call starts from: what its names, its role and the classifier of the policy make of it.

Precedence: the tier that the task table names, else the classifier, else the default tier. A call that names
a model or a tier itself can only be lowered by either. A role's tier bounds what they may choose; floors and
other hard constraints come later (`router/ask.py`), money later still.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from pricing.facts import ModelFacts, model_facts
from router.complexity import Assessed, assess
from router.gate import quality_downgrade_allowed
from router.signals import STRATEGY
from router.types import AUTO, TIER_PREFIX, Known, Number, Prediction, Profile, Reason, ReasonCode

if TYPE_CHECKING:
    from router.policy_model import Policy
    from router.policy_routes import ClassRoute, LearnedRule, RoleRoute, TaskRoute


@dataclass(frozen=True, slots=True)
class Base:
    """
    Where a call starts.

    Args:
        asked_rank: Tier that counts as asked for: what is served under it has been downgraded.
        model: Preferred within the tier; None leaves its own order.
        tokens_cap: Largest max_tokens of the call's complexity class.
    """

    rank: int
    asked_rank: int
    reasons: tuple[Reason, ...] = ()
    model: ModelFacts | None = None
    tokens_cap: int | None = None


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a classifier would like."""

    rank: int
    reasons: tuple[Reason, ...]
    model: ModelFacts | None = None
    tokens_cap: int | None = None


Found: TypeAlias = tuple[str, "TaskRoute"]


def base_tier(
    profile: Profile, policy: "Policy", rank: int, found: Found | None, *, exempt: bool, known: Known
) -> Base:
    """
    Find the tier that a call starts from.

    Args:
        rank: Tier that the caller's words mean, the default tier where they name none.
        found: The task's entry in the table, and the name it stands under.
        exempt: No classifier may lower the call.
    """
    auto = profile.asked_model == AUTO
    if profile.pin and not auto:
        return Base(rank, rank)
    if found is not None and found[1].tier is not None:
        base = _by_table(profile, policy, rank, found[0], found[1].tier)
    else:
        base = _by_classifier(profile, policy, rank, found, exempt=exempt, known=known)
    return _for_role(profile, policy, rank, base)


def _by_table(profile: Profile, policy: "Policy", rank: int, name: str, tier: str) -> Base:
    """Let the task table decide, or lower what the caller named."""
    auto, task_rank = profile.asked_model == AUTO, policy.tier_ranks[tier]
    if not auto and task_rank <= rank:
        return Base(rank, rank)
    text = f'task {profile.task!r} goes to tier {tier} (routing.tasks."{name}")'
    return Base(task_rank, task_rank if auto else rank, (Reason(ReasonCode.TASK_ROUTE, text),))


def _by_classifier(
    profile: Profile, policy: "Policy", rank: int, found: Found | None, *, exempt: bool, known: Known
) -> Base:
    """Let the classifier decide, within what the caller named and what scores have proven."""
    kind, auto = policy.routing.classifier, profile.asked_model == AUTO
    if kind == "table":
        return Base(rank, rank, _unrouted(profile, policy, found) if auto else ())
    if _prediction(profile, STRATEGY) is not None:
        text = f"the call's strategy names tier {policy.tier_names[rank]}; the {kind} classifier has no say"
        return Base(rank, rank, (Reason(ReasonCode.STRATEGY, text),))
    wish = _CLASSIFIERS[kind](profile, policy, rank)
    if wish.rank < rank and not auto:
        return Base(rank, rank)  # the caller's own words are cheaper
    if exempt and (wish.rank > rank or wish.tokens_cap is not None):
        text = f"the call's priority is exempt, so the {kind} classifier does not lower it"
        reasons = (*wish.reasons, Reason(ReasonCode.EXEMPT, text))
        wish = _Wish(wish.rank, reasons, wish.model) if wish.rank <= rank else _Wish(rank, reasons)
    if wish.rank <= rank:
        return Base(wish.rank, wish.rank, wish.reasons, wish.model, wish.tokens_cap)
    calibration = policy.routing.calibration
    models = _models_at(policy, wish)
    allowed, told = quality_downgrade_allowed(known.evidence, calibration, classifier=kind, models=models)
    reasons = wish.reasons if told is None else (*wish.reasons, told)
    if not allowed:
        return Base(rank, rank, reasons)
    own_word = kind == "complexity" and auto and told is None
    return Base(wish.rank, wish.rank if own_word else rank, reasons, wish.model, wish.tokens_cap)


def _models_at(policy: "Policy", wish: _Wish) -> frozenset[str]:
    if wish.model is not None:
        return frozenset({wish.model.id})
    return frozenset(facts.id for facts in policy.tiers[policy.tier_names[wish.rank]].facts)


def _unrouted(profile: Profile, policy: "Policy", found: Found | None) -> tuple[Reason, ...]:
    what = "the call names no task" if profile.task is None else f"task {profile.task!r} has no route"
    if found is not None:
        what = f'routing.tasks."{found[0]}" names no tier'
    text = f"{what}; default tier {policy.routing.default_tier}"
    return (Reason(ReasonCode.UNROUTED_TASK, text),)


# the classifiers


def _by_complexity(profile: Profile, policy: "Policy", rank: int) -> _Wish:
    """Look the class up in the owner's map; a class without an entry stays where it is."""
    rules = policy.routing.complexity
    if profile.signals is None:  # decided before signals were kept, and now previewed
        return _unknown_answer("complexity", policy, rank, None)
    found = assess(
        profile.signals,
        profile.max_tokens,
        may_raise=profile.may_raise,
        starts_at=rules.starts,
        weights=rules.factors,
    )
    route = rules.routes.get(found.kind)
    wish = _Wish(rank, ()) if route is None else _to_route(policy, route, rank)
    tier = policy.tier_names[wish.rank]
    lead = f"means {_told(route, tier)}" if route is not None else f"has no entry, so tier {tier} stays"
    total = sum(found.points.values())
    listed = ", ".join(f"{name} {count}" for name, count in found.points.items()) or "nothing"
    text = f"complexity {found.kind} {lead}; points {total}: {listed}"
    numbers: dict[str, Number] = {"class": str(found.kind), "tier": tier, "points": total, **found.points}
    if wish.tokens_cap is not None:
        numbers["max_tokens"] = wish.tokens_cap
    return replace(wish, reasons=(*_ignored(profile, found), Reason(ReasonCode.COMPLEXITY, text, numbers)))


def _to_route(policy: "Policy", route: "ClassRoute", rank: int) -> _Wish:
    led = _rank_of(policy, route)
    return _Wish(rank if led is None else led, (), _model_of(route), route.max_tokens)


def _told(route: "ClassRoute", tier: str) -> str:
    place = f"tier {tier}" if route.model is None else f"{route.model} of tier {tier}"
    return place if route.max_tokens is None else f"{place}, max_tokens at most {route.max_tokens}"


def _ignored(profile: Profile, found: Assessed) -> tuple[Reason, ...]:
    """Say that hints meant a harder class than the key may ask for."""
    if not found.refused or profile.signals is None:
        return ()
    said = profile.signals.said
    names = [name for name in said.__slots__ if getattr(said, name) is not None]
    text = f"the key may not call for more than complexity {found.seen}; {', '.join(names)} ignored"
    numbers: dict[str, Number] = {"hint": ", ".join(names), "class": str(found.seen)}
    return (Reason(ReasonCode.HINT_NOT_ALLOWED, text, numbers),)


def _by_gain(profile: Profile, policy: "Policy", rank: int) -> _Wish:
    """Take the larger tier where it gains enough, or risk without it is too high, or nothing is known."""
    rule, ranks = policy.routing.learned, policy.tier_ranks
    larger = rank if rule.larger is None else ranks[rule.larger]
    lowest = len(policy.tiers) - 1
    smaller = min(larger + 1, lowest) if rule.smaller is None else ranks[rule.smaller]
    said = _prediction(profile, "learned")
    if said is None or said.gain is None or (rule.max_risk is not None and said.risk is None):
        return _unknown_answer("learned", policy, larger, said)
    stays, text, measured = _compared(said, said.gain, rule, policy.tier_names[larger])
    wanted = larger if stays else smaller
    tier = policy.tier_names[wanted]
    numbers = {"source": said.source, "version": said.version, **measured, "tier": tier}
    return _Wish(wanted, (Reason(ReasonCode.CLASSIFIED, f"{text}, which means tier {tier}", numbers),))


def _compared(
    said: Prediction, gain: float, rule: "LearnedRule", larger: str
) -> tuple[bool, str, dict[str, Number]]:
    """Hold what is expected of a call against the policy: whether the larger tier serves, and why."""
    if rule.max_risk is None or said.risk is None:
        stays = gain >= rule.threshold
        text = f"gain {gain:.3f} of tier {larger} {'reaches' if stays else 'is under'} {rule.threshold}"
        return stays, text, {"gain": gain, "threshold": rule.threshold}
    stays = said.risk > rule.max_risk
    crossed = "is over" if stays else "is within"
    text = f"risk {said.risk:.3f} that only tier {larger} is right {crossed} {rule.max_risk}"
    return stays, text, {"gain": gain, "risk": said.risk, "max_risk": rule.max_risk}


def _by_answer(profile: Profile, policy: "Policy", rank: int) -> _Wish:
    """Take the tier that the LLM classifier names, or the larger one where it names none of the policy's."""
    said = _prediction(profile, "llm")
    wanted = policy.tier_ranks.get(said.tier) if said is not None and said.tier is not None else None
    if said is None or wanted is None:
        return _unknown_answer("llm", policy, rank, said)
    text = f"the llm classifier names tier {said.tier}"
    numbers: dict[str, Number] = {"source": said.source, "version": said.version, "tier": said.tier}
    return _Wish(wanted, (Reason(ReasonCode.CLASSIFIED, text, numbers),))


def _prediction(profile: Profile, source: str) -> Prediction | None:
    said = profile.prediction
    return said if said is not None and said.source == source else None


def _unknown_answer(kind: str, policy: "Policy", rank: int, said: Prediction | None) -> _Wish:
    tier = policy.tier_names[rank]
    why = f" ({said.why})" if said is not None and said.why else ""
    text = f"the {kind} classifier gave no answer{why}, so the larger tier {tier} serves"
    numbers: dict[str, Number] = {"source": kind, "tier": tier}
    if said is not None:
        numbers["version"] = said.version
    return _Wish(rank, (Reason(ReasonCode.CLASSIFIED, text, numbers),))


_CLASSIFIERS: Final[dict[str, Callable[[Profile, "Policy", int], _Wish]]] = {
    "complexity": _by_complexity,
    "learned": _by_gain,
    "llm": _by_answer,
}


# roles


def role_of(profile: Profile, policy: "Policy") -> "RoleRoute | None":
    """
    Find what the policy says of a call's role.
    """
    return policy.routing.roles.get(profile.role) if profile.role is not None else None


def _for_role(profile: Profile, policy: "Policy", named_rank: int, base: Base) -> Base:
    """Give the role at least its tier, but never more than a call names itself."""
    role = role_of(profile, policy)
    least = _rank_of(policy, role) if role is not None else None
    if role is None or least is None:
        return base
    auto = profile.asked_model == AUTO
    least = least if auto else max(named_rank, least)
    if base.rank < least:
        return base
    model = _model_of(role)
    if base.rank == least:
        return _by_model_of_role(profile, policy, base, model)
    high, low = policy.tier_names[least], policy.tier_names[base.rank]
    text = f"role {profile.role!r} gets at least tier {high}, so not {low}"
    reason = Reason(ReasonCode.ROLE_TIER, text, {"role": profile.role, "tier": high, "instead_of": low})
    return Base(least, min(base.asked_rank, least), (*base.reasons, reason), model)


def _by_model_of_role(profile: Profile, policy: "Policy", base: Base, model: ModelFacts | None) -> Base:
    """Prefer the role's own model in its tier, unless the caller names one."""
    if model is None or model == base.model or not profile.asked_model.startswith(TIER_PREFIX):
        return base
    tier = policy.tier_names[base.rank]
    text = f"role {profile.role!r} has {model.id} of tier {tier}"
    reason = Reason(ReasonCode.ROLE_TIER, text, {"role": profile.role, "tier": tier, "model": model.id})
    return replace(base, reasons=(*base.reasons, reason), model=model)


def _rank_of(policy: "Policy", route: "ClassRoute | RoleRoute") -> int | None:
    if route.tier is not None:
        return policy.tier_ranks[route.tier]
    model = _model_of(route)
    return None if model is None else policy.model_ranks[model.id]


def _model_of(route: "ClassRoute | RoleRoute") -> ModelFacts | None:
    return None if route.model is None else model_facts(route.model)
