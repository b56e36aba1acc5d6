"""
The provider over HTTP, as a pass-through: bytes out, bytes back, and an exact word on what went wrong.

The one question that matters for money is whether the provider can have seen a request. `NotReached` says
that it certainly has not: our body never handed over its first byte, and aiohttp holds the head back until
then. Everything else that breaks is `Lost`. Nothing is ever sent twice: no retry here, and none inside
aiohttp, which repeats only idempotent methods on a dropped connection.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

CONNECT_S = 10.0
READ_S = 600.0
"""Longest silence of the provider, before its answer or within it."""
KEEP_ALIVE_S = 30.0
_CHUNK_MAX = 1 << 16


class UpstreamError(Exception):
    """The provider did not answer as it should; the message says what happened."""


class NotReached(UpstreamError):  # noqa: N818 reads better without a suffix
    """The request certainly never reached the provider: nothing was sent."""


class Lost(UpstreamError):  # noqa: N818 reads better without a suffix
    """
    The connection ended, or stayed silent for too long, after the request may have been sent.

    Attributes:
        timed_out: It stayed silent.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class TooLarge(UpstreamError):  # noqa: N818 reads better without a suffix
    """An answer is larger than what is read of one."""


class Answer:
    """
    An answer whose head has arrived. Close it in the end; what is read to its end closes itself.
    """

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def ok(self) -> bool:
        """
        True for a status of the 200s.
        """
        return 200 <= self.status < 300

    @property
    def streams(self) -> bool:
        """
        True for a stream of events.
        """
        return self._response.content_type == "text/event-stream"

    async def read(self, most: int) -> bytes:
        """
        Read the whole body.

        Raises:
            Lost: it ended early.
            TooLarge: it is larger than *most* bytes.
        """
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > most:
                self.close()
                raise TooLarge(f"the answer is larger than {most} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """
        Yield the body as it arrives.

        Raises:
            Lost: it ended early.
        """
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.close()
            raise _lost(error) from error

    def close(self) -> None:
        """
        Let go of the connection, closing it where the body was not read to its end.
        """
        self._response.close()


class _Body(Payload):
    """
    The bytes of a request, which know whether the first of them was handed over.

    Attributes:
        begun: The request may be on the wire.
        refusal: What `before` raised.
    """

    _value: bytes
    _autoclose = True

    def __init__(self, value: bytes, before: Callable[[], Awaitable[None]] | None) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self._before = before
        self._given_up = False
        self.begun = False
        self.refusal: Exception | None = None

    def give_up(self) -> None:
        """
        Hand nothing over any more.
        """
        self._given_up = True

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """
        Return the body as text.
        """
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """
        Ask whether the request may go, and write it, in pieces; nothing waits between the two.

        Raises:
            ConnectionAbortedError: nobody waits for it any more.
        """
        if self._before is not None:
            try:
                await self._before()
            except Exception as error:
                self.refusal = error  # aiohttp would wrap it
                raise
        if self._given_up:
            raise ConnectionAbortedError("the request was given up")
        self.begun = True
        view = memoryview(self._value)
        for start in range(0, len(view), _CHUNK_MAX):
            await writer.write(view[start : start + _CHUNK_MAX])

    async def write_with_length(self, writer: AbstractStreamWriter, _content_length: int | None) -> None:
        """
        Write everything: its length is the one that was announced.
        """
        await self.write(writer)


class UpstreamClient:
    """
    Connections to providers, kept alive between calls. Made and closed inside a running event loop.
    """

    def __init__(self, *, connect_s: float = CONNECT_S, read_s: float = READ_S) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=connect_s, sock_connect=connect_s, sock_read=read_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),  # a cookie of one tenant's answer is never shown again
            skip_auto_headers=("User-Agent",),
            read_bufsize=_CHUNK_MAX,
        )

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """
        Send one request, once, and wait for the head of its answer.

        The answer is asked for uncompressed, so that it can be read while it passes. Redirects are not
        followed: the key goes to the configured address only.

        Args:
            before: Awaited once the connection stands, right before the first byte; what it raises holds the
                request back, and is raised here.

        Raises:
            NotReached: nothing was sent: no connection, no HTTP address, a header that cannot be sent.
            Lost: no answer came, and the provider may have seen the request.
        """
        data = _Body(body, before)
        sent = {**headers, "Accept-Encoding": "identity"}
        try:
            response = await self._session.post(url, data=data, headers=sent, allow_redirects=False)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            data.give_up()
            if data.refusal is not None:
                raise data.refusal from None
            if not data.begun:
                raise NotReached(_describe(error)) from error
            raise _lost(error) from error
        return Answer(response)

    async def close(self) -> None:
        """
        Close every connection.
        """
        await self._session.close()


def _lost(error: Exception) -> Lost:
    return Lost(_describe(error), timed_out=isinstance(error, TimeoutError))


def _describe(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
