"""
The writer: answers after COMMIT, failures, attachments, cancellation, shutdown.
"""

import dataclasses
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Column, Engine, MetaData, Table, Text, select, text

from ledger import Ledger, LedgerClosed, OperationFailed, OutcomeUnknown, StoreUnavailable, reading, writer
from ledger.drivers import Driver, committing
from ledger.own_driver import connect
from ledger.reads import balance, hold, open_holds
from ledger.types import (
    Attachment,
    Held,
    HoldEvent,
    Note,
    Noted,
    Offer,
    OpenAccount,
    Operation,
    Reason,
    Refund,
    Refunded,
    Refused,
    Reserve,
    Settle,
    Settled,
    ToppedUp,
    TopUp,
    hold_key,
    settle_key,
)
from ledger.verify import verify

NOW_US = 1_763_700_000 * 1_000_000
extra = MetaData()
notes = Table(
    "note", extra, Column("id", Text, primary_key=True), Column("n", BigInteger), Column("yes", Boolean)
)
sums = Table("sums", extra, Column("id", Text, primary_key=True), Column("total", BigInteger, nullable=False))


@pytest.fixture
def more_tables(engine: Engine) -> None:
    """Tables of another package."""
    with engine.begin() as connection:
        extra.create_all(connection)


def opened(ledger: Ledger, tenant: str = "acme", credit: int = 10_000, limit: int | None = None) -> None:
    """Open a tenant."""
    ledger.do(OpenAccount(tenant, f"open-{tenant}", NOW_US, "UTC", credit, limit))


