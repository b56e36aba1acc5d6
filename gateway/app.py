"""
The gateway as an ASGI application: the data plane under /v1, the control plane under /outlay/v1, and health.

Serve it by `uvicorn gateway.app:create --factory`; each worker process opens books of its own.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from gateway import counting, health, messages, models
from gateway.control.app import make_control
from gateway.errors import ApiError, internal, not_found, public
from gateway.exchange import Departed, Exchange, answer_error, method_not_allowed, open_exchange
from gateway.house import House
from outlay.errors import OutlayError
from outlay.wiring import App

Endpoint = Callable[[House, Exchange], Awaitable[None]]
logger = logging.getLogger("outlay.gateway")


class _Place:
    """
    The endpoints of one path as an ASGI application: gives each request its id, turns errors into answers.
    """

    def __init__(self, house: House, endpoints: Mapping[str, Endpoint]) -> None:
        self._house = house
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = open_exchange(scope, receive, send)
        try:
            await self._serve(exchange)
        except Departed:
            return
        except ApiError as error:
            await _fail(exchange, error)
        except OutlayError as error:
            await _fail(exchange, public(error))
        except Exception:
            logger.exception("request %s failed", exchange.request_id)
            await _fail(exchange, internal())

    async def _serve(self, exchange: Exchange) -> None:
        method = exchange.scope["method"]
        endpoint = self._endpoints.get(method, self._endpoints.get("*"))
        if endpoint is None:
            raise method_not_allowed(exchange, self._endpoints)
        await endpoint(self._house, exchange)


async def _fail(exchange: Exchange, error: ApiError) -> None:
    """An answer that has begun cannot be turned into an error: the server closes the connection instead."""
    if not exchange.started:
        await answer_error(exchange, error)


async def _nothing(_house: House, exchange: Exchange) -> None:
    raise not_found(f"there is nothing at {exchange.scope['path']}; nothing was forwarded")


def create(app: App | None = None) -> Starlette:
    """
    Return the gateway as an ASGI application.

    Args:
        app: Books that are open already and stay their owner's; None opens them by the environment's
            settings when the server starts, and closes them when it stops.
    """
    house = House(app)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await house.open()
        try:
            yield
        finally:
            await house.close()

    routes = [
        Route("/v1/messages", _Place(house, {"POST": messages.create})),
        Route("/v1/messages/count_tokens", _Place(house, {"POST": counting.count})),
        Route("/v1/models", _Place(house, {"GET": models.list_models})),
        Route("/v1/models/{name:path}", _Place(house, {"GET": models.show_model})),
        Route("/healthz", _Place(house, {"GET": health.alive})),
        Route("/readyz", _Place(house, {"GET": health.ready})),
        Mount("/outlay/v1", make_control(house)),
        Route("/{path:path}", _Place(house, {"*": _nothing})),
    ]
    gateway = Starlette(routes=routes, lifespan=lifespan)
    gateway.router.redirect_slashes = False
    gateway.state.house = house
    return gateway
