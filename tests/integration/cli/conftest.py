"""
Runs command lines in process, against books that are made once and copied for each test.
"""

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from outlay.admin.tenants import create_tenant
from outlay.calls import CallRequest, Completed, Done
from outlay.cli.main import build
from outlay.client import Calls
from outlay.settings import Settings
from outlay.wiring import App, open_app

USAGE = {"input_tokens": 100, "output_tokens": 100}
BODY = {
    "model": "claude-haiku-5-5",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Is this spam? \x1b[31mred"}],
}


@dataclass(frozen=True, slots=True)
class Ran:
    """
    What a command line left behind.
    """

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output as JSON; it holds nothing else."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error on standard error; it holds nothing else."""
        found = json.loads(self.err)
        assert list(found) == ["error"]
        assert sorted(found["error"]) == ["code", "details", "field", "fix", "message", "value"]
        return dict(found["error"])


Outlay = Callable[..., Ran]


def run_line(*words: str, typed: str | bytes | None = None) -> Ran:
    """
    Run one command line in this process.
    """
    with CliRunner().isolation(input=typed) as (out, err, _):
        with pytest.raises(SystemExit) as ended:
            tree().main(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
        ran = Ran(int(ended.value.code or 0), out.getvalue().decode(), err.getvalue().decode())
    assert "Traceback" not in ran.err
    return ran


@cache
def tree() -> Any:
    """
    Return the tree of commands, which takes longer to build than most commands take to run.
    """
    return get_command(build())


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """
    Books with one tenant, `acme`, and one call that was paid; and the id of that call.
    """
    path = tmp_path_factory.mktemp("books") / "template.db"
    app = open_app(Settings(database_url=f"sqlite:///{path}"))
    try:
        decision = made_books(app)
    finally:
        app.close()
    return path, decision


def made_books(app: App) -> str:
    """
    Make a tenant and let it make one call; returns the id of the call.
    """
    create_tenant(app, "acme", credit="20", daily_budget="5", timezone="Europe/Berlin", actor="test")
    call = Calls(app).start(CallRequest("acme", BODY))
    assert call.sending is not None
    sending = call.sending
    done = call.resume(Completed(sending.model, USAGE))
    assert isinstance(done, Done)
    assert 0 < (done.cost_nanos or 0) <= sending.offer.cost_bound_nanos, "no provider bills so much for it"
    return sending.decision_id


@pytest.fixture
def books(template: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    A copy of the template, named by the environment.
    """
    path = tmp_path / "outlay.db"
    shutil.copy(template[0], path)
    monkeypatch.setenv("OUTLAY_DATABASE_URL", f"sqlite:///{path}")
    monkeypatch.setenv("COLUMNS", "200")
    return path


@pytest.fixture
def decision(template: tuple[Path, str]) -> str:
    """
    The id of the call in the books, also of its hold.
    """
    return template[1]


@pytest.fixture
def outlay(books: Path) -> Outlay:
    """
    Runs command lines on the copied books.
    """
    assert books.exists()
    return run_line


@pytest.fixture
def contents(books: Path) -> Callable[[], tuple[str, ...]]:
    """
    Reads everything that the books hold, to see that nothing was written.
    """

    def read() -> tuple[str, ...]:
        with closing(sqlite3.connect(books)) as connection:
            return tuple(connection.iterdump())

    return read


def leaves() -> Iterator[tuple[str, ...]]:
    """
    Name every command of the tree.
    """

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path
            return
        for name, child in inner.items():
            yield from walk(child, (*path, name))

    yield from walk(tree(), ())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    A test that asks for `leaf` runs once for every command.
    """
    if "leaf" in metafunc.fixturenames:
        metafunc.parametrize("leaf", list(leaves()), ids=" ".join)
