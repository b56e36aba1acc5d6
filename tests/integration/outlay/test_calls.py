"""
Whole calls through the blocking driver, on both engines.
"""

import gc
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from held import Holds
from hello import BODY, OPUS, USAGE, Select

from circuit.types import State, model_scope
from ledger import StoreUnavailable
from ledger.types import Note, Noted, Operation, Settle
from outlay import effects, flow, reports
from outlay.admin.breakers import halt, resume
from outlay.admin.decisions import explain
from outlay.admin.lots import adjust
from outlay.admin.money import set_budget
from outlay.admin.policies import apply_policy
from outlay.admin.replay import replay
from outlay.admin.tenants import create_tenant, set_tenant
from outlay.calls import CallRequest, Completed, Done, Failed, NotSent, Refused
from outlay.client import Call, Calls
from outlay.levels_sql import read_standing
from outlay.reports_observed import Observed
from outlay.storms import CALM_PER_MINUTE, Storms
from outlay.wiring import App
from pricing.cost import cost_nanos
from pricing.usage import Usage
from router.policy import default_policy_text
from router.types import Hints

SONNET, HAIKU = "claude-sonnet-5-5", "claude-haiku-5-5"

pytestmark = pytest.mark.usefixtures("acme", "books_are_right")


def asking(**body: Any) -> CallRequest:
    """A call of acme."""
    return CallRequest("acme", {**BODY, **body})


def sent(call: Call) -> Any:
    """What is to be sent; the test fails where the call was refused."""
    assert call.sending is not None, call.result
    return call.sending


def refusal(call: Call) -> Refused:
    """The refusal; the test fails where the call may be sent."""
    assert isinstance(call.result, Refused), call.sending
    return call.result


def served(calls: Calls, request: CallRequest) -> Done:
    """A call from its start to its end, with a short answer."""
    call = calls.start(request)
    done = call.resume(Completed(sent(call).model, USAGE))
    assert isinstance(done, Done)
    return done


def with_breaker(text: str) -> str:
    """The packaged policy with a breaker of its own."""
    return default_policy_text() + text


# the plain road


def test_a_call_is_paid_at_its_true_price(app: App, calls: Calls, select: Select, clock: Any) -> None:
    """From start to end: the hold becomes the true cost, and one record tells the whole story."""
    done = served(calls, asking())
    price = app.prices.price(OPUS, clock())
    assert done.cost_nanos == cost_nanos(Usage(input_tokens=100, output_tokens=50), price)
    (account,) = select("SELECT wallet, held FROM ledger_account")
    assert (account["wallet"], account["held"]) == (20 * 10**9 - done.cost_nanos, 0)
    (row,) = select("SELECT * FROM outlay_decision")
    assert (row["id"], row["outcome"], row["cost_nanos"]) == (done.decision_id, "served", done.cost_nanos)
    assert (row["asked_model"], row["served_model"], row["hold_id"]) == (OPUS, OPUS, row["id"])
    assert json.loads(row["usage"]) == USAGE


def test_an_error_of_the_provider_costs_nothing(calls: Calls, select: Select) -> None:
    """The money comes back, and the record names the provider's error."""
    call = calls.start(asking())
    call.resume(Failed(400, "invalid_request_error"))
    assert select("SELECT wallet, held FROM ledger_account") == [{"wallet": 20 * 10**9, "held": 0}]
    assert select("SELECT outcome, code FROM outlay_decision") == [
        {"outcome": "failed", "code": "invalid_request_error"}
    ]


def test_a_call_that_nobody_closes_is_captured_with_its_record(
    app: App, calls: Calls, select: Select, clock: Any
) -> None:
    """A process that dies in mid-call leaves a hold; it is captured in full, and the record says so."""
    held = sent(calls.start(asking())).held_nanos
    clock.sleep(901)
    app.ledger.sweep(clock())
    assert select("SELECT wallet, held FROM ledger_account") == [{"wallet": 20 * 10**9 - held, "held": 0}]
    assert select("SELECT outcome, code FROM outlay_decision") == [
        {"outcome": "uncertain", "code": "captured"}
    ]


