"""
Cascade, speculative calls and workflows over real books: each attempt its own hold, all linked, nothing lost.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from answering import Answering

import outlay
from outlay import Cascade, JsonSchema, Judge, Speculative, Step, Tool, Verdict, Workflow, reports_routing
from outlay.admin import decisions
from outlay.admin.replay import replay

POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.medium]
models = ["claude-sonnet-5-5"]
[tiers.small]
models = ["claude-haiku-4-5"]
[routing]
default_tier = "medium"
"""
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5"
BODY: dict[str, Any] = {
    "model": "outlay/auto",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Say it in JSON."}],
}
OBJECT = JsonSchema({"type": "object", "required": ["name"]})
UP = ("small", "medium", "large")
COST = {OPUS: Decimal("0.00014"), SONNET: Decimal("0.00007"), HAIKU: Decimal("0.000035")}
"""10 tokens in and 5 out, at each model's prices."""


class OverloadedError(Exception):
    """An error as a client of another make raises it: with the status of the provider's answer."""

    status_code = 529
    type = "overloaded_error"


class BadRequestError(Exception):
    """One that no other model mends."""

    status_code = 400
    type = "invalid_request_error"


class Provider(Answering):
    """Only the large model passes unless told otherwise; a judge is content."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(
            {OPUS: '{"name": "opus"}', SONNET: '{"name": 1}', HAIKU: "no", **answers}, {"You grade": "10"}
        )

    @property
    def billed(self) -> Decimal:
        """What the provider asks for its answers."""
        return sum((COST[model] for model in self.answered), Decimal(0))


@pytest.fixture
def books(url: str) -> Iterator[outlay.Outlay]:
    """Books with one tenant of 5 USD."""
    with outlay.open(url, policy=POLICY) as opened:
        opened.create_tenant("acme", credit="5")
        yield opened


def paid(books: Any) -> Decimal:
    """What the tenant paid; nothing is held any more."""
    balance = books.balance("acme")
    assert balance["held_usd"] == "0.00"
    return Decimal("5") - Decimal(balance["credit_usd"])


def records(books: Any) -> list[dict[str, Any]]:
    """All decisions of the tenant whole, the oldest first."""
    listed = decisions.list_decisions(books.app, tenant="acme")["decisions"]
    return [books.explain(row["id"]) for row in reversed(listed)]


# cascade


def test_a_cascade_climbs_until_an_answer_passes(books: outlay.Outlay) -> None:
    """Small gives no JSON, medium leaves a field out, large passes: three holds, one parent, true costs."""
    provider = Provider(**{SONNET: "{}"})
    result = books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=provider, task="extract")
    assert provider.models == [HAIKU, SONNET, OPUS]
    assert (result.passed, result.why, result.text) == (True, "passed", '{"name": "opus"}')
    assert Decimal(result.cost_usd) == provider.billed == paid(books)
    first, second, third = records(books)
    assert [row["strategy"] for row in (first, second, third)] == ["cascade"] * 3
    assert [row["parent"] for row in (first, second, third)] == [None, first["id"], first["id"]]
    assert [row["attempt"] for row in (first, second, third)] == [0, 1, 2]
    assert (result.decision_id, result.served_by) == (first["id"], third["id"])
    told = second["reasons"][0]
    assert told["code"] == "escalated"
    assert "no JSON" in told["text"]
    assert told["numbers"] == {"after": first["id"], "score": 0.0}
    assert [one["id"] for one in third["attempts"]] == [first["id"], second["id"], third["id"]]
    assert [row["scores"][0]["value"] for row in (first, second, third)] == [0, 0, 1]
    assert first["scores"][0]["source"] == "json_schema"
    found = replay(books.app)
    assert (found["checked"], found["differing"]) == (3, 0)
    shown = reports_routing.why(books.app, second["id"])
    assert shown is not None
    assert [one["id"] for one in shown.attempts] == [row["id"] for row in (first, second, third)]


def test_a_cascade_stops_at_the_first_answer_that_passes(books: outlay.Outlay) -> None:
    """What is good enough is not asked again."""
    provider = Provider(**{HAIKU: '{"name": "haiku"}'})
    result = books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=provider)
    assert provider.models == [HAIKU]
    assert result.passed
    assert paid(books) == COST[HAIKU]
    assert books.explain(result.decision_id)["attempts"] == []


def test_a_budget_that_ends_amid_a_cascade_gives_the_best_answer_so_far(books: outlay.Outlay) -> None:
    """The answer of the small model is given, and told as not having passed, for want of money."""
    provider = Provider()

    def refuse_more(message: Any) -> bool:
        books.set_budget("acme", "0.0000351")
        return False

    result = books.run("acme", BODY, strategy=Cascade(UP, refuse_more), send=provider)
    assert (result.passed, result.why, result.text) == (False, "budget", "no")
    assert result.attempts[-1].outcome == "refused"
    assert "outlay_daily_budget_reached" in result.attempts[-1].told
    assert paid(books) == COST[HAIKU] == Decimal(result.cost_usd)
    refused = records(books)[-1]
    assert (refused["outcome"], refused["parent"]) == ("refused", result.decision_id)


def test_a_call_refused_at_once_is_raised(books: outlay.Outlay) -> None:
    """Without any answer the refusal is the caller's to know."""
    books.set_budget("acme", "0")
    with pytest.raises(outlay.CallRefused) as caught:
        books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=Provider())
    assert caught.value.refused.code == "outlay_daily_budget_reached"


