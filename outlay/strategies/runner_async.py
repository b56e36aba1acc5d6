"""
Carries out strategies within an event loop: as `runner.py` does, awaited; and calls side by side.
"""

import asyncio
import inspect
from dataclasses import replace
from typing import Any

from outlay.aio import AsyncCall, AsyncCalls
from outlay.calls import CallRequest, NotSent
from outlay.effects import CheckSwitches, Ended, fail, feed
from outlay.errors import OutlayError
from outlay.refusals import from_circuit
from outlay.strategies import sender
from outlay.strategies.runner import mark
from outlay.strategies.steps import Do, Mark, Steps, Tried, Try
from outlay.strategies.trying import Trying
from outlay.wiring import App


class AsyncRunner:
    """
    Runs the strategies of one caller.
    """

    def __init__(self, app: App, calls: AsyncCalls, send: object, actor: str) -> None:
        self._app = app
        self._calls = calls
        self.trying = Trying(calls, sender.check_send(send), sender.begin)
        self._actor = actor

    async def run(self, steps: Steps) -> Any:
        """
        Carry out a strategy to its end.
        """
        effect = feed(steps, None)
        while not isinstance(effect, Ended):
            try:
                reply = await self._perform(effect)
            except GeneratorExit:
                raise  # the loop is gone: nothing can be awaited any more
            except BaseException as error:  # noqa: BLE001 - a cancellation, too: the strategy ends with it
                effect = fail(steps, error)
            else:
                effect = feed(steps, reply)
        return effect.value

    async def _perform(self, effect: Any) -> Any:
        match effect:
            case Try(request, unless):
                return await self.run(self.trying.attempt(request, unless))
            case Do(work):
                made = work()
                return await made if inspect.isawaitable(made) else made
            case Mark(decision_id, verdict):
                return await asyncio.to_thread(mark, self._app, decision_id, verdict, self._actor)
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    async def start(self, request: CallRequest) -> AsyncCall:
        """
        Decide on a call, with what the flow asks for that, and hold its money; `finish` sends it.
        """
        call = await self._calls.start(request)
        while call.sending is not None and call.sending.link.inner:
            await self.run(self.trying.carry(call, call.sending))
        return call

    async def give_back(self, call: AsyncCall) -> None:
        """
        Close a call that nobody will send.
        """
        await call.abandon(NotSent("not_sent: the strategy was given up", given_up=True))

    async def race(self, call: AsyncCall, request: CallRequest) -> Tried:
        """
        Finish a call whose money was held a while ago; where spending was halted meanwhile, or nobody can
        tell, it is given back.
        """
        sending = call.sending
        assert sending is not None, "what is raced has its money held"
        try:
            halted = await self._calls.perform(CheckSwitches(request.tenant))
        except OutlayError as error:  # its rivals may still answer
            await self.give_back(call)
            assert call.result is not None
            return sender.tried(call.result, sending, None, error)
        except BaseException:
            await self.give_back(call)
            raise
        if halted is None:
            return await self.run(self.trying.finish(call, request))  # type: ignore[no-any-return]
        await self.give_back(call)
        refused = replace(from_circuit(sending.decision_id, halted), asked_nanos=sending.asked_nanos)
        return sender.refused(refused, sending.link.attempt)

    def leave(self, task: "asyncio.Task[Tried]", drain_s: float) -> None:
        """
        Let a call go on in the background, so that its true cost becomes known, and cut it off after a while.
        """
        self._calls.in_background(_drained(task, drain_s))


async def _drained(task: "asyncio.Task[Tried]", drain_s: float) -> None:
    done, _ = await asyncio.wait([task], timeout=drain_s)
    if not done:
        task.cancel()
        await asyncio.wait([task])
