"""
The simulated provider, and a gateway before it.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _server() -> Any:
    """Load the helper that lies beside the tests' own conftest; tests are not packages (style guide 7)."""
    if "gateway_server" not in sys.modules:
        path = Path(__file__).parents[1] / "gateway_server.py"
        spec = importlib.util.spec_from_file_location("gateway_server", path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["gateway_server"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["gateway_server"]


provider, gateway, tenant = _server().provider, _server().gateway, _server().tenant


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
    return _server().serving
