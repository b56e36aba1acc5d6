"""
The servers that `outlay up` starts: gateway, dashboard, and for the demo the simulated provider.

The simulated provider is started by its module's name and is never imported: it is the judge of the books.
"""

from collections.abc import Mapping
from pathlib import Path

from outlay.demo.children import Child, Children, answers_http, refuse_taken, wait_until
from outlay.errors import Rejected

HOST = "127.0.0.1"
_LINK = "Outlay dashboard: "
_LISTENING = "listening on "


def refuse_ports(gateway: int | None, dashboard: int | None) -> None:
    """
    Say that ports cannot be used before anything is made; 0 and None are chosen later.

    Raises:
        Rejected: Somebody listens there, or both are to be one.
    """
    if gateway and gateway == dashboard:
        fix = {"port": gateway, "fix": "choose another with --port or --dashboard-port"}
        raise Rejected("address_unavailable", f"the gateway listens on port {gateway} already", fix)
    for port in (gateway, dashboard):
        if port:
            refuse_taken(port)


def start_gateway(children: Children, port: int, workers: int, extra: Mapping[str, str]) -> Child:
    """
    Start the gateway on a port of this machine; `gateway_ready` waits for it.
    """
    refuse_taken(port)
    words = ["gateway", "--host", HOST, "--port", str(port), "--workers", str(workers)]
    return children.start("gateway", "outlay.cli", [*words, "--log-level", "warning"], extra)


def gateway_ready(child: Child, port: int) -> str:
    """
    Wait until the gateway takes calls, and give its address.

    Raises:
        ChildFailed: It ended, or did not come up in time.
    """
    wait_until(child, lambda: answers_http(port, "/readyz"))
    return f"http://{HOST}:{port}"


def start_dashboard(children: Children, port: int, extra: Mapping[str, str]) -> Child:
    """
    Start the dashboard; port 0 takes a free one.
    """
    refuse_taken(port)
    return children.start("dashboard", "dashboard", ["--port", str(port)], extra)


def dashboard_link(child: Child) -> str:
    """
    Wait until the dashboard serves, and give the link that opens it once.

    Raises:
        ChildFailed: It ended, or did not come up in time.
    """
    wait_until(child, lambda: _said(child, _LINK) is not None)
    return _said(child, _LINK) or ""


def start_provider(children: Children, port: int, scenario: str, folder: Path) -> Path:
    """
    Start the simulated provider and wait until it listens; its scenario's clock starts now.

    Returns:
        The file of its bill.
    Raises:
        ChildFailed: It ended, or did not come up in time.
    """
    bill, file = folder / "bill.jsonl", folder / "scenario.toml"
    file.write_text(scenario, "utf-8")
    words = ["--port", str(port), "--bill", str(bill), "--scenario", str(file)]
    child = children.start("provider", "simulator", words)
    wait_until(child, lambda: _said(child, _LISTENING) is not None)
    return bill


def _said(child: Child, prefix: str) -> str | None:
    """Find what a child has said behind a prefix, whole lines only."""
    lines = child.log.read_text("utf-8", "replace").split("\n")[:-1]
    return next((line.removeprefix(prefix).strip() for line in lines if line.startswith(prefix)), None)
