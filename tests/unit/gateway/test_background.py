"""
What goes on beside answering: open calls outlive their requests, and the care of the books never ends.
"""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.background import OpenCalls, care


def test_a_call_goes_on_when_its_request_is_cancelled() -> None:
    """A cancelled request waits for nothing; its call still comes to its end."""

    async def run() -> list[str]:
        ended: list[str] = []

        async def call() -> None:
            await asyncio.sleep(0.02)
            ended.append("settled")

        calls = OpenCalls()
        request = asyncio.create_task(calls.run(call()))
        await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert len(calls) == 1
        await calls.close(5)
        assert len(calls) == 0
        return ended

    assert asyncio.run(run()) == ["settled"]


def test_calls_that_outlast_the_patience_are_told_to_settle() -> None:
    """A stop waits up to its bound, then lets each call settle with what it knows."""

    async def run() -> list[str]:
        ended: list[str] = []

        async def call() -> None:
            try:
                await asyncio.sleep(30)
            finally:
                await asyncio.sleep(0)
                ended.append("settled as far as known")

        calls = OpenCalls()
        request = asyncio.create_task(calls.run(call()))
        await asyncio.sleep(0)
        await calls.close(0.02)
        with pytest.raises(asyncio.CancelledError):
            await request
        return ended

    assert asyncio.run(run()) == ["settled as far as known"]


def test_a_failure_of_a_call_reaches_its_request() -> None:
    """While the client is there, an error is its answer."""

    async def run() -> None:
        async def call() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await OpenCalls().run(call())

    asyncio.run(run())


def test_the_care_of_the_books_survives_failures(caplog: pytest.LogCaptureFixture) -> None:
    """A round that fails is logged, and the next one is made."""
    sweeps: list[int] = []

    def sweep(now_us: int) -> int:
        sweeps.append(now_us)
        if len(sweeps) == 1:
            raise OSError("the disk is full")
        return 0

    app: Any = SimpleNamespace(
        ledger=SimpleNamespace(sweep=sweep), circuit=SimpleNamespace(prune=lambda now_us: 0)
    )

    counts: list[str] = []
    engine: Any = SimpleNamespace(write_counts=lambda: counts.append("written"))

    async def run() -> None:
        task = asyncio.create_task(care(app, engine, 0.01))
        while len(sweeps) < 3:
            await asyncio.sleep(0.005)
        task.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "the care of the books failed" in caplog.text
    assert len(counts) >= 3
