"""
Calls through a real gateway to a scripted provider: what is sent, and what comes back.
"""

import asyncio
import json
import time
from decimal import Decimal
from typing import Any

import aiohttp
from rig import (
    BODY,
    COST,
    DELTA,
    FINAL,
    MESSAGE,
    START,
    STOP,
    STREAM_HEAD,
    Provider,
    Rig,
    event,
    plain,
    rig_on,
)

from outlay.admin import money, policies, tenants


def test_the_provider_sees_our_key_and_the_callers_version(rig: Rig, scripted: Provider) -> None:
    """The tenant's key stays here; version, betas and unknown fields go on untouched."""
    scripted.pieces = [plain(MESSAGE)]
    status, body, _ = rig.call(metadata={"user_id": "ü", "later": [1, 2.5, None]})
    assert (status, json.loads(body)) == (200, MESSAGE)
    head, _, sent = scripted.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/messages HTTP/1.1")
    assert b"x-api-key: upstream-secret" in head
    assert rig.key.encode() not in scripted.requests[0]
    assert b"anthropic-version: 2026-10-21" in head
    assert b"anthropic-beta: claude-code-20250219" in head
    assert json.loads(sent)["metadata"] == {"user_id": "ü", "later": [1, 2.5, None]}


def test_a_stream_arrives_byte_for_byte(rig: Rig, scripted: Provider) -> None:
    """However the provider cuts its stream, CRLF and comments included, the caller gets the same bytes."""
    raw = START + b": a comment\r\n\r\n" + event("ping", end="\r\n") + DELTA * 3 + FINAL + STOP
    cuts = [raw[at : at + 7] for at in range(0, len(raw), 7)]
    scripted.pieces = [STREAM_HEAD]
    for cut in cuts:
        scripted.pieces += [cut, 0.001]
    status, body, headers = rig.call(stream=True)
    assert status == 200
    assert body == raw
    assert headers["request-id"] == "req_up"
    assert headers["content-type"] == "text/event-stream"
    assert rig.balance["day"]["spent_usd"] == COST


def test_the_first_bytes_come_before_the_last_are_sent(rig: Rig, scripted: Provider) -> None:
    """A stream streams: the caller has the first event while the provider still works."""
    scripted.pieces = [STREAM_HEAD + START, 0.5, FINAL + STOP]

    async def first() -> float:
        began = time.monotonic()
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{rig.running.url}/v1/messages",
                json={**BODY, "stream": True},
                headers={"x-api-key": rig.key},
            ) as answer,
        ):
            await answer.content.readany()
            return time.monotonic() - began

    assert asyncio.run(first()) < 0.4


def test_both_engines_book_what_was_answered(serving: Any, scripted: Provider, database_url: str) -> None:
    """Once a plain answer is here, its settlement is in the books, on SQLite and PostgreSQL."""
    with rig_on(serving, scripted, database_url) as rig:
        scripted.pieces = [plain(MESSAGE)]
        for count in range(1, 4):
            status, _, headers = rig.call()
            assert status == 200
            assert headers["outlay-cost-usd"] == COST
            assert Decimal(rig.balance["day"]["spent_usd"]) == Decimal(COST) * count
        scripted.pieces = [STREAM_HEAD + START + DELTA + FINAL + STOP]
        assert rig.call(stream=True)[1].endswith(STOP)
        assert rig.balance["day"]["spent_usd"] == "0.00028"
        assert rig.balance["held_usd"] == "0.00"


def test_hold_and_cost_are_told_in_both_units(rig: Rig, scripted: Provider) -> None:
    """
    With a multiplier of 1.5 the tenant pays half as much again as the provider bills: each header says which
    it is, the hold as well as the end, and a budget of costs moves by the cost.
    """
    tenants.set_tenant(rig.running.app, "acme", multiplier="1.5", actor="t")
    money.set_budget(rig.running.app, "acme", "3", window="month", counts="cost", actor="t")
    before = Decimal(rig.balance["credit_usd"])
    scripted.pieces = [plain(MESSAGE)]
    _, _, headers = rig.call()
    assert headers["outlay-cost-usd"] == COST
    assert Decimal(headers["outlay-charge-usd"]) == Decimal(COST) * Decimal("1.5")
    assert before - Decimal(rig.balance["credit_usd"]) == Decimal(headers["outlay-charge-usd"])
    assert rig.balance["day"]["spent_usd"] == headers["outlay-charge-usd"]
    assert [one["spent_usd"] for one in rig.balance["budgets"]] == [COST]
    held, bound = (Decimal(headers[f"outlay-{name}-usd"]) for name in ("hold", "hold-cost"))
    assert held == bound * Decimal("1.5")
    assert Decimal(rig.decision["held_usd"]) == bound


