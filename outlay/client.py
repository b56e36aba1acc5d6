"""
The blocking driver of the flow: what a thread uses to make a call under Outlay's control.
"""

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar

from outlay.calls import FORSAKEN, CallRequest, Outcome, Result, Sending, final
from outlay.clock import now_us
from outlay.effects import Ended, Send, feed
from outlay.engine import Engine
from outlay.errors import OutlayError
from outlay.flow import run
from outlay.underway import UnderWay
from outlay.wiring import App

T = TypeVar("T")


class Call(UnderWay):
    """
    One call under way, of a thread.
    """

    def __init__(self, engine: Engine, tenant: str, steps: Generator[Any, Any, Result]) -> None:
        super().__init__(engine.leases, tenant, steps)
        self._engine = engine
        self._advance(None)

    def resume(self, outcome: Outcome) -> Result | Sending:
        """
        Say what came of what was sent; returns once that is durable.

        Returns:
            How the call ended; or what is to be sent next in its place, its hold standing.
        """
        assert self.sending is not None, "there is nothing to resume"
        self._advance(outcome)
        return self.following

    def abandon(self, outcome: Outcome) -> None:
        """
        Say what came of what was sent, and that nobody sends more: what the flow wants next is given back.
        """
        with suppress(OutlayError):  # nothing could be held any more
            while self.sending is not None:
                self.resume(final(outcome))
                outcome = FORSAKEN

    def _advance(self, reply: Any) -> None:
        effect = self._feed(reply)
        while not isinstance(effect, Send | Ended):
            effect = self._engine.step(self._steps, effect)
        self._reach(effect)


class Calls:
    """
    Makes calls of one process; safe to use from several threads.
    """

    def __init__(self, app: App, clock: Callable[[], int] = now_us) -> None:
        self.engine = Engine(app, clock)

    def start(self, request: CallRequest) -> Call:
        """
        Decide on a call and hold its money.

        Raises:
            BooksUnavailable: The books are out of reach; nothing may be sent.
        """
        return Call(self.engine, request.tenant, run(request, self.engine.tools))

    def carry_out(self, steps: Generator[Any, Any, T]) -> T:
        """
        Run steps that send nothing to their end.
        """
        effect = feed(steps, None)
        while not isinstance(effect, Ended):
            effect = self.engine.step(steps, effect)
        ended: T = effect.value
        return ended

    def close(self) -> None:
        """
        Write what still waits to be written. The app is closed by who opened it.
        """
        self.engine.close()
