"""
The breakers against predictors of their own: any mix of calls, waits, clock jumps, probes and manual moves.

The predictors are written from the rules in words, over lists of what happened; they share no code with
the package beyond its constants and types.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from circuit import (
    FOREVER_US,
    Halted,
    MemoryCircuitStore,
    Outcome,
    ProviderRule,
    Rules,
    SpendRule,
    State,
    Transition,
    admit,
    call_delta,
    check_chains,
    claim_probe,
    finish_probe,
    probe_verdict,
    probes_due,
    replay,
    spend_deltas,
    transitions_due,
    unhealthy_models,
)

S = 1_000_000
BUCKET = 10 * S
PROVIDER = ProviderRule(
    window_s=60,
    min_calls=3,
    failure_ratio=0.5,
    cooldown_s=30,
    cooldown_s_max=100,
    quiet_s=200,
    probe_lease_s=45,
)
SPEND = SpendRule(window_s=60, max_nanos=1_000, cooldown_s=40, cooldown_s_max=100, quiet_s=200)
WAITS = st.one_of(st.integers(0, 200 * S), st.sampled_from([at * S for at in (30, 40, 45, 60, 100, 200)]))


def in_window(at_us: int, now_us: int) -> bool:
    """Whether the bucket of an instant overlaps the 60 s up to now, or lies no more than 60 s ahead."""
    first = at_us // BUCKET * BUCKET
    return first + BUCKET > now_us - 60 * S and first <= now_us + 60 * S


@dataclass
class Expected:
    """What a breaker should be, moved by hand-written rules."""

    state: str = "closed"
    version: int = 0
    changed_us: int = 0
    until_us: int | None = None
    trips: int = 0
    since_us: int = 0
    seen: list[tuple[int, int, int]] = field(default_factory=list)  # instant, generation, failed or money

    def become(self, state: str, now_us: int, until_us: int | None = None) -> None:
        self.state, self.changed_us, self.until_us = state, now_us, until_us
        self.version += 1

    def open(self, from_us: int, now_us: int, base_s: int) -> None:
        length = base_s
        for _ in range(self.trips - 1):
            length = min(100, length * 2)
        self.become("open", now_us, from_us + length * S)

    def count_trip(self, now_us: int) -> None:
        self.trips = 1 if now_us - self.changed_us >= 200 * S else self.trips + 1

    @property
    def set_by_hand(self) -> bool:
        return self.state in ("forced_open", "disabled")


class BreakerMachine(RuleBasedStateMachine):
    """One breaker on the memory store; `expected` predicts it."""

    def __init__(self, scope: str, rules: Rules) -> None:
        super().__init__()
        self.scope = scope
        self.rules = rules
        self.now_us = 1_800_000_000 * S
        self.store = MemoryCircuitStore()
        self.expected = Expected()

    def settle(self) -> None:
        """Apply what became due, in the package and in the prediction."""
        raise NotImplementedError

    @rule(wait_us=WAITS)
    def time_passes(self, wait_us: int) -> None:
        self.now_us += wait_us
        self.settle()

    @rule(back_us=st.integers(1, 86_400 * S))
    def clock_is_set_back(self, back_us: int) -> None:
        self.now_us -= back_us
        self.settle()

    @rule(to=st.sampled_from([State.FORCED_OPEN, State.DISABLED, State.CLOSED]))
    def person_moves_it(self, to: State) -> None:
        if to is State.CLOSED:
            answer = self.store.reset(self.scope, "r", "ada", self.now_us)
        else:
            answer = self.store.force(self.scope, to, "r", "ada", self.now_us)
        assert answer.changed is (self.expected.state != to.value)
        if answer.changed:
            self.expected.trips = 0
            self.expected.become(to.value, self.now_us)
            self.expected.since_us = self.now_us if to is State.CLOSED else self.expected.since_us
        self.settle()

    def teardown(self) -> None:
        """The journal is unbroken and rebuilds the state."""
        events = self.store.events(None)
        assert check_chains(events) == ()
        assert replay(events) == self.store.standing()


class ProviderMachine(BreakerMachine):
    """One model's breaker."""

    def __init__(self) -> None:
        super().__init__("model:m", Rules(provider=PROVIDER))
        self.claims: list[Transition] = []

    def settle(self) -> None:
        """Apply what became due, in the package and in the prediction."""
        snapshot = self.store.read(None, ("model:m",), self.now_us, self.rules)
        due = transitions_due(snapshot, self.rules, "a", self.now_us)
        assert due == self.store.apply(due)
        wanted, now = self.expected, self.now_us
        back = wanted.changed_us - now > 60 * S
        mine = [failed for at, gen, failed in wanted.seen if gen == wanted.version and in_window(at, now)]
        if wanted.state == "closed" and len(mine) >= 3 and 2 * sum(mine) >= len(mine):
            wanted.count_trip(now)
            wanted.open(now, now, 30)
        elif wanted.state == "open" and back:
            wanted.open(now, now, 30)
        elif wanted.state == "half_open" and (back or now >= (wanted.until_us or 0)):
            wanted.trips += 1
            wanted.open(now if back else wanted.until_us or 0, now, 30)

    @rule(failed=st.booleans(), age=st.integers(0, 4), count=st.integers(1, 4))
    def call_ends(self, failed: bool, age: int, count: int) -> None:
        """A call of this or an older generation ends."""
        generation = max(0, self.expected.version - age)
        outcome = Outcome.FAILURE if failed else Outcome.SUCCESS
        delta = call_delta("m", outcome, self.now_us, "w", generation)
        assert delta is not None
        self.store.record([delta] * count)
        self.expected.seen += [(self.now_us, generation, int(failed))] * count
        self.settle()

    @rule()
    def probe_is_claimed(self) -> None:
        """Whoever asks gets the probe exactly when the breaker is open and its cooldown has passed."""
        snapshot = self.store.read(None, ("model:m",), self.now_us, self.rules)
        state = probes_due(snapshot, self.rules, self.now_us).get("m")
        wanted = self.expected
        assert (state is not None) is (wanted.state == "open" and self.now_us >= (wanted.until_us or 0))
        if state is None:
            return
        claim = claim_probe(state, self.now_us, 45, "p")
        assert claim is not None
        assert self.store.apply((claim, claim)) == (claim,)
        self.claims.append(claim)
        wanted.become("half_open", self.now_us, self.now_us + 45 * S)
        self.settle()

    @precondition(lambda self: self.claims)
    @rule(outcome=st.sampled_from(Outcome), pick=st.integers(0, 10))
    def probe_ends(self, outcome: Outcome, pick: int) -> None:
        """A probe reports, perhaps long after its lease was lost: then nothing changes."""
        claim = self.claims.pop(pick % len(self.claims))
        done = finish_probe(
            claim, succeeded=probe_verdict(outcome), cooldown=PROVIDER.cooldown, now_us=self.now_us
        )
        won = bool(self.store.apply((done,)))
        wanted = self.expected
        assert won is (wanted.state == "half_open" and wanted.version == claim.version + 1)
        if won and outcome is Outcome.SUCCESS:
            wanted.become("closed", self.now_us)
        elif won and outcome is Outcome.NEUTRAL:
            wanted.become("open", self.now_us, self.now_us)
        elif won:
            wanted.trips += 1
            wanted.open(self.now_us, self.now_us, 30)
        self.settle()

    @invariant()
    def it_is_as_predicted(self) -> None:
        """State, version, end, doubling and what callers are told."""
        snapshot = self.store.read(None, ("model:m",), self.now_us, self.rules)
        state, wanted = snapshot.breaker("model:m"), self.expected
        assert (wanted.state, wanted.version, wanted.until_us, wanted.trips) == (
            state.state.value, state.version, state.until_us, state.trips,
        )  # fmt: skip
        blocked = {}
        if wanted.state == "forced_open":
            blocked = {"m": FOREVER_US}
        elif wanted.until_us is not None and self.now_us < wanted.until_us:
            blocked = {"m": wanted.until_us}
        assert blocked == unhealthy_models(snapshot, self.rules, self.now_us)

    @invariant()
    def nothing_is_open_for_longer_than_the_ceiling(self) -> None:
        """No clock and no history keeps a model away for more than the ceiling and the tolerated skew."""
        until_us = self.expected.until_us
        if until_us is not None:
            assert until_us - self.now_us <= (100 + 60) * S