def test_a_model_that_is_overloaded_leads_on(books: outlay.Outlay) -> None:
    """The small model fails unbilled and has no fallback below it: the cascade asks the next tier."""
    provider = Provider(**{HAIKU: OverloadedError(), SONNET: '{"name": "sonnet"}'})
    result = books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=provider)
    assert provider.models == [HAIKU, SONNET]
    assert [one.outcome for one in result.attempts] == ["failed", "served"]
    assert result.passed
    assert paid(books) == provider.billed


def test_a_fallback_amid_a_cascade_is_linked_like_its_attempts(books: outlay.Outlay) -> None:
    """Medium is overloaded, and falls back on small within the attempt; all decisions have the one parent."""
    provider = Provider(**{SONNET: OverloadedError()})
    result = books.run("acme", BODY, strategy=Cascade(("medium", "large"), OBJECT), send=provider)
    assert provider.models == [SONNET, HAIKU, OPUS]
    assert result.passed
    rows = records(books)
    first = rows[0]["id"]
    assert [(row["strategy"], row["parent"], row["attempt"]) for row in rows] == [
        ("cascade", None, 0),
        ("fallback", first, 1),
        ("cascade", first, 2),
    ]
    assert result.decision_id == first
    assert len(books.explain(first)["attempts"]) == 3
    assert paid(books) == provider.billed


def test_what_may_have_been_billed_ends_the_run_and_stays_held(books: outlay.Outlay) -> None:
    """A lost answer is not asked for again: the error is raised, and the hold waits for its capture."""
    provider = Provider(**{HAIKU: ConnectionResetError("gone")})
    with pytest.raises(ConnectionResetError):
        books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=provider)
    assert provider.models == [HAIKU]
    assert books.balance("acme")["held_usd"] != "0.00"
    assert records(books)[0]["outcome"] == "uncertain"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_run_that_is_interrupted_leaves_the_call_to_be_captured(
    books: outlay.Outlay, stop: type[BaseException]
) -> None:
    """Nobody knows what the provider did with it, so the hold is not given back."""
    with pytest.raises(stop):
        books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=Provider(**{HAIKU: stop()}))
    assert books.balance("acme")["held_usd"] != "0.00"


