"""
The preview itself: each recorded decision made again under another policy, with the money, the steps and the
conversations as that policy would have left them.

A decision whose inputs and offers come out as recorded keeps its recorded end, whatever it was; so a policy
that changes nothing previews to no change.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import ledger.types as books
from outlay.refusals import LEDGER, ROUTER, from_router
from outlay.whatif import admission
from outlay.whatif.bill import Asked, cost_then
from outlay.whatif.books import Books, Move, with_day_limit
from outlay.whatif.recorded import Recorded, Served, Then, charge, of_offer
from pricing.table import PriceTable
from router.codec import Inputs, replay, to_json
from router.policy import Policy
from router.types import Choice, Headroom, Known, Offer, Profile, Reason, ReasonCode, Refusal

SESSIONS_MAX: Final = 50_000
_MONEY: Final = (
    books.Reason.IN_DEBT, books.Reason.CREDIT_EXHAUSTED, books.Reason.BUDGET_EXHAUSTED,
    books.Reason.CREDIT_BUSY, books.Reason.BUDGET_BUSY,
)  # fmt: skip
DECIDED: Final = frozenset(
    str(one.code) for one in (*ROUTER.values(), *(LEDGER[reason] for reason in _MONEY))
)
"""Refusals that another policy may lift; all others (kill switch, frozen, duplicate) stand."""


@dataclass(frozen=True, slots=True)
class Standing:
    """
    What a tenant's next call starts from, where that is not what was recorded.
    """

    level: int
    since_us: int | None
    known: Known | None


@dataclass(frozen=True, slots=True)
class Talk:
    """
    Where a conversation would be: what served it last, and whether a signal has raised it.
    """

    served: Served
    escalated: bool


class Simulation:
    """
    One policy against recorded traffic; decisions are given in the order in which they were made.

    Args:
        sets_day: The policy sets the limit of the tenant's day, as a tenant's own does.
        full_credit: Tells what credits count as full where the policy leaves that to Outlay.
    """

    def __init__(
        self,
        policy: Policy,
        today: PriceTable,
        *,
        sets_day: bool = False,
        full_credit: Callable[[str], int | None] = lambda _tenant: None,
    ) -> None:
        """
        Begin with books that do not differ.
        """
        self._policy = policy
        self._today = today
        self._sets_day = sets_day and "daily_usd" in policy.budget.model_fields_set
        self._full_credit = full_credit
        self._books = Books()
        self._standing: dict[str, Standing] = {}
        self._sessions: OrderedDict[tuple[str, str], Talk] = OrderedDict()
        self._same_steps: dict[int, tuple[Policy, bool]] = {}

    def step(self, past: Recorded, policy: Policy, prices: PriceTable) -> Then:
        """
        Make one decision again.

        Args:
            policy: That it was made by, and `prices` those that it was made with.
        """
        self._books.advance(past.at_us)
        if past.inputs is None:
            return as_recorded(past)
        prices = merged(prices, self._today)
        inputs = self._inputs(past, past.inputs, policy)
        made = replay(inputs, self._policy, prices)
        if self._is_as_recorded(past, inputs, made, policy):
            then = as_recorded(past, made.asked_tier if isinstance(made, Choice) else None)
        elif isinstance(made, Refusal):
            refused = from_router(past.id, made, past.at_us)
            then = self._refused(past, Reason(refused.code, refused.message, made.numbers))
        else:
            then = self._admitted(past, inputs, made, prices)
        self._remember_standing(past, inputs, made, policy)
        self._remember_session(past, inputs.profile, then)
        return then

    # what the call would have started from

    def _inputs(self, past: Recorded, stored: Inputs, policy: Policy) -> Inputs:
        """Give the inputs as they would have been; the very same value where nothing differs."""
        headroom = self._books.headroom(past.tenant, stored.headroom)
        if self._sets_day:
            headroom = with_day_limit(headroom, self._policy.budget.daily_nanos)
        headroom = self._with_full_credit(past.tenant, headroom, policy)
        profile = self._profile(past.tenant, stored.profile)
        level, known = self._start(past.tenant, stored, policy)
        same = headroom is stored.headroom and profile is stored.profile and known is stored.known
        if same and level == stored.level:
            return stored
        return replace(stored, headroom=headroom, profile=profile, level=level, known=known)

    def _with_full_credit(self, tenant: str, headroom: Headroom, policy: Policy) -> Headroom:
        own, before = self._policy.limits.credit_full_nanos, policy.limits.credit_full_nanos
        full = headroom.credit_full_nanos
        if own is not None:
            full = own
        elif before is not None:
            full = self._full_credit(tenant)
        return headroom if full == headroom.credit_full_nanos else replace(headroom, credit_full_nanos=full)

    def _profile(self, tenant: str, profile: Profile) -> Profile:
        """Put the conversation where it would have been."""
        last, state = self._sessions.get((tenant, profile.session)), profile.session_state
        if last is None or (state is None and profile.cached_model is None):
            return profile
        served = last.served
        if state is not None:
            state = replace(
                state, model=served.model, tier=served.tier, effort=served.effort, escalated=last.escalated
            )
        warm = None if profile.cached_model is None else served.model
        return replace(profile, cached_model=warm, session_state=state)

    def _start(self, tenant: str, stored: Inputs, policy: Policy) -> tuple[int, Known]:
        """Give the steps in force before the call, and what pacing remembers."""
        standing = self._standing.get(tenant)
        if standing is None:
            if self._has_same_steps(policy):
                return stored.level, stored.known
            standing = Standing(0, None, None)
        pace = stored.known.pace
        if pace is not None and standing.known is not None and standing.known.pace is not None:
            pace = replace(pace, state=standing.known.pace.state)
        return standing.level, replace(stored.known, level_since_us=standing.since_us, pace=pace)

    def _has_same_steps(self, policy: Policy) -> bool:
        """Tell whether a policy degrades as the new one does; each is compared once."""
        known = self._same_steps.get(id(policy))
        if known is None:
            known = (policy, policy.degradation == self._policy.degradation)
            self._same_steps[id(policy)] = known
        return known[1]

    # what would have come of it

    def _is_as_recorded(self, past: Recorded, inputs: Inputs, made: Choice | Refusal, policy: Policy) -> bool:
        """Tell whether the call comes to its recorded end, whatever that was."""
        assert past.inputs is not None
        if isinstance(made, Refusal):
            return past.served is None
        if past.served is None and past.row["code"] not in DECIDED:
            return True
        same = inputs.headroom is past.inputs.headroom and to_json(made.offers) == past.row["offers"]
        return same and policy.enforcement.mode == self._policy.enforcement.mode

    def _admitted(self, past: Recorded, inputs: Inputs, made: Choice, prices: PriceTable) -> Then:
        """Let the ledger's rule take an offer; where the policy only observes, it takes the first."""
        enforced = self._policy.enforcement.mode == "enforce"
        index = admission.taken(made.offers, inputs.headroom) if enforced else 0
        if isinstance(index, str):
            told = Reason(index, "no offer would have fitted what was left")
            return self._refused(past, *made.reasons, told, asked_tier=made.asked_tier)
        return self._served(past, inputs, made, made.offers[index], prices)

    def _refused(self, past: Recorded, *reasons: Reason, asked_tier: str | None = None) -> Then:
        """Refuse the call; it gives back what it cost."""
        self._move(past, None, 0)
        asked = asked_tier or past.row["asked_tier"]
        return Then(None, reasons[-1].code, 0, reasons, asked)

    def _served(self, past: Recorded, inputs: Inputs, made: Choice, offer: Offer, prices: PriceTable) -> Then:
        cost, estimated = self._cost(past, inputs.profile, offer, prices)
        self._move(past, offer, cost)
        reasons = (*made.reasons, *offer.reasons)
        over = cost > offer.cost_bound_nanos
        return Then(of_offer(offer), None, cost, reasons, made.asked_tier, estimated, over)

    def _cost(self, past: Recorded, profile: Profile, offer: Offer, prices: PriceTable) -> tuple[int, bool]:
        """Give what the call would have cost: a failed one nothing, a lost one its hold."""
        then, now = of_offer(offer), past.served
        if now is None:
            return offer.expected_cost_nanos, True
        if past.outcome == "failed":
            return 0, False
        if past.row["cost_nanos"] is None:
            return offer.cost_bound_nanos, True
        moved = self._sessions.get((past.tenant, profile.session))
        warm = now.model if moved is None else moved.served.model
        known = moved is not None or bool(profile.cached_model)
        cold = known and then.model != warm
        if then.model == now.model and then.max_tokens >= now.max_tokens and not cold:
            return past.cost_nanos, False
        upstream = self._policy.upstreams.get(profile.upstream or "")
        geo = profile.bound.geo
        if upstream is not None and "inference_geo" not in profile.features:
            geo = upstream.geo
        asked = Asked(profile.bound.speed, geo)
        return cost_then(past, then, offer.expected_cost_nanos, prices, cold=cold, asked=asked)

    def _move(self, past: Recorded, offer: Offer | None, cost_nanos: int) -> None:
        """Write into the books what the call does there, less what it did."""
        assert past.inputs is not None
        ppm = past.inputs.headroom.multiplier_ppm
        runs = past.served is not None
        held_now, expected_now = (past.held_nanos, past.expected_nanos) if runs else (0, 0)
        held, expected = (0, 0)
        if offer is not None and runs:
            held, expected = offer.cost_bound_nanos, min(offer.expected_cost_nanos, offer.cost_bound_nanos)
        move = Move(
            held=charge(held, ppm) - charge(held_now, ppm),
            expected=charge(expected, ppm) - charge(expected_now, ppm),
            spent=charge(cost_nanos, ppm) - charge(past.cost_nanos, ppm),
        )
        if move != Move(0, 0, 0):
            ends_us = int(past.row["finished_us"]) if runs else past.at_us
            self._books.run(past.tenant, past.inputs.headroom, move, ends_us)

    # what the next call would have started from

    def _remember_standing(
        self, past: Recorded, inputs: Inputs, made: Choice | Refusal, policy: Policy
    ) -> None:
        """Keep steps and pace, unless this call leaves them as it was recorded to."""
        assert past.inputs is not None
        same = inputs.headroom is past.inputs.headroom and inputs.level == past.inputs.level
        same = same and _pace_state(inputs.known) == _pace_state(past.inputs.known)
        if same and self._has_same_steps(policy):
            self._standing.pop(past.tenant, None)
            return
        level = inputs.level if made.level is None else made.level
        since_us = inputs.known.level_since_us if level == inputs.level else past.at_us
        known = inputs.known
        if isinstance(made, Choice) and made.paced is not None and known.pace is not None:
            known = replace(known, pace=replace(known.pace, state=made.paced.state))
        self._standing[past.tenant] = Standing(level, since_us, known)

    def _remember_session(self, past: Recorded, profile: Profile, then: Then) -> None:
        """Keep where a conversation is, while that is not where it was; the one idle longest goes first."""
        key, now, state = (past.tenant, profile.session), past.served, profile.session_state
        escalated = state is not None and state.escalated
        if then.served is None and now is not None:
            if key not in self._sessions and state is not None and state.model:
                before = Served(state.model, state.tier, state.effort, 0)
                self._sessions[key] = Talk(before, escalated)
        elif then.served is not None and now is not None and _same_place(then.served, now):
            self._sessions.pop(key, None)
        elif then.served is not None:
            raised = any(reason.code == ReasonCode.SESSION_ESCALATED for reason in then.reasons)
            self._sessions[key] = Talk(then.served, escalated or raised)
        if key in self._sessions:
            self._sessions.move_to_end(key)
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)


def as_recorded(past: Recorded, asked_tier: str | None = None) -> Then:
    """
    Let a call end as it did.

    Args:
        asked_tier: What it asks for under the other policy; None for what it asked for.
    """
    code = past.row["code"] if past.served is None else None
    return Then(past.served, code, past.cost_nanos, (), asked_tier or past.row["asked_tier"])


def _same_place(one: Served, other: Served) -> bool:
    return (one.model, one.effort) == (other.model, other.effort)


def _pace_state(known: Known) -> object:
    return None if known.pace is None else known.pace.state


@lru_cache(maxsize=64)
def _merged(then: PriceTable, today: PriceTable) -> PriceTable:
    return PriceTable(then.version, {**today.periods, **then.periods}, {**today.refused, **then.refused})


def merged(then: PriceTable, today: PriceTable) -> PriceTable:
    """
    Give the prices of a decision, and today's for models that had none.
    """
    return then if then is today else _merged(then, today)
