"""
The body of a request of the SDK: asks once more whether it may go, and knows whether it went.

The SDK's HTTP library reads it when a connection stands, after all waiting; the head of the request is out by
then, which no provider answers or bills without its body. It is handed over whole, so that a request either
was begun or certainly never reached a model. It imports nothing of the SDK.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

from outlay.wire import to_json


class _Body:
    """
    What both kinds share.

    Attributes:
        value: What it says.
        raw: The same as JSON text.
        begun: It may be on the wire.
    """

    def __init__(self, value: Mapping[str, object]) -> None:
        self.value = value
        self.raw = to_json(value)
        self.begun = False


class Body(_Body):
    """
    A body for a blocking client; what `before` raises holds it back.
    """

    def __init__(self, value: Mapping[str, object], before: Callable[[], None]) -> None:
        super().__init__(value)
        self._before = before

    def __iter__(self) -> Iterator[bytes]:
        self._before()
        self.begun = True
        yield self.raw


class AsyncBody(_Body):
    """
    A body for an asynchronous client; what `before` raises holds it back.
    """

    def __init__(self, value: Mapping[str, object], before: Callable[[], Awaitable[None]]) -> None:
        super().__init__(value)
        self._before = before

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._before()
        self.begun = True
        yield self.raw


def carrying(request: Any, body: Body | AsyncBody, **changes: Any) -> Any:
    """
    Put a body into a request of the SDK, as one that can be read while it passes.

    Args:
        changes: What else is to be changed: `headers`, `url`.
    """
    headers = {**changes.pop("headers", request.headers)}
    headers["content-length"] = str(len(body.raw))  # else it would be sent in chunks
    sent = request.copy(body=None, headers=headers, **changes)
    sent.options.extra_json = None  # it is in the body
    sent.options.content = body
    return sent
