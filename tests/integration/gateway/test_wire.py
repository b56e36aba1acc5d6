"""
What reaches the provider, and when: nothing after a halt, nothing that cannot be sent, nobody else's headers.
"""

import asyncio
import time
from typing import Any

import pytest
from rig import BODY, COST, FINAL, MESSAGE, START, STOP, STREAM_HEAD, Provider, Rig, plain, rig_on

from gateway import exchange, messages
from outlay.admin import breakers, policies, tenants
from outlay.aio import AsyncCalls
from outlay.clock import now_us
from outlay.effects import CheckSwitches
from outlay.errors import BooksUnavailable
from outlay.settings import Settings
from outlay.upstream import NotReached, UpstreamClient

ONLY = '[tiers.only]\nmodels = ["claude-sonnet-5-5"]\n[routing]\ndefault_tier = "only"\n'


def halt_while_written(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halt, and wait until that is in force, between the flow's look at the switches and the request."""
    write = exchange.to_json

    def slowly(value: object) -> bytes:
        if isinstance(value, dict) and "messages" in value:
            breakers.halt(rig.app, reason="stop", actor="test")
        return write(value)

    monkeypatch.setattr(messages, "to_json", slowly)


def test_a_call_that_was_let_through_does_not_start_after_a_halt(
    rig: Rig, scripted: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a halt has returned, nothing goes on the wire: its money is given back."""
    scripted.pieces = [plain(MESSAGE)]
    halt_while_written(rig, monkeypatch)
    status, body, headers = rig.call()
    assert (status, headers["x-should-retry"]) == (503, "false")
    assert b"outlay_kill_switch" in body
    assert scripted.requests == []
    assert rig.balance["held_usd"] == "0.00"
    assert rig.decision["code"] == "not_sent"
    assert headers["outlay-decision-id"] == rig.decision["id"]


def test_switches_that_cannot_be_read_hold_the_request_back(
    rig: Rig, scripted: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a good reading nothing is sent; the same request may be tried again."""
    look, looks = AsyncCalls.perform, []

    async def once(self: AsyncCalls, effect: Any) -> Any:
        if isinstance(effect, CheckSwitches):
            looks.append(effect)
            if len(looks) > 1:
                raise BooksUnavailable("the disk is full")
        return await look(self, effect)

    def slowly(value: object) -> bytes:
        time.sleep(0.03)
        return b"{}"

    monkeypatch.setattr(AsyncCalls, "perform", once)
    monkeypatch.setattr(messages, "to_json", slowly)
    status, _, headers = rig.call()
    assert (status, headers["x-should-retry"]) == (503, "true")
    assert scripted.requests == []
    assert rig.balance["held_usd"] == "0.00"


def test_what_holds_a_request_back_is_asked_once_the_connection_stands(scripted: Provider) -> None:
    """It is asked at the last moment, and nothing is sent where it says no."""

    async def run() -> None:
        async def stop() -> None:
            raise KeyError("halted")

        client = UpstreamClient()
        with pytest.raises(KeyError):
            await client.post(scripted.url, b"{}", {}, before=stop)
        with pytest.raises(NotReached):  # never asked: there is no connection
            await client.post("http://127.0.0.1:9", b"{}", {}, before=stop)
        await client.close()

    asyncio.run(run())
    assert scripted.requests == []


@pytest.mark.parametrize("size", [0, 5, 70_000, 3_000_000])
def test_bodies_of_every_size_arrive_as_they_are(scripted: Provider, size: int) -> None:
    """A body is written in pieces, and announced by its length."""
    scripted.pieces = [plain(MESSAGE)]
    raw = bytes(byte % 251 for byte in range(size))

    async def run() -> None:
        client = UpstreamClient()
        answer = await client.post(scripted.url, raw, {"content-type": "application/json"})
        assert answer.ok
        answer.close()
        await client.close()

    asyncio.run(run())
    head, _, body = scripted.requests[0].partition(b"\r\n\r\n")
    assert body == raw
    assert head.lower().count(b"content-type: application/json") == 1


def test_a_key_that_no_header_can_hold_costs_nothing(
    serving: Any, scripted: Provider, sqlite_url: str
) -> None:
    """A line break in the provider's key: nothing was sent, so that the money is given back."""
    settings = Settings(database_url=sqlite_url, upstream_url=scripted.url)
    object.__setattr__(settings, "upstream_key", "sk-up\nx")  # the environment's are stripped
    with serving(settings) as running:
        rig = Rig(running)
        status, body, _ = rig.call()
        assert status == 502
        assert b"sk-up" not in body
        assert rig.balance["held_usd"] == "0.00"
    assert scripted.requests == []


@pytest.mark.parametrize("key", ["upstream-secret", None])
@pytest.mark.parametrize("shown", [("x-api-key", ""), ("authorization", "Bearer ")])
def test_the_provider_sees_nothing_of_the_callers_key_or_of_earlier_answers(
    serving: Any, scripted: Provider, sqlite_url: str, http: Any, key: str | None, shown: tuple[str, str]
) -> None:
    """Keys of callers stay behind, and so do cookies that the provider set in an answer to somebody else."""
    scripted.pieces = [plain(MESSAGE, set_cookie="who=acme; Path=/")]
    # a cookie jar keeps none of an address, only those of a name
    url = scripted.url.replace("127.0.0.1", "localhost")
    with serving(Settings(database_url=sqlite_url, upstream_url=url, upstream_key=key)) as running:
        rig = Rig(running)
        name, before = shown
        sent = {name: before + rig.key, "cookie": "mine=1", "anthropic-version": "2026-10-21"}
        for _ in range(2):
            status, _, headers = http("POST", f"{running.url}/v1/messages", key=None, headers=sent, json=BODY)
            assert status == 200
            assert "set-cookie" not in headers
    ours = set() if key is None else {"x-api-key"}
    usual = {"host", "accept", "accept-encoding", "content-length", "content-type", "user-agent"}
    for request in scripted.requests:
        lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        named = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in lines}
        assert set(named) == usual | {"anthropic-version"} | ours
        assert named.get("x-api-key") == key
        assert rig.key.encode() not in request


def test_a_call_that_outlasts_its_hold_keeps_it(serving: Any, scripted: Provider, sqlite_url: str) -> None:
    """An open call renews its hold: it is charged what it cost, not captured in mid-stream."""
    scripted.pieces = [STREAM_HEAD + START, 2.0, FINAL + STOP]
    with rig_on(serving, scripted, sqlite_url) as rig:
        policies.apply_policy(rig.app, ONLY + "[limits]\nhold_ttl_s = 1\n", actor="test")

        async def sweep_late() -> int:
            call = asyncio.create_task(rig.post(stream=True))
            await asyncio.sleep(1.6)
            captured: int = await asyncio.to_thread(rig.app.ledger.sweep, now_us())
            assert (await call)[1].endswith(STOP)
            return captured

        assert asyncio.run(sweep_late()) == 0
        assert rig.decision["outcome"] == "served"
        assert rig.balance["day"]["spent_usd"] == COST
        assert rig.balance["held_usd"] == "0.00"


def test_a_frozen_tenant_counts_no_tokens(rig: Rig, scripted: Provider, http: Any) -> None:
    """Who may not call does not reach the provider by counting."""
    tenants.set_tenant(rig.app, "acme", frozen=True, actor="test")
    url = f"{rig.running.url}/v1/messages/count_tokens"
    status, body, headers = http("POST", url, key=rig.key, json=BODY)
    assert (status, headers["x-should-retry"]) == (403, "false")
    assert body["error"]["details"]["error_code"] == "outlay_tenant_frozen"
    assert scripted.requests == []


def test_a_halt_reaches_the_counting_of_tokens(rig: Rig, scripted: Provider, http: Any) -> None:
    """A count shows the prompt to the provider: the kill switch holds for it."""
    breakers.halt(rig.app, reason="stop", actor="test")
    url = f"{rig.running.url}/v1/messages/count_tokens"
    assert http("POST", url, key=rig.key, json=BODY)[0] == 503
    assert scripted.requests == []
