"""
Keeps a conversation together: at its model and effort while a switch would cost more than it saves, and one
tier higher for good once a signal says that its answers are not good enough.

A warm prompt cache belongs to one model at one effort. The gate compares what staying and switching cost
over this call and the turns expected to follow, so that moving down may pay later and moving up has to wait
for a cold cache. Hard constraints, outages, exempt calls, callers that ask otherwise and turns harder than
the one before are never held. Changing max_tokens loses no cache. Why: docs/decisions/0021-sessions.md.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from router.ask import Ask
from router.candidates import Candidates, Place
from router.costs import Costs
from router.degrade import Lowered, suppressed
from router.effort import fit_effort
from router.types import AUTO, Known, Number, Profile, Reason, ReasonCode, SessionState

if TYPE_CHECKING:
    from router.policy_model import Policy

PRIOR_SESSIONS: Final = 20
"""Conversations that the policy's expectation counts for beside those that were measured."""
LOST_PART: Final = 50
"""A change that no budget forces may throw away a cache worth one part in this many of what it saves: money
is saved at a better rate where a cache is cold, in another conversation or in this one later."""
BEFORE: Final = "before"
OUTPUT_PERCENT: Final = {"low": 36, "medium": 61}
"""Output at an effort, in percent of that at high: cost of GPT-5 by effort in Aider's polyglot benchmark
(10.4 / 17.7 / 29.1 USD). Nothing is said of the levels above, so they count like high."""


def turns_after(turns: int, counts: Sequence[int], prior: float) -> float:
    """
    Expect how many turns follow the one that is being asked.

    Args:
        turns: Answers so far.
        counts: Recent conversations that had a first answer, a second and so on.
        prior: Expectation of the policy; it counts for `PRIOR_SESSIONS` conversations.
    """
    place = min(turns, len(counts) - 1)
    reached = counts[place] if counts else 0
    followed = sum(counts[place + 1 :]) if counts else 0
    return (followed + PRIOR_SESSIONS * prior) / (reached + PRIOR_SESSIONS)


