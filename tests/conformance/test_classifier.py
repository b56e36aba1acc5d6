"""
The LLM classifier under the official client in process, blocking and asynchronous: the SDK's own transport
carries the small model's question, and the caller only ever sees its own answer.
"""

import asyncio
from typing import Any

import anthropic
import httpx2
import pytest

import outlay
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
[routing.llm]
timeout_ms = 700
"""
ASKED = {
    "model": "outlay/auto",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Translate: good morning"}],
}
QUESTION, ANSWER = Reply("small", 90, 2), Reply("Guten Morgen", 20, 4)


class Timed(ScriptedProvider):
    """Remembers how long each request would have been waited for."""

    def __init__(self, replies: Any) -> None:
        super().__init__(replies)
        self.patience: list[Any] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Remember and answer."""
        self.patience.append(request.extensions["timeout"]["read"])
        return super().handle_request(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Remember and answer."""
        self.patience.append(request.extensions["timeout"]["read"])
        return await super().handle_async_request(request)


def blocking(url: str, provider: Timed, *, stream: bool) -> str:
    """Make the call with the blocking client."""
    http = anthropic.DefaultHttpxClient(transport=provider)
    with outlay.open(url, policy=POLICY) as books:
        books.create_tenant("acme", credit="5")
        middleware = [outlay.middleware(books, tenant="acme")]
        client = anthropic.Anthropic(api_key="k", http_client=http, middleware=middleware)
        if not stream:
            return client.messages.create(**ASKED).content[0].text
        with client.messages.stream(**ASKED) as events:
            return events.get_final_text()


def asynchronous(url: str, provider: Timed, *, stream: bool) -> str:
    """Make the call with the asynchronous client."""

    async def play() -> str:
        http = anthropic.DefaultAsyncHttpxClient(transport=provider)
        async with outlay.open_async(url, policy=POLICY) as books:
            await books.create_tenant("acme", credit="5")
            middleware = [outlay.middleware(books, tenant="acme")]
            client = anthropic.AsyncAnthropic(api_key="k", http_client=http, middleware=middleware)
            if not stream:
                return (await client.messages.create(**ASKED)).content[0].text
            async with client.messages.stream(**ASKED) as events:
                return await events.get_final_text()

    return asyncio.run(play())


@pytest.mark.parametrize("make", [blocking, asynchronous])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_caller_sees_its_own_answer_from_the_tier_that_was_named(
    sqlite_url: str, make: Any, stream: bool
) -> None:
    """Two requests leave: the question, waited for as the policy says, then the call in its own way."""
    provider = Timed([QUESTION, ANSWER])
    assert make(sqlite_url, provider, stream=stream).strip() == "Guten Morgen"
    question, call = provider.bodies
    assert (question["max_tokens"], question.get("stream", False)) == (16, False)
    assert "good morning" in str(question["messages"])
    assert (call["model"], call.get("stream", False)) == ("claude-haiku-5-5", stream)
    assert provider.patience[0] == 0.7
    assert provider.patience[1] > 100


@pytest.mark.parametrize("make", [blocking, asynchronous])
def test_a_question_that_fails_is_not_the_callers_failure(sqlite_url: str, make: Any) -> None:
    """The larger tier answers."""
    provider = Timed([Reply("busy", status=400, error_type="invalid_request_error"), ANSWER])
    assert make(sqlite_url, provider, stream=False) == "Guten Morgen"
    assert provider.bodies[1]["model"] == "claude-opus-5-5"