def reserve(name: str, cost: int = 100, tenant: str = "acme") -> Reserve:
    """Return a reservation."""
    return Reserve(tenant, f"r-{name}", NOW_US, f"h-{name}", (Offer(cost, cost // 2, "{}"),))


def count(engine: Engine, table: str) -> int:
    """Count rows."""
    with reading(engine) as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


class Faulty:
    """A driver that fails where it is told to."""

    def __init__(self, inner: Driver, faults: dict[str, list[Exception | None]]) -> None:
        self._inner = inner
        self._faults = faults

    def _fail(self, place: str) -> None:
        planned = self._faults.get(place)
        error = planned.pop(0) if planned else None
        if error is not None:
            raise error

    def begin_and_select(self, queries: Sequence[Any]) -> Any:
        """Fail before BEGIN or after the lock."""
        self._fail("before_begin")
        rows = self._inner.begin_and_select(queries)
        self._fail("after_lock")
        return rows

    def commit(self, writes: Sequence[Any]) -> None:
        """Fail amid the writes, before COMMIT, or after it, before its answer."""
        with committing():
            self._fail("amid_writes")
            self._fail("before_commit")
            self._inner.commit(writes)
            self._fail("after_commit")

    def transact(self, first: Any, tests: Sequence[Any], rest: Sequence[Any]) -> Any:
        """Fail at any place of a whole transaction."""
        with committing():
            for place in PLACES[:-1]:
                self._fail(place)
            found = self._inner.transact(first, tests, rest)
            self._fail(PLACES[-1])
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Exception | None]]:
    """Errors to raise, by place; every connection made from now on obeys."""
    planned: dict[str, list[Exception | None]] = {}
    monkeypatch.setattr(writer, "connect", lambda engine: Faulty(connect(engine), planned))
    return planned


PLACES = ("before_begin", "after_lock", "amid_writes", "before_commit", "after_commit")


@pytest.mark.parametrize("place", PLACES)
def test_lost_connection_is_ridden_out(
    faults: dict[str, list[Exception | None]], engine: Engine, open_ledger: Callable[..., Ledger], place: str
) -> None:
    """
    A connection lost anywhere around a commit costs neither an operation nor a second effect.
    """
    ledger = open_ledger()
    opened(ledger)
    faults[place] = [ConnectionResetError("gone"), ConnectionResetError("gone again")]
    held = ledger.do(reserve("a"))
    assert isinstance(held, Held)
    assert not held.replayed
    faults[place] = [ConnectionResetError("gone")]
    topped = ledger.do(TopUp("acme", "t1", NOW_US, 500))
    assert topped == ToppedUp("acme-2", 10_500)
    for key, name in (("s1", "a"), (settle_key("h-b"), "b")):
        ledger.do(reserve(name))
        faults[place] = [ConnectionResetError("gone")]
        settled = ledger.do(Settle("acme", key, NOW_US, f"h-{name}", 70))
        assert isinstance(settled, Settled)
        assert not settled.replayed
    faults[place] = [ConnectionResetError("gone")]
    assert ledger.do(Refund("acme", "back", NOW_US, "h-a", 30)) == Refunded("acme-5", 30, 10_390)
    assert count(engine, "ledger_transfer") == 5
    with reading(engine) as connection:
        assert verify(connection).ok


@pytest.mark.parametrize(
    ("place", "error"), [("before_commit", OutcomeUnknown), ("after_lock", StoreUnavailable)]
)
def test_lost_for_good_is_unknown_only_around_commit(
    monkeypatch: pytest.MonkeyPatch, faults: dict[str, list[Exception | None]],
    open_ledger: Callable[..., Ledger], place: str, error: type[Exception],
) -> None:  # fmt: skip
    """
    If the database stays away, the answer is "unknown" where a COMMIT was sent, else "not written".
    """
    ledger = open_ledger()
    opened(ledger)
    monkeypatch.setattr(ledger._writer._committer, "_patience_s", 0.05)
    faults[place] = [ConnectionResetError("gone")]
    faults["before_begin"] = [None, *[ConnectionRefusedError("down")] * 50]
    with pytest.raises(error):
        ledger.do(reserve("a"))
    faults.clear()
    assert isinstance(ledger.do(reserve("a")), Held)


@pytest.mark.parametrize("place", PLACES[:-1])
@pytest.mark.parametrize("closed", [False, True])
def test_a_used_key_stays_used_when_a_connection_is_lost(
    faults: dict[str, list[Exception | None]], open_ledger: Callable[..., Ledger], place: str, closed: bool
) -> None:
    """
    Whoever repeats a key is told so, also where the first look at it was lost with its connection: the answer
    that the key has then is that of another hold.
    """
    ledger = open_ledger()
    opened(ledger)
    ledger.do(reserve("a"))
    if closed:
        ledger.do(Settle("acme", "s1", NOW_US, "h-a", 70))
    ledger.do(reserve("b"))
    faults[place] = [ConnectionResetError("gone")]
    again = ledger.do(dataclasses.replace(reserve("a"), hold_id="another"))
    assert isinstance(again, Held)
    assert (again.hold_id, again.replayed) == ("h-a", True)
    settled = ledger.do(Settle("acme", "s1", NOW_US, "h-a", 70))
    assert isinstance(settled, Settled)


def test_a_database_that_takes_no_writes_fails_at_once(engine: Engine, ledger: Ledger) -> None:
    """
    Read-only, the answer is "not written" without the patience that a lost connection gets; once the database
    takes writes again, so does the ledger.
    """
    opened(ledger)
    driver = ledger._writer._committer._driver
    assert driver is not None
    lite = engine.dialect.name == "sqlite"
    driver._connection.execute(  # type: ignore[attr-defined]  # both drivers have one
        "PRAGMA query_only = ON" if lite else "SET default_transaction_read_only = on"
    )
    started = time.monotonic()
    futures = [ledger.submit(reserve(f"{n}")) for n in range(20)]
    assert isinstance(futures[0].exception(30), StoreUnavailable)
    assert time.monotonic() - started < 2
    wait(futures, 30)
    assert isinstance(ledger.do(reserve("again")), Held)


def test_poisoned_operation_fails_alone(engine: Engine, ledger: Ledger, more_tables: None) -> None:
    """
    One operation that the database rejects fails; the others of its batch are carried out.
    """
    opened(ledger)
    ledger.do(Note("acme", "n0", NOW_US), [Attachment(notes, {"id": "taken", "n": 1, "yes": True})])
    futures = [
        ledger.submit(reserve(f"p{place}"), [Attachment(notes, {"id": name, "n": 2, "yes": False})])
        for place, name in enumerate(("a", "b", "taken", "c", "d"))
    ]
    failed = [future.exception(30) for future in futures]
    assert [type(error) for error in failed] == [
        type(None),
        type(None),
        OperationFailed,
        type(None),
        type(None),
    ]
    assert count(engine, "note") == 5
    assert count(engine, "ledger_hold") == 4
    with reading(engine) as connection:
        assert verify(connection).ok


@pytest.mark.parametrize("others", [0, 1, 2])
def test_a_row_without_what_no_row_lacks_fails(
    engine: Engine, ledger: Ledger, more_tables: None, others: int
) -> None:
    """
    It is never left out in silence, as a row that only fills a statement up, with others or alone.
    """
    opened(ledger)
    rows = [Attachment(notes, {"id": f"{n}", "n": n, "yes": True}) for n in range(others)]
    with pytest.raises(OperationFailed):
        ledger.do(reserve("bad"), [*rows, Attachment(notes, {"id": None, "n": 7, "yes": True})])
    assert isinstance(ledger.do(reserve("good"), rows), Held)
    assert count(engine, "note") == others
    assert count(engine, "ledger_hold") == 1


def test_attachments_share_the_fate_of_their_operation(
    engine: Engine, ledger: Ledger, more_tables: None
) -> None:
    """
    Rows of other packages are written with an applied operation, not with a refusal, and once.
    """
    opened(ledger)
    row = Attachment(notes, {"id": "a", "n": 7, "yes": True})
    add = Attachment(sums, {"id": "s", "total": 5}, add=("total",))
    keep = Attachment(notes, {"id": "a", "n": 99, "yes": False}, ignore=True)
    refused = ledger.do(reserve("big", 10**9), [Attachment(notes, {"id": "x", "n": 1, "yes": True})])
    assert isinstance(refused, Refused)
    for _ in range(2):
        ledger.do(reserve("a"), [row, add, add])
    ledger.do(reserve("b"), [keep, add])
    assert ledger.do(Note("nobody", "n1", NOW_US), [add]) == Noted()
    assert ledger.do(Note("nobody", "n1", NOW_US), [add]) == Noted(replayed=True)
    with reading(engine) as connection:
        assert connection.execute(select(notes)).all() == [("a", 7, True)]
        assert connection.execute(select(sums.c.total)).scalar_one() == 20


def test_tap_sees_every_hold_event_once(
    engine: Engine, open_ledger: Callable[..., Ledger], more_tables: None
) -> None:
    """
    Exposure added up from the tap's events equals held plus charged, and its rows commit with them.
    """

    def tap(events: Sequence[HoldEvent]) -> list[Attachment]:
        return [Attachment(sums, {"id": e.tenant, "total": e.delta_nanos}, add=("total",)) for e in events]

    ledger = open_ledger(tap=tap)
    opened(ledger)
    ops: list[Operation] = [reserve(f"{n}", 100 + n) for n in range(20)]
    ops_after: list[Operation] = [Settle("acme", f"s{n}", NOW_US, f"h-{n}", 90) for n in range(10)]
    for future in [ledger.submit(op) for op in [*ops, *ops_after]]:
        future.result(30)
    with reading(engine) as connection:
        total = connection.execute(select(sums.c.total)).scalar_one()
        shown = balance(connection, "acme", NOW_US)
    assert shown is not None
    assert shown.day is not None
    assert total == shown.account.held_nanos + shown.day.spent_nanos == 900 + sum(range(110, 120))


def test_full_queue_refuses_at_once(open_ledger: Callable[..., Ledger]) -> None:
    """
    Beyond its bound the queue answers busy without waiting, and everything accepted is still answered.
    """
    ledger = open_ledger(queue_max=5)
    opened(ledger)
    with ledger._writer._commit:  # the commit in progress does not end
        futures = [ledger.submit(reserve(f"{n}", 1)) for n in range(5)]
        refused = ledger.submit(reserve("late", 1)).result(0)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.QUEUE_FULL
    assert refused.busy
    assert all(isinstance(future.result(30), Held) for future in futures)


def test_an_abandoned_hold_under_its_own_key_is_given_back(
    engine: Engine, open_ledger: Callable[..., Ledger]
) -> None:
    """
    As every call of the product without a caller's key: giving back has a key of its own.
    """
    ledger = open_ledger()
    opened(ledger)
    late = ledger.submit(Reserve("acme", hold_key("late"), NOW_US, "late", (Offer(100, 50),)))
    wait([late], 30)
    late.cancel()
    ledger.do(TopUp("acme", "after", NOW_US, 1))
    ledger.close()
    with reading(engine) as connection:
        given_back = hold(connection, "late")
    assert given_back is not None
    assert given_back.state == "released"


def test_cancelled_caller_leaves_no_hold(engine: Engine, open_ledger: Callable[..., Ledger]) -> None:
    """
    Cancelled while it waits: not carried out. Cancelled while it is written, or before its answer was taken:
    given back. Cancelled after that: the caller has it.
    """
    ledger = open_ledger()
    opened(ledger)
    with ledger._writer._commit:
        waiting = ledger.submit(reserve("waiting"))
        assert waiting.cancel()
    late = ledger.submit(reserve("late"))
    wait([late], 30)
    late.cancel()
    taken = ledger.submit(reserve("taken"))
    taken.result(30)
    taken.cancel()
    ledger.do(TopUp("acme", "after", NOW_US, 1))
    ledger.close()
    with reading(engine) as connection:
        assert hold(connection, "h-waiting") is None
        given_back = hold(connection, "h-late")
        assert given_back is not None
        assert given_back.state == "released"
        assert [one.id for one in open_holds(connection, "acme")] == ["h-taken"]


def interrupt_after(seconds: float) -> None:
    """Send this process a Ctrl-C from another thread."""
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_interrupted_caller_leaves_no_hold(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, open_ledger: Callable[..., Ledger]
) -> None:
    """
    A Ctrl-C while a blocked caller waits in the queue: not carried out. While it is written: given back.
    """
    ledger = open_ledger()
    opened(ledger)
    writer_, run = ledger._writer, ledger._writer._committer.run

    def slowly(items: Sequence[Any]) -> None:
        run(items)
        time.sleep(0.6)

    with writer_._commit:
        interrupt_after(0.2)
        with pytest.raises(KeyboardInterrupt):
            ledger.do(reserve("waiting"))
    monkeypatch.setattr(writer_._committer, "run", slowly)
    writer_._commit.acquire()
    threading.Timer(0.1, writer_._commit.release).start()
    interrupt_after(0.4)
    with pytest.raises(KeyboardInterrupt):
        ledger.do(reserve("written"))
    ledger.close()
    with reading(engine) as connection:
        assert hold(connection, "h-waiting") is None
        given_back = hold(connection, "h-written")
    assert given_back is not None
    assert given_back.state == "released"


def test_a_blocked_caller_is_refused_by_a_full_queue(open_ledger: Callable[..., Ledger]) -> None:
    """
    `do` answers busy at once too, and the refused operation can be sent again.
    """
    ledger = open_ledger(queue_max=1)
    opened(ledger)
    with ledger._writer._commit:
        first = ledger.submit(reserve("first"))
        refused = ledger.do(reserve("second"))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.QUEUE_FULL
    assert isinstance(first.result(30), Held)
    assert isinstance(ledger.do(reserve("second")), Held)


def test_close_drains_and_then_refuses_work(engine: Engine, open_ledger: Callable[..., Ledger]) -> None:
    """
    What was accepted before `close` is committed; afterwards nothing is accepted.
    """
    ledger = open_ledger()
    opened(ledger)
    futures = [ledger.submit(reserve(f"{n}", 1)) for n in range(300)]
    ledger.close()
    assert all(isinstance(future.result(0), Held) for future in futures)
    assert count(engine, "ledger_hold") == 300
    for ask in (ledger.do, ledger.submit):
        with pytest.raises(LedgerClosed):
            ask(reserve("late"))


def test_interrupt_in_mid_transaction_commits_nothing(
    faults: dict[str, list[Any]], engine: Engine, open_ledger: Callable[..., Ledger]
) -> None:
    """
    A Ctrl-C in the middle of a commit on the caller's thread leaves no half transaction for the next one.
    """
    ledger = open_ledger()
    opened(ledger)
    faults["amid_writes"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        ledger.do(TopUp("acme", "t1", NOW_US, 500))
    assert ledger.do(TopUp("acme", "t2", NOW_US, 7)) == ToppedUp("acme-2", 10_007)
    with reading(engine) as connection:
        assert verify(connection).ok


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_cannot_use_its_parents_ledger(ledger: Ledger) -> None:
    """
    A forked child is told to open its own ledger instead of sharing a connection.
    """
    opened(ledger)
    child = os.fork()
    if child == 0:
        try:
            ledger.do(reserve("child"))
        except LedgerClosed:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert isinstance(ledger.do(reserve("parent")), Held)


def test_threads_race_for_exactly_k(engine: Engine, open_ledger: Callable[..., Ledger]) -> None:
    """
    Many threads on two ledgers: exactly as many holds as the credit bears, all others told busy.
    """
    ledgers = [open_ledger(), open_ledger()]
    opened(ledgers[0], credit=37 * 100 + 99)
    answers: list[Any] = []

    def work(one: Ledger, name: int) -> None:
        answers.extend(one.do(reserve(f"{name}-{n}")) for n in range(10))

    threads = [threading.Thread(target=work, args=(ledgers[n % 2], n)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 160
    assert sum(isinstance(answer, Held) for answer in answers) == 37
    reasons = {answer.reason for answer in answers if isinstance(answer, Refused)}
    assert reasons == {Reason.CREDIT_BUSY}
    with reading(engine) as connection:
        assert verify(connection).ok


def test_an_answered_ticket_is_freed_at_once(engine: Engine) -> None:
    """
    Neither the caller's ticket nor the operation behind it waits for the garbage collector.
    """
    with Ledger(engine) as ledger:
        opened(ledger)
        ticket = ledger.submit(reserve("a"))
        assert isinstance(ticket.result(), Held)
        left = weakref.ref(ticket)
        gc.disable()
        try:
            del ticket
            ledger.submit(reserve("b")).result()  # the writer's own hands are full of something else
            deadline = time.monotonic() + 30
            while left() is not None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert left() is None
        finally:
            gc.enable()
