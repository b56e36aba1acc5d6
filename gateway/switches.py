"""
The last look at the kill switches, right before a request goes on the wire.

The flow reads them before it hands a call over, but what follows takes its time: a large body is written as
JSON, a connection is made, other requests keep the event loop busy. Whoever halts waits only as long as a
reading is good.
"""

import time
from typing import Any

from gateway.errors import refusal
from outlay.aio import AsyncCalls
from outlay.effects import CheckSwitches
from outlay.engine import SWITCH_FRESH_S
from outlay.refusals import from_circuit
from outlay.wiring import App


class WatchedCalls(AsyncCalls):
    """
    Calls that know, for each tenant, when the last reading began that found no halt.
    """

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self._seen: dict[str, float] = {}

    async def perform(self, effect: Any) -> Any:
        """
        Carry out one effect; a reading is as old as the question for it.
        """
        if not isinstance(effect, CheckSwitches):
            return await super().perform(effect)
        asked = time.monotonic()
        halted = await super().perform(effect)
        if halted is None:
            self._seen[effect.tenant] = asked
        return halted

    async def still_on(self, tenant: str, decision_id: str = "") -> None:
        """
        Return at once while the last reading is good, else read again.

        Raises:
            ApiError: spending is halted.
            OutlayError: the switches cannot be read.
        """
        if time.monotonic() - self._seen.get(tenant, float("-inf")) <= SWITCH_FRESH_S:
            return
        halted = await self.perform(CheckSwitches(tenant))
        if halted is not None:
            raise refusal(from_circuit(decision_id, halted))
