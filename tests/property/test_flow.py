"""
Any mix of calls, outcomes, crashes and waiting, over real books in SQLite: nothing overspent, nothing lost.

Every rule is a step of one process or of time. After each, all that was sent is settled, released,
captured or still held; no limit is passed; every closed call has exactly one decision; and in the end every
decision comes out again as it was.
"""

import itertools
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from ledger import reads
from ledger.rows import OPEN, RELEASED
from ledger.verify import verify
from outlay.admin.breakers import halt, resume
from outlay.admin.policies import apply_policy
from outlay.admin.replay import replay
from outlay.admin.tenants import create_tenant
from outlay.calls import (
    Broken,
    CallRequest,
    Completed,
    Done,
    Failed,
    NotSent,
    Outcome,
    Refused,
    Sending,
    Uncertain,
)
from outlay.client import Call, Calls
from outlay.settings import Settings
from outlay.wiring import open_app
from router.policy import default_policy_text
from router.types import Hints

TENANTS = {"acme": ("0.40", "0.12"), "zeta": ("0.05", None)}
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "outlay/auto", "outlay/large")
BREAKER = '[breaker.spend]\nwindow_s = 60\nmax_usd = "0.15"\ncooldown_s = 20\n'
FALLBACK = '[routing.fallback]\non = ["overload", "server_error", "rate_limit", "unreachable"]\n'
POLICY = default_policy_text().replace("min_calls = 20", "min_calls = 4") + BREAKER + FALLBACK
OBSERVING = POLICY.replace('mode = "enforce"', 'mode = "observe"')

SHARES = st.sampled_from([100, 75, 25, 0])
"""Percent of max_tokens that an answer uses: never more, so that no cost is above its bound."""
FAILURES: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        Failed(529, "overloaded_error"),
        Failed(400, "invalid_request_error"),
        Failed(429, "rate_limit_error"),
        NotSent("unreachable"),
        NotSent("left", given_up=True),
        Uncertain("lost"),
        Completed("claude-opus-5-5", {}),
    ]
)


