"""
The small HTTP layer over ASGI: read a body, send an answer or an error, notice that a client has left.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope, Send

from simulator.errors import ApiError, Disconnected, invalid

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
ABORT = "simulator.abort"
_ORGANIZATION = (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000")

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    One request on its connection, and the id of its answer.
    """

    scope: Scope
    receive: Receive
    send: Send
    request_id: str

    @property
    def headers(self) -> Headers:
        """
        The request's headers by lower-case name; of a repeated one, the last.
        """
        return dict(self.scope["headers"])


def new_request_id() -> str:
    """
    Return an id that no other call has.
    """
    return f"req_01{os.urandom(11).hex()}"


async def read_body(exchange: Exchange, most: int) -> bytes:
    """
    Read the whole body.

    Raises:
        ApiError: 413, as it is larger than *most* bytes; 400, as it is compressed.
        Disconnected: the client left before its end.
    """
    if exchange.headers.get(b"content-encoding", b"identity") != b"identity":
        raise invalid("The simulated provider takes no compressed request bodies.")
    parts, size = [], 0
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise ApiError(413, "request_too_large", "Request exceeds the maximum size")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def start(
    exchange: Exchange, status: int, content_type: bytes, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """
    Send the status and the headers.
    """
    fixed = [(b"content-type", content_type), (b"request-id", exchange.request_id.encode()), _ORGANIZATION]
    await exchange.send({"type": "http.response.start", "status": status, "headers": [*fixed, *extra]})


async def send_part(exchange: Exchange, data: bytes, *, more: bool) -> None:
    """
    Send a part of the body.
    """
    await exchange.send({"type": "http.response.body", "body": data, "more_body": more})


async def answer(
    exchange: Exchange, body: bytes, extra: Iterable[tuple[bytes, bytes]] = (), status: int = 200
) -> None:
    """
    Send a whole answer in JSON.
    """
    await start(exchange, status, JSON, (*extra, (b"content-length", str(len(body)).encode())))
    await send_part(exchange, body, more=False)


async def answer_error(exchange: Exchange, error: ApiError) -> None:
    """
    Send an error in the API's format.
    """
    extra = [(name.encode(), value.encode()) for name, value in error.headers]
    await answer(exchange, error.body(exchange.request_id), extra, error.status)


async def hang_up(exchange: Exchange) -> None:
    """
    Close the connection without a byte.

    Raises:
        Disconnected: there is no socket to close, as the application runs in process.
    """
    abort = exchange.scope.get("state", {}).get(ABORT)
    if abort is None:
        raise Disconnected
    abort()
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


class Presence:
    """
    Whether the client of a stream is still there.
    """

    def __init__(self, receive: Receive) -> None:
        self._left: asyncio.Task[Message] = asyncio.ensure_future(_departure(receive))

    @property
    def left(self) -> bool:
        """
        True once the client has closed its connection.
        """
        return self._left.done()

    def forget(self) -> None:
        """
        Stop watching.
        """
        self._left.cancel()


async def _departure(receive: Receive) -> Message:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message
