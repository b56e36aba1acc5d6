"""
A scripted provider for tests, a gateway before it, and one tenant that calls.
"""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest

from outlay.admin import money, tenants
from outlay.admin.decisions import list_decisions
from outlay.settings import Settings

BODY = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
MESSAGE = {
    "type": "message",
    "model": "claude-sonnet-5-5",
    "content": [],
    "usage": {"input_tokens": 10, "output_tokens": 5},
}
COST = "0.00007"  # 10 x 2 USD + 5 x 10 USD per million tokens
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_up\r\n\r\n"


def event(kind: str, end: str = "\n", **fields: Any) -> bytes:
    """One event on the wire."""
    return f"event: {kind}{end}data: {json.dumps({'type': kind, **fields})}{end}{end}".encode()


START = event(
    "message_start",
    message={"model": "claude-sonnet-5-5", "usage": {"input_tokens": 10, "output_tokens": 1}},
)
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Grüße aus Köln"})
FINAL = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5})
STOP = event("message_stop")


def plain(body: Any, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n{lines}\r\n"
    return head.encode() + raw


class Provider:
    """A provider that answers every request with the same pieces, then closes the connection."""

    def __init__(self) -> None:
        self.pieces: list[bytes | float] = []
        self.requests: list[bytes] = []
        self.closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Answer until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            raw = b""
            while b"\r\n\r\n" not in raw:
                raw += connection.recv(65_536)
            head, _, body = raw.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65_536)
            self.requests.append(head + b"\r\n\r\n" + body)
            for piece in self.pieces:
                if isinstance(piece, float):
                    time.sleep(piece)
                else:
                    connection.sendall(piece)
        self.closed.set()

    def stop(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def scripted() -> Iterator[Provider]:
    """A scripted provider."""
    provider = Provider()
    thread = threading.Thread(target=provider.serve)
    thread.start()
    yield provider
    provider.stop()
    thread.join()


class Rig:
    """A gateway before a scripted provider, with one tenant."""

    def __init__(self, running: Any) -> None:
        self.running = running
        self.app = running.app
        self.key = tenants.create_tenant(self.app, "acme", credit="5", actor="test")["key"]

    async def post(self, raw: bytes | None = None, **extra: Any) -> tuple[int, bytes, dict[str, str]]:
        """Send one call; return status, body as far as it came, and headers."""
        data = json.dumps({**BODY, **extra}).encode() if raw is None else raw
        headers = {
            "x-api-key": self.key,
            "anthropic-version": "2026-10-21",
            "anthropic-beta": "claude-code-20250219",
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.running.url}/v1/messages", data=data, headers=headers) as answer,
        ):
            body = await answer.read()
            return answer.status, body, {name.lower(): value for name, value in answer.headers.items()}

    def call(self, raw: bytes | None = None, **extra: Any) -> tuple[int, bytes, dict[str, str]]:
        """Send one call, blocking."""
        return asyncio.run(self.post(raw, **extra))

    @property
    def decision(self) -> Any:
        """The newest decision."""
        return list_decisions(self.app, tenant="acme")["decisions"][0]

    @property
    def balance(self) -> Any:
        """The tenant's balance."""
        return money.balance(self.app, "acme")

    def wait(self) -> None:
        """Wait until no money is held."""
        until = time.monotonic() + 30
        while self.balance["held_usd"] != "0.00":
            assert time.monotonic() < until
            time.sleep(0.02)


def leave_early(rig: Rig) -> None:
    """Read one event of a stream, then go."""

    async def play() -> None:
        async with aiohttp.ClientSession() as session:
            answer = await session.post(
                f"{rig.running.url}/v1/messages",
                json={**BODY, "stream": True},
                headers={"x-api-key": rig.key},
            )
            await answer.content.readany()
            answer.close()

    asyncio.run(play())


@pytest.fixture
def rig(serving: Any, scripted: Provider, sqlite_books: str) -> Iterator[Rig]:
    """A gateway on SQLite."""
    with rig_on(serving, scripted, sqlite_books) as made:
        yield made


@contextmanager
def rig_on(serving: Any, scripted: Provider, url: str) -> Iterator[Rig]:
    """A gateway on some database."""
    settings = Settings(database_url=url, upstream_url=scripted.url, upstream_key="upstream-secret")
    with serving(settings) as running:
        yield Rig(running)
