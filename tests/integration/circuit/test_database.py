"""
What only a database can promise: append-only events, the migration, reading within a transaction, errors.
"""

import threading

import pytest
from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from circuit import Rules, SpendRule, SpendWindow, SqlCircuitStore, State, StoreUnavailable, spend_deltas
from circuit.tables import metadata
from ledger.connect import make_engine, reading

NOW = 1_800_000_000 * 1_000_000
RULES = Rules(tenant_spend=SpendRule(60, 100, 30))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE circuit_event SET actor = 'eve'",
        "DELETE FROM circuit_event",
        "INSERT OR REPLACE INTO circuit_event SELECT * FROM circuit_event",
        "TRUNCATE circuit_event",
    ],
)
def test_events_cannot_be_changed(engine: Engine, sql_store: SqlCircuitStore, statement: str) -> None:
    """
    The triggers refuse every way to change history, for whoever connects to the database.
    """
    sqlite = engine.dialect.name == "sqlite"
    if ("REPLACE" in statement and not sqlite) or ("TRUNCATE" in statement and sqlite):
        pytest.skip("a statement of the other engine")
    sql_store.halt("global", "r", "ada", NOW)
    before = sql_store.events()
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as conn:
        conn.execute(text(statement))
    assert before == sql_store.events()


@pytest.mark.parametrize(
    "assignment", ["state = 'ajar'", "version = 0", "trips = -1", "subject = 'switch'", "state = 'halted'"]
)
def test_the_database_refuses_senseless_states(
    engine: Engine, sql_store: SqlCircuitStore, assignment: str
) -> None:
    """
    CHECK constraints are the last guard of the states.
    """
    sql_store.reset("global", "r", "ada", NOW)
    assert sql_store.force("global", State.DISABLED, "r", "ada", NOW).changed
    with pytest.raises(DBAPIError), engine.begin() as conn:
        conn.execute(text("UPDATE circuit_state SET " + assignment))


def test_reading_within_a_callers_transaction(engine: Engine, sql_store: SqlCircuitStore) -> None:
    """
    On an open connection the reading sees what that connection wrote, before its commit and alone.
    """
    with engine.begin() as conn:
        row = spend_deltas([("a", NOW, 7)], "w")[1].row
        conn.execute(metadata.tables["circuit_spend_bucket"].insert().values(**row))
        assert sql_store.read(conn, ("tenant:a",), NOW, RULES).spend == {"tenant:a": SpendWindow(7)}
        conn.rollback()
    with reading(engine) as conn:
        assert sql_store.read(conn, ("tenant:a",), NOW, RULES).spend == {"tenant:a": SpendWindow(0)}


def test_reading_waits_for_no_writer(engine: Engine, sql_store: SqlCircuitStore) -> None:
    """
    While another connection holds the write lock, switches and snapshots are read at once.
    """
    sql_store.halt("global", "r", "ada", NOW)
    with engine.begin() as conn:
        conn.execute(text("UPDATE circuit_state SET reason = 'not committed'"))
        read: list[str] = []
        thread = threading.Thread(
            target=lambda: read.append(sql_store.switches(("global",))["global"].reason)
        )
        thread.start()
        thread.join(timeout=5)
        assert read == ["r"]
        assert sql_store.read(None, ("global",), NOW, RULES).switches["global"].reason == "r"
        assert sql_store.standing().switches[0].reason == "r"
        assert len(sql_store.events()) == 1


def test_admission_is_one_statement(engine: Engine, sql_store: SqlCircuitStore) -> None:
    """
    However many models are asked for, PostgreSQL is asked once.
    """
    seen: list[str] = []

    def note(conn: Connection, cursor: object, statement: str, *rest: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    scopes = ("global", "tenant:a", *(f"model:{number}" for number in range(20)))
    sql_store.read(None, scopes, NOW, RULES)
    event.remove(engine, "before_cursor_execute", note)
    assert len(seen) == (0 if engine.dialect.name == "sqlite" else 1)  # SQLite goes past SQLAlchemy


def test_a_database_without_tables_is_unavailable(database_url: str) -> None:
    """
    Whatever the driver raises is said in the circuit's own word, with the cause kept.
    """
    engine = make_engine(database_url)
    store = SqlCircuitStore(engine)
    for call in (
        lambda: store.read(None, ("global",), NOW, RULES),
        lambda: store.switches(("global",)),
        store.standing,
        store.events,
        lambda: store.halt("global", "r", "ada", NOW),
        lambda: store.record(spend_deltas([("a", NOW, 1)], "w")),
        lambda: store.prune(NOW),
    ):
        with pytest.raises(StoreUnavailable) as failure:
            call()
        assert failure.value.__cause__ is not None
    engine.dispose()


def test_everything_is_64_bits_wide(engine: Engine) -> None:
    """
    No column of a number is narrower than BIGINT (SQLite's only integer is).
    """
    columns = [
        column
        for table in metadata.tables
        for column in inspect(engine).get_columns(table)
        if str(column["type"]) not in ("TEXT", "BIGINT")
    ]
    assert [column["name"] for column in columns] == (["seq"] if engine.dialect.name == "sqlite" else [])
