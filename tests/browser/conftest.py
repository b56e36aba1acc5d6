"""
Fixtures of the dashboard's tests: books with a day in them, pages run without a browser, a served dashboard.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import dashboard_books
import pytest
from streamlit.testing.v1 import AppTest

from outlay.wiring import App

TOKEN = "a-token-for-the-browser-tests"
RUN_S = 60


@pytest.fixture(scope="session")
def books() -> ModuleType:
    """The maker of books."""
    return dashboard_books


@pytest.fixture
def app(books: ModuleType, sqlite_books: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """Empty books, which pages run in this process find in the environment."""
    monkeypatch.setenv("OUTLAY_DATABASE_URL", sqlite_books)
    monkeypatch.setenv("OUTLAY_DASHBOARD_ACTOR", "ben")
    opened: App = books.open_books(sqlite_books)
    yield opened
    opened.close()


@pytest.fixture
def now_us() -> int:
    """The instant at which a test began."""
    return time.time_ns() // 1_000


Page = Callable[..., AppTest]


@pytest.fixture
def page(app: App) -> Page:
    """Run one page without a browser; `tenant` is what the sidebar has chosen."""

    def run(name: str, tenant: str | None = None) -> AppTest:
        script = f"from dashboard import frame\nfrom dashboard.views import {name}_view\n"
        script += f"frame.show_flash()\n{name}_view.show()\n"
        test = AppTest.from_string(script, default_timeout=RUN_S)
        if tenant is not None:
            test.session_state["tenant"] = tenant
        return test.run()

    return run


@pytest.fixture
def served(app: App, sqlite_url: str) -> Iterator[str]:
    """The address of a dashboard over these books, served by a process of its own."""
    environment = {**os.environ, "OUTLAY_DATABASE_URL": sqlite_url, "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "dashboard", "--port", "0", "--token", TOKEN, "--actor", "ben"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Outlay dashboard: http://127.0.0.1:"), line
            yield line.removeprefix("Outlay dashboard: ").strip()
        finally:
            process.terminate()
            status = process.wait(timeout=20)
        assert status == 0
