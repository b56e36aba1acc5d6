"""
The unmodified SDK while models fail: through the gateway, and through the middleware, blocking and
asynchronous, the answer is the fallback's, and the books hold what the provider billed.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from gateway_server import serving
from simulated import simulated

import outlay
from outlay.admin import money, tenants
from outlay.admin.decisions import list_decisions
from outlay.admin.policies import apply_policy
from outlay.admin.replay import replay
from outlay.settings import Settings
from simulator import bill
from simulator.provider import key_hash

OPUS, OPUS_5, SONNET, SONNET_5 = "claude-opus-5-5", "claude-opus-5", "claude-sonnet-5-5", "claude-sonnet-5"
HAIKU, HAIKU_45 = "claude-haiku-5-5", "claude-haiku-4-5"
CREDIT = Decimal("20")
SCENARIO = """
[[phases]]
fault = "overload_529"
model = "claude-opus-5-5"
[[phases]]
fault = "stream_error_after"
events = 0
model = "claude-sonnet-5-5"
[[phases]]
fault = "break_stream_after"
events = 4
model = "claude-haiku-5-5"
"""
POLICY = """
[tiers.large]
models = ["claude-opus-5-5", "claude-opus-5"]
[tiers.medium]
models = ["claude-sonnet-5-5", "claude-sonnet-5"]
[tiers.small]
models = ["claude-haiku-5-5", "claude-haiku-4-5"]
[routing]
default_tier = "medium"
"""
SAYS: list[Any] = [{"role": "user", "content": "[[sim input_tokens=100 output_tokens=40]]"}]
_names = itertools.count()


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A provider some of whose models fail, and its bill."""
    folder = tmp_path_factory.mktemp("failing")
    scenario, bill_file = folder / "scenario.toml", folder / "bill.jsonl"
    scenario.write_text(SCENARIO)
    with simulated(bill_file, scenario=scenario) as url:
        yield url, bill_file


@pytest.fixture(params=["gateway", "middleware", "async middleware"])
def setup(
    request: pytest.FixtureRequest, failing: tuple[str, Path], sqlite_url: str
) -> Iterator[tuple[Any, Callable[..., Any], Callable[[], Decimal]]]:
    """An app, a way to call (create or stream; headers and message), and what the provider billed."""
    url, bill_file = failing
    key = f"sk-{next(_names)}"

    def billed() -> Decimal:
        return bill.by_key(bill_file).get(key_hash(key), Decimal(0))

    if request.param == "gateway":
        settings = Settings(database_url=sqlite_url, upstream_url=url, upstream_key=key)
        with serving(settings) as running:
            made = tenants.create_tenant(running.app, "acme", credit=str(CREDIT), actor="t")
            apply_policy(running.app, POLICY, actor="t")
            with anthropic.Anthropic(base_url=running.url, api_key=made["key"], max_retries=0) as client:
                yield running.app, lambda **body: _call(client, **body), billed
    elif request.param == "middleware":
        with outlay.open(sqlite_url, policy=POLICY) as books:
            books.create_tenant("acme", credit=str(CREDIT))
            controlled = outlay.middleware(books, tenant="acme")
            with anthropic.Anthropic(
                base_url=url, api_key=key, max_retries=0, middleware=[controlled]
            ) as client:
                yield books.app, lambda **body: _call(client, **body), billed
    else:
        with asyncio.Runner() as runner:
            books = runner.run(_opened(sqlite_url))
            controlled = outlay.middleware(books, tenant="acme")
            client = anthropic.AsyncAnthropic(
                base_url=url, api_key=key, max_retries=0, middleware=[controlled]
            )
            yield books.app, lambda **body: runner.run(_call_async(client, **body)), billed
            runner.run(client.close())
            runner.run(books.close())


async def _opened(url: str) -> Any:
    books = await outlay.open_async(url, policy=POLICY)
    await books.create_tenant("acme", credit=str(CREDIT))
    return books


