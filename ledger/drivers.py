"""
The two database drivers behind one small face: begin, select, write, commit, and what an error means.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, Final, Protocol

from sqlalchemy import Engine

from ledger.statements import Bulk, Kind

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


@dataclass(frozen=True, slots=True)
class Write:
    """
    Rows for one bulk statement; `counted`: each row must find its row in the database.
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

    def write(self, writes: Sequence[Write]) -> None:
        """
        Send the bulk statements.
        """

    def commit(self) -> None:
        """
        Commit; once this returns the batch is durable.
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


def _check_count(write: Write, count: int) -> None:
    if write.counted and count != len(write.rows):
        raise RowMissing(f"{count} of {len(write.rows)} rows changed by: {write.bulk.text[:60]}")


def _processed(write: Write) -> Sequence[tuple[Any, ...]]:
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


def _own_connection(engine: Engine) -> Any:
    """
    Open a connection as the engine sets it up, and take it out of the pool for good.
    """
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    return connection


class SqliteDriver:
    """
    SQLite through the standard library.
    """

    def __init__(self, engine: Engine) -> None:
        connection = _own_connection(engine)
        assert isinstance(connection, sqlite3.Connection)
        self._connection = connection

    def begin_and_select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Take the write lock, then look.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        return self.select(queries)

    def select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Run queries one after the other: there is no network to save.
        """
        execute = self._connection.execute
        return [execute(text, parameters).fetchall() for text, parameters in queries]

    def write(self, writes: Sequence[Write]) -> None:
        """
        Send each statement with its rows.
        """
        for write in writes:
            rows = _processed(write)
            count = 0
            if write.bulk.chunks:
                count, rows = self._insert_chunks(write.bulk, rows)
            if rows:
                count += self._connection.executemany(write.bulk.text, rows).rowcount
            _check_count(write, count)

    def _insert_chunks(
        self, bulk: Bulk, rows: Sequence[tuple[Any, ...]]
    ) -> tuple[int, Sequence[tuple[Any, ...]]]:
        """
        Insert all rows but a few in statements of many rows; returns the number of these, and the few.

        The driver gives the interpreter up for every row that it sends alone, and with many callers at work
        it stands in line to get it back.
        """
        done = 0
        for size, text in bulk.chunks:
            while len(rows) - done >= size:
                flat = tuple(chain.from_iterable(rows[done : done + size]))
                self._connection.execute(text, flat)
                done += size
        return done, rows[done:]

    def commit(self) -> None:
        """
        Commit and wait for the disk.
        """
        self._connection.execute("COMMIT")

    def recover(self) -> bool:
        """
        Undo the transaction, if there is one.
        """
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        return True

    def close(self) -> None:
        """
        Close the connection.
        """
        self._connection.close()

    def many(self, values: Sequence[str]) -> str:
        """
        Return a list as JSON text for `json_each`.
        """
        return json.dumps(values)

    def pairs(self, values: Collection[tuple[str, str]]) -> tuple[str]:
        """
        Return pairs as JSON text.
        """
        return (json.dumps(list(values)),)


# Every statement of the writer finds its rows by an index. A planner that knows only old statistics of a
# table that grows fast would scan it whole, under the lock: it is told not to, and to keep its plans. Plans
# made for an empty table may take the wrong index of a full one: they are made again, ever more rarely.
_PLANS: Final = (
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
    "SET enable_bitmapscan = off; SET enable_sort = off; SET enable_incremental_sort = off; "
    "SET jit = off; SET plan_cache_mode = force_generic_plan"
)
_REPLAN_EVERY: Final = 1_024


