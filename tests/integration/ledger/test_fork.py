"""
A fork of a process that has a database open: connections stay with the process that made them, and a child
has whole books of its own whatever its parent was doing.
"""

import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from ledger import Ledger, StoreUnavailable, make_engine, reading, sqlite_fork
from ledger.drivers import own_connection
from ledger.errors import LedgerClosed
from ledger.types import Held, Offer, OpenAccount, Reserve, Settle, Settled, ToppedUp, TopUp, settle_key
from ledger.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
NOW_US = 1_763_700_000 * 1_000_000
WORKED = 7
LIMIT_S = 20
FORKS = 8


def exit_code(child: int) -> int:
    """Wait for a child."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forked(work: Callable[[], object]) -> int:
    """Do something in a child, which is killed if it hangs; returns the child."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(LIMIT_S)
            work()
            os._exit(WORKED)
        except BaseException:  # noqa: BLE001 - told, for a child has no test report
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(1)
    return child


def hold_and_settle(ledger: Ledger, name: str) -> None:
    """Carry out one call."""
    held = ledger.do(Reserve("acme", f"r-{name}", NOW_US, f"h-{name}", (Offer(100, 50, "{}"),)))
    assert isinstance(held, Held)
    settled = ledger.do(Settle("acme", settle_key(f"h-{name}"), NOW_US, f"h-{name}", 70))
    assert isinstance(settled, Settled)


def whole_books(url: str, name: str) -> None:
    """Open books of one's own, and write to them."""
    with Ledger(make_engine(url)) as own:
        hold_and_settle(own, name)


def opened(ledger: Ledger) -> Ledger:
    """Give a tenant much credit."""
    ledger.do(OpenAccount("acme", "open", NOW_US, "UTC", 10**12, None))
    return ledger


def other_tenant(url: str) -> None:
    """Open books of one's own, and open a tenant that nobody has locked."""
    with Ledger(make_engine(url)) as own:
        own.do(OpenAccount("other", "open-other", NOW_US, "UTC", 1, None))


def refused(url: str) -> None:
    """See that books cannot be opened here, and at once."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="in use as this process was forked"):
        Ledger(make_engine(url)).do(TopUp("acme", "child", NOW_US, 1))
    assert time.monotonic() - began < 2


def open_files(name: str) -> int:
    """Count the descriptors that this process has of a file."""
    found = [Path(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")]
    return sum(one.exists() and one.resolve().name == name for one in found)


def test_children_of_a_busy_process_have_whole_books(books_url: str, engine: Engine, ledger: Ledger) -> None:
    """One thread writes, one reads, two fork, all without a pause; each child, and its child, writes too."""
    opened(ledger)
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not stop.is_set():
            hold_and_settle(ledger, f"parent-{len(written)}")
            written.append(1)

    def read() -> None:
        while not stop.is_set():
            with reading(engine) as connection:
                connection.execute(text("SELECT count(*) FROM ledger_hold")).all()

    def work(name: str) -> None:
        whole_books(books_url, name)
        assert exit_code(forked(lambda: whole_books(books_url, f"{name}-too"))) == WORKED

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        with ThreadPoolExecutor(2) as forkers:
            codes = list(forkers.map(lambda n: exit_code(forked(lambda: work(f"child-{n}"))), range(FORKS)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == [WORKED] * FORKS
    with reading(engine) as connection:
        assert verify(connection).ok
        assert (
            connection.execute(text("SELECT count(*) FROM ledger_hold")).scalar() == len(written) + 2 * FORKS
        )


def test_what_a_child_writes_outlives_its_parents_books(sqlite_books: str) -> None:
    """The child's connection locks the file itself: whoever else closes it leaves its log alone."""
    engine = make_engine(sqlite_books)
    ledger = opened(Ledger(engine))
    with reading(engine) as connection:
        connection.execute(text("SELECT 1"))  # leaves a connection in the pool
    ready, closed = os.pipe(), os.pipe()

    def work() -> None:
        with Ledger(make_engine(sqlite_books)) as own:
            own.do(TopUp("acme", "before", NOW_US, 1))
            os.write(ready[1], b"x")
            os.read(closed[0], 1)
            assert own.do(TopUp("acme", "after", NOW_US, 2)) == ToppedUp("acme-3", 10**12 + 3)

    child = forked(work)
    os.read(ready[0], 1)
    ledger.close()
    engine.dispose()
    os.write(closed[1], b"x")
    assert exit_code(child) == WORKED
    with closing(sqlite3.connect(sqlite_books.removeprefix("sqlite:///"))) as file:
        assert file.execute("SELECT wallet FROM ledger_account").fetchone() == (10**12 + 3,)


def test_nothing_is_open_at_a_fork_and_all_writers_go_on(sqlite_books: str) -> None:
    """Of two engines with three writers a child inherits no descriptor; afterwards each writes again."""
    engines = [make_engine(sqlite_books), make_engine(sqlite_books)]
    ledgers = [opened(Ledger(engines[0])), Ledger(engines[0]), Ledger(engines[1])]
    for n, one in enumerate(ledgers):
        one.do(TopUp("acme", f"before-{n}", NOW_US, 1))
    name = Path(sqlite_books).name
    assert open_files(name) > 0

    def work() -> None:
        assert open_files(name) == 0

    assert exit_code(forked(work)) == WORKED
    for n, one in enumerate(ledgers):
        assert isinstance(one.do(TopUp("acme", f"after-{n}", NOW_US, 1)), ToppedUp)
        one.close()