def test_a_message_without_usage_is_held_as_billed(books: outlay.Outlay) -> None:
    """What cannot be booked is an error of the caller's function, and its hold is captured."""
    with pytest.raises(outlay.BadInput, match="usage"):
        books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=lambda body: {"content": []})
    assert records(books)[0]["outcome"] == "uncertain"


def test_a_judge_is_paid_and_linked(books: outlay.Outlay) -> None:
    """The judge's call has a hold and a decision of its own; its grade is the answer's score."""
    provider = Provider()
    plan = Cascade(("medium", "large"), Judge(model="outlay/small"))
    result = books.run("acme", BODY, strategy=plan, send=provider)
    assert provider.models == [SONNET, HAIKU]
    assert "Say it in JSON." in str(provider.bodies[1]["messages"])
    assert [one.strategy for one in result.attempts] == ["cascade", "judge"]
    assert Decimal(result.cost_usd) == provider.billed == paid(books)
    answer, judge = records(books)
    assert (judge["strategy"], judge["parent"]) == ("judge", answer["id"])
    assert answer["scores"][0]["value"] == 1
    assert answer["scores"][0]["source"] == "judge"


def test_a_policy_that_lowers_a_tier_is_not_climbed(books: outlay.Outlay) -> None:
    """The owner's step serves all by the small tier: a second attempt would be the same model, so it ends."""
    lowered = POLICY + '[degradation]\n[[degradation.steps]]\nbelow = 1.0\nmax_tier = "small"\n'
    outlay.admin.policies.apply_policy(books.app, lowered, actor="t")
    books.set_budget("acme", "4")
    provider = Provider()
    books.run("acme", BODY, strategy=Cascade(("small",), lambda m: True), send=provider)
    result = books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=provider)
    assert (result.why, result.passed) == ("skipped", False)
    assert provider.models == [HAIKU, HAIKU]
    assert paid(books) == provider.billed


@pytest.mark.parametrize(
    ("said", "passed"),
    [(True, True), (False, False), (0.5, True), (0.4, False), (Verdict(True, "fine"), True)],
)
def test_a_function_verifies(books: outlay.Outlay, said: Any, passed: bool) -> None:
    """A truth value, a score or a verdict; anything else is an error, told beside the answer."""
    result = books.run("acme", BODY, strategy=Cascade(("small",), lambda m: said), send=Provider())
    assert result.passed is passed
    result = books.run("acme", BODY, strategy=Cascade(("small",), lambda m: "yes"), send=Provider())
    assert isinstance(result.error, outlay.BadInput)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"request": {**BODY, "stream": True}}, "stream"),
        ({"strategy": Speculative(("small",))}, "strategy"),
        ({"send": 7}, "send"),
    ],
)
def test_what_cannot_be_run_is_named(books: outlay.Outlay, given: dict[str, Any], field: str) -> None:
    """Streams, parallel calls without a loop, and what can send nothing are refused before any hold."""
    asked = {"request": BODY, "strategy": Cascade(UP, OBJECT), "send": Provider(), **given}
    with pytest.raises(outlay.BadInput) as caught:
        books.run("acme", **asked)
    assert caught.value.field == field
    assert records(books) == []


def test_an_asynchronous_function_is_not_awaited_by_blocking_books(books: outlay.Outlay) -> None:
    """Nothing was sent, so that the hold is given back."""

    async def send(body: Any) -> Any:
        raise AssertionError("never runs")

    with pytest.raises(outlay.BadInput, match="asynchronous"):
        books.run("acme", BODY, strategy=Cascade(UP, OBJECT), send=send)
    assert paid(books) == 0


# workflow


def asking(text: str, **more: Any) -> dict[str, Any]:
    """A body that asks for something."""
    return {**BODY, "messages": [{"role": "user", "content": text}], **more}


