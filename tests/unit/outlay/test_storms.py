"""
Storms of refusals are counted, not stored one by one.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from ledger import LedgerClosed, OperationFailed, OutcomeUnknown, StoreUnavailable
from ledger.types import Noted, Reason, Refused
from outlay.storms import Counts, Storms

MINUTE = 60_000_000


def test_the_first_of_a_minute_are_calm() -> None:
    """Exactly so many refusals of one kind may have a record of their own in each minute."""
    storms = Storms(calm=3)
    assert [storms.is_calm("acme", "x", 10) for _ in range(5)] == [True, True, True, False, False]
    assert storms.is_calm("acme", "x", MINUTE)


def test_other_tenants_and_codes_have_storms_of_their_own() -> None:
    """One tenant's storm hides nobody else's refusals, nor this tenant's of another kind."""
    storms = Storms(calm=1)
    assert storms.is_calm("acme", "x", 10)
    assert not storms.is_calm("acme", "x", 10)
    assert storms.is_calm("acme", "y", 10)
    assert storms.is_calm("zeta", "x", 10)


def test_threads_share_one_count() -> None:
    """From several threads, still exactly so many are calm."""
    storms = Storms(calm=50)
    with ThreadPoolExecutor(4) as pool:
        calm = list(pool.map(lambda _: storms.is_calm("acme", "x", 1), range(400)))
    assert calm.count(True) == 50


def test_counts_are_taken_once_a_second_and_once() -> None:
    """What is counted waits for the second to pass, or until all is asked for; nothing is told twice."""
    storms = Storms()

    def taken(at_us: int | None = None) -> list[tuple[object, ...]]:
        return [tuple(row.values.values()) for row in storms.take_counts(at_us)]

    for at_us in (MINUTE, MINUTE + 5, 2 * MINUTE):
        storms.count("acme", "x", at_us)
    assert taken(MINUTE) == [("acme", "x", MINUTE, 2), ("acme", "x", 2 * MINUTE, 1)]
    storms.count("zeta", "y", MINUTE)
    assert taken(MINUTE + 999_999) == taken(MINUTE - 999_999) == []
    assert taken(MINUTE + 1_000_000) == [("zeta", "y", MINUTE, 1)]
    storms.count("zeta", "y", MINUTE)
    assert taken() == [("zeta", "y", MINUTE, 1)]
    assert taken() == []


class Books:
    """A ledger that gives the answers that it was told to, then books; a key counts once."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.booked: dict[str, int] = {}

    def submit(self, note: Any, rows: Any) -> Future[Any]:
        """Answer at once, or refuse to take it."""
        answer = self.answers.pop(0) if self.answers else Noted()
        if isinstance(answer, LedgerClosed):
            raise answer
        if isinstance(answer, Noted | OutcomeUnknown):  # of these it may have been written
            self.booked[note.key] = sum(row.values["count"] for row in rows)
        done: Future[Any] = Future()
        if isinstance(answer, Exception):
            done.set_exception(answer)
        else:
            done.set_result(answer)
        return done

    @property
    def total(self) -> int:
        """How many refusals are in the books."""
        return sum(self.booked.values())


def _counted(storms: Storms, times: int = 5) -> None:
    for _ in range(times):
        storms.count("acme", "x", 0)
    storms.count("zeta", "y", 0)


@pytest.mark.parametrize(
    "why",
    [
        Refused(Reason.QUEUE_FULL, {"queue_max": 1}),
        StoreUnavailable("gone"),
        OutcomeUnknown("lost"),
        LedgerClosed("closed"),
    ],
    ids=lambda why: type(why).__name__,
)
def test_counts_that_were_not_written_are_written_with_the_next(
    why: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A full queue, books out of reach and an answer that was lost take no count with them and double none; it
    is logged once, however often it is tried.
    """
    storms, books = Storms(), Books(why, why)
    counts = Counts(storms, books)  # type: ignore[arg-type]  # what it needs of one
    with caplog.at_level(logging.WARNING, "outlay"):
        for second in (1, 2, 3):
            _counted(storms)
            counts.write_lately(second * 1_000_000)
        counts.write(4_000_000)
    assert books.total == 3 * 6
    assert len(caplog.records) == 1
    assert storms.take_counts() == []


def test_what_the_books_reject_is_not_tried_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """It would be rejected again, and all other counts with it: how many are lost is logged."""
    storms, books = Storms(), Books(OperationFailed("no"))
    counts = Counts(storms, books)  # type: ignore[arg-type]  # what it needs of one
    _counted(storms)
    counts.write(1)
    _counted(storms, 1)
    counts.write(2)
    assert books.total == 2
    assert "6 counted refusals are lost" in caplog.text


def test_counts_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more kinds than are kept the rest is lost, and told; a kind that is kept goes on counting."""
    monkeypatch.setattr("outlay.storms._KEPT_MAX", 1)
    storms = Storms()
    _counted(storms)
    rows = storms.take_counts()
    assert storms.give_back(rows) == 1
    assert storms.give_back(rows) == 1
    assert [row.values["count"] for row in storms.take_counts()] == [10]
