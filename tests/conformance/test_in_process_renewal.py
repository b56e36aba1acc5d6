"""
A call that takes longer than its hold lives stays held, and is settled once, at its true cost. With the real
client, blocking and asynchronous, against the simulated provider.
"""

import asyncio
import time
from typing import Any

import pytest
from sdk_in_process import SONNET, Blocking, booked, says

from outlay import leases
from outlay.clock import now_us

SHORT = """
[tiers.only]
models = ["claude-sonnet-5-5"]
[routing]
default_tier = "only"
[limits]
hold_ttl_s = 1
"""
SLOW = says("[[sim input_tokens=100 output_tokens=40 stall_ms=2500]]")
BODY: dict[str, Any] = {"model": SONNET, "max_tokens": 500, "messages": SLOW}


def kinds(sdk: Any) -> list[str]:
    """What was booked for the tenant's calls; another process's care of the books comes first."""
    sdk.books.app.ledger.sweep(now_us())
    return [line["kind"] for line in sdk.do("statement", "acme")["lines"] if line["kind"] != "topup"]


@pytest.mark.parametrize("streams", [True, False])
def test_a_call_longer_than_its_hold_is_settled_in_time(make: Any, streams: bool) -> None:
    """A provider that is silent for longer than the hold lives, amid a stream or before a plain answer."""
    sdk = make(SHORT)
    (sdk.read_stream if streams else sdk.create)(**BODY)
    assert kinds(sdk) == ["settle"]
    assert booked(sdk) == sdk.billed() > 0


def test_a_stream_that_nobody_reads_on_is_left_to_expire(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither read nor closed, its hold is captured; once it is read on, the true cost is booked."""
    monkeypatch.setattr(leases, "IDLE_S", 0.2)
    sdk = make(SHORT)
    sweep = sdk.books.app.ledger.sweep
    if isinstance(sdk, Blocking):
        with sdk.client.messages.create(stream=True, **{**BODY, "messages": says()}) as stream:
            next(iter(stream))
            time.sleep(2)
            assert sweep(now_us()) == 1
            assert len(list(stream)) > 3
    else:

        async def left() -> None:
            body = {**BODY, "messages": says()}
            async with await sdk.client.messages.create(stream=True, **body) as stream:
                await anext(aiter(stream))
                await asyncio.sleep(2)
                assert await asyncio.to_thread(sweep, now_us()) == 1
                assert len([event async for event in stream]) > 3

        sdk.runner.run(left())
    assert booked(sdk) == sdk.billed() > 0
    assert kinds(sdk)[0] == "expire_capture"


def test_a_hold_of_an_open_block_is_renewed(make: Any) -> None:
    """`with books.hold(...)`: as long as the block runs its call may."""
    sdk = make(SHORT)
    offers = [{"name": "gpu", "cost_usd": "1"}]

    def work(hold: Any) -> None:
        assert sdk.books.app.ledger.sweep(now_us()) == 0
        assert not hold.closed

    if isinstance(sdk, Blocking):
        with sdk.books.hold("acme", offers=offers) as hold:
            time.sleep(2.5)
            work(hold)
            hold.settle(cost_usd="0.25")
    else:

        async def held() -> None:
            async with await sdk.books.hold("acme", offers=offers) as hold:
                await asyncio.sleep(2.5)
                await asyncio.to_thread(work, hold)
                await hold.settle(cost_usd="0.25")

        sdk.runner.run(held())
    assert kinds(sdk) == ["settle"]
    assert str(booked(sdk)) == "0.25"
