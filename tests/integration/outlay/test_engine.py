"""
The engine when the books fail: nothing is sent unpaid, nothing that was sent is lost.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hello import ANSWER, OPUS, REQUEST, Select
from sqlalchemy import text

from ledger import OperationFailed, OutcomeUnknown, StoreUnavailable
from ledger.types import Note, Offer, Operation, Reason, Refused, Release, Reserve, Settle
from outlay import effects, later
from outlay.admin.breakers import halt
from outlay.admin.policies import apply_policy
from outlay.admin.tenants import create_tenant
from outlay.calls import Completed, Done, NotSent, Uncertain
from outlay.calls import Refused as CallRefused
from outlay.client import Calls
from outlay.engine import rules_of
from outlay.errors import BooksUnavailable, OutlayError
from outlay.levels_sql import Standing, read_standing, write_level
from outlay.wiring import App
from router.policy import default_policy_text, load_policy

pytestmark = pytest.mark.usefixtures("acme", "books_are_right")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried later is tried soon."""
    monkeypatch.setattr(later, "RETRY_S", 0.02)


def on(kind: type, trouble: Any) -> Callable[[Operation], Any]:
    """Fail operations of one kind."""
    return lambda op: trouble if isinstance(op, kind) else None


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; the test fails where it never is."""
    waiting = threading.Event()
    for _ in range(500):
        if condition():
            return
        waiting.wait(0.01)
    pytest.fail("it never came about")


# out of reach before anything is sent


def test_books_out_of_reach_at_the_hold_send_nothing(flaky: Any, calls: Calls, select: Select) -> None:
    """Without a hold there is no call: the caller hears that the books are unavailable."""
    flaky.failing = on(Reserve, StoreUnavailable("gone"))
    with pytest.raises(BooksUnavailable):
        calls.start(REQUEST)
    assert select("SELECT id FROM ledger_hold") == []


@pytest.mark.parametrize("written", [True, False])
def test_a_hold_without_an_answer_is_given_back(
    flaky: Any, calls: Calls, select: Select, written: bool
) -> None:
    """Whether or not the lost COMMIT had written the hold, in the end no money is held."""
    flaky.failing, flaky.answer_lost = on(Reserve, OutcomeUnknown("lost")), written
    with pytest.raises(BooksUnavailable):
        calls.start(REQUEST)
    until(lambda: len(calls.engine._later) == 0)
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert [row["state"] for row in select("SELECT state FROM ledger_hold")] == ([2] if written else [])


def test_switches_that_cannot_be_read_stop_the_call(app: App, calls: Calls, select: Select) -> None:
    """A kill switch nobody can read counts as pulled: the hold is released and the call is not sent."""
    perform = calls.engine.perform

    def hooked(effect: Any) -> Any:
        if isinstance(effect, effects.CheckSwitches):
            with app.engine.begin() as connection:
                connection.execute(text("ALTER TABLE circuit_state RENAME TO circuit_gone"))
        return perform(effect)

    calls.engine.perform = hooked  # type: ignore[method-assign]
    with pytest.raises(BooksUnavailable):
        calls.start(REQUEST)
    with app.engine.begin() as connection:
        connection.execute(text("ALTER TABLE circuit_gone RENAME TO circuit_state"))
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert select("SELECT outcome, code FROM outlay_decision") == [
        {"outcome": "refused", "code": "books_unavailable"}
    ]


def test_a_slow_reading_of_the_switches_is_made_again(
    app: App, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A halt that lands while a slow reading is on its way back still stops the call."""
    read, readings = app.circuit.switches, []

    def slow(scopes: Any) -> Any:
        found = read(scopes)
        readings.append(scopes)
        if len(readings) == 1:
            halt(app, reason="drill", actor="t")  # returns 25 ms later: no call may start from now on
        return found

    monkeypatch.setattr(app.circuit, "switches", slow)
    call = calls.start(REQUEST)
    assert isinstance(call.result, CallRefused)
    assert call.result.code == "outlay_kill_switch"
    assert len(readings) == 2


@pytest.mark.parametrize("plan", ["", "{", '{"id": "x", "offer": 0}', "[]"])
def test_a_hold_of_another_making_is_captured_without_a_record(
    app: App, acme: str, clock: Any, select: Select, plan: str
) -> None:
    """Whoever uses the ledger itself writes plans of their own; they cannot make a tenant's books fail."""
    offers = (Offer(1_000, 1_000, plan),)
    app.ledger.do(Reserve(acme, "own", clock(), "own", offers, ttl_us=1))
    clock.sleep(1)
    app.ledger.sweep(clock())
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert select("SELECT id FROM outlay_decision") == []


def test_a_closed_app_starts_nothing(app: App, calls: Calls) -> None:
    """After the ledger is closed a call fails with the public error."""
    app.ledger.close()
    with pytest.raises(OutlayError):
        calls.start(REQUEST)


# out of reach after something was sent


@pytest.mark.parametrize(
    ("trouble", "written"),
    [
        (StoreUnavailable("gone"), False),
        (OutcomeUnknown("lost"), False),
        (OutcomeUnknown("lost"), True),
        (Refused(Reason.QUEUE_FULL), False),
    ],
)
def test_a_settlement_out_of_reach_is_written_later(
    flaky: Any, calls: Calls, select: Select, trouble: Any, written: bool
) -> None:
    """The caller has its answer at once; the true cost and the record are written when the books are back."""
    call = calls.start(REQUEST)
    flaky.failing, flaky.answer_lost = on(Settle, trouble), written
    done = call.resume(ANSWER)
    assert isinstance(done, Done)
    flaky.failing = lambda _op: None
    until(lambda: len(calls.engine._later) == 0)
    until(lambda: select("SELECT held FROM ledger_account") == [{"held": 0}])
    assert [row["actual"] for row in select("SELECT actual FROM ledger_hold")] == [done.cost_nanos]
    assert select("SELECT outcome, cost_nanos FROM outlay_decision") == [
        {"outcome": "served", "cost_nanos": done.cost_nanos}
    ]


