"""
The official Anthropic client with Outlay's middleware in process, against the simulated provider: every test
runs with the blocking client and with the asynchronous one.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import pytest
from sdk_in_process import HAIKU, OPUS, SONNET, Blocking, Watch, booked, decided, says
from sqlalchemy import text

import outlay
from outlay.admin.breakers import breaker_status
from outlay.api_async import AsyncOutlay
from outlay.calls import Upstream
from outlay.sdk_requests import routed
from outlay.testing import Reply, ScriptedProvider

DEGRADED = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
[degradation]
mode = "steps"
[[degradation.steps]]
below = 0.9
max_tier = "small"
"""


ONE_MODEL = '[tiers.only]\nmodels = ["claude-sonnet-5-5"]\n[routing]\ndefault_tier = "only"\n'


def test_a_plain_call_is_settled_before_it_is_returned(make: Any) -> None:
    """messages.create answers as ever, and the books hold exactly what the provider billed."""
    sdk = make()
    message = sdk.create(model=SONNET, max_tokens=500, messages=says())
    assert (message.model, message.usage.output_tokens) == (SONNET, 40)
    # 100 at 2 and 40 at 10 USD a million
    assert booked(sdk) == sdk.billed() == Decimal("0.0006")


def test_raw_answers_carry_the_headers(make: Any) -> None:
    """with_raw_response sees what was asked, what was served, why and at which cost."""
    sdk = make()
    headers, _ = sdk.raw(model=SONNET, max_tokens=500, messages=says())
    assert headers["outlay-model-asked"] == headers["outlay-model-served"] == SONNET
    assert headers["outlay-tier-served"] == "medium"
    assert headers["outlay-cost-usd"] == "0.0006"
    assert headers["outlay-reason"] == "asked_model"
    stored = decided(sdk, headers["outlay-decision-id"])
    assert (stored["outcome"], stored["surface"]) == ("served", "python")


def test_a_stream_that_is_read_is_settled_exactly(make: Any) -> None:
    """messages.stream builds the whole message; its headers came first, so that the cost is not in them."""
    sdk = make()
    headers, message = sdk.read_stream(model=OPUS, max_tokens=500, messages=says())
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 40)
    assert headers["outlay-model-served"] == OPUS
    assert "outlay-cost-usd" not in headers
    assert booked(sdk) == sdk.billed() > 0
    assert decided(sdk, headers["outlay-decision-id"])["outcome"] == "served"


