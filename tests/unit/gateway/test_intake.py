"""
Keys and hint headers: both ways to show a key, and hints that are read exactly or refused by name.
"""

import pytest

from gateway.errors import ApiError
from gateway.intake import read_betas, read_hints, read_idempotency_key, secret_of
from router.types import Hints


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "olk_1"},
        {"authorization": "Bearer olk_1"},
        {"authorization": "bearer  olk_1 "},
        {"x-api-key": "olk_1", "authorization": "Bearer other"},
    ],
)
def test_a_key_is_taken_from_either_header(headers: dict[str, str]) -> None:
    """Old SDKs send x-api-key, new ones Bearer; x-api-key goes first."""
    assert secret_of(headers) == "olk_1"


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": " "}, {"authorization": "Basic olk_1"}, {"authorization": "Bearer"}]
)
def test_a_request_without_a_key_is_401_and_not_retried(headers: dict[str, str]) -> None:
    """No key, an empty one, and another scheme are no key."""
    with pytest.raises(ApiError) as caught:
        secret_of(headers)
    assert caught.value.status == 401
    assert caught.value.error_type == "authentication_error"
    assert caught.value.headers() == {"x-should-retry": "false"}


def test_hints_are_read_from_their_headers() -> None:
    """Every hint header lands in its field; absent and empty ones say nothing."""
    headers = {
        "outlay-task": " crm/note ",
        "outlay-role": "planner",
        "outlay-priority": "low",
        "outlay-session": "s1",
        "outlay-privacy": "eu",
        "outlay-floor": "",
        "outlay-pin": "True",
        "outlay-tags": "team=a, run = 7 ,",
        "outlay-complexity": "simple",
        "outlay-output-words": "0",
        "outlay-revision": "2",
        "outlay-reasoning": "high",
        "outlay-context": "low",
    }
    assert read_hints(headers) == Hints(
        task="crm/note",
        role="planner",
        priority="low",
        session="s1",
        privacy="eu",
        floor=None,
        pin=True,
        tags=(("team", "a"), ("run", "7")),
        complexity="simple",
        output_words=0,
        revision=2,
        reasoning="high",
        context="low",
    )
    assert read_hints({"outlay-pin": "false"}) == Hints() == read_hints({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outlay-task", "x" * 201),
        ("outlay-session", "a\x00b"),
        ("outlay-pin", "yes"),
        ("outlay-tags", "team"),
        ("outlay-tags", "=a"),
        ("outlay-tags", ",".join(f"a{i}=b" for i in range(21))),
        ("outlay-tags", "a=" + "b" * 2_000),
        ("outlay-output-words", "-1"),
        ("outlay-output-words", "many"),
        ("outlay-revision", "1000001"),
        ("outlay-revision", "٣"),
    ],
)
def test_malformed_hints_are_400_and_name_the_header(name: str, value: str) -> None:
    """A hint that cannot be read is not dropped silently."""
    with pytest.raises(ApiError) as caught:
        read_hints({name: value})
    assert caught.value.status == 400
    assert caught.value.details["field"] == name
    assert caught.value.details["error_code"] == "outlay_invalid_hint"
    assert len(caught.value.message) < 300


def test_idempotency_keys_are_bounded() -> None:
    """A caller's key is kept as it is, up to its bound."""
    assert read_idempotency_key({"outlay-idempotency-key": "k" * 200}) == "k" * 200
    assert read_idempotency_key({}) is None
    with pytest.raises(ApiError):
        read_idempotency_key({"outlay-idempotency-key": "k" * 201})


def test_betas_are_a_set_of_names() -> None:
    """The header is a comma list."""
    assert read_betas({"anthropic-beta": "a-1, b-2,,"}) == frozenset({"a-1", "b-2"})
    assert read_betas({}) == frozenset()
