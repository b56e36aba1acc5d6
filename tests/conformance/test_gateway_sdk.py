"""
The unmodified Anthropic SDK against the gateway, the gateway against the simulated provider.

The provider's own bill is the judge: what a tenant is charged equals what the provider billed, to the
nano-dollar, also where a client leaves or a stream breaks.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from outlay.admin import breakers, money, policies, tenants
from outlay.admin.decisions import list_decisions
from outlay.admin.keys import create_key
from outlay.settings import Settings
from simulator import bill

HELLO: list[Any] = [{"role": "user", "content": "hello [[sim output_tokens=20]]"}]
MODEL = "claude-sonnet-5-5"
UNKNOWN_COST = 5.0  # seconds that a settlement in the background may take


def says(directives: str) -> list[Any]:
    """A message that tells the simulated provider what to do."""
    return [{"role": "user", "content": f"hello [[sim {directives}]]"}]


class Caller:
    """An SDK client that counts its attempts."""

    def __init__(self, url: str, **key: Any) -> None:
        self.attempts = 0
        http = anthropic.DefaultHttpxClient(event_hooks={"request": [self._count]})
        self.sdk = anthropic.Anthropic(base_url=url, http_client=http, **key)

    def _count(self, _request: httpx2.Request) -> None:
        self.attempts += 1


@pytest.fixture
def caller(gateway: Any, tenant: Any) -> Iterator[Caller]:
    """The SDK with a tenant's key."""
    made = Caller(gateway.url, api_key=tenant[1])
    yield made
    made.sdk.close()


@pytest.fixture
def open_caller(gateway: Any) -> Iterator[Callable[..., Caller]]:
    """Make SDK clients with other keys."""
    made: list[Caller] = []

    def make(url: str | None = None, **key: Any) -> Caller:
        made.append(Caller(gateway.url if url is None else url, **key))
        return made[-1]

    yield make
    for one in made:
        one.sdk.close()


class Judge:
    """Compares a tenant's books with what the provider billed since the test began."""

    def __init__(self, app: Any, tenant: str, bill_file: Path) -> None:
        self._app, self._tenant, self._bill = app, tenant, bill_file
        self._seen = len(self._lines())

    def _lines(self) -> list[Any]:
        return list(bill.lines(self._bill)) if self._bill.exists() else []

    @property
    def billed(self) -> Decimal:
        """What the provider billed since then."""
        return sum((line.cost_usd for line in self._lines()[self._seen :]), Decimal(0))

    @property
    def balance(self) -> Any:
        """The tenant's balance."""
        return money.balance(self._app, self._tenant)

    @property
    def spent(self) -> Decimal:
        """What the tenant was charged today."""
        return Decimal(self.balance["day"]["spent_usd"])

    @property
    def decision(self) -> Any:
        """The newest decision."""
        return list_decisions(self._app, tenant=self._tenant)["decisions"][0]

    def wait(self) -> None:
        """Wait until no call is in flight."""
        until = time.monotonic() + UNKNOWN_COST
        while self.balance["held_usd"] != "0.00":
            assert time.monotonic() < until, self.balance
            time.sleep(0.02)


@pytest.fixture
def judge(gateway: Any, provider: Any, tenant: Any) -> Judge:
    """The judge of this test's tenant."""
    return Judge(gateway.app, tenant[0], provider[1])


# what works


@pytest.mark.parametrize("how", ["api_key", "auth_token"])
def test_a_plain_call_is_answered_and_charged(
    tenant: Any, judge: Judge, open_caller: Callable[..., Caller], how: str
) -> None:
    """Both ways to show a key work, and the charge is the provider's bill."""
    caller = open_caller(**{how: tenant[1]})
    raw = caller.sdk.messages.with_raw_response.create(model=MODEL, max_tokens=100, messages=HELLO)
    message = raw.parse()
    assert message.usage.output_tokens == 20
    assert message._request_id == raw.headers["request-id"]
    assert judge.spent == judge.billed == Decimal(raw.headers["outlay-cost-usd"]) > 0
    assert caller.attempts == 1


