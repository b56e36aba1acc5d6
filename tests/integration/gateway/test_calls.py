"""
Calls through a real gateway to a scripted provider: every byte, every break, every end.
"""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from gateway import house, messages
from outlay.admin import money, policies, tenants
from outlay.admin.decisions import list_decisions
from outlay.aio import AsyncCall
from outlay.errors import BooksUnavailable
from outlay.settings import Settings
from outlay.wiring import open_app

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
        until = time.monotonic() + 5
        while self.balance["held_usd"] != "0.00":
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture
def rig(serving: Any, scripted: Provider, sqlite_url: str) -> Iterator[Rig]:
    """A gateway on SQLite."""
    with rig_on(serving, scripted, sqlite_url) as made:
        yield made


@contextmanager
def rig_on(serving: Any, scripted: Provider, url: str) -> Iterator[Rig]:
    """A gateway on some database."""
    settings = Settings(database_url=url, upstream_url=scripted.url, upstream_key="upstream-secret")
    with serving(settings) as running:
        yield Rig(running)


# what is sent, what comes back


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


# answers that are not whole


@pytest.mark.parametrize(
    ("pieces", "status", "outcome"),
    [
        ([plain(b"<html>", "200 OK")], 200, "uncertain"),
        ([plain({"type": "message"}, "200 OK")], 200, "uncertain"),
        ([plain(b"<html>", "500 Internal Server Error")], 500, "failed"),
        ([plain({"type": "error"}, "400 Bad Request")], 400, "failed"),
        ([plain(b"", "307 Temporary Redirect", location="http://127.0.0.1:1/")], 307, "failed"),
        ([plain(MESSAGE)[:-5]], 504, "uncertain"),
        ([plain(MESSAGE, "500 X")[:-5]], 500, "failed"),
        ([], 504, "uncertain"),
        ([b"HTTP/1.1 nonsense\r\n\r\n"], 504, "uncertain"),
        ([STREAM_HEAD], 504, "uncertain"),
        ([STREAM_HEAD + b"event: mess"], 504, "uncertain"),
    ],
)
def test_odd_answers_never_leave_a_call_without_an_account(
    rig: Rig, scripted: Provider, pieces: Any, status: int, outcome: str
) -> None:
    """Errors cost nothing; what may have been billed stays held; nothing answers with a traceback."""
    scripted.pieces = pieces
    got, body, headers = rig.call()
    assert got == status
    assert b"Traceback" not in body
    assert headers["outlay-decision-id"] == rig.decision["id"]
    assert "location" not in headers
    assert rig.decision["outcome"] == outcome
    assert (rig.balance["held_usd"] == "0.00") is (outcome == "failed")
    assert len(scripted.requests) == 1
    if status == 504:
        assert headers["x-should-retry"] == "false"
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
    assert scripted.closed.wait(5)


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


# bad input


@pytest.mark.parametrize(
    ("raw", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b"[]", 400, "body"),
        (b'{"a": NaN}', 400, "body"),
        (b"[" * 50_000, 400, "body"),
        (b"{}", 400, "model"),
        (json.dumps({**BODY, "model": 5}).encode(), 400, "model"),
        (json.dumps({**BODY, "model": ""}).encode(), 400, "model"),
        (json.dumps({**BODY, "model": "claude-none"}).encode(), 404, None),
        (json.dumps({**BODY, "model": "outlay/none"}).encode(), 404, None),
        (json.dumps({name: BODY[name] for name in ("model", "messages")}).encode(), 400, "max_tokens"),
        (json.dumps({**BODY, "max_tokens": "100"}).encode(), 400, "max_tokens"),
        (json.dumps({**BODY, "max_tokens": -1}).encode(), 400, "max_tokens"),
        (json.dumps({**BODY, "max_tokens": 10**30}).encode(), 400, None),
        (json.dumps({**BODY, "max_tokens": True}).encode(), 400, "max_tokens"),
        (json.dumps({**BODY, "messages": None}).encode(), 400, None),
        (json.dumps({**BODY, "messages": [5]}).encode(), 400, None),
        (json.dumps({**BODY, "tools": "all"}).encode(), 400, None),
        (json.dumps({**BODY, "fallbacks": [{"model": 1}]}).encode(), 400, None),
    ],
)
def test_bad_bodies_are_refused_before_anything_is_held(
    rig: Rig, scripted: Provider, raw: bytes, status: int, field: str | None
) -> None:
    """Every malformed body is a clear error of Anthropic's shape; nothing is held or sent."""
    scripted.pieces = [
        plain({"type": "error", "error": {"type": "invalid_request_error"}}, "400 Bad Request")
    ]
    got, body, headers = rig.call(raw)
    answer = json.loads(body)
    assert got == status, answer
    assert answer["type"] == "error"
    assert headers["request-id"]
    assert rig.balance["held_usd"] == "0.00"
    assert rig.balance["day"]["spent_usd"] == "0.00"
    if field is not None:
        assert answer["error"]["details"]["field"] == field
        assert scripted.requests == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outlay-pin", "maybe"),
        ("outlay-tags", "x"),
        ("outlay-priority", "urgent"),
        ("outlay-privacy", "none-such"),
        ("outlay-task", "t" * 300),
        ("outlay-idempotency-key", "k" * 300),
    ],
)
def test_bad_hints_are_refused_by_name(gateway: Any, tenant: Any, http: Any, name: str, value: str) -> None:
    """A hint that means nothing is an error, not a surprise on the bill."""
    status, answer, _ = http(
        "POST", f"{gateway.url}/v1/messages", key=tenant[1], headers={name: value}, json=BODY
    )
    assert status == 400
    assert answer["error"]["details"]["field"] == name


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/complete", 404),
        ("POST", "/v1/messages/", 404),
        ("POST", "/v1/messages/batches", 404),
        ("GET", "/v1/files", 404),
        ("GET", "/", 404),
        ("GET", "/v1/models?limit=0", 400),
        ("GET", "/v1/models/none", 404),
        ("POST", "/v1/messages/../messages/count_tokens/x", 404),
    ],
)
def test_other_paths_are_refused_and_never_forwarded(
    gateway: Any, tenant: Any, http: Any, method: str, path: str, status: int
) -> None:
    """Only what Outlay can account for passes."""
    got, answer, headers = http(method, gateway.url + path, key=tenant[1])
    assert got == status
    assert answer["type"] == "error"
    assert answer["request_id"] == headers["request-id"]


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
