"""
Pacing: a call is lowered when the money would not last to the end of the window at what is expected of it.

Two rules, both on the projection of `router/demand.py`. A call whose gain from the better model is predicted
is served from it while the gain per extra dollar is worth the price of money (`router/worth.py`); the price
leaves enough to serve every expected call from the cheapest tier. Other calls are capped for all alike, on
the highest rung of levers that lasts: effort, max_tokens, tier by tier, low priorities. Down takes effect at
once; up waits for a while, and never comes in the last half hour. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from router.candidates import Candidates, Place
from router.costs import Costs
from router.degrade import Lowered, least_tokens, levers, lower_effort, switch
from router.demand import NOT_PACED, Outlook, Pace, PaceState, spread_in_flight
from router.types import (
    Evidence,
    Headroom,
    Known,
    Number,
    Paced,
    Priority,
    Profile,
    Reason,
    ReasonCode,
    Refusal,
    RefusalCode,
)
from router.worth import price_of_money, worth

if TYPE_CHECKING:
    from router.policy_model import Policy

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
LAST_US: Final = HOUR_US // 2
"""Nothing climbs in the last half hour of a window."""
FLUTTER: Final = 4
"""So much more movement than headway within an hour is a flutter: band and dwell double until it is calm."""
EFFORT_SHARE: Final = 0.8
TOKENS_SHARE: Final = 0.9
"""What is assumed to be left of the cost by the first two levers; the projection sees what truly is."""
EVIDENCE_MIN: Final = 20.0
"""Scored calls of a class from which their failures stand in for a prediction."""


@dataclass(frozen=True, slots=True)
class Rung:
    """
    Levers pulled so far, and the cost that is expected with them, per cost as asked.
    """

    rank: int
    effort: str | None
    max_tokens: int | None
    refuse: tuple[Priority, ...]
    ratio: float


def rungs(policy: "Policy", tier_ratios: Sequence[float]) -> tuple[Rung, ...]:
    """
    List the levers of a policy in their order: effort, max_tokens, tier by tier, low priorities.
    """
    rule, found = policy.degradation.pace, [Rung(0, None, None, (), 1.0)]
    share = 1.0
    if rule.effort is not None:
        share *= EFFORT_SHARE
        found.append(Rung(0, rule.effort, None, (), share))
    if rule.max_tokens is not None:
        share *= TOKENS_SHARE
        found.append(Rung(0, rule.effort, rule.max_tokens, (), share))
    for rank in range(1, len(policy.tiers)):
        ratio = tier_ratios[rank] if rank < len(tier_ratios) else 1.0
        found.append(Rung(rank, rule.effort, rule.max_tokens, (), share * ratio))
    if rule.refuse:
        found.append(replace(found[-1], refuse=rule.refuse))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Tide:
    """
    Money against demand at the tightest budget, and what follows for this call.

    Args:
        left_nanos: What is left of it, as cost.
        upgrades: Share of the extra money of all expected upgrades that is there; None while unknown.
        rung: Levers in force now, and `state` to remember them by.
    """

    outlook: Outlook
    left_nanos: int
    upgrades: float | None
    price: float | None
    rung: Rung
    state: PaceState

    @property
    def numbers(self) -> dict[str, Number]:
        """
        Give what a reason tells of the projection.
        """
        return {
            "gauge": self.outlook.gauge,
            "demand_nanos": self.outlook.asked_nanos,
            "left_nanos": self.left_nanos,
            "reserve_nanos": self.outlook.reserve_nanos,
            "curve_left": self.outlook.curve_left,
            "rung": self.state.rung,
        }


def tide(pace: Pace | None, policy: "Policy", headroom: Headroom, now_us: int) -> Tide | None:
    """
    Weigh what is left against what is expected; None where pacing is off or has nothing to go by.
    """
    if pace is None or policy.degradation.mode != "pace":
        return None
    found = [(one, _left(one, headroom)) for one in pace.outlooks]
    limited = [(one, left) for one, left in found if left is not None]
    if not limited:
        return None
    outlook, left = min(limited, key=_lasting)
    ladder = rungs(policy, pace.tier_ratios)
    state = _moved(pace.state, ladder, policy, outlook, left, now_us)
    flying = next(one.expected_held_nanos for one in headroom.budgets if one.name == outlook.gauge)
    upgrades = _upgrades(outlook, left - spread_in_flight(flying, outlook.call_nanos))
    price = None if upgrades is None else price_of_money(pace.worth, upgrades)
    return Tide(outlook, left, upgrades, price, ladder[state.rung], state)


def _lasting(found: tuple[Outlook, int]) -> float:
    """Give the share of the expected demand that the money lasts for."""
    outlook, left = found
    return left / outlook.asked_nanos if outlook.asked_nanos > 0 else float("inf")


def _left(outlook: Outlook, headroom: Headroom) -> int | None:
    """
    Give what is left of a budget, as cost.

    Credits have no end to last until; within a day they count as its money where they are less.
    """
    budget = next((one for one in headroom.budgets if one.name == outlook.gauge), None)
    if budget is None or budget.limit_nanos is None:
        return None
    left = budget.limit_nanos - budget.spent_nanos - budget.expected_held_nanos
    credit = headroom.credit_left_nanos
    if credit is not None and outlook.within_day:
        left = min(left, credit)
    return max(0, left) * 1_000_000 // max(1, headroom.multiplier_ppm)


def _upgrades(outlook: Outlook, left: int) -> float | None:
    if outlook.least_nanos is None or outlook.reserve_nanos is None:
        return None
    extra = outlook.asked_nanos - outlook.least_nanos
    return max(0.0, min(1.0, (left - outlook.reserve_nanos) / extra)) if extra > 0 else 1.0


def rested(policy: "Policy", since_us: int | None, now_us: int) -> bool:
    """
    Tell whether the dwell since a change has passed.
    """
    return since_us is None or now_us - since_us >= policy.degradation.dwell_s * SECOND_US


# the rung


def _moved(
    before: PaceState, ladder: Sequence[Rung], policy: "Policy", outlook: Outlook, left: int, now_us: int
) -> PaceState:
    """Go down as far as needed at once; go up only after the dwell, and not at the window's end."""
    rung = min(before.rung, len(ladder) - 1)
    moves = tuple(move for move in before.moves if move[0] > now_us - HOUR_US)
    flutter = 2 if _flutters(moves, rung) else 1
    band = policy.degradation.pace.band * flutter
    demand = outlook.asked_nanos

    def lasts(place: int, share: float) -> bool:
        return bool(ladder[place].refuse) or demand * ladder[place].ratio <= left * share

    wanted = rung
    if not lasts(rung, 1 + band):
        wanted = next((at for at in range(rung + 1, len(ladder)) if lasts(at, 1.0)), len(ladder) - 1)
    elif _may_climb(before, policy, outlook, flutter, now_us):
        wanted = next((at for at in range(rung) if lasts(at, 1 - band)), rung)
    if wanted == rung:
        return before if rung == before.rung else PaceState(rung, now_us, moves)
    return PaceState(wanted, now_us, (*moves, (now_us, rung)))


