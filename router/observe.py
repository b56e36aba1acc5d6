"""
Observe mode: a call goes out as asked, and its choice records what enforcement would have done.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from pricing.facts import ModelFacts, model_facts
from pricing.table import PriceTable
from router.afford import Ladder
from router.ask import effective_priority, resolve, route_of
from router.candidates import Candidates
from router.ceiling import ceiling_of, ceiling_reason
from router.costs import Costs
from router.degrade import Lowered, smallest_share
from router.effort import fit_effort
from router.types import (
    AUTO,
    NOTHING_KNOWN,
    Choice,
    Counterfactual,
    Headroom,
    Known,
    Offer,
    Paced,
    Profile,
    Reason,
    ReasonCode,
    Refusal,
    RefusalCode,
    Would,
)

if TYPE_CHECKING:
    from router.policy_model import Policy


def observed(
    outcome: Choice | Refusal,
    profile: Profile,
    headroom: Headroom,
    policy: "Policy",
    prices: PriceTable,
    *,
    level: int,
    now_us: int,
    known: Known = NOTHING_KNOWN,
) -> Choice | Refusal:
    """
    Turn what enforcement would have done into a choice that serves what was asked.

    Returns:
        A refusal only for what cannot be sent at all, as nobody knows its model or its price.
    """
    return _Observed(outcome, profile, headroom, policy, prices, level, now_us, known).choice()


def counterfactual(offer: Offer, paced: Paced | None = None) -> Counterfactual:
    """
    Keep what the road not taken would have cost.
    """
    return Counterfactual(
        model=offer.model,
        tier=offer.tier,
        effort=offer.effort,
        max_tokens=offer.max_tokens,
        cost_bound_nanos=offer.cost_bound_nanos,
        expected_cost_nanos=offer.expected_cost_nanos,
        routed_tier=None if paced is None else paced.tier,
        routed_nanos=None if paced is None else paced.asked_nanos,
        least_nanos=None if paced is None else paced.least_nanos,
        gain=None if paced is None else paced.gain,
    )


class _Observed:
    """
    One observed call.
    """

    def __init__(
        self,
        outcome: Choice | Refusal,
        profile: Profile,
        headroom: Headroom,
        policy: "Policy",
        prices: PriceTable,
        level: int,
        now_us: int,
        known: Known,
    ) -> None:
        self.outcome = outcome
        self.known = known
        self.profile = profile
        self.headroom = headroom
        self.policy = policy
        self.prices = prices
        self.level = level
        self.now_us = now_us
        self.ceiling = ceiling_of(profile, route_of(profile, policy), policy)

    def choice(self) -> Choice | Refusal:
        """Give the one offer; refused is only what cannot be sent, as nobody knows its model or price."""
        asked = self._as_asked() or self._as_routed()
        if asked is None:
            return self._unsendable()
        offer, told = asked
        would, share = self._would(), smallest_share(self.headroom)
        paced = self.outcome.paced if isinstance(self.outcome, Choice) else None
        return Choice(
            asked_model=self.profile.asked_model,
            asked_tier=offer.tier,
            priority=effective_priority(self.profile, route_of(self.profile, self.policy))[0],
            level=self.level,
            ratio=share.ratio if share is not None else 1.0,
            gauge=share.gauge if share is not None else None,
            offers=(offer,),
            reasons=(*told, *ceiling_reason(self.profile, self.ceiling), self._reason(would)),
            counterfactual=counterfactual(offer, paced),
            would=would,
            paced=paced,
        )

    def _unsendable(self) -> Refusal:
        """Refuse what nobody knows; or what has no price as it was asked, at a speed that its model lacks."""
        if isinstance(self.outcome, Refusal) and self.outcome.level is None:
            return self.outcome
        name = self.profile.asked_model
        text = f"{name} has no price for the call as it was asked, and observe mode changes nothing of it"
        return Refusal(RefusalCode.NO_MODEL_FITS, text, {"model": name})

    def _would(self) -> Would:
        level, outcome = self.level, self.outcome
        if isinstance(outcome, Refusal):
            return Would(level=level, offer=None, refusal=outcome)
        return Would(level=level, offer=outcome.offers[0], refusal=None, reasons=outcome.reasons)

    def _reason(self, would: Would) -> Reason:
        if would.offer is None:
            code = would.refusal.code if would.refusal is not None else ""
            text = f"observed only: enforcement would have refused this call ({code})"
            return Reason(ReasonCode.OBSERVED, text)
        offer = would.offer
        asked = f"{offer.model} with max_tokens {offer.max_tokens}"
        text = f"observed only: enforcement would have offered {asked}"
        return Reason(ReasonCode.OBSERVED, text, {"level": would.level, "tier": offer.tier})

    def _as_asked(self) -> tuple[Offer, tuple[Reason, ...]] | None:
        """Offer the model that the caller named, listed or not."""
        try:
            facts = model_facts(self.profile.asked_model)
            return self._offer(facts), ()
        except LookupError:
            return None

    def _costs(self, asked: ModelFacts | None) -> Costs:
        return Costs(self.profile, self.prices, self.now_us, asked=asked, ceiling_nanos=self.ceiling or 0)

    def _offer(self, facts: ModelFacts) -> Offer:
        costs = self._costs(facts)
        rank, tokens = self.policy.model_ranks.get(facts.id), self.profile.max_tokens
        asked_effort = self.profile.asked_effort
        return Offer(
            model=facts.id,
            tier=None if rank is None else self.policy.tier_names[rank],
            effort=fit_effort(facts, asked=facts, asked_effort=asked_effort, tier_effort=None, cap=None),
            max_tokens=tokens,
            cost_bound_nanos=costs.bound(facts, tokens),
            expected_cost_nanos=costs.expected(facts, tokens),
        )

    def _as_routed(self) -> tuple[Offer, tuple[Reason, ...]] | None:
        """Offer what the tier or task leads to with money to spare, where the caller named no model."""
        ask = resolve(self.profile, self.policy, self.known)
        if isinstance(ask, Refusal) or ask.facts is not None:
            return None
        if ask.rank > ask.asked_rank:  # a downgrade for quality would degrade, too
            ask = replace(ask, rank=ask.asked_rank, preferred=None, tokens_cap=None)
        if self.profile.asked_model != AUTO:  # the caller's own words stand, whatever the class allows
            ask = replace(ask, tokens_cap=None)
        costs = self._costs(None)
        candidates = Candidates(self.profile, ask, self.policy, costs, {}, self.now_us, self.known)
        start = candidates.start()
        if start is None:
            return None
        ladder = Ladder(self.profile, ask, self.policy, self.headroom, candidates, costs)
        return ladder.offer(Lowered(start, start.rank), start, None), ask.reasons