def test_answers_carry_the_providers_headers_and_ours(caller: Caller, judge: Judge) -> None:
    """Rate limits and organization come from the provider, the decision from us."""
    raw = caller.sdk.messages.with_raw_response.create(model="outlay/auto", max_tokens=100, messages=HELLO)
    headers = raw.headers
    assert headers["anthropic-ratelimit-requests-limit"]
    assert headers["anthropic-organization-id"]
    assert headers["outlay-model-asked"] == "outlay/auto"
    assert headers["outlay-model-served"] == raw.parse().model
    assert headers["outlay-reason"] == "unrouted_task"
    assert Decimal(headers["outlay-hold-usd"]) >= judge.billed
    for name in ("outlay-decision-id", "outlay-budget-remaining-ratio", "outlay-credit-usd"):
        assert headers[name]
    assert headers["outlay-decision-id"] == judge.decision["id"]


def test_a_stream_is_the_providers_and_is_charged(caller: Caller, judge: Judge) -> None:
    """Event types are the provider's own, in order; the books are settled when the stream has ended."""
    with caller.sdk.messages.stream(
        model=MODEL, max_tokens=300, messages=says("output_tokens=120")
    ) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
        assert stream.response.headers["outlay-decision-id"]
        assert "outlay-cost-usd" not in stream.response.headers
    assert judge.spent == judge.billed > 0
    assert judge.balance["held_usd"] == "0.00"
    assert message.usage.output_tokens == 120
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


def test_the_async_client_works_alike(gateway: Any, tenant: Any, judge: Judge) -> None:
    """Plain and streamed calls at once, from an event loop."""

    async def play() -> None:
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=tenant[1]) as sdk:

            async def streamed() -> None:
                async with sdk.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
                    await stream.get_final_message()

            plain = (sdk.messages.create(model=MODEL, max_tokens=100, messages=HELLO) for _ in range(5))
            await asyncio.gather(*plain, *(streamed() for _ in range(5)))

    asyncio.run(play())
    assert judge.spent == judge.billed > 0


def test_beta_routes_and_betas_reach_the_provider(caller: Caller, judge: Judge) -> None:
    """`?beta=true` and the beta's name are passed on."""
    message = caller.sdk.beta.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
    assert message.usage.output_tokens == 20
    assert judge.spent == judge.billed


def test_tools_go_through_untouched(caller: Caller) -> None:
    """A tool's schema reaches the provider, and its answer the caller."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    message = caller.sdk.messages.create(
        model=MODEL,
        max_tokens=500,
        messages=says("tool_use=1 output_tokens=100"),
        tools=[{"name": "weather", "input_schema": schema}],
        extra_headers={"outlay-task": "crm/lookup", "outlay-tags": "team=a"},
    )
    assert message.stop_reason == "tool_use"


def test_count_tokens_is_free_and_equals_the_billed_prompt(caller: Caller, judge: Judge) -> None:
    """Counts come from the provider, also for the router's own names, and cost nothing."""
    counts = {
        name: caller.sdk.messages.count_tokens(model=name, messages=HELLO).input_tokens
        for name in (MODEL, "outlay/auto", "outlay/medium")
    }
    assert judge.billed == 0
    message = caller.sdk.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
    assert set(counts.values()) == {message.usage.input_tokens}


def test_models_that_are_listed_can_be_asked_for(caller: Caller) -> None:
    """Every tier's name and first models on the list are served; each is found by its id."""
    listed = [model.id for model in caller.sdk.models.list(limit=5)]
    assert {MODEL, "outlay/auto", "outlay/small"} <= set(listed)
    assert len(listed) == len(set(listed))
    for name in ("outlay/auto", "outlay/small", "claude-haiku-5-5"):
        assert caller.sdk.models.retrieve(name).id == name
        assert caller.sdk.messages.create(model=name, max_tokens=50, messages=HELLO).usage.output_tokens
    with pytest.raises(anthropic.NotFoundError):
        caller.sdk.models.retrieve("claude-none")


# clients that leave, streams that break


def test_a_stream_whose_client_left_settles_with_the_true_usage(caller: Caller, judge: Judge) -> None:
    """The provider's answer is read to its end in the background."""
    messages = says("output_tokens=2000 stall_ms=300")
    with caller.sdk.messages.stream(model=MODEL, max_tokens=4000, messages=messages) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                break
    judge.wait()
    assert judge.spent == judge.billed > 0
    assert judge.decision["outcome"] == "served"


