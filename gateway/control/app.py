"""
The control plane as an ASGI application: FastAPI behind a front that reads the body and knows the caller.

The front refuses before FastAPI reads anything: no key, a body that is too large, is no JSON object or has a
field twice. Errors have the same shape as on the data plane.
"""

import logging
from collections.abc import Iterable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from gateway.control import holds, operations
from gateway.control.access import identify
from gateway.errors import ERROR_TYPES, ApiError, internal, public
from gateway.exchange import (
    JSON,
    Departed,
    Exchange,
    answer_error,
    open_exchange,
    parse_object,
    read_body,
)
from gateway.house import House
from outlay.errors import OutlayError
from outlay.wire import to_json

OPENAPI = "/openapi.json"
logger = logging.getLogger("outlay.gateway")


def make_control(house: House) -> "Front":
    """
    Return the control plane.
    """
    api = FastAPI(
        title="Outlay control plane",
        version="1",
        openapi_url=OPENAPI,
        docs_url=None,  # the usual pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in (*operations.routes(house), holds.routes(house)):
        api.include_router(router)
    api.add_exception_handler(ApiError, _answer_api_error)
    api.add_exception_handler(OutlayError, _answer_public)
    api.add_exception_handler(RequestValidationError, _answer_invalid)
    api.add_exception_handler(HTTPException, _answer_http)
    return Front(house, api)


class Front:
    """
    What stands before FastAPI.
    """

    def __init__(self, house: House, api: FastAPI) -> None:
        self._house = house
        self.api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Read the body, find out who calls, and hand both on. There are no WebSockets here.
        """
        if scope["type"] != "http":
            await WebSocketClose()(scope, receive, send)
            return
        exchange = open_exchange(scope, receive, send)
        try:
            await self._serve(exchange)
        except Departed:
            return
        except (ApiError, OutlayError) as error:
            await answer_error(exchange, error if isinstance(error, ApiError) else public(error))
        except Exception:
            logger.exception("request %s failed", exchange.request_id)
            if not exchange.started:
                await answer_error(exchange, internal())

    async def _serve(self, exchange: Exchange) -> None:
        scope = exchange.scope
        state = scope["state"] = {**scope.get("state", {}), "exchange": exchange}
        body = b""
        if scope["path"] != scope.get("root_path", "") + OPENAPI:
            state["caller"] = await identify(self._house, exchange.headers)
            body = await read_body(exchange)
        if body:
            parse_object(body, each_once=True)
            scope["headers"] = _of_json(scope["headers"])
        await self.api(scope, _replay(exchange, body), _named(exchange))


def _of_json(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Say what the body has proved to be: curl calls everything a form, and some clients nothing at all."""
    kept = [(name, value) for name, value in headers if name != b"content-type"]
    return [*kept, (b"content-type", JSON.encode())]


def _replay(exchange: Exchange, body: bytes) -> Receive:
    """Give out the body that was read, then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else await exchange.receive()

    return receive


def _named(exchange: Exchange) -> Send:
    """Put the request's id on every answer."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.started = True
            request_id = (b"request-id", exchange.request_id.encode())
            message = {**message, "headers": [*message["headers"], request_id]}
        await exchange.send(message)

    return send


def _answer(request: Request, error: ApiError) -> Response:
    exchange: Exchange = request.state.exchange
    body = to_json(error.body(exchange.request_id))
    return Response(body, error.status, headers=error.headers(), media_type=JSON)


def _answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _answer(request, error)


def _answer_public(request: Request, error: Exception) -> Response:
    assert isinstance(error, OutlayError)
    return _answer(request, public(error))


def _answer_invalid(request: Request, error: Exception) -> Response:
    """What FastAPI itself refuses: a body that is missing, or is no object."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    details = {"error_code": "outlay_invalid_request", "field": field, "fix": "Send a JSON object."}
    return _answer(request, ApiError(400, "invalid_request_error", f"{field}: {first['msg']}", details))


def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = ERROR_TYPES.get(error.status_code, "api_error")
    details = {"error_code": "outlay_not_found" if error.status_code == 404 else "outlay_invalid_request"}
    message = f"{request.method} {request.url.path}: {error.detail}"
    return _answer(request, ApiError(error.status_code, kind, message, details))
