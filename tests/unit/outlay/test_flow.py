"""
The order of a call, fed with plain values and stopped at every step to play a crash.
"""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from flow_world import (
    BODY,
    CALM,
    HALTED,
    OPUS,
    T0,
    USAGE,
    World,
    policy,
    waiting,
    world,
)

import ledger.types as books
from circuit.rules import Rules, SpendRule
from circuit.types import (
    Snapshot,
    SpendWindow,
    Switch,
    Transition,
    tenant_scope,
)
from outlay import effects, flow, repeats
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
    Upstream,
)
from outlay.effects import fail, feed
from outlay.errors import BooksUnavailable
from router.policy import Policy
from router.types import Offer

# the plain road


def test_a_call_looks_holds_checks_sends_and_settles() -> None:
    """The order of a call: look, hold, read the switches, send, close, remember; nothing else."""
    one = world()
    steps, sent = one.start()
    assert one.kinds() == ["Look", "Commit", "CheckSwitches"]
    assert sent.sending.model == OPUS
    assert one.states() == {"id-1": "held"}

    done = one.play(steps, Completed(OPUS, USAGE))
    assert isinstance(done, Done)
    assert one.kinds()[3:] == ["CloseHold", "Remember"]
    assert one.states() == {"id-1": "settled"}
    assert one.rows()["id-1"]["outcome"] == "served"
    assert one.rows()["id-1"]["cost_nanos"] == done.cost_nanos
    assert done.headers["outlay-cost-usd"]


@pytest.mark.parametrize(
    ("outcome", "state", "written", "code"),
    [
        (Completed(OPUS, USAGE), "settled", "served", None),
        (Broken(OPUS, {"input_tokens": 10, "output_tokens": 1}, 40), "settled", "broken", None),
        (Failed(500, "api_error"), "released", "failed", "api_error"),
        (Failed(429, "rate_limit_error", "ramp_limit_exceeded"), "released", "failed", "ramp_limit_exceeded"),
        (Failed(502), "released", "failed", "provider_error"),
        (NotSent("no route"), "released", "failed", "not_sent"),
        (Uncertain("connection lost: after 3 s"), "held", "uncertain", "connection lost"),
        (Completed(OPUS, {}), "held", "uncertain", "usage_unreadable"),
        (Completed("claude-nobody", USAGE), "held", "uncertain", "usage_unreadable"),
    ],
)  # fmt: skip
def test_every_outcome_is_accounted_for(outcome: Outcome, state: str, written: str, code: str | None) -> None:
    """Whatever comes of a call, its hold is settled, released or left to be captured, with one record."""
    one = world()
    steps, _ = one.start()
    assert isinstance(one.play(steps, outcome), Done)
    assert one.states() == {"id-1": state}
    assert (one.rows()["id-1"]["outcome"], one.rows()["id-1"]["code"]) == (written, code)
    one.expire()
    assert one.states() == {"id-1": "captured" if state == "held" else state}
    assert one.rows()["id-1"]["outcome"] == written


# crashes


def test_a_crash_at_any_step_loses_no_money() -> None:
    """
    Stopped after any effect and never resumed, a call leaves no hold, or one that is captured with a record.
    """
    whole = world()
    steps, _ = whole.start()
    whole.play(steps, Completed(OPUS, USAGE))
    for stop in range(1, len(whole.seen) + 1):
        one = world()
        steps = flow.run(CallRequest("acme", BODY), one.tools())
        effect = feed(steps, None)
        while True:
            answer = Completed(OPUS, USAGE) if isinstance(effect, effects.Send) else one.reply(effect)
            if len(one.seen) == stop:
                break
            effect = feed(steps, answer)
        steps.close()  # the process dies here
        one.expire()
        held = "Commit" in one.kinds()
        closed = "CloseHold" in one.kinds()
        assert one.states() == ({"id-1": "settled" if closed else "captured"} if held else {})
        assert {row["outcome"] for row in one.rows().values()} == (
            {"served" if closed else "uncertain"} if held else set()
        )


def test_a_captured_call_keeps_its_decision() -> None:
    """The record of a call whose process died says what was decided and that its hold was captured."""
    one = world()
    _, sent = one.start(CallRequest("acme", BODY, key_id="k1", surface="python"))
    one.expire()
    row = one.rows()[sent.sending.decision_id]
    assert (row["outcome"], row["code"], row["cost_nanos"]) == ("uncertain", "captured", None)
    assert (row["served_model"], row["key_id"], row["surface"]) == (OPUS, "k1", "python")
    assert row["hold_id"] == row["id"]
    assert json.loads(row["inputs"])["now_us"] == T0


