"""
The last look at the kill switches costs nothing while the one before it is good.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from circuit.types import HaltCode, Halted
from gateway import switches
from gateway.errors import ApiError
from gateway.switches import WatchedCalls
from outlay.aio import AsyncCalls
from outlay.effects import CheckSwitches

HALTED = Halted(HaltCode.KILL_SWITCH, "global", "stop", None, None, {})


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls whose readings are scripted, and a clock that stands still."""
    app: Any = SimpleNamespace()
    clock, found, asked = [100.0], [None], []

    async def perform(_: Any, effect: CheckSwitches) -> Any:
        asked.append(effect.tenant)
        clock[0] += 0.005
        return found[0]

    monkeypatch.setattr(AsyncCalls, "__init__", lambda *_: None)
    monkeypatch.setattr(AsyncCalls, "perform", perform)
    monkeypatch.setattr(switches, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return SimpleNamespace(calls=WatchedCalls(app), clock=clock, found=found, asked=asked)


def test_a_good_reading_is_not_made_again(watched: Any) -> None:
    """It is good for 20 ms from the question on, for the tenant it was made for."""

    async def run() -> None:
        await watched.calls.perform(CheckSwitches("acme"))
        watched.clock[0] += 0.014
        await watched.calls.still_on("acme")
        assert watched.asked == ["acme"]
        await watched.calls.still_on("other")
        assert watched.asked == ["acme", "other"]
        await watched.calls.still_on("acme")  # 24 ms by now
        assert watched.asked == ["acme", "other", "acme"]

    asyncio.run(run())


def test_a_halt_that_is_found_is_refused(watched: Any) -> None:
    """It is refused in the words of the flow, and never remembered as a good reading."""

    async def run() -> None:
        watched.found[0] = HALTED
        for _ in range(2):
            with pytest.raises(ApiError) as refused:
                await watched.calls.still_on("acme", "id-1")
            assert refused.value.details["error_code"] == "outlay_kill_switch"
            assert refused.value.details["decision_id"] == "id-1"
        assert len(watched.asked) == 2

    asyncio.run(run())
