"""
Strategies through the unmodified SDK, blocking and asynchronous, against the simulated provider: what the
books took is what the provider billed, attempt by attempt.
"""

import asyncio
import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import pytest
from simulated import simulated

import outlay
from outlay import Cascade, Judge, Speculative, StatedConfidence, Step, Workflow
from outlay.strategies import sender
from outlay.strategies.last_look import LastLook
from simulator import bill
from simulator.provider import key_hash

CREDIT = Decimal("20")
SCENARIO = '[[phases]]\nfault = "overload_529"\nmodel = "claude-sonnet-5-5"\n'
POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.medium]
models = ["claude-sonnet-5-5", "claude-sonnet-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "medium"
"""
_names = itertools.count()


def body(text: str = "[[sim input_tokens=100 output_tokens=40]]", **more: Any) -> dict[str, Any]:
    """A request of one message."""
    messages = [{"role": "user", "content": text}]
    return {"model": "outlay/auto", "max_tokens": 500, "messages": messages, **more}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A provider one of whose models is overloaded, and its bill."""
    folder = tmp_path_factory.mktemp("strategies")
    scenario, bill_file = folder / "scenario.toml", folder / "bill.jsonl"
    scenario.write_text(SCENARIO)
    with simulated(bill_file, scenario=scenario) as url:
        yield url, bill_file


@pytest.fixture
def key() -> str:
    """A key of this test's own, so that its bill can be told apart."""
    return f"sk-strategy-{next(_names)}"


def billed(provider: tuple[str, Path], key: str) -> Decimal:
    """What the provider billed this test."""
    return bill.by_key(provider[1]).get(key_hash(key), Decimal(0))


def paid(balance: dict[str, Any]) -> Decimal:
    """What the tenant paid; nothing is held any more."""
    assert balance["held_usd"] == "0.00"
    return CREDIT - Decimal(balance["credit_usd"])


def test_a_cascade_with_a_judge_costs_what_the_provider_bills(
    provider: tuple[str, Path], key: str, sqlite_url: str
) -> None:
    """Small, its judge, medium overloaded, its fallback, its judge, large: every attempt in the books."""
    client = anthropic.Anthropic(base_url=provider[0], api_key=key)
    with client, outlay.open(sqlite_url, policy=POLICY) as books:
        books.create_tenant("acme", credit=str(CREDIT))
        plan = Cascade(("small", "medium", "large"), Judge(model="outlay/small", min=1))
        result = books.run("acme", body(), strategy=plan, send=client)
        assert (result.passed, result.why) == (False, "attempts_spent")
        assert [one.strategy for one in result.attempts] == ["cascade", "judge"] * 3
        assert isinstance(result.message, anthropic.types.Message)
        assert Decimal(result.cost_usd) == billed(provider, key) == paid(books.balance("acme"))
        told = books.explain(result.decision_id)["attempts"]
        assert [one["strategy"] for one in told] == [
            "cascade", "judge", "cascade", "fallback", "judge", "cascade", "judge",
        ]  # fmt: skip
        assert [one["attempt"] for one in told] == list(range(7))
        assert told[2]["outcome"] == "failed"


def test_an_error_of_the_client_is_the_callers_and_costs_nothing(
    provider: tuple[str, Path], key: str, sqlite_url: str
) -> None:
    """An error that no attempt mends is raised as the SDK's own; each was unbilled and given back."""
    client = anthropic.Anthropic(base_url=provider[0], api_key=key)
    with client, outlay.open(sqlite_url, policy=POLICY) as books:
        books.create_tenant("acme", credit=str(CREDIT))
        plan = Cascade(("medium", "large"), StatedConfidence())
        with pytest.raises(anthropic.BadRequestError):
            books.run("acme", body("[[sim fault=own_limit_400]]"), strategy=plan, send=client)
        assert paid(books.balance("acme")) == billed(provider, key) == 0


def test_what_the_sdk_refuses_to_send_is_given_back(
    provider: tuple[str, Path], key: str, sqlite_url: str
) -> None:
    """A client without a key fails before it sends: nothing is held for that."""
    client = anthropic.Anthropic(base_url=provider[0], api_key=None, auth_token=None)
    with client, outlay.open(sqlite_url, policy=POLICY) as books:
        books.create_tenant("acme", credit=str(CREDIT))
        with pytest.raises(Exception, match="auth"):
            books.run("acme", body(), strategy=Cascade(("small",), lambda m: True), send=client)
        assert paid(books.balance("acme")) == 0


def test_a_client_that_books_for_itself_is_refused(sqlite_url: str) -> None:
    """Its calls would be paid twice."""
    with outlay.open(sqlite_url, policy=POLICY) as books:
        client = anthropic.Anthropic(api_key="k", middleware=[outlay.middleware(books, tenant="acme")])
        with client, pytest.raises(outlay.BadInput, match="books its calls"):
            books.run("acme", body(), strategy=Cascade(("small",), lambda m: True), send=client)


def test_a_client_that_talks_to_outlay_is_refused(sqlite_url: str) -> None:
    """Hints in its headers would go to the provider, and nobody would hear them."""
    with outlay.open(sqlite_url, policy=POLICY) as books:
        client = anthropic.Anthropic(api_key="k", default_headers={"Outlay-Task": "crm/mail"})
        with client, pytest.raises(outlay.BadInput, match="outlay-task"):
            books.run("acme", body(), strategy=Cascade(("small",), lambda m: True), send=client)


def test_a_client_for_another_cloud_is_left_as_it_is(sqlite_url: str) -> None:
    """It writes its requests anew on their way, so that no body may be put into them."""
    other = anthropic.AnthropicBedrock(aws_region="eu-1", aws_access_key="a", aws_secret_key="s")
    own = anthropic.Anthropic(api_key="k")
    with outlay.open(sqlite_url, policy=POLICY) as books, other, own:
        look = LastLook(books.calls, "acme", "d")
        assert sender.watched(other, look) is other
        assert sender.watched(len, look) is len
        watched = sender.watched(own, look)
    assert isinstance(watched, anthropic.Anthropic)
    assert watched.middleware == (look.handle,)


def test_a_race_and_a_workflow_cost_what_the_provider_bills(
    provider: tuple[str, Path], key: str, sqlite_url: str
) -> None:
    """With the asynchronous client: the losers of a race are paid at their true cost, steps at theirs."""

    async def play() -> None:
        async with (
            anthropic.AsyncAnthropic(base_url=provider[0], api_key=key) as client,
            outlay.open_async(sqlite_url, policy=POLICY) as books,
        ):
            await books.create_tenant("acme", credit=str(CREDIT))
            asked = body("[[sim input_tokens=100 output_tokens=40 latency_ms=50]]")
            result = await books.run(
                "acme", asked, strategy=Speculative(("small", "medium", "large")), send=client
            )
            assert result.passed
            assert {one.outcome for one in result.attempts} <= {"served", "running"}
            plan = Workflow(
                "two",
                (Step("one", body(), tiers=("small",), share=0.4), Step("two", lambda values: body())),
                budget_usd="0.10",
            )
            done = await books.run_workflow("acme", plan, send=client)
            assert done.complete, done
            assert [len(step.attempts) for step in done.steps] == [1, 1]
            for _ in range(200):
                balance = await books.balance("acme")
                if balance["held_usd"] == "0.00":
                    break
                await asyncio.sleep(0.02)
            assert paid(balance) == billed(provider, key) > 0

    asyncio.run(play())