# between hold and send


def test_the_kill_switch_between_hold_and_send_gives_the_money_back() -> None:
    """A halt that comes after the hold refuses the call, releases the hold and is recorded once."""
    one = world(halted=HALTED)
    _, refused = one.start()
    assert isinstance(refused, Refused)
    assert (refused.code, refused.status, refused.retry) == ("outlay_kill_switch", 503, False)
    assert one.states() == {"id-1": "released"}
    row = one.rows()["id-1"]
    assert (row["outcome"], row["code"], row["hold_id"]) == ("refused", "outlay_kill_switch", "id-1")
    assert one.notes == []


@pytest.mark.parametrize("broken", [effects.CheckSwitches, effects.Move])
def test_books_that_fail_between_hold_and_send_give_the_money_back(broken: type) -> None:
    """Nothing was sent, so a hold whose switches or probe cannot be read is released; the error stands."""
    one = world(broken=(broken,), snapshot=waiting(OPUS) if broken is effects.Move else CALM)
    with pytest.raises(BooksUnavailable):
        one.start()
    assert one.states() == {"id-1": "released"}
    assert one.rows()["id-1"]["code"] == "books_unavailable"


def test_a_request_that_cannot_be_put_together_gives_the_money_back() -> None:
    """A fault of our own after the hold does not leave it to be captured for a call that was never sent."""

    def upstream(_policy: Policy, name: str | None) -> Upstream:
        raise KeyError(name)

    one = world(snapshot=waiting(OPUS))
    with pytest.raises(KeyError):
        one.play(flow.run(CallRequest("acme", BODY), replace(one.tools(), upstream=upstream)))
    assert one.states() == {"id-1": "released"}
    assert one.rows()["id-1"]["code"] == "internal_error"
    assert [wish.to_state for wish in _moves(one)] == ["half_open", "open"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), asyncio.CancelledError(), SystemExit(1)])
def test_who_is_told_to_stop_between_hold_and_send_gives_the_money_back(stop: BaseException) -> None:
    """An interrupt sends nothing, so it may not leave the hold to be captured; it goes on to the caller."""
    one = world()
    steps = flow.run(CallRequest("acme", BODY), one.tools())
    effect = feed(steps, None)
    while not isinstance(effect, effects.CheckSwitches):
        effect = feed(steps, one.reply(effect))
    effect = fail(steps, stop)
    with pytest.raises(type(stop)):
        one.play(steps, one.reply(effect))
    assert one.states() == {"id-1": "released"}
    assert one.rows()["id-1"]["code"] == "interrupted"


def test_steps_that_are_dropped_between_hold_and_send_end_quietly() -> None:
    """A generator that is closed may not ask for anything any more."""
    one = world()
    steps = flow.run(CallRequest("acme", BODY), one.tools())
    effect = feed(steps, None)
    while not isinstance(effect, effects.CheckSwitches):
        effect = feed(steps, one.reply(effect))
    steps.close()
    assert one.states() == {"id-1": "held"}


@pytest.mark.parametrize("broken", [effects.Look, effects.SetLevel])
def test_books_that_fail_before_the_hold_hold_nothing(broken: type) -> None:
    """Out of reach before the hold, nothing is held and nothing is sent."""
    one = world(broken=(broken,), level=2)
    with pytest.raises(BooksUnavailable):
        one.start()
    assert one.states() == {}


# probes


def _moves(one: World) -> list[Transition]:
    return [wish for effect in one.seen if isinstance(effect, effects.Move) for wish in effect.transitions]


@pytest.mark.parametrize(
    ("outcome", "after"),
    [
        (Completed(OPUS, USAGE), "closed"),
        (Failed(529, "overloaded_error"), "open"),
        (Failed(429, "rate_limit_error"), "open"),
        (NotSent("refused"), "open"),
    ],
)
def test_a_probe_is_claimed_after_the_hold_and_finished_with_the_call(outcome: Outcome, after: str) -> None:
    """The winner of the claim sends; what came of its call closes or reopens the breaker."""
    one = world(snapshot=waiting(OPUS))
    steps, sent = one.start()
    assert sent.sending.model == OPUS
    assert one.kinds() == ["Look", "Commit", "Move", "CheckSwitches"]
    one.play(steps, outcome)
    assert [wish.to_state for wish in _moves(one)] == ["half_open", after]
    neutral = outcome == Failed(429, "rate_limit_error")
    until_us = _moves(one)[-1].until_us
    assert (until_us == T0) is neutral  # our own quota says nothing: the next call may probe at once