def test_a_plain_call_whose_client_left_settles_with_the_true_usage(
    tenant: Any, judge: Judge, open_caller: Callable[..., Caller]
) -> None:
    """A timeout of the client does not cut the call off from its settlement."""
    sdk = open_caller(api_key=tenant[1]).sdk.with_options(timeout=0.2, max_retries=0)
    with pytest.raises(anthropic.APITimeoutError):
        sdk.messages.create(model=MODEL, max_tokens=100, messages=says("output_tokens=20 latency_ms=600"))
    judge.wait()
    assert judge.spent == judge.billed > 0


def test_a_stream_that_breaks_raises_and_is_settled_as_broken(caller: Caller, judge: Judge) -> None:
    """A truncated answer is never silent, and covers at least what the provider billed."""
    messages = says("output_tokens=400 thinking_tokens=0 break_stream_after=8")
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        caller.sdk.messages.stream(model=MODEL, max_tokens=1000, messages=messages) as stream,
    ):
        stream.get_final_message()
    assert caught.value.error_code == "outlay_upstream_no_answer"
    assert judge.decision["outcome"] == "broken"
    assert judge.balance["held_usd"] == "0.00"
    assert judge.spent >= judge.billed > 0


@pytest.mark.parametrize(("after", "outcome"), [(0, "failed"), (5, "broken")])
def test_an_error_inside_a_stream_raises_and_is_settled(
    caller: Caller, judge: Judge, after: int, outcome: str
) -> None:
    """The provider's own error event reaches the caller; before the answer began it costs nothing."""
    messages = says(f"output_tokens=400 thinking_tokens=0 stream_error_after={after}")
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        caller.sdk.messages.stream(model=MODEL, max_tokens=1000, messages=messages) as stream,
    ):
        stream.get_final_message()
    assert caught.value.type == "overloaded_error"
    assert judge.decision["outcome"] == outcome
    assert judge.spent >= judge.billed
    assert (judge.spent == 0) is (after == 0)


@pytest.mark.parametrize(
    ("fault", "streamed"),
    [
        ("disconnect", False),
        ("disconnect", True),
        ("lost_answer", False),
        ("lost_answer", True),
        ("break_stream_after=0", True),
    ],
)
def test_no_answer_is_504_not_repeated_and_its_money_stays_held(
    caller: Caller, judge: Judge, fault: str, streamed: bool
) -> None:
    """Nobody knows whether the provider billed it: the hold stays, and the SDK does not send it again."""
    messages = says(f"output_tokens=20 fault={fault}")
    with pytest.raises(anthropic.APIStatusError) as caught:
        caller.sdk.messages.create(model=MODEL, max_tokens=100, messages=messages, stream=streamed)
    assert caught.value.status_code == 504
    assert caught.value.type == "timeout_error"
    assert caught.value.error_code == "outlay_upstream_no_answer"
    assert caller.attempts == 1
    assert judge.decision["outcome"] == "uncertain"
    assert Decimal(judge.balance["held_usd"]) >= judge.billed


# the provider's errors


@pytest.mark.parametrize(
    ("fault", "kind", "status", "attempts"),
    [
        ("overload_529", anthropic.OverloadedError, 529, 3),
        ("error_500", anthropic.InternalServerError, 500, 3),
        ("spend_limit_429", anthropic.RateLimitError, 429, None),
        ("own_limit_400", anthropic.BadRequestError, 400, 1),
        ("billing_402", anthropic.PaymentRequiredError, 402, 1),
    ],
)
def test_the_providers_errors_pass_as_they_are_and_cost_nothing(
    caller: Caller, judge: Judge, fault: str, kind: Any, status: int, attempts: int | None
) -> None:
    """Status, body and the SDK's own retries are as without a gateway; every hold is given back."""
    with pytest.raises(kind) as caught:
        caller.sdk.messages.create(model=MODEL, max_tokens=100, messages=says(f"fault={fault}"))
    assert caught.value.status_code == status
    assert not (caught.value.error_code or "").startswith("outlay_")
    assert caught.value.response.headers["outlay-decision-id"] == judge.decision["id"]
    assert attempts is None or caller.attempts == attempts
    assert judge.billed == 0
    assert judge.spent == 0
    assert judge.balance["held_usd"] == "0.00"


