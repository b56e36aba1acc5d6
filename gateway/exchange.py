"""
The small HTTP layer over ASGI: one request on its connection, its body, and its answer.

It decides what leaves the house: every answer carries a `request-id`, and of a provider's headers only those
that belong to the answer and not to the connection it came on.
"""

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from gateway.errors import ApiError, invalid
from outlay.wire import to_json

BODY_BYTES_MAX = 32 * 1024 * 1024
_DISCARDED_MAX = 64 * 1024 * 1024
"""How much more than allowed is read and thrown away: many clients read no answer while they still send."""
JSON = "application/json"
_NOT_PASSED = frozenset(
    {
        "alt-svc",
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "keep-alive",
        "location",
        "nel",
        "proxy-authenticate",
        "proxy-connection",
        "report-to",
        "server",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Departed(Exception):  # noqa: N818 reads better without a suffix
    """The client left before its request was complete."""


@dataclass(slots=True)
class Exchange:
    """
    One request on its connection.

    Attributes:
        headers: The request's, by lower-case name; repeated ones joined by commas.
        request_id: Of our own answers; an answer of the provider keeps the provider's.
        started: Whether the head of an answer was sent.
    """

    scope: Scope
    receive: Receive
    send: Send
    headers: Mapping[str, str]
    request_id: str
    started: bool = False


def open_exchange(scope: Scope, receive: Receive, send: Send) -> Exchange:
    """
    Read a request's headers and give it an id.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), header_text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Exchange(scope, receive, send, headers, new_request_id())


def header_text(raw: bytes) -> str:
    """
    Read a header's value: UTF-8, as SDKs send it; what is no UTF-8 is Latin-1, as older HTTP clients do.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def new_request_id() -> str:
    """
    Return an id that no other request has.
    """
    return f"req_olk_{os.urandom(12).hex()}"


async def read_body(exchange: Exchange, most: int = BODY_BYTES_MAX) -> bytes:
    """
    Read the whole body.

    Raises:
        ApiError: 413, as it is larger than *most* bytes; 400, as it is compressed.
        Departed: the client left before its end.
    """
    if exchange.headers.get("content-encoding", "identity") != "identity":
        raise invalid("send the request body without content-encoding", field="content-encoding")
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= most + _DISCARDED_MAX:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            raise Departed
        part = message.get("body", b"")
        size += len(part)
        more = message.get("more_body", False)
        if size <= most:
            parts.append(part)
    if size > most:
        raise _too_large(most)
    return b"".join(parts)


def _too_large(most: int) -> ApiError:
    return ApiError(413, "request_too_large", f"the request body is larger than {most} bytes")


def parse_object(raw: bytes, *, each_once: bool = False) -> dict[str, Any]:
    """
    Read a body as a JSON object. Numbers that JSON does not have (NaN, infinities, 1e999) are refused.

    Args:
        each_once: Refuse a field that is there twice, as nobody can say which was meant.
    Raises:
        ApiError: 400, saying what is wrong.
    """
    try:
        pairs = _each_once if each_once else None
        value = json.loads(raw, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise invalid(f"the request body is not valid JSON: {said}", field="body") from error
    if not isinstance(value, dict):
        raise invalid(f"the request body is a JSON {_KINDS[type(value)]}; send an object", field="body")
    return value


_KINDS = {list: "array", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise invalid(f"the field {json.dumps(name[:60])} is there twice; send it once", field=name[:60])
        found[name] = value
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large for a number")
    return value


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return the headers of a provider's answer that go to the caller.
    """
    named = {name.lower(): value for name, value in headers.items()}
    dropped = _NOT_PASSED.union(part.strip().lower() for part in named.get("connection", "").split(","))
    return {
        name: value for name, value in named.items() if name not in dropped and not name.startswith("outlay-")
    }


async def answer(exchange: Exchange, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """
    Send a whole answer.
    """
    await start(exchange, status, {**headers, "content-length": str(len(body))})
    await send_part(exchange, body, more=False)


async def answer_json(exchange: Exchange, value: object) -> None:
    """
    Send a JSON answer of our own.
    """
    await answer(exchange, 200, to_json(value), {"content-type": JSON})


async def answer_error(exchange: Exchange, error: ApiError, headers: Mapping[str, str] | None = None) -> None:
    """
    Send an error of our own.
    """
    body = to_json(error.body(exchange.request_id))
    await answer(exchange, error.status, body, {"content-type": JSON, **error.headers(), **(headers or {})})


async def start(exchange: Exchange, status: int, headers: Mapping[str, str]) -> None:
    """
    Send the status and the headers.
    """
    exchange.started = True
    named = headers if "request-id" in headers else {**headers, "request-id": exchange.request_id}
    raw = [(name.encode("latin-1"), _header_value(value)) for name, value in named.items()]
    await exchange.send({"type": "http.response.start", "status": status, "headers": raw})


def _header_value(value: str) -> bytes:
    if not value.isprintable():
        value = "".join(part if part.isprintable() else " " for part in value)
    return value.encode("latin-1", "replace")


async def send_part(exchange: Exchange, data: bytes, *, more: bool) -> None:
    """
    Send a part of the body.
    """
    await exchange.send({"type": "http.response.body", "body": data, "more_body": more})


def method_not_allowed(exchange: Exchange, allowed: Iterable[str]) -> ApiError:
    """
    Say which methods a path takes.
    """
    method = exchange.scope["method"]
    return ApiError(405, "invalid_request_error", f"{method} is not allowed; use {' or '.join(allowed)}")


async def departure(receive: Receive) -> Message:
    """
    Wait until the client closes its connection.
    """
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message
        await asyncio.sleep(0)