def _may_climb(before: PaceState, policy: "Policy", outlook: Outlook, flutter: int, now_us: int) -> bool:
    rested = now_us - before.since_us >= policy.degradation.dwell_s * SECOND_US * flutter
    return rested and now_us < outlook.resets_us - LAST_US


def _flutters(moves: Sequence[tuple[int, int]], rung: int) -> bool:
    """Tell whether the rungs of the last hour moved to and fro: total movement against headway."""
    path = [*(at for _, at in moves), rung]
    total = sum(abs(after - before) for before, after in pairwise(path))
    return total > FLUTTER * max(1, abs(path[-1] - path[0]))


# the call


def refusal(now: Tide | None, priority: Priority, level: int) -> Refusal | None:
    """
    Refuse a priority that pacing no longer serves: not even the lowest tier would last.
    """
    if now is None or priority not in now.rung.refuse:
        return None
    text = f"{_told(now)}, not even on the lowest tier: priority {priority} is refused"
    numbers = {**now.numbers, "mode": "pace", "priority": str(priority)}
    return Refusal(RefusalCode.PRIORITY_REFUSED, text, numbers, level=level)


def gain_of(profile: Profile, evidence: Evidence | None) -> tuple[float, str] | None:
    """
    Find what the better model is expected to gain for a call, and who says so; None where nobody does.
    """
    predicted = profile.prediction
    if predicted is not None and predicted.gain is not None:
        return predicted.gain, f"{predicted.source} {predicted.version}"
    if evidence is not None and evidence.n >= EVIDENCE_MIN:
        return evidence.failed / evidence.n, f"scores of {evidence.task_class}"
    return None


def apply_pace(
    now: Tide | None,
    gain: tuple[float, str] | None,
    policy: "Policy",
    before: Lowered,
    candidates: Candidates,
    costs: Costs,
) -> Lowered:
    """
    Lower a call as pacing wants it; what the owner's steps lowered stays lowered.
    """
    if now is None:
        return before
    capped = replace(
        before,
        effort_cap=lower_effort(before.effort_cap, now.rung.effort),
        tokens_cap=least_tokens(before.tokens_cap, now.rung.max_tokens),
    )
    if gain is not None and now.price is not None:
        return _by_worth(now, now.price, gain, policy, before, capped, candidates, costs)
    return _by_rung(now, policy, before, capped, candidates, costs)


def exempted(now: Tide | None, gain: tuple[float, str] | None, priority: Priority) -> tuple[Reason, ...]:
    """
    Say that a call is exempt from what pacing does to other calls now: its rung, or weighing their gain.
    """
    if now is None:
        return ()
    weighs = gain is not None and now.upgrades is not None and now.upgrades < 1.0
    if now.state.rung == 0 and not weighs:
        return ()
    text = f"{_told(now)}; priority {priority} is exempt from what that lowers"
    return (Reason(ReasonCode.EXEMPT, text, {**now.numbers, "mode": "pace"}),)


