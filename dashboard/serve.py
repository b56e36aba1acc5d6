"""
Runs the dashboard's server: the Streamlit application behind the gate, on one socket of this machine.
"""

import signal
import socket
from collections.abc import Callable, MutableMapping
from pathlib import Path

import uvicorn

from dashboard import theme
from dashboard.gate import Asgi, Gate
from dashboard.session import ACTOR_VARIABLE

SCRIPT = Path(__file__).with_name("app.py")


def listen(port: int) -> socket.socket:
    """
    Take a port of this machine; 0 takes a free one.

    Raises:
        OSError: The port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener


def serve(
    listener: socket.socket,
    *,
    database_url: str,
    actor: str,
    token: str | None,
    told: Callable[[str], None],
    environ: MutableMapping[str, str],
) -> None:
    """
    Serve the dashboard until SIGTERM or SIGINT.

    Args:
        told: Called with each link that opens the dashboard, the first once the server answers.
        environ: Where pages find the database and the actor; Streamlit hands them nothing else.
    """
    environ["OUTLAY_DATABASE_URL"] = database_url
    environ[ACTOR_VARIABLE] = actor
    port = int(listener.getsockname()[1])
    gate = Gate(_application(port), port=port, token=token, told=told)
    config = uvicorn.Config(
        gate, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1,
        ws_max_size=16 * 1024 * 1024, lifespan="on",
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_quietly)  # uvicorn stops at the signal, then gives it back to us
    _Announcing(config, lambda: told(gate.link)).run(sockets=[listener])


def _end_quietly(_number: int, _frame: object) -> None:
    """Let a stop that was asked for be no failure."""


def _application(port: int) -> Asgi:
    # pandas is loaded here, as two pages that load it at the same moment would each see half of it
    import pandas as pd  # noqa: F401 - loaded for its effect
    import streamlit
    from streamlit.web import bootstrap

    options = {name.replace(".", "_"): value for name, value in theme.options(port).items()}
    bootstrap.load_config_options(options)
    application: Asgi = streamlit.App(SCRIPT, on_script_error=_show_failure)
    return application


def _show_failure(_error: Exception) -> bool:
    """Tell the reader what to do in place of a trace, which is in the log."""
    import streamlit

    streamlit.error(
        "This page failed. Reload it; if it fails again, the reason is in the log where the dashboard runs.",
        icon=":material/error:",
    )
    return True


class _Announcing(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()
