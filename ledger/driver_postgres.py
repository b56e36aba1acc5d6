"""
PostgreSQL: prepared statements sent through libpq, those of one step in one round trip.

Only connecting and reading of rows are psycopg's. Its cursors take 40 microseconds of CPU for each statement
against 15 here, and a batch has twenty. What is sent are texts alone: numbers, and lists as array literals,
whose types the statements name.
"""

import select
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine

from ledger.drivers import Query, Write, check_count, own_connection, processed
from ledger.statements import Kind

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

# Every statement of the writer finds its rows by an index. A planner that knows only old statistics of a
# table that grows fast would scan it whole, under the lock: it is told not to, and to keep its plans. Plans
# made for an empty table may take the wrong index of a full one: they are made again, ever more rarely.
_PLANS: Final = (
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
    "SET enable_bitmapscan = off; SET enable_sort = off; SET enable_incremental_sort = off; "
    "SET jit = off; SET plan_cache_mode = force_generic_plan"
)
_REPLAN_EVERY: Final = 1_024
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
        from psycopg.pq import ExecStatus

        connection = own_connection(engine)
        connection.autocommit = True  # transactions are begun in the first round trip
        connection.execute(_PLANS, prepare=False)
        self._connection = connection
        self._pgconn = connection.pgconn
        self._status, self._lost, self._error = ExecStatus, OperationalError, error_from_result
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
        results = self._exchange([*first, *queries])
        return [self._rows(result) for result in results[len(first) :]]

    def _beginning(self) -> list[Query]:
        """
        Return what begins a transaction.
        """
        self._begun += 1
        begin: Query = ("BEGIN ISOLATION LEVEL READ COMMITTED", ())
        replan = self._begun & (self._begun - 1) == 0 or self._begun % _REPLAN_EVERY == 0
        return [("DISCARD PLANS", ()), begin] if replan else [begin]

    def select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """
        Run queries in one round trip.
        """
        return [self._rows(result) for result in self._exchange(queries)]

    def write(self, writes: Sequence[Write]) -> None:
        """
        Send all statements in one round trip, then compare the counts.
        """
        self._check(writes, self._exchange(self._sendable(writes)))

    def begin_and_write(
        self, first: Sequence[Write], queries: Sequence[Query], rest: Sequence[Write]
    ) -> list[list[tuple[Any, ...]]]:
        """
        Begin, lock, look and write in one round trip.
        """
        before = [*self._beginning(), *self._sendable(first)]
        results = self._exchange([*before, *queries, *self._sendable(rest)])
        written = len(before) + len(queries)
        self._check(first, results[len(before) - len(first) : len(before)])
        self._check(rest, results[written:])
        return [self._rows(result) for result in results[len(before) : written]]

    def _sendable(self, writes: Sequence[Write]) -> list[Query]:
        return [(write.bulk.text, self._arrays(write)) for write in writes]

    def _check(self, writes: Sequence[Write], results: "Sequence[PGresult]") -> None:
        for write, result in zip(writes, results, strict=True):
            check_count(write, result.command_tuples or 0)

    def commit(self) -> None:
        """
        Commit and wait for the disk.
        """
        self._exchange([("COMMIT", ())])

    def recover(self) -> bool:
        """
        Undo the transaction.
        """
        self._exchange([("ROLLBACK", ())])
        return True

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

    def _exchange(self, queries: Sequence[Query]) -> "list[PGresult]":
        """
        Send statements in one go and return what each one gave; the first that failed is raised.
        """
        ready = [(text, [self._sent(value) for value in values]) for text, values in queries]
        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        prepared: list[str | None] = []  # for each result, the text that it says to be prepared
        for text, values in ready:
            if text not in self._prepared:
                self._prepare(text)
                prepared.append(text)
            pgconn.send_query_prepared(self._prepared[text], values)
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

    def _sent(self, value: Any) -> bytes:
        """
        Write a parameter as text. What libpq would cut off at a NUL is refused.
        """
        if isinstance(value, bytes):
            return value
        assert value is not None, "NULL is sent in arrays only; here it would become a text"
        sent = str(value).encode(self._encoding)
        if b"\0" in sent:
            from psycopg import DataError

            raise DataError("PostgreSQL text cannot contain NUL (0x00) bytes")
        return sent

    def _rows(self, result: "PGresult") -> list[tuple[Any, ...]]:
        self._reader.set_pgresult(result)
        return self._reader.load_rows(0, result.ntuples, tuple)

    def _arrays(self, write: Write) -> tuple[Any, ...]:
        """
        Turn rows into one array per column.
        """
        cols = zip(*processed(write), strict=True)
        return tuple(
            self._other_array(col) if kind is Kind.OTHER else _ARRAYS[kind](col)
            for col, kind in zip(cols, write.bulk.kinds, strict=True)
        )

    def _other_array(self, values: Sequence[Any]) -> bytes:
        """
        Write a list of what only psycopg can write, such as floats and truth values.
        """
        from psycopg.adapt import PyFormat

        (written,) = self._reader.dump_sequence([list(values)], [PyFormat.TEXT])
        return bytes(written or b"")


def _int_array(values: Sequence[int | None]) -> str:
    text = ",".join(map(str, values))
    if "e" in text:  # None, True or False: rare, and slower to look for one by one
        text = ",".join(["NULL" if value is None else str(int(value)) for value in values])
    return f"{{{text}}}"


def _text_array(values: Sequence[str | None]) -> str:
    """
    Write texts as an array, all at once unless one is NULL or needs a backslash.
    """
    if None not in values:
        text = '","'.join(values)  # type: ignore[arg-type]  # no None among them
        if "\\" not in text and text.count('"') == 2 * max(0, len(values) - 1):
            return f'{{"{text}"}}' if values else "{}"
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_ARRAYS: Final[dict[Kind, Callable[[Sequence[Any]], str]]] = {
    Kind.INTEGER: _int_array,
    Kind.TEXT: _text_array,
}