class SpendMachine(BreakerMachine):
    """One tenant's spend breaker; holds come only while it permits, settlements always."""

    def __init__(self) -> None:
        super().__init__("tenant:a", Rules(tenant_spend=SPEND))
        self.holds: list[tuple[int, int]] = []

    def spent(self) -> int:
        """Money in the window, from the list of all changes."""
        since_us = self.expected.since_us
        floor = 0 if since_us > self.now_us + 60 * S else since_us // BUCKET
        return sum(
            money
            for at, _, money in self.expected.seen
            if in_window(at, self.now_us) and at // BUCKET >= floor
        )

    def settle(self) -> None:
        """Apply what became due, in the package and in the prediction."""
        snapshot = self.store.read(None, ("global", "tenant:a"), self.now_us, self.rules)
        due = transitions_due(snapshot, self.rules, "a", self.now_us)
        assert due == self.store.apply(due)
        wanted, now, spent = self.expected, self.now_us, self.spent()
        assert {"tenant:a": spent} == {scope: window.spent_nanos for scope, window in snapshot.spend.items()}
        if wanted.state == "closed" and spent >= 1_000:
            wanted.count_trip(now)
            wanted.open(now, now, 40)
        elif wanted.state == "open" and wanted.changed_us - now > 60 * S:
            wanted.open(now, now, 40)
        elif wanted.state == "open" and now >= (wanted.until_us or 0):
            if spent < 700:
                wanted.become("closed", now)
            else:
                wanted.open(now, now, 40)

    def change(self, opened_us: int, nanos: int) -> None:
        self.store.record(spend_deltas([("a", opened_us, nanos)], "w"))
        self.expected.seen.append((opened_us, 0, nanos))

    @rule(nanos=st.one_of(st.integers(0, 600), st.sampled_from([300, 700, 999, 1_000])))
    def call_is_asked_for(self, nanos: int) -> None:
        """A hold happens only where admission permits; refusals say the numbers of the window."""
        snapshot = self.store.read(None, ("global", "tenant:a"), self.now_us, self.rules)
        answer = admit(snapshot, self.rules, "a", self.now_us)
        assert isinstance(answer, Halted) is (self.expected.state in ("open", "forced_open"))
        if isinstance(answer, Halted):
            assert (self.spent(), 1_000) == (answer.numbers["spent_nanos"], answer.numbers["max_nanos"])
            return
        self.change(self.now_us, nanos)
        self.holds.append((self.now_us, nanos))
        self.settle()

    @precondition(lambda self: self.holds)
    @rule(pick=st.integers(0, 10), percent=st.integers(0, 150))
    def hold_is_settled(self, pick: int, percent: int) -> None:
        """Cost below or above the hold changes the bucket of the hold."""
        opened_us, held = self.holds.pop(pick % len(self.holds))
        self.change(opened_us, held * percent // 100 - held)
        self.settle()

    @invariant()
    def it_is_as_predicted(self) -> None:
        state = self.store.read(None, ("tenant:a",), self.now_us, self.rules).breaker("tenant:a")
        wanted = self.expected
        assert (wanted.state, wanted.version, wanted.until_us, wanted.trips, wanted.since_us) == (
            state.state.value, state.version, state.until_us, state.trips, state.since_us,
        )  # fmt: skip


_SETTINGS = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestProviderBreaker = ProviderMachine.TestCase
TestProviderBreaker.settings = _SETTINGS
TestSpendBreaker = SpendMachine.TestCase
TestSpendBreaker.settings = _SETTINGS
