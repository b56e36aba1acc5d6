"""
POST /v1/messages: one call from its acceptance to its answer, plain or streamed.

A call that the flow lets through is settled exactly once, whatever happens: the client leaves, the provider
breaks off, the gateway stops. Nothing is acknowledged before it is durable.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from urllib.parse import parse_qs

from gateway.errors import ApiError, public, refusal, unanswered, unreachable
from gateway.exchange import (
    Exchange,
    answer,
    answer_error,
    departure,
    parse_object,
    passed_headers,
    read_body,
    send_part,
    start,
)
from gateway.house import House
from gateway.intake import calling_key
from outlay.aio import AsyncCall
from outlay.calls import CallRequest, Done, NotSent, Outcome, Refused, Sending, Uncertain, Upstream, final
from outlay.errors import OutlayError
from outlay.hint_words import betas_heard, hints_heard, key_heard
from outlay.meter import StreamMeter
from outlay.outcomes import outcome_of_answer
from outlay.upstream import Answer, Lost, NotReached, TooLarge
from outlay.wire import to_json
from router.types import Hints

ANSWER_BYTES_MAX = 256 * 1024 * 1024
DRAIN_S = 600.0
DRAIN_BYTES_MAX = 64 * 1024 * 1024
SEND_S = 60.0
"""Longest that a client may not take any of a stream; then it counts as departed."""
_DRAIN_BOUND = "drain_bound"
_FORWARDED = ("anthropic-version", "anthropic-beta")


async def create(house: House, exchange: Exchange) -> None:
    """
    Take a call in, and run it to its end, whether or not its client stays.
    """
    request = await take_in(house, exchange)
    await house.open_calls.run(_conduct(house, exchange, request))


async def take_in(house: House, exchange: Exchange) -> CallRequest:
    """
    Read a request of the Messages API: its key, its body, its hints.
    """
    tenant, key = await calling_key(house.app.keys, exchange.headers)
    return CallRequest(
        tenant=tenant,
        body=parse_object(await read_body(exchange)),
        key_id=key.id,
        rights=key.rights,
        hints=Hints(**hints_heard(exchange.headers)),
        betas=betas_heard(exchange.headers),
        idempotency_key=key_heard(exchange.headers),
        surface="gateway",
    )


async def _conduct(house: House, exchange: Exchange, request: CallRequest) -> None:
    call = await house.calls.start(request)
    if call.sending is None:
        assert call.result is not None
        if isinstance(call.result, Done):
            raise ApiError(409, "conflict_error", "this call has ended; its answer is not kept")
        await answer_error(exchange, refusal(call.result))
        return
    await _Passage(house, exchange, call, call.sending, request.tenant).run()


async def still_on(house: House, tenant: str, decision_id: str = "") -> None:
    """
    Return where nothing is halted: the last look, once the connection stands.

    Raises:
        ApiError: Spending is halted.
        OutlayError: The switches cannot be read.
    """
    refused = await house.calls.still_on(tenant, decision_id)
    if refused is not None:
        raise refusal(refused)


def upstream_headers(upstream: Upstream, headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return the headers of a request to a provider: the caller's version and betas, and our own key.
    """
    sent = {name: headers[name] for name in _FORWARDED if name in headers}
    sent["content-type"] = "application/json"
    sent["user-agent"] = "outlay"
    if upstream.key is not None:
        sent["x-api-key"] = upstream.key
    return sent


def upstream_url(upstream: Upstream, exchange: Exchange, path: str) -> str:
    """
    Return the address of a path at a provider; of the caller's query only `beta=true` is passed on.
    """
    query = parse_qs(exchange.scope.get("query_string", b"").decode("latin-1"))
    beta = "?beta=true" if query.get("beta") == ["true"] else ""
    return f"{upstream.url.rstrip('/')}{path}{beta}"


