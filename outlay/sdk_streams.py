"""
Answers of the Anthropic SDK, read: what came of a call, from a whole answer or from a stream as it passes.

A stream is read by its caller and by nobody else: closed early, it is settled by what was seen of it, at the
upper end of what that can have cost.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import httpx2

from outlay.calls import Outcome
from outlay.leases import Lease
from outlay.meter import StreamMeter

CUT: Final = "stream_broken: the stream ended before its last event"
LEFT: Final = "caller_left: the caller closed the stream"


def streams(response: httpx2.Response) -> bool:
    """
    Tell whether an answer is a stream of events.
    """
    kind = str(response.headers.get("content-type", ""))
    return response.is_success and kind.partition(";")[0].strip().lower() == "text/event-stream"


class _Body:
    """
    What the SDK looks for on the body of a response, found on the one inside.
    """

    def __init__(self, inner: Any, model: str, lease: Lease | None) -> None:
        self._inner = inner
        self._lease = lease
        self._meter = StreamMeter(model)
        self._broken: httpx2.HTTPError | None = None

    @property
    def stream_observer(self) -> Any:
        """
        The SDK's own tracing.
        """
        return getattr(self._inner, "stream_observer", None)

    @property
    def elapsed(self) -> Any:
        """
        How long the answer took.
        """
        return getattr(self._inner, "elapsed", None)

    def _rests(self) -> None:
        if self._lease is not None:
            self._lease.rest()

    def _goes_on(self) -> None:
        if self._lease is not None:
            self._lease.go_on()

    def _over(self) -> bool:
        return self._meter.ended

    def _passing(self, chunk: bytes) -> bytes:
        passing = self._meter.feed(chunk)
        if self._meter.overlong:
            raise httpx2.DecodingError("the provider sent an event without an end")
        return passing


class MeteredStream(_Body, httpx2.SyncByteStream):
    """
    Pass a stream on and see to its settlement: before its last event, or when it ends or is closed.
    """

    def __init__(
        self,
        inner: httpx2.SyncByteStream,
        model: str,
        close: Callable[[Outcome], object],
        lease: Lease | None = None,
    ) -> None:
        super().__init__(inner, model, lease)
        self._settle = close
        self._pieces = self._metered()
        self._first: list[bytes] = []

    def begin(self) -> None:
        """
        Wait for the first event, so that a stream that fails before it can be answered in another way.
        """
        try:
            self._first = [next(self._pieces, b"")]
        except httpx2.HTTPError as error:
            self._broken = error

    def __iter__(self) -> Iterator[bytes]:
        if self._broken is not None:
            raise self._broken
        yield from self._first
        yield from self._pieces

    def _metered(self) -> Iterator[bytes]:
        meter = self._meter
        try:
            for chunk in self._inner:
                if self._over():
                    continue  # nothing follows but the end of the connection
                passing = self._passing(chunk)
                if passing:
                    self._rests()
                    yield passing
                    self._goes_on()
                if self._over():
                    self._settle(meter.outcome(CUT))
                    yield meter.closing() or b""
        except httpx2.HTTPError:
            # the provider's break: closed by the caller afterwards, it were the caller's
            self._settle(meter.outcome(CUT))
            raise
        finally:
            self._rests()
        if not self._over():
            self._settle(meter.outcome(CUT))
            yield meter.closing() or b""

    def close(self) -> None:
        """
        Let go of the connection; what was not settled is, by what was seen.
        """
        try:
            self._inner.close()
        finally:
            self._settle(self._meter.outcome(LEFT, given_up=True))


class AsyncMeteredStream(_Body, httpx2.AsyncByteStream):
    """
    Pass a stream on and see to its settlement: before its last event, or when it ends or is closed.
    """

    def __init__(
        self,
        inner: httpx2.AsyncByteStream,
        model: str,
        close: Callable[[Outcome], Awaitable[object]],
        lease: Lease | None = None,
    ) -> None:
        super().__init__(inner, model, lease)
        self._settle = close
        self._pieces = self._metered()
        self._first: list[bytes] = []

    async def begin(self) -> None:
        """
        Wait for the first event, so that a stream that fails before it can be answered in another way.
        """
        try:
            self._first = [await anext(self._pieces, b"")]
        except httpx2.HTTPError as error:
            self._broken = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._broken is not None:
            raise self._broken
        for piece in self._first:
            yield piece
        async for piece in self._pieces:
            yield piece

    async def _metered(self) -> AsyncIterator[bytes]:
        meter = self._meter
        try:
            async for chunk in self._inner:
                if self._over():
                    continue  # nothing follows but the end of the connection
                passing = self._passing(chunk)
                if passing:
                    self._rests()
                    yield passing
                    self._goes_on()
                if self._over():
                    await self._settle(meter.outcome(CUT))
                    yield meter.closing() or b""
        except httpx2.HTTPError:
            # the provider's break: closed by the caller afterwards, it were the caller's
            await self._settle(meter.outcome(CUT))
            raise
        finally:
            self._rests()
        if not self._over():
            await self._settle(meter.outcome(CUT))
            yield meter.closing() or b""

    async def aclose(self) -> None:
        """
        Let go of the connection; what was not settled is, by what was seen.
        """
        try:
            await self._inner.aclose()
        finally:
            await self._settle(self._meter.outcome(LEFT, given_up=True))
