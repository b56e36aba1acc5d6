"""
`outlay up` without the demo: both servers come up, stay up, and go down together.
"""

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outlay.demo.children import answers_http, free_port

Run = Callable[..., subprocess.Popen[str]]


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_gateway_and_dashboard_stay_up_until_told(
    up: Run, sqlite_url: str, tmp_path: Path, left_behind: Callable[[str], list[str]]
) -> None:
    """Both answer on the addresses that were printed; SIGTERM ends all with status 0."""
    port, other = free_port(), free_port()
    words = ("--port", str(port), "--dashboard-port", str(other), "--json", "--database-url", sqlite_url)
    process = up(*words)
    line = _first_line(process)
    assert line, process.communicate()
    data = json.loads(line)
    assert data["gateway"] == f"http://127.0.0.1:{port}"
    assert data["dashboard"].startswith(f"http://127.0.0.1:{other}/")
    assert data["tenants"] == []
    assert answers_http(port, "/readyz")
    connection = http.client.HTTPConnection("127.0.0.1", other, timeout=10)
    connection.request("GET", data["dashboard"].removeprefix(f"http://127.0.0.1:{other}"))
    assert connection.getresponse().status in (200, 303)
    connection.close()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert left_behind(str(tmp_path)) == []


def test_nothing_outlives_a_parent_that_was_killed(
    up: Run, sqlite_url: str, tmp_path: Path, left_behind: Callable[[str], list[str]]
) -> None:
    """Killed outright, it stops nothing itself: gateway and dashboard end because it is gone."""
    port, other = free_port(), free_port()
    words = ("--port", str(port), "--dashboard-port", str(other), "--json", "--database-url", sqlite_url)
    process = up(*words)
    assert _first_line(process), process.communicate()
    process.kill()
    process.communicate(timeout=30)
    until = time.monotonic() + 30
    while (left := left_behind(str(tmp_path))) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []
    assert not answers_http(port, "/readyz")


def test_people_are_told_what_to_set(up: Run, sqlite_url: str) -> None:
    """The text names both addresses, the two variables, and the first step where there is no tenant."""
    process = up("--port", str(free_port()), "--no-dashboard", "--database-url", sqlite_url)
    assert process.stdout is not None
    lines: list[str] = []
    while not (lines and "Ctrl-C" in lines[-1]):
        line = process.stdout.readline()
        assert line, process.communicate()
        lines.append(line)
    text = "".join(lines)
    for word in ("ANTHROPIC_BASE_URL=http://127.0.0.1", "ANTHROPIC_API_KEY=", "outlay tenant create"):
        assert word in text
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_server_that_dies_is_reported(up: Run, sqlite_url: str) -> None:
    """Without its gateway `outlay up` does not pretend to run: it says so and ends with 1."""
    process = up("--port", str(free_port()), "--no-dashboard", "--json", "--database-url", sqlite_url)
    assert _first_line(process), process.communicate()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    subprocess.run(["kill", "-9", children[0]], check=True)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the gateway ended with status -9" in json.loads(errors)["error"]["message"]


@pytest.mark.parametrize("option", ["--port", "--dashboard-port"])
@pytest.mark.parametrize("demo", [False, True])
def test_a_port_that_is_taken_is_reported(option: str, demo: bool, up: Run, tmp_path: Path) -> None:
    """Who answers there is not taken for our server; no books are made before, and the fix is told."""
    place = tmp_path / "place"
    words = ("--demo", "--keep", str(place)) if demo else ("--database-url", f"sqlite:///{place}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _, errors = (process := up(option, str(port), *words)).communicate(timeout=60)
    assert process.returncode == 1
    assert f"cannot listen on port {port}" in errors
    assert "choose another with --port or --dashboard-port" in " ".join(errors.split())
    assert not place.exists()


def test_two_servers_do_not_share_a_port(up: Run, tmp_path: Path) -> None:
    """The gateway's port is none for the dashboard, whose default one it may be."""
    port = str(free_port())
    place = tmp_path / "books.db"
    words = ("--port", port, "--dashboard-port", port, "--database-url", f"sqlite:///{place}")
    _, errors = (process := up(*words)).communicate(timeout=60)
    assert process.returncode == 1
    assert f"the gateway listens on port {port} already" in " ".join(errors.split())
    assert not place.exists()