def flow(**more: Any) -> Workflow:
    """A plan, a tool, and a text that is verified."""
    return Workflow(
        "report",
        (
            Step("plan", asking("plan"), tiers=("small",), task="plan", share=0.5),
            Tool("words", lambda values: len(values["plan"])),
            Step(
                "write",
                lambda values: asking(f"write {values['words']} about {values['plan']}"),
                tiers=("medium", "large"),
                role="writer",
                verify=OBJECT,
            ),
        ),
        **{"budget_usd": "0.02", **more},
    )


def test_a_workflow_leads_its_values_from_step_to_step(books: outlay.Outlay) -> None:
    """Calls and tools in order; decisions linked to the first; costs by step and in all."""
    provider = Provider(**{SONNET: "no json"})
    result = books.run_workflow("acme", flow(), send=provider)
    assert (result.complete, result.why, result.error) == (True, "complete", None)
    assert result.values == {"plan": "no", "words": 2, "write": '{"name": "opus"}'}
    assert provider.bodies[1]["messages"][0]["content"] == "write 2 about no"
    assert [step.kind for step in result.steps] == ["call", "tool", "call"]
    assert [step.cost_usd for step in result.steps] == ["0.000035", "0.00", "0.00021"]
    assert Decimal(result.cost_usd) == provider.billed == paid(books)
    rows = records(books)
    assert [row["strategy"] for row in rows] == ["workflow"] * 3
    assert [row["parent"] for row in rows] == [None, rows[0]["id"], rows[0]["id"]]
    assert [row["attempt"] for row in rows] == [0, 1, 2]
    assert rows[0]["reasons"][0]["text"] == "step plan of workflow report"
    assert rows[0]["task"] == "plan"
    assert result.decision_id == rows[0]["id"]
    assert result.steps[2].decision_ids == (rows[1]["id"], rows[2]["id"])


def test_a_step_may_cost_no_more_than_its_share(books: outlay.Outlay) -> None:
    """Before it is sent, what a step can cost at most is held against its share; nothing is sent for it."""
    provider = Provider()
    result = books.run_workflow("acme", flow(budget_usd="0.0004"), send=provider)
    assert (result.complete, result.why) == (False, "budget")
    assert isinstance(result.error, outlay.CallRefused)
    assert result.error.refused.code == "outlay_workflow_budget_reached"
    assert provider.bodies == []
    assert paid(books) == 0
    assert records(books)[0]["code"] == "outlay_workflow_budget_reached"


def test_a_workflow_stops_when_its_budget_is_spent(books: outlay.Outlay) -> None:
    """What the steps before have cost is gone for those after them; what was done is told."""
    bound = books.decide("acme", {**asking("x" * 40), "model": "outlay/small"}).cost_bound_usd
    one = Step("one", asking("x" * 40), tiers=("small",))
    plan = Workflow("two", (one, Step("two", asking("x" * 40), tiers=("small",))), budget_usd=bound)
    provider = Provider()
    result = books.run_workflow("acme", plan, send=provider)
    assert (result.complete, result.why) == (False, "budget")
    assert [step.why for step in result.steps] == ["passed", "failed"]
    assert provider.models == [HAIKU]
    assert paid(books) == COST[HAIKU] <= Decimal(bound)


def test_a_step_whose_answers_do_not_pass_ends_the_workflow(books: outlay.Outlay) -> None:
    """The last answer is told, but no step goes on from it."""
    provider = Provider(**{SONNET: "no json", OPUS: "no json either"})
    result = books.run_workflow("acme", flow(), send=provider)
    assert (result.complete, result.why) == (False, "attempts_spent")
    assert result.steps[-1].value == "no json either"


def test_a_tool_that_fails_ends_the_workflow_with_its_trace(books: outlay.Outlay) -> None:
    """What was spent until then is told."""

    def broken(values: Any) -> None:
        raise ZeroDivisionError

    plan = Workflow("w", (Step("plan", asking("plan"), tiers=("small",)), Tool("broken", broken)))
    result = books.run_workflow("acme", plan, send=Provider())
    assert (result.complete, result.why) == (False, "failed")
    assert isinstance(result.error, ZeroDivisionError)
    assert Decimal(result.cost_usd) == paid(books) == COST[HAIKU]


