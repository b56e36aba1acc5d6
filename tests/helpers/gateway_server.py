"""
A gateway for tests: the real application on a real server and a free port, in a thread of its own.
"""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from simulated import simulated

from gateway.app import create
from gateway.house import House
from outlay.admin.tenants import create_tenant
from outlay.settings import Settings
from outlay.wiring import App, open_app

ADMIN_KEY = "admin-secret"
_names = itertools.count(1)


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    url: str
    app: App
    house: House
    server: uvicorn.Server


@contextmanager
def serving(settings: Settings, **uvicorn_settings: Any) -> Iterator[Gateway]:
    """Open the books, serve them, and close both."""
    app = open_app(settings, migrate=True)
    asgi = create(app)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    config = uvicorn.Config(
        asgi,
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        **uvicorn_settings,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the gateway did not start"
        yield Gateway(f"http://127.0.0.1:{listener.getsockname()[1]}", app, asgi.state.house, server)
    finally:
        server.should_exit = True
        thread.join(30)
        app.close()


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A simulated provider: its address, and the file of its bill."""
    bill = tmp_path_factory.mktemp("provider") / "bill.jsonl"
    with simulated(bill) as url:
        yield url, bill


@pytest.fixture(scope="module")
def gateway(provider: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway on SQLite, before the simulated provider."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path_factory.mktemp('books') / 'outlay.db'}",
        upstream_url=provider[0],
        upstream_key="upstream-secret",
        admin_key=ADMIN_KEY,
    )
    with serving(settings) as running:
        yield running


@pytest.fixture
def tenant(gateway: Gateway) -> tuple[str, str]:
    """A tenant with credits: its name and key."""
    made = create_tenant(gateway.app, f"tenant-{next(_names)}", credit="20", daily_budget="5", actor="test")
    return made["tenant"], made["key"]


@pytest.fixture(name="serving")
def serving_fixture() -> Any:
    """Serve a gateway with settings of the test's own."""
    return serving


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test leaves an unexpected error in the gateway's log."""
    yield
    failed = [
        record
        for record in caplog.get_records("call")
        if record.name.startswith("outlay") and record.levelname == "ERROR"
    ]
    assert not failed, failed
