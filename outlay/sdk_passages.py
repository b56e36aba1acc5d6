"""
One attempt of the SDK on its way: closed exactly once, whatever happens to it. It imports nothing of the SDK.
"""

import logging
from collections.abc import Callable, Mapping

import httpx2

from outlay.aio import AsyncCall
from outlay.calls import FORSAKEN, Done, Outcome, Result, Sending, final
from outlay.client import Call
from outlay.errors import OutlayError
from outlay.outcomes import outcome_of_answer
from outlay.sdk_streams import AsyncMeteredStream, MeteredStream, streams

Lost = Callable[[Exception, httpx2.Response], Exception]
"""Words an answer that ended early as the SDK does."""
_log = logging.getLogger("outlay")


class _Passage:
    """
    What both kinds share.

    Attributes:
        goes_on: This attempt is not what the caller is answered: the flow wants another one sent, or refused
            the call after an inner one.
    """

    def __init__(self, sending: Sending, lost: Lost) -> None:
        self._sending = sending
        self._lost = lost
        self._open = True
        self._begun = False
        self.goes_on = False

    def _outcome(self, response: httpx2.Response, raw: bytes) -> Outcome:
        sending = self._sending
        return outcome_of_answer(response.status_code, raw, sending.model, keep=sending.link.inner)

    def _closed(self, result: Result | Sending) -> Mapping[str, str]:
        self.goes_on = not isinstance(result, Done)
        return {**self._sending.headers, **(result.headers if isinstance(result, Done) else {})}

    def _closing_failed(self, error: OutlayError) -> Mapping[str, str]:
        """The money is accounted for, so an answer is not withheld; an inner one is nobody's answer."""
        if self._sending.link.inner:
            raise error
        told = "call %s is closed, but not all of its records were written: %s"
        _log.warning(told, self._sending.decision_id, error)
        return self._sending.headers


class Passage(_Passage):
    """
    One attempt of a blocking client.
    """

    def __init__(self, call: Call, sending: Sending, lost: Lost) -> None:
        super().__init__(sending, lost)
        self._call = call

    def close(self, outcome: Outcome) -> Mapping[str, str]:
        """
        Tell the flow what came of it, once; returns the headers known by then.
        """
        if not self._open:
            return {}
        self._open = False
        try:
            return self._closed(self._call.resume(final(outcome) if self._begun else outcome))
        except OutlayError as error:
            return self._closing_failed(error)

    def leave(self, outcome: Outcome) -> None:
        """
        Tell the flow what came of it as its caller is told to stop; what the flow wants next is given back.
        """
        was_open, self._open = self._open, False
        self._call.abandon(outcome if was_open else FORSAKEN)

    def answered(self, http: httpx2.Response) -> None:
        """
        Settle a whole answer; or await a stream's first event, and see to it that it is settled at its end.
        """
        if self._sending.link.inner or not streams(http):
            try:
                raw = http.read()
            except httpx2.HTTPError as error:
                if not http.is_success:
                    self.close(self._outcome(http, b""))
                raise self._lost(error, http) from error
            http.headers.update(self.close(self._outcome(http, raw)))
            return
        assert isinstance(http.stream, httpx2.SyncByteStream)
        http.headers.update(self._sending.headers)
        stream = http.stream = MeteredStream(http.stream, self._sending.model, self.close, self._call.lease)
        try:
            stream.begin()
        except BaseException:
            http.close()
            raise
        self._begun = True
        if self.goes_on:
            http.close()


class AsyncPassage(_Passage):
    """
    One attempt of an asynchronous client.
    """

    def __init__(self, call: AsyncCall, sending: Sending, lost: Lost) -> None:
        super().__init__(sending, lost)
        self._call = call

    async def close(self, outcome: Outcome) -> Mapping[str, str]:
        """
        Tell the flow what came of it, once; returns the headers known by then.
        """
        if not self._open:
            return {}
        self._open = False
        try:
            return self._closed(await self._call.resume(final(outcome) if self._begun else outcome))
        except OutlayError as error:
            return self._closing_failed(error)

    async def leave(self, outcome: Outcome) -> None:
        """
        Tell the flow what came of it as its caller is told to stop; what the flow wants next is given back.
        """
        was_open, self._open = self._open, False
        await self._call.abandon(outcome if was_open else FORSAKEN)

    async def answered(self, http: httpx2.Response) -> None:
        """
        Settle a whole answer; or await a stream's first event, and see to it that it is settled at its end.
        """
        if self._sending.link.inner or not streams(http):
            try:
                raw = await http.aread()
            except httpx2.HTTPError as error:
                if not http.is_success:
                    await self.close(self._outcome(http, b""))
                raise self._lost(error, http) from error
            http.headers.update(await self.close(self._outcome(http, raw)))
            return
        assert isinstance(http.stream, httpx2.AsyncByteStream)
        http.headers.update(self._sending.headers)
        stream = http.stream = AsyncMeteredStream(
            http.stream, self._sending.model, self.close, self._call.lease
        )
        try:
            await stream.begin()
        except BaseException:
            await http.aclose()
            raise
        self._begun = True
        if self.goes_on:
            await http.aclose()
