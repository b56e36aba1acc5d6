"""
An app over an empty database of each engine, a clock that only tests move, and ways to make its books fail.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, cast

import pytest
from sqlalchemy import text

from ledger import Ledger, LedgerError
from ledger.types import Attachment, Operation, Result
from outlay.admin.tenants import create_tenant
from outlay.client import Calls
from outlay.settings import Settings
from outlay.wiring import App, open_app


class Clock:
    """
    The clock of calls; it begins now and moves only when it is told.
    """

    def __init__(self) -> None:
        self.us = time.time_ns() // 1_000 + 60_000_000

    def __call__(self) -> int:
        """Tell the time."""
        return self.us

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.us += int(seconds * 1_000_000)


class Flaky:
    """
    The real ledger, which can be told to fail; with `before` an operation is carried out and its answer lost.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.real = ledger
        self.failing: Callable[[Operation], LedgerError | Result | None] = lambda _op: None
        self.answer_lost = False

    def do(self, op: Operation, attach: Sequence[Attachment] = ()) -> Result:
        """Carry an operation out, or fail as told."""
        trouble = self.failing(op)
        if trouble is None:
            return self.real.do(op, attach)
        if self.answer_lost:
            self.real.do(op, attach)
        if isinstance(trouble, Exception):
            raise trouble
        return trouble

    def submit(self, op: Operation, attach: Sequence[Attachment] = ()) -> "Future[Result]":
        """Carry an operation out on the writer's thread, or fail as told."""
        if self.failing(op) is None:
            return self.real.submit(op, attach)
        future: Future[Result] = Future()
        try:
            future.set_result(self.do(op, attach))
        except LedgerError as error:
            future.set_exception(error)
        return future

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@pytest.fixture
def url(books_url: str) -> str:
    """An address with a schema."""
    return books_url


@pytest.fixture
def app(books_url: str) -> Iterator[App]:
    """An open app, once on each engine."""
    made = open_app(Settings(database_url=books_url), check_clock=False)
    yield made
    made.close()


@pytest.fixture
def flaky(app: App) -> Flaky:
    """The app's ledger, able to fail; ask for it before `calls`."""
    made = Flaky(app.ledger)
    app.ledger = cast("Ledger", made)
    return made


@pytest.fixture
def acme(app: App) -> str:
    """A tenant with 20 USD and 5 USD a day."""
    create_tenant(app, "acme", credit="20", daily_budget="5", timezone="UTC", actor="tester")
    return "acme"


@pytest.fixture
def clock() -> Clock:
    """The clock of `calls`."""
    return Clock()


@pytest.fixture
def calls(app: App, clock: Clock) -> Iterator[Calls]:
    """The blocking calls of the app."""
    made = Calls(app, clock)
    yield made
    made.close()


@pytest.fixture
def select(app: App) -> Callable[..., list[dict[str, Any]]]:
    """Read rows by a statement."""

    def rows(statement: str, **values: Any) -> list[dict[str, Any]]:
        with app.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(text(statement), values)]

    return rows


@pytest.fixture
def books_are_right(app: App) -> Iterator[Callable[[], None]]:
    """After the test, and whenever it asks: the ledger verifies, and every decision comes out again."""
    from ledger.reads import tenants
    from ledger.verify import verify
    from outlay.admin.replay import replay

    def check() -> None:
        with app.reading() as connection:
            found = verify(connection)
            assert found.ok, found.problems
            assert all(row.available_nanos >= 0 for row in tenants(connection))
        assert replay(app)["different"] == []

    yield check
    check()
