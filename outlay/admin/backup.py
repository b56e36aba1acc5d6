"""
Online backup and restore. The books may be in use while a backup is made; it is one consistent instant.

SQLite: its own backup API makes a file that is a database. PostgreSQL: every table by COPY in one REPEATABLE
READ transaction, into a zip with a list of contents; no program of the server is needed. A restore only goes
into an empty place, and brings an older backup to the schema of this version.
"""

import json
import os
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, inspect, literal, select, table, text

from ledger import make_engine, reading
from ledger.sqlite_file import make_private
from outlay import schema
from outlay.clock import now_us
from outlay.database import missing_file
from outlay.errors import BadInput, SchemaMismatch, translated
from outlay.fields import instant_text

FORMAT: Final = "outlay-backup/1"
_MANIFEST: Final = "manifest.json"
_CHUNK: Final = 1 << 20


def backup(url: str, path: str) -> dict[str, Any]:
    """
    Write a backup of the books to a new file.

    Returns:
        file, engine, revision, bytes, made_at.
    """
    target = _new_path(path)
    with translated(), _opened(url) as engine:
        revision = schema.current(engine)
        if revision is None:
            raise SchemaMismatch(None, schema.head(), schema.UPGRADE)
        part = target.with_name(f"{target.name}.part")
        try:
            if engine.dialect.name == "sqlite":
                _copy_sqlite(Path(str(engine.url.database)), part)
            else:
                _write_zip(engine, part, revision)
            _sync(part)
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        name = engine.dialect.name
    made_at = instant_text(now_us())
    return {
        "file": path, "engine": name, "revision": revision, "bytes": target.stat().st_size, "made_at": made_at
    }  # fmt: skip


def restore(url: str, path: str) -> dict[str, Any]:
    """
    Bring a backup into an empty database, and to the schema of this version.

    Raises:
        BadInput: The file is no backup for this engine, is damaged, or the database has rows already.
    """
    source = Path(path)
    if not source.is_file():
        raise BadInput("file", path, "there is no such file", "Name a file made by: outlay db backup.")
    with translated(), _opened(url) as engine:
        if missing_file(url) is None:
            _check_empty(engine)
        if engine.dialect.name == "sqlite":
            found = _restore_sqlite(source, Path(str(engine.url.database)), engine)
        else:
            found = _restore_zip(source, engine)
        schema.upgrade(engine)
    return {"file": path, "engine": engine.dialect.name, "found": found, "revision": schema.head()}


def _check_empty(engine: Engine) -> None:
    """
    Refuse a database with rows in any table, as a gateway leaves that was started there: on SQLite they would
    be lost, and the backup may have the same. Tables without rows, which a failed restore leaves, are empty.
    """
    with reading(engine) as connection:
        for name in _tables(connection):
            if connection.execute(select(literal(1)).select_from(table(name)).limit(1)).first() is not None:
                fix = "Restore into an empty database, and point OUTLAY_DATABASE_URL to it."
                raise BadInput("database_url", None, f"has rows in {name} already", fix)


