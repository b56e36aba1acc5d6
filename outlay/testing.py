"""
A double for tests and examples of applications that use Outlay: a provider that follows a script.

    provider = ScriptedProvider([Reply("Hello.", input_tokens=12, output_tokens=3)])
    client = anthropic.Anthropic(
        api_key="none", http_client=anthropic.DefaultHttpxClient(transport=provider), middleware=[...]
    )

The provider speaks just enough of the Messages API for the SDK, plain and streamed; it judges no request. The
simulated provider (`simulator`) does.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One answer of the scripted provider.

    Attributes:
        status: Other than 200 makes it an error, of type `error_type`.
        cut_after: End a stream after so many events, as a broken connection would.
    """

    text: str = "ok"
    input_tokens: int = 10
    output_tokens: int = 5
    status: int = 200
    error_type: str = "api_error"
    cut_after: int | None = None


class ScriptedProvider(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """
    A transport that answers by its script; the last reply is repeated.

    Attributes:
        bodies: The bodies of the requests that arrived, decoded.
    """

    def __init__(self, replies: Iterable[Reply] = (Reply(),)) -> None:
        self._replies = list(replies)
        self.bodies: list[dict[str, Any]] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """
        Answer a request of the blocking client.
        """
        return self._answer(json.loads(request.read()))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """
        Answer a request of the asynchronous client.
        """
        return self._answer(json.loads(await request.aread()))

    def _answer(self, body: dict[str, Any]) -> httpx2.Response:
        reply = self._replies[min(len(self.bodies), len(self._replies) - 1)]
        self.bodies.append(body)
        headers = {"request-id": f"req_scripted_{len(self.bodies)}"}
        if reply.status != 200:
            error = {"type": reply.error_type, "message": reply.text}
            return httpx2.Response(reply.status, headers=headers, json={"type": "error", "error": error})
        message = _message(reply, str(body.get("model")), len(self.bodies))
        if body.get("stream") is not True:
            return httpx2.Response(200, headers=headers, json=message)
        headers["content-type"] = "text/event-stream"
        return httpx2.Response(200, headers=headers, stream=_Events(reply, message))


def _message(reply: Reply, model: str, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_scripted_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": reply.text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens},
    }


class _Events(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The answer as events, one word of text in each."""

    def __init__(self, reply: Reply, message: Mapping[str, Any]) -> None:
        self._cut_after = reply.cut_after
        self._events = list(_events(reply, message))

    def __iter__(self) -> Iterator[bytes]:
        for event in self._events[: self._cut_after]:
            yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        if self._cut_after is not None:
            raise httpx2.RemoteProtocolError("the script cuts the stream here")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


def _events(reply: Reply, message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for word in reply.text.split(" "):
        delta = {"type": "text_delta", "text": f"{word} "}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": reply.output_tokens}}
    yield {"type": "message_stop"}
