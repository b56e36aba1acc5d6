"""
Fallback over attempts: what is tried again and what never is, step by step, with a crash at every one.
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from flow_world import BODY, HAIKU, HALTED, OPUS, SONNET, USAGE, World, policy, waiting, world

import ledger.types as books
from outlay import effects, flow
from outlay.calls import (
    Broken,
    CallRequest,
    Completed,
    Done,
    Failed,
    Link,
    NotSent,
    Outcome,
    Refused,
    Uncertain,
)
from outlay.effects import Ended, fail, feed
from outlay.errors import BooksUnavailable
from outlay.strategies.fallback import failure_of
from router.codec import Inputs, from_json, to_json
from router.codec import replay as choose_again
from router.policy import load_policy
from router.types import Choice, Hints, Rights

ALL = 'on = ["overload", "server_error", "rate_limit", "unreachable"]\nattempts = 3'
OVERLOADED = Failed(529, "overloaded_error")
SMALL = """
[tiers.large]
models = ["claude-opus-5-5", "claude-opus-5"]
[tiers.medium]
models = ["claude-sonnet-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "medium"
"""


def falling(fallback: str = ALL, **more: Any) -> World:
    """A world whose policy falls back on everything."""
    return world(policy=policy(fallback=fallback), **more)


def models(one: World) -> list[str]:
    """What was held for, hold by hold."""
    return [row["served_model"] for row in one.rows().values()]


def test_an_overloaded_model_is_followed_by_another_of_its_tier() -> None:
    """
    The failed attempt is given back and recorded; the next has id, hold and record of its own, linked to it.
    """
    one = falling()
    steps, first = one.start()
    second = one.play(steps, OVERLOADED)
    assert (first.sending.model, second.sending.model) == (OPUS, "claude-opus-5")
    assert second.sending.body["model"] == "claude-opus-5"
    assert one.states() == {"id-1": "released", "id-2": "held"}
    assert first.sending.headers["outlay-attempts"] == "1"
    assert second.sending.headers["outlay-attempts"] == "2"
    assert second.sending.headers["outlay-decision-id"] == "id-2"
    done = one.play(steps, Completed("claude-opus-5", USAGE))
    assert (done.decision_id, done.outcome) == ("id-2", "served")
    rows = one.rows()
    assert [(row["parent"], row["attempt"], row["strategy"]) for row in rows.values()] == [
        (None, 0, None),
        ("id-1", 1, "fallback"),
    ]
    assert [row["outcome"] for row in rows.values()] == ["failed", "served"]
    told = json.loads(rows["id-2"]["reasons"])[0]
    assert (told["code"], told["numbers"]) == (
        "fallback",
        {"model": OPUS, "status": 529, "failed": "id-1"},
    )
    assert second.sending.headers["outlay-reason"].startswith("fallback,")


def test_after_the_last_model_of_a_tier_comes_the_next_tier() -> None:
    """Large, large, medium: an outage leads through the tier, then down."""
    one = world(policy=load_policy(SMALL))
    steps, _ = one.start()
    one.play(steps, OVERLOADED)
    sent = one.play(steps, OVERLOADED)
    assert (sent.sending.link.attempt, sent.sending.link.tried) == (2, 2)
    one.play(steps, Completed(SONNET, USAGE))
    assert models(one) == [OPUS, "claude-opus-5", SONNET]


@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        (OVERLOADED, "overload"),
        (Failed(200, "overloaded_error"), "overload"),
        (Failed(500, "api_error"), "server_error"),
        (Failed(504, "timeout_error"), "server_error"),
        (Failed(429, "rate_limit_error"), "rate_limit"),
        (Failed(429, "rate_limit_error", "ramp_limit_exceeded"), "rate_limit"),
        (NotSent("unreachable"), "unreachable"),
        (Failed(429, "rate_limit_error", "enforced_spend_limit_reached"), None),
        (Failed(529, "overloaded_error", final=True), None),
        (Failed(400, "invalid_request_error"), None),
        (Failed(401, "authentication_error"), None),
        (Failed(402, "billing_error"), None),
        (NotSent("the caller left", given_up=True), None),
        (Uncertain("no answer"), None),
        (Broken(OPUS, USAGE, 10), None),
        (Completed(OPUS, USAGE), None),
        (Completed(OPUS, {}), None),
    ],
)
def test_only_what_was_not_billed_is_tried_again(outcome: Outcome, failure: str | None) -> None:
    """What may have been billed, the caller's own mistake and an account's own limit end the call."""
    assert failure_of(outcome) == failure
    one = falling()
    steps, _ = one.start()
    after = one.play(steps, outcome)
    assert isinstance(after, effects.Send) is (failure is not None)
    quiet = falling("on = []")
    steps, _ = quiet.start()
    assert isinstance(quiet.play(steps, outcome), Done)


def test_a_rate_limit_passes_over_the_models_that_share_it() -> None:
    """Models of one line have one rate limit: the next model is of another line."""
    one = falling()
    steps, _ = one.start(CallRequest("acme", {**BODY, "model": SONNET}))
    assert one.play(steps, Failed(429, "rate_limit_error")).sending.model == HAIKU


def test_attempts_are_bounded() -> None:
    """After the last attempt the call has failed, with a record for each, all linked to the first."""
    one = falling()
    steps, sent = one.start()
    for _ in range(2):
        sent = one.play(steps, OVERLOADED)
        assert isinstance(sent, effects.Send)
    done = one.play(steps, OVERLOADED)
    assert isinstance(done, Done)
    assert (done.decision_id, done.outcome) == ("id-3", "failed")
    assert [row["parent"] for row in one.rows().values()] == [None, "id-1", "id-1"]
    assert set(one.states().values()) == {"released"}
    assert len(set(models(one))) == 3


def test_without_another_model_the_failure_stands_and_nothing_more_is_written() -> None:
    """A pinned call, or one whose floor leaves no model, is answered with its own failure."""
    for request in (
        CallRequest("acme", BODY, hints=Hints(pin=True), rights=Rights(loosen=True)),
        CallRequest("acme", {**BODY, "model": HAIKU}),
    ):
        one = falling('on = ["overload"]\nattempts = 5')
        steps, _ = one.start(request)
        end = one.play(steps, OVERLOADED)
        while isinstance(end, effects.Send):
            end = one.play(steps, OVERLOADED)
        assert isinstance(end, Done)
        assert end.outcome == "failed"
        assert {row["outcome"] for row in one.rows().values()} == {"failed"}
        assert one.notes == []


def test_a_fallback_never_leads_up() -> None:
    """A call that steps had lowered stays as low: its failure is not mended by the tier that it came from."""
    text = SMALL + '[degradation]\n[[degradation.steps]]\nbelow = 0.9\nmax_tier = "small"\n'
    one = world(policy=load_policy(text))
    one.view = _spent(one)
    steps, sent = one.start()
    assert sent.sending.model == HAIKU
    done = one.play(steps, OVERLOADED)
    assert isinstance(done, Done)
    assert models(one) == [HAIKU]


def _spent(one: World) -> Any:
    """A view in which half of the day's budget is gone."""
    gauge = books.Gauge("tenant/day", "tenant", "day", 10**11, 5 * 10**10, 0, 0, 0, 0, None)
    return replace(one.view, gauges=(gauge,))


def test_observe_mode_tries_nothing_else() -> None:
    """Observe mode reroutes nothing, so the failure stands."""
    one = world(policy=policy(observe=True, fallback=ALL))
    steps, _ = one.start()
    assert isinstance(one.play(steps, OVERLOADED), Done)


def test_the_money_is_asked_for_anew() -> None:
    """A budget that ends between the attempts refuses the second; the caller hears of the first failure."""
    one = falling()
    steps, _ = one.start()
    one.ledger.do(books.SetBudget("acme", "b", one.now_us, 0))
    done = one.play(steps, OVERLOADED)
    assert isinstance(done, Done)
    assert (done.decision_id, done.outcome) == ("id-1", "failed")
    (note,) = one.notes
    assert (note["parent"], note["code"]) == ("id-1", "outlay_daily_budget_reached")
    assert one.states() == {"id-1": "released"}


def test_the_kill_switch_stops_the_next_attempt() -> None:
    """A halt between the attempts sends nothing more, and gives the second hold back."""
    one = falling()
    steps, _ = one.start()
    one.halted = HALTED
    done = one.play(steps, OVERLOADED)
    assert isinstance(done, Done)
    assert done.decision_id == "id-1"
    assert one.states() == {"id-1": "released", "id-2": "released"}
    assert one.rows()["id-2"]["code"] == "outlay_kill_switch"


@pytest.mark.parametrize("broken", [effects.Look, effects.Commit, effects.CheckSwitches])
def test_books_out_of_reach_leave_the_failure_to_stand(broken: type) -> None:
    """Whatever of the next attempt cannot be written, the caller hears of the one that was."""
    one = falling()
    steps, _ = one.start()
    one.broken = (broken,)
    done = one.play(steps, OVERLOADED)
    assert isinstance(done, Done)
    assert done.decision_id == "id-1"
    assert "held" not in one.states().values()


def test_the_probe_of_a_failed_attempt_is_finished_before_the_next() -> None:
    """Each attempt counts for its own model's breaker."""
    one = falling(snapshot=waiting(OPUS))
    steps, _ = one.start()
    one.play(steps, OVERLOADED)
    moves = [wish for effect in one.seen if isinstance(effect, effects.Move) for wish in effect.transitions]
    assert [(wish.scope, wish.to_state) for wish in moves] == [
        (f"model:{OPUS}", "half_open"),
        (f"model:{OPUS}", "open"),
    ]
    one.play(steps, Completed("claude-opus-5", USAGE))
    deltas = [e.health for e in one.seen if isinstance(e, effects.CloseHold) and e.health is not None]
    assert [(d.scope, d.failures) for d in deltas] == [(f"model:{OPUS}", 1), ("model:claude-opus-5", 0)]


def test_a_key_covers_all_attempts_and_is_answered_as_before_afterwards() -> None:
    """Attempts of one key have holds of their own; a repeat after the success is a duplicate of it."""
    one = falling()
    request = CallRequest("acme", BODY, idempotency_key="a")
    steps, _ = one.start(request)
    one.play(steps, OVERLOADED)
    _, meanwhile = one.start(request)
    assert meanwhile.details["first_decision"] == "id-2"
    one.play(steps, Completed("claude-opus-5", USAGE))
    _, again = one.start(request)
    assert isinstance(again, Refused)
    assert again.details["first_decision"] == "id-2"
    keys = [e.op.key for e in one.seen if isinstance(e, effects.Commit)]
    assert keys[:3] == ["call:0:a", "call:0:a", "call:1:a"]


def test_every_attempt_can_be_decided_again() -> None:
    """What failed before is part of the stored inputs, so that a replay comes to the same offers."""
    one = falling()
    steps, _ = one.start()
    one.play(steps, OVERLOADED)
    one.play(steps, Completed("claude-opus-5", USAGE))
    for row in one.rows().values():
        made = choose_again(from_json(Inputs, row["inputs"]), one.view.policy, one.tools().prices)
        assert isinstance(made, Choice)
        assert to_json(made.offers) == row["offers"]


def test_a_crash_at_any_step_of_any_attempt_loses_no_money() -> None:
    """Stopped after any effect, every hold is released, settled or captured, each with one record."""
    script: list[Outcome] = [OVERLOADED, NotSent("unreachable"), Completed("claude-opus-4-8", USAGE)]
    whole = _played(10**6, list(script))
    assert sorted(whole.states().values()) == ["released", "released", "settled"]
    for stop in range(1, len(whole.seen) + 1):
        one = _played(stop, list(script))
        one.expire()
        assert "held" not in one.states().values()
        assert set(one.rows()) == set(one.states())
        assert sum(state == "settled" for state in one.states().values()) <= 1
        for name, state in one.states().items():
            expected = {"released": {"failed"}, "settled": {"served"}, "captured": {"uncertain"}}[state]
            assert one.rows()[name]["outcome"] in expected


def _played(stop: int, script: list[Outcome]) -> World:
    """Play a call against a script of outcomes and drop it after so many effects."""
    one = falling()
    steps = flow.run(CallRequest("acme", BODY), one.tools())
    effect = feed(steps, None)
    while not isinstance(effect, Ended):
        if isinstance(effect, effects.Send):
            effect = feed(steps, script.pop(0))
            continue
        answer = one.reply(effect)
        if len(one.seen) == stop:
            break
        effect = feed(steps, answer)
    steps.close()
    return one


def test_an_error_at_any_step_leaves_no_hold_that_nobody_closes() -> None:
    """Books that fail at any one effect: the call ends or raises, and no hold stays that was not sent for."""
    count = len(_played(10**6, [OVERLOADED, Completed("claude-opus-5", USAGE)]).seen)
    for bad in range(count):
        one = falling()
        steps = flow.run(CallRequest("acme", BODY), one.tools())
        script: list[Outcome] = [OVERLOADED, Completed("claude-opus-5", USAGE)]
        effect = feed(steps, None)
        try:
            while not isinstance(effect, Ended):
                if isinstance(effect, effects.Send):
                    effect = feed(steps, script.pop(0))
                elif len(one.seen) == bad and not isinstance(effect, effects.CloseHold):
                    one.seen.append(effect)
                    effect = fail(steps, BooksUnavailable("out of reach"))
                else:
                    effect = feed(steps, one.reply(effect))
        except BooksUnavailable:
            pass
        assert "held" not in one.states().values(), bad


def test_an_inner_attempt_comes_back_to_the_flow() -> None:
    """A step may make a call of its own: held, settled, recorded, linked, its answer given to the step."""
    one = falling()
    link = flow_link()
    steps = flow.attempt(CallRequest("acme", {**BODY, "model": HAIKU}, link=link), one.tools())
    sent = one.play(steps)
    assert sent.sending.link.inner
    made = one.play(steps, Completed(HAIKU, USAGE, {"content": []}))
    assert made.outcome.answer == {"content": []}
    row = one.rows()["id-1"]
    assert (row["parent"], row["strategy"], row["outcome"]) == ("d-0", "classifier", "served")
    failing = flow.attempt(CallRequest("acme", BODY, link=link), one.tools())
    one.play(failing)
    assert one.play(failing, OVERLOADED).result.outcome == "failed"


def flow_link() -> Any:
    """The link of a classifier's call."""
    return Link(parent="d-0", strategy="classifier", inner=True)


def test_a_tier_that_the_policy_has_lost_meanwhile_does_not_stop_a_fallback() -> None:
    """An operator renames tiers between two attempts: the call goes on under the new names."""
    one = world(policy=load_policy(SMALL))
    steps, _ = one.start()
    renamed = SMALL.replace("large", "big").replace("medium", "middle")
    one.view = replace(one.view, policy=load_policy(renamed))
    assert isinstance(one.play(steps, OVERLOADED), effects.Send)
