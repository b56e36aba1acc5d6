"""
Strategies that go wrong: which error is raised, what becomes of a paid answer, what is never sent.
"""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from answering import Answering

import outlay
from outlay import Cascade, JsonSchema, Judge, Length, Speculative, Step, Workflow
from outlay.admin.replay import replay

POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-4-5"]
[routing]
default_tier = "large"
"""
COMPLEXITY = """
classifier = "complexity"
[routing.complexity]
trivial = { tier = "small" }
simple = { tier = "small" }
"""
LOWERED = '[degradation]\n[[degradation.steps]]\nbelow = 1.0\nmax_tier = "small"\n'
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-4-5"
BODY: dict[str, Any] = {
    "model": "outlay/auto",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Say hi."}],
}
UP = Cascade(("small", "large"), JsonSchema({"type": "object"}))


class Status(Exception):  # noqa: N818 - a test's own
    """An error as a client of another make raises it."""

    def __init__(self, status: int, kind: str) -> None:
        super().__init__(f"{status} of the test")
        self.status_code, self.type = status, kind


class Provider(Answering):
    """The large model passes unless told otherwise."""

    def __init__(self, **answers: Any) -> None:
        super().__init__({OPUS: "{}", HAIKU: "no", **answers})


@pytest.fixture
def books(url: str) -> Iterator[outlay.Outlay]:
    """Books with one tenant of 5 USD."""
    with outlay.open(url, policy=POLICY) as opened:
        opened.create_tenant("acme", credit="5")
        yield opened


def apply(books: outlay.Outlay, text: str) -> None:
    """Put a policy into force."""
    outlay.admin.policies.apply_policy(books.app, text, actor="t")


def held(books: outlay.Outlay) -> Decimal:
    """What is still held."""
    return Decimal(str(books.balance("acme")["held_usd"]))


# which error is raised


@pytest.mark.parametrize("extra", ["", COMPLEXITY, LOWERED])
@pytest.mark.parametrize("failure", [Status(529, "overloaded_error"), Status(500, "api_error")])
def test_the_first_failure_is_raised(books: outlay.Outlay, extra: str, failure: Status) -> None:
    """Whatever decides on the tiers, and whether or not the second attempt has a model of its own."""
    apply(books, POLICY + "[routing.fallback]\non = []\n" if not extra else with_rules(extra))
    books.set_budget("acme", "4")
    provider = Provider(**{HAIKU: failure, OPUS: Status(400, "invalid_request_error")})
    with pytest.raises(Status) as caught:
        books.run("acme", BODY, strategy=UP, send=provider)
    assert caught.value is failure
    assert held(books) == 0


def with_rules(extra: str) -> str:
    """The policy without fallbacks, with rules of the classifier or of degradation."""
    return f"{POLICY}{extra}\n[routing.fallback]\non = []\n"


@pytest.mark.parametrize("extra", [COMPLEXITY, LOWERED])
def test_blocking_books_say_that_a_client_is_asynchronous(books: outlay.Outlay, extra: str) -> None:
    """Nothing was sent, and the caller is told why, though the second attempt had no model of its own."""
    apply(books, with_rules(extra))
    books.set_budget("acme", "4")

    async def send(body: Any) -> Any:
        raise AssertionError("never runs")

    with pytest.raises(outlay.BadInput, match="asynchronous"):
        books.run("acme", BODY, strategy=UP, send=send)
    assert held(books) == 0


# the classifier and the tiers of a strategy


def test_a_classifier_does_not_undo_an_escalation(books: outlay.Outlay) -> None:
    """A simple call that fails on the small tier is asked on the large one; its explanation says why."""
    apply(books, with_rules(COMPLEXITY))
    provider = Provider()
    result = books.run("acme", BODY, strategy=UP, send=provider)
    assert (provider.models, result.why) == ([HAIKU, OPUS], "passed")
    told = [reason["text"] for reason in books.explain(result.served_by)["reasons"]]
    assert any("the complexity classifier has no say" in text for text in told)
    assert replay(books.app)["differing"] == 0


def test_money_stands_above_a_strategy(books: outlay.Outlay) -> None:
    """The owner's step serves all by the small tier, whatever the strategy names."""
    apply(books, with_rules(COMPLEXITY) + LOWERED)
    books.set_budget("acme", "4")
    books.run("acme", BODY, strategy=Cascade(("small",), Length()), send=Provider())
    provider = Provider()
    assert books.run("acme", BODY, strategy=UP, send=provider).why == "skipped"
    assert provider.models == [HAIKU]


def test_a_plain_call_of_a_tier_is_still_lowered(books: outlay.Outlay) -> None:
    """Only a strategy has judged; a name alone is bounded by the classifier as before."""
    apply(books, with_rules(COMPLEXITY))
    provider = Provider()
    step = Step("one", {**BODY, "model": "outlay/large"})
    books.run_workflow("acme", Workflow("w", (step,)), send=provider)
    assert provider.models == [HAIKU]


# verifiers that raise


def broken(message: Any) -> bool:
    """A verifier with a mistake."""
    raise ZeroDivisionError("of the verifier")


