"""
How far the play is: a bar on a terminal, a line now and then elsewhere.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from outlay.demo.player import Played

_LINE_S = 3.0


class Tally:
    """
    Counts what clients have seen so far.
    """

    def __init__(self) -> None:
        self.calls = self.served = self.refused = self.failed = 0

    def add(self, played: Played) -> None:
        """
        Count one attempt; those that are made again do not count.
        """
        if not played.last:
            return
        self.calls += 1
        self.served += not played.code
        self.refused += played.ours
        self.failed += bool(played.code) and not played.ours

    def __str__(self) -> str:
        return f"{self.served} served, {self.refused} refused, {self.failed} failed"


class Told(Protocol):
    """
    What is called after each attempt.
    """

    def __call__(self, played: Played, /) -> None: ...


@contextmanager
def shown(console: Console, calls: int) -> Iterator[Told]:
    """
    Show the progress of a play of so many calls.
    """
    with _bar(console, calls) if console.is_terminal else _lines(console, calls) as told:
        yield told


@contextmanager
def _bar(console: Console, calls: int) -> Iterator[Told]:
    columns = (
        TextColumn("playing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[tally]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    tally = Tally()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("play", total=calls, tally="")

        def told(played: Played) -> None:
            tally.add(played)
            progress.update(task, completed=tally.calls, tally=str(tally))

        yield told


@contextmanager
def _lines(console: Console, calls: int) -> Iterator[Told]:
    tally = Tally()
    next_s = time.monotonic() + _LINE_S

    def told(played: Played) -> None:
        nonlocal next_s
        tally.add(played)
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + _LINE_S
            console.print(f"{tally.calls} of {calls} calls: {tally}", highlight=False)

    yield told
    console.print(f"{tally.calls} of {calls} calls: {tally}", highlight=False)
