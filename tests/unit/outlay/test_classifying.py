"""
Classifiers that read prompts, within the flow: what is asked, what is not, and that nothing depends on it.
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from flow_world import BODY, HAIKU, USAGE, World, world

from outlay import effects, flow
from outlay.calls import CallRequest, Completed, Failed, Refused, Uncertain
from outlay.errors import BooksUnavailable
from outlay.strategies import asking
from router.codec import Inputs, from_json, replay
from router.policy import Policy, load_policy
from router.prompt_shape import newest_prompt
from router.types import Choice, Hints, Prediction, Rights

TOML = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
classifier = "{kind}"
[routing.tasks]
"known" = {{ tier = "large" }}
"secret" = {{ privacy = "inner" }}
[routing.calibration]
required = []
[privacy.inner]
models = ["claude-opus-5-5"]
[enforcement]
mode = "{mode}"
"""
AUTO = {**BODY, "model": "outlay/auto"}


def policy(kind: str = "llm", mode: str = "enforce") -> Policy:
    """Two tiers and a classifier that needs no proof."""
    return load_policy(TOML.format(kind=kind, mode=mode))


def answer(text: str) -> Completed:
    """The small model's answer."""
    return Completed(HAIKU, USAGE, {"content": [{"type": "text", "text": text}]})


def begin(one: World, **more: Any) -> tuple[Any, Any]:
    """Begin a call that leaves its tier to the router."""
    return one.start(CallRequest("acme", AUTO, **more))


def why(sending: Any) -> str:
    """The explanation as text."""
    return " | ".join(reason.text for reason in sending.reasons)


def test_the_small_model_is_asked_first_and_its_tier_serves() -> None:
    """The question is a call of its own: held, settled, linked to the decision, and its price is told."""
    one = world(policy=policy())
    steps, question = begin(one)
    sent = question.sending
    assert (sent.model, sent.link.inner, sent.link.strategy, sent.link.timeout_ms) == (
        HAIKU, True, "classifier", 3_000,
    )  # fmt: skip
    assert sent.body["max_tokens"] == 16
    assert "hello" in str(sent.body["messages"])
    assert "large, small" in str(sent.body["system"])
    call = one.play(steps, answer("small"))
    assert call.sending.model == HAIKU
    assert not call.sending.link.inner
    assert "the llm classifier names tier small" in why(call.sending)
    done = one.play(steps, Completed(HAIKU, USAGE))
    rows = one.rows()
    assert set(rows) == {sent.decision_id, done.decision_id}
    asked = rows[sent.decision_id]
    assert (asked["parent"], asked["strategy"], asked["outcome"]) == (
        done.decision_id,
        "classifier",
        "served",
    )
    assert asked["cost_nanos"] > 0
    told = [one["numbers"] for one in json.loads(rows[done.decision_id]["reasons"])]
    assert {"cost_nanos": asked["cost_nanos"], "decision": sent.decision_id}.items() <= told[0].items()


def test_the_decision_is_replayed_without_asking_again() -> None:
    """What the small model said is an input of the decision."""
    one = world(policy=policy())
    steps, _ = begin(one)
    call = one.play(steps, answer("small"))
    done = one.play(steps, Completed(HAIKU, USAGE))
    inputs = from_json(Inputs, one.rows()[done.decision_id]["inputs"])
    again = replay(inputs, one.view.policy, one.tools().prices)
    assert isinstance(again, Choice)
    assert again.offers[0].model == call.sending.model


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (answer("I would say it depends"), "names no tier"),
        (answer("small or large"), "or several"),
        (answer(""), "names no tier"),
        (Completed(HAIKU, USAGE), "names no tier"),
        (Failed(529, "overloaded_error"), "its call ended failed"),
        (Uncertain("timeout: no answer"), "its call ended uncertain"),
    ],
    ids=["no tier", "two tiers", "empty", "no answer", "failed", "timed out"],
)
def test_without_a_clear_answer_the_larger_tier_serves(outcome: Any, said: str) -> None:
    """Whatever the classifier does, the call goes out, and the explanation says why it is not cheaper."""
    one = world(policy=policy())
    steps, _ = begin(one)
    call = one.play(steps, outcome)
    assert call.sending.model == "claude-opus-5-5"
    assert said in why(call.sending)


def test_a_conversation_is_asked_about_once() -> None:
    """The second turn is decided by what was said of the first."""
    one = world(policy=policy())
    tools = one.tools()
    steps = flow.run(CallRequest("acme", AUTO), tools)
    one.play(steps)
    one.play(steps, answer("small"))
    one.play(steps, Completed(HAIKU, USAGE))
    said = [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "and a long hard question"}]
    second = {**AUTO, "messages": [*BODY["messages"], *said]}
    call = one.play(flow.run(CallRequest("acme", second), tools))
    assert (call.sending.link.inner, call.sending.model) == (False, HAIKU)


def test_after_a_failure_calls_go_on_without_for_a_while() -> None:
    """Nobody waits twice for a classifier that is down; half a minute later it is asked again."""
    one = world(policy=policy())
    tools = one.tools()
    steps = flow.run(CallRequest("acme", AUTO), tools)
    one.play(steps)
    one.play(steps, Failed(529, "overloaded_error"))
    one.play(steps, Completed("claude-opus-5-5", USAGE))
    call = one.play(flow.run(CallRequest("acme", AUTO), tools))
    assert not call.sending.link.inner
    assert "it failed a moment ago" in why(call.sending)
    one.now_us += 31_000_000
    assert one.play(flow.run(CallRequest("acme", AUTO), tools)).sending.link.inner


