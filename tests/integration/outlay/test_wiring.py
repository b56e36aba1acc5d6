"""
Opening the books of a process: the schema, the first policy, and files that are not ours.
"""

import sqlite3
from pathlib import Path

import pytest

from outlay.admin.policies import policy_history
from outlay.errors import BadInput, PolicyInvalid, SchemaMismatch
from outlay.settings import Settings
from outlay.wiring import open_app

POLICY = '[tiers.one]\nmodels = ["claude-opus-5-5"]\n[routing]\ndefault_tier = "one"\n'


def versions(settings: Settings) -> list[tuple[int, str]]:
    """Open the books, and tell which policies they hold, by whom."""
    app = open_app(settings, migrate=True)
    try:
        return [(row["version"], row["actor"]) for row in policy_history(app)["versions"]]
    finally:
        app.close()


def test_the_policy_file_is_applied_at_the_first_start_only(database_url: str, tmp_path: Path) -> None:
    """Later starts leave the policy to its operators, whatever the file says by then."""
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    settings = Settings(database_url=database_url, policy_file=str(file))
    assert versions(settings) == [(1, "OUTLAY_POLICY")]
    file.write_text("nonsense")
    assert versions(settings) == [(1, "OUTLAY_POLICY")]


def test_a_policy_file_that_cannot_be_used_is_named(sqlite_url: str, tmp_path: Path) -> None:
    """A missing, unreadable or wrong file stops the start and makes no books."""
    file = tmp_path / "policy.toml"
    books = tmp_path / "new" / "outlay.db"
    settings = Settings(database_url=f"sqlite:///{books}", policy_file=str(file))
    with pytest.raises(BadInput, match="OUTLAY_POLICY"):
        open_app(settings)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="OUTLAY_POLICY"):
        open_app(settings)
    file.write_text(POLICY + "defualt = 1\n")
    with pytest.raises(PolicyInvalid):
        open_app(settings)
    assert not books.parent.exists()
    assert versions(Settings(database_url=sqlite_url)) == []
    with pytest.raises(PolicyInvalid):
        open_app(Settings(database_url=sqlite_url, policy_file=str(file)))
    assert versions(Settings(database_url=sqlite_url)) == []


def test_postgresql_is_upgraded_by_its_operator(postgres_url: str) -> None:
    """A gateway that starts does not change the schema that others work with."""
    with pytest.raises(SchemaMismatch, match="outlay db upgrade"):
        open_app(Settings(database_url=postgres_url))


def test_the_file_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    """Neither our tables nor our journal mode get into it."""
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    before = file.read_bytes()
    with pytest.raises(BadInput, match="another program"):
        open_app(Settings(database_url=f"sqlite:///{file}"), migrate=True)
    assert file.read_bytes() == before
