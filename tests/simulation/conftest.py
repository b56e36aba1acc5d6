"""
Databases for the simulation.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from ledger import make_engine, tables


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a database with the ledger's tables, once per kind of database."""
    made = make_engine(database_url)
    with made.begin() as connection:
        tables.metadata.create_all(connection)
    yield made
    made.dispose()