class Session:
    """
    The conversation that one call belongs to, within one decision.
    """

    def __init__(
        self, profile: Profile, policy: "Policy", known: Known, ask: Ask, candidates: Candidates, costs: Costs
    ) -> None:
        """
        Remember the call, and tell its costs how many turns to look ahead.
        """
        self._profile = profile
        self._policy = policy
        self._rules = policy.routing.sessions
        self._ask = ask
        self._candidates = candidates
        self._costs = costs
        self._state = profile.session_state or SessionState(0)
        self._rank = self._own_rank()
        self._raised_by: str | None = None
        self._base: Place | None = None
        if self._rank is not None and self._rules.sticky:
            counts = known.session_turns
            costs.turns_after = turns_after(self._state.turns, counts, self._rules.expected_turns)

    def start(self, base: Place) -> Place:
        """
        Raise the place that a call starts from, where a signal says so or has said so before.
        """
        self._base = base
        return self._raised_place(base)

    def kept(self, lowered: Lowered, asked: Place) -> Lowered:
        """
        Keep the conversation at its model and effort unless the change pays or was asked for.

        Args:
            lowered: Where the call would go by itself.
            asked: Where it would be served as it was asked.
        """
        rank = self._rank
        if rank is None or self._ask.pinned:
            return lowered
        kept = self._held(lowered, asked, rank)
        raised = self._raised(kept, rank)
        return kept if raised is None else replace(kept, reasons=(*kept.reasons, raised))

    def _held(self, lowered: Lowered, asked: Place, rank: int) -> Lowered:
        """Pass the gate, where there is a cache to lose at a model that may still serve."""
        here = self._holding(rank)
        if here is None:
            return lowered
        climbs = lowered.place.rank < rank
        if lowered.place.facts.id != here.facts.id and not self._follows(climbs=climbs):
            lowered = self._at(here, lowered)
        return self._effort_kept(lowered, asked)

    def _holding(self, rank: int) -> Place | None:
        """Give the place that may hold the conversation: its last one, with a cache to lose."""
        ask = self._ask
        here = self._candidates.one(self._state.model, rank) if rank <= ask.floor_rank else None
        if here is None or ask.exempt or not self._rules.sticky or not self._costs.cached(here.facts):
            return None
        return here

    # signals

    def _raised_place(self, base: Place) -> Place:
        rank = self._rank
        if rank is None or self._ask.pinned:
            return base
        if self._state.escalated:
            self._raised_by = BEFORE
            return (self._candidates.one(self._state.model, rank) if rank < base.rank else None) or base
        signal = self._signal()
        above = signal is not None and rank > self._ceiling()
        raised = self._candidates.in_tier(rank - 1) if above else None
        if raised is None:
            return base
        if base.rank < raised.rank and (self._holding(rank) is None or self._follows(climbs=True)):
            return base  # nothing holds it, so it climbs further by itself
        self._raised_by = signal
        return raised

    def _own_rank(self) -> int | None:
        """Give the tier that served the newest answer, as the policy has it now."""
        state, policy = self._state, self._policy
        if not state.model:
            return None
        rank = policy.tier_ranks.get(state.tier) if state.tier is not None else None
        return policy.model_ranks.get(state.model) if rank is None else rank

    def _ceiling(self) -> int:
        name = self._rules.escalate_to
        return min(self._ask.rank, self._ask.asked_rank) if name is None else self._policy.tier_ranks[name]

    def _signal(self) -> str | None:
        """Name the first signal that the policy listens to."""
        state, rules = self._state, self._rules
        failed = state.score_ppm is not None and state.score_ppm < rules.failed_below * 1_000_000
        seen = {
            "failed_check": failed,
            "retry": state.retried,
            "tool_errors": state.tool_errors >= rules.tool_errors,
        }
        return next((name for name in rules.escalate_on if seen[name]), None)

    def _raised(self, lowered: Lowered, rank: int) -> Reason | None:
        """Tell that the conversation was raised; not where the budget has lowered it all the same."""
        before = self._raised_by == BEFORE
        if self._raised_by is None or lowered.place.rank > (rank if before else rank - 1):
            return None
        names, state = self._policy.tier_names, self._state
        now = names[lowered.place.rank]
        text = f"{_TOLD[self._raised_by]}: this conversation goes on at tier {now}"
        numbers: dict[str, Number] = {
            "signal": self._raised_by,
            "turns": state.turns,
            "score_ppm": state.score_ppm,
            "tool_errors": state.tool_errors,
            "from_tier": names[rank],
            "tier": now,
        }
        return Reason(ReasonCode.SESSION_ESCALATED, text, numbers)

    # the gate

    def _follows(self, *, climbs: bool) -> bool:
        """Tell whether a change is not ours to hold: caller, signal or the call itself asks for it."""
        state, profile = self._state, self._profile
        if state.asked_model != profile.asked_model and profile.asked_model != AUTO:
            return True
        raised = self._raised_by not in (None, BEFORE)
        return climbs and (raised or state.task != profile.task or self._is_harder())

    def _is_harder(self) -> bool:
        """Tell whether the call starts from a higher tier than the one before it did, with money to spare."""
        base, before = self._base, self._policy.tier_ranks.get(self._state.routed_tier or "")
        if base is None or before is None or not self._rules.follow_harder:
            return False
        return base.rank < before

    def _at(self, here: Place, lowered: Lowered) -> Lowered:
        """Stay where the cache is, unless all turns to come are cheaper together elsewhere."""
        there = lowered.place
        stay, switch = self._ahead(here, lowered), self._ahead(there, lowered)
        if switch < stay and (there != self._base or self._clearly_pays(here, lowered, stay, switch)):
            return lowered
        moved = f"{here.facts.id} to {there.facts.id}"
        numbers: dict[str, Number] = {"stay_nanos": stay, "switch_nanos": switch, "model": there.facts.id}
        reason = suppressed(self._costs, here, moved, numbers)
        return replace(lowered, place=here, reasons=(*lowered.reasons, reason))

    def _clearly_pays(self, here: Place, lowered: Lowered, stay: int, switch: int) -> bool:
        """Weigh the cache that a change of nobody's need throws away against what it saved without one."""
        begun_here = self._ahead(here, lowered, cold=True)
        return LOST_PART * (begun_here - stay) <= begun_here - switch

    def _ahead(self, place: Place, lowered: Lowered, *, cold: bool = False) -> int:
        tokens = self._candidates.max_tokens(place.facts, place.rank, lowered.tokens_cap)
        return self._costs.ahead(place.facts, tokens, cold=cold)

    def _effort_kept(self, lowered: Lowered, asked: Place) -> Lowered:
        """Keep the effort likewise: a cache belongs to one effort of its model."""
        state, place = self._state, lowered.place
        last, new = state.effort, self._effort(place, lowered.effort_cap)
        if place.facts.id != state.model or last is None or new is None or new == last:
            return lowered
        free = self._effort(place, None)
        asked_anew = self._effort(asked, None) != state.wanted_effort
        if asked_anew or self._effort(place, last) != last or free is None:
            return lowered
        tokens = self._candidates.max_tokens(place.facts, place.rank, lowered.tokens_cap)
        percent = OUTPUT_PERCENT.get(new, 100) * 100 // OUTPUT_PERCENT.get(last, 100)
        stay = self._costs.ahead(place.facts, tokens)
        switch = self._costs.ahead(place.facts, tokens, cold=True, output_percent=percent)
        if switch < stay:
            return lowered
        moved = f"effort {last} to {new} of {place.facts.id}"
        numbers: dict[str, Number] = {"stay_nanos": stay, "switch_nanos": switch, "effort": new}
        reason = suppressed(self._costs, place, moved, numbers)
        return replace(lowered, effort_cap=last, reasons=(*lowered.reasons, reason))

    def _effort(self, place: Place, cap: str | None) -> str | None:
        tier = self._policy.tiers[self._policy.tier_names[place.rank]]
        return fit_effort(
            place.facts,
            asked=self._ask.facts,
            asked_effort=self._profile.asked_effort,
            tier_effort=tier.effort,
            cap=cap,
        )


_TOLD: Final = {
    "failed_check": "the last answer failed its check",
    "retry": "the same was asked again",
    "tool_errors": "its tool calls keep failing",
    BEFORE: "a signal has raised it before",
}