def _new_path(path: str) -> Path:
    target = Path(path)
    if target.exists():
        raise BadInput("to", path, "there is a file already", "Name a new file.")
    if not target.absolute().parent.is_dir() or not os.access(target.absolute().parent, os.W_OK):
        raise BadInput("to", path, "cannot be written there", "Name a file in a folder of your own.")
    return target


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    engine = make_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _copy_sqlite(source: Path, target: Path) -> None:
    """
    Copy a database that may be in use; the whole copy is one read transaction, which no writer waits for.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    address = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")  # one file, without companions
        damage = new.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise BadInput("database_url", source, f"is damaged: {damage}", "Restore an earlier backup.")


def _restore_sqlite(source: Path, target: Path, engine: Engine) -> str:
    address = f"sqlite:///{source.absolute()}"
    try:
        with _opened(address) as old:
            found = schema.current(old)
    except Exception as error:
        raise _no_backup(source) from error
    if found is None:
        raise _no_backup(source)
    _check_revision(source, found)
    engine.dispose()
    make_private(target)
    with closing(sqlite3.connect(source)) as old_file, closing(sqlite3.connect(target)) as new:
        old_file.backup(new)
    _sync(target)
    return str(found)


def _check_revision(source: Path, revision: str) -> None:
    if revision not in schema.revisions():
        problem = f"was made by a newer Outlay, at revision {revision}"
        raise BadInput("file", str(source), problem, "Install that version, then restore.")


def _check_tables(engine: Engine, revision: str) -> None:
    """
    Refuse tables of another revision: what the upgrades since do with rows would not be done with these.
    """
    found = schema.current(engine)
    if found not in (None, revision):
        problem = f"has the tables of revision {found}, the backup those of {revision}"
        raise BadInput("database_url", None, problem, "Restore into a new database; that upgrades it, too.")


def _no_backup(source: Path) -> BadInput:
    return BadInput("file", str(source), "is no backup for this engine, or damaged", "Name another file.")


def _tables(connection: Connection) -> list[str]:
    """
    Name the tables in an order in which rows can be inserted.
    """
    ordered = inspect(connection).get_sorted_table_and_fkc_names()
    return [name for name, _ in ordered if name is not None and name != "alembic_version"]


def _write_zip(engine: Engine, target: Path, revision: str) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    contents: list[dict[str, Any]] = []
    with (
        engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        for name in _tables(connection):
            every = inspect(connection).get_columns(name)
            columns = [column["name"] for column in every if "computed" not in column]  # made from the others
            contents.append(
                {"table": name, "columns": columns, "digest": _copy_out(connection, file, name, columns)}
            )
        manifest = {"format": FORMAT, "revision": revision, "tables": contents}
        file.writestr(_MANIFEST, json.dumps(manifest, indent=1))


def _list(columns: list[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _copy_out(connection: Connection, file: zipfile.ZipFile, name: str, columns: list[str]) -> str:
    """
    Write the rows of a table; returns the digest of what was written.
    """
    digest = sha256()
    cursor: Any = connection.connection.cursor()
    with (
        file.open(name, "w", force_zip64=True) as member,
        cursor.copy(f'COPY "{name}" ({_list(columns)}) TO STDOUT') as copy,
    ):
        for block in copy:
            digest.update(block)
            member.write(block)
    return digest.hexdigest()


def _restore_zip(source: Path, engine: Engine) -> str:
    from psycopg import DataError, IntegrityError

    try:
        with zipfile.ZipFile(source) as file:
            manifest = json.loads(file.read(_MANIFEST))
            if manifest["format"] != FORMAT:
                raise _no_backup(source)
            _check_revision(source, manifest["revision"])
            _check_tables(engine, manifest["revision"])
            schema.upgrade(engine, manifest["revision"])
            _copy_all(engine, file, manifest["tables"])
    except (zipfile.BadZipFile, KeyError, ValueError, DataError, IntegrityError) as error:
        raise _no_backup(source) from error
    return str(manifest["revision"])


def _copy_all(engine: Engine, file: zipfile.ZipFile, contents: list[dict[str, Any]]) -> None:
    """
    Bring all rows in, or none: a digest that does not match undoes everything.
    """
    with engine.begin() as connection:
        known = set(_tables(connection))
        for item in contents:
            name, digest = item["table"], sha256()
            every = inspect(connection).get_columns(name) if name in known else []
            if not every or not set(item["columns"]) <= {column["name"] for column in every}:
                raise ValueError(f"unknown table {name}")
            # what the triggers wrote is in the file: a roll-up would be counted a second time
            connection.exec_driver_sql(f'ALTER TABLE "{name}" DISABLE TRIGGER USER')
            cursor: Any = connection.connection.cursor()
            with (
                file.open(name) as member,
                cursor.copy(f'COPY "{name}" ({_list(item["columns"])}) FROM STDIN') as copy,
            ):
                while block := member.read(_CHUNK):
                    digest.update(block)
                    copy.write(block)
            connection.exec_driver_sql(f'ALTER TABLE "{name}" ENABLE TRIGGER USER')
            if digest.hexdigest() != item["digest"]:
                raise ValueError(f"the rows of {name} do not match their digest")
            _move_sequences(connection, name, [one["name"] for one in every if one.get("autoincrement")])
        connection.execute(text("ANALYZE"))


def _move_sequences(connection: Connection, name: str, columns: list[str]) -> None:
    """
    Let the numbers that the server gives go on after those that COPY brought in: it moves no sequence.
    """
    for column in columns:  # where there are no rows it does nothing
        move = f'SELECT setval(pg_get_serial_sequence(%s, %s), max("{column}")) FROM "{name}"'  # noqa: S608 - read from the catalogue
        connection.exec_driver_sql(move, (f'"{name}"', column))
