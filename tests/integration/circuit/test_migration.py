"""
The migration 0002 builds exactly what the tables say, triggers included, and takes it away again.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, Engine, inspect, text

from circuit.tables import metadata
from ledger.connect import make_engine

REVISION = Path(__file__).parents[3] / "migrations" / "versions" / "0002_circuit.py"
TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
    "postgresql": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal UNION ALL "
    "SELECT proname, prosrc FROM pg_proc WHERE proname = 'circuit_append_only' ORDER BY 1",
}


@pytest.fixture
def engine(database_url: str) -> Engine:
    """An empty database, once on each engine."""
    return make_engine(database_url)


def _revision() -> ModuleType:
    spec = importlib.util.spec_from_file_location("revision_0002", REVISION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _shape(conn: Connection) -> object:
    """Columns, keys, checks, indexes and triggers as the database tells them."""
    found = inspect(conn)
    tables = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)],
            found.get_pk_constraint(name),
            sorted((c["name"] or "", c["sqltext"]) for c in found.get_check_constraints(name)),
            sorted(str(i["name"]) for i in found.get_indexes(name)),
            sorted(str(u["name"]) for u in found.get_unique_constraints(name)),
        )
        for name in sorted(found.get_table_names())
        if name.startswith("circuit_")
    }
    return tables, [tuple(row) for row in conn.execute(text(TRIGGERS[conn.dialect.name]))]


def test_the_migration_builds_what_the_tables_say(engine: Engine) -> None:
    """
    Upgrade and `create_all` give the same database, and autogenerate finds nothing left to do.
    """
    with engine.connect() as conn:
        context = MigrationContext.configure(
            conn, opts={"compare_type": True, "compare_server_default": True}
        )
        with Operations.context(context):
            _revision().upgrade()
            migrated = _shape(conn)
            assert compare_metadata(context, metadata) == []
            _revision().downgrade()
            tables, triggers = _shape(conn)  # type: ignore[misc]
            assert (tables, triggers) == ({}, [])
        metadata.create_all(conn)
        assert migrated == _shape(conn)
    engine.dispose()


def test_the_revision_follows_the_ledger() -> None:
    """
    The order of the packages' migrations is fixed.
    """
    assert (_revision().revision, _revision().down_revision) == ("0002", "0001")
