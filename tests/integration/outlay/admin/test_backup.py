"""
A backup made while calls go on is one instant, restores into an empty place, and verifies.
"""

import sqlite3
import threading
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from ledger import make_engine
from ledger.types import TopUp
from outlay import schema
from outlay.admin import backup as backups
from outlay.admin import books, breakers, keys, money, statements
from outlay.clock import now_us
from outlay.errors import BadInput, SchemaMismatch
from outlay.prices_sql import keep_prices
from outlay.settings import Settings
from outlay.tables import decision
from outlay.wiring import App, open_app


@pytest.fixture
def other_url(app: App, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The address of a second, empty database of the same kind."""
    if app.engine.dialect.name == "sqlite":
        return f"sqlite:///{tmp_path / 'restored.db'}"
    return str(request.getfixturevalue("postgres_server").new_database())


def test_a_backup_under_writes_restores_and_verifies(
    app: App, acme: dict[str, Any], other_url: str, tmp_path: Path
) -> None:
    """
    Top-ups go on during the backup; what is restored is a whole prefix of them, and goes on by itself.
    """
    stop, made = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            made.append(app.ledger.do(TopUp("acme", f"k{len(made)}", now_us(), 1_000_000_000)))

    writer = threading.Thread(target=work)
    writer.start()
    try:
        while len(made) < 20:
            pass
        file = tmp_path / "backup"
        done = backups.backup(app.settings.database_url, str(file))
        at_end = len(made)
    finally:
        stop.set()
        writer.join()
    assert done["bytes"] == file.stat().st_size > 0
    assert file.stat().st_mode & 0o077 == 0
    assert backups.restore(other_url, str(file))["found"] == done["revision"]
    restored = open_app(Settings(database_url=other_url))
    try:
        assert books.verify(restored)["problems"] == []
        lines = statements.statement(restored, "acme")["lines"]
        assert 20 <= len(lines) - 1 <= at_end + 1
        assert lines == statements.statement(app, "acme")["lines"][: len(lines)]
        assert money.top_up(restored, "acme", "1", actor="t")["replayed"] is False
    finally:
        restored.close()


def test_decisions_and_their_roll_up_come_back(
    app: App, acme: dict[str, Any], make_call: Callable[..., Any], other_url: str, tmp_path: Path
) -> None:
    """
    Books with calls restore, the roll-up counts each call once, and goes on counting.
    """

    def counted(of: App) -> list[tuple[Any, ...]]:
        with of.reading() as conn:
            return sorted(tuple(row) for row in conn.execute(text("SELECT * FROM outlay_tally")))

    make_call()
    make_call(outcome=None)
    file, before = tmp_path / "backup", counted(app)
    assert before
    backups.backup(app.settings.database_url, str(file))
    backups.restore(other_url, str(file))
    restored = open_app(Settings(database_url=other_url))
    try:
        assert counted(restored) == before
        assert books.verify(restored)["problems"] == []
        with restored.engine.begin() as conn:
            row = dict(conn.execute(select(decision)).mappings().first() or {})
            conn.execute(insert(decision).values({**row, "id": "another"}))
        assert counted(restored) != before
        assert books.verify(restored)["checks"]["tallies"] is True
    finally:
        restored.close()


def test_a_halt_works_at_once_after_a_restore(
    app: App, acme: dict[str, Any], other_url: str, tmp_path: Path
) -> None:
    """
    Restored books number the circuit's events on from the last one that came back.
    """
    breakers.halt(app, reason="stop", actor="t")
    breakers.resume(app, reason="go", actor="t")
    before, file = app.circuit.events(), tmp_path / "backup"
    assert before
    backups.backup(app.settings.database_url, str(file))
    backups.restore(other_url, str(file))
    restored = open_app(Settings(database_url=other_url))
    try:
        assert breakers.halt(restored, reason="emergency", actor="t")["changed"] is True
        assert breakers.halt(restored, tenant="acme", reason="one", actor="t")["changed"] is True
        second, first, *rest = restored.circuit.events()
        assert tuple(rest) == before
        assert (first.seq, second.seq) == (before[0].seq + 1, before[0].seq + 2)
        assert books.verify(restored)["problems"] == []
    finally:
        restored.close()


def test_a_backup_is_never_written_over_or_into_something(
    app: App, acme: dict[str, Any], tmp_path: Path
) -> None:
    """
    An existing file, a missing folder, books that are there: refused with field and fix, nothing changed.
    """
    url, file = app.settings.database_url, tmp_path / "backup"
    backups.backup(url, str(file))
    for path in (file, tmp_path / "no" / "folder"):
        with pytest.raises(BadInput) as caught:
            backups.backup(url, str(path))
        assert (caught.value.field, bool(caught.value.fix)) == ("to", True)
    for source, field in ((file, "database_url"), (tmp_path / "none", "file")):
        with pytest.raises(BadInput) as caught:
            backups.restore(url, str(source))
        assert caught.value.field == field
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_a_damaged_backup_restores_nothing(
    app: App, acme: dict[str, Any], other_url: str, tmp_path: Path
) -> None:
    """
    A file that is no backup, or whose rows were changed, is refused; the place stays usable for a good one.
    """
    file, bad = tmp_path / "backup", tmp_path / "bad"
    backups.backup(app.settings.database_url, str(file))
    bad.write_bytes(b"no backup" * 100)
    with pytest.raises(BadInput):
        backups.restore(other_url, str(bad))
    if app.engine.dialect.name == "postgresql":
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "forged", "w") as new:
            for name in old.namelist():
                data = old.read(name)
                new.writestr(name, data.replace(b"acme", b"ecma") if name == "ledger_transfer" else data)
        with pytest.raises(BadInput):
            backups.restore(other_url, str(tmp_path / "forged"))
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "twice", "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name) * (2 if name == "ledger_account" else 1))
        with pytest.raises(BadInput):
            backups.restore(other_url, str(tmp_path / "twice"))
    backups.restore(other_url, str(file))
    engine = make_engine(other_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM ledger_account")).scalar_one() == 1
    engine.dispose()


def test_an_older_backup_needs_a_new_database(
    app: App, acme: dict[str, Any], other_url: str, tmp_path: Path
) -> None:
    """
    Into tables that were upgraded already an older backup is not copied: the steps of the upgrades since
    would be left out. Nothing is changed.
    """
    if app.engine.dialect.name == "sqlite":
        pytest.skip("a backup of SQLite brings its tables along")
    file, older = tmp_path / "backup", tmp_path / "older"
    backups.backup(app.settings.database_url, str(file))
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(older, "w") as new:
        for name in old.namelist():
            new.writestr(
                name, old.read(name).replace(schema.head().encode(), schema.revisions()[-2].encode())
            )
    engine = make_engine(other_url)
    schema.upgrade(engine)
    engine.dispose()
    with pytest.raises(BadInput, match="has the tables of revision"):
        backups.restore(other_url, str(older))
    backups.restore(other_url, str(file))


def test_a_database_that_was_in_use_is_not_taken_for_a_damaged_backup(
    app: App, acme: dict[str, Any], other_url: str, tmp_path: Path
) -> None:
    """
    A gateway that was started on the new database has left rows there, which the backup has, too: the refusal
    names these and not the backup, and nothing is changed.
    """
    file, engine = tmp_path / "backup", make_engine(other_url)
    schema.upgrade(engine)
    for one in (app.engine, engine):
        keep_prices(one, app.prices, 1_763_700_000_000_000)
    engine.dispose()
    backups.backup(app.settings.database_url, str(file))
    with pytest.raises(BadInput, match="has rows in outlay_price") as caught:
        backups.restore(other_url, str(file))
    assert caught.value.field == "database_url"


def test_a_database_without_tenants_is_in_use_all_the_same(
    app: App, acme: dict[str, Any], other_url: str, tmp_path: Path
) -> None:
    """
    An admin's key and a halt of all are nothing that a restore may put away.
    """
    file = tmp_path / "backup"
    backups.backup(app.settings.database_url, str(file))
    schema.upgrade(other_url)
    used = open_app(Settings(database_url=other_url))
    try:
        key = keys.create_key(used, role="admin", name="ops", actor="t")["id"]
        breakers.halt(used, reason="all", actor="t")
        with pytest.raises(BadInput, match="has rows in") as caught:
            backups.restore(other_url, str(file))
        assert (caught.value.field, bool(caught.value.fix)) == ("database_url", True)
        assert [one["id"] for one in keys.list_keys(used)["keys"]] == [key]
        assert [one.halted for one in used.circuit.standing().switches] == [True]
    finally:
        used.close()


def test_an_empty_database_of_an_older_version_takes_a_backup(
    app: App, acme: dict[str, Any], other_url: str, tmp_path: Path
) -> None:
    """
    On SQLite the file is replaced whole, so it is not asked for tables that it does not have yet.
    """
    if app.engine.dialect.name == "postgresql":
        pytest.skip("there the tables of the backup's revision are needed")
    file = tmp_path / "backup"
    backups.backup(app.settings.database_url, str(file))
    schema.upgrade(other_url, schema.revisions()[0])
    assert backups.restore(other_url, str(file))["revision"] == schema.head()
    assert schema.current(other_url) == schema.head()


def test_a_backup_of_a_newer_version_says_so(
    app: App, acme: dict[str, Any], other_url: str, tmp_path: Path
) -> None:
    """
    Books of a revision that this version does not know are not called damaged, and nothing is made of them.
    """
    file, newer = tmp_path / "backup", tmp_path / "newer"
    backups.backup(app.settings.database_url, str(file))
    if app.engine.dialect.name == "postgresql":
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(newer, "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(schema.head().encode(), b"9999_later"))
    else:
        file.rename(newer)
        with closing(sqlite3.connect(newer)) as books_of_later, books_of_later:
            books_of_later.execute("UPDATE alembic_version SET version_num = '9999_later'")
    with pytest.raises(BadInput, match="newer Outlay, at revision 9999_later"):
        backups.restore(other_url, str(newer))


def test_no_books_no_backup(other_url: str, tmp_path: Path) -> None:
    """
    An empty database has nothing to back up.
    """
    with pytest.raises(SchemaMismatch):
        backups.backup(other_url, str(tmp_path / "backup"))
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("bad", [b"no backup" * 100, b""])
def test_a_refused_restore_leaves_no_file(bad: bytes, tmp_path: Path) -> None:
    """
    A file that is no backup makes no new books.
    """
    (tmp_path / "bad").write_bytes(bad)
    with pytest.raises(BadInput):
        backups.restore(f"sqlite:///{tmp_path}/new.db", str(tmp_path / "bad"))
    assert [file.name for file in tmp_path.iterdir() if file.name != "bad"] == []


def test_new_and_restored_books_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    """
    The file, its log and what is restored have the mode of a backup, whatever the umask.
    """
    made, again = f"sqlite:///{tmp_path}/made.db", f"sqlite:///{tmp_path}/again.db"
    app = open_app(Settings(database_url=made))
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.glob("made.db*")}
    backups.backup(made, str(tmp_path / "copy"))
    app.close()
    backups.restore(again, str(tmp_path / "copy"))
    assert set(modes.values()) == {"0o600"}
    assert "made.db-wal" in modes
    assert (tmp_path / "again.db").stat().st_mode & 0o777 == 0o600