class FlowMachine(RuleBasedStateMachine):
    """
    One or more processes over one SQLite file, a provider that answers as drawn, and a clock that jumps.
    """

    observes = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        url = f"sqlite:///{Path(self.folder.name) / 'outlay.db'}"
        self.app = open_app(Settings(database_url=url), check_clock=False)
        self.clock_us = time.time_ns() // 1_000 + 60_000_000
        self.calls = Calls(self.app, lambda: self.clock_us)
        self.sent: set[str] = set()
        self.in_flight: list[Call] = []
        self.numbers = itertools.count()

    def teardown(self) -> None:
        """Let every hold run out, then hold the books against all that was ever sent."""
        self.clock_us += 7_200_000_000
        self.app.ledger.sweep(self.clock_us)
        self.everything_is_accounted_for()
        with self.app.reading() as connection:
            assert not reads.open_holds(connection)
            found = verify(connection)
            assert found.ok, found.problems
        told = replay(self.app)
        assert told["different"] == []
        self.calls.close()
        self.app.close()
        self.folder.cleanup()

    @initialize()
    def tenants(self) -> None:
        """Two tenants: one with a day's budget, one whose credits are soon spent."""
        for name, (credit, budget) in TENANTS.items():
            create_tenant(self.app, name, credit=credit, daily_budget=budget, timezone="UTC", actor="t")
        apply_policy(self.app, OBSERVING if self.observes else POLICY, actor="t")

    def begin(
        self,
        tenant: str,
        model: str,
        max_tokens: int = 16,
        hints: Hints | None = None,
        key: str | None = None,
    ) -> Call:
        """Start a call and remember it if it may be sent."""
        body = {
            "model": model,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": f"hello {next(self.numbers) % 5}"}],
        }
        call = self.calls.start(CallRequest(tenant, body, hints=hints or Hints(), idempotency_key=key))
        if call.sending is None:
            assert isinstance(call.result, Refused)
            assert not (call.result.retry and (call.result.retry_after_s or 0) > 30)
            return call
        assert call.sending.decision_id not in self.sent
        self.sent.add(call.sending.decision_id)
        self.in_flight.append(call)
        return call

    @rule(
        tenant=st.sampled_from(tuple(TENANTS)),
        model=st.sampled_from(MODELS),
        max_tokens=st.sampled_from([16, 400, 3_000]),
        priority=st.sampled_from([None, "low", "high", "critical"]),
        times=st.integers(1, 5),
    )
    def start(self, tenant: str, model: str, max_tokens: int, priority: str | None, times: int) -> None:
        """Begin some calls; what may be sent is in flight from now on."""
        for _ in range(times):
            self.begin(tenant, model, max_tokens, Hints(priority=priority))

    @rule(tenant=st.sampled_from(tuple(TENANTS)), model=st.sampled_from(MODELS), times=st.integers(1, 8))
    def serve(self, tenant: str, model: str, times: int) -> None:
        """Calls one after the other, each answered in full before the next."""
        for _ in range(times):
            if self.begin(tenant, model, 400).sending is not None:
                self.answer(share=100, broken=False, newest=True, times=1)

    @precondition(lambda self: self.in_flight)
    @rule(share=SHARES, broken=st.booleans(), newest=st.booleans(), times=st.integers(1, 4))
    def answer(self, share: int, broken: bool, newest: bool, times: int) -> None:
        """The provider answers, in full or with streams that break."""
        for call in self._taken(newest, times):
            assert call.sending is not None
            tokens = int(call.sending.offer.max_tokens) * share // 100
            usage = {"input_tokens": 3, "output_tokens": tokens}
            model = call.sending.model
            done = call.resume(Broken(model, usage, tokens) if broken else Completed(model, usage))
            assert isinstance(done, Done)
            assert done.cost_nanos is not None

    @precondition(lambda self: self.in_flight)
    @rule(outcome=FAILURES, newest=st.booleans(), times=st.integers(1, 6))
    def fail(self, outcome: Outcome, newest: bool, times: int) -> None:
        """Calls come to nothing, one way or another."""
        for call in self._taken(newest, times):
            after = call.resume(outcome)
            if isinstance(after, Sending):  # another model, with a hold of its own
                assert after.decision_id not in self.sent
                self.sent.add(after.decision_id)
                self.in_flight.append(call)

    def _taken(self, newest: bool, times: int) -> list[Call]:
        return [self.in_flight.pop(-1 if newest else 0) for _ in range(min(times, len(self.in_flight)))]

    @rule(what=st.sampled_from(["second", "minute", "crash", "hour", "day"]), survivors=st.integers(0, 3))
    def pass_time(self, what: str, survivors: int) -> None:
        """Time passes; or the process is gone with its calls, and another starts with nothing in memory."""
        if what == "crash":
            self.in_flight = self.in_flight[:survivors]
            self.calls.close()
            self.calls = Calls(self.app, lambda: self.clock_us)
            return
        self.clock_us += {"second": 1, "minute": 61, "hour": 3_600, "day": 86_400}[what] * 1_000_000
        if what == "day":
            self.app.ledger.sweep(self.clock_us)

    @rule(what=st.sampled_from(["key", "drill", "nobody", "gpt", ""]), tenant=st.sampled_from(tuple(TENANTS)))
    def odd(self, what: str, tenant: str) -> None:
        """A key that may have been used; a halt, while which nothing new is sent; calls nobody serves."""
        if what == "key":
            self.begin(tenant, "claude-haiku-5-5", key="k")
        elif what == "drill":
            halt(self.app, reason="drill", actor="t")
            assert self.begin(tenant, "claude-haiku-5-5").sending is None
            resume(self.app, reason="over", actor="t")
        else:
            assert self.begin("nobody" if what == "nobody" else tenant, what).sending is None

    # what must always be so

    @invariant()
    def no_limit_is_passed(self) -> None:
        """Spent and held together never exceed a budget or the credits."""
        if not self.sent:
            return
        with self.app.reading() as connection:
            for account in reads.tenants(connection):
                assert 0 <= account.held_nanos <= account.credit_nanos
                assert account.debt_nanos == 0
            if self.observes:
                return
            for name in TENANTS:
                for gauge in reads.gauges(connection, name, (), self.clock_us):
                    if gauge.limit_nanos is not None:
                        assert gauge.spent_nanos + gauge.held_nanos <= gauge.limit_nanos
                        assert gauge.overage_nanos == 0

    @invariant()
    def everything_is_accounted_for(self) -> None:
        """Each call that was sent has one hold; one decision once it is closed; refusals hold nothing."""
        with self.app.reading() as connection:
            holds = {row.id: row.state for row in connection.execute(text(_HOLDS))}
            rows = connection.execute(text("SELECT id, outcome, hold_id FROM outlay_decision")).all()
        decisions = {row.id: row for row in rows}
        assert len(decisions) == len(rows)
        for hold_id in self.sent:
            if holds[hold_id] != OPEN:
                assert decisions[hold_id].hold_id == hold_id
                assert decisions[hold_id].outcome != "refused"
        assert all(row.outcome == "refused" or row.id in self.sent for row in rows)
        assert {hold_id for hold_id, state in holds.items() if state != RELEASED} <= self.sent


_HOLDS = "SELECT id, state FROM ledger_hold"


class ObservingMachine(FlowMachine):
    """
    The same, where the policy only observes.
    """

    observes = True


RUNS = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_no_mix_of_calls_and_crashes_loses_or_overspends_money() -> None:
    """Whatever happens in whatever order, limits hold, and every call ends in the books exactly once."""
    run_state_machine_as_test(FlowMachine, settings=RUNS)


def test_observe_mode_keeps_the_same_books() -> None:
    """Refusing nothing, the books are still whole: what no credit covers is absorbed, never lost."""
    run_state_machine_as_test(ObservingMachine, settings=RUNS)
