"""
Puts a client of the Anthropic SDK under the control of books that are open: `outlay.middleware`.
"""

from collections.abc import Callable, Iterable
from typing import Unpack, overload

from outlay.api import Outlay
from outlay.api_async import AsyncOutlay
from outlay.hint_words import HintWords
from outlay.provider import AsyncControlledCalls, ControlledCalls
from outlay.sdk_requests import Terms


@overload
def middleware(
    books: Outlay,
    *,
    tenant: str | Callable[[], str],
    betas: Iterable[str] = (),
    **hints: Unpack[HintWords],
) -> ControlledCalls: ...
@overload
def middleware(
    books: AsyncOutlay,
    *,
    tenant: str | Callable[[], str],
    betas: Iterable[str] = (),
    **hints: Unpack[HintWords],
) -> AsyncControlledCalls: ...
def middleware(
    books: Outlay | AsyncOutlay,
    *,
    tenant: str | Callable[[], str],
    betas: Iterable[str] = (),
    **hints: Unpack[HintWords],
) -> ControlledCalls | AsyncControlledCalls:
    """
    Control the calls of a client: `Anthropic(middleware=[outlay.middleware(books, tenant="acme")])`.

    An `Outlay` is for the blocking client, an `AsyncOutlay` for the asynchronous one, in its event loop; the
    client refuses the wrong kind when it is made. Each attempt of the SDK's retries is a call of its own.

    The kill switch is read once more when the client's HTTP library has a connection, right before the body
    goes out: a call that waited for one is not sent after a halt.

    Args:
        tenant: Who pays; or a function that is asked at each call.
        betas: For every call, besides those in the headers of a request and of its client.
        hints: For every call; `outlay-*` headers of a client (`default_headers`, `with_options`) go before
            them, and those of a request (`extra_headers`) before both.
    Raises:
        BadInput: A hint cannot be used.
    """
    terms = Terms(tenant, frozenset(betas), dict(hints))
    if isinstance(books, Outlay):
        return ControlledCalls(books.calls, terms)
    return AsyncControlledCalls(books.calls, terms, books.check_loop)
