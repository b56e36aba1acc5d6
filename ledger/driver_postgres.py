"""
PostgreSQL: prepared statements sent through libpq, those of one step in one round trip.

Only connecting and reading of rows are psycopg's. Its cursors take 40 microseconds of CPU for each statement
against 15 here, and a batch has twenty. Numbers are sent as texts, and so are lists, as array literals; the
types of all are named by the statements. Rows are sent value by value (decision 0032).
"""

import select
from collections.abc import Collection, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine

from ledger.drivers import Query, Write, committing, own_connection, processed
from ledger.statements import Bulk

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

Sent = tuple[str, Sequence[bytes | None], Sequence[int] | None]
"""A statement, its parameters, and of each whether it is sent as bytes (1) or text (0); None: all as text."""

# Every statement of the writer finds its rows by an index. A planner that knows only old statistics of a
# table that grows fast would scan it whole, under the lock: it is told not to, and to keep its plans. Plans
# made for an empty table may take the wrong index of a full one: they are made again, ever more rarely.
_SETTINGS: Final = (
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
    "SET enable_bitmapscan = off; SET enable_sort = off; SET enable_incremental_sort = off; "
    "SET jit = off; SET plan_cache_mode = force_generic_plan; "
    # a process that is stopped amid a transaction keeps others from its tenants no longer than this
    "SET idle_in_transaction_session_timeout = '5s'"
)
_REPLAN_EVERY: Final = 1_024
_COMMIT: Final = ("COMMIT", (), None)
_CANCEL_S: Final = 1.0
ANSWER_S: Final = 30.0
"""A server that says nothing for so long is given up: its kernel may answer for it for ever. A batch is
silent, too, while it waits for several locks, each for less than `lock_timeout`."""