def test_who_loses_a_probe_goes_on_with_another_model() -> None:
    """The loser gives its hold back without a record and is offered the next model under another id."""
    one = world(snapshot=waiting(OPUS), lost=frozenset({OPUS}))
    steps, sent = one.start()
    assert sent.sending.model != OPUS
    assert one.states() == {"id-1": "released", "id-2": "held"}
    one.play(steps, Completed(sent.sending.model, USAGE))
    assert one.states() == {"id-1": "released", "id-2": "settled"}
    assert set(one.rows()) == {"id-2"}


def test_a_question_stays_linked_with_the_call_that_lost_its_probe() -> None:
    """The call goes on under another id, as an attempt of the one that the question was asked for."""
    one = world(
        policy=policy(classifier="llm", fallback="attempts = 2"),
        snapshot=waiting(OPUS),
        lost=frozenset({OPUS}),
    )
    steps, question = one.start(CallRequest("acme", {**BODY, "model": "outlay/auto"}))
    assert question.sending.link.parent == "id-1"
    answer = {"content": [{"type": "text", "text": "large"}]}
    sent = one.play(steps, Completed(question.sending.model, USAGE, answer))
    assert sent.sending.decision_id == "id-3"
    after = one.play(steps, Failed(529, "overloaded_error"))
    rows = one.rows()
    assert {row["id"]: row["parent"] for row in rows.values()} == dict.fromkeys(rows, "id-1")
    assert {"id-2", "id-3"} <= set(rows)
    assert after.sending.link.parent == "id-1"  # a fallback is one more of them


def test_who_loses_every_probe_is_refused_with_a_record_that_can_be_replayed() -> None:
    """After losing all probes the call is refused as breaker open; its record keeps no earlier offers."""
    models = tuple(policy().model_ranks)
    one = world(snapshot=waiting(*models), lost=frozenset(models))
    _, refused = one.start()
    assert isinstance(refused, Refused)
    assert (refused.code, refused.status, refused.retry) == ("outlay_breaker_open", 529, True)
    assert set(one.states().values()) == {"released"}
    (row,) = one.rows().values()
    assert (row["code"], row["offers"], row["asked_tier"]) == ("outlay_breaker_open", "[]", None)
    assert set(json.loads(row["inputs"])["unhealthy"]) <= set(models)


def test_observe_mode_sends_even_where_the_probe_is_lost() -> None:
    """Observe mode refuses and reroutes nothing: a call goes out to a model that somebody else probes."""
    one = world(policy=policy(observe=True), snapshot=waiting(OPUS), lost=frozenset({OPUS}))
    _, sent = one.start()
    assert sent.sending.model == OPUS


def test_own_offers_do_not_wait_for_breakers_of_models() -> None:
    """Offers of the caller's own are no calls that Outlay sends: a breaker of their name means nothing."""
    offer = Offer(OPUS, None, None, 0, 1_000, 1_000)
    one = world(snapshot=waiting(OPUS), lost=frozenset({OPUS}))
    request = CallRequest("acme", {}, surface="holds", offers=(offer,))
    assert isinstance(one.play(flow.hold(request, one.tools())), Sending)


def test_a_caller_that_sends_for_itself_cannot_probe() -> None:
    """Nobody would tell how the model did, so the holds surface is given another model."""
    one = world(snapshot=waiting(OPUS))
    sending = one.play(flow.hold(CallRequest("acme", BODY, surface="holds"), one.tools()))
    assert isinstance(sending, Sending)
    assert sending.model != OPUS
    assert _moves(one) == []


@pytest.mark.parametrize(
    ("outcome", "delta"),
    [
        (Completed(OPUS, USAGE), (1, 0)),
        (Failed(400, "invalid_request_error"), (1, 0)),
        (Failed(529, "overloaded_error"), (1, 1)),
        (NotSent("unreachable"), (1, 1)),
        (Uncertain("lost"), (1, 1)),
        (Broken(OPUS, USAGE, 3), (1, 1)),
        (Failed(429, "rate_limit_error"), None),
        (NotSent("the caller left", given_up=True), None),
    ],
)
def test_what_a_call_says_about_its_model(outcome: Outcome, delta: tuple[int, int] | None) -> None:
    """Failures of the provider count against the model; a caller that leaves, or our quota, says nothing."""
    one = world()
    steps, _ = one.start()
    one.play(steps, outcome)
    health = next(e.health for e in one.seen if isinstance(e, effects.CloseHold | effects.Note))
    assert (None if health is None else (health.calls, health.failures)) == delta


# refusals


