"""
Databases for the simulation.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from ledger import make_engine


@pytest.fixture
def engine(books_url: str) -> Iterator[Engine]:
    """An engine on a database with the ledger's tables, once per kind of database."""
    made = make_engine(books_url)
    yield made
    made.dispose()
