"""
Orders of holds, carried out by a driver.
"""

from typing import Any

from outlay import holds
from outlay.aio import AsyncCalls
from outlay.client import Calls


class Holds:
    """Authorize, settle, release and renew; what an asynchronous driver gives is to be awaited."""

    def __init__(self, calls: Calls | AsyncCalls) -> None:
        self._calls: Any = calls

    def authorize(self, tenant: str, body: Any, **more: Any) -> Any:
        """Hold money."""
        order = holds.order(tenant, body, **more)
        return self._calls.carry_out(holds.authorize(order, self._calls.engine.tools))

    def settle(self, tenant: str, hold_id: str, body: Any) -> Any:
        """Book a cost."""
        return self._calls.carry_out(holds.settle(tenant, hold_id, body, self._calls.engine.tools))

    def release(self, tenant: str, hold_id: str, body: Any) -> Any:
        """Give a hold back."""
        return self._calls.carry_out(holds.release(tenant, hold_id, body, self._calls.engine.tools))

    def renew(self, tenant: str, hold_id: str, body: Any) -> Any:
        """Keep a hold open for longer."""
        return self._calls.carry_out(holds.renew(tenant, hold_id, body, self._calls.engine.tools))
