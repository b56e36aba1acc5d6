"""
Closings that found the books out of reach are tried again until they are written.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from ledger import Ledger, LedgerClosed, OperationFailed, StoreUnavailable
from ledger.types import Attachment, Operation, Reason, Refused, Release, Released
from outlay import later
from outlay.later import Later

Answer = Callable[[Operation, Sequence[Attachment]], object]
ROW = (Attachment("table", {}),)


def release(name: str) -> Release:
    """A closing of a hold."""
    return Release("acme", f"release:{name}", 1, name)


class Books:
    """A ledger that answers as told: one answer or error for each try, the last one ever after."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.tried: list[tuple[str, int]] = []
        self.written = threading.Event()

    def do(self, op: Release, attach: Sequence[Attachment] = ()) -> object:
        """Answer the next thing."""
        self.tried.append((op.hold_id, len(attach)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        self.written.set()
        return answer


def waiting(books: Books) -> Later:
    """A queue over these books."""
    return Later(cast("Ledger", books))


DONE = Released("a", 0)


def test_a_closing_is_written_once_the_books_are_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of reach, or with its queue full, the ledger is asked again; then nothing waits any more."""
    monkeypatch.setattr(later, "RETRY_S", 0.01)
    books = Books(StoreUnavailable("gone"), Refused(Reason.QUEUE_FULL), DONE)
    queue = waiting(books)
    queue.add(release("a"), ROW)
    assert books.written.wait(10)
    queue.close()
    assert books.tried == [("a", 1)] * 3
    assert len(queue) == 0


@pytest.mark.parametrize("trouble", [StoreUnavailable("x"), LedgerClosed("x"), Refused(Reason.QUEUE_FULL)])
def test_what_cannot_be_written_at_the_end_is_left_to_be_captured(trouble: object) -> None:
    """Closing tries each at most once more and gives up: the holds are captured when they expire."""
    books = Books(trouble)
    queue = waiting(books)
    queue.add(release("a"))
    queue.add(release("b"))
    queue.close()
    assert len(queue) == 2
    assert ("b", 0) not in books.tried


def test_a_record_that_cannot_be_stored_does_not_keep_the_money() -> None:
    """Where the row poisons the closing, the money is closed without it."""
    books = Books(OperationFailed("bad row"), DONE)
    queue = waiting(books)
    queue.add(release("a"), ROW)
    queue.close()
    assert books.tried == [("a", 1), ("a", 0)]
    assert len(queue) == 0


def test_what_can_never_be_written_does_not_block_the_others() -> None:
    """A closing that fails on its own, or that the books refuse, makes way for the next."""
    for never in ((OperationFailed("x"), OperationFailed("x")), (Refused(Reason.UNKNOWN_HOLD),)):
        books = Books(*never, DONE)
        queue = waiting(books)
        queue.add(release("a"), ROW)
        queue.add(release("b"), ROW)
        queue.close()
        assert books.tried[-1] == ("b", 1)
        assert len(queue) == 0


def test_too_many_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: one more than the most is left to be captured, those before it stay."""
    monkeypatch.setattr(later, "WAITING_MAX", 2)
    books = Books(StoreUnavailable("gone"))
    queue = waiting(books)
    for name in "abc":
        queue.add(release(name))
    assert len(queue) == 2
    books.answers = [DONE]
    queue.close()
    assert {name for name, _ in books.tried} == {"a", "b"}


def test_an_unused_queue_has_no_thread() -> None:
    """Most processes never close anything later; they pay nothing for it."""
    before: set[Any] = set(threading.enumerate())
    queue = waiting(Books(DONE))
    assert set(threading.enumerate()) == before
    queue.close()
