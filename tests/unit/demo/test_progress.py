"""
The progress counts calls, not attempts, and asks for the money only now and then.
"""

import io
from dataclasses import replace

from rich.console import Console

from outlay.demo.plan import PlannedCall
from outlay.demo.player import Played
from outlay.demo.progress import Tally, shown

SERVED = Played(PlannedCall(0.0, "acme", "claude-opus-5-5", 1, 1, 512), 0, 200)
REFUSED = replace(SERVED, status=402, code="outlay_credit_exhausted", ours=True)
FAILED = replace(SERVED, status=529, code="overloaded_error")


def test_an_attempt_that_is_made_again_is_no_call() -> None:
    """Only the last attempt of a call counts, as what it ended in."""
    tally = Tally(lambda: 1_234_567_890)
    for played in (SERVED, REFUSED, FAILED, replace(FAILED, last=False)):
        tally.add(played)
    assert tally.calls == 3
    assert str(tally) == "1.235 USD, 1 served, 1 refused, 1 failed"


def test_the_books_are_asked_once_a_second() -> None:
    """A thousand calls a second do not mean a thousand queries."""
    asked: list[float] = []
    now = [0.0]
    tally = Tally(lambda: len(asked.append(now[0]) or asked), lambda: now[0])
    for step in range(100):
        now[0] = step / 40
        tally.add(SERVED)
    assert asked == [0.0, 1.0, 2.0]


def test_without_a_terminal_there_are_plain_lines() -> None:
    """A log file gets a last line with the totals, and no control characters."""
    console = Console(file=io.StringIO(), width=100)
    with shown(console, 2, lambda: 5_000_000) as told:
        told(SERVED)
        told(REFUSED)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "2 of 2 calls: 0.005 USD, 1 served, 1 refused\n"
