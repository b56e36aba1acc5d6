"""
A fleet for the tests under load: the simulated provider and several gateway processes on one database.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from outlay.admin.policies import apply_policy
from outlay.admin.tenants import create_tenant
from outlay.demo.children import Child, Children, free_port
from outlay.demo.servers import gateway_ready, start_gateway, start_provider
from outlay.settings import Settings
from outlay.wiring import App, open_app
from simulator.bill import total


@dataclass
class Fleet:
    """
    One provider, several gateways, and the books that they share.
    """

    app: App
    stack: ExitStack
    folder: Path
    upstream: str
    bill: Path
    gateways: list[Child]
    urls: list[str]

    def billed_nanos(self) -> int:
        """What the provider has billed, by its own file."""
        return int(total(self.bill) * Decimal(10**9))

    def start_gateway(self) -> tuple[Child, str]:
        """Start one more gateway and wait until it takes calls."""
        port = free_port()
        extra = {
            "OUTLAY_DATABASE_URL": self.app.settings.database_url,
            "OUTLAY_UPSTREAM_URL": self.upstream,
            "ANTHROPIC_API_KEY": "sk-ant-upstream",
        }
        folder = self.folder / f"gateway-{len(self.gateways)}"
        folder.mkdir()
        children = self.stack.enter_context(Children(folder, dict(os.environ)))
        child = start_gateway(children, port, 1, extra)
        self.gateways.append(child)
        self.urls.append(gateway_ready(child, port))
        return child, self.urls[-1]

    def tenant(self, name: str, **arguments: object) -> str:
        """Create a tenant and return its key."""
        made = create_tenant(self.app, name, actor="test", **arguments)  # type: ignore[arg-type]
        return str(made["key"])

    def policy(self, text: str) -> None:
        """Apply a policy for everybody."""
        apply_policy(self.app, text, actor="test")


MakeFleet = Callable[..., Fleet]


@contextmanager
def _fleet(url: str, folder: Path, gateways: int, scenario: str) -> Iterator[Fleet]:
    app = open_app(Settings(database_url=url), migrate=True)
    with ExitStack() as stack:
        stack.callback(app.close)
        port = free_port()
        children = stack.enter_context(Children(folder, dict(os.environ)))
        bill = start_provider(children, port, scenario, folder)
        fleet = Fleet(app, stack, folder, f"http://127.0.0.1:{port}", bill, [], [])
        for _ in range(gateways):
            fleet.start_gateway()
        yield fleet


@pytest.fixture
def make_fleet(database_url: str, tmp_path: Path) -> Iterator[MakeFleet]:
    """Start fleets on a fresh database; all their processes end with the test."""
    open_fleets = []

    def make(gateways: int = 1, scenario: str = "") -> Fleet:
        manager = _fleet(database_url, tmp_path, gateways, scenario)
        open_fleets.append(manager)
        return manager.__enter__()

    yield make
    for manager in reversed(open_fleets):
        manager.__exit__(None, None, None)