@pytest.mark.parametrize("verify", [broken, lambda message: "yes"])
def test_a_verifier_that_raises_loses_no_answer(books: outlay.Outlay, verify: Any) -> None:
    """The paid answer is given, the error beside it, and no dearer tier is asked for a mistake."""
    provider = Provider()
    result = books.run("acme", BODY, strategy=Cascade(("small", "large"), verify), send=provider)
    assert (result.text, result.passed, result.why) == ("no", False, "verifier_failed")
    assert isinstance(result.error, ZeroDivisionError | outlay.BadInput)
    assert type(result.error).__name__ in result.attempts[0].told
    assert (provider.models, held(books)) == ([HAIKU], 0)


def test_a_verifier_that_raises_ends_a_workflow_with_its_value(books: outlay.Outlay) -> None:
    """The step's answer and error are in the result."""
    done = books.run_workflow("acme", Workflow("w", (Step("one", BODY, verify=broken),)), send=Provider())
    assert (done.why, done.values, done.complete) == ("verifier_failed", {"one": "{}"}, False)
    assert isinstance(done.error, ZeroDivisionError)


def test_a_race_goes_on_after_a_verifier_that_raises(url: str) -> None:
    """All are paid for already, so that the other answers are looked at; the error is told."""

    async def send(body: Any) -> Any:
        return Provider()(body)

    async def race() -> Any:
        async with outlay.open_async(url, policy=POLICY) as books:
            await books.create_tenant("acme", credit="5")
            return await books.run("acme", BODY, strategy=Speculative(("small", "large"), broken), send=send)

    result = asyncio.run(race())
    assert (result.passed, result.why, len(result.attempts)) == (False, "attempts_spent", 2)
    assert isinstance(result.error, ZeroDivisionError)


# names


@pytest.mark.parametrize(
    "strategy", [Cascade(("small", "huge"), Length()), Cascade(("small",), Judge("outlay/huge"))]
)
def test_a_tier_that_the_policy_lacks_is_refused_before_any_call(books: outlay.Outlay, strategy: Any) -> None:
    """The first call is not paid for to find out that the second cannot be made."""
    provider = Provider()
    with pytest.raises(outlay.BadInput, match="huge"):
        books.run("acme", BODY, strategy=strategy, send=provider)
    plan = Workflow("w", (Step("one", BODY, tiers=strategy.tiers, verify=strategy.verify),))
    with pytest.raises(outlay.BadInput, match="huge"):
        books.run_workflow("acme", plan, send=provider)
    assert provider.models == []


def test_it_is_so_within_a_loop(url: str) -> None:
    """Speculative calls, cascades and workflows of asynchronous books."""
    provider = Provider()

    async def ask() -> None:
        async with outlay.open_async(url, policy=POLICY) as books:
            await books.create_tenant("acme", credit="5")
            for strategy in (Speculative(("small", "huge")), Cascade(("small", "huge"), Length())):
                with pytest.raises(outlay.BadInput, match="huge"):
                    await books.run("acme", BODY, strategy=strategy, send=provider)
            plan = Workflow("w", (Step("one", BODY, tiers=("huge",)),))
            with pytest.raises(outlay.BadInput, match="huge"):
                await books.run_workflow("acme", plan, send=provider)

    asyncio.run(ask())
    assert provider.models == []


# books out of reach


@pytest.mark.parametrize("verify", [Length(min=9), Judge("outlay/small")], ids=["next call", "judge"])
def test_books_out_of_reach_lose_no_answer(
    books: outlay.Outlay, verify: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is paid for: it is given, with what kept the next call from being decided on."""
    start = books.calls.start

    def gone(request: Any) -> Any:
        if request.link.attempt:
            raise outlay.BooksUnavailable("out of reach")
        return start(request)

    monkeypatch.setattr(books.calls, "start", gone)
    provider = Provider()
    result = books.run("acme", BODY, strategy=Cascade(("small", "large"), verify), send=provider)
    assert (result.text, result.passed, provider.models) == ("no", False, [HAIKU])
    assert result.why == ("refused" if isinstance(verify, Length) else "verifier_failed")
    assert isinstance(result.error, outlay.BooksUnavailable)
    assert held(books) == 0


def test_books_out_of_reach_at_first_are_raised(
    books: outlay.Outlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no answer there is nothing to give."""

    def gone(request: Any) -> Any:
        raise outlay.BooksUnavailable("out of reach")

    monkeypatch.setattr(books.calls, "start", gone)
    with pytest.raises(outlay.BooksUnavailable):
        books.run("acme", BODY, strategy=UP, send=Provider())


def test_a_racer_whose_switch_cannot_be_read_leaves_the_race_to_the_others(url: str) -> None:
    """It is given back unsent; the other's answer is taken."""

    async def send(body: Any) -> Any:
        return Provider()(body)

    async def race() -> Any:
        async with outlay.open_async(url, policy=POLICY) as books:
            await books.create_tenant("acme", credit="5")
            perform, checks = books.calls.perform, []

            async def failing(effect: Any) -> Any:
                if type(effect).__name__ == "CheckSwitches":
                    checks.append(effect)
                    if len(checks) == 3:  # two were read as the money was held
                        raise outlay.BooksUnavailable("out of reach")
                return await perform(effect)

            books.calls.perform = failing  # type: ignore[method-assign]
            result = await books.run("acme", BODY, strategy=Speculative(("small", "large")), send=send)
            return result, await books.balance("acme")

    result, balance = asyncio.run(race())
    assert result.passed
    assert sorted(one.outcome for one in result.attempts) == ["failed", "served"]
    assert balance["held_usd"] == "0.00"
