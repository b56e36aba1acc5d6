"""
How far a shrinking budget lowers a call: which steps are active, and where they lead.

The remaining share is the smallest over every budget with a limit and over credits, with calls in flight
counted at their expected cost. Steps apply one after the other, from the highest threshold down; a step
once entered is left only when the share has risen above its threshold by the hysteresis.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pricing.money import format_usd
from router.candidates import Candidates, Place
from router.costs import Costs
from router.types import EFFORTS, Budget, Headroom, Number, Priority, Reason, ReasonCode, Refusal, RefusalCode

if TYPE_CHECKING:
    from router.policy_model import Policy, Step


@dataclass(frozen=True, slots=True)
class Share:
    """
    What is left of one budget, or of the credits.
    """

    gauge: str
    ratio: float
    numbers: Mapping[str, Number]


@dataclass(frozen=True, slots=True)
class Lowered:
    """
    A call on its way through the steps.

    Args:
        place: Model that serves it so far.
        rank: Tier that the steps mean; lower than that of `place` where a switch would not have paid, higher
            where another tier stands in during an outage.
    """

    place: Place
    rank: int
    effort_cap: str | None = None
    tokens_cap: int | None = None
    reasons: tuple[Reason, ...] = ()


def smallest_share(headroom: Headroom) -> Share | None:
    """
    Find the budget that has least left; None where nothing is limited.
    """
    shares = [share for budget in headroom.budgets if (share := _share(budget)) is not None]
    left, full = headroom.credit_left_nanos, headroom.credit_full_nanos
    if full is not None and left is not None:
        numbers = {"credit_nanos": left, "credit_full_nanos": full}
        shares.append(Share("credit", _ratio(left, full), numbers))
    return min(shares, key=lambda share: share.ratio, default=None)


def _share(budget: Budget) -> Share | None:
    if budget.limit_nanos is None or budget.left_nanos is None:
        return None
    numbers = {
        "limit_nanos": budget.limit_nanos,
        "spent_nanos": budget.spent_nanos,
        "expected_held_nanos": budget.expected_held_nanos,
        "resets_us": budget.resets_us,
    }
    return Share(budget.name, _ratio(budget.left_nanos, budget.limit_nanos), numbers)


def _ratio(left: int, limit: int) -> float:
    """Give the share left; a limit of 0 has nothing left."""
    return min(1.0, max(0, left) / limit) if limit > 0 else 0.0


CLEAR_RISE: Final = 0.15
"""A share that has risen so much is no flutter but a new window, a top-up or a raised limit."""


def active_steps(policy: "Policy", ratio: float, level: int, *, rested: bool = True) -> int:
    """
    Count the steps that are active, given how many were before.

    Args:
        rested: The dwell since the last change has passed; before that only a clear rise leaves a step.
    """
    degradation = policy.degradation
    if degradation.mode == "off":
        return 0
    rise = degradation.hysteresis if rested else max(degradation.hysteresis, CLEAR_RISE)
    active = 0
    for place, step in enumerate(degradation.steps):
        leave = min(step.below + rise, 1.0) if place < level else step.below
        if ratio >= leave:
            break
        active = place + 1
    return active


def priority_refusal(policy: "Policy", priority: Priority, level: int, share: Share | None) -> Refusal | None:
    """
    Refuse a priority that an active step no longer serves.
    """
    for step in policy.degradation.steps[:level]:
        if step.only is None or priority in step.only:
            continue
        served = ", ".join(step.only)
        numbers = _numbers(share, step)
        text = f"{_told(share, step)}: only priorities {served} are served, not {priority}"
        return Refusal(
            RefusalCode.PRIORITY_REFUSED, text, {**numbers, "priority": str(priority)}, level=level
        )
    return None


def apply_steps(
    policy: "Policy", level: int, share: Share | None, lowered: Lowered, candidates: Candidates, costs: Costs
) -> Lowered:
    """
    Lead a call through the active steps: effort first, then max_tokens, then tier.
    """
    for step in policy.degradation.steps[:level]:
        lowered = _one_step(policy, step, share, lowered, candidates, costs)
    return lowered


def _one_step(
    policy: "Policy",
    step: "Step",
    share: Share | None,
    before: Lowered,
    candidates: Candidates,
    costs: Costs,
) -> Lowered:
    capped = replace(
        before,
        effort_cap=lower_effort(before.effort_cap, step.effort),
        tokens_cap=least_tokens(before.tokens_cap, step.max_tokens),
        rank=_target(policy, step, before.rank),
    )
    switched, refused = switch(capped, policy, candidates, costs)
    if switched is not None:
        capped = replace(capped, place=switched)
    pulled = levers(policy, before, capped)
    reasons = before.reasons
    if pulled:
        text = f"{_told(share, step)}: {', '.join(pulled)}"
        reasons = (*reasons, Reason(ReasonCode.DEGRADED, text, _numbers(share, step)))
    return replace(capped, reasons=reasons if refused is None else (*reasons, refused))


def _target(policy: "Policy", step: "Step", rank: int) -> int:
    name = policy.tier_names[rank]
    target = policy.tier_ranks[step.map.get(name, name)]
    return max(target, policy.tier_ranks[step.max_tier]) if step.max_tier is not None else target


def switch(
    state: Lowered, policy: "Policy", candidates: Candidates, costs: Costs
) -> tuple[Place | None, Reason | None]:
    """
    Find the model that a lower tier leads to, unless it is no cheaper than the one that serves already.

    Args:
        state: The call so far; its rank is the tier that is wanted.
    Returns:
        The place to move to, or None and why the call stays.
    """
    now, wanted = state.place, min(state.rank, candidates.floor_rank)
    if wanted <= now.rank:
        return None, _floor_kept(state, policy, now)
    target = candidates.lower(wanted)
    if target is None:
        text = (
            f"no model at or under tier {policy.tier_names[wanted]} may serve this call; {now.facts.id} stays"
        )
        return None, Reason(ReasonCode.DOWNGRADE_NOT_POSSIBLE, text, {"model": now.facts.id})
    if target.facts.id == now.facts.id:
        return target, None
    here = costs.ahead(now.facts, candidates.max_tokens(now.facts, now.rank, state.tokens_cap))
    there = costs.ahead(target.facts, candidates.max_tokens(target.facts, target.rank, state.tokens_cap))
    if there < here:
        return target, None
    numbers: dict[str, Number] = {"stay_nanos": here, "switch_nanos": there, "model": target.facts.id}
    if costs.turns_after is not None and costs.cached(now.facts):
        return None, suppressed(costs, now, f"{now.facts.id} to {target.facts.id}", numbers)
    text = f"{target.facts.id} would not be cheaper for this call, so {now.facts.id} stays"
    return None, Reason(ReasonCode.DOWNGRADE_NOT_CHEAPER, text, numbers)


def suppressed(costs: Costs, here: Place, change: str, numbers: dict[str, Number]) -> Reason:
    """
    Say that a conversation stays where its cache is warm, and what the change would have cost.

    Args:
        numbers: `stay_nanos` and `switch_nanos`, over this call and the turns expected after it.
    """
    lost_nanos = int(numbers["switch_nanos"] or 0) - int(numbers["stay_nanos"] or 0)
    cached, turns = costs.cached(here.facts), costs.turns_after or 0.0
    if lost_nanos < 0:
        effect = f"throw away {cached} cached tokens to save only {format_usd(-lost_nanos)} USD"
    else:
        effect = f"lose {cached} cached tokens and cost {format_usd(lost_nanos)} USD more"
    text = (
        f"a switch ({change}) would {effect} over this call and the {turns:.1f} turns expected after it: "
        "the conversation stays"
    )
    told: dict[str, Number] = {"cost_nanos": lost_nanos, "cached_tokens": cached, "turns": turns}
    return Reason(ReasonCode.SWITCH_SUPPRESSED_CACHE, text, {**told, **numbers})


def _floor_kept(state: Lowered, policy: "Policy", now: Place) -> Reason | None:
    """Say that a step led below the floor; only once, when the tier would have changed."""
    if state.rank <= now.rank:
        return None
    floor, meant = policy.tier_names[now.rank], policy.tier_names[state.rank]
    numbers: dict[str, Number] = {"tier": meant, "floor": floor}
    return Reason(ReasonCode.FLOOR, f"tier {floor} is the floor of this call, so not {meant}", numbers)


def levers(policy: "Policy", before: Lowered, after: Lowered) -> list[str]:
    """
    Name what has been changed of a call.
    """
    pulled: list[str] = []
    if after.effort_cap != before.effort_cap:
        pulled.append(f"effort at most {after.effort_cap}")
    if after.tokens_cap != before.tokens_cap:
        pulled.append(f"max_tokens at most {after.tokens_cap}")
    if after.place != before.place:
        names = policy.tier_names
        tiers = f"tier {names[before.place.rank]} to {names[after.place.rank]}"
        pulled.append(f"{tiers} ({before.place.facts.id} to {after.place.facts.id})")
    return pulled


def lower_effort(one: str | None, other: str | None) -> str | None:
    """
    Give the lower of two efforts; None is no cap.
    """
    if one is None or other is None:
        return one if other is None else other
    return min(one, other, key=EFFORTS.index)


def least_tokens(one: int | None, other: int | None) -> int | None:
    """
    Give the lower of two caps; None is no cap.
    """
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _told(share: Share | None, step: "Step") -> str:
    """Say which budget has crossed which threshold."""
    assert share is not None, "a step is active only where something is limited"
    crossed = "under" if share.ratio < step.below else "not yet clearly above"
    return f"{share.gauge} has {share.ratio:.1%} left, {crossed} {step.below:.0%}"


def _numbers(share: Share | None, step: "Step") -> dict[str, Number]:
    assert share is not None, "a step is active only where something is limited"
    return {"gauge": share.gauge, "ratio": share.ratio, "below": step.below, **share.numbers}