def test_a_release_out_of_reach_is_written_when_the_process_ends(
    flaky: Any, app: App, clock: Any, select: Select
) -> None:
    """Closing tries once more: what waits is not lost with an orderly end."""
    calls = Calls(app, clock)
    call = calls.start(REQUEST)
    flaky.failing = on(Release, StoreUnavailable("gone"))
    call.resume(NotSent("no route"))
    flaky.failing = lambda _op: None
    calls.close()
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert [row["code"] for row in select("SELECT code FROM outlay_decision")] == ["not_sent"]


def test_a_record_that_poisons_its_settlement_does_not_keep_the_money(
    flaky: Any, calls: Calls, select: Select
) -> None:
    """Where the row cannot be written with the settlement, the money is settled without it."""
    call = calls.start(REQUEST)
    failed = []

    def once(op: Operation) -> Any:
        if isinstance(op, Settle) and len(failed) < 2:
            failed.append(op)
            return OperationFailed("bad row")
        return None

    flaky.failing = once
    done = call.resume(ANSWER)
    until(lambda: len(calls.engine._later) == 0)
    assert isinstance(done, Done)
    assert [row["actual"] for row in select("SELECT actual FROM ledger_hold")] == [done.cost_nanos]


def test_a_lost_note_stops_nobody(flaky: Any, calls: Calls, app: App, clock: Any, select: Select) -> None:
    """An uncertain call whose record is lost is recorded by the capture of its hold."""
    call = calls.start(REQUEST)
    flaky.failing = on(Note, StoreUnavailable("gone"))
    assert isinstance(call.resume(Uncertain("lost")), Done)
    clock.sleep(901)
    app.ledger.sweep(clock())
    assert select("SELECT outcome, code FROM outlay_decision") == [
        {"outcome": "uncertain", "code": "captured"}
    ]


def test_a_settlement_that_the_books_refuse_is_told_and_left_to_be_captured(
    calls: Calls, app: App, clock: Any, select: Select
) -> None:
    """A cost beyond what money can be is refused by the ledger; the hold is captured with its record."""
    call = calls.start(REQUEST)
    call.resume(Completed(OPUS, {"input_tokens": 10**30, "output_tokens": 1}))
    assert len(calls.engine._later) == 0
    clock.sleep(901)
    app.ledger.sweep(clock())
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert select("SELECT code FROM outlay_decision") == [{"code": "captured"}]


@pytest.mark.parametrize(("tokens", "alarms"), [(1_000, 0), (200_000, 1)])
def test_a_cost_above_its_bound_is_booked_and_sounds_the_alarm(
    calls: Calls, select: Select, caplog: pytest.LogCaptureFixture, tokens: int, alarms: int
) -> None:
    """The provider is paid what it bills; an operator hears that a bound was too low, and only then."""
    call = calls.start(REQUEST)
    done = call.resume(Completed(OPUS, {"input_tokens": 1, "output_tokens": tokens}))
    assert isinstance(done, Done)
    assert [row["actual"] for row in select("SELECT actual FROM ledger_hold")] == [done.cost_nanos]
    assert len([one for one in caplog.messages if "above its bound" in one]) == alarms


# reading and remembering


def test_levels_are_written_by_many_at_once(app: App) -> None:
    """The first calls of a tenant may all write its level; none fails over another's row."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: write_level(app.engine, "acme", n % 3, n), range(24)))
    with app.reading() as connection:
        assert read_standing(connection, "acme").level in (0, 1, 2)
        assert read_standing(connection, "nobody") == Standing()


def test_credits_count_as_full_by_policy_or_history(app: App, clock: Any) -> None:
    """Without history credits are left out of the share; a policy may say what is full."""
    calls = Calls(app, clock)
    assert calls.engine.perform(effects.Look("acme", (), clock())).credit_full_nanos is None
    told = default_policy_text().replace("[limits]", '[limits]\ncredit_full_usd = "40"')
    apply_policy(app, told, actor="t")
    assert calls.engine.perform(effects.Look("acme", (), clock())).credit_full_nanos == 40 * 10**9
    calls.close()


def test_the_speed_of_all_is_nobodys_own_matter(app: App, clock: Any) -> None:
    """A tenant's own policy sets its own breaker; the global one stays that of the policy for everybody."""
    own = default_policy_text() + '[breaker.spend]\nwindow_s = 60\nmax_usd = "1"\ncooldown_s = 60\n'
    shared = default_policy_text() + '[breaker.global_spend]\nwindow_s = 60\nmax_usd = "9"\ncooldown_s = 60\n'
    rules = rules_of(load_policy(own), load_policy(shared))
    assert rules.tenant_spend is not None
    assert rules.global_spend is not None
    assert (rules.tenant_spend.max_nanos, rules.global_spend.max_nanos) == (10**9, 9 * 10**9)

    create_tenant(app, "other", credit="1", timezone="UTC", actor="t")
    apply_policy(app, shared, actor="t")
    apply_policy(app, own, tenant="acme", actor="t")
    calls = Calls(app, clock)
    acme = calls.engine.perform(effects.Look("acme", (), clock()))
    other = calls.engine.perform(effects.Look("other", (), clock()))
    assert (acme.policy_tenant, other.policy_tenant) == ("acme", "*")
    assert acme.rules.tenant_spend is not None
    assert other.rules.tenant_spend is None
    assert acme.rules.global_spend == other.rules.global_spend == rules.global_spend
    calls.close()
