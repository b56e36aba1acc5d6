"""
The simulated provider, and a gateway before it.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


_server = _load(Path(__file__).parents[1] / "gateway_server.py")
_sdk = _load(Path(__file__).with_name("sdk_caller.py"))
provider, gateway, tenant = _server.provider, _server.gateway, _server.tenant
caller, open_caller, judge = _sdk.caller, _sdk.open_caller, _sdk.judge


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