def test_a_provider_out_of_reach_is_502_retried_and_costs_nothing(
    serving: Any, tmp_path: Any, open_caller: Callable[..., Caller]
) -> None:
    """Nothing was sent, so that the SDK may try again, and nothing stays held."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'o.db'}", upstream_url="http://127.0.0.1:9", upstream_key="k"
    )
    with serving(settings) as running:
        made = tenants.create_tenant(running.app, "acme", credit="5", actor="test")
        caller = open_caller(running.url, api_key=made["key"])
        with pytest.raises(anthropic.InternalServerError) as caught:
            caller.sdk.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
        assert caught.value.status_code == 502
        assert caught.value.error_code == "outlay_upstream_unreachable"
        assert caller.attempts == 3
        assert money.balance(running.app, "acme")["available_usd"] == "5.00"


# refusals


def own_policy(app: Any, tenant: str, text: str) -> None:
    """Give a tenant a policy of its own."""
    tiers = '[tiers.only]\nmodels = ["MODEL"]\n[routing]\ndefault_tier = "only"\n'
    model, _, rest = text.partition("\n")
    policies.apply_policy(app, tiers.replace("MODEL", model) + rest, tenant=tenant, actor="test")


def _poor(app: Any, tenant: str) -> str:
    return str(tenants.create_tenant(app, f"{tenant}-poor", credit="0", actor="test")["key"])


def _spent(app: Any, tenant: str) -> None:
    own_policy(app, tenant, MODEL)
    money.set_budget(app, tenant, "0", actor="test")


def _halted(app: Any, tenant: str) -> None:
    breakers.halt(app, tenant=tenant, reason="drill", actor="test")


def _runaway(app: Any, tenant: str) -> None:
    own_policy(
        app, tenant, f'{MODEL}\n[breaker.spend]\nmax_usd = "0.000001"\nwindow_s = 300\ncooldown_s = 600'
    )


@pytest.mark.parametrize(
    ("prepare", "kind", "status", "error_type", "code"),
    [
        (_poor, anthropic.PaymentRequiredError, 402, "billing_error", "outlay_credit_exhausted"),
        (_spent, anthropic.RateLimitError, 429, "rate_limit_error", "outlay_daily_budget_reached"),
        (_halted, anthropic.APIStatusError, 503, "api_error", "outlay_kill_switch"),
        (_runaway, anthropic.RateLimitError, 429, "rate_limit_error", "outlay_runaway_halt"),
    ],
)
def test_final_refusals_are_one_attempt(
    gateway: Any,
    tenant: Any,
    judge: Judge,
    open_caller: Callable[..., Caller],
    prepare: Any,
    kind: Any,
    status: int,
    error_type: str,
    code: str,
) -> None:
    """A refusal that no wait cures raises its class after one attempt, and the provider never hears of it."""
    key = prepare(gateway.app, tenant[0]) or tenant[1]
    caller = open_caller(api_key=key)
    if code == "outlay_runaway_halt":
        caller.sdk.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
        caller.attempts = 0
    before = judge.billed
    with pytest.raises(kind) as caught:
        caller.sdk.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
    error = caught.value
    assert (error.status_code, error.type, error.error_code) == (status, error_type, code)
    assert error.response.headers["x-should-retry"] == "false"
    assert error.request_id == error.response.headers["request-id"] == error.body["request_id"]
    assert caller.attempts == 1
    assert judge.billed == before
    if code == "outlay_daily_budget_reached":
        assert int(error.response.headers["retry-after"]) > 0
        assert error.body["error"]["details"]["resets_at"]


def test_money_held_by_calls_in_flight_is_busy_and_retried(
    gateway: Any, tenant: Any, caller: Caller, judge: Judge
) -> None:
    """The SDK tries again shortly, and gets through once the call in flight has ended."""
    own_policy(gateway.app, tenant[0], MODEL)
    money.set_budget(gateway.app, tenant[0], "0.002", actor="test")
    slow = says("output_tokens=10 latency_ms=700")

    async def play() -> list[Any]:
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=tenant[1]) as sdk:
            first = asyncio.create_task(sdk.messages.create(model=MODEL, max_tokens=100, messages=slow))
            await asyncio.sleep(0.3)
            raw = await sdk.messages.with_raw_response.create(model=MODEL, max_tokens=100, messages=HELLO)
            return [await first, raw]

    _, raw = asyncio.run(play())
    assert raw.retries_taken >= 1
    assert judge.spent == judge.billed


def test_an_unbounded_request_is_refused_at_once(caller: Caller, judge: Judge) -> None:
    """A web search without max_uses has no bound."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        caller.sdk.messages.create(
            model=MODEL,
            max_tokens=100,
            messages=HELLO,
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )
    assert caught.value.error_code == "outlay_unbounded_request"
    assert caller.attempts == 1
    assert judge.billed == 0


