"""
Bodies and headers: what is taken in, what is passed on, and the shape of errors.
"""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ApiError, public
from gateway.exchange import (
    Departed,
    Exchange,
    answer,
    header_text,
    open_exchange,
    parse_object,
    passed_headers,
    read_body,
    to_json,
)
from outlay.errors import BadInput, BooksUnavailable, ClockAhead, PolicyInvalid, Rejected, SchemaMismatch
from router.problems import Problem

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_a_body_survives_reading_and_writing(value: dict[str, Any]) -> None:
    """What a caller sends reaches the provider unchanged in meaning."""
    assert parse_object(json.dumps(value).encode()) == value
    assert json.loads(to_json(parse_object(json.dumps(value).encode()))) == value


def test_lone_surrogates_survive() -> None:
    """Half an emoji in a prompt is passed on as it came."""
    raw = b'{"a": "\\ud83d"}'
    assert json.loads(to_json(parse_object(raw))) == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"1",
        b"null",
        b"true",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"[" * 100_000,
        b'{"a": "\xff"}',
    ],
)
def test_what_is_no_json_object_is_400(raw: bytes) -> None:
    """Malformed, foreign and absurd bodies are refused with a short reason."""
    with pytest.raises(ApiError) as caught:
        parse_object(raw)
    assert caught.value.status == 400
    assert caught.value.error_type == "invalid_request_error"
    assert len(caught.value.message) < 400


def test_of_the_providers_headers_those_of_the_connection_stay_behind() -> None:
    """Rate limits and ids are passed; connection, cookies and anything that poses as ours are not."""
    given = {
        "Request-Id": "req_1",
        "anthropic-ratelimit-requests-remaining": "7",
        "anthropic-organization-id": "org",
        "Retry-After": "3",
        "x-should-retry": "true",
        "Content-Type": "application/json",
        "Content-Length": "3",
        "Transfer-Encoding": "chunked",
        "Set-Cookie": "a=b",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "Outlay-Cost-Usd": "0",
        "Date": "now",
    }
    assert passed_headers(given) == {
        "request-id": "req_1",
        "anthropic-ratelimit-requests-remaining": "7",
        "anthropic-organization-id": "org",
        "retry-after": "3",
        "x-should-retry": "true",
        "content-type": "application/json",
    }


def exchange(messages: list[dict[str, Any]], headers: dict[str, str] | None = None) -> Exchange:
    """A request that arrives in some messages; what is sent is collected in its scope."""
    waiting = list(messages)
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return open_exchange({"type": "http", "headers": raw, "sent": sent}, receive, send)


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    """One message of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_put_together_up_to_its_bound() -> None:
    """Parts are joined; one byte above the bound is 413, once the whole body was sent."""
    parts = [part(b"ab", more=True), part(b"c", more=False)]
    assert asyncio.run(read_body(exchange(parts), 3)) == b"abc"
    with pytest.raises(ApiError) as caught:
        asyncio.run(read_body(exchange(parts), 2))
    assert caught.value.status == 413
    assert caught.value.error_type == "request_too_large"


def test_a_client_that_leaves_in_the_middle_is_noticed() -> None:
    """Half a body is no request."""
    with pytest.raises(Departed):
        asyncio.run(read_body(exchange([part(b"a", more=True), {"type": "http.disconnect"}])))


def test_a_compressed_body_is_refused() -> None:
    """What we cannot read we do not pass on."""
    with pytest.raises(ApiError) as caught:
        asyncio.run(read_body(exchange([part(b"a", more=False)], {"content-encoding": "gzip"})))
    assert caught.value.status == 400


def test_every_answer_carries_one_request_id_and_no_broken_header() -> None:
    """The provider's id is kept, else ours is given; text that no header can hold is replaced."""
    for passed, expected in (({"request-id": "req_up"}, b"req_up"), ({}, None)):
        request = exchange([])
        asyncio.run(answer(request, 200, b"{}", {**passed, "outlay-reason": "a\r\nb: ü€"}))
        names = [name for name, _ in request.scope["sent"][0]["headers"]]
        headers = dict(request.scope["sent"][0]["headers"])
        assert names.count(b"request-id") == 1
        assert headers[b"request-id"] == (expected or request.request_id.encode())
        assert headers[b"outlay-reason"] == "a  b: ü?".encode("latin-1")


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (BadInput("amount", "1.x", "not an amount", "Write text."), 400, "outlay_invalid_request", "false"),
        (PolicyInvalid([Problem("tiers", "", "missing", "Add it.")]), 400, "outlay_invalid_policy", "false"),
        (Rejected("unknown_tenant", "no such tenant"), 404, "unknown_tenant", "false"),
        (Rejected("tenant_exists", "there is one"), 409, "tenant_exists", "false"),
        (Rejected("frozen", "frozen"), 409, "frozen", "false"),
        (BooksUnavailable("locked"), 503, "outlay_books_unavailable", "true"),
        (ClockAhead("a day ahead"), 503, "outlay_clock_ahead", "true"),
        (SchemaMismatch(None, "0003", "run: outlay db upgrade"), 503, "outlay_books_unavailable", "true"),
    ],
)
def test_public_errors_have_one_shape(error: Any, status: int, code: str, retry: str) -> None:
    """Each public error has its status, its code in details, and a word on trying again."""
    made = public(error)
    body: Any = made.body("req_1")
    assert (made.status, body["error"]["details"]["error_code"]) == (status, code)
    assert body["type"] == "error"
    assert body["request_id"] == "req_1"
    assert made.headers()["x-should-retry"] == retry
    json.dumps(body)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"crm/note", "crm/note"),
        (b"crm/\xc3\xbc", "crm/ü"),
        (b"crm/\xfc", "crm/ü"),
        (b"\xe2\x82\xac", "€"),
        (b"\xed\xa0\x80", "\xed\xa0\x80"),
    ],
)
def test_headers_are_read_as_utf8_and_else_as_latin_1(raw: bytes, text: str) -> None:
    """What is no UTF-8, as half a surrogate pair, is still read; nothing is dropped."""
    assert header_text(raw) == text
