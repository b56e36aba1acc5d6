"""
One day in virtual time through the real router and the real core of the ledger.

Calls arrive as in the data, money is held at the worst case and settled when the answer would have come. What
pacing knows is made as the engine makes it, from quarter-hours of finished calls, every half minute.
"""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.days_baselines import Tally
from benchmarks.days_books import TENANT, BookKeeper, Sums
from benchmarks.days_data import Call
from ledger.types import Gauge, Held, Offer, Refused, Reserve, Settle
from outlay.demand import Past, WorthRow, pace
from outlay.typical import Typical
from outlay.views import expected_output_tokens
from pricing.bound import Part, RequestBound
from pricing.facts import ModelFacts
from pricing.table import PriceTable
from router.choose import choose
from router.demand import PaceState
from router.policy import Policy
from router.types import Budget, Choice, Headroom, Known, Paced, Prediction, Profile, Refusal

LOOK_US: Final = 30 * 1_000_000
"""What pacing knows is made anew so often."""
ASKS_TOKENS: Final = (1_024, 4_096, 16_384, 65_536)
"""Callers ask for the smallest of these that holds their answer."""
TOKENS_PER_S: Final = 60
RENEWED_US: Final = 86_400 * 1_000_000
"""Callers renew their holds for as long as they wait."""
TIMED_EVERY: Final = 8
"""So many decisions for one that is timed: reading the processor's clock may take longer than deciding."""
BYTES_PER_TOKEN: Final = 4
"""Bytes of text behind each token: the worst case that is held takes each byte for a token."""


@dataclass(frozen=True, slots=True)
class Day:
    """
    What a day came to.

    Args:
        overspend_nanos: Money spent beyond the budget.
        changes: How often pacing pulled or let go a lever.
        by_tier: Calls that each tier has served.
        slowest_ms: Time of a decision, 99 of 100 within.
    """

    tally: Tally
    overspend_nanos: int
    changes: int
    by_tier: tuple[int, ...]
    slowest_ms: float


class Counted(RequestBound):
    """
    A request whose tokens are known, and the same for every model, as in the data.
    """

    def expected_input_tokens(self, facts: ModelFacts) -> int:  # noqa: ARG002 - whatever the tokenizer
        """
        Give the count.
        """
        return self.text_bytes


@dataclass(frozen=True, slots=True, order=True)
class Flight:
    """
    A call whose answer has not come yet.
    """

    due_us: int
    number: int
    call: Call
    cost_nanos: int
    expected_nanos: int
    paced: Paced


