"""
Books that cannot be used, met by every command: one sentence with the fix, and the file as it was.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from ledger import Ledger, make_engine
from ledger.types import Release, SetBudget
from outlay.cli import servers
from outlay.clock import now_us
from outlay.spool import Spool, database_of, spool_path

Outlay = Callable[..., Any]
Contents = Callable[[], tuple[str, ...]]

# enough arguments for every command that opens the books; the others are named below
ENOUGH: dict[tuple[str, ...], list[str]] = {
    ("settle",): ["x", "1", "--reason", "r"],
    ("topup",): ["acme", "5"], ("refund",): ["x"], ("balance",): ["acme"], ("statement",): ["acme"],
    ("budget", "list"): ["acme"], ("budget", "set"): ["acme", "5"],
    ("budget", "raise"): ["acme", "8", "--until", "2999-01-01"],
    ("tenant", "create"): ["new"], ("tenant", "show"): ["acme"], ("tenant", "set"): ["acme", "--frozen"],
    ("tenant", "history"): ["acme"],
    ("key", "create"): ["--tenant", "acme"], ("key", "revoke"): ["x"], ("route", "set"): ["crm/*", "small"],
    ("route", "show"): ["x"], ("policy", "preview"): ["-"],
    ("policy", "apply"): ["-"], ("policy", "rollback"): ["0"], ("halt",): ["--reason", "x", "--yes"],
    ("breaker", "reset"): ["global", "--reason", "x"], ("explain",): ["x"], ("score",): ["x", "1"],
    ("train",): ["--tenant", "acme"], ("classifier", "show"): ["x"],
    ("adjust",): ["acme", "5", "--reason", "x"], ("lot", "list"): ["acme"], ("lot", "show"): ["acme-1"],
    ("lot", "reverse"): ["acme-1", "--reason", "x"], ("lot", "chargeback"): ["acme-1", "--reason", "x"],
    ("seal", "export"): ["--to", "never-made"], ("db", "backup"): ["--to", "never-made"],
    ("db", "restore"): [__file__], ("db", "archive"): ["--before", "2020-01-01", "--to", "never-made"],
}  # fmt: skip
MAKING = {("db", "upgrade"), ("db", "restore"), ("tenant", "create"), ("gateway",), ("up",)}
BOOKLESS = {("policy", "validate"), ("policy", "schema"), ("version",), ("doctor",), ("db", "current")}


def _broken(kind: str, folder: Path) -> tuple[str, str]:
    """Make an address that cannot work, and the words that should be said of it."""
    path = folder / "broken.db"
    if kind == "corrupt":
        path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)
        return f"sqlite:///{path}", "is no SQLite database"
    if kind == "text":
        path.write_text("dear diary " * 100)
        return f"sqlite:///{path}", "is no SQLite database"
    if kind == "foreign":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE recipes (name TEXT)")
        return f"sqlite:///{path}", "another program"
    if kind == "folder":
        path.write_text("a file where a folder should be")
        return f"sqlite:///{path}/outlay.db", str(path)
    return "postgresql://me:secret@127.0.0.1:1/outlay", "did not answer"


@pytest.mark.parametrize("kind", ["corrupt", "text", "foreign", "folder", "unreachable"])
def test_broken_books_are_named_by_every_command(
    kind: str, leaf: tuple[str, ...],
    outlay: Outlay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """
    A damaged file, no database at all, another program's, an impossible folder, an unreachable server:
    one sentence with the fix, the file as it was, and no password shown.
    """
    monkeypatch.setattr(servers, "_serve", None)  # a gateway that starts all the same fails at once
    monkeypatch.setattr(servers, "_run", None)
    url, said = _broken(kind, tmp_path)
    file = tmp_path / "broken.db"
    before = file.read_bytes() if file.exists() else b""
    if leaf in BOOKLESS:
        assert outlay(*leaf, "--database-url", url).status in (0, 1, 2)
        return
    ran = outlay(*leaf, *ENOUGH.get(leaf, []), "--json", "--database-url", url)
    assert ran.status in (1, 2), ran
    assert said in f"{ran.error['message']} {ran.error['value']}"
    assert ran.error["fix"]
    assert ran.error["code"] != "unexpected"
    assert "secret" not in ran.err + ran.out
    assert (file.read_bytes() if file.exists() else b"") == before


@pytest.mark.parametrize("kind", ["corrupt", "text", "foreign", "folder", "unreachable"])
def test_doctor_reports_broken_books_as_a_finding(kind: str, outlay: Outlay, tmp_path: Path) -> None:
    """
    The doctor fails on them but makes every other check all the same.
    """
    url, said = _broken(kind, tmp_path)
    ran = outlay("doctor", "--json", "--database-url", url)
    checks = {check["name"]: check for check in ran.data["checks"]}
    assert ran.status == 1
    assert checks["database"]["state"] == "failed"
    assert said in checks["database"]["found"]
    assert checks["database"]["fix"]
    assert checks["clock"]["state"] == "skipped"
    assert "secret" not in ran.out


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_mistyped_path_is_named_and_makes_no_books(
    kind: str, leaf: tuple[str, ...], outlay: Outlay, tmp_path: Path
) -> None:
    """
    A command that needs books refuses where there are none, and leaves everything as it was.
    """
    path = tmp_path / "mistyped.db"
    if kind == "empty":
        path.touch()
    if leaf in BOOKLESS or leaf in MAKING:
        return
    ran = outlay(*leaf, *ENOUGH.get(leaf, []), "--json", "--database-url", f"sqlite:///{path}")
    assert ran.status in (1, 2), ran
    assert "outlay db upgrade" in ran.error["fix"]
    assert path.exists() == (kind == "empty")
    if leaf[0] != "db":
        assert (ran.error["code"], ran.error["value"]) == ("bad_input", str(path))
        assert not path.exists() or path.stat().st_size == 0


def test_the_commands_that_begin_make_books_and_say_so(outlay: Outlay, tmp_path: Path) -> None:
    """
    The first tenant makes them, too; scripts get the answer alone.
    """
    path = tmp_path / "new.db"
    ran = outlay("tenant", "create", "acme", "--database-url", f"sqlite:///{path}")
    assert (ran.status, ran.err) == (0, f"New books: {path}\n")
    quiet = outlay("tenant", "create", "acme", "--json", "--database-url", f"sqlite:///{tmp_path}/b.db")
    assert (quiet.status, quiet.err) == (0, "")
    assert outlay("balance", "acme", "--database-url", f"sqlite:///{path}").err == ""


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["tenant", "create", ""], "tenant"),
        (["tenant", "create", "acme", "--credit", "much"], "credit"),
        (["tenant", "create", "acme", "--daily-budget", "-1"], "daily_budget"),
        (["tenant", "create", "acme", "--timezone", "Mars"], "timezone"),
        (["tenant", "create", "acme", "--multiplier", "x"], "multiplier"),
        (["tenant", "create", "acme", "--actor", ""], "actor"),
        (["gateway", "--log-level", "loud"], "log_level"),
        (["gateway", "--host", "203.0.113.1"], "203.0.113.1"),
    ],
)
def test_what_is_refused_makes_no_books(words: list[str], named: str, outlay: Outlay, tmp_path: Path) -> None:
    """
    What was asked for is read before a file is made for it.
    """
    path = tmp_path / "new" / "outlay.db"
    ran = outlay(*words, "--json", "--database-url", f"sqlite:///{path}")
    assert ran.status in (1, 2), ran
    assert named in str(ran.error)
    assert not path.parent.exists()


@pytest.mark.parametrize("words", [["balance", "acme"], ["tenant", "create", "new"], ["db", "upgrade"]])
def test_books_that_left_their_log_are_not_made_anew(
    words: list[str], outlay: Outlay, tmp_path: Path
) -> None:
    """
    Where a file is gone and its log is not, new books would end what was committed last.
    """
    path, log = tmp_path / "gone.db", tmp_path / "gone.db-wal"
    log.write_bytes(b"what was committed last")
    where = ("--json", "--database-url", f"sqlite:///{path}")
    ran = outlay(*words, *where)
    assert (ran.status, ran.error["code"], ran.error["value"]) == (2, "bad_input", str(path))
    assert str(log) in ran.error["fix"]
    assert log.read_bytes() == b"what was committed last"
    assert not path.exists()
    checks = {check["name"]: check for check in outlay("doctor", *where).data["checks"]}
    assert (checks["database"]["state"], str(log) in checks["database"]["fix"]) == ("failed", True)


def test_doctor_tells_of_calls_that_wait_on_disk(
    outlay: Outlay, books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Closings that the books have not taken are a warning, for the books they belong to.
    """
    monkeypatch.setenv("OUTLAY_SPOOL", str(tmp_path / "spool"))
    spool = Spool(spool_path(str(tmp_path / "spool"), database_of(make_url(f"sqlite:///{books}")), "dead"))
    spool.append(Release("acme", "release:h", 0, "h"), ())
    checks = {check["name"]: check for check in outlay("doctor", "--json").data["checks"]}
    assert checks["waiting calls"]["state"] == "warning"
    other = ("doctor", "--json", "--database-url", f"sqlite:///{tmp_path}/other.db")
    checks = {check["name"]: check for check in outlay(*other).data["checks"]}
    assert checks["waiting calls"]["state"] == "ok"
    spool.close()