@pytest.mark.parametrize(
    ("request_", "mode"),
    [
        (CallRequest("acme", AUTO, hints=Hints(task="known")), "enforce"),
        (CallRequest("acme", BODY, hints=Hints(pin=True), rights=Rights(loosen=True)), "enforce"),
        (CallRequest("acme", AUTO, hints=Hints(task="secret")), "enforce"),
        (CallRequest("acme", AUTO, hints=Hints(privacy="inner")), "enforce"),
        (CallRequest("acme", AUTO), "observe"),
    ],
    ids=["routed task", "pinned", "private task", "private call", "observed"],
)
def test_nothing_is_asked_where_the_answer_does_not_matter_or_may_not_be_had(
    request_: CallRequest, mode: str
) -> None:
    """A prompt of a privacy class never reaches a model outside of it, and no money is spent for nothing."""
    one = world(policy=policy(mode=mode))
    _, call = one.start(request_)
    assert not call.sending.link.inner
    assert call.sending.model == "claude-opus-5-5"


@pytest.mark.parametrize("model", ["outlay/small", HAIKU])
def test_a_call_that_nothing_can_lower_is_not_asked_about(model: str) -> None:
    """No money is spent on an answer that cannot matter: the call names the lowest tier itself."""
    one = world(policy=policy())
    _, call = one.start(CallRequest("acme", {**BODY, "model": model}))
    assert (call.sending.link.inner, call.sending.model) == (False, HAIKU)
    assert "nothing is cheaper than what the call names" in why(call.sending)


def test_a_preview_and_a_held_call_are_not_asked_about() -> None:
    """Nobody would send the question."""
    one = world(policy=policy())
    held = one.play(flow.hold(CallRequest("acme", AUTO), one.tools()))
    assert held.offer.model == "claude-opus-5-5"
    shown = one.play(flow.preview(CallRequest("acme", AUTO), one.tools()))
    assert not isinstance(shown, Refused)
    assert "only a call that Outlay sees being sent" in shown.reasons[0].text


def test_a_question_that_could_cost_too_much_is_not_asked() -> None:
    """Its worst case is checked against the policy's ceiling; its hold is given back."""
    costly = load_policy(TOML.format(kind="llm", mode="enforce") + '[routing.llm]\nmax_usd = "0.000001"\n')
    one = world(policy=costly)
    _, call = begin(one)
    assert (call.sending.link.inner, call.sending.model) == (False, "claude-opus-5-5")
    assert "refused" in why(call.sending)
    assert list(one.states().values()) == ["released", "held"]


def test_books_out_of_reach_end_the_call_not_only_the_question() -> None:
    """No money can be held for the call either."""
    one = world(policy=policy(), broken=(effects.Commit,))
    with pytest.raises(BooksUnavailable):
        begin(one)


class Predicting(World):
    """A world whose stored model says what it is told to."""

    said: Prediction | None = None

    def reply(self, effect: Any) -> Any:
        """Predict, or do what every world does."""
        if isinstance(effect, effects.Predict):
            self.seen.append(effect)
            return self.said
        return super().reply(effect)


def predicting(said: Prediction) -> Predicting:
    """A world under the learned classifier."""
    one = Predicting(replace(world().view, policy=policy("learned")))
    one.said = said
    return one


@pytest.mark.parametrize(
    ("said", "model", "told"),
    [
        (Prediction("learned", "v1", gain=0.02), HAIKU, "is under 0.1"),
        (Prediction("learned", "v1", gain=0.1), "claude-opus-5-5", "reaches 0.1"),
        (Prediction("learned", "v1", why="unfamiliar: task class 'x'"), "claude-opus-5-5", "unfamiliar"),
        (Prediction("learned", "", why="no classifier has been trained"), "claude-opus-5-5", "no classifier"),
    ],
    ids=["little gain", "gain", "foreign", "untrained"],
)
def test_a_trained_model_decides_where_it_knows_the_traffic(said: Prediction, model: str, told: str) -> None:
    """What it does not know is served by the larger tier, and the explanation says what was foreign."""
    one = predicting(said)
    _, call = begin(one, hints=Hints(task="mail"))
    assert call.sending.model == model
    assert told in why(call.sending)
    asked = next(effect for effect in one.seen if isinstance(effect, effects.Predict))
    assert (asked.tenant, asked.version, asked.prompt, asked.task_class) == ("acme", None, "hello", "mail")


def test_no_prompt_is_kept_or_shown() -> None:
    """Neither the record nor the effect's text holds what a user wrote."""
    one = predicting(Prediction("learned", "v1", gain=0.02))
    steps, _ = begin(one)
    one.play(steps, Completed(HAIKU, USAGE))
    assert "hello" not in json.dumps(one.rows(), default=str)
    assert "hello" not in repr(one.seen)


def test_the_newest_text_of_the_user_is_what_counts() -> None:
    """Answers of the model and results of tools are not the user's words."""
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "image"}]},
        {"role": "assistant", "content": []},
        {"role": "user", "content": [{"type": "tool_result", "content": "4"}]},
    ]
    assert newest_prompt({"messages": messages}) == "second"
    assert newest_prompt({"messages": "none"}) == ""


def test_a_long_prompt_is_shown_by_its_ends() -> None:
    """The question's size, and so its price, has a bound."""
    asked = asking.question(policy(), "a" * 5_000 + "z" * 5_000)
    shown = str(asked["messages"])
    assert len(shown) < 2_200
    assert "aaa" in shown
    assert "zzz" in shown
