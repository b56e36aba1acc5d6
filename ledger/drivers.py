"""
The face of a database driver: begin, select, write, commit, and what an error means.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from sqlalchemy import Engine

from ledger.sqlite_file import BooksMoved
from ledger.statements import Bulk

Query = tuple[str, tuple[Any, ...]]


class Trouble(StrEnum):
    """
    What a database error means for the batch.
    """

    BUSY = "busy"  # locked, deadlock: the same batch may be run again at once
    LOST = "lost"  # the connection or the database is gone: connect again
    INTEGRITY = "integrity"  # a race on a new key, or a poisoned operation
    POISON = "poison"  # an operation that the database cannot take
    READ_ONLY = "read_only"  # the database takes no writes: trying again would only keep callers waiting
    MOVED = "moved"  # nor does it help where the file is gone
    FULL = "full"  # nor where there is no room


@dataclass(frozen=True, slots=True)
class Write:
    """
    Rows for one bulk statement; `counted`: each row must make or find its row in the database. On PostgreSQL
    the statement itself sees to it.
    """

    bulk: Bulk
    rows: Sequence[tuple[Any, ...]]
    counted: bool = False


class Driver(Protocol):
    """
    A connection of its own, used by one thread at a time.
    """

    def begin_and_select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Begin a transaction, then run the queries in order; the first one locks.
        """

    def select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Run queries inside the transaction.
        """

    def commit(self, writes: Sequence[Write]) -> None:
        """
        Send the bulk statements and commit; once this returns the batch is durable.

        Raises:
            Unanswered: It may be, or it may not.
        """

    def transact(self, first: Write | None, tests: Sequence[Query], rest: Sequence[Write]) -> int | None:
        """
        Carry out a whole transaction, or nothing where one of the tests fails; `first` is what locks where
        beginning does not. Returns what `first` gave.

        Raises:
            Unanswered: The same as of `commit`.
        """

    def recover(self) -> bool:
        """
        Undo a failed transaction; False where the connection must not be used again.
        """

    def close(self) -> None:
        """
        Close the connection.
        """

    def many(self, values: Sequence[str]) -> Any:
        """
        Return a list of texts as one parameter.
        """

    def pairs(self, values: Collection[tuple[str, str]]) -> tuple[Any, ...]:
        """
        Return a list of pairs of texts as parameters.
        """


class RowMissing(Exception):  # noqa: N818 - says what is so
    """
    An update did not find the row that was read under the lock.
    """


class Changed(Exception):  # noqa: N818 - says what is so
    """
    A test failed: something is not as it was kept.
    """


class Unanswered(Exception):  # noqa: N818 - says what is so
    """
    The answer to a COMMIT did not come, for the reason that is its cause: it may have been carried out.
    """


@contextmanager
def committing() -> Iterator[None]:
    """
    Say of what is lost while a COMMIT is under way that its answer is.
    """
    try:
        yield
    except Exception as error:
        if trouble(error) in (Trouble.LOST, Trouble.MOVED):
            raise Unanswered from error
        raise


def check_count(write: Write, count: int) -> None:
    """
    Refuse a write that changed fewer or more rows than it was given.
    """
    if write.counted and count != len(write.rows):
        raise RowMissing(f"{count} of {len(write.rows)} rows changed by: {write.bulk.text[:60]}")


def processed(write: Write) -> Sequence[tuple[Any, ...]]:
    """
    Convert values as the column types demand; the ledger's own rows need no conversion.
    """
    processors = write.bulk.processors
    if not processors:
        return write.rows
    return [
        tuple(
            value if convert is None else convert(value)
            for value, convert in zip(row, processors, strict=True)
        )
        for row in write.rows
    ]


def own_connection(engine: Engine) -> Any:
    """
    Open a connection as the engine sets it up, and take it out of the pool for good.
    """
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    return connection


def trouble(error: BaseException) -> Trouble:
    """
    Say what an error means.
    """
    if isinstance(error, Unanswered) and error.__cause__ is not None:
        return trouble(error.__cause__)
    if isinstance(error, sqlite3.Error):
        return _sqlite_trouble(error)
    if type(error).__module__.split(".")[0] == "psycopg":
        return _postgres_trouble(error)
    cause = getattr(error, "orig", None)  # SQLAlchemy wraps what happens while it connects
    if isinstance(cause, BaseException):
        return Trouble.MOVED if isinstance(cause, BooksMoved) else Trouble.LOST
    return Trouble.LOST if isinstance(error, OSError) else Trouble.POISON


def _sqlite_trouble(error: sqlite3.Error) -> Trouble:
    if isinstance(error, BooksMoved):
        return Trouble.MOVED
    code = getattr(error, "sqlite_errorcode", 0) or 0
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Trouble.BUSY
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return Trouble.FULL
    if code == sqlite3.SQLITE_READONLY:  # its extended codes (a file that moved) may pass
        return Trouble.READ_ONLY
    if isinstance(error, sqlite3.IntegrityError):
        return Trouble.INTEGRITY
    if isinstance(error, sqlite3.InterfaceError | sqlite3.DataError | sqlite3.ProgrammingError):
        return Trouble.LOST if "closed" in str(error) else Trouble.POISON
    return Trouble.LOST


_POSTGRES_BUSY: Final = frozenset({"40001", "40P01", "55P03", "57014"})
_POSTGRES_READ_ONLY: Final = "25006"
_POSTGRES_FULL: Final = "53100"
_POSTGRES_UNPREPARED: Final = "26000"


def _postgres_trouble(error: BaseException) -> Trouble:
    import psycopg

    state = getattr(error, "sqlstate", None) or ""
    if state in _POSTGRES_BUSY:
        return Trouble.BUSY
    if state == _POSTGRES_READ_ONLY:
        return Trouble.READ_ONLY
    if state == _POSTGRES_FULL:
        return Trouble.FULL
    if state == _POSTGRES_UNPREPARED:  # another connection of the server's: a pooler changed it
        return Trouble.LOST
    if isinstance(error, psycopg.IntegrityError):
        return Trouble.INTEGRITY
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Trouble.LOST
    return Trouble.POISON