def test_a_call_that_everybody_dropped_is_renewed_no_more(calls: Calls, select: Select) -> None:
    """Nobody is left who could close it: its hold is kept no longer than it has to live."""
    sent(calls.start(asking()))
    gc.collect()
    assert len(calls.engine.leases) == 0
    assert select("SELECT state FROM ledger_hold") == [{"state": 0}]


def test_an_answer_after_the_capture_still_corrects_it(
    app: App, calls: Calls, select: Select, clock: Any
) -> None:
    """A call that outlives its hold is settled late at its true cost; its record stays as it was written."""
    call = calls.start(asking())
    clock.sleep(901)
    app.ledger.sweep(clock())
    done = call.resume(Completed(OPUS, USAGE))
    assert isinstance(done, Done)
    (account,) = select("SELECT wallet, held FROM ledger_account")
    assert account["wallet"] == 20 * 10**9 - (done.cost_nanos or 0)
    assert select("SELECT code FROM outlay_decision") == [{"code": "captured"}]


# refusals


def test_refusals_are_recorded_with_their_codes(app: App, calls: Calls, select: Select) -> None:
    """Spent credits, a spent budget and a wrong request each leave one record and hold nothing."""
    create_tenant(app, "poor", credit="0", timezone="UTC", actor="t")
    assert refusal(calls.start(CallRequest("poor", BODY))).status == 402
    set_budget(app, "acme", "0", actor="t")
    spent = refusal(calls.start(asking()))
    assert (spent.status, spent.retry) == (429, False)
    assert spent.retry_after_s is not None
    assert refusal(calls.start(asking(model="gpt"))).status == 404
    assert refusal(calls.start(CallRequest("nobody", BODY))).status == 403
    codes = [row["code"] for row in select("SELECT code FROM outlay_decision ORDER BY code")]
    assert codes == ["outlay_credit_exhausted", spent.code, "outlay_unknown_model"]
    assert select("SELECT id FROM ledger_hold") == []


def _freeze(app: App) -> None:
    set_tenant(app, "acme", frozen=True, actor="t")


def _indebt(app: App) -> None:
    adjust(app, "acme", "23", take=True, reason="invoice", confirmed=True, actor="t")


@pytest.mark.parametrize(
    ("bar", "code", "numbers"),
    [
        (_freeze, "outlay_tenant_frozen", {}),
        (_indebt, "outlay_credit_exhausted", {"debt_usd": "3.00", "wallet_usd": "0.00"}),
    ],
)
def test_a_barred_account_is_told_so_though_its_budget_is_spent(
    app: App, calls: Calls, bar: Callable[[App], None], code: str, numbers: dict[str, str]
) -> None:
    """
    No reset of a budget and no raise would help a frozen or indebted tenant: with a step that refuses before
    the ledger is asked it hears the same as without, on the record and in a preview as well; replay agrees.
    """
    bar(app)
    plain = refusal(calls.start(asking()))
    set_budget(app, "acme", "0", actor="t")
    spent = refusal(calls.start(asking()))
    seen = calls.carry_out(flow.preview(asking(), calls.engine.tools))
    for told in (plain, spent, seen):
        found = {name: value for name, value in told.details.items() if name != "decision_id"}
        assert (told.code, told.message, told.retry_after_s) == (code, plain.message, None)
        assert found == {"error_code": code, **numbers}
    reasons = explain(app, spent.decision_id)["reasons"]
    assert [reason["code"] for reason in reasons] == [code]
    assert (replay(app)["same"], replay(app)["different"]) == (2, [])


