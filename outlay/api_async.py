"""
Outlay in process for an event loop: each method is that of `outlay.api.Outlay`, awaited.

The ledger is awaited without a thread; orders of an operator run on a thread, as they are rare.
"""

import asyncio
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from outlay import holds
from outlay.admin.quality import SOURCE
from outlay.aio import AsyncCalls
from outlay.api import decision, opened, passed, to_decide, to_hold, to_settle
from outlay.flow import preview
from outlay.hint_words import HintWords
from outlay.leases import Leases
from outlay.open_holds import Decision, HeldMoney
from outlay.orders import ACTOR, Answer, Orders
from outlay.wiring import App

if TYPE_CHECKING:
    from outlay.strategies.cascade import Cascade
    from outlay.strategies.runner_async import AsyncRunner
    from outlay.strategies.speculative import Speculative
    from outlay.strategies.steps import RunResult
    from outlay.strategies.workflow import Workflow, WorkflowResult


def open_async(
    url: str | None = None, *, policy: str | os.PathLike[str] | None = None, actor: str = ACTOR
) -> "Opening":
    """
    Open the books for one event loop: `async with outlay.open_async() as books`, or `await` it.
    """
    return Opening(partial(opened, url, policy, actor), actor)


class AsyncOutlay:
    """
    The books of a process within one event loop; each method is that of `Outlay`, awaited.
    """

    def __init__(self, app: App, *, actor: str = ACTOR) -> None:
        """
        Take over books that are open, for the running event loop; `close` closes them.
        """
        self.app = app
        self.calls = AsyncCalls(app)
        self._orders = Orders(app, actor)
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def __aenter__(self) -> "AsyncOutlay":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """
        Finish what callers left behind, write what waits and let go of the database.
        """
        if not self._closed:
            self._closed = True
            await self.calls.close()
            await asyncio.to_thread(self.app.close)

    def check_loop(self) -> None:
        """
        See that these books are open, and used in the event loop that they were opened in.

        Raises:
            BooksUnavailable: They were closed.
            RuntimeError: They are not; open books of their own in each loop.
        """
        self.app.check_open()
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("an AsyncOutlay belongs to the event loop that opened it; open one per loop")

    async def decide(
        self, tenant: str, request: Mapping[str, object], **hints: Unpack[HintWords]
    ) -> Decision:
        """
        Tell which model a call would get now, and whether there is money for it; nothing is held.
        """
        self.check_loop()
        order, tools = to_decide(tenant, request, hints), self.calls.engine.tools
        choice = passed(await self.calls.carry_out(preview(order, tools)))
        return await asyncio.to_thread(decision, self.app, order, choice, tools)

    async def hold(
        self,
        tenant: str,
        request: Mapping[str, object] | None = None,
        *,
        offers: Sequence[Mapping[str, object]] | None = None,
        ttl_s: int | None = None,
        idempotency_key: str | None = None,
        **hints: Unpack[HintWords],
    ) -> "AsyncHold":
        """
        Hold money for a call that you make yourself.
        """
        self.check_loop()
        order = to_hold(tenant, request, offers, ttl_s, idempotency_key, hints)
        answer = await self.calls.carry_out(holds.authorize(order, self.calls.engine.tools))
        return AsyncHold(self, tenant, passed(answer), self.calls.engine.leases if ttl_s is None else None)

    async def run(
        self,
        tenant: str,
        request: Mapping[str, object],
        *,
        strategy: "Cascade | Speculative",
        send: object,
        idempotency_key: str | None = None,
        **hints: Unpack[HintWords],
    ) -> "RunResult":
        """
        Have a question answered by a strategy.
        """
        from outlay.strategies.begin import steps_of, to_run
        from outlay.strategies.names import check_plan
        from outlay.strategies.speculative import Speculative, speculate
        from outlay.strategies.steps import Order, checked_body

        self.check_loop()
        order = to_run(tenant, request, hints, strategy, idempotency_key)
        runner = self._runner(send)
        if isinstance(strategy, Speculative):
            checked_body(request)
            await asyncio.to_thread(check_plan, self.app, order.tenant, strategy)
            return await speculate(strategy, Order(order), runner)
        steps = steps_of(strategy, order)
        await asyncio.to_thread(check_plan, self.app, order.tenant, strategy)
        return await runner.run(steps)  # type: ignore[no-any-return]

    async def run_workflow(
        self,
        tenant: str,
        workflow: "Workflow",
        *,
        send: object,
        idempotency_key: str | None = None,
        **hints: Unpack[HintWords],
    ) -> "WorkflowResult":
        """
        Carry out a workflow, step after step, within its own budget.
        """
        from outlay.strategies.begin import to_run
        from outlay.strategies.names import check_plan
        from outlay.strategies.workflow import workflow as steps

        self.check_loop()
        order = to_run(tenant, {}, hints, workflow, idempotency_key)
        await asyncio.to_thread(check_plan, self.app, order.tenant, workflow)
        return await self._runner(send).run(steps(workflow, order))  # type: ignore[no-any-return]

    def _runner(self, send: object) -> "AsyncRunner":
        from outlay.strategies.runner_async import AsyncRunner

        return AsyncRunner(self.app, self.calls, send, self._orders.actor)

    async def settle(
        self,
        tenant: str,
        hold_id: str,
        *,
        cost_usd: str | None = None,
        usage: object = None,
        model: str | None = None,
    ) -> Answer:
        """
        Book what a held call has cost.
        """
        self.check_loop()
        steps = holds.settle(tenant, hold_id, to_settle(cost_usd, usage, model), self.calls.engine.tools)
        return passed(await self.calls.carry_out(steps))

    async def release(self, tenant: str, hold_id: str, reason: str = "") -> Answer:
        """
        Give a hold back whole.
        """
        self.check_loop()
        steps = holds.release(tenant, hold_id, {"reason": reason}, self.calls.engine.tools)
        return passed(await self.calls.carry_out(steps))

    async def renew(self, tenant: str, hold_id: str, ttl_s: int) -> Answer:
        """
        Keep a hold open until `ttl_s` seconds from now.
        """
        self.check_loop()
        steps = holds.renew(tenant, hold_id, {"ttl_s": ttl_s}, self.calls.engine.tools)
        return passed(await self.calls.carry_out(steps))

    async def create_tenant(
        self,
        tenant: str,
        *,
        credit: str = "0",
        daily_budget: str | None = None,
        timezone: str | None = None,
        multiplier: str = "1",
    ) -> Answer:
        """
        Create a tenant.
        """
        return await asyncio.to_thread(
            self._orders.create_tenant, tenant, credit=credit, daily_budget=daily_budget, timezone=timezone,
            multiplier=multiplier,
        )  # fmt: skip

    async def top_up(
        self,
        tenant: str,
        amount: str,
        *,
        kind: str = "paid",
        expires: str | None = None,
        idempotency_key: str | None = None,
        reason: str = "",
    ) -> Answer:
        """
        Add credit.
        """
        return await asyncio.to_thread(
            self._orders.top_up, tenant, amount, kind=kind, expires=expires, idempotency_key=idempotency_key,
            reason=reason,
        )  # fmt: skip

    async def set_budget(
        self,
        tenant: str,
        limit: str,
        *,
        window: str = "day",
        scope: str = "tenant",
        until: str | None = None,
        counts: str | None = None,
        reason: str = "",
        idempotency_key: str | None = None,
    ) -> Answer:
        """
        Set the limit of a budget.
        """
        return await asyncio.to_thread(
            self._orders.set_budget, tenant, limit, window=window, scope=scope, until=until, counts=counts,
            reason=reason, idempotency_key=idempotency_key,
        )  # fmt: skip

    async def balance(self, tenant: str) -> Answer:
        """
        Return credit, what is held of it, debt and budgets.
        """
        return await asyncio.to_thread(self._orders.balance, tenant)

    async def statement(
        self, tenant: str, *, since: str | None = None, until: str | None = None, limit: int | None = None
    ) -> Answer:
        """
        Return the transfers of a period, oldest first.
        """
        return await asyncio.to_thread(self._orders.statement, tenant, since=since, until=until, limit=limit)

    async def explain(self, decision_id: str) -> Answer:
        """
        Return a decision as stored, with its hold and settlement.
        """
        return await asyncio.to_thread(self._orders.explain, decision_id)

    async def score(
        self,
        decision_id: str,
        value: float | bool | str,
        *,
        source: str = SOURCE,
        weight: float = 1.0,
        comment: str = "",
        model: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """
        Say how good the answer of a decision was.
        """
        return await asyncio.to_thread(
            self._orders.score, decision_id, value, source=source, weight=weight, comment=comment,
            model=model, idempotency_key=idempotency_key,
        )  # fmt: skip

    async def calibration(self, tenant: str | None = None) -> Answer:
        """
        Return what scores prove of each task class.
        """
        return await asyncio.to_thread(self._orders.calibration, tenant)

    async def halt(self, *, reason: str, tenant: str | None = None) -> Answer:
        """
        Stop spending, of everybody or of one tenant.
        """
        return await asyncio.to_thread(self._orders.halt, reason=reason, tenant=tenant)

    async def resume(self, *, reason: str, tenant: str | None = None) -> Answer:
        """
        Let spending go on.
        """
        return await asyncio.to_thread(self._orders.resume, reason=reason, tenant=tenant)


class AsyncHold(HeldMoney):
    """
    A hold to be closed by `settle` or `release`; see `Hold`.
    """

    def __init__(self, books: AsyncOutlay, tenant: str, answer: Answer, leases: Leases | None = None) -> None:
        super().__init__(tenant, answer, leases)
        self._books = books

    async def settle(
        self, *, cost_usd: str | None = None, usage: object = None, model: str | None = None
    ) -> Answer:
        """
        Book what the call has cost, see `Outlay.settle`; `model` is this hold's unless told.
        """
        named = self.model if model is None and usage is not None else model
        answer = await self._books.settle(self.tenant, self.id, cost_usd=cost_usd, usage=usage, model=named)
        self._ended()
        return answer

    async def release(self, reason: str = "") -> Answer:
        """
        Give it back, as the provider was not called or bills nothing.
        """
        answer = await self._books.release(self.tenant, self.id, reason)
        self._ended()
        return answer

    async def renew(self, ttl_s: int) -> Answer:
        """
        Keep it open until `ttl_s` seconds from now.
        """
        answer = await self._books.renew(self.tenant, self.id, ttl_s)
        self.expires_at = answer["expires_at"]
        return answer

    async def __aenter__(self) -> "AsyncHold":
        self._entered()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left()


class Opening:
    """
    Books about to be opened, off the event loop; await it, or enter it to have them closed at the end.
    """

    def __init__(self, opened: Callable[[], App], actor: str) -> None:
        self._opened = opened
        self._actor = actor
        self._books: AsyncOutlay | None = None

    def __await__(self) -> Generator[Any, Any, AsyncOutlay]:
        return self._open().__await__()

    async def _open(self) -> AsyncOutlay:
        return AsyncOutlay(await asyncio.to_thread(self._opened), actor=self._actor)

    async def __aenter__(self) -> AsyncOutlay:
        self._books = await self._open()
        return self._books

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._books is not None:
            await self._books.close()
