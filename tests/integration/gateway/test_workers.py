"""
The gateway as `uvicorn gateway.app:create --factory` starts it: several processes, settings by environment.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from outlay.admin import money, tenants
from outlay.settings import Settings
from outlay.wiring import App, open_app
from simulator import bill
from simulator.run import start

CALLS = 60


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def wait_ready(url: str) -> None:
    """Wait until the gateway answers."""
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            try:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("the gateway did not become ready")


async def calls(url: str, key: str) -> list[int]:
    """Many calls at once, each on a connection of its own."""
    body = {
        "model": "outlay/small",
        "max_tokens": 300,
        "messages": [{"role": "user", "content": "hi [[sim output_tokens=50]]"}],
    }
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    headers = {"x-api-key": key, "anthropic-version": "2026-10-21"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one() -> int:
            async with session.post(f"{url}/v1/messages", json=body) as answer:
                await answer.read()
                return answer.status

        return await asyncio.gather(*(one() for _ in range(CALLS)))


def environment_of(database_url: str, upstream: str) -> dict[str, str]:
    """The environment of a gateway."""
    return {
        **os.environ,
        "OUTLAY_DATABASE_URL": database_url,
        "OUTLAY_UPSTREAM_URL": upstream,
        "ANTHROPIC_API_KEY": "upstream-secret",
    }


def test_workers_share_the_books_and_stop_cleanly(database_url: str, tmp_path: Any) -> None:
    """Three processes charge what the provider billed, and a polite stop loses nothing."""
    app = open_app(Settings(database_url=database_url), migrate=True)
    key = tenants.create_tenant(app, "acme", credit="5", actor="test")["key"]
    upstream, provider = start(tmp_path / "bill.jsonl")
    port = free_port()
    environment = environment_of(database_url, upstream)
    words = ["-m", "uvicorn", "gateway.app:create", "--factory", "--workers", "3", "--port", str(port)]
    words += ["--log-level", "warning", "--timeout-graceful-shutdown", "10"]
    gateway = subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        asyncio.run(wait_ready(f"http://127.0.0.1:{port}"))
        assert asyncio.run(calls(f"http://127.0.0.1:{port}", key)) == [200] * CALLS
    finally:
        gateway.send_signal(signal.SIGTERM)
        _, errors = gateway.communicate(timeout=30)
        provider.terminate()
        provider.wait()
    check_paid(app, tmp_path / "bill.jsonl")
    assert "Traceback" not in errors


def check_paid(app: App, file: Path) -> None:
    """The tenant has paid what the provider billed, and nothing is held any more; closes the books."""
    balance = money.balance(app, "acme")
    app.close()
    assert Decimal(balance["credit_usd"]) == 5 - bill.total(file)
    assert balance["held_usd"] == "0.00"


def test_workers_do_not_outlive_their_parent(tmp_path: Any) -> None:
    """Killed outright, the parent takes its workers with it: they end their calls, and free the port."""
    database_url = f"sqlite:///{tmp_path / 'outlay.db'}"
    app = open_app(Settings(database_url=database_url), migrate=True)
    key = tenants.create_tenant(app, "acme", credit="5", actor="test")["key"]
    upstream, provider = start(tmp_path / "bill.jsonl", latency_ms=3_000)
    port = free_port()
    environment = environment_of(database_url, upstream)
    words = ["-m", "outlay.cli", "gateway", "--workers", "2", "--port", str(port), "--log-level", "warning"]
    gateway = subprocess.Popen([sys.executable, *words], env=environment)
    try:
        asyncio.run(wait_ready(f"http://127.0.0.1:{port}"))
        assert asyncio.run(calls_while(gateway.kill, f"http://127.0.0.1:{port}", key)) == [200] * CALLS
        wait_free(port)
    finally:
        gateway.kill()
        gateway.wait()
        provider.terminate()
        provider.wait()
    check_paid(app, tmp_path / "bill.jsonl")


async def calls_while(happens: Callable[[], None], url: str, key: str) -> list[int]:
    """Many calls, and something that happens once they are under way."""
    under_way = asyncio.create_task(calls(url, key))
    await asyncio.sleep(2.0)
    happens()
    return await under_way


def wait_free(port: int) -> None:
    """Wait until nobody listens on a port; whoever still does is not stopped by this test."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.1)
    raise AssertionError("somebody still listens")


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:9/none", "nonsense://x"])
def test_books_that_cannot_be_opened_stop_the_start(url: str) -> None:
    """A gateway without usable books does not serve; it says why in its log."""
    environment = {**os.environ, "OUTLAY_DATABASE_URL": url}
    words = ["-m", "uvicorn", "gateway.app:create", "--factory", "--port", str(free_port())]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "startup failed" in done.stderr
    assert time.monotonic() - began < 45
