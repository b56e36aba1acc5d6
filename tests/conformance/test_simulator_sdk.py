"""The official Anthropic client, unmodified, against the simulated provider in a process of its own."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pydantic
import pytest
from anthropic.types import Message
from sdk_in_process import HAIKU, OPUS, SONNET, says

from simulator import bill
from simulator.app import Config, make_app
from simulator.prices import cost_usd


@pytest.fixture
def client(url: str) -> Iterator[anthropic.Anthropic]:
    """The sync client; retries wait for nothing in tests."""
    with anthropic.Anthropic(base_url=url, api_key="sk-test", max_retries=0) as found:
        yield found


def _billed(bill_file: Path, message: Message) -> bill.Line:
    return bill.by_request(bill_file)[str(message._request_id)]


def _assert_billed(bill_file: Path, message: Message) -> None:
    line = _billed(bill_file, message)
    usage = message.usage
    assert (line.message_id, line.model) == (message.id, message.model)
    assert (line.usage.input_tokens, line.usage.output_tokens) == (usage.input_tokens, usage.output_tokens)
    assert line.cost_usd == cost_usd(line.model, line.usage, line.at_s)


def test_create_answers_a_message_and_bills_it(client: anthropic.Anthropic, bill_file: Path) -> None:
    """messages.create returns text, usage and a request id under which the bill has the call."""
    message = client.messages.create(
        model=OPUS, max_tokens=500, messages=says("Hi [[sim input_tokens=1000 output_tokens=300]]")
    )
    assert (message.usage.input_tokens, message.usage.output_tokens) == (1000, 300)
    assert message.content[-1].type == "text"
    _assert_billed(bill_file, message)
    # 1,000 at 4 and 300 at 20 a million
    assert _billed(bill_file, message).cost_usd == Decimal("0.010")


def test_stream_builds_the_message_that_was_billed(client: anthropic.Anthropic, bill_file: Path) -> None:
    """messages.stream accumulates the same text that it iterated, with the final usage."""
    with client.messages.stream(
        model=SONNET, max_tokens=500, messages=says("[[sim output_tokens=400]]")
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert message.content[-1].type == "text"
    assert text == message.content[-1].text
    line = bill.by_request(bill_file)[str(stream.response.headers["request-id"])]
    assert (line.usage.output_tokens, line.stream, line.message_id) == (400, True, message.id)
    assert message.usage.output_tokens == 400


def test_raw_streams_come_event_by_event(client: anthropic.Anthropic) -> None:
    """create(stream=True) yields the typed events, start first and stop last."""
    kinds = [
        event.type
        for event in client.messages.create(model=HAIKU, max_tokens=50, messages=says("x"), stream=True)
    ]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])


def test_tools_go_round(client: anthropic.Anthropic) -> None:
    """A forced tool is used, and its result with the thinking block is taken back."""
    tools: Any = [
        {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
    ]
    asked = says("Look.")
    used = client.messages.create(
        model=HAIKU, max_tokens=500, messages=asked, tools=tools, tool_choice={"type": "tool", "name": "look"}
    )
    block = used.content[-1]
    assert (used.stop_reason, block.type) == ("tool_use", "tool_use")
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "seen"}
    turns = [*asked, {"role": "assistant", "content": used.content}, {"role": "user", "content": [result]}]
    assert client.messages.create(model=HAIKU, max_tokens=500, messages=turns, tools=tools).id


def test_streamed_tool_input_is_whole(client: anthropic.Anthropic) -> None:
    """The pieces of a streamed tool input make valid JSON of the schema."""
    schema = {"type": "object", "properties": {"at": {"type": "string"}, "n": {"type": "integer"}}}
    tools: Any = [{"name": "look", "input_schema": schema}]
    with client.messages.stream(
        model=OPUS, max_tokens=500, tools=tools, messages=says("[[sim tool_use=1]]")
    ) as stream:
        block = stream.get_final_message().content[-1]
    assert block.type == "tool_use"
    assert block.input == {"at": "simulated", "n": 1}


class Answer(pydantic.BaseModel):
    """
    A structured answer.
    """

    title: str
    count: int
    tags: list[str]


def test_parse_returns_the_structure(client: anthropic.Anthropic) -> None:
    """messages.parse gives an object of the class that was asked for."""
    parsed = client.messages.parse(model=OPUS, max_tokens=500, messages=says("x"), output_format=Answer)
    assert parsed.parsed_output == Answer(title="simulated", count=1, tags=["simulated"])


def test_count_tokens_equals_the_billed_prompt(client: anthropic.Anthropic) -> None:
    """The free count is what a call is billed."""
    messages = says("How long is this? " * 20)
    counted = client.messages.count_tokens(model=SONNET, messages=messages)
    message = client.messages.create(model=SONNET, max_tokens=10, messages=messages)
    assert counted.input_tokens == message.usage.input_tokens


def test_models_are_listed_with_what_they_can_do(client: anthropic.Anthropic) -> None:
    """Each model has a line, a lifecycle, limits and capabilities; aliases name the same model."""
    models = {model.id: model for model in client.models.list()}
    opus = models[OPUS]
    assert (opus.line, opus.lifecycle, opus.max_input_tokens, opus.max_tokens) == (
        "opus",
        "active",
        1_000_000,
        128_000,
    )
    assert opus.capabilities is not None
    kinds = opus.capabilities.thinking.types
    assert [kinds.adaptive.supported, kinds.disabled.supported, kinds.enabled.supported] == [
        True,
        False,
        False,
    ]
    assert client.models.retrieve("claude-haiku-4-5") == models["claude-haiku-4-5-20251001"]
    assert "claude-mythos-5-2" not in models


def test_the_cache_is_read_on_repeat(client: anthropic.Anthropic, bill_file: Path) -> None:
    """A marked system prompt is written once and read after, and billed so."""
    system: Any = [{"type": "text", "text": "rule " * 2000, "cache_control": {"type": "ephemeral"}}]
    first, second = (
        client.messages.create(model=OPUS, max_tokens=5, system=system, messages=says("x")) for _ in range(2)
    )
    assert first.usage.cache_creation_input_tokens == second.usage.cache_read_input_tokens
    line = _billed(bill_file, second)
    assert line.usage.cache_read_tokens == second.usage.cache_read_input_tokens
    assert line.cost_usd < _billed(bill_file, first).cost_usd


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("overload_529", anthropic.OverloadedError),
        ("error_500", anthropic.InternalServerError),
        ("timeout_504", anthropic.GatewayTimeoutError),
        ("rate_limit_429", anthropic.RateLimitError),
        ("spend_limit_429", anthropic.RateLimitError),
        ("own_limit_400", anthropic.BadRequestError),
        ("billing_402", anthropic.PaymentRequiredError),
        ("disconnect", anthropic.APIConnectionError),
        ("lost_answer", anthropic.APIConnectionError),
    ],
)
def test_faults_reach_the_caller_as_the_sdks_classes(
    client: anthropic.Anthropic, fault: str, expected: type[Exception]
) -> None:
    """Each fault raises the class that the SDK has for it."""
    with pytest.raises(expected) as caught:
        client.messages.create(model=OPUS, max_tokens=5, messages=says(f"[[sim fault={fault}]]"))
    if fault == "spend_limit_429":
        assert type(caught.value).__name__ == "EnforcedSpendLimitReachedError"


def test_wrong_requests_raise_the_sdks_classes(client: anthropic.Anthropic, url: str) -> None:
    """400, 401 and 404 have their classes; extra body fields are refused by name."""
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="claude-none", max_tokens=5, messages=says("x"))
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
        client.messages.create(model=OPUS, max_tokens=5, messages=says("x"), extra_body={"temperature": 1})
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-none")
    response = httpx2.post(f"{url}/v1/messages", json={})
    assert (response.status_code, response.json()["error"]["type"]) == (401, "authentication_error")


def test_a_body_over_32_mib_is_too_large(url: str, client: anthropic.Anthropic) -> None:
    """The SDK sees 413 as content too large."""
    with pytest.raises(anthropic.ContentTooLargeError):
        client.messages.create(model=OPUS, max_tokens=5, messages=says("x" * (32 * 1024 * 1024)))


def test_an_overloaded_provider_is_retried(url: str, bill_file: Path) -> None:
    """The SDK comes back after an overload; the call is billed once, when it is answered."""
    attempts: list[str] = []

    def clear(request: httpx2.Request) -> None:
        attempts.append(request.headers["x-stainless-retry-count"])
        if len(attempts) == 2:
            del request.headers["simulator-fault"]

    http_client = httpx2.Client(event_hooks={"request": [clear]})
    before = sum(1 for _ in bill.lines(bill_file))
    with anthropic.Anthropic(base_url=url, api_key="k", http_client=http_client) as client:
        message = client.messages.create(
            model=OPUS, max_tokens=5, messages=says("x"), extra_headers={"simulator-fault": "overload_529"}
        )
    assert attempts == ["0", "1"]
    assert sum(1 for _ in bill.lines(bill_file)) == before + 1
    _assert_billed(bill_file, message)


def test_the_old_key_header_and_version_are_taken(url: str) -> None:
    """A client of SDK 1.x sends x-api-key and 2023-06-01, and may send sampling to models that take it."""
    response = httpx2.post(
        f"{url}/v1/messages",
        headers={"x-api-key": "k", "anthropic-version": "2023-06-01"},
        json={"model": "claude-haiku-4-5", "max_tokens": 5, "temperature": 0.2, "messages": says("x")},
    )
    assert (response.status_code, response.json()["model"]) == (200, "claude-haiku-4-5-20251001")


def test_a_stream_that_breaks_ends_without_a_stop_reason(
    client: anthropic.Anthropic, bill_file: Path
) -> None:
    """The connection closes amid the events; the bill has what was generated."""
    raw = client.messages.with_raw_response.create(
        model=HAIKU,
        max_tokens=500,
        stream=True,
        messages=says("[[sim output_tokens=300 thinking_tokens=0 fault=break_stream_after=5]]"),
    )
    kinds = []
    with pytest.raises(httpx2.RemoteProtocolError):
        kinds.extend(event.type for event in raw.parse())
    line = bill.by_request(bill_file)[raw.headers["request-id"]]
    assert line.outcome == "broken"
    assert 0 < line.usage.output_tokens < 300


def test_an_error_amid_a_stream_is_raised(client: anthropic.Anthropic) -> None:
    """An error event raises with its type; it is not retried."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(
            client.messages.create(
                model=HAIKU,
                max_tokens=500,
                stream=True,
                messages=says("[[sim output_tokens=300 fault=stream_error_after=4]]"),
            )
        )
    assert caught.value.type == "overloaded_error"


