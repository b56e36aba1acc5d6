"""
Bad input on the data plane: clear errors, and nothing held or sent.
"""

import json
from typing import Any

import pytest
from rig import BODY, Provider, Rig, plain


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
