"""
Warnings about a policy that is valid but probably not what its owner meant.
"""

from collections.abc import Iterable, Iterator

from pricing.table import PriceTable
from router.lint_calibration import calibration_findings
from router.lint_classifier import classifier_findings
from router.lint_degradation import degradation_findings, price_findings
from router.lint_routes import led_to, route_findings
from router.policy_model import Policy
from router.types import Priority

MANY_TIERS = 5
LATE_SHARE = 0.25


def lint(
    policy: Policy, seen_tasks: Iterable[str] = (), prices: PriceTable | None = None, at_us: int = 0
) -> tuple[str, ...]:
    """
    Review a policy.

    Args:
        seen_tasks: Names of tasks in recent traffic, to find those that have no route, and
            entries that none of them uses.
        prices: To compare the costs of tiers by, as of an instant; None leaves them out.
    Returns:
        One sentence per finding, each naming the field.
    """
    return (
        *_tiers(policy),
        *route_findings(policy, tuple(seen_tasks)),
        *_steps(policy),
        *_exempt(policy),
        *degradation_findings(policy),
        *calibration_findings(policy),
        *(price_findings(policy, prices, at_us) if prices is not None else ()),
        *(classifier_findings(policy, prices, at_us) if prices is not None else ()),
    )


def _tiers(policy: Policy) -> Iterator[str]:
    count = len(policy.tiers)
    if count > MANY_TIERS:
        yield f"tiers: {count} tiers; more than {MANY_TIERS} are hard to keep apart and to measure"
    reached = _reached(policy)
    for name in policy.tier_names[1:]:
        if name not in reached:
            yield f"tiers.{name}: nothing leads here but a call that names the tier or one of its models"
    owners: dict[str, str] = {}
    for name, tier in policy.tiers.items():
        for model in tier.models:
            owner = owners.setdefault(model, name)
            if owner != name:
                yield f"tiers.{name}: {model} is listed in {owner} too; a call for it counts as {owner}"


def _reached(policy: Policy) -> set[str]:
    if policy.degradation.mode == "pace":
        return set(policy.tier_names)  # it lowers tier by tier
    reached = led_to(policy)
    for step in policy.degradation.steps:
        reached |= set(step.map.values())
        reached |= {step.max_tier} if step.max_tier is not None else set()
    return reached


def _steps(policy: Policy) -> Iterator[str]:
    ranks, cap_rank, cap_tokens = policy.tier_ranks, 0, None
    for place, step in enumerate(policy.degradation.steps):
        where = f"degradation.steps[{place}]"
        for source in step.map:
            if ranks[source] < cap_rank:
                yield f"{where}.map: no call is in tier {source} any more, an earlier step capped it"
        if step.max_tier is not None:
            if ranks[step.max_tier] <= cap_rank:
                yield f"{where}.max_tier: {step.max_tier} caps nothing that is not capped already"
            cap_rank = max(cap_rank, ranks[step.max_tier])
        if step.max_tokens is not None:
            if cap_tokens is not None and step.max_tokens >= cap_tokens:
                yield f"{where}.max_tokens: an earlier step already allows only {cap_tokens}"
            cap_tokens = min(step.max_tokens, cap_tokens or step.max_tokens)
        if step.only is not None and set(step.only) == set(Priority):
            yield f"{where}.only: lists every priority, so nothing is refused"
    yield from _late(policy)


def _late(policy: Policy) -> Iterator[str]:
    steps = policy.degradation.steps
    if policy.degradation.mode != "steps" or not steps:
        return
    last = policy.tier_names[-1]
    for name in policy.tier_names[:-1]:
        lowering = [s.below for s in steps if name in s.map or _caps(policy, s.max_tier, name)]
        if name != last and max(lowering, default=0.0) <= LATE_SHARE:
            left = f"{max(lowering):.0%} is left" if lowering else "the money is gone"
            yield f"degradation.steps: nothing lowers tier {name} until {left}"


def _caps(policy: Policy, max_tier: str | None, name: str) -> bool:
    return max_tier is not None and policy.tier_ranks[max_tier] > policy.tier_ranks[name]


def _exempt(policy: Policy) -> Iterator[str]:
    if set(policy.degradation.exempt) == set(Priority):
        yield "degradation.exempt: lists every priority, so no step ever applies"