def test_another_program_is_started_without_closing_anything(engine: Engine, ledger: Ledger) -> None:
    """It inherits nothing, so there is nothing to wait for, and no connection to open again."""
    opened(ledger)
    before = ledger._writer._committer._driver
    subprocess.run([sys.executable, "-c", ""], check=True)
    hold_and_settle(ledger, "a")
    assert ledger._writer._committer._driver is before


def test_a_fork_waits_for_a_stuck_writer_only_so_long(
    sqlite_books: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The file is locked for long: the child is kept from it, also by an engine of its own; the parent goes on,
    and its next child is as good as any.
    """
    monkeypatch.setattr(sqlite_fork, "PATIENCE_S", 0.6)
    ledger = opened(Ledger(make_engine(sqlite_books)))
    file = sqlite_books.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        stuck = ledger.submit(TopUp("acme", "stuck", NOW_US, 1))
        time.sleep(0.2)

        began = time.monotonic()
        child = forked(lambda: refused(sqlite_books))
        assert 0.5 < time.monotonic() - began < 3
        assert exit_code(child) == WORKED
        other.execute("ROLLBACK")
    assert stuck.result(LIMIT_S) == ToppedUp("acme-2", 10**12 + 1)
    assert exit_code(forked(lambda: whole_books(sqlite_books, "later"))) == WORKED
    ledger.close()


def test_a_child_closes_nothing_that_it_inherited(sqlite_books: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite would clean up under the parent's hands: not even what nobody uses any more is freed."""
    monkeypatch.setattr(sqlite_fork, "PATIENCE_S", 0.1)
    engine = make_engine(sqlite_books)
    taken = [own_connection(engine)]
    name = Path(sqlite_books).name

    def work() -> None:
        before = open_files(name)
        assert before > 0
        taken.clear()
        gc.collect()
        assert open_files(name) == before

    assert exit_code(forked(work)) == WORKED
    taken[0].close()


def test_a_fork_amid_a_batch_on_the_writers_own_thread_ends(
    engine: Engine, books_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can wait for it there: the child is kept from an SQLite file, and the batch is written."""
    monkeypatch.setattr(sqlite_fork, "PATIENCE_S", 0.4)
    work = refused if engine.dialect.name == "sqlite" else other_tenant
    codes: list[int] = []

    def tap(_events: object) -> tuple[()]:
        if not codes:
            codes.append(exit_code(forked(lambda: work(books_url))))
        return ()

    with Ledger(engine, tap=tap) as ledger:
        opened(ledger)
        hold_and_settle(ledger, "a")
    assert codes == [WORKED]


def test_a_child_does_not_end_its_parents_sessions(postgres_books: str) -> None:
    """It frees all that it inherited; the sessions that the parent's connections have are still there."""
    engine = make_engine(postgres_books)
    sessions = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() ORDER BY pid")
    with opened(Ledger(engine)) as ledger:
        with engine.connect() as connection:
            before = connection.execute(sessions).all()

        def work() -> None:
            del ledger._writer._committer._driver
            gc.collect()

        assert exit_code(forked(work)) == WORKED
        hold_and_settle(ledger, "a")
        with engine.connect() as connection:
            assert connection.execute(sessions).all() == before
    engine.dispose()


def test_a_child_does_not_use_its_parents_connections(engine: Engine) -> None:
    """It opens its own: two processes on one would read each other's answers, or lose its locks."""
    with engine.connect() as connection:
        parents = connection.connection.dbapi_connection
    child = os.fork()
    if child == 0:
        try:
            with engine.connect() as connection:
                own = connection.connection.dbapi_connection is not parents
                asked = connection.execute(text("SELECT 1")).scalar()
            os._exit(WORKED if own and asked == 1 else 1)
        finally:
            os._exit(2)
    assert exit_code(child) == WORKED
    with engine.connect() as connection:
        kept = connection.connection.dbapi_connection is parents
        assert kept == (engine.dialect.name == "postgresql")  # one of SQLite is closed before
        assert connection.execute(text("SELECT 1")).scalar() == 1


@pytest.mark.parametrize("ask", ["do", "submit"])
def test_a_child_is_told_so_whatever_its_parent_was_doing(
    ledger: Ledger, ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the fork found the parent's queue locked: nobody in the child will ever unlock it."""
    monkeypatch.setattr(sqlite_fork, "PATIENCE_S", 0.1)
    with ledger._writer._wake, ledger._writer._commit:
        child = os.fork()
        if child == 0:
            try:
                getattr(ledger, ask)(TopUp("acme", "child", NOW_US, 1))
            except LedgerClosed:
                os._exit(WORKED)
            finally:
                os._exit(1)
    assert exit_code(child) == WORKED
