"""
Group commit: operations that wait together are carried out in one transaction, answered after its COMMIT.

One writer thread per ledger takes what waits, without any delay of its own: the commit in progress is the
window in which the next batch gathers. A lone operation is a batch of one on its caller's thread. Whoever
holds the commit lock uses the one connection. A failure never becomes a wrong answer: the batch is run again
by its keys, split until the poisoned operation stands alone, or answered as unknown.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from sqlalchemy import Engine

from ledger.books import Books
from ledger.clocks import ClockCheck
from ledger.drivers import Driver, Trouble, Unanswered, trouble
from ledger.errors import LedgerClosed, LedgerError, OperationFailed, OutcomeUnknown, StoreUnavailable
from ledger.outcome import Outcome
from ledger.own_driver import connect, rest_at_forks
from ledger.results import unrepeated
from ledger.rules import apply, check_books
from ledger.store_sql import SqlStore
from ledger.tickets import Item, Ticket
from ledger.types import (
    Attachment,
    Held,
    HoldEvent,
    Operation,
    Reason,
    Refused,
    Release,
    Reserve,
    Result,
    Tap,
)

__all__ = ["Committer", "Item", "Ticket", "Writer"]

BATCH_MAX: Final = 256
PATIENCE_S: Final = 15.0
_PAUSE_MIN_S: Final = 0.002
_PAUSE_MAX_S: Final = 0.5
_HOPELESS: Final = (Trouble.READ_ONLY, Trouble.MOVED, Trouble.FULL)


class _Failed(Exception):  # noqa: N818 - carries the meaning of an error out of one attempt
    """
    One attempt at a batch failed.
    """

    def __init__(self, kind: Trouble) -> None:
        super().__init__(kind)
        self.kind = kind


class Committer:
    """
    Carries batches out on the one connection; used by one thread at a time.
    """

    def __init__(
        self,
        engine: Engine,
        tap: Tap | None,
        patience_s: float = PATIENCE_S,
        *,
        check: ClockCheck | None = None,
    ) -> None:
        self._engine = engine
        self._check = check
        self._tap = tap
        self._patience_s = patience_s
        self._store = SqlStore(engine)
        self._driver: Driver | None = None

    def run(self, items: Sequence[Item]) -> None:
        """
        Carry a batch out; afterwards every item has a result or an error. Raises nothing.
        """
        deadline = time.monotonic() + self._patience_s
        pause_s, raced = _PAUSE_MIN_S, False
        while True:
            try:
                self._attempt(items)
                return
            except _Failed as failed:
                self._leave(failed)
                if failed.kind is Trouble.POISON or (failed.kind is Trouble.INTEGRITY and raced):
                    self._split(items, failed)
                    return
                raced = raced or failed.kind is Trouble.INTEGRITY
                if failed.kind in _HOPELESS or time.monotonic() + pause_s > deadline:
                    _give_up(items, failed)
                    return
                time.sleep(pause_s)
                pause_s = min(_PAUSE_MAX_S, pause_s * 2)
            except BaseException:  # an interrupt in mid-transaction: nothing of it may be committed later
                self.disconnect()
                raise

    def _attempt(self, items: Sequence[Item]) -> None:
        """
        Run the batch in one transaction.
        """
        outcomes: list[Outcome] = []
        try:
            driver = self._connected()
            items = self._timely(driver, items)
            if not items:
                return
            committed = False
            while not committed:
                books = self._store.load(driver, [item.op for item in items])
                try:
                    outcomes = _decided(items, books)
                except Exception:
                    if not self._store.doubt():
                        raise
                    continue  # it may only seem impossible: what was kept is old
                attached = self._attachments(items, outcomes, books)
                committed = self._store.commit(driver, list(books.values()), attached)
        except Unanswered as error:
            for item, outcome in zip(items, outcomes, strict=True):
                item.ambiguous = item.ambiguous or outcome.applied
            raise _Failed(trouble(error)) from error.__cause__
        except Exception as error:
            raise _Failed(trouble(error)) from error
        for item, outcome in zip(items, outcomes, strict=True):
            ours = item.ambiguous and _is_of(item.op, outcome.result)
            item.applied = outcome.applied or ours
            item.result = unrepeated(outcome.result) if ours else outcome.result
            item.error = None
        self._keep(books)

    def _keep(self, books: dict[str, Books]) -> None:
        """
        Keep what was committed, for the next batch; a failure of that takes nothing from the answers.
        """
        try:
            self._store.keep(books.values())
        except Exception:  # noqa: BLE001 - whatever it is, the next batch reads everything
            self._store.forget()

    def _timely(self, driver: Driver, items: Sequence[Item]) -> Sequence[Item]:
        """
        Leave out what would be carried out too early: it has its error.
        """
        if self._check is None:
            return items
        return self._check.timely(items, lambda text: int(driver.select([(text, ())])[0][0][0]))

    def _connected(self) -> Driver:
        if self._driver is None:
            self._driver = connect(self._engine)
        return self._driver

    def _attachments(
        self, items: Sequence[Item], outcomes: Sequence[Outcome], books: dict[str, Books]
    ) -> list[Attachment]:
        """
        Return the rows of other packages that belong to this transaction.
        """
        pairs = zip(items, outcomes, strict=True)
        attached = [row for item, outcome in pairs if outcome.applied for row in item.attach]
        events: list[HoldEvent] = [event for one in books.values() for event in one.changes.events]
        if self._tap is not None and events:
            attached.extend(self._tap(events))
        return attached

    def _leave(self, failed: _Failed) -> None:
        """
        Leave the transaction; a connection that cannot do that is dropped.
        """
        self._store.forget()
        if failed.kind in (Trouble.LOST, *_HOPELESS) or not self._recovered():
            self.disconnect()

    def _recovered(self) -> bool:
        if self._driver is None:
            return False
        try:
            return self._driver.recover()
        except Exception:  # noqa: BLE001 - whatever it is, the connection is not used again
            return False

    def _split(self, items: Sequence[Item], failed: _Failed) -> None:
        """
        Run both halves apart, until the operation that fails stands alone.
        """
        if len(items) == 1:
            (item,) = items
            why = f"{type(item.op).__name__} failed: {failed.__cause__!r}"
            _fail(item, OutcomeUnknown(why) if item.ambiguous else OperationFailed(why), failed)
            return
        middle = len(items) // 2
        self.run(items[:middle])
        self.run(items[middle:])

    def disconnect(self) -> None:
        """
        Drop the connection; the next batch opens another.
        """
        self._store.forget()
        driver, self._driver = self._driver, None
        if driver is not None:
            try:
                driver.close()
            except Exception:  # noqa: BLE001 - it is broken or in use; either way it is dropped
                return


def _decided(items: Sequence[Item], books: dict[str, Books]) -> list[Outcome]:
    """
    Carry the operations out on the books, and check these.
    """
    outcomes = [apply(books[item.op.tenant], item.op) for item in items]
    for one in books.values():
        check_books(one)
    return outcomes


def _is_of(op: Operation, result: Result) -> bool:
    """
    Tell whether an answer that a key has may be that of this operation: a hold of another id was made under
    the key before, by whoever used it first.
    """
    return not isinstance(op, Reserve) or not isinstance(result, Held) or result.hold_id == op.hold_id


def _fail(item: Item, error: LedgerError, failed: _Failed) -> None:
    error.__cause__ = failed.__cause__
    item.error = error


def _give_up(items: Sequence[Item], failed: _Failed) -> None:
    """
    Answer after the last attempt: unknown where a COMMIT went unanswered, else not written.
    """
    for item in items:
        if item.ambiguous:
            text = "the connection was lost around COMMIT; ask again with the same key"
            _fail(item, OutcomeUnknown(text), failed)
        else:
            _fail(item, StoreUnavailable(f"the database cannot be used: {failed.__cause__}"), failed)


class Writer:
    """
    The bounded queue and the thread that empties it.
    """

    def __init__(
        self, engine: Engine, tap: Tap | None, queue_max: int, *, check: ClockCheck | None = None
    ) -> None:
        self._committer = Committer(engine, tap, check=check)
        self._queue_max = queue_max
        self._queue: deque[Item] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._commit = threading.Lock()
        rest_at_forks(engine, self._committer, self._commit)
        self._idle = False
        self._closing = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._loop, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, op: Operation, attach: Sequence[Attachment]) -> Future[Result]:
        """
        Queue an operation; a full queue answers at once.
        """
        self._check_open()  # before a lock that nobody unlocks in a fork
        item = Item(op, attach)
        ticket = item.ticket = Ticket(item, self._release_abandoned)
        if not self._put(item):
            ticket.set_result(self._full())
        return ticket

    def _put(self, item: Item) -> bool:
        """
        Queue an item; False where the queue is full.
        """
        with self._wake:
            self._check_open()
            if len(self._queue) >= self._queue_max:
                return False
            self._queue.append(item)
            if self._idle:
                self._idle = False
                self._wake.notify()
        return True

    def _full(self) -> Refused:
        return Refused(Reason.QUEUE_FULL, {"queue_max": self._queue_max})

    def do(self, op: Operation, attach: Sequence[Attachment]) -> Result:
        """
        Carry an operation out: on this thread when nobody else is at work, else through the queue.
        """
        self._check_open()
        if not self._queue and self._commit.acquire(blocking=False):
            try:
                self._check_open()
                item = Item(op, attach)
                self._committer.run((item,))
                return item.answer()
            finally:
                self._commit.release()
        item = Item(op, attach, asleep=threading.Lock())
        assert item.asleep is not None
        item.asleep.acquire()
        if not self._put(item):
            return self._full()
        try:
            item.asleep.acquire()
        except BaseException:  # an interrupt: nobody waits for the answer any more
            self._abandon(item)
            raise
        return item.answer()

    def _check_open(self) -> None:
        if self._closing:
            raise LedgerClosed("the ledger is closed")
        if os.getpid() != self._pid:
            raise LedgerClosed("this process is a fork of the one that opened the ledger: open another")

    def _loop(self) -> None:
        while self._wait_for_work():
            with self._commit:
                batch = self._take()
                if batch:
                    self._committer.run(batch)
            for item in batch:
                item.finish()
                if item.abandoned:
                    self._release_abandoned(item)

    def _wait_for_work(self) -> bool:
        """
        Wait until something is queued; False once the ledger is closed and drained.
        """
        with self._wake:
            while not self._queue and not self._closing:
                self._idle = True
                self._wake.wait()
            self._idle = False
            return bool(self._queue)

    def _take(self) -> list[Item]:
        """
        Take what waits, leaving out what was cancelled in time.
        """
        with self._wake:
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
        return [item for item in taken if item.ticket is None or item.ticket.set_running_or_notify_cancel()]

    def _abandon(self, item: Item) -> None:
        """
        Note that nobody waits for an item; it is taken out of the queue, or its hold is given back.
        """
        with self._wake:
            if item in self._queue:
                self._queue.remove(item)
                return
        item.abandoned = True
        if item.result is not None:
            self._release_abandoned(item)

    def _release_abandoned(self, item: Item) -> None:
        """
        Give back a hold whose caller gave up while it was being written: nobody else would.
        """
        op, result = item.op, item.result
        if not isinstance(op, Reserve) or not isinstance(result, Held) or not item.applied:
            return
        gone = Release(op.tenant, f"abandoned:{op.key}", result.opened_us, result.hold_id, "caller gave up")
        with self._wake:
            if not self._closing or threading.current_thread() is self._thread:
                self._queue.append(Item(gone, ()))
                self._wake.notify()

    def close(self) -> None:
        """
        Take nothing new, carry out what waits, then close the connection.
        """
        if os.getpid() != self._pid:
            return
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        with self._commit:
            self._committer.disconnect()