def test_an_unknown_tenant_leaves_no_trace() -> None:
    """A tenant without an account is refused and nothing is written, so names cannot fill the log."""
    one = world(known=False)
    _, refused = one.start()
    assert (refused.code, refused.status) == ("outlay_unknown_tenant", 403)
    assert one.kinds() == ["Look"]


def _halt(switch: str) -> Snapshot:
    return replace(CALM, switches={switch: Switch(switch, True, 1, T0, "drill", "me")})


@pytest.mark.parametrize(
    ("request_", "more", "code"),
    [
        (CallRequest("acme", BODY), {"snapshot": _halt("global")}, "outlay_kill_switch"),
        (CallRequest("acme", BODY), {"snapshot": _halt(tenant_scope("acme"))}, "outlay_kill_switch"),
        (CallRequest("acme", {**BODY, "model": "gpt"}), {}, "outlay_unknown_model"),
        (CallRequest("acme", {**BODY, "model": None}), {}, "outlay_invalid_request"),
        (CallRequest("acme", {**BODY, "messages": 7}), {}, "outlay_invalid_request"),
        (CallRequest("acme", {**BODY, "mcp_servers": [{"url": "x"}]}), {}, "outlay_unbounded_request"),
    ],
)
def test_a_refusal_before_the_hold_is_recorded_and_holds_nothing(
    request_: CallRequest, more: dict[str, Any], code: str
) -> None:
    """Whoever refuses first, the caller hears its code, one record says it, and no money moved."""
    one = world(**more)
    _, refused = one.start(request_)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert one.states() == {}
    assert [(row["outcome"], row["code"]) for row in one.notes] == [("refused", code)]


def test_a_refusal_of_the_ledger_is_recorded_with_the_offers() -> None:
    """Refused for money, the record still says what had been offered, so that it can be replayed."""
    one = world()
    one.ledger.do(books.SetBudget("acme", "b", T0, 0))
    _, refused = one.start()
    assert (refused.code, refused.details["limit_usd"]) == ("outlay_daily_budget_reached", "0.00")
    assert json.loads(one.notes[0]["offers"])[0]["model"] == OPUS
    assert one.notes[0]["hold_id"] is None


@pytest.mark.parametrize(
    ("limit", "cost", "told"),
    [
        (None, 10**13, "top up the tenant, or bring a cheaper offer"),
        (
            10**9,
            10**10,
            "the tenant's daily budget, 1.00 USD; bring a cheaper offer, or have the budget raised",
        ),
    ],
)
def test_own_offers_that_are_too_dear_are_advised_as_such(limit: int | None, cost: int, told: str) -> None:
    """They have no prompt and no max_tokens that could be less, and name no model of a tier."""
    one = world()
    one.ledger.do(books.SetBudget("acme", "b", T0, limit))
    offer = Offer("gpu", None, None, 0, cost, cost)
    request = CallRequest("acme", {}, surface="holds", offers=(offer,))
    refused = one.play(flow.hold(request, one.tools()))
    assert refused.message.endswith(told)
    assert "max_tokens" not in refused.message


def test_a_preview_writes_nothing() -> None:
    """A preview refuses or offers without a hold and without a record."""
    one = world(snapshot=_halt("global"))
    refused = one.play(flow.preview(CallRequest("acme", BODY), one.tools()))
    assert refused.code == "outlay_kill_switch"
    calm = world()
    choice = calm.play(flow.preview(CallRequest("acme", BODY), calm.tools()))
    assert choice.offers[0].model == OPUS
    assert one.kinds() == calm.kinds() == ["Look"]


# idempotency


def test_a_repeated_key_is_a_duplicate_and_another_body_a_conflict() -> None:
    """The same key never makes a second hold: same body or not, the answer is 409 and says which it is."""
    one = world()
    _, first = one.start(CallRequest("acme", BODY, idempotency_key="a"))
    _, again = one.start(CallRequest("acme", BODY, idempotency_key="a"))
    _, other = one.start(CallRequest("acme", {**BODY, "max_tokens": 7}, idempotency_key="a"))
    assert again.details["first_decision"] == first.sending.decision_id
    assert again.code == other.code == "outlay_duplicate_request"
    assert again.status == other.status == 409
    assert "another request" in other.message
    assert list(one.states().values()) == ["held"]


def test_a_key_whose_call_was_not_billed_may_be_tried_again() -> None:
    """After an error of the provider the same key sends once more: clients retry with the key they have."""
    one = world()
    request = CallRequest("acme", BODY, idempotency_key="a")
    for tries in range(3):
        steps, sent = one.start(request)
        assert isinstance(sent, effects.Send), tries
        one.play(steps, Failed(529, "overloaded_error"))
    steps, sent = one.start(request)
    _, meanwhile = one.start(request)
    assert meanwhile.details["first_decision"] == sent.sending.decision_id
    one.play(steps, Completed(OPUS, USAGE))
    _, after = one.start(request)
    assert after.details["first_decision"] == sent.sending.decision_id
    assert list(one.states().values()) == ["released"] * 3 + ["settled"]


