"""
Calls that do not end well: odd answers, broken streams, departed clients, gateways that stop.
"""

import json
import socket
import threading
import time
from typing import Any

import pytest
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
    leave_early,
    plain,
    rig_on,
)

from gateway import house, messages
from ledger.seals import Seal, seals
from ledger.types import OpenAccount
from outlay.admin import money, policies
from outlay.admin.decisions import list_decisions
from outlay.aio import AsyncCall
from outlay.clock import now_us
from outlay.errors import BooksUnavailable
from outlay.settings import Settings
from outlay.wiring import App, open_app


@pytest.mark.parametrize(
    ("pieces", "status", "outcome"),
    [
        ([plain(b"<html>", "200 OK")], 200, "uncertain"),
        ([plain({"type": "message"}, "200 OK")], 200, "uncertain"),
        ([plain(b"<html>", "500 Internal Server Error")], 500, "uncertain"),
        ([plain(b"<html>", "524 A Timeout Occurred")], 524, "uncertain"),
        ([plain({"type": "error", "error": {"type": "authentication_error"}}, "401 X")], 401, "failed"),
        ([plain({"type": "error"}, "400 Bad Request")], 400, "failed"),
        ([plain(b"", "307 Temporary Redirect", location="http://127.0.0.1:1/")], 307, "failed"),
        ([plain(MESSAGE)[:-5]], 504, "uncertain"),
        ([plain(MESSAGE, "500 X")[:-5]], 500, "uncertain"),
        ([], 504, "uncertain"),
        ([b"HTTP/1.1 nonsense\r\n\r\n"], 504, "uncertain"),
        ([STREAM_HEAD], 504, "uncertain"),
        ([STREAM_HEAD + b"event: mess"], 504, "uncertain"),
    ],
)
def test_odd_answers_never_leave_a_call_without_an_account(
    rig: Rig, scripted: Provider, pieces: Any, status: int, outcome: str
) -> None:
    """
    Errors cost nothing; what may have been billed stays held; nothing answers with a traceback.

    A 5xx that carries no error of the provider was written by something in between, and says nothing about
    what the provider did: the call may have been billed, so that the SDK is told not to send it again.
    """
    scripted.pieces = pieces
    got, body, headers = rig.call()
    assert got == status
    assert b"Traceback" not in body
    assert headers["outlay-decision-id"] == rig.decision["id"]
    assert "location" not in headers
    assert rig.decision["outcome"] == outcome
    assert (rig.balance["held_usd"] == "0.00") is (outcome == "failed")
    assert len(scripted.requests) == 1
    if outcome == "uncertain":
        assert headers["x-should-retry"] == "false"
    if status == 504:
        assert json.loads(body)["error"]["details"]["decision_id"] == rig.decision["id"]


def test_a_broken_stream_ends_with_an_error_event_and_no_half_event(rig: Rig, scripted: Provider) -> None:
    """The caller gets whole events only, then an error: never a silent end."""
    scripted.pieces = [STREAM_HEAD + START + DELTA + DELTA[:20]]
    status, body, _ = rig.call(stream=True)
    assert status == 200
    assert body.startswith(START + DELTA + b"event: error\ndata: ")
    error = json.loads(body.partition(b"event: error\ndata: ")[2])
    assert error["error"]["details"]["error_code"] == "outlay_upstream_no_answer"
    assert rig.decision["outcome"] == "broken"
    # 10 input tokens, and one output token a byte of what was seen
    assert rig.balance["day"]["spent_usd"] == f"{(10 * 2 + len('Grüße aus Köln'.encode()) * 10) / 1e6:.5f}"


