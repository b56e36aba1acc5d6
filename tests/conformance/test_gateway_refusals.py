"""
The unmodified Anthropic SDK and the errors of the gateway: those of the provider as they are, and our own.

Each raises the class that the SDK has for its status, and is repeated only where a repeat can help.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from sdk_caller import HELLO, MODEL, Caller, Judge, own_policy, says

from outlay.admin import breakers, money, tenants
from outlay.admin.keys import create_key
from outlay.settings import Settings


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


def _poor(app: Any, tenant: str) -> str:
    return str(tenants.create_tenant(app, f"{tenant}-poor", credit="0", actor="test")["key"])


def _spent(app: Any, tenant: str) -> None:
    own_policy(app, tenant, MODEL)
    money.set_budget(app, tenant, "0", actor="test")


def _frozen(app: Any, tenant: str) -> None:
    steps = "[degradation]\nmode = 'steps'\nsteps = [{ below = 0.5, only = ['critical'] }]"
    own_policy(app, tenant, f"{MODEL}\n{steps}")
    money.set_budget(app, tenant, "0", actor="test")
    tenants.set_tenant(app, tenant, frozen=True, actor="test")


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
        (_frozen, anthropic.PermissionDeniedError, 403, "permission_error", "outlay_tenant_frozen"),
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
        details = error.body["error"]["details"]
        assert (details["budget_window"], details["budget_scope"]) == ("day", "tenant")
        assert details["resets_at"] == money.balance(gateway.app, tenant[0])["day"]["resets_at"]


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


def test_a_budget_of_a_task_beyond_ascii_holds(gateway: Any, tenant: Any, caller: Caller) -> None:
    """The SDK sends headers as UTF-8, and the budget of that name refuses the call after one attempt."""
    money.set_budget(gateway.app, tenant[0], "0", scope="task:crm/ü", actor="test")
    headers = {"outlay-task": "crm/ü"}
    with pytest.raises(anthropic.RateLimitError) as caught:
        caller.sdk.messages.create(model=MODEL, max_tokens=100, messages=HELLO, extra_headers=headers)
    assert (caught.value.error_code, caller.attempts) == ("outlay_daily_budget_reached", 1)
