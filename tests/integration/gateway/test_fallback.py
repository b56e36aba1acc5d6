"""
Fallback at the gateway, where the provider answers each request in its own way: departures, halts, patience.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from rig import BODY, DELTA, FINAL, MESSAGE, START, STOP, STREAM_HEAD, Provider, Rig, event, plain, rig_on

from outlay.admin import breakers
from outlay.admin.decisions import list_decisions
from outlay.admin.policies import apply_policy
from outlay.clock import now_us

SONNET, OTHER, HAIKU = "claude-sonnet-5-5", "claude-sonnet-5", "claude-haiku-5-5"
OVERLOADED = plain({"type": "error", "error": {"type": "overloaded_error"}}, "529 X")
POLICY = f"""
[tiers.medium]
models = ["{SONNET}", "{OTHER}"]
[tiers.small]
models = ["{HAIKU}"]
[routing]
default_tier = "medium"
[limits]
hold_ttl_s = 2
"""


class Scripted(Provider):
    """A provider that answers the first request with the first script, and so on."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[list[bytes | float]] = []
        self._lock = threading.Lock()

    def _answer(self, connection: Any) -> None:
        with self._lock:
            self.pieces = self.scripts.pop(0) if self.scripts else []
        super()._answer(connection)

    @property
    def models(self) -> list[str]:
        """The model of each request, in order."""
        return [json.loads(raw.partition(b"\r\n\r\n")[2])["model"] for raw in self.requests]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A provider with a script for each request."""
    provider = Scripted()
    thread = threading.Thread(target=provider.serve)
    thread.start()
    yield provider
    provider.stop()
    thread.join()


@pytest.fixture
def rig(serving: Any, scripted: Scripted, books_url: str) -> Iterator[Rig]:
    """A gateway on each engine, under a policy of two tiers."""
    with rig_on(serving, scripted, books_url) as made:
        apply_policy(made.app, POLICY, actor="t")
        yield made


def outcomes(rig: Rig) -> list[tuple[str, str | None]]:
    """How each decision ended, and by which model, the oldest first."""
    found = reversed(list_decisions(rig.app, tenant="acme")["decisions"])
    return [(one["outcome"], (one["served"] or {}).get("model")) for one in found]


def message(model: str) -> bytes:
    """A whole answer of a model."""
    return plain({**MESSAGE, "model": model})


def test_the_answer_is_that_of_the_last_attempt(rig: Rig, scripted: Scripted) -> None:
    """Overloaded twice: the third model answers; bytes and headers are those of its answer alone."""
    scripted.scripts = [[OVERLOADED], [OVERLOADED], [message(HAIKU)]]
    status, body, headers = rig.call()
    assert (status, json.loads(body)["model"]) == (200, HAIKU)
    assert scripted.models == [SONNET, OTHER, HAIKU]
    assert (headers["outlay-model-served"], headers["outlay-attempts"]) == (HAIKU, "3")
    assert headers["outlay-decision-id"] == rig.decision["id"]
    assert headers["outlay-cost-usd"] == rig.decision["cost_usd"]
    assert outcomes(rig) == [("failed", SONNET), ("failed", OTHER), ("served", HAIKU)]
    assert rig.balance["held_usd"] == "0.00"


def test_a_stream_whose_first_event_is_an_error_begins_anew(rig: Rig, scripted: Scripted) -> None:
    """Nothing of the failed stream reaches the client, whose answer begins with the second."""
    error = event("error", error={"type": "overloaded_error", "message": "x"})
    scripted.scripts = [[STREAM_HEAD + error], [STREAM_HEAD + START + DELTA + FINAL + STOP]]
    status, body, headers = rig.call(stream=True)
    assert (status, body) == (200, START + DELTA + FINAL + STOP)
    assert (headers["outlay-model-served"], headers["outlay-attempts"]) == (OTHER, "2")


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ([STREAM_HEAD + event("ping") + event("error", error={"type": "overloaded_error"})], "failed"),
        ([STREAM_HEAD + START + event("error", error={"type": "overloaded_error"})], "broken"),
        ([STREAM_HEAD + START + DELTA], "broken"),
        ([STREAM_HEAD], "uncertain"),
        ([], "uncertain"),
    ],
)
def test_what_began_or_may_have_been_billed_is_not_replayed(
    rig: Rig, scripted: Scripted, pieces: list[bytes | float], outcome: str
) -> None:
    """Once a byte is out, or nobody knows of the bill, there is one request and one decision."""
    scripted.scripts = [pieces, [STREAM_HEAD + START + DELTA + FINAL + STOP]]
    rig.call(stream=True)
    assert scripted.models == [SONNET]
    assert outcomes(rig) == [(outcome, SONNET)]


def test_a_halt_between_the_attempts_stops_the_second(rig: Rig, scripted: Scripted) -> None:
    """Once `halt` has returned nothing more is sent: the failure is the answer, and no money stays held."""
    scripted.scripts = [[1.0, OVERLOADED], [message(OTHER)]]

    def halt() -> None:
        deadline = time.monotonic() + 30
        while not scripted.models and time.monotonic() < deadline:
            time.sleep(0.01)
        breakers.halt(rig.app, reason="drill", actor="t")

    halting = threading.Thread(target=halt)
    halting.start()
    status, _, headers = rig.call()
    halting.join()
    assert status == 529
    assert scripted.models == [SONNET]
    assert headers["outlay-attempts"] == "1"
    assert outcomes(rig)[0] == ("failed", SONNET)
    assert rig.balance["held_usd"] == "0.00"


def test_a_client_that_left_is_not_answered_by_another_model(rig: Rig, scripted: Scripted) -> None:
    """Its stream fails after it went: nobody waits for a second one, so that none is paid for."""
    error = event("error", error={"type": "overloaded_error"})
    scripted.scripts = [[STREAM_HEAD, 0.6, error], [STREAM_HEAD + START + FINAL + STOP]]

    async def leave() -> None:
        async with aiohttp.ClientSession() as session:
            url, headers = f"{rig.running.url}/v1/messages", {"x-api-key": rig.key}
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await session.post(url, json={**BODY, "stream": True}, headers=headers)

    asyncio.run(leave())
    time.sleep(0.8)
    rig.wait()
    assert scripted.models == [SONNET]
    assert outcomes(rig) == [("failed", SONNET)]


def test_the_hold_of_a_later_attempt_is_kept_for_as_long_as_it_takes(rig: Rig, scripted: Scripted) -> None:
    """The second attempt outlasts its hold's time: it is renewed like the first, settled and not captured."""
    scripted.scripts = [[OVERLOADED], [3.2, message(OTHER)]]
    answers: list[Any] = []
    calling = threading.Thread(target=lambda: answers.append(rig.call()))
    calling.start()
    time.sleep(2.7)
    rig.app.ledger.sweep(now_us())
    calling.join()
    assert answers[0][0] == 200
    assert outcomes(rig) == [("failed", SONNET), ("served", OTHER)]
