"""
Speculative calls: several tiers are asked at once, and the first answer that passes is taken.

Only for an event loop (`outlay.open_async`): calls side by side that can be left behind need one. What is
left behind is not given back, as the provider bills it: it is read on in the background, and settled at its
true cost; cut off after `drain_s`, its hold is captured.
"""

import asyncio
from dataclasses import dataclass

from outlay.aio import AsyncCall
from outlay.calls import CallRequest, Sending
from outlay.strategies import checked
from outlay.strategies.course import Course
from outlay.strategies.runner_async import AsyncRunner
from outlay.strategies.steps import Order, RunResult, Tried
from outlay.strategies.verify import Verifier, check_verifier
from router.types import Reason, ReasonCode


@dataclass(frozen=True, slots=True)
class Speculative:
    """
    Ask tiers at once, and take the first answer that passes.

    Attributes:
        tiers: Tiers of the policy; where the policy serves two of them with one model, that is asked once.
        verify: What says whether an answer passes; None takes the first.
        drain_s: How long a call that lost may go on, so that its true cost becomes known. With 0 it is cut
            off at once, and its whole hold is captured.
    """

    tiers: tuple[str, ...]
    verify: Verifier | None = None
    drain_s: float = 60.0

    def __post_init__(self) -> None:
        checked.tiers(self.tiers)
        check_verifier(self.verify)
        checked.duration(self.drain_s, "drain_s")


@dataclass(frozen=True, slots=True)
class _Started:
    call: AsyncCall
    request: CallRequest
    sending: Sending


_Tasks = dict["asyncio.Task[Tried]", _Started]


async def speculate(plan: Speculative, order: Order, runner: AsyncRunner) -> RunResult:
    """
    Carry out speculative calls: money is held for each of them before the first is sent.
    """
    course = Course("speculative", order, plan.verify)
    started = await _start(plan, course, runner)
    running: _Tasks = {asyncio.create_task(runner.race(one.call, one.request)): one for one in started}
    try:
        return await _race(course, running, runner)
    finally:
        for task in running:
            runner.leave(task, plan.drain_s)


async def _start(plan: Speculative, course: Course, runner: AsyncRunner) -> list[_Started]:
    """Hold for each tier; a tier that is refused, or served by a model that is asked already, stays out."""
    text = f"one of {len(plan.tiers)} calls at once: {', '.join(plan.tiers)}"
    reason = Reason(ReasonCode.STRATEGY, text, {"tiers": len(plan.tiers)})
    started: list[_Started] = []
    try:
        for tier in plan.tiers:
            request = course.asking(tier, reason)
            call = await runner.start(request)
            sending = call.sending
            if sending is None or sending.model in course.models:
                course.took(await runner.run(runner.trying.finish(call, request, course.models)))
                continue
            course.began(
                sending.link.parent or sending.decision_id,
                sending.link.attempt,
                sending.model,
                sending.link.tries,
            )
            started.append(_Started(call, request, sending))
    except BaseException:
        for one in started:
            await runner.give_back(one.call)
        raise
    return started


async def _race(course: Course, running: _Tasks, runner: AsyncRunner) -> RunResult:
    """Look at the answers as they come, in the order of the tiers where several came at once."""
    while running:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in running if task in done]:
            running.pop(task)
            tried = task.result()
            if tried.outcome != "served":
                course.took(tried)
            elif (await runner.run(course.verify(tried))).passed:
                _leave(course, running)
                return course.result("passed")
    return course.result("attempts_spent")


def _leave(course: Course, running: _Tasks) -> None:
    """Tell of the calls that have lost: at what they cost where they have ended meanwhile."""
    for task, left in running.items():
        if task.done() and not task.cancelled() and task.exception() is None:
            course.took(task.result())
        else:
            course.left_running(left.sending.decision_id, left.sending.model, left.sending.offer.tier)
