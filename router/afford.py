"""
Which offers the money can bear: the call as chosen, then shrunk, then from lower tiers, best first.

The ledger takes the first offer that fits inside its lock. Offers are worked out against what is left when
calls in flight settle at their expected cost; money that is merely held makes the ledger answer "busy"
(`waits`). A lower tier that will probably cost more (it has no warm cache) is offered only where nothing else
fits what is left: who has the money is served, and nobody is led there of choice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pricing.money import format_usd, scale_ceil
from router.candidates import Candidates, Place
from router.costs import Costs
from router.degrade import Lowered
from router.effort import fit_effort
from router.types import Headroom, Number, Offer, Profile, Reason, ReasonCode

if TYPE_CHECKING:
    from router.ask import Ask
    from router.policy_model import Policy

OFFERS_MAX: Final = 6
AMPLE: Final = 16
"""With this many times the bound of a call left, no race spends all before the hold: one offer is enough."""
ROOM_FOR_ANSWER: Final = 2
"""A call is not shrunk under this many times its expected output while a lower tier could give all of it."""


@dataclass(frozen=True, slots=True)
class Room:
    """
    Money left in the tightest budget or in the credits, as charge, once calls in flight have settled.
    """

    gauge: str
    nanos: int


def tightest(headroom: Headroom) -> Room | None:
    """
    Find where least money is left; None where nothing is limited.
    """
    rooms = [Room(b.name, b.left_nanos) for b in headroom.budgets if b.left_nanos is not None]
    credit = headroom.credit_left_nanos
    if credit is not None:
        rooms.append(Room("credit", credit))
    return min(rooms, key=lambda room: room.nanos, default=None)


class Ladder:
    """
    Builds the offers of one call.
    """

    def __init__(
        self,
        profile: Profile,
        ask: "Ask",
        policy: "Policy",
        headroom: Headroom,
        candidates: Candidates,
        costs: Costs,
    ) -> None:
        """
        Remember the call and what money is left.
        """
        self._profile = profile
        self._ask = ask
        self._policy = policy
        self._candidates = candidates
        self._costs = costs
        self._ppm = headroom.multiplier_ppm
        self._room = tightest(headroom)
        self._fixed = ask.exempt or ask.pinned

    def offers(self, lowered: Lowered) -> tuple[Offer, ...]:
        """
        Give the offers of a call, best first; each costs at most less than the one before it.
        """
        chosen = self.offer(lowered, lowered.place, None)
        room = self._room
        charge = self._charge(chosen.cost_bound_nanos)
        if room is None or self._fixed or room.nanos >= AMPLE * charge:
            return (chosen,)
        offers = [chosen]
        for offer in self._fallbacks(lowered, chosen, room):
            if offer.cost_bound_nanos < offers[-1].cost_bound_nanos:
                offers.append(offer)
        if self._charge(offers[-1].cost_bound_nanos) > room.nanos:
            offers.extend(self._dearer(lowered, chosen, room))
        if len(offers) > OFFERS_MAX:
            offers = [*offers[: OFFERS_MAX - 1], offers[-1]]
        return tuple(offers)

    def offer(
        self, lowered: Lowered, place: Place, max_tokens: int | None, reasons: tuple[Reason, ...] = ()
    ) -> Offer:
        """
        Price one way to serve the call; without max_tokens, at all that tier and steps allow.
        """
        facts, tier = place.facts, self._policy.tier_names[place.rank]
        whole = self._candidates.max_tokens(facts, place.rank, lowered.tokens_cap)
        tokens = whole if max_tokens is None else max_tokens
        effort = fit_effort(
            facts,
            asked=self._ask.facts,
            asked_effort=self._profile.asked_effort,
            tier_effort=self._policy.tiers[tier].effort,
            cap=lowered.effort_cap,
        )
        return Offer(
            model=facts.id,
            tier=tier,
            effort=effort,
            max_tokens=tokens,
            cost_bound_nanos=self._costs.bound(facts, tokens),
            expected_cost_nanos=self._costs.expected(facts, tokens),
            reasons=(*self._tier_limit(place, whole, lowered), *reasons),
        )

    def _fallbacks(self, lowered: Lowered, chosen: Offer, room: Room) -> Iterator[Offer]:
        """Shrink the call, then lower its tier, then give the last money to the cheapest."""
        last = lowered.place
        fits = self._charge(chosen.cost_bound_nanos) <= room.nanos
        least = self._least(chosen.max_tokens)
        tokens = (
            max(least, chosen.max_tokens // 2)
            if fits
            else self._fitting(last, chosen.max_tokens, least, room)
        )
        if tokens is not None and tokens < chosen.max_tokens:
            yield self._shrunk(lowered, last, tokens, chosen, room)
        for place in self._lower_places(lowered):
            whole = self._candidates.max_tokens(place.facts, place.rank, lowered.tokens_cap)
            if self._costs.expected(place.facts, whole) > chosen.expected_cost_nanos:
                continue
            last = place
            tokens = self._fitting(place, whole, self._least(whole), room)
            if tokens is not None:
                yield self._shrunk(lowered, place, tokens, chosen, room)
        whole = self._candidates.max_tokens(last.facts, last.rank, lowered.tokens_cap)
        tokens = self._fitting(last, whole, min(whole, self._policy.limits.min_max_tokens), room)
        if tokens is not None:
            yield self._shrunk(lowered, last, tokens, chosen, room)

    def _dearer(self, lowered: Lowered, chosen: Offer, room: Room) -> Iterator[Offer]:
        """Find the highest tier that the room bears with the whole answer, though it will cost more there."""
        for place in self._lower_places(lowered):
            whole = self._candidates.max_tokens(place.facts, place.rank, lowered.tokens_cap)
            tokens = self._fitting(place, whole, self._least(whole), room)
            if tokens is not None:
                yield self.offer(lowered, place, tokens, (self._all_that_fits(place, tokens, chosen, room),))
                return

    def _all_that_fits(self, place: Place, tokens: int, chosen: Offer, room: Room) -> Reason:
        expected = self._costs.expected(place.facts, tokens)
        numbers: dict[str, Number] = {
            "gauge": room.gauge,
            "room_nanos": room.nanos,
            "needed_nanos": self._charge(chosen.cost_bound_nanos),
            "bound_nanos": self._charge(self._costs.bound(place.facts, tokens)),
            "max_tokens": tokens,
            "expected_nanos": expected,
            "kept_expected_nanos": chosen.expected_cost_nanos,
        }
        text = (
            f"{room.gauge} has {format_usd(room.nanos)} USD left and does not bear the"
            f" {format_usd(self._charge(chosen.cost_bound_nanos))} USD that {chosen.model} may cost: else"
            f" refused, the call goes to {place.facts.id}, max_tokens {tokens}, though it will probably cost"
            f" {format_usd(expected)} USD there instead of {format_usd(chosen.expected_cost_nanos)} USD"
        )
        return Reason(ReasonCode.ONLY_AFFORDABLE, text, numbers)

    def _lower_places(self, lowered: Lowered) -> Iterator[Place]:
        for rank in range(lowered.place.rank + 1, self._ask.floor_rank + 1):
            place = self._candidates.in_tier(rank)
            if place is not None:
                yield place

    def _least(self, whole: int) -> int:
        """Give the smallest max_tokens that probably still holds the whole answer."""
        answer = ROOM_FOR_ANSWER * self._profile.expected_output_tokens
        return min(whole, max(self._policy.limits.min_max_tokens, answer))

    def _fitting(self, place: Place, whole: int, least: int, room: Room) -> int | None:
        """Find the largest max_tokens that the room can bear, None if it is under the least."""
        full = self._charge(self._costs.bound(place.facts, whole))
        if full <= room.nanos:
            return whole
        none = self._charge(self._costs.bound(place.facts, 0))
        if none >= room.nanos or full <= none:
            return None
        # The bound is convex in max_tokens, so the straight line never promises more than the room bears.
        tokens = whole * (room.nanos - none) // (full - none) - 1
        return tokens if tokens >= least else None

    def _shrunk(self, lowered: Lowered, place: Place, tokens: int, chosen: Offer, room: Room) -> Offer:
        needed = self._charge(chosen.cost_bound_nanos)
        short = "does not bear" if needed > room.nanos else "may soon not bear"
        text = (
            f"{room.gauge} has {format_usd(max(0, room.nanos))} USD left and {short} {format_usd(needed)} "
            f"USD for {chosen.model}, max_tokens {chosen.max_tokens}: {place.facts.id}, max_tokens {tokens}"
        )
        numbers: dict[str, Number] = {
            "gauge": room.gauge,
            "room_nanos": room.nanos,
            "needed_nanos": needed,
            "max_tokens": tokens,
        }
        reason = Reason(ReasonCode.AFFORDABILITY, text, numbers)
        return self.offer(lowered, place, tokens, (reason,))

    def _tier_limit(self, place: Place, whole: int, lowered: Lowered) -> tuple[Reason, ...]:
        """Say that the tier allows less than was asked."""
        asked = self._profile.max_tokens
        if whole >= asked or whole in (lowered.tokens_cap, self._ask.tokens_cap):
            return ()
        tier = self._policy.tier_names[place.rank]
        text = f"tier {tier} and {place.facts.id} give at most {whole} tokens, {asked} were asked for"
        return (Reason(ReasonCode.TIER_LIMIT, text, {"asked": asked, "max_tokens": whole}),)

    def _charge(self, cost_nanos: int) -> int:
        return cost_nanos if self._ppm == 1_000_000 else scale_ceil(cost_nanos, self._ppm)
