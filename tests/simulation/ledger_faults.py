"""
A driver that fails where it is told to: before BEGIN, after the lock, after each write, around COMMIT.

Every call that the writer makes to its driver is a step with a number. A plan names steps at which something
happens, so that a run can be repeated exactly: an error of a kind, or the death of the process.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine

from ledger.driver_sqlite import SqliteDriver
from ledger.drivers import Changed, Driver, committing


class Place(StrEnum):
    """Where in a commit something may happen."""

    BEFORE_BEGIN = "before_begin"
    AFTER_LOCK = "after_lock"
    AFTER_LOOK = "after_look"
    AFTER_WRITE = "after_write"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"


class Crash(BaseException):
    """The process died: nothing after this instant is done, no answer was given."""


@dataclass
class Plan:
    """What happens at which step; `steps` counts, `seen` remembers the places that were passed."""

    faults: dict[int, Callable[[], BaseException]] = field(default_factory=dict)
    steps: int = 0
    seen: list[Place] = field(default_factory=list)
    struck: list[tuple[Place, str]] = field(default_factory=list)

    def step(self, place: Place) -> None:
        """Pass a place, or fail there."""
        self.seen.append(place)
        number, self.steps = self.steps, self.steps + 1
        if number in self.faults:
            error = self.faults[number]()
            self.struck.append((place, type(error).__name__))
            raise error


class FaultyDriver:
    """A real driver behind a plan; writes are sent one statement at a time."""

    def __init__(self, inner: Driver, plan: Plan) -> None:
        self.inner = inner
        self.plan = plan

    def begin_and_select(self, queries: Sequence[Any]) -> Any:
        """Begin and lock."""
        self.plan.step(Place.BEFORE_BEGIN)
        rows = self.inner.begin_and_select(queries)
        self.plan.step(Place.AFTER_LOCK)
        return rows

    def select(self, queries: Sequence[Any]) -> Any:
        """Look for more."""
        rows = self.inner.select(queries)
        self.plan.step(Place.AFTER_LOOK)
        return rows

    def commit(self, writes: Sequence[Any]) -> None:
        """Write and commit; a failure before it undoes everything, one after it is a lost answer."""
        apart = isinstance(self.inner, SqliteDriver)  # PostgreSQL is sent all at once
        with committing():
            for one in writes:
                if apart:
                    self.inner._write(one)  # type: ignore[attr-defined]
                self.plan.step(Place.AFTER_WRITE)
            self.plan.step(Place.BEFORE_COMMIT)
            self.inner.commit(() if apart else writes)
            self.plan.step(Place.AFTER_COMMIT)

    def transact(self, first: Any, tests: Sequence[Any], rest: Sequence[Any]) -> Any:
        """A whole transaction, step by step where it is not sent all at once."""
        self.plan.step(Place.BEFORE_BEGIN)
        if isinstance(self.inner, SqliteDriver):
            found = self.inner.begin_and_select(tests)
            self.plan.step(Place.AFTER_LOCK)
            if not all(row[0] for rows in found for row in rows):
                raise Changed
            return self.commit(rest)
        self.plan.step(Place.AFTER_LOCK)
        with committing():
            for _ in rest:
                self.plan.step(Place.AFTER_WRITE)
            self.plan.step(Place.BEFORE_COMMIT)
            version = self.inner.transact(first, tests, rest)
            self.plan.step(Place.AFTER_COMMIT)
        return version

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def connector(plan: Plan, connect: Callable[[Engine], Driver]) -> Callable[[Engine], Any]:
    """Return a `connect` whose drivers follow the plan."""
    return lambda engine: FaultyDriver(connect(engine), plan)