def _call(client: Any, *, stream: bool = False, **body: Any) -> tuple[Any, Any]:
    if not stream:
        answer = client.messages.with_raw_response.create(**body)
        return answer.headers, answer.parse()
    with client.messages.stream(**body) as events:
        return events.response.headers, events.get_final_message()


async def _call_async(client: Any, *, stream: bool = False, **body: Any) -> tuple[Any, Any]:
    if not stream:
        answer = await client.messages.with_raw_response.create(**body)
        return answer.headers, await answer.parse()
    async with client.messages.stream(**body) as events:
        return events.response.headers, await events.get_final_message()


def decisions(app: Any) -> list[Any]:
    """The decisions of the tenant, the oldest first."""
    return list(reversed(list_decisions(app, tenant="acme")["decisions"]))


def booked(app: Any) -> Decimal:
    """What the tenant paid; nothing is held any more."""
    balance = money.balance(app, "acme")
    assert balance["held_usd"] == "0.00"
    return CREDIT - Decimal(balance["credit_usd"])


@pytest.mark.parametrize("stream", [False, True])
def test_an_overloaded_model_is_answered_for_by_another(setup: Any, stream: bool) -> None:
    """The SDK sees one answer, of the second model; headers name it; one hold was given back, one paid."""
    app, call, billed = setup
    headers, message = call(model=OPUS, max_tokens=500, messages=SAYS, stream=stream)
    assert message.model == OPUS_5
    assert message.usage.output_tokens == 40
    assert headers["outlay-model-asked"] == OPUS
    assert headers["outlay-model-served"] == OPUS_5
    assert headers["outlay-attempts"] == "2"
    assert headers["outlay-reason"].startswith("fallback,")
    first, second = decisions(app)
    assert headers["outlay-decision-id"] == second["id"]
    assert (first["outcome"], first["code"], second["outcome"]) == ("failed", "overloaded_error", "served")
    assert booked(app) == billed() > 0
    told = replay(app)
    assert (told["checked"], told["different"]) == (2, [])


def test_a_stream_that_fails_before_its_content_is_answered_for_by_another(setup: Any) -> None:
    """An error as the first event: nothing reached the caller, so another model streams the answer."""
    app, call, billed = setup
    headers, message = call(model=SONNET, max_tokens=500, messages=SAYS, stream=True)
    assert (message.model, message.usage.output_tokens) == (SONNET_5, 40)
    assert message.stop_reason == "end_turn"
    assert headers["outlay-attempts"] == "2"
    assert [one["outcome"] for one in decisions(app)] == ["failed", "served"]
    assert booked(app) == billed() > 0


def test_a_stream_that_breaks_after_its_content_began_is_never_replayed(setup: Any) -> None:
    """What the caller has seen was billed: the break reaches it, is settled, and nothing else is sent."""
    app, call, billed = setup
    with pytest.raises((anthropic.APIError, httpx2.HTTPError)):
        call(model=HAIKU, max_tokens=500, messages=SAYS, stream=True)
    (only,) = decisions(app)
    assert (only["outcome"], only["served"]["model"]) == ("broken", HAIKU)
    assert booked(app) >= billed() > 0


def test_when_all_models_fail_the_last_failure_is_the_answer(setup: Any) -> None:
    """A fault that strikes every model: as many attempts as the policy allows, all unbilled, all told."""
    app, call, billed = setup
    asked: list[Any] = [{"role": "user", "content": "[[sim fault=error_500]]"}]
    with pytest.raises(anthropic.InternalServerError) as caught:
        call(model=SONNET_5, max_tokens=500, messages=asked)
    told = decisions(app)
    assert [one["outcome"] for one in told] == ["failed"] * 3
    assert caught.value.response.headers["outlay-decision-id"] == told[-1]["id"]
    assert caught.value.response.headers["outlay-attempts"] == "3"
    assert booked(app) == billed() == 0
