"""
A caller that talks to the simulated provider in process, without a socket or an HTTP library.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from simulator.app import make_app
from simulator.config import Config


@dataclass(frozen=True)
class Reply:
    """
    An answer as received.
    """

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """
        The body, parsed.
        """
        return json.loads(self.raw)

    @property
    def message(self) -> str:
        """
        The text of an error.
        """
        return str(self.json["error"]["message"])

    @property
    def events(self) -> list[dict[str, Any]]:
        """
        The data of a stream's events; each event's name is checked against it.
        """
        found = []
        for part in self.raw.decode().split("\n\n")[:-1]:
            name, data = part.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
        return found


class Caller:
    """
    One provider in process, and requests to it.
    """

    def __init__(self, config: Config) -> None:
        self.app = make_app(config)
        self.provider = self.app.state.provider

    def raw(
        self,
        body: bytes,
        path: str = "/v1/messages",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """
        Send bytes and return the answer.
        """
        sent = {"x-api-key": "key-a", "anthropic-version": "2026-10-21", **(headers or {})}
        return asyncio.run(self._run(body, path, method, {k: v for k, v in sent.items() if v != ""}))

    def ask(self, path: str = "/v1/messages", headers: dict[str, str] | None = None, **fields: Any) -> Reply:
        """
        Send a small valid request changed by *fields*; a field of Ellipsis is left out.
        """
        body = {
            "model": "claude-opus-5-5",
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": "Hello"}],
            **fields,
        }
        body = {name: value for name, value in body.items() if value is not ...}
        return self.raw(json.dumps(body).encode(), path, headers=headers)

    async def _run(self, body: bytes, path: str, method: str, headers: dict[str, str]) -> Reply:
        sent: list[Any] = []
        asked = False
        done = asyncio.Event()

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await done.wait()
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], found, b"".join(part["body"] for part in sent[1:]))


class Clock:
    """
    A clock that stands still until told to move.
    """

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        """
        Return the time in seconds since the epoch.
        """
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock set to November 2026."""
    return Clock()


@pytest.fixture
def make_caller(clock: Clock) -> Callable[..., Caller]:
    """Callers to providers of any configuration."""
    return lambda **settings: Caller(Config(**{"clock": clock, **settings}))


@pytest.fixture
def caller(make_caller: Callable[..., Caller]) -> Caller:
    """A caller to a provider with the default configuration."""
    return make_caller()


@pytest.fixture(scope="module")
def shared_caller() -> Caller:
    """A caller for property tests, where the state of the provider does not matter."""
    return Caller(Config())