def test_the_async_client_works_alike(url: str, bill_file: Path) -> None:
    """Sixteen calls at once, plain and streamed, are answered and billed one by one."""

    async def play() -> list[Message]:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="async-key") as client:

            async def plain(size: int) -> Message:
                return await client.messages.create(
                    model=OPUS, max_tokens=500, messages=says(f"[[sim output_tokens={size}]]")
                )

            async def streamed(size: int) -> Message:
                async with client.messages.stream(
                    model=OPUS, max_tokens=500, messages=says(f"[[sim output_tokens={size}]]")
                ) as stream:
                    return await stream.get_final_message()

            return await asyncio.gather(*(f(size) for size in range(10, 18) for f in (plain, streamed)))

    messages = asyncio.run(play())
    lines = {line.message_id: line for line in bill.lines(bill_file)}
    assert [message.usage.output_tokens for message in messages] == sorted([*range(10, 18)] * 2)
    for message in messages:
        assert lines[message.id].usage.output_tokens == message.usage.output_tokens


def test_the_application_runs_in_process_too(tmp_path: Path) -> None:
    """Without a socket, over ASGI, the same client gets the same answers."""

    async def play() -> Message:
        app = make_app(Config(bill=tmp_path / "bill.jsonl"))
        http_client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app))
        async with anthropic.AsyncAnthropic(
            base_url="http://provider", api_key="k", http_client=http_client
        ) as client:
            return await client.messages.create(model=OPUS, max_tokens=9, messages=says("x"))

    message = asyncio.run(play())
    _assert_billed(tmp_path / "bill.jsonl", message)
    assert bill.total(tmp_path / "bill.jsonl") == _billed(tmp_path / "bill.jsonl", message).cost_usd
