"""
Holds of open calls are renewed by one thread, as long as somebody waits for them.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from ledger.errors import LedgerClosed
from ledger.types import Reason, Refused, Renewed
from outlay import leases
from outlay.leases import Leases

SECOND_US = 1_000_000


class Books:
    """A ledger that answers each renewal as it is told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answer: Any = Renewed("h", 0)

    def submit(self, op: Any) -> Future[Any]:
        """Answer at once."""
        self.asked.append(op)
        if isinstance(self.answer, Exception):
            raise self.answer
        future: Future[Any] = Future()
        future.set_result(self.answer)
        return future


@pytest.fixture
def books() -> Books:
    """The ledger."""
    return Books()


@pytest.fixture
def kept(books: Books) -> Iterator[Leases]:
    """The leases of a process whose clock stands at second 10."""
    ledger: Any = books
    made = Leases(ledger, lambda: 10 * SECOND_US)
    yield made
    made.close()


def wait(true: Callable[[], bool]) -> None:
    """Wait for another thread."""
    until = time.monotonic() + 30
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    assert true()


def threads() -> set[threading.Thread]:
    """The threads that renew, those of other tests' books included."""
    return {thread for thread in threading.enumerate() if thread.name == "outlay-leases"}


def test_a_hold_is_renewed_by_a_third_of_its_life_until_its_call_ends(books: Books, kept: Leases) -> None:
    """Each time for as long as it was made for, under a key of its own; an ended call never again."""
    lease = kept.keep("acme", "h", 11 * SECOND_US)
    wait(lambda: len(books.asked) >= 2)
    assert {(op.tenant, op.hold_id, op.ttl_us) for op in books.asked} == {("acme", "h", SECOND_US)}
    lease.end()
    assert len(kept) == 0
    count = len(books.asked)
    time.sleep(0.5)
    assert len(books.asked) <= count + 1  # one may have been under way


def test_a_thousand_open_calls_take_one_thread(kept: Leases) -> None:
    """None before the first, one for all, none after the end."""
    before = threads()
    for number in range(1_000):
        kept.keep("acme", f"h{number}", 910 * SECOND_US)
    assert len(threads() - before) == 1
    kept.close()
    assert threads() <= before


def test_a_short_lease_after_a_long_one_is_in_time(books: Books, kept: Leases) -> None:
    """The thread that sleeps for minutes is woken for it."""
    kept.keep("acme", "long", 10_000 * SECOND_US)
    time.sleep(0.05)
    kept.keep("acme", "short", 11 * SECOND_US)
    wait(lambda: [op.hold_id for op in books.asked] == ["short"])


def test_who_takes_nothing_of_a_stream_is_not_waited_for() -> None:
    """After a minute it is not renewed, from its next read on it is; past its life the lease is dropped."""
    lease = leases.Lease("acme", "h", 900 * SECOND_US, lambda _: None)
    lease.rest()
    now = time.monotonic()
    assert lease.wanted(now + leases.IDLE_S - 1)
    assert not lease.wanted(now + leases.IDLE_S + 1)
    assert not lease.forgotten(now + leases.IDLE_S + 899)
    assert lease.forgotten(now + leases.IDLE_S + 901)
    lease.go_on()
    assert lease.wanted(now + 3_600)


def test_no_lease_lasts_for_ever() -> None:
    """After a day a call that waits is not renewed either, so that a leak cannot hold money for good."""
    lease = leases.Lease("acme", "h", 900 * SECOND_US, lambda _: None)
    now = time.monotonic()
    assert lease.wanted(now + leases.LONGEST_S - 1)
    assert not lease.wanted(now + leases.LONGEST_S + 1)
    assert lease.forgotten(now + leases.LONGEST_S + 901)


def test_forgotten_leases_are_dropped(books: Books, kept: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that was neither read nor closed leaves nothing behind."""
    monkeypatch.setattr(leases, "IDLE_S", -10.0)
    kept.keep("acme", "h", 11 * SECOND_US).rest()
    wait(lambda: len(kept) == 0)
    assert books.asked == []


@pytest.mark.parametrize(
    ("answer", "goes_on"),
    [
        (Refused(Reason.HOLD_CLOSED), False),
        (Refused(Reason.UNKNOWN_HOLD), False),
        (Refused(Reason.QUEUE_FULL), True),
        (LedgerClosed("x"), True),
    ],
)
def test_a_renewal_that_fails_is_tried_again_where_that_may_help(
    books: Books, kept: Leases, answer: Any, goes_on: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A full queue passes, a hold that was captured does not come back; either way it is told."""
    books.answer = answer
    kept.keep("acme", "h", 11 * SECOND_US)
    wait(lambda: len(caplog.records) >= (2 if goes_on else 1))
    assert len(kept) == (1 if goes_on else 0)
    assert "hold h of an open call was not renewed" in caplog.text