class _Passage:
    """
    One call on its way through: to the provider, back to the client, into the books.
    """

    def __init__(
        self, house: House, exchange: Exchange, call: AsyncCall, sending: Sending, tenant: str
    ) -> None:
        self._house = house
        self._tenant = tenant
        self._exchange = exchange
        self._call = call
        self._sending = sending
        self._meter: StreamMeter | None = None
        self._began = asyncio.get_running_loop().time()
        self._open = True

    async def run(self) -> None:
        """
        Send, answer, settle, attempt after attempt; what is cut off is settled with what is known by then.
        """
        try:
            while self._open:
                await self._send()
        finally:
            if self._open:
                await self._cut_off()

    async def _cut_off(self) -> None:
        """Settle with what is known by now; nothing follows, though the flow may want to send more."""
        self._open = False
        why, meter = "gateway_stopped: the call was cut off", self._meter
        known = Uncertain(why, given_up=True) if meter is None else meter.outcome(why, given_up=True)
        await self._call.abandon(known)

    async def _settle(self, outcome: Outcome) -> dict[str, str] | None:
        """
        Tell the flow what came of the call; return the headers known by then. It returns after the commit.

        Returns:
            None where this attempt is not what the client is answered: the call goes on, or was refused.
        Raises:
            ApiError: the books are out of reach. What was sent may have been billed and is not to be
                repeated; after a question of the flow's own nothing of the call was sent, so that it may be.
        """
        self._open = False
        try:
            result = await self._call.resume(outcome)
        except OutlayError as error:
            trouble = public(error)
            if not self._sending.link.inner:
                trouble.retry, trouble.retry_after_s = False, None
            raise trouble from error
        if isinstance(result, Sending):
            self._go_on(result)
            return None
        if isinstance(result, Refused):  # after an inner attempt: the call itself was never sent
            await answer_error(self._exchange, refusal(result))
            return None
        return {**self._sending.headers, **result.headers}

    def _go_on(self, sending: Sending) -> None:
        """Take up the next attempt, whose money is held."""
        self._sending = sending
        self._meter = None
        self._began = asyncio.get_running_loop().time()
        self._open = True

    async def _close(self, outcome: Outcome, error: ApiError) -> None:
        """Settle an attempt without an answer; the client hears of it, unless the call goes on elsewhere."""
        known = await self._settle(outcome)
        if known is not None:
            await answer_error(self._exchange, error, known)

    async def _send(self) -> None:
        sending, exchange = self._sending, self._exchange
        url = upstream_url(sending.upstream, exchange, "/v1/messages")
        headers = upstream_headers(sending.upstream, exchange.headers)
        raw = to_json(sending.body)
        before = partial(still_on, self._house, self._tenant, sending.decision_id)
        try:
            async with self._patience():
                found = await self._house.upstream.post(url, raw, headers, before=before)
        except (ApiError, OutlayError) as error:
            trouble = public(error) if isinstance(error, OutlayError) else error
            await self._close(NotSent("halted", given_up=True), trouble)
        except NotReached as error:
            told = unreachable(_kind(error), sending.decision_id)
            await self._close(NotSent(f"unreachable: {error}"), told)
        except Lost as error:
            await self._unanswered(error)
        else:
            try:
                whole = self._sending.link.inner or not (found.ok and found.streams)
                await (self._plain(found) if whole else self._stream(found))
            finally:
                found.close()

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """
        Wait no longer than the attempt allows, counted from its beginning.

        Raises:
            Lost: it took longer; whether the provider bills it is not known.
        """
        patience_ms = self._sending.link.timeout_ms
        until = None if patience_ms is None else self._began + patience_ms / 1_000
        try:
            async with asyncio.timeout_at(until):
                yield
        except TimeoutError as error:
            raise Lost("no answer in the time that the attempt has", timed_out=True) from error

    async def _unanswered(self, error: Exception) -> None:
        why = "timeout" if isinstance(error, Lost) and error.timed_out else "no_answer"
        told = unanswered(_kind(error), self._sending.decision_id)
        await self._close(Uncertain(f"{why}: {error}"), told)

    async def _plain(self, found: Answer) -> None:
        try:
            async with self._patience():
                raw = await found.read(ANSWER_BYTES_MAX)
        except (Lost, TooLarge) as error:
            if found.ok:
                await self._unanswered(error)
                return
            raw = b""
        inner = self._sending.link.inner
        known = await self._settle(outcome_of_answer(found.status, raw, self._sending.model, keep=inner))
        if known is not None:
            await answer(self._exchange, found.status, raw, {**passed_headers(found.headers), **known})

    async def _stream(self, found: Answer) -> None:
        meter = self._meter = StreamMeter(self._sending.model)
        client = _Client(self._exchange, {**passed_headers(found.headers), **self._sending.headers})
        try:
            why = await _pump(found, meter, client)
            found.close()
            outcome = meter.outcome(why, given_up=why.startswith(_DRAIN_BOUND))
            if client.left or self._exchange.started:
                outcome = final(outcome)
            try:
                known = await self._settle(outcome)
            except ApiError as error:
                await client.fail(error)
            else:
                if known is not None:
                    await self._close_stream(client, meter.closing(), why)
        finally:
            client.forget()

    async def _close_stream(self, client: "_Client", closing: bytes | None, why: str) -> None:
        """Send what ends the answer: the provider's own end, else an error that says so."""
        if closing is not None:
            await client.finish(closing)
        else:
            await client.fail(unanswered(why.partition(":")[0], self._sending.decision_id))