class PostgresDriver:
    """
    PostgreSQL through psycopg; statements that need no answer in between share a round trip.
    """

    def __init__(self, engine: Engine) -> None:
        connection = _own_connection(engine)
        connection.autocommit = True  # transactions are begun in the first round trip
        connection.prepare_threshold = 0
        connection.execute(_PLANS, prepare=False)
        self._connection = connection
        self._begun = 0

    def begin_and_select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Begin, lock and look in one round trip; each statement sees what the lock's holder before committed.
        """
        self._begun += 1
        with self._connection.pipeline():
            if self._begun & (self._begun - 1) == 0 or self._begun % _REPLAN_EVERY == 0:
                self._connection.execute("DISCARD PLANS")
            self._connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            cursors = [self._connection.execute(text, parameters) for text, parameters in queries]
            return [cursor.fetchall() for cursor in cursors]

    def select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Run queries in one round trip.
        """
        with self._connection.pipeline():
            cursors = [self._connection.execute(text, parameters) for text, parameters in queries]
            return [cursor.fetchall() for cursor in cursors]

    def write(self, writes: Sequence[Write]) -> None:
        """
        Send all statements in one round trip, then compare the counts.
        """
        with self._connection.pipeline():
            cursors = [self._connection.execute(write.bulk.text, _arrays(write)) for write in writes]
        for write, cursor in zip(writes, cursors, strict=True):
            _check_count(write, cursor.rowcount)

    def commit(self) -> None:
        """
        Commit and wait for the disk.
        """
        self._connection.execute("COMMIT")

    def recover(self) -> bool:
        """
        Undo the transaction and give the connection up.

        After an error in mid-pipeline the driver believes in prepared statements that were never made.
        """
        if not self._connection.closed:
            self._connection.execute("ROLLBACK")
        return False

    def close(self) -> None:
        """
        Close the connection.
        """
        self._connection.close()

    def many(self, values: Sequence[str]) -> str:
        """
        Return a list as array text.
        """
        return _text_array(values)

    def pairs(self, values: Collection[tuple[str, str]]) -> tuple[str, str]:
        """
        Return pairs as two array texts.
        """
        return _text_array([one for one, _ in values]), _text_array([other for _, other in values])


def _arrays(write: Write) -> list[Any]:
    """
    Turn rows into one array per column.

    Integers and texts go as array literals: the driver would look at each element, and pick a type by size
    that makes another prepared statement of each mix.
    """
    cols = zip(*_processed(write), strict=True)
    return [_ARRAYS[kind](col) for col, kind in zip(cols, write.bulk.kinds, strict=True)]


def _int_array(values: Sequence[int | None]) -> str:
    return "{" + ",".join(["NULL" if value is None else str(int(value)) for value in values]) + "}"


def _text_array(values: Sequence[str | None]) -> str:
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    if '"' in value or "\\" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


_ARRAYS: Final[dict[Kind, Callable[[Sequence[Any]], Any]]] = {
    Kind.INTEGER: _int_array,
    Kind.TEXT: _text_array,
    Kind.OTHER: list,
}


def connect(engine: Engine) -> Driver:
    """
    Open the writer's own connection.
    """
    return SqliteDriver(engine) if engine.dialect.name == "sqlite" else PostgresDriver(engine)


def trouble(error: BaseException) -> Trouble:
    """
    Say what an error means.
    """
    if isinstance(error, sqlite3.Error):
        return _sqlite_trouble(error)
    if type(error).__module__.split(".")[0] == "psycopg":
        return _postgres_trouble(error)
    cause = getattr(error, "orig", None)  # SQLAlchemy wraps what happens while it connects
    if isinstance(cause, BaseException):
        return Trouble.LOST
    return Trouble.LOST if isinstance(error, OSError) else Trouble.POISON


def _sqlite_trouble(error: sqlite3.Error) -> Trouble:
    code = getattr(error, "sqlite_errorcode", 0) or 0
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Trouble.BUSY
    if code == sqlite3.SQLITE_READONLY:  # its extended codes (a file that moved) may pass
        return Trouble.READ_ONLY
    if isinstance(error, sqlite3.IntegrityError):
        return Trouble.INTEGRITY
    if isinstance(error, sqlite3.InterfaceError | sqlite3.DataError | sqlite3.ProgrammingError):
        return Trouble.LOST if "closed" in str(error) else Trouble.POISON
    return Trouble.LOST


_POSTGRES_BUSY: Final = frozenset({"40001", "40P01", "55P03", "57014"})
_POSTGRES_READ_ONLY: Final = "25006"


def _postgres_trouble(error: BaseException) -> Trouble:
    import psycopg

    state = getattr(error, "sqlstate", None) or ""
    if state in _POSTGRES_BUSY:
        return Trouble.BUSY
    if state == _POSTGRES_READ_ONLY:
        return Trouble.READ_ONLY
    if isinstance(error, psycopg.IntegrityError):
        return Trouble.INTEGRITY
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Trouble.LOST
    return Trouble.POISON
