"""
The decision: which model, effort and max_tokens a call is offered, in what order, and why.

Pure: the same profile, headroom, policy, prices, level, health and instant give the same choice. The order
of the checks is: names, hard constraints, cost bound, priority, health, steps, session, affordability.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pricing.money import ceil_div
from pricing.table import PriceTable
from router import pace
from router.afford import Ladder
from router.ask import Ask, resolve
from router.candidates import Candidates, Place
from router.ceiling import ceiling_of, ceiling_reason
from router.costs import Costs
from router.degrade import Lowered, active_steps, apply_steps, priority_refusal, smallest_share
from router.observe import counterfactual, observed
from router.session import Session
from router.types import (
    NOTHING_KNOWN,
    Choice,
    Headroom,
    Known,
    Number,
    Profile,
    Reason,
    ReasonCode,
    Refusal,
    RefusalCode,
)

if TYPE_CHECKING:
    from router.policy_model import Policy

USED_HARD: Final = frozenset({"forced_tool_choice", "prefill", "thinking", "inference_geo"})
"""Features that not every model has."""


def choose(
    profile: Profile,
    headroom: Headroom,
    policy: "Policy",
    prices: PriceTable,
    *,
    level: int,
    unhealthy: Mapping[str, int],
    now_us: int,
    known: Known = NOTHING_KNOWN,
) -> Choice | Refusal:
    """
    Choose how a call may be served.

    Args:
        level: Degradation steps that were active for this tenant before, 0 at first.
        unhealthy: Models out of service, and until when.
        known: What was measured until now.
    Returns:
        Offers, best first. In observe mode the one offer is what was asked, and `would` says what
        would have happened.
    """
    decision = _Decision(profile, headroom, policy, prices, level, unhealthy, now_us, known)
    outcome = decision.enforced()
    return (
        outcome
        if policy.enforcement.mode == "enforce"
        else observed(
            outcome, profile, headroom, policy, prices, level=decision.level, now_us=now_us, known=known
        )
    )


class _Decision:
    """
    One run of `choose`: its inputs, and what has been found out so far.
    """

    def __init__(
        self,
        profile: Profile,
        headroom: Headroom,
        policy: "Policy",
        prices: PriceTable,
        level: int,
        unhealthy: Mapping[str, int],
        now_us: int,
        known: Known,
    ) -> None:
        self.profile = profile
        self.headroom = headroom
        self.policy = policy
        self.prices = prices
        self.unhealthy = unhealthy
        self.now_us = now_us
        self.known = known
        self.share = smallest_share(headroom)
        self.ratio = self.share.ratio if self.share is not None else 1.0
        rested = pace.rested(policy, known.level_since_us, now_us)
        self.level = active_steps(policy, self.ratio, level, rested=rested)
        self.tide = pace.tide(known.pace, policy, headroom, now_us)

    def enforced(self) -> Choice | Refusal:
        """Route the call under the policy."""
        ask = resolve(self.profile, self.policy, self.known)
        if isinstance(ask, Refusal):
            return ask
        ceiling = ceiling_of(self.profile, ask.route, self.policy)
        costs = Costs(self.profile, self.prices, self.now_us, asked=ask.facts, ceiling_nanos=ceiling or 0)
        candidates = self._candidates(ask, costs)
        start = candidates.start()
        if start is None:
            return self._nothing_fits(ask, candidates)
        costs.start_at(start.facts)
        if self.profile.bound.unbounded and ceiling is None:
            return self._unbounded()
        refusal = self._priority_refused(ask)
        if refusal is not None:
            return refusal
        healthy = candidates.in_service(start)
        if healthy is None:
            return self._all_open(candidates.reopening(start))
        ladder = Ladder(self.profile, ask, self.policy, self.headroom, candidates, costs)
        asked = candidates.asked() or start
        session = Session(self.profile, self.policy, self.known, ask, candidates, costs)
        lowered = self._lowered(ask, start, session.start(healthy), candidates, costs)
        lowered = session.kept(lowered, asked)
        reasons = (*ask.reasons, *self._constraint(ask, start, candidates), *self._outage(start, healthy))
        reasons = (*reasons, *self._too_slow(ask, start, candidates))
        reasons = (*reasons, *ceiling_reason(self.profile, ceiling), *self._exempt_reason(ask))
        paced = pace.paced(self.tide, self.profile, self.known, self.policy, start, candidates, costs)
        return Choice(
            asked_model=self.profile.asked_model,
            asked_tier=self.policy.tier_names[ask.asked_rank],
            priority=ask.priority,
            level=self.level,
            ratio=self.ratio,
            gauge=self.share.gauge if self.share is not None else None,
            offers=ladder.offers(lowered),
            reasons=(*reasons, *lowered.reasons),
            counterfactual=counterfactual(ladder.offer(Lowered(asked, asked.rank), asked, None), paced),
            paced=paced,
        )

    def _candidates(self, ask: Ask, costs: Costs) -> Candidates:
        profile, policy = self.profile, self.policy
        return Candidates(profile, ask, policy, costs, self.unhealthy, self.now_us, self.known)

    def _priority_refused(self, ask: Ask) -> Refusal | None:
        if ask.exempt:
            return None
        refusal = priority_refusal(self.policy, ask.priority, self.level, self.share)
        return refusal or pace.refusal(self.tide, ask.priority, self.level)

    def _lowered(
        self, ask: Ask, wanted: Place, start: Place, candidates: Candidates, costs: Costs
    ) -> Lowered:
        """Lower the call by the steps that hold for the tier it belongs to, not for one that stands in."""
        lowered = Lowered(start, min(start.rank, wanted.rank))
        if ask.exempt or ask.pinned:
            return lowered
        lowered = apply_steps(self.policy, self.level, self.share, lowered, candidates, costs)
        gain = pace.gain_of(self.profile, self.known.evidence)
        return pace.apply_pace(self.tide, gain, self.policy, lowered, candidates, costs)

    # reasons

    def _constraint(self, ask: Ask, start: Place, candidates: Candidates) -> tuple[Reason, ...]:
        """Say that a hard constraint, not money, has led to another model or tier."""
        names, wanted = self.policy.tier_names, self.policy.tier_names[ask.rank]
        wished = ask.facts if ask.rank == ask.model_rank else ask.preferred
        here = wished is None or wished == start.facts or wished not in self.policy.tiers[wanted].facts
        if start.rank == ask.rank and here:
            return ()
        why = self._why_not(ask, candidates)
        text = f"{why} lead from tier {wanted} to {start.facts.id} of tier {names[start.rank]}"
        return (Reason(ReasonCode.CONSTRAINT, text, {"tier": wanted, "model": start.facts.id}),)

    def _too_slow(self, ask: Ask, start: Place, candidates: Candidates) -> tuple[Reason, ...]:
        """Name the models that come before the one that serves, and take longer than the task allows."""
        if ask.route is None or not candidates.slow:
            return ()
        passed = self.policy.tier_names[min(ask.rank, start.rank) : max(ask.rank, start.rank) + 1]
        limit_ms, reasons = ask.route.max_latency_ms, []
        for model in dict.fromkeys(facts.id for name in passed for facts in self.policy.tiers[name].facts):
            if model in candidates.slow:
                taken = candidates.slow[model]
                text = f"{model} takes up to {taken} ms (95 of 100 calls), the task allows {limit_ms} ms"
                numbers: dict[str, Number] = {
                    "model": model,
                    "latency_ms": taken,
                    "max_latency_ms": limit_ms,
                }
                reasons.append(Reason(ReasonCode.TOO_SLOW, text, numbers))
        return tuple(reasons)

    def _why_not(self, ask: Ask, candidates: Candidates) -> str:
        """Name the constraints of a request."""
        bound, used = self.profile.bound, self.profile.features & USED_HARD
        parts = [f"a prompt of {bound.text_bytes} bytes and max_tokens {self.profile.max_tokens}"]
        parts += [f"use of {', '.join(sorted(used))}"] if used else []
        parts += [f"allowed models ({', '.join(sorted(ask.allowed))})"] if ask.allowed is not None else []
        limit_ms = ask.route.max_latency_ms if ask.route is not None and candidates.slow else None
        parts += [f"the task's max_latency_ms {limit_ms}"] if limit_ms is not None else []
        return " and ".join(reversed(parts))

    def _outage(self, start: Place, healthy: Place) -> tuple[Reason, ...]:
        if start == healthy:
            return ()
        until = self.unhealthy[start.facts.id]
        failed = f"{start.facts.id} is out of service, or has just failed in this call"
        text = f"{failed}; {healthy.facts.id} serves"
        return (Reason(ReasonCode.PROVIDER_UNHEALTHY, text, {"model": start.facts.id, "until_us": until}),)

    def _exempt_reason(self, ask: Ask) -> tuple[Reason, ...]:
        if not ask.exempt:
            return ()
        told = pace.exempted(self.tide, pace.gain_of(self.profile, self.known.evidence), ask.priority)
        if self.level == 0:
            return told
        steps = "the active step" if self.level == 1 else f"the {self.level} active steps"
        text = f"priority {ask.priority} is exempt from {steps}"
        return (Reason(ReasonCode.EXEMPT, text, {"level": self.level, "ratio": self.ratio}), *told)

    # refusals

    def _nothing_fits(self, ask: Ask, candidates: Candidates) -> Refusal:
        text = f"no model of the policy can serve this call: {self._why_not(ask, candidates)}"
        return Refusal(RefusalCode.NO_MODEL_FITS, text, {"max_tokens": self.profile.max_tokens})

    def _unbounded(self) -> Refusal:
        parts = self.profile.bound.unbounded
        listed = "; ".join(f"{part.field}: {part.why}" for part in parts)
        text = f"the cost of this call has no bound ({listed}); bound it, or set limits.unbounded_usd"
        return Refusal(
            RefusalCode.UNBOUNDED_REQUEST, text, {"fields": ", ".join(part.field for part in parts)}
        )

    def _all_open(self, until: Mapping[str, int]) -> Refusal:
        first = min(until.values())
        wait_s = max(1, ceil_div(first - self.now_us, 1_000_000))
        text = f"every model that may serve this call is out of service ({', '.join(sorted(until))})"
        numbers = {"until_us": first}
        return Refusal(RefusalCode.BREAKER_OPEN, text, numbers, retry_after_s=wait_s, level=self.level)
