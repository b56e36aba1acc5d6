"""
What a call is known by before it is classified.
"""

import json
from typing import Any

import pytest

from circuit.health import Outcome as Health
from outlay import requests
from outlay.calls import Broken, CallRequest, Completed, Failed, NotSent, Uncertain
from router.types import Hints, Offer

BODY: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "hello"}],
}


def test_a_record_begins_with_what_the_call_says() -> None:
    """Names are cut to a length that a log can bear, whatever the body holds in their place."""
    request = CallRequest(
        "acme", {**BODY, "model": "m" * 500, "stream": True}, key_id="k", hints=Hints(task="t" * 500)
    )
    record = requests.record(request, "d1", 7)
    assert (record["id"], record["at_us"], record["key_id"], record["stream"]) == ("d1", 7, "k", True)
    assert len(record["asked_model"]) == len(record["task"]) == 200
    odd = requests.record(CallRequest("acme", {"model": {"a": 1}, "stream": "yes"}), "d1", 7)
    assert (odd["asked_model"], odd["stream"], odd["task"]) == ("{'a': 1}", False, None)


def test_tags_are_kept_as_an_object() -> None:
    """Tags are stored in one order, so that equal tags read equal."""
    hints = Hints(tags=(("team", "ä"), ("app", "x")))
    assert json.loads(requests.record(CallRequest("acme", BODY, hints=hints), "d", 1)["tags"]) == {
        "app": "x",
        "team": "ä",
    }


def test_only_a_conversation_with_an_answer_has_a_session_to_recall() -> None:
    """A conversation that begins, or that cannot be read, has nothing to be recalled."""
    answered = [*BODY["messages"], {"role": "assistant", "content": "hi"}, {"role": "user", "content": "so?"}]
    going_on = CallRequest("acme", {**BODY, "messages": answered})
    assert requests.ongoing_session(going_on) is not None
    named = CallRequest("acme", {**BODY, "messages": answered}, hints=Hints(session="s1"))
    assert requests.ongoing_session(named) == "id:s1"
    assert requests.ongoing_session(CallRequest("acme", BODY)) is None
    for messages in (None, 7, "x", [7], {}):
        assert requests.ongoing_session(CallRequest("acme", {**BODY, "messages": messages})) is None


def test_budgets_that_may_limit_a_call_are_named_once_each() -> None:
    """A key, a task and each tag can have a budget of their own; what is not given has none."""
    assert requests.scopes(CallRequest("acme", BODY)) == ()
    hints = Hints(task="t", tags=(("a", "1"), ("b", "2")))
    body = {**BODY, "metadata": {"user_id": "42"}}
    named = CallRequest("acme", body, key_id="k", hints=hints)
    assert requests.scopes(named) == ("key:k", "task:t", "user:42", "tag:a=1", "tag:b=2")
    for metadata in (None, 7, {}, {"user_id": None}, {"user_id": 7}, {"user_id": ""}):
        assert requests.scopes(CallRequest("acme", {**BODY, "metadata": metadata})) == ()


@pytest.mark.parametrize(
    ("outcome", "health"),
    [
        (Completed("m", {}), Health.SUCCESS),
        (Failed(400), Health.SUCCESS),
        (Failed(429, "rate_limit_error"), Health.NEUTRAL),
        (Failed(402, "billing_error"), Health.NEUTRAL),
        (Failed(500), Health.FAILURE),
        (Failed(200, "overloaded_error"), Health.FAILURE),
        (NotSent("unreachable"), Health.FAILURE),
        (NotSent("left", given_up=True), Health.NEUTRAL),
        (Uncertain("lost"), Health.FAILURE),
        (Uncertain("left", given_up=True), Health.NEUTRAL),
        (Broken("m", {}, 0), Health.FAILURE),
        (Broken("m", {}, None, given_up=True), Health.NEUTRAL),
    ],
)
def test_the_end_of_a_call_says_how_the_model_is(outcome: Any, health: Health) -> None:
    """Only what the provider did counts for or against it."""
    assert requests.health(outcome) is health


def test_own_offers_are_a_choice_whose_first_is_asked_for() -> None:
    """A caller's own offers keep their order; the first is the road not taken."""
    offers = tuple(Offer(name, None, None, 0, 2, 1) for name in ("a", "b"))
    choice = requests.own_choice(offers, 2)
    assert (choice.asked_model, choice.offers, choice.level) == ("a", offers, 2)
    assert choice.counterfactual is not None
    assert choice.counterfactual.model == "a"