def test_a_stream_that_lacks_only_its_last_event_is_completed(rig: Rig, scripted: Provider) -> None:
    """Final counts make the answer whole: it is charged exactly and ends as it should."""
    scripted.pieces = [STREAM_HEAD + START + DELTA + FINAL]
    assert (
        rig.call(stream=True)[1]
        == START + DELTA + FINAL + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    assert rig.decision["outcome"] == "served"
    assert rig.balance["day"]["spent_usd"] == COST


def test_an_end_without_final_counts_is_booked_by_what_was_seen(rig: Rig, scripted: Provider) -> None:
    """The one token that a stream begins with is no bill; the caller still gets the answer as it came."""
    scripted.pieces = [STREAM_HEAD + START + DELTA + STOP]
    assert rig.call(stream=True)[1] == START + DELTA + STOP
    assert rig.decision["outcome"] == "broken"
    assert rig.balance["day"]["spent_usd"] == f"{(10 * 2 + len('Grüße aus Köln'.encode()) * 10) / 1e6:.5f}"


def test_a_departed_clients_stream_is_read_to_its_end(rig: Rig, scripted: Provider) -> None:
    """The true usage is known at the end of the stream, whoever still listens."""
    scripted.pieces = [STREAM_HEAD + START, *([0.02, DELTA] * 20), FINAL + STOP]
    leave_early(rig)
    rig.wait()
    assert rig.decision["outcome"] == "served"
    assert rig.balance["day"]["spent_usd"] == COST


def test_a_departed_clients_stream_is_read_up_to_a_bound(
    rig: Rig, scripted: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that never ends is cut, and settled as broken."""
    monkeypatch.setattr(messages, "DRAIN_S", 0.2)
    scripted.pieces = [STREAM_HEAD + START, *([0.02, DELTA] * 500)]
    leave_early(rig)
    rig.wait()
    assert rig.decision["outcome"] == "broken"
    assert scripted.closed.wait(30)


def test_a_client_that_takes_nothing_counts_as_departed(
    rig: Rig, scripted: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stuck client cannot keep a call and its money open."""
    monkeypatch.setattr(messages, "SEND_S", 0.3)
    scripted.pieces = [STREAM_HEAD + START, *([DELTA * 1_000] * 200), FINAL + STOP]
    raw = json.dumps({**BODY, "stream": True}).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {rig.key}\r\ncontent-length: {len(raw)}\r\n\r\n"
    )
    host, _, port = rig.running.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        stuck.sendall(head.encode() + raw)
        time.sleep(0.3)
        rig.wait()
    assert rig.decision["outcome"] == "served"


def test_a_stopping_gateway_finishes_its_open_calls(
    serving: Any, scripted: Provider, sqlite_url: str
) -> None:
    """Calls under way when the server is told to stop are answered and settled."""
    scripted.pieces = [0.8, plain(MESSAGE)]
    answers: list[int] = []
    with rig_on(serving, scripted, sqlite_url) as rig:
        thread = threading.Thread(target=lambda: answers.append(rig.call()[0]))
        thread.start()
        time.sleep(0.3)
    thread.join()
    assert answers == [200]
    app = open_app(Settings(database_url=sqlite_url))
    assert money.balance(app, "acme")["day"]["spent_usd"] == COST
    app.close()


def test_a_call_that_outlasts_the_stop_is_settled_as_far_as_known(
    serving: Any, scripted: Provider, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that cannot wait longer books a broken stream instead of forgetting it."""
    monkeypatch.setattr(house, "PATIENCE_S", 0.2)
    scripted.pieces = [STREAM_HEAD + START + DELTA, *([0.1, DELTA] * 100)]
    with rig_on(serving, scripted, sqlite_url) as rig:
        leave_early(rig)
        time.sleep(0.2)
        rig.running.server.config.timeout_graceful_shutdown = 1
    app = open_app(Settings(database_url=sqlite_url))
    assert list_decisions(app, tenant="acme")["decisions"][0]["outcome"] == "broken"
    assert money.balance(app, "acme")["held_usd"] == "0.00"
    app.close()


def test_an_abandoned_hold_is_captured_by_the_gateways_own_care(
    serving: Any, scripted: Provider, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call without an answer keeps its money held until its hold expires; then it is spent."""
    monkeypatch.setattr(house, "SWEEP_S", 0.1)
    with rig_on(serving, scripted, sqlite_url) as rig:
        text = '[tiers.only]\nmodels = ["claude-sonnet-5-5"]\n[routing]\ndefault_tier = "only"\n'
        text += "[limits]\nhold_ttl_s = 1\n"
        policies.apply_policy(rig.app, text, actor="test")
        assert rig.call()[0] == 504
        held = rig.balance["held_usd"]
        assert held != "0.00"
        rig.wait()
        assert rig.balance["day"]["spent_usd"] == held


def test_the_gateway_seals_ended_days_by_itself(serving: Any, scripted: Provider, sqlite_url: str) -> None:
    """Nobody has to remember to: an ended day has its seal soon after the gateway runs."""
    app = open_app(Settings(database_url=sqlite_url))
    past_us = now_us() - 3 * 86_400 * 1_000_000
    app.ledger.do(
        OpenAccount("early", "open", past_us, timezone="UTC", credit_nanos=7, daily_limit_nanos=None)
    )
    app.close()
    with rig_on(serving, scripted, sqlite_url) as rig:
        ends = time.monotonic() + 30
        while not (found := sealed(rig.app)) and time.monotonic() < ends:
            time.sleep(0.05)
        assert [(seal.tenant, seal.wallet) for seal in found] == [("early", 7)]


def sealed(app: App) -> tuple[Seal, ...]:
    """The seals in the books."""
    with app.reading() as connection:
        return seals(connection)


def test_books_that_fail_at_the_settlement_do_not_invite_a_repeat(
    rig: Rig, scripted: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider has billed the call: the answer says that the books failed, and not to send it again."""

    async def fail(*_: Any) -> Any:
        raise BooksUnavailable("the disk is full")

    scripted.pieces = [plain(MESSAGE)]
    monkeypatch.setattr(AsyncCall, "resume", fail)
    status, body, headers = rig.call()
    assert (status, headers["x-should-retry"]) == (503, "false")
    assert json.loads(body)["error"]["details"]["error_code"] == "outlay_books_unavailable"
    scripted.pieces = [STREAM_HEAD + START + DELTA + FINAL + STOP]
    status, body, _ = rig.call(stream=True)
    assert body.startswith(START + DELTA + FINAL + b"event: error\n")
