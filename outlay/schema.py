"""
The database's revision: which one it is at, which one this Outlay needs, and how to get there.

Alembic runs in process and is loaded only to migrate; looking costs one query.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from ledger import make_engine, reading
from outlay.errors import SchemaMismatch, translated

_REVISION: Final = re.compile(r'^revision = "([^"]+)"$', re.MULTILINE)
_PARENT: Final = re.compile(r'^down_revision = "([^"]+)"$', re.MULTILINE)
_MIGRATION_LOCK: Final = 0x0E71A7  # the same number in every process; only one migrates at a time
UPGRADE: Final = "run: outlay db upgrade"
NEWER: Final = "the database was made by a newer Outlay: install that version"


def migrations() -> Path:
    """
    Return the folder of the migrations: beside this file in a wheel, else the repository's.
    """
    packaged = Path(__file__).with_name("_migrations")
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[1] / "migrations"


@cache
def revisions() -> tuple[str, ...]:
    """
    Return all revisions, the first one first.
    """
    following: dict[str | None, str] = {}
    for file in (migrations() / "versions").glob("*.py"):
        source = file.read_text(encoding="utf-8")
        own, parent = _REVISION.search(source), _PARENT.search(source)
        if own is not None:
            following[None if parent is None else parent.group(1)] = own.group(1)
    line: list[str] = []
    while (step := following.get(line[-1] if line else None)) is not None:
        line.append(step)
    return tuple(line)


def head() -> str:
    """
    Return the revision that this Outlay works with.
    """
    return revisions()[-1]


def current(where: Engine | str) -> str | None:
    """
    Return the revision of a database; None where it holds no books yet.
    """
    with _engine(where) as engine, translated(), reading(engine) as connection:
        return _current(connection)


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def check(where: Engine | str) -> None:
    """
    Do nothing where the database is at the wanted revision.

    Raises:
        SchemaMismatch: it is behind, empty, or made by a newer Outlay.
    """
    found = current(where)
    if found != head():
        raise SchemaMismatch(found, head(), UPGRADE if found is None or found in revisions() else NEWER)


def upgrade(where: Engine | str, to: str | None = None) -> str | None:
    """
    Bring a database to the wanted revision, or up to an earlier one, all or nothing.

    Processes that do so at once take turns.

    Returns:
        The revision that was found; None for a database that was empty.
    Raises:
        SchemaMismatch: the database was made by a newer Outlay; nothing is changed.
    """
    with _engine(where) as engine, translated(), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        found = _current(connection)
        if found is not None and found not in revisions():
            raise SchemaMismatch(found, head(), NEWER)
        if found != head():
            _migrate(connection, to or head())
        return found


def _migrate(connection: Connection, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


@contextmanager
def _engine(where: Engine | str) -> Iterator[Engine]:
    """
    Use the engine that is given, or one of our own for an address.
    """
    if isinstance(where, Engine):
        yield where
        return
    with translated():
        made = make_engine(where)
    try:
        yield made
    finally:
        made.dispose()
