"""
The simulated provider as an ASGI application: routes, request ids, errors as answers.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from simulator import http
from simulator.config import Config
from simulator.errors import ApiError, Disconnected, not_found
from simulator.provider import Provider, key_hash

Endpoint = Callable[[http.Exchange], Coroutine[Any, Any, None]]
__all__ = ["Config", "Disconnected", "Provider", "key_hash", "make_app"]


class _Route:
    """
    An endpoint as an ASGI application: gives each request its id, and turns errors into answers.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = http.Exchange(scope, receive, send, http.new_request_id())
        endpoint = self._endpoints.get(scope["method"], self._endpoints.get("*", _not_allowed))
        try:
            await endpoint(exchange)
        except ApiError as error:
            await http.answer_error(exchange, error)


async def _not_allowed(exchange: http.Exchange) -> None:
    raise ApiError(405, "invalid_request_error", f"Method {exchange.scope['method']} is not allowed")


async def _nothing(_exchange: http.Exchange) -> None:
    raise not_found("Not Found")


def make_app(config: Config | None = None) -> Starlette:
    """
    Return the provider as an ASGI application; its `state.provider` is the `Provider`.
    """
    provider = Provider(Config() if config is None else config)
    app = Starlette(
        routes=[
            Route("/v1/messages", _Route({"POST": provider.create})),
            Route("/v1/messages/count_tokens", _Route({"POST": provider.count})),
            Route("/v1/models", _Route({"GET": provider.models})),
            Route("/v1/models/{name}", _Route({"GET": provider.model})),
            Route("/{path:path}", _Route({"*": _nothing})),
        ]
    )
    app.state.provider = provider
    return app
