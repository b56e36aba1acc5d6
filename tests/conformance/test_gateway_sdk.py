"""
The unmodified Anthropic SDK against the gateway, the gateway against the simulated provider.

The provider's own bill is the judge: what a tenant is charged equals what the provider billed, to the
nano-dollar, also where a client leaves or a stream breaks.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anthropic
import pytest
from sdk_caller import HELLO, MODEL, Caller, Judge, says


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


@pytest.mark.parametrize("after", range(1, 8))
def test_a_stream_that_breaks_inside_hidden_thinking_is_not_settled_too_low(
    caller: Caller, judge: Judge, after: int
) -> None:
    """What a model thinks unseen is billed; wherever it stops, the books hold at least as much."""
    messages = says(f"output_tokens=400 thinking_tokens=300 stream_error_after={after}")
    with (
        pytest.raises(anthropic.APIStatusError),
        caller.sdk.messages.stream(model=MODEL, max_tokens=1000, messages=messages) as stream,
    ):
        stream.get_final_message()
    assert judge.decision["outcome"] == "broken"
    assert judge.spent >= judge.billed > 0


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
