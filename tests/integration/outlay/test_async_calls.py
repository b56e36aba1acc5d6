"""
The asynchronous driver: callers that leave at any moment leave no money held, and nothing unpaid.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hello import ANSWER, BODY, REQUEST, Select

from ledger import StoreUnavailable
from ledger.rows import RELEASED
from ledger.types import Operation, Reserve, Settle
from outlay.admin.breakers import halt
from outlay.admin.money import set_budget
from outlay.aio import AsyncCall, AsyncCalls
from outlay.calls import CallRequest, Done, NotSent, Refused
from outlay.effects import CheckSwitches
from outlay.errors import BooksUnavailable
from outlay.wiring import App

pytestmark = pytest.mark.usefixtures("acme", "books_are_right")


@pytest.fixture
def rich(app: App) -> None:
    """No budget, and credits that bear many calls at once."""
    set_budget(app, "acme", "none", actor="t")


def run(app: App, story: Callable[[AsyncCalls], Awaitable[None]]) -> None:
    """Play a story on an event loop of its own."""

    async def play() -> None:
        calls = AsyncCalls(app)
        try:
            await story(calls)
        finally:
            await calls.close()

    asyncio.run(play())


def gone(kind: type) -> Callable[[Operation], Exception | None]:
    """Fail operations of one kind as if the database were gone."""
    return lambda op: StoreUnavailable("gone") if isinstance(op, kind) else None


async def begun(calls: AsyncCalls) -> AsyncCall:
    """A call that may be sent."""
    call = await calls.start(REQUEST)
    assert call.sending is not None, call.result
    return call


def test_many_calls_at_once_are_all_accounted_for(app: App, rich: None, select: Select) -> None:
    """Forty calls together: each held, settled and recorded once."""

    async def story(calls: AsyncCalls) -> None:
        started = await asyncio.gather(*(begun(calls) for _ in range(40)))
        ids = {call.sending.decision_id for call in started if call.sending is not None}
        assert len(ids) == 40
        results = await asyncio.gather(*(call.resume(ANSWER) for call in started))
        assert all(isinstance(result, Done) and result.outcome == "served" for result in results)

    run(app, story)
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert len(select("SELECT id FROM outlay_decision WHERE outcome = 'served'")) == 40


def test_refusals_and_errors_reach_the_caller(app: App, flaky: Any) -> None:
    """What ends a call before it is sent is its result; books out of reach are an error."""

    async def story(calls: AsyncCalls) -> None:
        call = await calls.start(CallRequest("acme", {**BODY, "model": "gpt"}))
        assert isinstance(call.result, Refused)
        flaky.failing = gone(Reserve)
        with pytest.raises(BooksUnavailable):
            await calls.start(REQUEST)

    run(app, story)


def test_callers_that_leave_at_any_moment_leave_no_hold(app: App, rich: None, select: Select) -> None:
    """
    Cancelled at random moments of `start`, from before its first step to after its last, a call's hold is
    always given back; nothing about it speaks against the model.
    """
    chance = random.Random(7)
    left = 0

    async def story(calls: AsyncCalls) -> None:
        nonlocal left
        for _ in range(25):
            tasks = [asyncio.ensure_future(calls.start(REQUEST)) for _ in range(4)]
            for task in tasks:
                if chance.random() < 0.5:
                    for _ in range(chance.randrange(12)):
                        await asyncio.sleep(0)
                else:
                    await asyncio.sleep(chance.random() * 0.012)
                task.cancel()
            for found in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(found, AsyncCall):
                    await found.resume(NotSent("too late to leave", given_up=True))
                else:
                    assert isinstance(found, asyncio.CancelledError)
                    left += 1

    run(app, story)
    assert left > 20
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert {row["state"] for row in select("SELECT state FROM ledger_hold")} <= {RELEASED}
    assert select("SELECT failures FROM circuit_call_bucket") == []


def test_a_cancelled_settlement_is_written_all_the_same(app: App, rich: None, select: Select) -> None:
    """A client that leaves while its call is settled changes nothing about its cost or its record."""
    chance = random.Random(11)

    async def story(calls: AsyncCalls) -> None:
        for _ in range(30):
            call = await begun(calls)
            closing = asyncio.ensure_future(call.resume(ANSWER))
            for _ in range(chance.randrange(1, 8)):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)

    run(app, story)
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert len(select("SELECT id FROM outlay_decision WHERE outcome = 'served'")) == 30


def test_a_loop_that_stops_does_not_take_settlements_with_it(app: App, rich: None, select: Select) -> None:
    """A process told to stop cancels all its tasks; a settlement that is under way is written."""

    async def story() -> None:
        calls = AsyncCalls(app)
        call = await begun(calls)
        writer.acquire()  # somebody else's batch is being written: the settlement waits in the queue
        asyncio.ensure_future(call.resume(ANSWER))  # noqa: RUF006 - it is cancelled with the loop
        for _ in range(5):
            await asyncio.sleep(0)
        calls._readers.shutdown()

    writer = app.ledger._writer._commit
    asyncio.run(story())
    writer.release()
    app.ledger.close()  # drains what waits
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]


def test_a_loop_that_stops_leaves_no_hold(app: App, rich: None, select: Select) -> None:
    """A loop that ends while a call is being decided sends nothing, so that nothing stays held."""
    made: list[AsyncCalls] = []

    async def story() -> None:
        calls = AsyncCalls(app)
        made.append(calls)
        perform, reached = calls.perform, asyncio.Event()

        async def slow(asked: Any) -> Any:
            reply = perform(asked)
            if not isinstance(asked, CheckSwitches):
                return await reply
            asyncio.get_running_loop().call_soon(reached.set)
            return (await asyncio.gather(reply, asyncio.sleep(60)))[0]

        calls.perform = slow  # type: ignore[method-assign,assignment]
        asyncio.ensure_future(calls.start(REQUEST))  # noqa: RUF006 - it is cancelled with the loop
        await reached.wait()
        await asyncio.sleep(0.05)

    asyncio.run(story())
    for calls in made:
        calls._readers.shutdown()
        calls.engine.close()
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]


def test_a_settlement_without_its_books_is_finished_at_the_close(
    app: App, flaky: Any, select: Select
) -> None:
    """The answer goes out though the books are away; closing the process writes the settlement."""

    async def story(calls: AsyncCalls) -> None:
        call = await begun(calls)
        flaky.failing = gone(Settle)
        assert isinstance(await call.resume(ANSWER), Done)
        flaky.failing = lambda _op: None

    run(app, story)
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
    assert [row["outcome"] for row in select("SELECT outcome FROM outlay_decision")] == ["served"]


def test_no_call_begins_after_a_halt_has_returned(app: App, rich: None, select: Select) -> None:
    """Once `halt` is back, no call of any that are under way is let through any more."""
    sent_late = []

    async def story(calls: AsyncCalls) -> None:
        halted = asyncio.Event()

        async def caller() -> None:
            for _ in range(10):
                call = await calls.start(REQUEST)
                if call.sending is None:
                    return
                if halted.is_set():
                    sent_late.append(call.sending.decision_id)
                await call.resume(ANSWER)

        async def operator() -> None:
            await asyncio.sleep(0.03)
            await asyncio.to_thread(halt, app, reason="drill", actor="t")
            halted.set()

        await asyncio.gather(operator(), *(caller() for _ in range(8)))
        call = await calls.start(REQUEST)
        assert isinstance(call.result, Refused)
        assert call.result.code == "outlay_kill_switch"

    run(app, story)
    assert sent_late == []
    assert select("SELECT held FROM ledger_account") == [{"held": 0}]