def test_raw_events_come_as_ever(make: Any) -> None:
    """create(stream=True) yields the provider's events and no other, and is settled exactly."""
    sdk = make()
    events = [event.type for event in sdk.events(model=HAIKU, max_tokens=500, messages=says())]
    assert (events[0], events[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert booked(sdk) == sdk.billed() > 0


def test_the_books_hold_the_call_before_its_last_event(make: Any) -> None:
    """The caller that sees message_stop finds the call settled."""
    sdk = make()
    body = {"model": HAIKU, "max_tokens": 500, "messages": says()}
    count = len(sdk.events(**body))
    before = booked(sdk)
    assert len(sdk.events(count, **body)) == count
    assert booked(sdk) == 2 * before == sdk.billed()


@pytest.mark.parametrize("events", [1, 2, 8])
def test_an_abandoned_stream_is_settled_at_the_most_that_it_may_cost(make: Any, events: int) -> None:
    """Closing a stream early closes its hold: the provider may generate on, up to max_tokens, unseen."""
    sdk = make()
    says_much = says("[[sim input_tokens=100 output_tokens=1500 thinking_tokens=0]]")
    sdk.events(events, model=SONNET, max_tokens=2000, messages=says_much)
    # the input at 2 USD a million is known from the first event, 2,000 tokens of output are at 10 USD
    assert booked(sdk) == Decimal("0.0202")
    lines = sdk.do("statement", "acme")["lines"]
    assert [line["kind"] for line in lines].count("settle") == 1


def degraded(make: Any) -> Any:
    """A client whose tenant has spent half of its day's budget, of which 0.90 is a threshold."""
    sdk = make(DEGRADED)
    sdk.do("set_budget", "acme", "2")
    hold = sdk.do("hold", "acme", offers=[{"name": "other", "cost_usd": "1"}])
    sdk.do("settle", "acme", hold.id, cost_usd="1")
    return sdk


def test_a_downgrade_changes_the_model_that_is_sent(make: Any) -> None:
    """The request is translated to the served model, and billed there."""
    sdk = degraded(make)
    headers, message = sdk.raw(model=OPUS, max_tokens=500, messages=says())
    assert message.model == headers["outlay-model-served"] == HAIKU
    assert headers["outlay-model-asked"] == OPUS
    assert "degraded" in headers["outlay-reason"]
    assert booked(sdk) - 1 == sdk.billed() > 0


def test_extra_body_cannot_undo_the_translation(make: Any) -> None:
    """What stands in extra_body is part of the request that is decided, and not laid over it afterwards."""
    sdk = degraded(make)
    headers, message = sdk.raw(model=HAIKU, max_tokens=500, messages=says(), extra_body={"model": OPUS})
    assert (headers["outlay-model-asked"], message.model) == (OPUS, HAIKU)
    assert booked(sdk) - 1 == sdk.billed() > 0


def test_blocks_of_an_earlier_answer_can_be_given_back(make: Any) -> None:
    """The SDK's own objects in a conversation are read as what they become on the wire."""
    sdk = make()
    first = sdk.create(model=SONNET, max_tokens=500, messages=says())
    turn = [*says(), {"role": "assistant", "content": first.content}, *says("and? [[sim output_tokens=9]]")]
    assert sdk.create(model=SONNET, max_tokens=500, messages=turn).usage.output_tokens == 9
    assert booked(sdk) == sdk.billed() > 0


CRITICAL = {"extra_headers": {"outlay-priority": "critical"}}
REFUSALS = [
    ("halt", {}, anthropic.ServiceUnavailableError, 503, "api_error", "outlay_kill_switch"),
    ("poor", {}, anthropic.PaymentRequiredError, 402, "billing_error", "outlay_credit_exhausted"),
    (
        "budget",
        {"extra_headers": {"outlay-priority": "critical"}},
        anthropic.RateLimitError,
        429,
        "rate_limit_error",
        "outlay_daily_budget_reached",
    ),
    (
        "none",
        {"model": "claude-nobody-1"},
        anthropic.NotFoundError,
        404,
        "not_found_error",
        "outlay_unknown_model",
    ),
    (
        "none",
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        anthropic.BadRequestError,
        400,
        "invalid_request_error",
        "outlay_unbounded_request",
    ),
]


@pytest.mark.parametrize(("state", "more", "kind", "status", "error_type", "code"), REFUSALS)
def test_refusals_are_the_sdk_s_own_errors(
    make: Any,
    state: str,
    more: dict[str, Any],
    kind: type[anthropic.APIStatusError],
    status: int,
    error_type: str,
    code: str,
) -> None:
    """A refusal has its class, type and code, is not retried, and nothing was sent."""
    sdk = make(max_retries=2)
    if state == "halt":
        sdk.do("halt", reason="test")
    elif state == "budget":
        sdk.do("set_budget", "acme", "0")
    body: dict[str, Any] = {"model": SONNET, "max_tokens": 500, "messages": says(), **more}
    if state == "poor":
        sdk.do("create_tenant", "poor")
        sdk.do("set_budget", "poor", "none")
    poor = state == "poor"
    work = _as_tenant(sdk, "poor") if poor else sdk.create
    with pytest.raises(anthropic.APIStatusError) as caught:
        work(**body)
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.type, error.error_code) == (status, error_type, code)
    assert "outlay" in error.message
    assert (sdk.tried.count, sdk.sent.count) == (0 if poor else 1, 0)
    assert booked(sdk) == 0


def _as_tenant(sdk: Any, tenant: str) -> Callable[..., Any]:
    """The same books and client for another tenant."""
    controlled = outlay.middleware(sdk.books, tenant=lambda: tenant)
    return lambda **body: sdk.call(
        lambda client: client.with_options(middleware=[controlled, Watch(sdk.sent)]).messages.create(**body)
    )


def test_money_that_is_only_held_is_worth_a_retry(make: Any) -> None:
    """outlay_budget_busy is retried by the SDK, and succeeds once the other call is settled."""
    sdk = make(max_retries=1)
    sdk.do("create_tenant", "small", credit="0.01")
    hold = sdk.do("hold", "small", offers=[{"name": "other", "cost_usd": "0.009", "expected_usd": "0.001"}])

    class Frees(anthropic.Middleware):
        """Settles the other call while the SDK waits."""

        def handle(self, request: Any, call_next: Any) -> Any:
            if request.retries_taken == 1:
                hold.settle(cost_usd="0.001")
            return call_next(request)

        async def handle_async(self, request: Any, call_next: Any) -> Any:
            if request.retries_taken == 1:
                await hold.settle(cost_usd="0.001")
            return await call_next(request)

    chain = [Frees(), outlay.middleware(sdk.books, tenant="small"), Watch(sdk.sent)]
    message = sdk.call(
        lambda client: client.with_options(middleware=chain).messages.create(
            model=SONNET, max_tokens=500, messages=says()
        )
    )
    assert (message.usage.output_tokens, sdk.sent.count) == (40, 1)


def test_errors_of_the_provider_cost_nothing_and_each_attempt_closes_its_hold(make: Any) -> None:
    """Two overloaded answers: two attempts, two holds, both given back; the SDK's error comes through."""
    sdk = make(ONE_MODEL, max_retries=1)
    with pytest.raises(anthropic.OverloadedError):
        sdk.create(model=SONNET, max_tokens=500, messages=says("[[sim fault=overload_529]]"))
    assert sdk.sent.count == 2
    assert booked(sdk) == sdk.billed() == 0


def test_an_error_answer_to_a_stream_is_not_billed(make: Any) -> None:
    """A stream that is refused before its first event costs nothing."""
    sdk = make()
    with pytest.raises(anthropic.InternalServerError):
        sdk.events(model=SONNET, max_tokens=500, messages=says("[[sim fault=error_500]]"))
    assert booked(sdk) == sdk.billed() == 0


def test_an_error_amid_a_stream_is_settled_by_what_came(make: Any) -> None:
    """The error reaches the caller, and what was generated before is booked."""
    sdk = make()
    with pytest.raises(anthropic.APIStatusError):
        sdk.events(
            model=SONNET,
            max_tokens=500,
            messages=says("[[sim input_tokens=100 output_tokens=300 fault=stream_error_after=4]]"),
        )
    assert Decimal("0.0002") <= sdk.billed() <= booked(sdk)


def test_a_provider_that_is_not_there_costs_nothing(make: Any) -> None:
    """A refused connection is certainly unsent: the hold is given back at once."""
    sdk = make(base_url="http://127.0.0.1:9")
    with pytest.raises(anthropic.APIConnectionError):
        sdk.create(model=SONNET, max_tokens=500, messages=says())
    assert booked(sdk) == 0


def test_a_lost_answer_stays_held_until_it_is_known(make: Any) -> None:
    """Nobody knows whether an answer that never came was billed: its money is not given back."""
    sdk = make()
    with pytest.raises(anthropic.APIConnectionError):
        sdk.create(model=SONNET, max_tokens=500, messages=says("[[sim output_tokens=40 fault=lost_answer]]"))
    balance = sdk.do("balance", "acme")
    assert Decimal(balance["held_usd"]) >= sdk.billed() > 0


def test_a_request_that_cannot_be_built_holds_nothing(make: Any) -> None:
    """A client without a key fails before it sends anything."""
    sdk = make()
    with pytest.raises((TypeError, anthropic.AnthropicError)):
        sdk.call(
            lambda client: client.messages.create(
                model=SONNET,
                max_tokens=500,
                messages=says(),
                extra_headers={"Authorization": "", "x-bad": "line\nbreak"},
            )
        )
    assert sdk.sent.count == 1
    assert booked(sdk) == sdk.billed() == 0


def test_what_is_free_passes(make: Any) -> None:
    """Counting tokens and listing models are no calls of a model."""
    sdk = make()
    counted = sdk.call(lambda client: client.messages.count_tokens(model=SONNET, messages=says("hello")))
    assert counted.input_tokens > 0
    sdk.call(lambda client: client.models.retrieve(SONNET))
    assert booked(sdk) == 0


PLACED = """
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "small"
[upstreams.eu]
url = "https://eu.example"
key_env = "EU_KEY"
[privacy.eu]
models = ["claude-haiku-5-5"]
upstreams = ["eu"]
"""


class Seen(ScriptedProvider):
    """Remembers where requests went."""

    def __init__(self, replies: Any = (Reply(),)) -> None:
        super().__init__(replies)
        self.requests: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Remember and answer."""
        self.requests.append(request)
        return super().handle_request(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Remember and answer."""
        self.requests.append(request)
        return await super().handle_async_request(request)


@pytest.fixture
def scripted(request: pytest.FixtureRequest, make: Any) -> Callable[..., tuple[Any, Seen]]:
    """Make the client under test with a scripted provider."""

    def one(policy: str | None = None, replies: Any = (Reply(),), **options: Any) -> tuple[Any, Seen]:
        provider = Seen(replies)
        blocking = request.node.callspec.params["make"] is Blocking
        kind = anthropic.DefaultHttpxClient if blocking else anthropic.DefaultAsyncHttpxClient
        return make(policy, http_client=kind(transport=provider), **options), provider

    return one


def test_a_privacy_class_places_calls_and_counts_alike(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt is only shown to an upstream of its class, with that one's key; the query goes with it."""
    monkeypatch.setenv("EU_KEY", "sk-eu")
    monkeypatch.setenv("OUTLAY_UPSTREAM_KEYS", "EU_KEY")
    sdk, provider = scripted(PLACED, middleware={"privacy": "eu"})
    body: dict[str, Any] = {"model": HAIKU, "messages": says("a secret")}
    sdk.create(max_tokens=50, **body)
    sdk.call(lambda client: client.messages.count_tokens(**body))
    sdk.call(lambda client: client.beta.messages.count_tokens(**body))
    sdk.call(lambda client: client.beta.messages.create(max_tokens=50, extra_query={"x": "1"}, **body))
    paths = [str(asked.url).removeprefix("https://eu.example/v1/messages") for asked in provider.requests]
    assert [path.partition("?")[0] for path in paths] == ["", "/count_tokens", "/count_tokens", ""]
    assert "x=1" in paths[3]
    assert {asked.headers["authorization"] for asked in provider.requests} == {"Bearer sk-eu"}
    assert not [asked for asked in provider.requests if "x-api-key" in asked.headers]
    sdk.do("balance", "acme")


def test_a_query_goes_to_another_upstream_as_it_is() -> None:
    """`?beta=true` in the route of a call stays where its privacy class sends it elsewhere."""
    upstream = Upstream("eu", "https://eu.example", "sk-eu")
    assert routed(upstream, "/v1/messages?beta=true") == "https://eu.example/v1/messages?beta=true"
    assert routed(upstream, "https://a.example/v1/messages/count_tokens?beta=true&x=1").endswith(
        "eu.example/v1/messages/count_tokens?beta=true&x=1"
    )
    assert routed(upstream, "/v1/messages") == "https://eu.example/v1/messages"


def test_a_count_is_refused_like_a_call(scripted: Any) -> None:
    """Halted, of an unknown model, or with a privacy class that nobody knows: the prompt is not shown."""
    sdk, provider = scripted()
    body: dict[str, Any] = {"model": HAIKU, "messages": says("a secret")}
    for more in ({"model": "claude-nobody-1"}, {"extra_headers": {"outlay-privacy": "nobody"}}):
        with pytest.raises(anthropic.APIStatusError):
            sdk.call(lambda client, more=more: client.messages.count_tokens(**{**body, **more}))
    sdk.do("halt", reason="test")
    with pytest.raises(anthropic.ServiceUnavailableError) as caught:
        sdk.call(lambda client: client.messages.count_tokens(**body))
    assert caught.value.error_code == "outlay_kill_switch"
    assert provider.requests == []
    sdk.do("resume", reason="over")
    sdk.call(lambda client: client.messages.count_tokens(**{**body, "model": "outlay/auto"}))
    assert not provider.bodies[0]["model"].startswith("outlay/")


def test_an_upstream_without_its_key_costs_nothing(scripted: Any) -> None:
    """A call that cannot be put together is the SDK's own error, and its hold is given back."""
    sdk, provider = scripted(PLACED, middleware={"privacy": "eu"})
    with pytest.raises(anthropic.BadRequestError, match="has no key"):
        sdk.create(model=HAIKU, max_tokens=50, messages=says())
    assert provider.requests == []
    assert booked(sdk) == 0


def test_a_stream_that_the_provider_breaks_speaks_against_the_model(scripted: Any) -> None:
    """The SDK closes a stream that broke; that is not its caller's leaving, and the breaker counts it."""
    sdk, _ = scripted(None, [Reply(cut_after=3)])
    with pytest.raises(httpx2.RemoteProtocolError):
        sdk.events(model=HAIKU, max_tokens=50, messages=says())
    sdk.events(2, model=HAIKU, max_tokens=50, messages=says())
    with sdk.books.app.reading() as connection:
        found = connection.execute(text("SELECT calls, failures FROM circuit_call_bucket")).all()
    assert [tuple(row) for row in found] == [(1, 1)]


def test_what_cannot_be_bounded_is_refused(make: Any) -> None:
    """A batch is billed later and elsewhere: it is refused, and nothing is sent."""
    sdk = make(max_retries=2)
    with pytest.raises(anthropic.BadRequestError, match="/v1/messages/batches") as caught:
        sdk.call(lambda client: client.messages.batches.create(requests=[]))
    assert caught.value.error_code == "outlay_route_not_controlled"
    assert (sdk.tried.count, sdk.sent.count) == (1, 0)


def test_hints_come_from_the_middleware_and_from_the_request(make: Any) -> None:
    """extra_headers work as behind the gateway, and never reach the provider."""
    sdk = make(middleware={"task": "crm/mail", "priority": "low"})
    headers, _ = sdk.raw(
        model="outlay/auto", max_tokens=500, messages=says(), extra_headers={"outlay-task": "crm/call"}
    )
    stored = decided(sdk, headers["outlay-decision-id"])
    assert stored["task"] == "crm/call"
    sent = sdk.sent.last.headers
    assert not [name for name in sent if name.startswith("outlay-") and isinstance(sent[name], str)]


def test_a_misspelt_header_is_refused_as_behind_the_gateway(make: Any) -> None:
    """Its code and its fix reach the SDK's caller; nothing is held or sent."""
    sdk = make()
    wrong = {"outlay-priorty": "low"}
    with pytest.raises(anthropic.BadRequestError, match='Did you mean "outlay-priority"') as caught:
        sdk.create(model=SONNET, max_tokens=500, messages=says(), extra_headers=wrong)
    assert caught.value.error_code == "outlay_invalid_hint"
    assert (sdk.sent.count, booked(sdk)) == (0, 0)


def test_betas_of_the_client_are_counted_and_sent(make: Any) -> None:
    """A beta can change what a request costs, so that what goes out is what was counted."""
    own, added = "effort-2025-11-24", "context-1m-2025-08-07"
    sdk = make(default_headers={"anthropic-beta": own}, middleware={"betas": [added]})
    body: dict[str, Any] = {"model": SONNET, "max_tokens": 500, "messages": says()}
    sdk.create(**body)
    assert sdk.sent.last.headers["anthropic-beta"] == f"{added},{own}"
    sdk.create(**body, extra_headers={"Anthropic-Beta": anthropic.omit})
    assert sdk.sent.last.headers["anthropic-beta"] == added
    assert "Anthropic-Beta" not in sdk.sent.last.headers


def test_an_unknown_beta_of_the_client_is_refused_as_behind_the_gateway(make: Any) -> None:
    """It may be billed: nothing is held or sent."""
    sdk = make(default_headers={"anthropic-beta": "unknown-2026-01-01"})
    with pytest.raises(anthropic.BadRequestError, match="unknown-2026-01-01") as caught:
        sdk.create(model=SONNET, max_tokens=500, messages=says())
    assert caught.value.error_code == "outlay_unbounded_request"
    assert (sdk.sent.count, booked(sdk)) == (0, 0)


def test_parallel_calls_are_each_settled(make: Any) -> None:
    """Twenty calls at once cost twenty times one."""
    sdk = make()
    body: dict[str, Any] = {"model": HAIKU, "max_tokens": 500, "messages": says()}
    if isinstance(sdk, Blocking):
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: sdk.create(**body), range(20)))
    else:

        async def all_at_once(client: Any) -> Any:
            return await asyncio.gather(*(client.messages.create(**body) for _ in range(20)))

        sdk.call(all_at_once)
    assert booked(sdk) == sdk.billed() > 0
    assert sdk.sent.count == 20
    assert breaker_status(sdk.books.app)["breakers"] == []