def test_a_storm_of_refusals_is_counted(calls: Calls, select: Select, clock: Any) -> None:
    """Beyond so many of one kind a minute refusals are only counted: a loop fills neither log nor books."""

    def counted() -> tuple[int, int]:
        kinds = select("SELECT tenant, code, sum(count) AS count FROM outlay_refusal_count GROUP BY 1, 2")
        assert [(kind["tenant"], kind["code"]) for kind in kinds] in ([], [("acme", "outlay_unknown_model")])
        notes = len(select("SELECT key FROM ledger_op WHERE kind = 'Note'")) - CALM_PER_MINUTE
        return sum(int(kind["count"]) for kind in kinds), notes

    def counts(refusals: int, wanted: tuple[int, int]) -> None:
        for _ in range(refusals):
            calls.start(asking(model="gpt"))
        until = time.monotonic() + 30
        while counted() != wanted and time.monotonic() < until:  # no refusal waits for its count
            time.sleep(0.01)
        assert counted() == wanted

    clock.us -= clock.us % 60_000_000
    counts(CALM_PER_MINUTE + 7, (1, 1))
    clock.sleep(1)
    counts(1, (8, 2))
    counts(1, (8, 2))
    calls.engine.write_counts()
    calls.engine.write_counts()
    counts(0, (9, 3))
    assert len(select("SELECT id FROM outlay_decision")) == CALM_PER_MINUTE


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gpt\x00", "outlay_unknown_model"),
        ("\ud800", "outlay_unknown_model"),
        ("é" * 500, "outlay_invalid_request"),
    ],
)
def test_odd_names_are_refused_and_recorded(calls: Calls, select: Select, name: str, code: str) -> None:
    """A name that no database stores is refused like any other unknown one, with its record."""
    assert refusal(calls.start(asking(model=name))).code == code
    assert len(select("SELECT id FROM outlay_decision")) == 1


def test_a_task_that_no_database_stores_does_not_stop_a_call(calls: Calls, select: Select) -> None:
    """Hints come from outside too: odd text in them costs no call."""
    request = CallRequest("acme", BODY, hints=Hints(task="\ud800\x00", session="\udfff"))
    call = calls.start(request)
    call.resume(Completed(sent(call).model, USAGE))
    assert [row["outcome"] for row in select("SELECT outcome FROM outlay_decision")] == ["served"]


# halting


def after(calls: Calls, kind: type, action: Callable[[], object]) -> None:
    """Do something once, right after the first effect of a kind."""
    perform = calls.engine.perform
    done: list[bool] = []

    def hooked(effect: Any) -> Any:
        reply = perform(effect)
        if isinstance(effect, kind) and not done:
            done.append(True)
            action()
        return reply

    calls.engine.perform = hooked  # type: ignore[method-assign]


def test_an_interrupt_after_the_hold_gives_it_back(calls: Calls, select: Select) -> None:
    """Ctrl-C between hold and send is raised to the caller, and nothing stays held."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    after(calls, effects.CheckSwitches, interrupt)
    with pytest.raises(KeyboardInterrupt):
        calls.start(asking())
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert [row["code"] for row in select("SELECT code FROM outlay_decision")] == ["interrupted"]


def test_an_interrupt_while_money_is_held_gives_it_back(flaky: Any, calls: Calls, select: Select) -> None:
    """Ctrl-C before the ledger has answered: the hold that it made all the same is released soon."""

    def interrupt(op: Operation) -> None:
        flaky.failing = lambda _op: None
        flaky.real.do(op)
        raise KeyboardInterrupt

    flaky.failing = interrupt
    with pytest.raises(KeyboardInterrupt):
        calls.start(asking())
    assert select("SELECT held FROM ledger_account") != [{"held": 0}]
    calls.close()
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]


def test_an_interrupt_while_a_call_is_settled_does_not_lose_the_settlement(
    flaky: Any, calls: Calls, select: Select
) -> None:
    """Interrupted before the ledger had it, the settlement is written in the background."""
    call = calls.start(asking())

    def interrupt(op: Operation) -> None:
        if isinstance(op, Settle):
            flaky.failing = lambda _op: None
            raise KeyboardInterrupt

    flaky.failing = interrupt
    with pytest.raises(KeyboardInterrupt):
        call.resume(Completed(OPUS, USAGE))
    calls.close()
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert [row["outcome"] for row in select("SELECT outcome FROM outlay_decision")] == ["served"]


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_a_halt_between_hold_and_send_stops_the_call(
    app: App, calls: Calls, select: Select, tenant: str | None
) -> None:
    """Halted right after its money was held, a call is not sent: its hold is released and it is recorded."""
    after(calls, effects.Commit, lambda: halt(app, tenant=tenant, reason="drill", actor="t"))
    refused = refusal(calls.start(asking()))
    assert (refused.code, refused.status) == ("outlay_kill_switch", 503)
    assert "drill" in refused.message
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    (row,) = select("SELECT outcome, code, hold_id, id FROM outlay_decision")
    assert (row["outcome"], row["code"], row["hold_id"]) == ("refused", "outlay_kill_switch", row["id"])
    assert refusal(calls.start(asking())).code == "outlay_kill_switch"
    resume(app, tenant=tenant, reason="over", actor="t")
    served(calls, asking())


def test_the_spend_breaker_trips_and_lets_go(app: App, calls: Calls, clock: Any) -> None:
    """Who spends faster than the policy allows is halted, until the cooldown is over; others go on."""
    breaker = '[breaker.spend]\nwindow_s = 60\nmax_usd = "0.02"\ncooldown_s = 120\n'
    apply_policy(app, with_breaker(breaker), actor="t")
    call = calls.start(asking())
    refused = refusal(calls.start(asking()))  # holds count: the first is still under way
    assert (refused.code, refused.status, refused.retry) == ("outlay_runaway_halt", 429, False)
    assert refused.details["scope"] == "tenant:acme"
    call.resume(Completed(OPUS, USAGE))
    create_tenant(app, "calm", credit="5", timezone="UTC", actor="t")
    assert sent(calls.start(CallRequest("calm", BODY)))
    clock.sleep(119)
    assert refusal(calls.start(asking())).retry_after_s == 1
    clock.sleep(61)
    served(calls, asking())


# provider breaker


def failing(calls: Calls, times: int) -> None:
    """Let calls of opus fail at the provider."""
    under_way = [calls.start(asking()) for _ in range(times)]
    for call in under_way:
        assert sent(call).model == OPUS
        call.resume(Failed(529, "overloaded_error"))


def state_of(app: App, model: str) -> State:
    """The state of a model's breaker as stored."""
    (found,) = app.circuit.standing((model_scope(model),)).breakers
    return found.state


