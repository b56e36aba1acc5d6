"""
Commands on a machine whose clock is wrong.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from outlay import clock
from outlay.cli.doctor import _ended
from outlay.schema import upgrade
from outlay.settings import Settings

Outlay = Callable[..., Any]


@pytest.mark.postgres
def test_an_order_by_a_clock_that_is_ahead_is_refused(
    outlay: Outlay, postgres_books: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A machine whose clock is a day ahead of the database makes no tenant; the failure names its fix.
    """
    ahead = SimpleNamespace(time_ns=lambda: time.time_ns() + 86_400 * 10**9)
    where = ("--database-url", postgres_books, "--json")
    with monkeypatch.context() as patched:
        patched.setattr(clock, "time", ahead)
        ran = outlay("tenant", "create", "late", *where)
    assert (ran.status, ran.error["code"]) == (1, "clock_ahead")
    assert "set the clock" in ran.error["fix"]
    assert outlay("tenant", "create", "late", *where).status == 0


@pytest.mark.parametrize("revision", ["0007", "head"])
def test_the_doctor_names_credit_that_lapses_by_this_clock_at_any_revision(
    revision: str, tmp_path: Path
) -> None:
    """
    Before the upgrade there is no column for it, and after it the count needs the index of that column alone.
    """
    url = f"sqlite:///{tmp_path / 'at.db'}"
    upgrade(url, None if revision == "head" else revision)
    with closing(sqlite3.connect(tmp_path / "at.db")) as connection:
        names = (
            "id, tenant, kind, priority, granted, remaining, effective_at, expires_at, source_ref, created_at"
        )
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(
            f"INSERT INTO ledger_grant_lot ({names}) VALUES ('l', 'acme', 0, 0, 5, 5, 1, 2, '', 1)"
        )
        connection.commit()
        left = "unspent" if revision == "head" else "remaining > 0"
        plan = f"EXPLAIN QUERY PLAN SELECT count(*) FROM ledger_grant_lot WHERE {left} AND expires_at <= 3"
        assert "ix_ledger_grant_lot_left" in connection.execute(plan).fetchone()[3]
    assert _ended(Settings(database_url=url)) == "0 holds and 1 credit"
