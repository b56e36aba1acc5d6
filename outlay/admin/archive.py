"""
Retention: old decisions, closed holds and keys of calls leave the database for a file.

Small steps, each a transaction: the rows are on disk before they leave the books, so a crash at any point
loses nothing (at worst a step is in the file twice). Calls go on meanwhile. The file is JSON, a row a line.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, delete, exists, select, text

from ledger import reads
from ledger.archive import Keep, Line, lines_of, take_holds, take_ops
from ledger.tables import hold
from outlay import fields
from outlay.admin.common import new_file
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected, translated
from outlay.fields import instant_text
from outlay.ids import new_id
from outlay.tables import SQLITE_TRIGGERS, decision
from outlay.wiring import App

KEPT_US: Final = 7 * 86_400 * 1_000_000
STEP: Final = 500


def archive(app: App, before: str, path: str) -> dict[str, Any]:
    """
    Move what was closed before a date to a new file.

    Args:
        before: Date or instant, in UTC; at least a week ago, since late settlements still find their holds.
    Returns:
        file, before, holds, decisions, keys (how many of each went).
    """
    at_us, before_us = now_us(), fields.instant_us(before, "before", "UTC")
    if before_us > at_us - KEPT_US:
        fix = f"Name a date before {instant_text(at_us - KEPT_US)}; younger calls may still be corrected."
        raise BadInput("before", before, "too recent", fix)
    counts = {"holds": 0, "decisions": 0, "keys": 0}
    with translated(), _private_file(path) as file:
        with app.reading() as connection:
            tenants = [row.tenant for row in reads.tenants(connection)]
        for tenant in tenants:
            for name, count in _steps(app, tenant, before_us, _keeper(file, path)):
                counts[name] += count
    return {"file": path, "before": instant_text(before_us), **counts}


@contextmanager
def _private_file(path: str) -> Iterator[BinaryIO]:
    """
    Open a file of our own that nobody else can read.
    """
    with new_file(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
    _sync_folder(Path(path).absolute().parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keeper(file: BinaryIO, path: str) -> Keep:
    """
    Return a function that has lines on disk when it returns.
    """

    def keep(lines: Sequence[Line]) -> None:
        try:
            file.write(b"".join(json.dumps(line, sort_keys=True).encode() + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            said = f"the file cannot be written ({error.strerror}): what is not in it is still in the books"
            raise Rejected("file_unwritable", said, {"file": path}) from error

    return keep


def _steps(app: App, tenant: str, before_us: int, keep: Keep) -> Iterator[tuple[str, int]]:
    """
    Take one kind after the other, in steps, until nothing of it is left; yields what each step took.
    """
    while True:
        at_us = now_us()
        with app.engine.begin() as connection:
            ids = take_holds(
                connection, tenant, before_us, step=new_id(at_us), now_us=at_us, most=STEP, keep=keep
            )
            told = _take_decisions(connection, decision.c.id.in_(ids), keep) if ids else 0
        yield from (("holds", len(ids)), ("decisions", told))
        if not ids:
            break
    ended = (decision.c.tenant == tenant) & (decision.c.finished_us < before_us)
    for name in ("decisions", "keys"):
        while True:
            with app.engine.begin() as connection:
                if name == "keys":
                    count = take_ops(connection, tenant, before_us, most=STEP, keep=keep)
                else:
                    count = _take_decisions(
                        connection, ended & ~exists().where(hold.c.id == decision.c.id), keep
                    )
            if count == 0:
                break
            yield name, count


def _take_decisions(connection: Connection, which: Any, keep: Keep) -> int:
    """
    Take decisions out of the log.
    """
    rows = connection.execute(select(decision).where(which).limit(STEP)).all()
    if rows:
        keep(lines_of(decision, rows))
        with _deletable(connection):
            connection.execute(delete(decision).where(decision.c.id.in_([row.id for row in rows])))
    return len(rows)


@contextmanager
def _deletable(connection: Connection) -> Iterator[None]:
    """
    Take the guard against deleting away; nobody else sees it gone, as it is back in the same transaction.
    """
    if connection.dialect.name == "sqlite":
        name = f"{decision.name}_no_delete"
        guard = next(one for one in SQLITE_TRIGGERS["outlay_decision"] if f"TRIGGER {name} " in one)
        connection.execute(text(f"DROP TRIGGER {name}"))
        yield
        connection.exec_driver_sql(guard)
        return
    switch = "ALTER TABLE outlay_decision {} TRIGGER outlay_decision_no_change"
    connection.execute(text(switch.format("DISABLE")))
    yield
    connection.execute(text(switch.format("ENABLE")))
