"""
The main job on real input: `outlay up --demo` plays the packaged day, and the books equal the bill.
"""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator import bill

Run = Callable[..., subprocess.Popen[str]]

PROMISED = (
    "downgraded as money ran low",
    "daily budget reached",
    "credits exhausted",
    "runaway halted",
    "critical calls kept their model",
    "provider failures",
    "provider breaker opened",
    "served by another model meanwhile",
    "observed only",
    "clients left mid-answer",
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, int, str]:
    """One small demo: what it printed, its folder, its exit status, and what it said beside."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    words = ["up", "--demo", "--exit", "--json", "--calls", "300", "--keep", str(folder)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "outlay.cli", *words], capture_output=True, text=True, timeout=180
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout), folder, done.returncode, done.stderr


def test_the_books_equal_the_bill(played: tuple[dict[str, Any], Path, int, str]) -> None:
    """The demo ends with 0 because every check holds and the books verify."""
    data, _, status, errors = played
    assert [check for check in data["checks"] if not check["equal"]] == []
    assert data["equal"] is True
    assert data["verify"]["ok"] is True
    assert status == 0, errors


def test_an_independent_reader_finds_the_same_total(played: tuple[dict[str, Any], Path, int, str]) -> None:
    """The judge's own reader of the bill, and the ledger's own table, give the sum that was printed."""
    data, folder, _, _ = played
    said = sum(Decimal(tenant["spent_usd"]) for tenant in data["tenants"])
    with sqlite3.connect(folder / "outlay.db") as books:
        booked = books.execute("SELECT SUM(actual) FROM ledger_hold WHERE state = 1").fetchone()[0]
    books.close()
    assert said > 0
    assert bill.total(folder / "bill.jsonl") == said == Decimal(booked) / 1_000_000_000


@pytest.mark.parametrize("situation", PROMISED)
def test_what_the_demo_is_there_to_show_happens(
    played: tuple[dict[str, Any], Path, int, str], situation: str
) -> None:
    """Each situation that the demo promises occurs at least once, also with few calls."""
    assert played[0]["situations"][situation] > 0


def test_each_tenant_meets_its_own_fate(played: tuple[dict[str, Any], Path, int, str]) -> None:
    """Who has no money left is refused, who is healthy or observed is not."""
    tenants = {tenant["tenant"]: tenant for tenant in played[0]["tenants"]}
    assert len({tenant["timezone"] for tenant in tenants.values()}) == len(tenants) == 6
    assert tenants["harbor-support"]["refused"] == tenants["pilot-observe"]["refused"] == 0
    assert tenants["pilot-observe"]["downgraded"] == 0
    for name in ("lumen-content", "kiosk-trial", "rover-agents"):
        assert tenants[name]["refused"] > 0
        assert tenants[name]["served"] > 0
    lumen = tenants["lumen-content"]
    assert Decimal(lumen["spent_usd"]) <= Decimal(lumen["daily_budget_usd"])
    assert Decimal(tenants["kiosk-trial"]["credit_usd"]) >= 0
    assert Decimal(lumen["saved_usd"]) > 0


def test_nothing_of_the_demo_is_left_running(
    played: tuple[dict[str, Any], Path, int, str], left_behind: Callable[[str], list[str]]
) -> None:
    """Gateway, dashboard and simulated provider have ended with it."""
    assert left_behind(str(played[1])) == []


def test_no_server_had_to_complain(played: tuple[dict[str, Any], Path, int, str]) -> None:
    """The log of the gateway is empty: no error of Outlay hides behind the equal sums."""
    assert (played[1] / "gateway.log").read_text() == ""


def test_a_kill_in_mid_play_leaves_nothing_running(
    up: Run, tmp_path: Path, left_behind: Callable[[str], list[str]]
) -> None:
    """SIGTERM stops the play and every server."""
    folder = tmp_path / "kept"
    process = up("--demo", "--exit", "--calls", "300", "--no-dashboard", "--keep", str(folder))
    deadline = time.monotonic() + 60
    while not (folder / "bill.jsonl").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert left_behind(str(folder)) == []


def test_a_folder_with_something_in_it_is_refused(up: Run, tmp_path: Path) -> None:
    """The demo never writes into books that exist."""
    (tmp_path / "outlay.db").write_text("mine")
    _, errors = (process := up("--demo", "--exit", "--keep", str(tmp_path))).communicate(timeout=60)
    assert process.returncode == 2
    assert "new or empty folder" in errors
    assert (tmp_path / "outlay.db").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--demo", "--calls", "5"), "200 to 2640"),
        (("--demo", "--database-url", "sqlite:///mine.db"), "books of its own"),
        (("--exit",), "belongs to the demo"),
        (("--calls", "300"), "belongs to the demo"),
        (("--port", "0"), "--port"),
    ],
)
def test_wrong_words_are_refused_before_anything_starts(up: Run, words: tuple[str, ...], said: str) -> None:
    """Each mistake is exit status 2 with the option and the fix."""
    _, errors = (process := up(*words)).communicate(timeout=60)
    assert process.returncode == 2
    assert said in errors
    assert "Traceback" not in errors