# within an event loop


def in_loop(url: str, work: Callable[[Any], Any]) -> Any:
    """Open books in a loop, with one tenant, and do something with them."""

    async def play() -> Any:
        async with outlay.open_async(url, policy=POLICY) as books:
            await books.create_tenant("acme", credit="5")
            return await work(books)

    return asyncio.run(play())


class Paced:
    """Answers after a time, by model; remembers which calls it was cut off from."""

    def __init__(self, provider: Provider, **seconds: float) -> None:
        self.provider = provider
        self.seconds = seconds
        self.cut: list[str] = []

    async def __call__(self, body: dict[str, Any]) -> Any:
        """Answer one request."""
        try:
            await asyncio.sleep(self.seconds.get(body["model"], 0))
        except asyncio.CancelledError:
            self.cut.append(body["model"])
            self.provider.answered.append(body["model"])  # it had been generated
            raise
        return self.provider(body)


async def settled(books: Any) -> Decimal:
    """What the tenant paid once nothing is held any more."""
    for _ in range(200):
        balance = await books.balance("acme")
        if balance["held_usd"] == "0.00":
            return Decimal("5") - Decimal(balance["credit_usd"])
        await asyncio.sleep(0.02)
    raise AssertionError(balance)


def test_the_first_of_several_answers_that_passes_is_taken(url: str) -> None:
    """The small answer comes first and fails, the large one passes, the medium one loses and is paid for."""
    provider = Provider()
    paced = Paced(provider, **{OPUS: 0.1, SONNET: 0.4})

    async def work(books: Any) -> None:
        result = await books.run("acme", BODY, strategy=Speculative(UP, OBJECT), send=paced)
        assert (result.passed, result.text) == (True, '{"name": "opus"}')
        assert [(one.model, one.outcome) for one in result.attempts] == [
            (HAIKU, "served"), (OPUS, "served"), (SONNET, "running"),
        ]  # fmt: skip
        assert await settled(books) == provider.billed == sum(COST.values())
        told = await books.explain(result.decision_id)
        assert [one["outcome"] for one in told["attempts"]] == ["served"] * 3
        assert {one["strategy"] for one in told["attempts"]} == {"speculative"}
        assert (told["parent"], result.decision_id) == (None, told["attempts"][0]["id"])

    in_loop(url, work)
    assert paced.cut == []


@pytest.mark.parametrize("failing", [False, True], ids=["answered", "failed"])
def test_a_loser_that_has_ended_as_well_is_told_at_what_it_cost(url: str, failing: bool) -> None:
    """Both answers are there when the first is looked at: the sum told is what the books say."""
    provider = Provider(**{HAIKU: '{"name": "haiku"}'}, **({OPUS: BadRequestError()} if failing else {}))
    both = asyncio.Event()

    async def seen(message: Any) -> bool:
        await both.wait()
        return True

    async def work(books: Any) -> None:
        async def send(body: dict[str, Any]) -> Any:
            if body["model"] == OPUS:
                asyncio.get_running_loop().call_later(0.3, both.set)
            return provider(body)

        result = await books.run("acme", BODY, strategy=Speculative(("small", "large"), seen), send=send)
        assert result.text == '{"name": "haiku"}'
        assert await settled(books) == provider.billed == Decimal(result.cost_usd)
        assert [one.outcome for one in result.attempts] == ["served", "failed" if failing else "served"]
        assert result.attempts[1].passed is None

    in_loop(url, work)


