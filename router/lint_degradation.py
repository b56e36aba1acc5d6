"""
Warnings about degradation that cannot do what it is there for: thresholds that change nothing, tiers that are
dearer than what they replace, classes and floors that keep calls where they are.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pricing.cost import cost_nanos
from pricing.facts import ModelFacts, tokenizer
from pricing.money import ceil_div, format_usd
from pricing.table import PriceTable, UnknownPrice
from pricing.usage import Usage
from router.types import EFFORTS

if TYPE_CHECKING:
    from router.policy_model import Policy, Step

TYPICAL: Final = ((8_000, 500), (400_000, 2_000))
"""A short and a long call: bytes of prompt, tokens of answer."""


def degradation_findings(policy: "Policy") -> Iterator[str]:
    """
    Review what needs no prices.
    """
    yield from _idle(policy)
    yield from _classes(policy)
    yield from _floors(policy)


def price_findings(policy: "Policy", prices: PriceTable, at_us: int) -> Iterator[str]:
    """
    Review the prices of a policy's models, and of where its steps lead.
    """
    for name, tier in policy.tiers.items():
        for facts in tier.facts:
            if plain_cost(facts, prices, at_us, *TYPICAL[0]) is None:
                yield f"tiers.{name}: {facts.id} has no price, so it serves no call"
    told: set[tuple[str, str]] = set()
    for where, source, target in _leads(policy):
        if (source, target) not in told:
            told.add((source, target))
            yield from _dearer(policy, where, source, target, prices, at_us)


def _idle(policy: "Policy") -> Iterator[str]:
    """Find steps that never act, and steps that are never left."""
    degradation = policy.degradation
    if degradation.steps and degradation.mode == "off":
        yield "degradation.steps: never act, as degradation.mode is off"
        return
    for place, step in enumerate(degradation.steps):
        where = f"degradation.steps[{place}]"
        if step.below + degradation.hysteresis > 1:
            yield f"{where}.below: with hysteresis over 1, so the step is left only with nothing spent"
        if _caps_no_tokens(policy, step):
            yield f"{where}.max_tokens: no tier allows more than {step.max_tokens} anyway"
        if _caps_no_effort(policy, step):
            yield f"{where}.effort: no tier works at more than {step.effort} anyway"


def _caps_no_tokens(policy: "Policy", step: "Step") -> bool:
    if step.max_tokens is None:
        return False
    limits = [
        (tier.max_tokens, *(facts.max_output_tokens for facts in tier.facts))
        for tier in policy.tiers.values()
    ]
    return all(min(most for most in one if most is not None) <= step.max_tokens for one in limits)


def _caps_no_effort(policy: "Policy", step: "Step") -> bool:
    if step.effort is None:
        return False
    rank = EFFORTS.index(step.effort)
    return all(
        _effort_rank(facts, tier.effort) <= rank for tier in policy.tiers.values() for facts in tier.facts
    )


def _effort_rank(facts: ModelFacts, most: str | None) -> int:
    """Give the highest effort of a model in its tier; one without efforts cannot be lowered."""
    own = max((EFFORTS.index(effort) for effort in facts.efforts), default=-1)
    return own if most is None else min(own, EFFORTS.index(most))


def _classes(policy: "Policy") -> Iterator[str]:
    """Say which tiers a privacy class has no model in: its calls are served from another one."""
    for name, found in policy.privacy.items():
        lacking = [
            tier
            for tier, body in policy.tiers.items()
            if all(f.id not in found.model_ids for f in body.facts)
        ]
        if lacking:
            listed = ", ".join(lacking)
            yield f"privacy.{name}: no model of it in tier {listed}; its calls go to another tier from there"


def _floors(policy: "Policy") -> Iterator[str]:
    """Name the tasks that no step can bring to a lower tier, though steps do lead lower."""
    sources = {source for _, source, _ in _leads(policy)}
    kept = [
        name
        for name, route in policy.routing.tasks.items()
        if route.floor is not None
        and route.tier in sources
        and policy.tier_ranks[route.floor] <= policy.tier_ranks[route.tier]
        and (route.priority or "normal") not in policy.degradation.exempt
    ]
    if kept:
        listed = ", ".join(f'"{name}"' for name in kept)
        only = "steps change only effort and max_tokens there"
        yield f"degradation.steps: floors keep {listed} at their tier; {only}"


def _leads(policy: "Policy") -> Iterator[tuple[str, str, str]]:
    """List where degradation leads: the field that says so, the tier left, the tier that serves instead."""
    names, degradation = policy.tier_names, policy.degradation
    if degradation.mode == "off":
        return
    for place, step in enumerate(degradation.steps):
        where = f"degradation.steps[{place}]"
        for source, target in step.map.items():
            yield f"{where}.map", source, target
        if step.max_tier is not None:
            for source in names[: policy.tier_ranks[step.max_tier]]:
                yield f"{where}.max_tier", source, step.max_tier
    if degradation.mode == "pace":
        for source, target in pairwise(names):
            yield "degradation.mode", source, target


def _dearer(
    policy: "Policy", where: str, source: str, target: str, prices: PriceTable, at_us: int
) -> Iterator[str]:
    """Compare the preferred models of two tiers at a short and a long call."""
    one, other = policy.tiers[source].facts[0], policy.tiers[target].facts[0]
    for size, output in TYPICAL:
        here, there = (plain_cost(facts, prices, at_us, size, output) for facts in (one, other))
        if one.id != other.id and here is not None and there is not None and there >= here:
            prompt = f"{size // 1_000} kB of prompt and {output} tokens of answer"
            costs = f"{format_usd(there)} USD, not less than the {format_usd(here)} of {one.id}"
            yield f"{where}: {source} to {target} saves nothing for {prompt}: {other.id} costs {costs}"


def plain_cost(facts: ModelFacts, prices: PriceTable, at_us: int, size: int, output: int) -> int | None:
    """
    Price a plain call by its prompt's bytes; models count tokens differently. None without a price.
    """
    tokens = ceil_div(size * 100, tokenizer(facts.tokenizer).bytes_per_100_tokens)
    try:
        price = prices.price(facts.id, at_us)
    except UnknownPrice:
        return None
    return cost_nanos(Usage(input_tokens=tokens, output_tokens=output), price)
