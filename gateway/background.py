"""
What goes on beside answering: calls whose client has left, and the periodic care of the books.

Each open call is a task of its own, so that a client that leaves or a server that stops cannot cut it off
between the provider's answer and the ledger.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ledger import ClockAhead
from outlay import errors
from outlay.admin.lots import seal
from outlay.clock import now_us
from outlay.engine import Engine
from outlay.wiring import App

SWEEP_S = 5.0
PRUNE_EVERY = 60  # sweeps
SEAL_EVERY = 720  # sweeps: hourly; a day is sealed within the hour after it ended
logger = logging.getLogger("outlay.gateway")


class OpenCalls:
    """
    The calls that are under way.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    async def run(self, call: Coroutine[Any, Any, None]) -> None:
        """
        Run a call to its end; it goes on where the waiting request is cancelled.
        """
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def close(self, patience_s: float) -> None:
        """
        Wait for the open calls; those that outlast the patience are told to settle with what they know.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        left = list(self._tasks)
        for task in left:
            task.cancel("the gateway stops")
        await asyncio.gather(*left, return_exceptions=True)


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a call failed after its client had left", exc_info=task.exception())


async def care(app: App, engine: Engine, every_s: float) -> None:
    """
    Capture expired holds and write counted refusals every few seconds, drop old meters now and then, seal
    ended days, until cancelled.

    A round that fails is logged, and the next one tries again. Nothing is done by a clock that runs ahead.
    """
    rounds = 0
    while True:
        try:
            await asyncio.to_thread(engine.write_counts)
            await asyncio.to_thread(app.ledger.sweep, now_us())
            if rounds % PRUNE_EVERY == 0:
                await asyncio.to_thread(app.circuit.prune, now_us())
            if rounds % SEAL_EVERY == 0:
                await asyncio.to_thread(seal, app)
        except (ClockAhead, errors.ClockAhead) as error:
            logger.error("the books are not cared for: %s", error)
        except Exception:
            logger.exception("the care of the books failed; it is tried again in %s s", every_s)
        rounds += 1
        await asyncio.sleep(every_s)