async def _pump(found: Answer, meter: StreamMeter, client: "_Client") -> str:
    """
    Forward a stream until it ends; without its client, read it on up to a bound. Return why it ended.
    """
    drained = 0
    try:
        async for chunk in found.chunks():
            passing = meter.feed(chunk)
            if client.left:
                drained += len(chunk)
                if drained > DRAIN_BYTES_MAX or client.left_for_s > DRAIN_S:
                    return f"{_DRAIN_BOUND}: the client left, and the rest was too long to wait for"
            elif passing:
                await client.send(passing)
            if meter.overlong:
                return "event_too_large: the provider sent an event without an end"
    except Lost as error:
        return f"{'timeout' if error.timed_out else 'stream_broken'}: {error}"
    return "stream_broken: the stream ended before its last event"


class _Client:
    """
    The client of a stream, as long as it stays. Its answer begins with the first event, so that a provider
    that says nothing at all is still answered by a proper error.
    """

    def __init__(self, exchange: Exchange, headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._headers = headers
        self._left_at: float | None = None
        self._clock = asyncio.get_running_loop().time
        self._watch = asyncio.create_task(self._watch_departure())

    async def _watch_departure(self) -> None:
        await departure(self._exchange.receive)
        self._gone()

    def _gone(self) -> None:
        if self._left_at is None:
            self._left_at = self._clock()

    @property
    def left(self) -> bool:
        """
        True once the client has gone, or takes nothing any more.
        """
        return self._left_at is not None

    @property
    def left_for_s(self) -> float:
        """
        Seconds since it left.
        """
        return 0.0 if self._left_at is None else self._clock() - self._left_at

    async def send(self, data: bytes, *, more: bool = True) -> None:
        """
        Forward bytes; a client that takes none for too long counts as departed.
        """
        try:
            async with asyncio.timeout(SEND_S):
                if not self._exchange.started:
                    await start(self._exchange, 200, self._headers)
                await send_part(self._exchange, data, more=more)
        except (TimeoutError, OSError):
            self._gone()

    async def finish(self, data: bytes) -> None:
        """
        Send the end of the answer.
        """
        if not self.left:
            await self.send(data, more=False)

    async def fail(self, error: ApiError) -> None:
        """
        Say that the answer failed: as an error answer where nothing was sent yet, else as an error event.
        """
        if self.left:
            return
        if self._exchange.started:
            body = to_json(error.body(self._exchange.request_id))
            await self.send(b"event: error\ndata: " + body + b"\n\n", more=False)
            return
        ours = {name: value for name, value in self._headers.items() if name.startswith("outlay-")}
        with suppress(OSError):
            await answer_error(self._exchange, error, ours)

    def forget(self) -> None:
        """
        Stop watching.
        """
        self._watch.cancel()


def _kind(error: Exception) -> str:
    """Name what happened; addresses and system texts stay in the decision record."""
    return str(error).partition(":")[0]
