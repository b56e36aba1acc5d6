"""
A call of the flow's own (the small model's question) that is cut off or fails: whatever follows it is given
back where nobody is left to send it, and its answer is never taken for the caller's.
"""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import anthropic
import pytest

import outlay
from ledger import StoreUnavailable
from ledger.types import Reserve
from outlay import Cascade, JsonSchema, Judge, Speculative, Step, Workflow
from outlay.admin import decisions
from outlay.admin.policies import apply_policy
from outlay.aio import AsyncCalls
from outlay.calls import CallRequest, Completed, Link, NotSent
from outlay.client import Calls
from outlay.requests import kind
from outlay.testing import Reply, ScriptedProvider

POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
classifier = "llm"
[routing.calibration]
required = []
"""
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
BODY: dict[str, Any] = {
    "model": "outlay/auto",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Say it in JSON."}],
}
REQUEST = CallRequest("acme", BODY)
USAGE = {"input_tokens": 10, "output_tokens": 5}
COST = {OPUS: Decimal("0.00014"), HAIKU: Decimal("0.0000350")}


@pytest.fixture
def books(url: str) -> Iterator[outlay.Outlay]:
    """Books with one tenant of 5 USD, whose policy asks a small model."""
    with outlay.open(url, policy=POLICY) as opened:
        opened.create_tenant("acme", credit="5")
        yield opened


def states(books: Any) -> list[tuple[str, str]]:
    """How each decision ended, and what became of its hold, the oldest first."""
    listed = decisions.list_decisions(books.app, tenant="acme")["decisions"]
    told = [decisions.explain(books.app, row["id"]) for row in reversed(listed)]
    return sorted((one["strategy"] or "call", one["hold"]["state"]) for one in told)


def in_loop(url: str, work: Callable[[Any], Any]) -> Any:
    """Open books in a loop, with one tenant, and do something with them."""

    async def play() -> Any:
        async with outlay.open_async(url, policy=POLICY) as books:
            await books.create_tenant("acme", credit="5")
            return await work(books)

    return asyncio.run(play())


def message(model: str, text: str) -> dict[str, Any]:
    """A message of the provider."""
    return {"type": "message", "model": model, "content": [{"type": "text", "text": text}], "usage": USAGE}


def is_question(body: Any) -> bool:
    """Tell the classifier's question from a call."""
    return "You choose the tier" in str(body.get("system"))


# callers that leave


def test_a_caller_that_leaves_before_the_question_is_sent_leaves_no_hold(url: str) -> None:
    """Neither the question's money nor that of the call behind it stays held."""

    async def work(books: Any) -> None:
        calls: AsyncCalls = books.calls
        perform = calls.perform
        reached = asyncio.Event()

        async def slow(effect: Any) -> Any:
            reached.set()
            await asyncio.sleep(0.05)
            return await perform(effect)

        calls.perform = slow  # type: ignore[method-assign]
        starting = asyncio.create_task(calls.start(REQUEST))
        await reached.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        while calls._tasks:
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(states, books) == [("call", "released"), ("classifier", "released")]

    in_loop(url, work)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_amid_the_question_gives_the_call_back(
    books: outlay.Outlay, stop: type[BaseException]
) -> None:
    """The question may have been billed and stays held; the call was never sent."""

    def send(body: dict[str, Any]) -> Any:
        raise stop

    with pytest.raises(stop):
        books.run("acme", BODY, strategy=Cascade(("auto",), JsonSchema({})), send=send)
    assert states(books) == [("cascade", "released"), ("classifier", "open")]


def test_a_cancellation_amid_the_question_gives_the_call_back(url: str) -> None:
    """The same in an event loop."""

    async def work(books: Any) -> None:
        asked = asyncio.Event()

        async def send(body: Any) -> Any:
            asked.set()
            await asyncio.sleep(60)

        plan = Cascade(("auto",), JsonSchema({}))
        running = asyncio.create_task(books.run("acme", BODY, strategy=plan, send=send))
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(states, books) == [("cascade", "released"), ("classifier", "open")]

    in_loop(url, work)