def test_a_key_outlives_a_long_outage() -> None:
    """A client that asks once a minute for an hour is served in the end, as nothing was billed."""
    one = world()
    request = CallRequest("acme", BODY, idempotency_key="a")
    for _ in range(60):
        steps, _ = one.start(request)
        one.play(steps, Failed(500))
    assert isinstance(one.start(request)[1], effects.Send)


def test_a_key_is_not_tried_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that failed so many times is used up: the search for its next try has a bound."""
    monkeypatch.setattr(repeats, "TRIES_MAX", 8)
    one = world()
    request = CallRequest("acme", BODY, idempotency_key="a")
    for _ in range(repeats.TRIES_MAX):
        steps, _ = one.start(request)
        one.play(steps, Failed(500))
    _, refused = one.start(request)
    assert refused.code == "outlay_duplicate_request"


def test_the_last_try_of_a_key_that_loses_its_probe_holds_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a key was tried, what is sent has a hold of its own behind it."""
    monkeypatch.setattr(repeats, "TRIES_MAX", 8)
    one = world()
    request = CallRequest("acme", BODY, idempotency_key="a")
    for _ in range(repeats.TRIES_MAX - 1):
        steps, _ = one.start(request)
        one.play(steps, Failed(500))
    one.view = replace(one.view, snapshot=waiting(OPUS))
    one.lost = frozenset({OPUS})
    _, sent = one.start(request)
    assert one.states()[sent.sending.decision_id] == "held"


def test_own_offers_under_one_key_are_told_apart() -> None:
    """Two authorizations with other offers are not the same request, though neither has a body."""
    one = world()
    answers = []
    for cost in (1_000, 2_000):
        request = CallRequest(
            "acme", {}, surface="holds", offers=(Offer("x", None, None, 0, cost, cost),), idempotency_key="a"
        )
        answers.append(one.play(flow.hold(request, one.tools())))
    assert isinstance(answers[0], Sending)
    assert "another request" in answers[1].message


# observe


def test_observe_mode_records_what_enforcement_would_have_done() -> None:
    """Over its budget in observe mode a call is sent as asked; the record says who would have refused it."""
    one = world(policy=policy(observe=True))
    one.ledger.do(books.SetBudget("acme", "b", T0, 0))
    steps, sent = one.start()
    assert sent.sending.model == OPUS
    one.play(steps, Completed(OPUS, USAGE))
    row = one.rows()["id-1"]
    would = json.loads(row["would"])
    assert (row["mode"], row["outcome"]) == ("observe", "served")
    assert would["ledger"]["refuse"] == "outlay_daily_budget_reached"
    assert would["ledger"]["numbers"]["limit_usd"] == "0.00"
    assert would["router"]["offer"]["model"] == OPUS


def test_observe_mode_passes_an_open_spend_breaker_with_a_reason() -> None:
    """A spend breaker that stands open is only told in observe mode; a kill switch still halts."""
    scope = tenant_scope("acme")
    speeding = replace(CALM, spend={scope: SpendWindow(10**12)})
    rules = Rules(tenant_spend=SpendRule(60, 1, 60), global_spend=None, provider=None)
    one = world(policy=policy(observe=True), snapshot=speeding, rules=rules)
    steps, sent = one.start()
    assert sent.sending.reasons[0].code == "outlay_runaway_halt"
    assert sent.sending.headers["outlay-reason"] == "outlay_runaway_halt,observed"
    seen = one.play(flow.preview(CallRequest("acme", BODY), one.tools()))
    assert [reason.code for reason in seen.reasons] == ["outlay_runaway_halt", "observed"]
    one.play(steps, Completed(OPUS, USAGE))
    assert json.loads(one.rows()["id-1"]["reasons"])[0]["code"] == "outlay_runaway_halt"
    strict = world(snapshot=speeding, rules=rules)
    _, refused = strict.start()
    assert (refused.code, refused.retry) == ("outlay_runaway_halt", False)


# degradation


def test_the_level_is_remembered_only_when_it_changes() -> None:
    """A level that differs from the remembered one is written before the hold, and not else."""
    one = world(level=2)
    one.start()
    assert one.kinds() == ["Look", "SetLevel", "Commit", "CheckSwitches"]
    assert one.seen[1].level == 0