def test_an_open_provider_breaker_is_retried(gateway: Any, tenant: Any, caller: Caller) -> None:
    """After failures of the only model, calls are 529 with a short retry-after until it recovers."""
    rule = "[breaker.provider]\nwindow_s = 60\nmin_calls = 2\nfailure_ratio = 0.5\ncooldown_s = 30"
    own_policy(gateway.app, tenant[0], f"claude-opus-4-5\n{rule}")
    once = caller.sdk.with_options(max_retries=0)
    for _ in range(2):
        with pytest.raises(anthropic.InternalServerError):
            once.messages.create(model="outlay/auto", max_tokens=50, messages=says("fault=error_500"))
    with pytest.raises(anthropic.OverloadedError) as caught:
        once.messages.create(model="outlay/auto", max_tokens=50, messages=HELLO)
    assert caught.value.error_code == "outlay_breaker_open"
    assert caught.value.response.headers["x-should-retry"] == "true"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 30


def test_wrong_keys_and_operators_keys_pay_for_nothing(
    gateway: Any, open_caller: Callable[..., Caller]
) -> None:
    """Unknown keys are 401, operators' keys 401 or 403; one attempt each, on every route."""
    viewer = create_key(gateway.app, role="viewer", name="v", actor="test")["key"]
    for key, kind in (
        ("olk_wrong", anthropic.AuthenticationError),
        (viewer, anthropic.PermissionDeniedError),
    ):
        for route in ("create", "count", "list"):
            caller = open_caller(api_key=key)
            with pytest.raises(kind):
                _call(caller, route)
            assert caller.attempts == 1


def _call(caller: Caller, route: str) -> None:
    if route == "create":
        caller.sdk.messages.create(model=MODEL, max_tokens=10, messages=HELLO)
    elif route == "count":
        caller.sdk.messages.count_tokens(model=MODEL, messages=HELLO)
    else:
        caller.sdk.models.list()


def test_nothing_else_is_forwarded(caller: Caller) -> None:
    """Batches and other routes are 404 at the gateway."""
    with pytest.raises(anthropic.NotFoundError) as caught:
        caller.sdk.messages.batches.list()
    assert caught.value.error_code == "outlay_not_found"
    assert caller.attempts == 1


def test_a_body_over_32_mib_is_too_large(caller: Caller, judge: Judge) -> None:
    """The SDK sees its own class for it."""
    huge = [{"role": "user", "content": "x" * (33 * 1024 * 1024)}]
    with pytest.raises(anthropic.RequestTooLargeError):
        caller.sdk.messages.create(model=MODEL, max_tokens=10, messages=huge)  # type: ignore[arg-type]
    assert judge.billed == 0


def test_a_halted_tenant_counts_nothing_upstream(gateway: Any, tenant: Any, caller: Caller) -> None:
    """Once halted, not even a free call goes to the provider."""
    _halted(gateway.app, tenant[0])
    with pytest.raises(anthropic.APIStatusError) as caught:
        caller.sdk.messages.count_tokens(model=MODEL, messages=HELLO)
    assert caught.value.error_code == "outlay_kill_switch"
    assert caller.attempts == 1
