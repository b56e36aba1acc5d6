"""
Looks at a database without changing it: an address is checked before anything is opened or created.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from outlay.errors import BadInput
from outlay.settings import Settings

_OURS: Final = frozenset({"alembic_version", "ledger_account"})


def sqlite_file(url: str) -> Path | None:
    """
    Return the file of an SQLite address; None for another engine.
    """
    if not url.startswith("sqlite"):
        return None
    path = url.partition(":///")[2].partition("?")[0].removeprefix("file:")
    return Path(path) if path not in ("", ":memory:") else None


def missing_file(url: str) -> Path | None:
    """
    Return the SQLite file of an address where there is none yet, but can be.

    Raises:
        BadInput: It cannot be made there.
    """
    path = sqlite_file(url)
    if path is None or path.exists():
        return None
    folder = path.absolute().parent
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        why = "cannot be written" if folder.is_dir() else "is not a folder"
        raise BadInput("database_url", path, f"{folder} {why}", "Name a file in a folder of your own.")
    return path


def missing_folder(settings: Settings) -> Path | None:
    """
    Return the folder of an SQLite address where there is none, and none is made: it is not the user's data
    folder.
    """
    path = sqlite_file(settings.database_url)
    folder = None if path is None else path.absolute().parent
    return None if folder is None or folder.is_dir() or _is_data_folder(settings, folder) else folder


def ready_folder(settings: Settings) -> None:
    """
    Make the user's data folder where the books are to be in it; no other, as its path may be mistyped.

    Raises:
        BadInput: It cannot be made; or the books are to be in another one, which is missing.
    """
    path = sqlite_file(settings.database_url)
    if (missing := missing_folder(settings)) is not None:
        fix = "Make the folder first, or correct the path."
        raise BadInput("database_url", path, f"there is no folder {missing}", fix)
    if path is None or not _is_data_folder(settings, folder := path.absolute().parent):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why, fix = f"{folder} cannot be made: {error.strerror}", "Name a file in a folder of your own."
        raise BadInput("database_url", path, why, fix) from error


def _is_data_folder(settings: Settings, folder: Path) -> bool:
    return settings.data_folder is not None and folder == Path(settings.data_folder).absolute()


def refuse_foreign(url: str) -> None:
    """
    Keep our tables out of a file that another program made, and from where one of ours is missing.

    Raises:
        BadInput: It is no database; or holds tables, and none of them is ours; or is gone, and left its log.
    """
    _tables_of_ours(url)


def log_left(path: Path) -> bool:
    """
    Tell whether there is a write-ahead log of a file: what was committed last may be in it alone.
    """
    log = Path(f"{path}-wal")
    return log.is_file() and log.stat().st_size > 0


def refuse_new(url: str) -> None:
    """
    Keep a mistyped path from becoming new books without a word.

    Raises:
        BadInput: There are no books in the SQLite file, or no file; the path is named.
    """
    tables, path = _tables_of_ours(url), sqlite_file(url)
    if path is not None and (missing_file(url) is not None or tables == frozenset()):
        fix = "Check the path (OUTLAY_DATABASE_URL, --database-url); new books are made by: outlay db upgrade"
        raise BadInput("database_url", path, "there are no books", fix)


def _tables_of_ours(url: str) -> frozenset[str] | None:
    """
    Name the tables of an SQLite file that may be ours; None where there is no file to read.
    """
    path = sqlite_file(url)
    if path is None:
        return None
    if not path.exists() and log_left(path):
        why, fix = "was deleted or moved", f"put it back beside its log {path}-wal, or move that away"
        raise BadInput("database_url", path, why, fix)
    tables = _tables(path) if path.is_file() else None
    if tables and not tables & _OURS:
        fix = "name a file of Outlay's own, as in sqlite:///outlay.db"
        raise BadInput("database_url", path, "this is the database of another program", fix)
    return tables


def _tables(path: Path) -> frozenset[str] | None:
    """
    Name the tables of a file; None where SQLite cannot read it, which the opening will say.

    Raises:
        BadInput: It is a file of another kind, or damaged at its head: no second try will read it.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB:
            return None
        fix = "name Outlay's own file, as in sqlite:///outlay.db; or bring books back: outlay db restore"
        raise BadInput("database_url", path, "is no SQLite database", fix) from error
    return frozenset(str(name) for (name,) in found)


def revision(url: str) -> str | None:
    """
    Return a database's revision; an SQLite file that does not exist is not made by asking.
    """
    from outlay import schema

    refuse_foreign(url)
    return None if missing_file(url) is not None else schema.current(url)
