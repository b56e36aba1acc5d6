"""
The migration 0003 builds exactly what `outlay/tables.py` says, and `outlay.schema` brings databases there.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, insert, inspect, text
from sqlalchemy.exc import DBAPIError

from ledger import make_engine
from outlay import schema, tables
from outlay.errors import BadInput, BooksUnavailable, SchemaMismatch

TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'outlay_%'"
    " ORDER BY 1",
    "postgresql": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
    " AND tgname LIKE 'outlay_%' UNION ALL"
    " SELECT proname, prosrc FROM pg_proc WHERE proname = 'outlay_append_only' ORDER BY 1",
}
POLICY = {"tenant": "*", "version": 1, "text": "", "actor": "t", "note": "", "at_us": 1}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    made = make_engine(database_url)
    yield made
    made.dispose()


def shape(connection: Connection) -> object:
    """Columns, keys, checks, indexes and triggers as the database tells them."""
    found = inspect(connection)
    described = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)],
            found.get_pk_constraint(name)["constrained_columns"],
            sorted((c["name"] or "", c["sqltext"]) for c in found.get_check_constraints(name)),
            sorted((str(i["name"]), tuple(i["column_names"])) for i in found.get_indexes(name)),
            sorted(tuple(u["column_names"]) for u in found.get_unique_constraints(name)),
        )
        for name in sorted(found.get_table_names())
        if name.startswith("outlay_")
    }
    return described, [tuple(row) for row in connection.execute(text(TRIGGERS[connection.dialect.name]))]


def decision_row(**values: object) -> dict[str, object]:
    """A decision with every required column filled."""
    row: dict[str, object] = {
        column.name: "" if str(column.type) == "TEXT" else 0
        for column in tables.decision.columns
        if not column.nullable
    }
    return {**row, "stream": False, **values}


def test_the_migration_builds_what_the_tables_say(engine: Engine) -> None:
    """
    Upgrade and `create_all` give the same database, triggers included, and autogenerate finds nothing.
    """
    assert schema.upgrade(engine) is None
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        found = compare_metadata(context, tables.metadata)
        assert [difference for difference in found if "outlay_" in repr(difference)] == []
        migrated = shape(connection)
    with engine.begin() as connection:
        tables.metadata.drop_all(connection)
        connection.execute(
            text("DROP FUNCTION outlay_append_only")
        ) if connection.dialect.name != "sqlite" else None
        assert shape(connection) == ({}, [])
        tables.metadata.create_all(connection)
        assert shape(connection) == migrated


@pytest.mark.parametrize("table", ["outlay_policy", "outlay_decision"])
@pytest.mark.parametrize("change", ["UPDATE {} SET at_us = 2", "DELETE FROM {}", "TRUNCATE {}"])
def test_policies_and_decisions_cannot_be_changed(engine: Engine, table: str, change: str) -> None:
    """
    The database itself refuses to change or delete a policy version or a decision.
    """
    if engine.dialect.name == "sqlite" and change.startswith("TRUNCATE"):
        return
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(insert(tables.policy).values(POLICY))
        connection.execute(insert(tables.decision).values(decision_row(id="d1")))
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change.format(table)))


def test_replacing_does_not_change_a_row_either(sqlite_url: str) -> None:
    """
    `INSERT OR REPLACE`, by which SQLite would delete without telling a trigger, changes nothing.
    """
    engine = make_engine(sqlite_url)
    schema.upgrade(engine)
    row = decision_row(id="d1", tenant="first")
    with engine.begin() as connection:
        connection.execute(text("PRAGMA recursive_triggers=OFF"))
        connection.execute(insert(tables.decision).values(row))
        connection.execute(
            insert(tables.decision).prefix_with("OR REPLACE").values({**row, "tenant": "second"})
        )
        connection.execute(insert(tables.policy).values(POLICY))
        assert connection.execute(text("SELECT tenant FROM outlay_decision")).scalars().all() == ["first"]
        with pytest.raises(DBAPIError, match="append-only"):
            connection.execute(
                insert(tables.policy).prefix_with("OR REPLACE").values({**POLICY, "text": "x"})
            )
    engine.dispose()


def test_upgrade_and_check_agree(engine: Engine) -> None:
    """
    A database is refused until it is upgraded, and upgrading again changes nothing.
    """
    assert schema.current(engine) is None
    with pytest.raises(SchemaMismatch, match="outlay db upgrade"):
        schema.check(engine)
    schema.upgrade(engine)
    schema.check(engine)
    assert schema.current(engine) == schema.head()
    assert schema.upgrade(engine) == schema.head()


def test_a_newer_database_is_left_alone(engine: Engine) -> None:
    """
    A database made by a newer Outlay is neither used nor changed.
    """
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for act in (schema.check, schema.upgrade):
        with pytest.raises(SchemaMismatch, match="newer Outlay"):
            act(engine)


def test_processes_that_upgrade_at_once_take_turns(database_url: str) -> None:
    """
    Several upgrades of one empty database end with one schema and no error.
    """
    found: list[object] = []

    def work() -> None:
        try:
            found.append(schema.upgrade(database_url))
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == sorted(["None", schema.head(), schema.head()])


def test_the_head_is_the_one_that_alembic_finds() -> None:
    """
    The revisions read from the files are those of Alembic.
    """
    config = Config()
    config.set_main_option("script_location", str(schema.migrations()))
    script = ScriptDirectory.from_config(config)
    assert (schema.head(),) == tuple(script.get_heads())
    assert schema.revisions() == tuple(r.revision for r in reversed(list(script.walk_revisions())))


def test_an_unusable_address_is_named(tmp_path: Path) -> None:
    """
    A wrong or unreachable address, and a file that is no database, are public errors without a statement.
    """
    (tmp_path / "file").write_text("this is not a database, but long enough to be taken for one " * 20)
    with pytest.raises(BooksUnavailable) as caught:
        schema.current(f"sqlite:///{tmp_path / 'file'}")
    assert "SELECT" not in str(caught.value)
    with pytest.raises(BadInput, match=f"there is no folder {tmp_path / 'file/below'}"):
        schema.current(f"sqlite:///{tmp_path / 'file/below/outlay.db'}")
    with pytest.raises(BadInput, match="database_url"):
        schema.current("mysql://x/y")
    with pytest.raises(BooksUnavailable, match="did not answer"):
        schema.current("postgresql://127.0.0.1:1/none")
