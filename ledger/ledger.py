"""
The public ledger over a database: thread-safe, idempotent by key, answered only after COMMIT.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType

from sqlalchemy import Engine, select, union

from ledger.clocks import ClockCheck
from ledger.connect import reading
from ledger.tables import UNSPENT, grant_lot, hold
from ledger.types import Attachment, Operation, Result, Sweep, Swept, Tap
from ledger.writer import Writer


class Ledger:
    """
    Credit accounts, holds and budgets in one database.

    Args:
        engine: From `make_engine`; the writer opens one connection of its own.
        owner: Names this process in its holds.
        tap: Pure function, called once per batch with what happened to holds; its rows are written in the
            same transaction.
        queue_max: Operations that may wait; one more is refused as `queue_full`.
        check: Refuses what a clock that runs ahead would do; None where time is made up.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        owner: str = "",
        tap: Tap | None = None,
        queue_max: int = 10_000,
        check: ClockCheck | None = None,
    ) -> None:
        self.engine = engine
        self.owner = owner
        self._check = check
        self._writer = Writer(engine, tap, queue_max, check=check)

    def submit(self, op: Operation, attach: Sequence[Attachment] = ()) -> Future[Result]:
        """
        Queue an operation; the future resolves only after COMMIT.

        Raises:
            LedgerClosed: after `close`, or in a fork of the process that opened the ledger.
        """
        return self._writer.submit(op, attach)

    def do(self, op: Operation, attach: Sequence[Attachment] = ()) -> Result:
        """
        Carry out one operation and return its answer.

        Raises:
            StoreUnavailable: nothing was written; `ClockAhead` where the clock is the reason.
            OutcomeUnknown: the connection was lost around COMMIT; ask again with the same key.
            OperationFailed: the database or an invariant rejected this operation.
        """
        return self._writer.do(op, attach)

    def sweep(self, now_us: int) -> int:
        """
        Capture the expired holds and forfeit the expired lots of all tenants; returns the number of holds.

        Correctness does not depend on it: the same happens before every operation of the tenant.

        Raises:
            ClockAhead: see `check_clock`.
        """
        self.check_clock(now_us)
        due_holds = select(hold.c.tenant).where(hold.c.state == 0, hold.c.expires_at <= now_us)
        due_lots = select(grant_lot.c.tenant).where(UNSPENT, grant_lot.c.expires_at <= now_us)
        with reading(self.engine) as connection:
            tenants = connection.execute(union(due_holds, due_lots)).scalars().all()
        waiting = [self.submit(Sweep(tenant, f"sweep:{now_us}", now_us)) for tenant in sorted(tenants)]
        results = [future.result() for future in waiting]
        return sum(len(result.holds) for result in results if isinstance(result, Swept))

    def check_clock(self, now_us: int) -> None:
        """
        See that an instant is not ahead of the database's clock, as each operation is seen to; mostly without
        asking the database.

        Raises:
            ClockAhead: It is; nothing may be decided by this clock.
        """
        if self._check is not None and self._check.leaps(now_us, self._ask):
            raise self._check.error(now_us)

    def _ask(self, text: str) -> int:
        with self.engine.connect() as connection:
            return int(connection.exec_driver_sql(text).scalar_one())

    def close(self) -> None:
        """
        Take nothing new, carry out what waits, close the connection.
        """
        self._writer.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