def test_what_was_asked_is_booked_where_the_answer_is_silent(rig: Rig, scripted: Provider) -> None:
    """Opus in the US costs 1.1 times as much, fast twice as much, whether the answer says so or not."""
    opus = "claude-opus-5-5"
    for told in ({}, {"inference_geo": "us"}, {"speed": "fast"}):
        asked = told or {"inference_geo": "global"}
        costs = []
        for said in (told, {}):
            scripted.pieces = [plain({**MESSAGE, "model": opus, "usage": {**MESSAGE["usage"], **said}})]  # type: ignore[dict-item]
            assert rig.call(model=opus, **asked)[0] == 200
            costs.append(rig.decision["cost_usd"])
        assert costs[0] == costs[1], asked


def test_a_call_beyond_any_amount_is_told_what_amounts_go_up_to(rig: Rig) -> None:
    """A max_tokens of 10**30 costs more than the books can hold; the text says so to its end."""
    status, body, _ = rig.call(max_tokens=10**30)
    assert status == 400
    assert json.loads(body)["error"]["message"].endswith("; amounts go up to 1,000,000,000 USD")


def test_a_key_is_used_once_per_call(rig: Rig, scripted: Provider) -> None:
    """The same idempotency key again is a conflict: the first answer is not kept, its money is spent once."""
    scripted.pieces = [plain(MESSAGE)]

    async def twice() -> list[int]:
        headers = {"x-api-key": rig.key, "outlay-idempotency-key": "job-1"}
        async with aiohttp.ClientSession(headers=headers) as session:
            found = []
            for _ in range(2):
                async with session.post(f"{rig.running.url}/v1/messages", json=BODY) as answer:
                    found.append(answer.status)
            return found

    assert asyncio.run(twice()) == [200, 409]
    assert len(scripted.requests) == 1
    assert rig.balance["day"]["spent_usd"] == COST


def test_a_tenants_own_policy_decides_what_is_listed_and_counted(
    rig: Rig, scripted: Provider, http: Any
) -> None:
    """Models of others are not on the list; a private prompt is counted by an allowed model only."""
    text = (
        '[tiers.big]\nmodels = ["claude-opus-5-5"]\n[tiers.low]\nmodels = ["claude-haiku-5-5"]\n'
        '[routing]\ndefault_tier = "big"\n[privacy.eu]\nmodels = ["claude-haiku-5-5"]\n'
    )
    policies.apply_policy(rig.app, text, tenant="acme", actor="test")
    listed = http("GET", f"{rig.running.url}/v1/models", key=rig.key)[1]["data"]
    assert [model["id"] for model in listed] == [
        "claude-opus-5-5",
        "claude-haiku-5-5",
        "outlay/auto",
        "outlay/big",
        "outlay/low",
    ]
    scripted.pieces = [plain({"input_tokens": 3})]
    url = f"{rig.running.url}/v1/messages/count_tokens"
    for headers, model in (({}, "claude-opus-5-5"), ({"outlay-privacy": "eu"}, "claude-haiku-5-5")):
        body = {"model": "outlay/auto", "messages": BODY["messages"]}
        status, answer, _ = http("POST", url, key=rig.key, headers=headers, json=body)
        assert (status, answer) == (200, {"input_tokens": 3})
        assert json.loads(scripted.requests[-1].partition(b"\r\n\r\n")[2])["model"] == model


def test_observe_mode_lets_everything_pass(rig: Rig, scripted: Provider) -> None:
    """With enforcement off, a spent budget refuses nothing."""
    text = (
        '[tiers.only]\nmodels = ["claude-sonnet-5-5"]\n[routing]\ndefault_tier = "only"\n'
        '[enforcement]\nmode = "observe"\n'
    )
    policies.apply_policy(rig.app, text, actor="test")
    money.set_budget(rig.app, "acme", "0", actor="test")
    scripted.pieces = [plain(MESSAGE)]
    assert rig.call()[0] == 200
