"""
The simulated provider and a gateway before it, once per test module, and one HTTP request.
"""

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest


def _load(path: Path) -> Any:
    """Load a helper of these tests by its name; tests are not packages."""
    if path.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[path.stem]


_server = _load(Path(__file__).parents[2] / "gateway_server.py")
_rig = _load(Path(__file__).with_name("rig.py"))
provider, gateway, tenant = _server.provider, _server.gateway, _server.tenant
scripted, rig = _rig.scripted, _rig.rig


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


@pytest.fixture
def serving() -> Any:
    """Serve a gateway with settings of the test's own."""
    return _server.serving


async def ask(
    method: str,
    url: str,
    *,
    key: str | None = "admin-secret",
    headers: dict[str, str] | None = None,
    **body: Any,
) -> tuple[int, Any, dict[str, str]]:
    """Make one request; return status, JSON body and headers."""
    sent = {**({"x-api-key": key} if key is not None else {}), **(headers or {})}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=sent, **body) as answer,
    ):
        seen = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, await answer.json(content_type=None), seen


@pytest.fixture
def http() -> Any:
    """One HTTP request, blocking."""
    return lambda *args, **kwargs: asyncio.run(ask(*args, **kwargs))
