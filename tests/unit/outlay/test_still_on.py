"""
The last look at the kill switches costs nothing while the one before it is good.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from circuit.types import Switch
from outlay import engine
from outlay.aio import AsyncCalls
from outlay.client import Calls
from outlay.effects import CheckSwitches
from outlay.engine import Engine

HALTED = Switch("global", True, 1, 0, "stop", "test")


@pytest.fixture(params=[Calls, AsyncCalls])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls whose readings are scripted and take 5 ms each, by a clock that else stands still."""
    clock: list[float] = [100.0]
    found: dict[str, Switch] = {}
    asked: list[str] = []

    def switches(scopes: tuple[str, ...]) -> dict[str, Switch]:
        asked.append(scopes[-1])
        clock[0] += 0.005
        return found

    circuit = SimpleNamespace(switches=switches)
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Engine, "__init__", lambda *_: None)
    calls: Any = request.param(SimpleNamespace())
    calls.engine._app, calls.engine._running = SimpleNamespace(circuit=circuit), {}

    def run(name: str, *args: Any) -> Any:
        if isinstance(calls, Calls):
            return getattr(calls.engine, name)(*args)
        return asyncio.run(getattr(calls, name)(*args))

    return SimpleNamespace(run=run, clock=clock, found=found, asked=asked)


def test_a_good_reading_is_not_made_again(watched: Any) -> None:
    """It is good for 20 ms from its beginning on, for the tenant it was made for."""
    watched.run("perform", CheckSwitches("acme"))
    watched.clock[0] += 0.014
    assert watched.run("still_on", "acme") is None
    assert watched.asked == ["tenant:acme"]
    assert watched.run("still_on", "other") is None
    assert watched.asked == ["tenant:acme", "tenant:other"]
    assert watched.run("still_on", "acme") is None  # 24 ms by now
    assert watched.asked == ["tenant:acme", "tenant:other", "tenant:acme"]


def test_a_halt_that_is_found_is_refused(watched: Any) -> None:
    """It is refused in the words of the flow, and never remembered as a good reading."""
    watched.found["global"] = HALTED
    for _ in range(2):
        refused = watched.run("still_on", "acme", "id-1")
        assert (refused.code, refused.decision_id) == ("outlay_kill_switch", "id-1")
    assert len(watched.asked) == 2
