"""
The asynchronous driver of the flow: what the gateway and async services use.

The ledger's operations are awaited without a thread; reads run on a few threads of their own. A caller that
is cancelled leaves no hold behind: what it began is finished in the background.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from ledger import LedgerError
from outlay.calls import FORSAKEN, CallRequest, NotSent, Outcome, Refused, Result, Sending, final
from outlay.effects import CheckSwitches, CloseHold, Ended, Look, Remember, Send, fail, feed
from outlay.engine import RECHECKS_MAX, SWITCH_FRESH_S, Engine, LedgerEffect
from outlay.errors import OutlayError
from outlay.flow import run
from outlay.refusals import from_circuit
from outlay.shared_reads import SharedReads
from outlay.underway import UnderWay
from outlay.wiring import App

READERS: Final = 4
T = TypeVar("T")


class AsyncCall(UnderWay):
    """
    One call under way, of an event loop; its methods are awaited.
    """

    def __init__(self, calls: "AsyncCalls", tenant: str, steps: Generator[Any, Any, Result]) -> None:
        super().__init__(calls.engine.leases, tenant, steps)
        self._calls = calls

    async def resume(self, outcome: Outcome) -> Result | Sending:
        """
        Say what came of what was sent; returns once that is durable, and goes on if the caller is cancelled.

        Returns:
            How the call ended; or what is to be sent next in its place, its hold standing.
        """
        assert self.sending is not None, "there is nothing to resume"
        await self._calls.lasting(self, self.advance(outcome))
        return self.following

    async def abandon(self, outcome: Outcome) -> None:
        """
        Say what came of what was sent, and that nobody sends more: what the flow wants next is given back.
        """
        with suppress(OutlayError):  # nothing could be held any more
            while self.sending is not None:
                await self.resume(final(outcome))
                outcome = FORSAKEN

    async def advance(self, reply: Any) -> None:
        """
        Run the flow until it wants something sent or ends.
        """
        effect = self._feed(reply)
        while not isinstance(effect, Send | Ended):
            effect = await self._calls.step(self._steps, effect)
        self._reach(effect)


class AsyncCalls:
    """
    Makes calls of one process, within one event loop.
    """

    def __init__(self, app: App) -> None:
        self.engine = Engine(app)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="outlay-read")
        self._reads = SharedReads()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self, request: CallRequest) -> AsyncCall:
        """
        Decide on a call and hold its money.

        Raises:
            BooksUnavailable: The books are out of reach; nothing may be sent.
        """
        call = AsyncCall(self, request.tenant, run(request, self.engine.tools))
        await self.lasting(call, call.advance(None))
        return call

    async def lasting(self, call: AsyncCall, work: Coroutine[Any, Any, None]) -> None:
        """
        Take a call further; where the caller is cancelled, what it would be told to send is given back.
        """
        begun = self._keep(work)
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:
            self._keep(_abandon(call, begun))
            raise

    async def still_on(self, tenant: str, decision_id: str = "") -> Refused | None:
        """
        Look at the kill switches a last time, right before a request goes on the wire; see
        `Engine.still_on`.
        """
        if self.engine.was_running(tenant):
            return None
        halted = await self.perform(CheckSwitches(tenant))
        return None if halted is None else from_circuit(decision_id, halted)

    async def carry_out(self, steps: Generator[Any, Any, T]) -> T:
        """
        Run steps that send nothing to their end; goes on if the caller is cancelled.
        """
        return await self.shielded(self._to_the_end(steps))

    async def _to_the_end(self, steps: Generator[Any, Any, T]) -> T:
        effect = feed(steps, None)
        while not isinstance(effect, Ended):
            effect = await self.step(steps, effect)
        ended: T = effect.value
        return ended

    async def step(self, steps: Generator[Any, Any, Any], effect: Any) -> Any:
        """
        Carry out an effect and tell the flow, its reply or its failure; returns the next effect or `Ended`.
        """
        try:
            reply = await self.perform(effect)
        except GeneratorExit:
            raise  # the loop is gone: nothing can be awaited any more
        except BaseException as error:  # noqa: BLE001 - a loop that stops, too: what is held is given back
            return fail(steps, error)
        return feed(steps, reply)

    async def close(self) -> None:
        """
        Finish what callers left behind, then stop the threads. The app is closed by who opened it.
        """
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._readers.shutdown()
        await asyncio.get_running_loop().run_in_executor(None, self.engine.close)

    async def shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Do work that goes on when its caller is cancelled.
        """
        return await asyncio.shield(self._keep(work))

    def in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """
        Do work that nobody waits for but `close`.
        """
        self._keep(work)

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone; nobody else would look at it

    async def perform(self, effect: Any) -> Any:
        """
        Carry out one effect without blocking the event loop.
        """
        if isinstance(effect, LedgerEffect):
            return await self._commit(effect)
        if isinstance(effect, CheckSwitches):
            return await self._fresh(effect)
        if isinstance(effect, Remember):
            return self.engine.perform(effect)
        if isinstance(effect, Look):
            key = (effect.tenant, effect.scopes)
            return await self._reads.read(key, partial(self._in_thread, effect))
        return await self._in_thread(effect)

    async def _commit(self, effect: LedgerEffect) -> Any:
        try:
            answer = asyncio.wrap_future(self.engine.submit(effect))
            # a loop that stops cancels what it runs: a hold may be given up, its closing may not
            result = await (asyncio.shield(answer) if isinstance(effect, CloseHold) else answer)
            return self.engine.reply(effect, result)
        except LedgerError as error:
            return self.engine.failed(effect, error)

    async def _fresh(self, effect: CheckSwitches) -> Any:
        """Read the kill switch again while the reading grew too old on its way back to this loop."""
        for _ in range(RECHECKS_MAX):
            began, halted = await self._reads.read(effect, partial(self._in_thread, effect, _timed))
            if halted is not None or time.monotonic() - began <= SWITCH_FRESH_S:
                return halted
        return self.engine.perform(effect)  # a loop this busy has to wait for one reading

    async def _in_thread(self, effect: Any, way: Callable[[Engine, Any], Any] = Engine.perform) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, way, self.engine, effect)


def _timed(engine: Engine, effect: CheckSwitches) -> tuple[float, Any]:
    """Make a reading that knows when it began."""
    return time.monotonic(), engine.perform(effect)


async def _abandon(call: AsyncCall, begun: asyncio.Task[None]) -> None:
    """Give back the hold of a call whose caller left while it was being decided."""
    await asyncio.wait([begun])
    await call.abandon(NotSent("the caller left before the call was sent", given_up=True))
