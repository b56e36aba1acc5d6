"""
How far the play is: a bar on a terminal, a line now and then elsewhere.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from outlay.demo.player import Played
from outlay.demo.table import short_usd

_LOOK_S = 1.0
_LINE_S = 3.0

Told = Callable[[Played], None]


class Tally:
    """
    Counts what clients have seen so far, and now and then looks up what was spent.
    """

    def __init__(self, spent_nanos: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            spent_nanos: Asked once a second.
        """
        self.calls = self.served = self.refused = self.failed = 0
        self._ask, self._clock = spent_nanos, clock
        self._spent_nanos, self._next_s = 0, clock()

    def add(self, played: Played) -> None:
        """
        Count one attempt; those that are made again do not count.
        """
        if played.last:
            self.calls += 1
            self.served += not played.code
            self.refused += played.ours
            self.failed += bool(played.code) and not played.ours
        if self._clock() >= self._next_s:
            self.look()

    def look(self) -> None:
        """
        Look up what was spent.
        """
        self._spent_nanos, self._next_s = self._ask(), self._clock() + _LOOK_S

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{short_usd(self._spent_nanos)} USD, {self.served} served, {self.refused} refused{failed}"


@contextmanager
def shown(console: Console, calls: int, spent_nanos: Callable[[], int]) -> Iterator[Told]:
    """
    Show the progress of a play of so many calls.
    """
    tally = Tally(spent_nanos)
    with (_bar if console.is_terminal else _lines)(console, calls, tally) as told:
        yield told


@contextmanager
def _bar(console: Console, calls: int, tally: Tally) -> Iterator[Told]:
    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[tally]}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("play", total=calls, tally="")

        def told(played: Played) -> None:
            tally.add(played)
            progress.update(task, completed=tally.calls, tally=str(tally))

        yield told
        tally.look()
        progress.update(task, tally=str(tally))


@contextmanager
def _lines(console: Console, calls: int, tally: Tally) -> Iterator[Told]:
    next_s = time.monotonic() + _LINE_S

    def told(played: Played) -> None:
        nonlocal next_s
        tally.add(played)
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + _LINE_S
            console.print(f"{tally.calls} of {calls} calls: {tally}", highlight=False)

    yield told
    tally.look()
    console.print(f"{tally.calls} of {calls} calls: {tally}", highlight=False)
