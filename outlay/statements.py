"""
What the stores of this package share of SQL: text that goes to the driver as it is written, for what is read
before every call; and rows that are only ever appended.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, Table, insert
from sqlalchemy.exc import IntegrityError


def marked(statement: str, dialect: str) -> str:
    """
    Write the placeholders of a statement, `?` as SQLite has them, as the driver of a dialect wants them.
    """
    return statement if dialect == "sqlite" else statement.replace("?", "%s")


def append(engine: Engine, table: Table, values: Mapping[str, Any]) -> bool:
    """
    Append a row; false where its key is taken.
    """
    try:
        with engine.begin() as connection:
            connection.execute(insert(table).values(**values))
    except IntegrityError:
        return False
    return True