def test_a_call_that_is_abandoned_wants_nothing_more(books: outlay.Outlay) -> None:
    """Whatever the flow would send next is given back, blocking and asynchronous alike."""
    call = Calls(books.app).start(REQUEST)
    call.abandon(NotSent("the caller left", given_up=True))
    assert call.sending is None
    call.abandon(NotSent("the caller left", given_up=True))
    assert states(books) == [("call", "released"), ("classifier", "released")]


class Interrupted(ScriptedProvider):
    """Interrupts whoever waits for its first answer."""

    def handle_request(self, request: Any) -> Any:
        """Interrupt."""
        super().handle_request(request)
        raise KeyboardInterrupt


def test_an_interrupt_amid_the_question_ends_a_call_of_the_sdk(books: outlay.Outlay) -> None:
    """It is not swallowed, and nothing is sent after it."""
    provider = Interrupted([Reply("small"), Reply("x")])
    http = anthropic.DefaultHttpxClient(transport=provider)
    middleware = [outlay.middleware(books, tenant="acme")]
    client = anthropic.Anthropic(api_key="k", http_client=http, middleware=middleware)
    with pytest.raises(KeyboardInterrupt):
        client.messages.create(**BODY)
    assert len(provider.bodies) == 1
    assert states(books) == [("call", "released"), ("classifier", "open")]


class Endless(ScriptedProvider):
    """Never answers."""

    async def handle_async_request(self, request: Any) -> Any:
        """Remember the request, and wait."""
        await super().handle_async_request(request)
        await asyncio.sleep(60)


def test_a_cancellation_amid_the_question_ends_a_call_of_the_sdk(url: str) -> None:
    """The same in an event loop."""

    async def work(books: Any) -> None:
        provider = Endless([Reply("small"), Reply("x")])
        http = anthropic.DefaultAsyncHttpxClient(transport=provider)
        middleware = [outlay.middleware(books, tenant="acme")]
        client = anthropic.AsyncAnthropic(api_key="k", http_client=http, middleware=middleware)
        running = asyncio.create_task(client.messages.create(**BODY))
        while not provider.bodies:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(provider.bodies) == 1
        assert await asyncio.to_thread(states, books) == [("call", "released"), ("classifier", "open")]

    in_loop(url, work)


# books that go away


def test_the_questions_answer_is_never_the_callers(books: outlay.Outlay, monkeypatch: Any) -> None:
    """Where no money can be held for the call itself, it fails as one whose books are out of reach."""
    provider = ScriptedProvider([Reply("small", 10, 1)] * 9)
    http = anthropic.DefaultHttpxClient(transport=provider)
    middleware = [outlay.middleware(books, tenant="acme")]
    client = anthropic.Anthropic(api_key="k", http_client=http, middleware=middleware, max_retries=0)
    do = books.app.ledger.do

    def failing(op: Any, attach: Any = ()) -> Any:
        if isinstance(op, Reserve) and provider.bodies:
            raise StoreUnavailable("gone")
        return do(op, attach)

    monkeypatch.setattr(books.app.ledger, "do", failing)
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**BODY)
    assert caught.value.status_code == 503
    assert caught.value.response.headers["x-should-retry"] == "true"
    assert len(provider.bodies) == 1


# calls side by side


def test_calls_side_by_side_are_asked_about_before_the_race(url: str) -> None:
    """The question about the tier `auto` is no racer: all answers are looked at, and all is paid for."""

    async def work(books: Any) -> None:
        bodies: list[dict[str, Any]] = []
        answers = {HAIKU: "no", OPUS: '{"name": "opus"}'}

        async def send(body: dict[str, Any]) -> Any:
            bodies.append(body)
            return message(body["model"], "large" if is_question(body) else answers[body["model"]])

        plan = Speculative(("small", "auto"), JsonSchema({"type": "object"}))
        result = await books.run("acme", BODY, strategy=plan, send=send)
        assert (result.passed, result.text) == (True, '{"name": "opus"}')
        assert [is_question(body) for body in bodies] == [True, False, False]
        rows = [await books.explain(one.decision_id) for one in result.attempts]
        assert {row["strategy"] for row in rows} == {"speculative"}
        assert result.decision_id in {row["id"] for row in rows}
        assert await asyncio.to_thread(states, books) == [
            ("classifier", "settled"), ("speculative", "settled"), ("speculative", "settled"),
        ]  # fmt: skip

    in_loop(url, work)


