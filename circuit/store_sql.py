"""
The store on SQLite and PostgreSQL; it takes the engine that the shell made.

It decides nothing: rules are pure functions elsewhere. A transition is a compare-and-set on the version
with its event row in the same transaction. Reading takes no lock and begins no transaction of its own.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, text, tuple_, update
from sqlalchemy.exc import SQLAlchemyError

from circuit import sql
from circuit.health import CallDelta
from circuit.journal import GENESIS, event_from_row, event_row
from circuit.orders import Orders
from circuit.rules import Rules
from circuit.spend import BucketDelta
from circuit.store import KEEP_S
from circuit.tables import call_bucket, event_log, spend_bucket, state
from circuit.types import (
    US_PER_S,
    Event,
    Snapshot,
    Standing,
    StoreUnavailable,
    Subject,
    Switch,
    Transition,
)

_STATE_COLUMNS = [column for column in state.columns if column.name != "hash"]


@contextmanager
def _guarded() -> Iterator[None]:
    """
    Say in the circuit's own word that the database did not answer.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreUnavailable(f"the circuit's store did not answer: {type(error).__name__}") from error


class SqlCircuitStore(Orders):
    """
    Breakers, switches, buckets and the journal of all processes on one database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._mark = "?" if self._is_sqlite else "%s"
        self._readers = engine if self._is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")

    def read(self, conn: object | None, scopes: Sequence[str], now_us: int, rules: Rules) -> Snapshot:
        """
        Read what admission needs: breakers and switches of the scopes, and their windows by the rules.
        """
        rows = self._rows(conn, sql.read_query(self._mark, scopes, now_us, rules))
        return sql.snapshot_from(rows, scopes, now_us)

    def switches(self, scopes: Sequence[str]) -> Mapping[str, Switch]:
        """
        Read only the kill switches, as cheaply as possible: what is read between hold and send.
        """
        rows = self._rows(None, sql.switch_query(self._mark, scopes))
        return {str(row[0]): sql.switch_from(row) for row in rows}

    def _rows(self, conn: object | None, query: sql.Query) -> Sequence[sql.Row]:
        """
        Run a reading statement on the bare driver (SQLite), or with one round trip (PostgreSQL).
        """
        with _guarded():
            if conn is not None:
                assert isinstance(conn, Connection)
                return self._rows_on(conn, query)
            if self._is_sqlite:
                borrowed = self._engine.raw_connection()
                try:
                    return _bare_rows(borrowed.dbapi_connection, query)
                finally:
                    borrowed.close()
            with self._readers.connect() as own:
                return self._rows_on(own, query)

    def _rows_on(self, conn: Connection, query: sql.Query) -> Sequence[sql.Row]:
        if self._is_sqlite:
            return _bare_rows(conn.connection.dbapi_connection, query)
        return [tuple(row) for row in conn.exec_driver_sql(query.text, query.parameters)]

    def standing(self, scopes: Sequence[str] | None = None) -> Standing:
        """
        Read the breakers and switches of some scopes, or of all that ever moved.
        """
        query = select(*_STATE_COLUMNS).order_by(state.c.scope)
        if scopes is not None:
            query = query.where(state.c.scope.in_(scopes))
        with _guarded(), self._reading() as conn:
            rows = [tuple(row) for row in conn.execute(query)]
        return Standing(
            tuple(sql.breaker_from(row) for row in rows if row[1] == Subject.BREAKER),
            tuple(sql.switch_from_state(row) for row in rows if row[1] == Subject.SWITCH),
        )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._readers.connect() as conn:
            # what the engine takes for "waits for nobody"
            yield conn.execution_options(ledger_read_only=True)

    def apply(self, transitions: Sequence[Transition]) -> tuple[Transition, ...]:
        """
        Make the transitions whose version is still the stored one; return those that were made.

        Scopes are taken in order, so that two processes never wait for each other crosswise.
        """
        if not transitions:
            return ()
        ordered = sorted(transitions, key=lambda wish: (wish.scope, wish.subject, wish.version))
        with _guarded(), self._engine.begin() as conn:
            return tuple(wish for wish in ordered if _apply(conn, wish))

    def record(self, deltas: Sequence[BucketDelta | CallDelta]) -> None:
        """
        Add up bucket changes; for those that no ledger transaction carries.
        """
        ordered = sorted(deltas, key=lambda delta: (delta.scope, delta.starts_us))
        spend = [delta.row for delta in ordered if isinstance(delta, BucketDelta)]
        calls = [delta.row for delta in ordered if isinstance(delta, CallDelta)]
        if not ordered:
            return
        with _guarded(), self._engine.begin() as conn:
            if spend:
                conn.execute(text(sql.UPSERT_SPEND), spend)
            if calls:
                conn.execute(text(sql.UPSERT_CALLS), calls)

    def events(self, limit: int | None = 100, scope: str | None = None) -> tuple[Event, ...]:
        """
        Read events, the newest first; None reads all.
        """
        query = select(event_log).order_by(event_log.c.seq.desc()).limit(limit)
        if scope is not None:
            query = query.where(event_log.c.scope == scope)
        with _guarded(), self._reading() as conn:
            rows = conn.execute(query).mappings().all()
        return tuple(event_from_row(row["seq"], {**row}) for row in rows)

    def prune(self, now_us: int, keep_s: int = KEEP_S, limit: int = 500) -> int:
        """
        Delete at most *limit* old buckets of each kind; return how many went.
        """
        before_us = now_us - keep_s * US_PER_S
        with _guarded(), self._engine.begin() as conn:
            return sum(_prune(conn, table, before_us, limit) for table in (spend_bucket, call_bucket))


def _bare_rows(driver: Any, query: sql.Query) -> Sequence[sql.Row]:
    rows: Sequence[sql.Row] = driver.execute(query.text, query.parameters).fetchall()
    return rows


def _apply(conn: Connection, wish: Transition) -> bool:
    """
    Compare and set the version; the event follows only if that changed a row.
    """
    previous = _previous_hash(conn, wish)
    if previous is None:
        return False
    row = event_row(wish, previous)
    values = {
        "state": row["to_state"],
        "version": row["version"],
        "changed_us": row["at_us"],
        **{name: row[name] for name in ("until_us", "trips", "since_us", "rule", "actor", "reason", "hash")},
    }
    if not _set(conn, wish, values):
        return False
    conn.execute(insert(event_log).values(row))
    return True


def _previous_hash(conn: Connection, wish: Transition) -> str | None:
    """
    The head of the chain at the wished version; None where the version is another.
    """
    here = (state.c.scope == wish.scope, state.c.subject == wish.subject.value)
    found = conn.execute(select(state.c.version, state.c.hash).where(*here)).one_or_none()
    if found is None:
        return GENESIS if wish.version == 0 else None
    return str(found.hash) if found.version == wish.version else None


def _set(conn: Connection, wish: Transition, values: Mapping[str, str | int | None]) -> bool:
    key = {"scope": wish.scope, "subject": wish.subject.value}
    if wish.version == 0:
        return conn.execute(text(sql.FIRST_STATE), {**key, **values}).rowcount == 1
    here = (
        state.c.scope == wish.scope,
        state.c.subject == wish.subject.value,
        state.c.version == wish.version,
    )
    return conn.execute(update(state).where(*here).values(**values)).rowcount == 1


def _prune(conn: Connection, table: Any, before_us: int, limit: int) -> int:
    key = tuple_(*table.primary_key.columns)
    old = select(*table.primary_key.columns).where(table.c.starts_us < before_us)
    return conn.execute(delete(table).where(key.in_(old.order_by(table.c.starts_us).limit(limit)))).rowcount
