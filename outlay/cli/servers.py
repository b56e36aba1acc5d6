"""
What keeps running: `outlay gateway` and `outlay dashboard`.

Both lie above this package, so they are started by name.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from outlay.cli.frame import Answer, Common, command

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
WORKERS_MAX = 64
KEEP_ALIVE_S = 75
"""Longer than the SDK keeps an idle connection, so that it is never closed under a request."""
STOP_S = 30
"""A stopping gateway waits this long for calls under way; what remains is settled as far as it is known."""
STARTUP_FAILURE = 3  # exit status of a worker of uvicorn that could not start
Port = Annotated[int | None, typer.Option("--port", min=1, max=65_535, help="OUTLAY_PORT, or 8787.")]
Host = Annotated[str | None, typer.Option("--host", metavar="HOST", help="OUTLAY_HOST, or 127.0.0.1.")]
Workers = Annotated[int, typer.Option("--workers", min=1, max=WORKERS_MAX, help="Number of processes.")]
DashboardPort = Annotated[
    int | None, typer.Option("--port", min=0, max=65_535, help="8788; 0 takes a free one.")
]
LogLevel = Annotated[
    str, typer.Option("--log-level", metavar="LEVEL", help="critical, error, warning, info or debug.")
]


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    command(app, "gateway")(gateway)
    command(app, "dashboard")(dashboard)


def gateway(
    common: Common,
    host: Host = None,
    port: Port = None,
    workers: Workers = 1,
    log_level: LogLevel = "info",
) -> Answer:
    """Serve the Messages API and the control plane, until it is stopped."""
    settings = common.settings()
    host, port = host or settings.host, port or settings.port
    _check_level(log_level)
    _check_address(host, port)
    with common.opened(new=True):  # says what is wrong in one sentence; upgrades before workers race to
        pass
    _warn_about_tls(host)
    os.environ["OUTLAY_DATABASE_URL"] = settings.database_url  # the workers read their own environment
    _serve(host, port, workers, log_level, quiet=common.as_json)
    return Answer({"stopped": True}, ("The gateway has stopped.",))


def dashboard(common: Common, port: DashboardPort = None) -> Answer:
    """Open the dashboard on this machine; prints a link that works once."""
    with common.opened():
        pass
    environment = {**os.environ, "OUTLAY_DATABASE_URL": common.settings().database_url}
    from outlay import lifeline

    words = [*lifeline.COMMAND, "dashboard", "--actor", common.actor]
    words += [] if port is None else ["--port", str(port)]
    status = _run(words, environment, as_json=common.as_json)
    return Answer({"status": status}, ("The dashboard has stopped.",), 0 if status == 0 else 1)


def _check_level(level: str) -> None:
    from outlay.errors import BadInput

    known = ("critical", "error", "warning", "info", "debug")
    if level not in known:
        raise BadInput("log_level", level, "unknown level", f"use one of {', '.join(known)}")


def _check_address(host: str, port: int) -> None:
    """Find out now that the address is taken, not from the log of a worker."""
    from outlay.errors import BadInput, Rejected

    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadInput("host", host, "is no address of this machine", "use 127.0.0.1") from error
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            why = error.strerror or "it cannot be used"
            details = {"host": host, "port": port, "fix": "choose another with --host and --port"}
            raise Rejected(
                "address_unavailable", f"cannot listen on {host}:{port}: {why}", details
            ) from error


def _warn_about_tls(host: str) -> None:
    if host not in LOOPBACK:
        print(
            f"warning: {host} is open to other machines; put a reverse proxy with TLS in front",
            file=sys.stderr,
        )


def _serve(host: str, port: int, workers: int, log_level: str, *, quiet: bool) -> None:
    """
    Serve until a signal comes.

    Raises:
        Rejected: `gateway_failed`: it could not start; the log above says why.
    """
    import uvicorn

    from outlay.errors import Rejected

    access_log = log_level == "debug" and not quiet  # it goes to standard output
    config = uvicorn.Config(
        "gateway.app:create", factory=True, host=host, port=port, workers=workers, log_level=log_level,
        access_log=access_log, server_header=False, timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )  # fmt: skip
    if not (_one(config) if workers == 1 else _several(config)):
        raise Rejected("gateway_failed", "the gateway could not start; its log is above")


def _one(config: "uvicorn.Config") -> bool:
    from uvicorn import Server

    server = Server(config)
    with suppress(KeyboardInterrupt):  # raised again once everything is closed
        server.run()
    return server.started


def _several(config: "uvicorn.Config") -> bool:
    from uvicorn.supervisors import Multiprocess

    supervisor = Multiprocess(config, sockets=[config.bind_socket()])
    supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


def _run(words: list[str], environment: dict[str, str], *, as_json: bool) -> int:
    """Run a program to its end; Ctrl-C reaches it by itself, a polite kill is passed on; others it sees."""
    pipe = subprocess.PIPE
    said = pipe if as_json else None
    with subprocess.Popen(words, env=environment, stdin=pipe, stdout=said, text=True) as child:  # noqa: S603 - no shell
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        while True:
            try:
                for line in child.stdout or ():
                    _tell(line)
                return child.wait()
            except KeyboardInterrupt:
                continue


def _tell(line: str) -> None:
    """Pass the dashboard's link on to a script."""
    _, found, link = line.strip().partition("http")
    if found:
        print(json.dumps({"dashboard": found + link}), flush=True)
