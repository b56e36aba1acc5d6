"""
Processes that `outlay up` starts: each with its log, waited for until it answers, and stopped at the end.

Every child is the leader of a session of its own, so that one Ctrl-C reaches the parent alone, which then
stops its children by their ids, in the reverse order of their start. Where the parent is killed outright,
its children end by themselves.
"""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from outlay import lifeline
from outlay.errors import Rejected

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
_POLL_S = 0.05
_TAIL_LINES = 15


class ChildFailed(Rejected):
    """
    A child did not come up, or ended by itself; the message ends with what it said last.
    """

    def __init__(self, message: str) -> None:
        super().__init__("server_failed", message)


@dataclass(frozen=True, slots=True)
class Child:
    """
    A started process.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> str | None:
        """
        Say how it ended, with the last lines of its log; None while it runs.
        """
        status = self.process.poll()
        return None if status is None else f"the {self.name} ended with status {status}\n{self.tail()}"

    def tail(self) -> str:
        """
        Give the last lines of its log.
        """
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


class Children:
    """
    The processes of one `outlay up`; leaving the context stops them, whatever happened.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        """
        Args:
            folder: Where logs go; it exists.
            environ: What children inherit.
        """
        self._folder = folder
        self._environ = environ
        self._children: list[Child] = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self, name: str, module: str, arguments: Sequence[str], extra: Mapping[str, str] | None = None
    ) -> Child:
        """
        Start a module of ours.
        """
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # our own modules, no shell
                [*lifeline.COMMAND, module, *arguments],
                env={**self._environ, **(extra or {})},
                stdin=subprocess.PIPE,  # its end tells a child that nobody is left to stop it
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def fallen(self) -> str | None:
        """
        Say which child has ended by itself, if any.
        """
        return next((said for child in self._children if (said := child.ended()) is not None), None)

    def stop(self) -> None:
        """
        Ask every child to end, the youngest first, and end those that do not; a second call does nothing.
        """
        for child in reversed(self._children):
            _stop(child.process)
        self._children.clear()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End one process; where it does not end politely, whatever is left of its session, too."""
    with process:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
            return
        except subprocess.TimeoutExpired:
            pass
    with suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(child: Child, answers: Callable[[], bool], *, timeout_s: float = READY_TIMEOUT_S) -> None:
    """
    Wait until a child answers.

    Raises:
        ChildFailed: It ended, or did not answer in time.
    """
    deadline = time.monotonic() + timeout_s
    while not answers():
        said = child.ended()
        if said is not None:
            raise ChildFailed(said)
        if time.monotonic() > deadline:
            raise ChildFailed(f"the {child.name} did not answer within {timeout_s:g} s\n{child.tail()}")
        time.sleep(_POLL_S)


def answers_http(port: int, path: str) -> bool:
    """
    Tell whether something on this port of the machine answers a path with 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def refuse_taken(port: int) -> None:
    """
    Say now that a port is taken: whoever has it might answer in our child's place.

    Raises:
        Rejected: Somebody listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = error.strerror or "it cannot be used"
            details = {"port": port, "fix": "choose another with --port or --dashboard-port"}
            raise Rejected("address_unavailable", f"cannot listen on port {port}: {why}", details) from error


def free_port() -> int:
    """
    Find a port that nobody uses now.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """
    Turn SIGTERM and SIGHUP into what Ctrl-C is, so that children are stopped.

    They become a SIGINT, which asyncio knows how to take: it cancels what runs and then interrupts.
    """
    before = {
        number: signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
