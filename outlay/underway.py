"""
What the blocking and the asynchronous driver share of a call under way: what it wants now, and its lease.
"""

from collections.abc import Generator
from typing import Any

from outlay.calls import Result, Sending
from outlay.effects import Ended, Send, feed
from outlay.leases import Lease, Leases


class UnderWay:
    """
    One call under way: it wants something sent (`sending`), or has ended (`result`).

    Whoever sends it tells by `resume` what came of that, once, and sends what the call wants next, if
    anything: the call itself after a question of the flow's own, or another attempt. Who is told to stop
    calls `abandon` instead, at any time. Until then, or until everybody has dropped this, the hold of what is
    sent is renewed (`lease`); one that nobody closes is captured when it expires.
    """

    def __init__(self, leases: Leases, tenant: str, steps: Generator[Any, Any, Result]) -> None:
        self._leases = leases
        self.tenant = tenant
        self._steps = steps
        self.lease: Lease | None = None
        self.sending: Sending | None = None
        self.result: Result | None = None

    def __del__(self) -> None:
        if self.lease is not None:  # nobody is left who could close it
            self.lease.end()

    @property
    def following(self) -> Result | Sending:
        """
        Give what the call wants now.
        """
        wants = self.result if self.sending is None else self.sending
        assert wants is not None
        return wants

    def _feed(self, reply: Any) -> Any:
        """Give the flow what it waits for; what was sent until now is closed by it."""
        self.sending = None
        if self.lease is not None:
            self.lease.end()
        return feed(self._steps, reply)

    def _reach(self, effect: Send | Ended) -> None:
        """Take up what the flow wants sent next, or its end."""
        if isinstance(effect, Ended):
            self.result = effect.value
            return
        sending = self.sending = effect.sending
        self.lease = self._leases.keep(self.tenant, sending.decision_id, sending.expires_us)