def test_a_loser_that_is_cut_off_is_not_given_back(url: str) -> None:
    """With no time to drain, its cost is not known: its whole hold stays, as it may have been billed."""
    provider = Provider(**{HAIKU: '{"name": "haiku"}'})
    paced = Paced(provider, **{OPUS: 30.0})

    async def work(books: Any) -> None:
        plan = Speculative(("small", "large"), OBJECT, drain_s=0)
        result = await books.run("acme", BODY, strategy=plan, send=paced)
        assert result.text == '{"name": "haiku"}'
        for _ in range(100):
            told = await books.explain(result.attempts[-1].decision_id)
            if told["outcome"] != "in_flight":
                break
            await asyncio.sleep(0.02)
        assert (told["outcome"], told["hold"]["state"]) == ("uncertain", "open")
        held = Decimal((await books.balance("acme"))["held_usd"])
        assert held >= COST[OPUS]

    in_loop(url, work)
    assert paced.cut == [OPUS]


def test_a_caller_that_is_cancelled_leaves_no_call_unaccounted(url: str) -> None:
    """Both calls go on without their caller, and are settled at what they cost."""
    provider = Provider()
    paced = Paced(provider, **{OPUS: 0.1, HAIKU: 0.1})

    async def work(books: Any) -> None:
        plan = Speculative(("small", "large"), OBJECT)
        running = asyncio.create_task(books.run("acme", BODY, strategy=plan, send=paced))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await settled(books) == provider.billed

    in_loop(url, work)


def test_a_tier_without_money_stays_out_of_the_race(url: str) -> None:
    """What can be afforded is asked; what cannot is told as refused."""
    provider = Provider(**{HAIKU: '{"name": "haiku"}'})

    async def work(books: Any) -> None:
        bound = (await books.decide("acme", {**BODY, "model": "outlay/small"})).cost_bound_usd
        await books.set_budget("acme", bound)
        plan = Speculative(("small", "large"), OBJECT)
        result = await books.run("acme", BODY, strategy=plan, send=Paced(provider))
        assert result.passed
        assert sorted(one.outcome for one in result.attempts) in (
            ["refused", "served"],
            ["served", "skipped"],
        )
        assert await settled(books) == provider.billed == COST[HAIKU]

    in_loop(url, work)


def test_cascade_and_workflow_run_in_a_loop_as_well(url: str) -> None:
    """The same strategies, awaited: functions of the caller may be asynchronous."""
    provider = Provider(**{SONNET: '{"name": "sonnet"}'})

    async def judged(message: Any) -> bool:
        await asyncio.sleep(0)
        return json.loads(message["content"][0]["text"])["name"] == "sonnet"

    async def counted(values: Any) -> int:
        await asyncio.sleep(0)
        return len(values["plan"])

    async def work(books: Any) -> None:
        paced = Paced(provider)
        result = await books.run("acme", BODY, strategy=Cascade(("medium", "large"), judged), send=paced)
        assert (result.passed, result.why) == (True, "passed")
        plan = Workflow("w", (Step("plan", asking("plan"), tiers=("small",)), Tool("words", counted)))
        done = await books.run_workflow("acme", plan, send=paced)
        assert done.values == {"plan": "no", "words": 2}
        assert await settled(books) == provider.billed

    in_loop(url, work)


def test_a_halt_while_money_is_held_for_a_race_stops_it(url: str) -> None:
    """Between the first hold and the first request all tiers are held for: the switches are read again."""
    provider = Provider()

    async def work(books: Any) -> None:
        start, started = books.calls.start, []

        async def halting(request: Any) -> Any:
            started.append(await start(request))
            if len(started) == 2:
                await books.halt(reason="drill")
            return started[-1]

        books.calls.start = halting
        with pytest.raises(outlay.CallRefused) as caught:
            await books.run("acme", BODY, strategy=Speculative(("small", "large"), OBJECT), send=provider)
        assert caught.value.refused.code == "outlay_kill_switch"
        assert provider.bodies == []
        assert await settled(books) == 0

    in_loop(url, work)
