"""
SQLite through the standard library.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Engine

from ledger.connect import SQLITE_FILE
from ledger.drivers import Changed, Query, Write, check_count, committing, own_connection, processed
from ledger.sqlite_file import CommitLog
from ledger.statements import Bulk


class SqliteDriver:
    """
    SQLite through the standard library.
    """

    def __init__(self, engine: Engine) -> None:
        connection = own_connection(engine)
        assert isinstance(connection, sqlite3.Connection)
        self._connection = connection
        self._log = CommitLog(engine.get_execution_options()[SQLITE_FILE])

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

    def _write(self, write: Write) -> None:
        rows = processed(write)
        count = 0
        if write.bulk.chunks:
            count, rows = self._insert_chunks(write.bulk, rows)
        if rows:
            count += self._connection.executemany(write.bulk.text, rows).rowcount
        check_count(write, count)

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

    def commit(self, writes: Sequence[Write]) -> None:
        """
        Send each statement with its rows, commit and wait for the disk; then see that it went to the file of
        that name.
        """
        for write in writes:
            self._write(write)
        with committing():
            self._connection.execute("COMMIT")
            self._log.check()

    def transact(self, first: Write | None, tests: Sequence[Query], rest: Sequence[Write]) -> None:
        """
        Take the write lock, test, write and commit.
        """
        assert first is None, "beginning has locked"
        for (found,), *_ in self.begin_and_select(tests):
            if not found:
                raise Changed
        self.commit(rest)

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
