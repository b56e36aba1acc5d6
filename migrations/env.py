"""
Runs the migrations of all packages on the connection that the caller hands over.

`config.attributes["connection"]` is an open SQLAlchemy connection of either engine; this file reads no
setting and opens no database.
"""

import importlib
import importlib.util

from alembic import context
from sqlalchemy import Connection, MetaData

PACKAGES = ("ledger.tables", "circuit.tables", "outlay.tables")


def present(name: str) -> bool:
    """
    Tell whether a module of tables exists; a package may come without one.
    """
    return importlib.util.find_spec(name) is not None


def all_metadata() -> list[MetaData]:
    """
    Return the metadata of every package that has tables.
    """
    return [importlib.import_module(name).metadata for name in PACKAGES if present(name)]


def run(connection: Connection) -> None:
    """
    Bring the database to the wanted revision inside one transaction.
    """
    context.configure(
        connection=connection,
        target_metadata=all_metadata(),
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("offline migrations are not supported: hand over a connection")
given = context.config.attributes.get("connection")
if given is None:
    raise SystemExit('no connection: run `outlay db upgrade`, or set config.attributes["connection"]')
run(given)