def test_an_outage_is_routed_around_and_probed_by_exactly_one(app: App, calls: Calls, clock: Any) -> None:
    """
    After enough failures a model is left alone; when its cooldown is over one of many callers probes it, the
    others go elsewhere, and its success opens the way again.
    """
    set_budget(app, "acme", "none", actor="t")
    failing(calls, 20)
    other = calls.start(asking())
    assert sent(other).model != OPUS
    assert "provider_unhealthy" in sent(other).headers["outlay-reason"]
    other.resume(Completed(sent(other).model, USAGE))
    assert state_of(app, OPUS) is State.OPEN

    clock.sleep(31)
    with ThreadPoolExecutor(8) as pool:
        racing = list(pool.map(lambda _: calls.start(asking()), range(8)))
    probing = [call for call in racing if sent(call).model == OPUS]
    assert len(probing) == 1
    assert state_of(app, OPUS) is State.HALF_OPEN
    for call in racing:
        call.resume(Completed(sent(call).model, USAGE))
    assert state_of(app, OPUS) is State.CLOSED
    assert sent(calls.start(asking())).model == OPUS


def test_a_question_of_a_call_that_lost_its_probe_is_explained_with_it(
    app: App, calls: Calls, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever id is explained, the one before the lost probe too, both calls of the provider are told."""
    set_budget(app, "acme", "none", actor="t")
    failing(calls, 20)
    assert sent(calls.start(asking())).model != OPUS
    apply_policy(app, with_breaker("").replace('classifier = "table"', 'classifier = "llm"'), actor="t")
    clock.sleep(31)
    call = calls.start(asking(model="outlay/large"))
    asked = sent(call)
    assert asked.link.inner
    monkeypatch.setattr(app.circuit, "apply", lambda transitions: ())  # somebody else is always faster
    call.resume(Completed(asked.model, USAGE, {"content": [{"type": "text", "text": "large"}]}))
    going_on = sent(call)
    assert going_on.model != OPUS
    call.resume(Completed(going_on.model, USAGE))
    first = asked.link.parent
    assert first not in (None, going_on.decision_id)
    for decision in (asked.decision_id, going_on.decision_id, first):
        told = explain(app, str(decision))
        assert {one["id"] for one in told["attempts"]} == {asked.decision_id, going_on.decision_id}, decision
    assert (told["recorded"], told["hold"]["state"]) == (False, "released")


def test_a_failed_probe_reopens_and_an_abandoned_one_is_handed_back(
    app: App, calls: Calls, clock: Any
) -> None:
    """A probe that fails opens the breaker for longer; one that says nothing leaves it to the next caller."""
    set_budget(app, "acme", "none", actor="t")
    failing(calls, 20)
    assert sent(calls.start(asking())).model != OPUS
    clock.sleep(31)
    probe = calls.start(asking())
    assert sent(probe).model == OPUS
    probe.resume(NotSent("the caller left", given_up=True))
    again = calls.start(asking())
    assert sent(again).model == OPUS
    again.resume(Failed(500, "api_error"))
    assert sent(calls.start(asking())).model != OPUS
    clock.sleep(31)
    assert sent(calls.start(asking())).model != OPUS  # the cooldown has doubled
    clock.sleep(31)
    assert sent(calls.start(asking())).model == OPUS


def test_a_halt_hands_a_claimed_probe_back(app: App, calls: Calls, clock: Any) -> None:
    """Halted after it claimed the probe, a call says nothing about the model: the next may probe at once."""
    set_budget(app, "acme", "none", actor="t")
    failing(calls, 20)
    assert sent(calls.start(asking())).model != OPUS
    clock.sleep(31)
    after(calls, effects.Move, lambda: halt(app, reason="drill", actor="t"))
    assert refusal(calls.start(asking())).code == "outlay_kill_switch"
    resume(app, reason="over", actor="t")
    assert sent(calls.start(asking())).model == OPUS


# degradation and observation


def test_a_level_is_remembered_and_left_only_with_room(app: App, calls: Calls, clock: Any) -> None:
    """Under half of the budget the first step holds; it ends once the share is clearly above it."""
    set_budget(app, "acme", "1.00", actor="t")
    holds = Holds(calls)
    made = holds.authorize("acme", {"offers": [{"name": "x", "cost_usd": "0.55"}]})
    assert isinstance(made, dict)
    holds.settle("acme", made["hold"], {"cost_usd": "0.55"})

    def level() -> int:
        with app.reading() as connection:
            return read_standing(connection, "acme").level

    def decided() -> tuple[str, int]:
        call = calls.start(asking())
        model = sent(call).model
        call.resume(NotSent("test"))
        return model, level()

    assert decided() == (SONNET, 1)
    set_budget(app, "acme", "1.13", actor="t")  # 51 % left: above the step, within the hysteresis
    assert decided() == (SONNET, 1)
    set_budget(app, "acme", "1.30", actor="t")  # 58 % left: well above, but within the dwell
    assert decided() == (SONNET, 1)
    clock.sleep(900)
    assert decided() == (OPUS, 0)
    set_budget(app, "acme", "1.13", actor="t")
    assert decided() == (OPUS, 0)


def test_observe_mode_refuses_and_degrades_nothing(
    app: App, calls: Calls, select: Select, clock: Any
) -> None:
    """With nothing left a call goes out as asked; the record holds the router's and the ledger's verdicts."""
    apply_policy(app, default_policy_text().replace('mode = "enforce"', 'mode = "observe"'), actor="t")
    set_budget(app, "acme", "0", actor="t")
    call = calls.start(asking())
    assert sent(call).body["model"] == OPUS
    assert sent(call).body["max_tokens"] == 1_000
    call.resume(Completed(OPUS, USAGE))
    (row,) = select("SELECT mode, outcome, would, served_model FROM outlay_decision")
    would = json.loads(row["would"])
    assert (row["mode"], row["outcome"], row["served_model"]) == ("observe", "served", OPUS)
    assert would["router"]["refusal"]["code"] == "outlay_priority_refused"
    assert would["ledger"]["refuse"] == "outlay_daily_budget_reached"
    seen = reports.overview(app, "acme", now_us=clock() + 1)
    assert seen is not None
    assert seen.observed == Observed(calls=1, refused=1)


def test_observed_calls_are_counted_without_those_that_failed(
    app: App, calls: Calls, select: Select, clock: Any
) -> None:
    """What the provider turned away cost nothing, and is mostly asked again, as one more call."""
    apply_policy(app, default_policy_text().replace('mode = "enforce"', 'mode = "observe"'), actor="t")
    set_budget(app, "acme", "0", actor="t")
    calls.start(asking()).resume(Failed(529, "overloaded_error"))
    served(calls, asking())
    rows = select("SELECT outcome, would FROM outlay_decision ORDER BY outcome")
    assert [row["outcome"] for row in rows if row["would"]] == ["failed", "served"]
    seen = reports.overview(app, "acme", now_us=clock() + 1)
    assert seen is not None
    assert seen.observed == Observed(calls=1, refused=1)


# sessions and keys


def test_a_session_remembers_who_answered_it(calls: Calls, clock: Any) -> None:
    """Every model that answered a conversation is remembered, the last one with its prompt."""
    hints = Hints(session="s1")
    for model in (OPUS, HAIKU):
        clock.sleep(1)
        served(calls, CallRequest("acme", {**BODY, "model": model}, hints=hints))
    memory = calls.engine.perform(effects.Recall("acme", "id:s1"))
    assert (memory.last_model, memory.cached_tokens) == (HAIKU, 0)
    assert memory.models == {OPUS, HAIKU}
    assert calls.engine.perform(effects.Recall("zeta", "id:s1")) is None


def test_an_idempotency_key_makes_one_hold(calls: Calls, select: Select) -> None:
    """The same key never sends twice: a repetition is told whose it is, and so is another body under it."""
    request, told = CallRequest("acme", BODY, idempotency_key="inv-7"), ("error_code", "decision_id")
    first = calls.start(request)
    repeated = refusal(calls.start(request))
    assert (repeated.status, repeated.details["first_decision"]) == (409, sent(first).decision_id)
    other = refusal(calls.start(CallRequest("acme", {**BODY, "max_tokens": 9}, idempotency_key="inv-7")))
    assert other.status == 409
    named = {"key": "inv-7", "first_decision": sent(first).decision_id}
    assert {name: other.details[name] for name in other.details if name not in told} == named
    first.resume(Completed(OPUS, USAGE))
    assert refusal(calls.start(request)).details["first_decision"] == first.result.decision_id  # type: ignore[union-attr]
    assert len(select("SELECT id FROM ledger_hold")) == 1
    another = calls.start(CallRequest("acme", BODY, idempotency_key="inv-8"))
    another.resume(Failed(401, "authentication_error"))
    assert sent(calls.start(CallRequest("acme", BODY, idempotency_key="inv-8")))  # it was never billed


def test_a_note_that_is_sent_again_counts_once(calls: Calls, app: App, select: Select, clock: Any) -> None:
    """
    After an answer that was lost the same counts go out under the same key, which the ledger knows.
    """
    storms = Storms()
    storms.count("acme", "x", clock())
    note, rows = Note("acme", "note:1", clock()), storms.take_counts()
    for _ in range(2):
        assert isinstance(app.ledger.do(note, rows), Noted)
    assert [row["count"] for row in select("SELECT count FROM outlay_refusal_count")] == [1]


def test_a_note_that_fails_takes_no_counts_with_it(
    calls: Calls, app: App, select: Select, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was counted of all tenants does not hang on the record of one refusal."""
    clock.us -= clock.us % 60_000_000
    for _ in range(CALM_PER_MINUTE + 100):
        calls.start(asking(model="gpt"))
    clock.sleep(1)

    def gone(*_: object) -> Any:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(app.ledger, "do", gone)
        calls.start(asking(model="gpt"))
    calls.engine.write_counts()
    assert [row["count"] for row in select("SELECT count FROM outlay_refusal_count")] == [101]


@pytest.mark.parametrize("body", [BODY, {**BODY, "max_tokens": 9}])
def test_a_used_key_is_recorded_as_a_refusal(
    app: App, calls: Calls, select: Select, body: dict[str, Any]
) -> None:
    """Its decision can be explained, names the first one, is made again alike, and is counted in a storm."""
    first = sent(calls.start(CallRequest("acme", BODY, idempotency_key="inv-7")))
    again = CallRequest("acme", body, idempotency_key="inv-7")
    refused = refusal(calls.start(again))
    told = explain(app, refused.decision_id)
    assert (told["outcome"], told["code"]) == ("refused", "outlay_duplicate_request")
    assert told["reasons"][-1]["numbers"]["first_decision"] == first.decision_id
    made = replay(app)
    assert (made["checked"], made["same"]) == (1, 1)
    for _ in range(CALM_PER_MINUTE):
        calls.start(again)
    assert len(select("SELECT id FROM outlay_decision")) == CALM_PER_MINUTE
    calls.close()
    assert [row["count"] for row in select("SELECT count FROM outlay_refusal_count")] == [1]