def test_doctor_names_budgets_that_no_call_matches(outlay: Outlay, books: Path) -> None:
    """
    A budget under a decomposed name limits nothing until it is set anew; one that is lifted is no matter.
    """
    engine = make_engine(f"sqlite:///{books}")
    with Ledger(engine) as ledger:
        for name, limit in (("zoe\u0308", 5), ("u\u0308", None)):
            ledger.do(SetBudget("acme", f"old {name}", now_us(), limit, f"user:{name}"))
    engine.dispose()
    checks = {check["name"]: check for check in outlay("doctor", "--json").data["checks"]}
    found = checks["budget names"]
    assert (found["state"], "'user:zoe\\u0308' of acme (day)" in found["found"]) == ("warning", True)
    assert "u\\u0308" not in found["found"].replace("zoe\\u0308", "")
    assert outlay("budget", "set", "acme", "2", "--scope", "user:zoe\u0308").status == 0
    checks = {check["name"]: check for check in outlay("doctor", "--json").data["checks"]}
    assert checks["budget names"]["state"] == "ok"


@pytest.mark.parametrize("words", [["key", "create", "--tenant", "acme"], ["halt", "--reason", "x", "--yes"]])
def test_books_that_cannot_be_written_say_so(
    words: list[str], outlay: Outlay, books: Path, contents: Contents
) -> None:
    """
    A database that is open for reading only can be read, and says what it is when it should be written.
    """
    before = contents()
    where = ("--json", "--database-url", f"sqlite:///file:{books}?mode=ro&uri=true")
    assert outlay("balance", "acme", *where).status == 0
    ran = outlay(*words, *where)
    assert ran.status == 1
    assert ran.error["code"] == "books_unavailable"
    assert contents() == before
    assert not Path("file:").exists()  # the address is no folder


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_read_only_folder_is_named(outlay: Outlay, tmp_path: Path) -> None:
    """
    A folder without the right to write is an error with the path.
    """
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    ran = outlay("tenant", "list", "--json", "--database-url", f"sqlite:///{folder}/new/outlay.db")
    assert ran.status == 1
    assert str(folder) in ran.error["message"]


def test_newer_database_is_left_alone(outlay: Outlay, books: Path, contents: Contents) -> None:
    """
    Books of a later version are not opened, upgraded or downgraded.
    """
    with closing(sqlite3.connect(books)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = contents()
    for words in (("balance", "acme"), ("db", "upgrade"), ("db", "check")):
        ran = outlay(*words, "--json")
        assert ran.status == 1, words
        assert ran.error["code"] == "schema_mismatch"
    assert contents() == before
