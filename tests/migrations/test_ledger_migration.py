"""
The migrations and the tables in code describe the same database, on both engines.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from ledger import make_engine, tables

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def config_for(connection: Connection) -> Config:
    """Return the Alembic configuration bound to a connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def migrate(engine: Engine, step: Callable[[Config], None]) -> None:
    """Run one Alembic command in a transaction."""
    with engine.begin() as connection:
        step(config_for(connection))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    made = make_engine(database_url)
    yield made
    made.dispose()


def triggers(connection: Connection) -> set[str]:
    """Return the names of all triggers of the ledger with, on SQLite, their text."""
    if connection.dialect.name == "sqlite":
        query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'ledger_%'"
    else:
        query = (
            "SELECT pg_get_triggerdef(t.oid) || p.prosrc FROM pg_trigger t "
            "JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE NOT tgisinternal AND tgname LIKE 'ledger_%'"
        )
    return set(connection.execute(text(query)).scalars())


def ours(difference: object) -> bool:
    """Tell whether a difference concerns a table of the ledger."""
    return "ledger_" in repr(difference)


def test_migrated_database_equals_the_metadata(engine: Engine) -> None:
    """
    After all migrations Alembic finds no difference to `ledger.tables`.
    """
    migrate(engine, lambda config: command.upgrade(config, "head"))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        differences = compare_metadata(context, tables.metadata)
    assert [difference for difference in differences if ours(difference)] == []


def test_alembic_check_finds_nothing(engine: Engine) -> None:
    """
    `alembic check` over the tables of every package finds nothing to migrate.
    """
    migrate(engine, lambda config: command.upgrade(config, "head"))
    migrate(engine, command.check)


def test_constraints_and_triggers_equal_the_metadata(engine: Engine) -> None:
    """
    CHECK constraints and triggers, which Alembic does not compare, are the same by migration and by code.
    """

    def checks(connection: Connection) -> set[tuple[str, str, str]]:
        inspector = inspect(connection)
        return {
            (table.name, str(check["name"]), str(check["sqltext"]))
            for table in tables.metadata.sorted_tables
            for check in inspector.get_check_constraints(table.name)
        }

    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        wanted = checks(connection), triggers(connection)
        tables.metadata.drop_all(connection)
    migrate(engine, lambda config: command.upgrade(config, "head"))
    with engine.connect() as connection:
        assert (checks(connection), triggers(connection)) == wanted
    assert len(wanted[1]) == (15 if engine.dialect.name == "sqlite" else 10)


def test_downgrade_leaves_nothing_behind(engine: Engine) -> None:
    """
    Every revision can be undone and applied again.
    """
    migrate(engine, lambda config: command.upgrade(config, "head"))
    migrate(engine, lambda config: command.downgrade(config, "base"))
    with engine.connect() as connection:
        left = [name for name in inspect(connection).get_table_names() if name.startswith("ledger_")]
    assert left == []
    migrate(engine, lambda config: command.upgrade(config, "head"))


def test_revisions_form_one_line() -> None:
    """
    There is one head, and the ledger's revision is the first.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert len(script.get_heads()) == 1
    assert script.get_bases() == ["0001"]