def paced(
    now: Tide | None,
    profile: Profile,
    known: Known,
    policy: "Policy",
    full: Place,
    candidates: Candidates,
    costs: Costs,
) -> Paced:
    """
    Give what the shell remembers of a call, to project the demand of the next ones.

    Args:
        full: Where the call goes with money to spare.
    """
    state = now.state if now is not None else known.pace.state if known.pace is not None else NOT_PACED
    whole = Lowered(full, full.rank)
    asked = _expected(full, whole, candidates, costs)
    cheapest = _cheapest(full, candidates)
    least = asked if cheapest is None else min(asked, _expected(cheapest, whole, candidates, costs))
    gain = gain_of(profile, known.evidence)
    tier = policy.tier_names[full.rank]
    return Paced(state, tier, asked, least, None if gain is None else gain[0])


def _by_rung(
    now: Tide, policy: "Policy", before: Lowered, capped: Lowered, candidates: Candidates, costs: Costs
) -> Lowered:
    """Cap the call like every other."""
    place, kept = None, None
    if now.rung.rank > capped.rank:  # what steps wanted has been looked at
        capped = replace(capped, rank=now.rung.rank)
        place, kept = switch(capped, policy, candidates, costs)
    after = capped if place is None else replace(capped, place=place)
    reasons = after.reasons
    if pulled := levers(policy, before, after):
        text = f"{_told(now)}: {', '.join(pulled)}"
        reasons = (*reasons, Reason(ReasonCode.PACED, text, {**now.numbers, "mode": "pace"}))
    return replace(after, reasons=reasons if kept is None else (*reasons, kept))


def _by_worth(
    now: Tide,
    price: float,
    gain: tuple[float, str],
    policy: "Policy",
    before: Lowered,
    capped: Lowered,
    candidates: Candidates,
    costs: Costs,
) -> Lowered:
    """Buy the better answer where its gain is worth the money, else serve the call from the cheapest tier."""
    place = _cheaper(_cheapest(capped.place, candidates), capped, candidates, costs)
    after, value = capped, None
    if place is not None and now.upgrades is not None and now.upgrades < 1.0:
        extra = _expected(capped.place, capped, candidates, costs) - _expected(
            place, capped, candidates, costs
        )
        value = worth(gain[0], extra)
        if value <= 0 or value < price:
            after = replace(capped, place=place, rank=max(capped.rank, place.rank))
    pulled = levers(policy, before, after)
    if value is None and not pulled:
        return after
    numbers = {
        **now.numbers,
        "mode": "pace",
        "gain": gain[0],
        "worth_per_usd": value,
        "price_per_usd": _shown(price),
    }
    effect = ", ".join(pulled) or f"{capped.place.facts.id} stays"
    text = f"{_told(now)}; {_weighed(gain, value, price)}: {effect}"
    code = ReasonCode.PACED if pulled else ReasonCode.WORTH_IT
    return replace(after, reasons=(*after.reasons, Reason(code, text, numbers)))


def _weighed(gain: tuple[float, str], value: float | None, price: float) -> str:
    said = f"{gain[1]} expects a gain of {gain[0]:.3f}"
    if value is None:
        return said
    if price == float("inf"):
        return f"{said}, and what is left is kept for the cheapest tier"
    return f"{said}, {value:.3g} per extra USD where {price:.3g} is needed"


def _shown(price: float) -> float | None:
    """JSON has no infinity: no price at all is None."""
    return None if price == float("inf") else round(price, 6)


def _cheapest(place: Place, candidates: Candidates) -> Place | None:
    """Find the lowest tier that may serve the call."""
    for rank in range(candidates.floor_rank, place.rank, -1):
        found = candidates.in_tier(rank)
        if found is not None:
            return found
    return None


def _cheaper(place: Place | None, state: Lowered, candidates: Candidates, costs: Costs) -> Place | None:
    """Keep a place only if the call, and the turns after it, are expected to cost less there."""
    if place is None or place.facts.id == state.place.facts.id:
        return None
    here, there = (
        costs.ahead(one.facts, candidates.max_tokens(one.facts, one.rank, state.tokens_cap))
        for one in (state.place, place)
    )
    return place if there < here else None


def _expected(place: Place, state: Lowered, candidates: Candidates, costs: Costs) -> int:
    return costs.expected(place.facts, candidates.max_tokens(place.facts, place.rank, state.tokens_cap))


def _told(now: Tide) -> str:
    """Say what the money lasts for."""
    lasting = _lasting((now.outlook, now.left_nanos))
    part = "all" if lasting >= 1 else f"{lasting:.0%}"
    return f"pace: {now.outlook.gauge} lasts for {part} of the demand expected until it resets"
