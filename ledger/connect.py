"""
Engines for both databases, set up alike everywhere: durable commits, no surprise in locking.

SQLite: WAL, `synchronous=FULL`, transactions begun explicitly. A transaction is `BEGIN IMMEDIATE`, because
a read that later writes would fail at once where another writer was faster and no time-out helps; readers
that never write say so with `reading(engine)` and then wait for nobody. PostgreSQL: READ COMMITTED.
"""

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from ledger.sqlite_file import SqliteFile
from ledger.sqlite_fork import Connections

READ_ONLY = "ledger_read_only"
SQLITE_FILE = "ledger_sqlite_file"
SQLITE_CONNECTIONS = "ledger_sqlite_connections"
BUSY_TIMEOUT_MS = 10_000
_WAL_ATTEMPTS = 500
_WAL_PAUSE_S = 0.02
_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA recursive_triggers=ON",  # else REPLACE would slip past the append-only triggers
)

_POSTGRESQL: Final[dict[str, str | int]] = {
    "application_name": "outlay",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    # nobody waits for ever for a process that hangs with a lock in its hands
    "options": "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
}


class DatabaseUrlError(ValueError):
    """
    The database address cannot be used; the message says what to write instead.
    """


def make_engine(url: str) -> Engine:
    """
    Make the engine for an address `sqlite:///FILE` or `postgresql://...`.

    Raises:
        DatabaseUrlError: another database, SQLite without a file (several threads could not share it), or a
            file in a folder that does not exist: a mistyped path is not made into new books.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed)
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        address = parsed.set(drivername="postgresql+psycopg")
        options = {"connect_args": _POSTGRESQL, "pool_pre_ping": True, "pool_size": 5, "max_overflow": 20}
        return _within_process(create_engine(address, **options))
    raise DatabaseUrlError(
        f"database {parsed.get_backend_name()!r} is not supported: use sqlite or postgresql"
    )


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except Exception as error:
        raise DatabaseUrlError("not a database address: write sqlite:///FILE or postgresql://...") from error


def _sqlite_engine(url: URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise DatabaseUrlError("SQLite needs a file: write sqlite:///FILE")
    scheme = "file:" if str(url.database).startswith("file:") else ""
    path = Path(str(url.database).removeprefix("file:")).absolute()  # a process may change its folder
    if not path.parent.is_dir():
        raise DatabaseUrlError(f"there is no folder {path.parent}: make it first, or correct the path")
    file = SqliteFile(str(path), make="mode" not in url.query)
    connections = Connections(file)
    engine = create_engine(
        url.set(database=f"{scheme}{path}"),
        connect_args={"check_same_thread": False, "factory": connections.connect},
        pool_size=10,
        max_overflow=40,
        execution_options={SQLITE_FILE: file, SQLITE_CONNECTIONS: connections},
    )
    connections.watch(engine)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "connect", lambda *_: file.opened())
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "do_connect", lambda *_: file.opening())
    event.listen(engine, "checkin", connections.returned)
    event.listen(engine, "checkout", lambda *_: file.check_lately())
    event.listen(engine, "commit", lambda *_: file.check())
    return engine


def _within_process(engine: Engine) -> Engine:
    """
    Keep connections to the process that made them: a fork of it begins with none, and opens its own.
    """
    mine = weakref.ref(engine)

    def forked() -> None:
        if (inherited := mine()) is not None:
            inherited.dispose(close=False)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """
    Turn off the driver's own transactions and make commits durable.
    """
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _write_ahead(connection)
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """
    Turn on the write-ahead log. The first to do so needs the file for itself, and SQLite does not wait for
    that by its time-out: of processes that open a new file at once, all but one would fail.
    """
    for attempt in range(_WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt + 1 == _WAL_ATTEMPTS:
                raise
            time.sleep(_WAL_PAUSE_S)


def _begin_sqlite(connection: Connection) -> None:
    """
    Begin the transaction that the driver no longer begins.
    """
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """
    Open a connection that only reads: one consistent picture, and no lock on SQLite.
    """
    isolation = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect() as connection:
        yield connection.execution_options(**{READ_ONLY: True}, **isolation)
