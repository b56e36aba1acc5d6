"""
Closings that the books cannot take survive the process: on disk first, carried out once, by whoever lives.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import make_url

import circuit.tables
from ledger import Ledger, StoreUnavailable
from ledger.types import Attachment, Operation, Release, Released, Settle
from outlay import later, spool
from outlay.later import Later
from outlay.spool import Spool, left_behind, spool_path
from outlay.tables import decision

URL = "postgresql://u@h/books"
ROWS = (
    Attachment(decision, {"id": "d1", "tenant": "acme", "reasons": '["ü"]'}, ignore=True),
    Attachment(circuit.tables.call_bucket, {"scope": "s", "calls": 1}, add=("calls",)),
)


class Books:
    """A ledger that is away until told otherwise; remembers what it was given."""

    def __init__(self, *, away: bool = True) -> None:
        self.engine = self
        self.url = make_url(URL)
        self.away = away
        self.given: list[tuple[Operation, Any]] = []
        self.lock = threading.Lock()

    def do(self, op: Operation, attach: Any = ()) -> object:
        """Carry out an operation, or not."""
        if self.away:
            raise StoreUnavailable("gone")
        with self.lock:
            self.given.append((op, tuple(attach)))
        return Released("h", 0)


def settle(name: str) -> Settle:
    """A settlement."""
    return Settle("acme", f"settle:{name}", 5, name, 123_456_789, '{"output_tokens": 7}')


def waiting(books: Books, folder: Path, owner: str) -> Later:
    """A queue of closings over these books."""
    return Later(cast("Ledger", books), str(folder), owner)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried later is tried soon."""
    monkeypatch.setattr(later, "RETRY_S", 0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for closings alone."""
    made = tmp_path / "spool"
    made.mkdir()
    return made


def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _die_with_a_closing(folder: str) -> None:
    Later(cast("Ledger", Books()), folder, "dead").add(settle("a"), ROWS)
    os._exit(9)


def test_a_killed_process_leaves_its_closings_to_the_next(folder: Path) -> None:
    """What `add` has taken survives death without warning, with its rows; the next process carries it out."""
    child = multiprocessing.get_context("spawn").Process(target=_die_with_a_closing, args=(str(folder),))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    books = Books(away=False)
    queue = waiting(books, folder, "next")
    queue.start()
    until(lambda: not list(folder.iterdir()))
    queue.close()
    assert books.given == [(settle("a"), ROWS)]


def test_closings_wait_on_disk_in_order_until_the_books_are_back(folder: Path) -> None:
    """Nothing is given up while the books are away, and nothing is left on disk afterwards."""
    books = Books()
    queue = waiting(books, folder, "me")
    ops: list[Operation] = [*(settle(str(n)) for n in range(50)), Release("acme", "r", 6, "x", "why")]
    for op in ops:
        queue.add(op)
    assert len(queue) == sum(path.stat().st_size for path in folder.iterdir()) > 0
    books.away = False
    until(lambda: len(queue) == 0)
    assert [op for op, _ in books.given] == ops
    queue.close()
    assert list(folder.iterdir()) == []


def test_an_end_without_the_books_keeps_the_file(folder: Path) -> None:
    """Closing while the books are away loses nothing: another queue finds it, once only."""
    queue = waiting(Books(), folder, "first")
    queue.add(settle("a"))
    queue.close()
    books = Books(away=False)
    for owner in ("second", "third"):
        another = waiting(books, folder, owner)
        another.start()
        until(lambda: not list(folder.iterdir()))
        another.close()
    assert [op for op, _ in books.given] == [settle("a")]


def test_a_file_is_read_by_one_process_at_a_time(folder: Path) -> None:
    """The lines of a living process, and those that another is carrying out, are left alone."""
    mine = Spool(spool_path(str(folder), URL, "alive"))
    mine.append(settle("a"), ())
    assert list(left_behind(str(folder), URL)) == []
    mine.close()
    one = next(left_behind(str(folder), URL))
    assert list(left_behind(str(folder), URL)) == []
    one.close()
    assert list(left_behind(str(folder), "postgresql://u@h/other")) == []


def test_a_file_adopted_before_its_lock_is_left_for_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another process is at a new file before its lock, the closing goes to disk all the same."""
    lock, adopted = spool._lock, []

    def late(fd: int) -> None:
        """Let the other process be first, once."""
        monkeypatch.setattr(spool, "_lock", lock)
        adopted.append(next(left_behind(str(folder), URL)))
        lock(fd)

    monkeypatch.setattr(spool, "_lock", late)
    mine = waiting(Books(), folder, "me")
    mine.add(settle("a"))
    adopted[0].close()
    assert [path.stat().st_size > 0 for path in folder.iterdir()] == [True]
    mine.close()
    (left,) = [one.first() for one in left_behind(str(folder), URL)]
    assert left is not None
    assert left[0] == settle("a")


def test_a_torn_or_changed_line_is_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line that a crash cut short, or that was tampered with, does not hold up or alter the others."""
    path = spool_path(str(folder), URL, "dead")
    spool = Spool(path)
    for name in "abc":
        spool.append(settle(name), ())
    spool.close()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"123456789", b"923456789")
    path.write_bytes(b"".join(lines) + lines[0][:40])
    books = Books(away=False)
    queue = waiting(books, folder, "next")
    queue.start()
    until(lambda: not list(folder.iterdir()))
    queue.close()
    assert [op for op, _ in books.given] == [settle("a"), settle("c")]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_folder_that_takes_nothing_is_not_the_end(folder: Path) -> None:
    """Where the disk fails, closings wait in memory as if there were no folder."""
    (folder / "file").write_text("in the way")
    books = Books()
    queue = waiting(books, folder / "file" / "folder", "me")
    queue.add(settle("a"))
    assert len(queue) == 1
    books.away = False
    queue.close()
    assert [op for op, _ in books.given] == [settle("a")]
