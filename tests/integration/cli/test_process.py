"""
The command line as its own process: what it loads, how it ends, what it starts.
"""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OUTLAY = [sys.executable, "-m", "outlay.cli"]
WAIT_S = 30


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """
    Run one command line to its end.
    """
    return subprocess.run([*OUTLAY, *words], capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload,no-any-return]


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """
    Start a command line, and end it whatever happens.
    """
    process = subprocess.Popen([*OUTLAY, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=WAIT_S)


def free_port() -> int:
    """
    Find a port that nobody uses.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["--help"], {"sqlalchemy", "tomlkit"}),
        (["topup", "--help"], {"sqlalchemy", "tomlkit"}),
        (["version"], {"sqlalchemy", "rich"}),
        (["balance", "acme"], {"tomlkit", "genai_prices", "rich"}),
        (["balance", "acme", "--json"], {"tomlkit", "genai_prices", "rich"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_load_only_what_they_need(words: list[str], unwanted: set[str], books: Path) -> None:
    """
    Nothing of dashboard, provider, migration or web server is loaded to show a help text or a balance.
    """
    assert books.exists()
    unwanted = unwanted | {
        "streamlit",
        "pandas",
        "altair",
        "anthropic",
        "alembic",
        "uvicorn",
        "starlette",
        "aiohttp",
    }
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "outlay.cli", *words], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-500:]
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines()}
    assert loaded & unwanted == set()


@pytest.mark.postgres
def test_postgresql_waits_for_its_operator(postgres_url: str) -> None:
    """
    An empty PostgreSQL is not migrated by the way; once upgraded, it keeps the books like SQLite does.
    """
    environ = {**os.environ, "OUTLAY_DATABASE_URL": postgres_url}
    refused = run("tenant", "list", "--json", env=environ)
    assert refused.returncode == 1
    error = json.loads(refused.stderr)["error"]
    assert (error["code"], error["fix"]) == ("schema_mismatch", "run: outlay db upgrade")
    assert run("db", "check", env=environ).returncode == 1
    assert run("db", "upgrade", env=environ).returncode == 0
    made = run("tenant", "create", "acme", "--credit", "20", "--daily-budget", "5", "--json", env=environ)
    assert json.loads(made.stdout)["credit_usd"] == "20.00"
    assert run("topup", "acme", "-3", env=environ).returncode == 2
    assert json.loads(run("topup", "acme", "10", "--json", env=environ).stdout)["credit_usd"] == "30.00"
    assert run("halt", "--reason", "x", "--yes", env=environ).returncode == 0
    assert json.loads(run("verify", "--json", env=environ).stdout)["ok"] is True
    assert json.loads(run("doctor", "--json", env=environ).stdout)["ok"] is True


def test_closed_pipe_ends_quietly(books: Path) -> None:
    """
    `outlay statement acme | head -0` says nothing about pipes.
    """
    assert books.exists()
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*OUTLAY, "statement", "acme", "--json"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert ended.stderr == ""


def test_bytes_that_are_no_text_are_refused(books: Path) -> None:
    """
    What no database can hold does not reach it.
    """
    assert books.exists()
    ended = subprocess.run([*OUTLAY, "balance", b"\xff\xfe"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "UTF-8" in ended.stderr


@contextmanager
def asked() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """
    Start a global halt on a terminal and wait until it asks; gives the process and our end of the terminal.
    """
    ours, theirs = pty.openpty()
    words = [*OUTLAY, "halt", "--reason", "drill"]
    with subprocess.Popen(words, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        assert select.select([ours], [], [], WAIT_S)[0]
        assert b"every tenant?" in os.read(ours, 1000)
        yield process, ours
    os.close(ours)


def halted() -> list[bool]:
    """
    Say how the kill switches stand.
    """
    switches = json.loads(run("breaker", "status", "--json").stdout)["switches"]
    return [switch["halted"] for switch in switches]


@pytest.mark.parametrize(("answer", "status", "stands"), [(b"n\n", 1, []), (b"y\n", 0, [True])])
def test_global_halt_asks_on_a_terminal(answer: bytes, status: int, stands: list[bool], books: Path) -> None:
    """
    Somebody who is there is asked before every tenant is stopped, and may say no.
    """
    assert books.exists()
    with asked() as (process, terminal):
        os.write(terminal, answer)
        assert process.wait(WAIT_S) == status
    assert halted() == stands


def test_ctrl_c_ends_without_a_traceback(books: Path) -> None:
    """
    Interrupted while it asks: status 130, one word, nothing done.
    """
    assert books.exists()
    with asked() as (process, terminal):
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130
        said = os.read(terminal, 1000)
    assert b"Stopped." in said
    assert b"Traceback" not in said
    assert halted() == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_gateway_serves_until_it_is_stopped(workers: str, books: Path) -> None:
    """
    `outlay gateway` takes requests on its port with the books it was given, and ends on a signal.
    """
    port = free_port()
    where = f"sqlite:///{books}"
    with started("gateway", "--port", str(port), "--workers", workers, "--database-url", where) as process:
        until = time.monotonic() + WAIT_S
        while not _ready(f"http://127.0.0.1:{port}/readyz"):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "Traceback" not in err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_gateway_that_cannot_start_fails(workers: str, books: Path, tmp_path: Path) -> None:
    """
    A server that never served is exit 1 with a sentence at the end of its log, also with several workers.
    """
    assert books.exists()
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['gateway.app'] = None\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = run("gateway", "--port", str(free_port()), "--workers", workers, env=environ)
    assert ended.returncode == 1
    assert ended.stdout == ""


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_gateway_says_that_its_port_is_taken(books: Path) -> None:
    """
    One sentence instead of a server's log; and a warning where other machines can reach it.
    """
    assert books.exists()
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = str(other.getsockname()[1])
        ended = run("gateway", "--host", "127.0.0.1", "--port", port, "--json")
    assert ended.returncode == 1
    assert json.loads(ended.stderr)["error"]["code"] == "address_unavailable"


def test_dashboard_gives_its_link_and_stops_on_a_signal(books: Path) -> None:
    """
    `outlay dashboard` prints a link of this machine that carries a token, and ends with its server.
    """
    with started("dashboard", "--port", "0", "--json", "--database-url", f"sqlite:///{books}") as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], WAIT_S)[0], "no link in time"
        link = json.loads(process.stdout.readline())["dashboard"]
        assert link.startswith(("http://127.0.0.1:", "http://localhost:"))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=WAIT_S)
    assert "Traceback" not in err


def test_no_server_outlives_a_dashboard_that_was_killed(books: Path) -> None:
    """
    Killed outright, `outlay dashboard` stops nothing itself: its server ends because it is gone.
    """
    with started("dashboard", "--port", "0", "--json", "--database-url", f"sqlite:///{books}") as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], WAIT_S)[0], "no link in time"
        health = json.loads(process.stdout.readline())["dashboard"].partition("?")[0] + "_stcore/health"
        assert _ready(health)
        process.kill()
        until = time.monotonic() + WAIT_S
        while _ready(health) and time.monotonic() < until:
            time.sleep(0.1)
        assert not _ready(health)
