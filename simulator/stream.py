"""
One streamed answer: sends it, breaks it where a fault says so, and has it charged exactly once.

The charge is made before the event that ends the answer, at the break, or once the client is seen to have
left.
"""

import asyncio

from simulator import http
from simulator.answer import Answer, Call
from simulator.config import Config
from simulator.errors import ApiError
from simulator.faults import Fault, FaultKind
from simulator.messages import Event, error_event, events
from simulator.meter import Meter


class Stream:
    """
    The state of one stream: how far it is, and whether it is charged.
    """

    def __init__(
        self,
        exchange: http.Exchange,
        call: Call,
        answer: Answer,
        *,
        config: Config,
        meter: Meter,
        fault: Fault | None,
    ) -> None:
        self._exchange = exchange
        self._call = call
        self._answer = answer
        self._config = config
        self._meter = meter
        self._fault = fault
        self._sent = 0
        self._generated = 0
        self._searches = 0
        self._charged = False

    async def run(self, rates: list[tuple[bytes, bytes]]) -> None:
        """
        Send the whole answer, or as much of it as fault and client allow.
        """
        presence = http.Presence(self._exchange.receive)
        headers = (*rates, (b"cache-control", b"no-cache"))
        await http.start(self._exchange, 200, http.EVENT_STREAM, headers)
        try:
            complete = await self._events(presence)
        finally:
            presence.forget()
            self._charge("client_left", whole=self._config.bill_on_disconnect == "full")
        if complete:
            await http.send_part(self._exchange, b"", more=False)

    async def _events(self, presence: http.Presence) -> bool:
        for event in events(self._call, self._answer):
            if await self._fails():
                return False
            await self._pace(event)
            if presence.left:
                return False
            self._generated, self._searches = event.generated, event.searches
            if event.last:
                self._charge("complete", whole=True)
            await http.send_part(self._exchange, event.data, more=True)
            self._sent += 1
        return True

    async def _pace(self, event: Event) -> None:
        stall_ms = self._call.wishes.stall_ms
        if stall_ms is not None and self._sent == self._middle():
            await asyncio.sleep(stall_ms / 1000)
        # always give way, so that a client's departure is noticed
        await asyncio.sleep(max(0, event.generated - self._generated) * self._config.token_ms / 1000)

    def _middle(self) -> int:
        blocks = self._answer.blocks
        return 3 + len(blocks[-1].pieces) // 2 if blocks else 1

    async def _fails(self) -> bool:
        fault = self._fault
        if fault is None or fault.at != self._sent:
            return False
        if fault.kind is FaultKind.STREAM_ERROR_AFTER:
            self._charge("failed", whole=False)
            body = ApiError(529, "overloaded_error", "Overloaded").body(self._exchange.request_id)
            await http.send_part(self._exchange, error_event(body), more=False)
            return True
        if fault.kind is FaultKind.BREAK_STREAM_AFTER:
            self._charge("broken", whole=False)
            return True
        return False

    def _charge(self, outcome: str, *, whole: bool) -> None:
        if self._charged:
            return
        self._charged = True
        request_id = self._exchange.request_id
        if whole:
            self._meter.charge(request_id, self._call, self._answer, outcome)
        elif self._sent:
            self._meter.charge_part(
                request_id, self._call, self._answer, outcome, self._generated, self._searches
            )