def test_an_answer_of_the_question_closes_like_any_other(books: outlay.Outlay) -> None:
    """The plain course, for comparison: two holds, both settled."""
    call = Calls(books.app).start(REQUEST)
    call.resume(Completed(HAIKU, USAGE, message(HAIKU, "small")))
    call.resume(Completed(HAIKU, USAGE))
    assert states(books) == [("call", "settled"), ("classifier", "settled")]


# whose money, whose privacy


def tell(body: dict[str, Any]) -> dict[str, Any]:
    """Answer the question, the judge, or the call."""
    text = "small" if is_question(body) else "7" if "You grade" in str(body.get("system")) else "no"
    return message(body["model"], text)


def test_questions_and_judges_are_borne_by_the_budgets_of_the_call(books: outlay.Outlay) -> None:
    """Budgets of a task and of an end user see everything that was spent for their calls."""
    books.set_budget("acme", "1", scope="task:mail")
    books.set_budget("acme", "1", scope="user:ann")
    body = {**BODY, "metadata": {"user_id": "ann"}}
    result = books.run(
        "acme", body, strategy=Cascade(("large",), Judge("outlay/auto")), send=tell, task="mail"
    )
    spent = {one["scope"]: one["spent_usd"] for one in books.balance("acme")["budgets"]}
    total = Decimal("5") - Decimal(books.balance("acme")["credit_usd"])
    assert len(states(books)) >= 3
    assert {Decimal(spent["task:mail"]), Decimal(spent["user:ann"])} == {total}
    assert Decimal(result.cost_usd) == total


def test_a_user_who_may_not_spend_does_not_keep_others_from_being_classified(books: outlay.Outlay) -> None:
    """A question refused for one user's budget says nothing of the model that is asked."""
    books.set_budget("acme", "0", scope="user:ann")
    calls = Calls(books.app)
    refused = calls.start(CallRequest("acme", {**BODY, "metadata": {"user_id": "ann"}}))
    assert refused.sending is None
    call = calls.start(REQUEST)
    assert call.sending is not None
    assert call.sending.link.inner
    call.abandon(NotSent("left", given_up=True))
    call = calls.start(REQUEST)
    assert call.sending is not None
    assert call.sending.link.inner
    call.abandon(NotSent("left", given_up=True))


PRIVATE = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "small"
[routing.tasks]
"secret" = { tier = "large", privacy = "inner" }
[privacy.inner]
models = ["claude-opus-5-5"]
"""


def test_a_judge_is_bound_by_the_privacy_class_of_the_task(books: outlay.Outlay) -> None:
    """What only some models may read is not shown to another for a grade."""
    apply_policy(books.app, PRIVATE, actor="t")
    models: list[str] = []

    def send(body: dict[str, Any]) -> Any:
        models.append(body["model"])
        return tell(body)

    books.run("acme", BODY, strategy=Cascade(("large",), Judge("outlay/auto")), send=send, task="secret")
    assert models == [OPUS, OPUS]


def test_short_answers_of_our_own_questions_are_not_expected_of_calls(books: outlay.Outlay) -> None:
    """What a question's answer used says nothing of the calls that ask for the same model."""
    body = {**BODY, "model": HAIKU}
    assert kind(CallRequest("acme", body)) == HAIKU
    assert kind(CallRequest("acme", body, link=Link(strategy="classifier", inner=True))) == "classifier"
    assert kind(CallRequest("acme", body, link=Link(strategy="judge"))) == "judge"


def test_a_workflow_pays_for_questions_out_of_its_budget(books: outlay.Outlay) -> None:
    """With a budget that bears the call but not the question beside it, the call is not sent."""
    step = Step("one", BODY)
    books.run_workflow("acme", Workflow("w", (step,), budget_usd="1"), send=tell)
    bound = Decimal(books.decide("acme", {**BODY, "model": HAIKU}).cost_bound_usd)
    other = {**BODY, "messages": [{"role": "user", "content": "Say it in XML!!"}]}
    plan = Workflow("w", (Step("one", other),), budget_usd=str(bound))
    result = books.run_workflow("acme", plan, send=tell)
    assert (result.complete, result.why) == (False, "budget")
    assert Decimal(result.cost_usd) <= bound
