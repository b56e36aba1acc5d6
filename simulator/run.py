"""
The simulated provider as a process: serve it, or start one and learn its address.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.app import make_app
from simulator.config import Config
from simulator.http import ABORT

LISTENING = "listening on "
_START_TIMEOUT_S = 30.0
_BACKLOG = 2048
_LAST_CHARGES_S = 0.05  # streams that were cut charge what they owe


class StartError(RuntimeError):
    """
    The provider's process did not come up; the message holds what it said.
    """


class _Protocol(HttpToolsProtocol):
    """
    HTTP with one thing more: the application may close the connection without an answer.
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][ABORT] = self.transport.abort


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            print(f"{LISTENING}{self._url}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets=sockets)
        await asyncio.sleep(_LAST_CHARGES_S)


def serve(config: Config, port: int) -> None:
    """
    Serve on 127.0.0.1 until the process is told to stop; port 0 takes a free one.

    Prints one line, `listening on URL`, once connections are taken.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)
    settings = uvicorn.Config(
        make_app(config),
        http=_Protocol,
        ws="none",
        lifespan="off",
        loop="auto",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=75,
    )
    server = _Server(settings, f"http://127.0.0.1:{listener.getsockname()[1]}")
    server.run(sockets=[listener])


def start(
    bill: Path | str,
    *,
    port: int = 0,
    seed: int = 0,
    latency_ms: float = 0,
    scenario: Path | str | None = None,
    arguments: Sequence[str] = (),
) -> tuple[str, subprocess.Popen[str]]:
    """
    Start a provider as a process of its own and wait until it listens.

    The caller stops it by `process.terminate()` and `process.wait()`.

    Returns:
        Its URL, and the process.
    Raises:
        StartError: it ended or said nothing for 30 s.
    """
    command = [sys.executable, "-m", "simulator", "--port", str(port), "--bill", str(bill)]
    command += ["--seed", str(seed), "--latency-ms", str(latency_ms)]
    command += [] if scenario is None else ["--scenario", str(scenario)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(  # noqa: S603  # our own module, no shell
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        line = _first_line(process)
        if not line.startswith(LISTENING):
            process.kill()
            process.wait()
            errors.seek(0)
            raise StartError(f"the simulated provider did not start: {line}{errors.read()}")
    return line.removeprefix(LISTENING).strip(), process


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    alarm = threading.Timer(_START_TIMEOUT_S, process.kill)
    alarm.start()
    try:
        with process.stdout as output:  # it says nothing more
            return output.readline()
    finally:
        alarm.cancel()