class DayRun:
    """
    One day under a policy whose tiers are those of the calls.

    Args:
        before: What the days before it said.
        worth_before: What upgrades were worth on them.
        predicts: Calls carry their predicted gain.
        callers: So many calls are always in flight; None: each takes as long as its answer.
    """

    def __init__(
        self,
        policy: Policy,
        prices: PriceTable,
        budget_nanos: int,
        start_us: int,
        before: Past,
        worth_before: Sequence[WorthRow] = (),
        *,
        predicts: bool = True,
        callers: int | None = None,
    ) -> None:
        """
        Open the books of the day.
        """
        self._policy, self._prices, self._before = policy, prices, before
        self._worth_before, self._predicts, self._callers = worth_before, predicts, callers
        self._keeper, self._budget = BookKeeper(budget_nanos, start_us), budget_nanos
        self._sums, self._typical = Sums(), Typical()
        self._known, self._looked_us = Known(), -LOOK_US
        self._level, self._state, self._changes = 0, PaceState(), 0
        self._flying: list[Flight] = []
        self._right, self._by_tier = 0, [0] * len(policy.tiers)
        self._took: list[float] = []
        self._decided = 0
        self._large = policy.tiers[policy.tier_names[0]].facts[0]

    def run(self, calls: Sequence[Call]) -> Day:
        """
        Serve the calls of the day in their order.
        """
        for number, call in enumerate(calls):
            while self._flying and self._is_due(call.at_us):
                self._settle(call.at_us)
            self._serve(number, call)
        while self._flying:
            self._settle(calls[-1].at_us)
        spent = self._keeper.gauge(calls[-1].at_us).spent_nanos
        slow = sorted(self._took)[int(0.99 * len(self._took))] * 1_000
        tally = Tally(self._right, sum(self._by_tier), spent)
        return Day(tally, max(0, spent - self._budget), self._changes, tuple(self._by_tier), slow)

    def _is_due(self, now_us: int) -> bool:
        if self._callers is not None:
            return len(self._flying) >= self._callers
        return self._flying[0].due_us <= now_us

    def _serve(self, number: int, call: Call) -> None:
        """Decide and hold; who is told to wait for money in flight tries again when an answer has come."""
        while True:
            choice = self._decide(call)
            if isinstance(choice, Refusal):
                return
            offers = tuple(
                Offer(one.cost_bound_nanos, one.expected_cost_nanos, "", one.waits) for one in choice.offers
            )
            wish = Reserve(TENANT, f"k{number}", call.at_us, f"h{number}", offers, ttl_us=RENEWED_US)
            held = self._keeper.do(wish)
            if isinstance(held, Held):
                self._take(number, call, choice, held.offer_index)
                return
            assert isinstance(held, Refused), held
            if not held.busy or not self._flying:
                return
            self._settle(call.at_us)

    def _take(self, number: int, call: Call, choice: Choice, index: int) -> None:
        """Count an answer as right only if it had room, and have it come later."""
        offer, paced = choice.offers[index], choice.paced
        assert paced is not None, "the router tells what pacing has to remember"
        if paced.state.rung != self._state.rung:
            self._changes += 1
        if paced.state != self._state:
            self._state, self._looked_us = paced.state, -LOOK_US
        self._level = choice.level
        rank = self._policy.tier_ranks[str(offer.tier)]
        if offer.max_tokens >= call.output_tokens:
            self._right += call.right[rank]
        self._by_tier[rank] += 1
        cost = call.nanos[rank]
        due = call.at_us + 1_000_000 * (1 + call.output_tokens // TOKENS_PER_S)
        heapq.heappush(self._flying, Flight(due, number, call, cost, offer.expected_cost_nanos, paced))

    def _settle(self, now_us: int) -> None:
        """Book what a call cost, and what it says about the demand."""
        done = heapq.heappop(self._flying)
        key = f"h{done.number}"
        self._keeper.do(Settle(TENANT, f"s{done.number}", max(now_us, done.call.at_us), key, done.cost_nanos))
        self._typical.saw(done.call.tenant, "", done.call.output_tokens)
        paced, expected = done.paced, max(1, done.expected_nanos)
        asked, least = (done.cost_nanos * one // expected for one in (paced.asked_nanos, paced.least_nanos))
        self._sums.add(done.call.at_us, asked, least, done.cost_nanos)
        if paced.gain is not None:
            self._sums.upgrade(done.call.at_us, paced.gain, paced.asked_nanos - paced.least_nanos)

    def _decide(self, call: Call) -> Choice | Refusal:
        gauge = self._keeper.gauge(call.at_us)
        profile, money, known = self._profile(call), _headroom(gauge), self._look(call.at_us, gauge)
        self._decided += 1
        began = time.thread_time() if self._decided % TIMED_EVERY == 1 else None
        choice = choose(
            profile,
            money,
            self._policy,
            self._prices,
            level=self._level,
            unhealthy={},
            now_us=call.at_us,
            known=known,
        )
        if began is not None:
            self._took.append(time.thread_time() - began)
        return choice

    def _look(self, at_us: int, gauge: Gauge) -> Known:
        if at_us - self._looked_us >= LOOK_US:
            worth = [*self._worth_before, *self._sums.worth()]
            made = pace(
                self._before, self._sums.demand(), worth, (gauge,), self._policy, self._prices, at_us,
                state=self._state,
            )  # fmt: skip
            self._known, self._looked_us = Known(pace=made), at_us
        return self._known

    def _profile(self, call: Call) -> Profile:
        """Describe a call as `router.classify` would, by its counts."""
        asks = next(most for most in ASKS_TOKENS if most >= call.output_tokens)
        most = BYTES_PER_TOKEN * call.input_tokens
        bound = Counted(
            max_tokens=asks, parts=(Part("messages", most, call.input_tokens),), images=(), pdf_pages=0,
            pdf_unreadable=0, web_searches_max=0, samplings=1, geo=None, speed="standard", batch=False,
            cache_ttl="none", long_context=False, fallback_hops=(), unbounded=(),
        )  # fmt: skip
        return Profile(
            task=None, role=None, priority=None, may_raise=False, asked_model=self._large.id,
            asked_effort=None, max_tokens=asks, stream=False, session="", privacy=(), floor=None, pin=False,
            tags=(), features=frozenset(), bound=bound,
            expected_output_tokens=expected_output_tokens(self._typical.tokens(call.tenant, ""), asks),
            prediction=Prediction("learned", "benchmark", gain=call.gain) if self._predicts else None,
        )  # fmt: skip


def _headroom(gauge: Gauge) -> Headroom:
    """Put the gauge in the router's words."""
    budget = Budget(
        gauge.name,
        gauge.limit_nanos,
        gauge.spent_nanos,
        gauge.held_nanos,
        gauge.expected_held_nanos,
        gauge.resets_us,
    )
    return Headroom((budget,))