def test_the_wrong_client_is_refused_when_it_is_made(sqlite_url: str) -> None:
    """Books for threads do not fit an asynchronous client: it says so at once."""
    with outlay.open(sqlite_url) as books:
        controlled = outlay.middleware(books, tenant="acme")
        with pytest.raises(TypeError, match="handle_async"):
            anthropic.AsyncAnthropic(api_key="k", middleware=[controlled])


def test_books_of_another_event_loop_are_refused(sqlite_url: str) -> None:
    """An AsyncOutlay belongs to one event loop."""
    first = asyncio.Runner()
    books = first.run(_opened(sqlite_url))

    async def elsewhere() -> None:
        client = anthropic.AsyncAnthropic(
            api_key="k", base_url="http://127.0.0.1:9", middleware=[outlay.middleware(books, tenant="acme")]
        )
        async with client:
            await client.messages.create(model=SONNET, max_tokens=5, messages=says())

    with pytest.raises(RuntimeError, match="event loop"):
        asyncio.run(elsewhere())
    first.run(books.close())
    first.close()


async def _opened(url: str) -> AsyncOutlay:
    return await outlay.open_async(url)


def test_books_out_of_reach_are_worth_a_retry(sqlite_url: str) -> None:
    """A closed ledger: 503 with x-should-retry, and nothing was sent."""
    books = outlay.open(sqlite_url)
    books.create_tenant("acme", credit="1")
    client = anthropic.Anthropic(
        api_key="k",
        base_url="http://127.0.0.1:9",
        max_retries=0,
        middleware=[outlay.middleware(books, tenant="acme")],
    )
    books.app.ledger.close()
    with client, pytest.raises(anthropic.ServiceUnavailableError) as caught:
        client.messages.create(model=SONNET, max_tokens=5, messages=says())
    assert caught.value.error_code == "outlay_books_unavailable"
    assert caught.value.response.headers["x-should-retry"] == "true"
    assert isinstance(caught.value.response, httpx2.Response)
    books.close()
