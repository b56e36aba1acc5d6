"""
The last look at the kill switches of an attempt that a caller's client of the SDK sends.

As with `outlay.middleware`, it is taken when the client has a connection, after all waiting; so it is also
known whether the body went out. It stands behind the client's own middleware. It imports nothing of the SDK.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from outlay.aio import AsyncCalls
from outlay.calls import Refused
from outlay.client import Calls
from outlay.errors import CallRefused, OutlayError
from outlay.sdk_bodies import AsyncBody, Body, carrying
from outlay.sdk_requests import body_of


class LastLook:
    """
    Middleware for one attempt.

    Attributes:
        error: What held the body back: a halt that it found, or books out of reach.
    """

    def __init__(self, calls: Calls | AsyncCalls, tenant: str, decision_id: str) -> None:
        self.error: OutlayError | None = None
        self._calls = calls
        self._whose = tenant, decision_id
        self._bodies: list[Body | AsyncBody] = []

    @property
    def begun(self) -> bool:
        """
        Tell whether a body may be on the wire; of a request that never came by nothing is known.
        """
        return not self._bodies or any(body.begun for body in self._bodies)

    def handle(self, request: Any, call_next: Callable[[Any], Any]) -> Any:
        """
        Pass a request of a blocking client on.
        """
        body = Body(body_of(request), self._before)
        self._bodies.append(body)
        return call_next(carrying(request, body))

    async def handle_async(self, request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        """
        Pass a request of an asynchronous client on.
        """
        body = AsyncBody(body_of(request), self._before_async)
        self._bodies.append(body)
        return await call_next(carrying(request, body))

    def _before(self) -> None:
        with self._kept():
            _stop_if(self._calls.engine.still_on(*self._whose))

    async def _before_async(self) -> None:
        assert isinstance(self._calls, AsyncCalls), "a message to be awaited is refused before"
        with self._kept():
            _stop_if(await self._calls.still_on(*self._whose))

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep what is raised: the SDK puts it into an error of its own."""
        try:
            yield
        except OutlayError as error:
            self.error = error
            raise


def _stop_if(refused: Refused | None) -> None:
    if refused is not None:
        raise CallRefused(refused)