class PostgresDriver:
    """
    PostgreSQL through libpq; statements that need no answer in between share a round trip.
    """

    def __init__(self, engine: Engine) -> None:
        from psycopg.adapt import Transformer
        from psycopg.errors import OperationalError, error_from_result
        from psycopg.pq import ExecStatus, TransactionStatus

        connection = own_connection(engine)
        connection.autocommit = True  # transactions are begun in the first round trip
        connection.execute(_SETTINGS, prepare=False)
        self._connection = connection
        self._pgconn = connection.pgconn
        self._status, self._lost, self._error = ExecStatus, OperationalError, error_from_result
        self._active = TransactionStatus.ACTIVE
        self._encoding = connection.info.encoding
        self._reader = Transformer(connection)
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket)
        self._prepared: dict[str, bytes] = {}
        self._names = count()
        self._begun = 0

    def begin_and_select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Begin, lock and look in one round trip; each statement sees what the lock's holder before committed.
        """
        first = self._beginning()
        results = self._exchange([*first, *self._asked(queries)])
        return [self._rows(result) for result in results[len(first) :]]

    def _beginning(self) -> list[Sent]:
        """
        Return what begins a transaction.
        """
        self._begun += 1
        begin: Sent = ("BEGIN ISOLATION LEVEL READ COMMITTED", (), None)
        replan = self._begun & (self._begun - 1) == 0 or self._begun % _REPLAN_EVERY == 0
        return [("DISCARD PLANS", (), None), begin] if replan else [begin]

    def select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Run queries in one round trip.
        """
        return [self._rows(result) for result in self._exchange(self._asked(queries))]

    def commit(self, writes: Sequence[Write]) -> None:
        """
        Send all statements and commit in one round trip; an insert makes all its rows or fails, and so does
        an update.
        """
        with committing():
            self._exchange([*self._sendable(writes), _COMMIT])

    def transact(self, first: Write | None, tests: Sequence[Query], rest: Sequence[Write]) -> int | None:
        """
        Do all in one round trip: the server carries out nothing behind a statement that fails.
        """
        begin = self._beginning()
        locks = [] if first is None else self._sendable([first])
        with committing():
            results = self._exchange([*begin, *locks, *self._asked(tests), *self._sendable(rest), _COMMIT])
        return int(self._rows(results[len(begin)])[0][0]) if locks else None

    def _sendable(self, writes: Sequence[Write]) -> list[Sent]:
        """
        Return the statements that send all rows: the longest ones of each, and one that fits what is left.
        """
        statements = []
        for write in writes:
            bulk, rows = write.bulk, processed(write)
            longest = bulk.chunks[0][0]
            statements += [self._chunk(bulk, rows[at : at + longest]) for at in range(0, len(rows), longest)]
        return statements

    def _chunk(self, bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> Sent:
        """
        Return the shortest statement that takes all of some rows. One that the server would take for a row
        that only fills up is refused.
        """
        place = bulk.never_null
        if place is not None and None in [row[place] for row in rows]:
            from psycopg import DataError

            raise DataError(f"a row has nothing in column {place + 1} of: {bulk.text[:60]}")
        size, text = min(one for one in ((1, bulk.text), *bulk.chunks) if one[0] >= len(rows))
        encoding = self._encoding
        values = [None if value is None else str(value).encode(encoding) for row in rows for value in row]
        nothing = (None,) * ((size - len(rows)) * len(bulk.as_bytes))
        if not bulk.counts:
            return text, (*values, *nothing), bulk.as_bytes * size
        return text, (*values, *nothing, str(len(rows)).encode()), (*bulk.as_bytes * size, False)

    def _asked(self, queries: Sequence[Query]) -> list[Sent]:
        return [(text, [self._as_text(value) for value in values], None) for text, values in queries]

    def recover(self) -> bool:
        """
        Undo the transaction.
        """
        self._exchange([("ROLLBACK", (), None)])
        return True

    def close(self) -> None:
        """
        Close the connection. What the server still works on is called off: its COMMIT would be carried out.
        """
        if self._pgconn.transaction_status == self._active:
            self._connection.cancel_safe(timeout=_CANCEL_S)
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

    def _exchange(self, statements: Sequence[Sent]) -> "list[PGresult]":
        """
        Send statements in one go and return what each one gave; the first that failed is raised.
        """
        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        prepared: list[str | None] = []  # for each result, the text that it says to be prepared
        for text, values, as_bytes in statements:
            if text not in self._prepared:
                self._prepare(text)
                prepared.append(text)
            pgconn.send_query_prepared(self._prepared[text], values, as_bytes)
            prepared.append(None)
        pgconn.pipeline_sync()
        results = self._receive()
        pgconn.exit_pipeline_mode()
        for result, made in zip(results, prepared, strict=True):
            if made is not None and result.status != self._status.COMMAND_OK:
                del self._prepared[made]  # it failed, or was skipped behind a failure
        self._raise_first(results)
        return [result for result, made in zip(results, prepared, strict=True) if made is None]

    def _prepare(self, text: str) -> None:
        """
        Have a statement prepared with what is sent next; its parameters get their types from its text.
        """
        parts = text.split("%s")
        numbered = "".join(f"{part}${place}" for place, part in enumerate(parts[:-1], 1)) + parts[-1]
        name = f"outlay_{next(self._names)}".encode()
        self._pgconn.send_prepare(name, numbered.encode(self._encoding))
        self._prepared[text] = name

    def _receive(self) -> "list[PGresult]":
        """
        Wait for the results of what was sent, up to its end; a lost connection raises.
        """
        pgconn, status = self._pgconn, self._status
        while pgconn.flush():  # the server reads on once its answers are read
            self._wait(select.POLLIN | select.POLLOUT)
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                self._wait(select.POLLIN)
            result = pgconn.get_result()
            if result is None:  # the end of one statement's results, or of the connection
                if self._connection.closed:
                    self._raise_first(results)
                    raise self._lost("the server closed the connection")
            elif result.status == status.PIPELINE_SYNC:
                return results
            else:
                results.append(result)

    def _raise_first(self, results: "list[PGresult]") -> None:
        """
        Raise the error of the statement that failed, if one did.
        """
        for result in results:
            if result.status == self._status.FATAL_ERROR:
                raise self._error(result, self._encoding)

    def _wait(self, events: int) -> None:
        self._poll.modify(self._pgconn.socket, events)
        if not self._poll.poll(ANSWER_S * 1_000):
            raise self._lost(f"the server did not answer for {ANSWER_S:g} seconds")
        self._pgconn.consume_input()

    def _as_text(self, value: str | int) -> bytes:
        """
        Write a parameter as text. What libpq would cut off at a NUL is refused.
        """
        sent = str(value).encode(self._encoding)
        if b"\0" in sent:
            from psycopg import DataError

            raise DataError("PostgreSQL text cannot contain NUL (0x00) bytes")
        return sent

    def _rows(self, result: "PGresult") -> list[tuple[Any, ...]]:
        self._reader.set_pgresult(result)
        return self._reader.load_rows(0, result.ntuples, tuple)


def _text_array(values: Sequence[str]) -> str:
    """
    Write texts as an array, all at once unless one needs a backslash.
    """
    text = '","'.join(values)
    if "\\" not in text and text.count('"') == 2 * max(0, len(values) - 1):
        return f'{{"{text}"}}' if values else "{}"
    return "{" + ",".join(map(_quoted, values)) + "}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
