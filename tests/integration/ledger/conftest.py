"""
Ledgers on real databases, for the tests in this folder.
"""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from ledger import Ledger, make_engine


@pytest.fixture
def engine(books_url: str) -> Iterator[Engine]:
    """An engine on a database with the ledger's tables, once per kind of database."""
    made = make_engine(books_url)
    yield made
    made.dispose()


@pytest.fixture
def open_ledger(engine: Engine) -> Iterator[Callable[..., Ledger]]:
    """Opens ledgers on the database and closes them at the end."""
    opened: list[Ledger] = []

    def opener(**options: object) -> Ledger:
        opened.append(Ledger(engine, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield opener
    for one in opened:
        one.close()


@pytest.fixture
def ledger(open_ledger: Callable[..., Ledger]) -> Ledger:
    """One open ledger."""
    return open_ledger(owner="test")
