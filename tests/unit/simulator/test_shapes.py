"""Requests that no model takes, and answers that are not about a model."""

import json
from typing import Any, get_type_hints

import pytest
from anthropic import types
from anthropic.types import message_count_tokens_params, message_create_params
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import shapes

USER = {"role": "user", "content": "Hello"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
CACHED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
LONG_CACHED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def _user(*blocks: Any) -> list[Any]:
    return [{"role": "user", "content": list(blocks)}]


REJECTED: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, "foo: Extra inputs are not permitted"),
    ({"fallbacks": []}, "fallbacks: Extra inputs are not permitted"),
    ({"model": ...}, "model: Field required"),
    ({"max_tokens": ...}, "max_tokens: Field required"),
    ({"messages": ...}, "messages: Field required"),
    ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
    ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
    ({"stream": "yes"}, "stream: Input should be a valid boolean"),
    ({"messages": []}, "messages: at least one message is required"),
    ({"messages": "Hello"}, "messages: Input should be a valid list"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{**USER, "name": "x"}]}, "messages.0.name: Extra inputs are not permitted"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content: text content must be non-empty"),
    ({"messages": [{"role": "user", "content": []}]}, "messages.0.content: content must be non-empty"),
    ({"messages": [{"role": "user"}]}, "messages.0.content"),
    ({"messages": _user({"type": "video"})}, "messages.0.content.0: Input tag 'video'"),
    ({"messages": _user({"type": "text"})}, "messages.0.content.0.text.text: Field required"),
    ({"messages": _user({"type": "text", "text": "x", "colour": 1})}, "colour: Extra inputs"),
    ({"messages": _user(USE)}, "`tool_use` blocks can only be in `assistant` messages"),
    ({"messages": _user(RESULT)}, "unexpected `tool_use_id`"),
    (
        {"messages": [USER, {"role": "assistant", "content": [USE]}, USER]},
        "`tool_use` ids were found without",
    ),
    ({"messages": _user({"type": "image", "source": {"type": "ftp"}})}, "source"),
    ({"system": 3}, "system: Input should be a valid string"),
    ({"system": [{"type": "image"}]}, "system.0: Input should be a text block"),
    ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "tools.0.custom.name"),
    ({"tools": [{"name": "a", "input_schema": {}}]}, "input_schema.type"),
    ({"tools": [{"name": "a", "input_schema": {"type": "object"}}] * 2}, "Tool names must be unique"),
    ({"tools": [{"type": "time_machine_20260101", "name": "t"}]}, "tools.0: Input tag"),
    ({"tools": [{**SEARCH, "max_uses": 0}]}, "max_uses: Input should be greater than 0"),
    ({"tool_choice": {"type": "auto"}}, "tool_choice: may only be specified while providing tools"),
    ({"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found"),
    ({"metadata": {"tenant": "x"}}, "metadata.tenant: Extra inputs are not permitted"),
    ({"stop_sequences": [" "]}, "stop_sequences"),
    ({"speed": "warp"}, "speed: Input should be 'standard' or 'fast'"),
    ({"service_tier": "gold"}, "service_tier: Input should be"),
    ({"system": [CACHED] * 5}, "A maximum of 4 blocks with cache_control may be provided. Found 5."),
    ({"system": [CACHED, LONG_CACHED]}, "ttl='1h' cache_control block must not come after"),
    ({"cache_control": {"type": "ephemeral", "ttl": "2h"}}, "cache_control.ttl"),
    ({"cache_control": {"type": "forever"}}, "cache_control.type"),
]


@pytest.mark.parametrize(("fields", "expected"), REJECTED)
def test_a_malformed_request_is_rejected(caller: Any, fields: dict[str, Any], expected: str) -> None:
    """The answer is 400 invalid_request_error and names the field; nothing is billed."""
    reply = caller.ask(**fields)
    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
    assert expected in reply.message
    assert caller.provider.bill.calls == 0


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": "\xe9"}', b'{"a": "\\ud800"}', b"[" * 100_000]
)
def test_a_body_that_is_no_json_object_is_rejected(caller: Any, raw: bytes) -> None:
    """Malformed JSON, text that is no UTF-8, half a surrogate pair and deep nesting give 400."""
    assert caller.raw(raw).status == 400


def test_errors_have_the_format_of_the_api(caller: Any) -> None:
    """An error carries its type and message, and the request's id in body and header."""
    reply = caller.ask(model="claude-unknown-9")
    request_id = reply.headers["request-id"]
    error = {"type": "not_found_error", "message": "model: claude-unknown-9"}
    assert reply.status == 404
    assert {"type": "error", "error": error, "request_id": request_id} == reply.json


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"x-api-key": ""}, 401, "authentication_error"),
        ({"x-api-key": "", "authorization": "Basic abc"}, 401, "authentication_error"),
        ({"x-api-key": "", "authorization": "Bearer "}, 401, "authentication_error"),
        ({"anthropic-version": ""}, 400, "invalid_request_error"),
        ({"anthropic-version": "2024-01-01"}, 400, "invalid_request_error"),
        ({"content-encoding": "gzip"}, 400, "invalid_request_error"),
        ({"x-api-key": "", "authorization": "Bearer key-a"}, 200, None),
        ({"anthropic-version": "2023-06-01"}, 200, None),
    ],
)
def test_key_and_version_are_checked(
    caller: Any, headers: dict[str, str], status: int, kind: str | None
) -> None:
    """A key in either header and one of the two versions is needed."""
    reply = caller.ask(headers=headers)
    assert (status, kind) == (reply.status, reply.json.get("error", {}).get("type"))


def test_only_listed_keys_are_let_in(make_caller: Any) -> None:
    """With a list of keys, any other key is invalid."""
    caller = make_caller(keys=("key-z",))
    assert (caller.ask().status, caller.ask().message) == (401, "invalid x-api-key")
    assert caller.ask(headers={"x-api-key": "key-z"}).status == 200


def test_a_body_over_the_limit_is_too_large(make_caller: Any) -> None:
    """One byte over the limit gives 413 request_too_large; the limit itself does not."""
    body = json.dumps({"model": "claude-opus-5-5", "max_tokens": 1, "messages": [USER]}).encode()
    assert make_caller(max_body_bytes=len(body)).raw(body).status == 200
    over = make_caller(max_body_bytes=len(body) - 1).raw(body)
    assert (over.status, over.json["error"]["type"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/messages", "GET", 405), ("/v1/messages/batches", "POST", 404), ("/", "GET", 404)],
)
def test_what_is_not_offered_is_an_error(caller: Any, path: str, method: str, status: int) -> None:
    """Other paths and methods get an error in the API's format."""
    reply = caller.raw(b"{}", path, method)
    assert (status, "error") == (reply.status, reply.json["type"])


def test_betas_are_refused_by_name(caller: Any) -> None:
    """A known beta field with a beta header is refused as not offered, not as unknown."""
    reply = caller.ask(fallbacks=[], headers={"anthropic-beta": "server-side-fallback-2026-06-01"})
    assert reply.message == "fallbacks: this beta is not offered by the simulated provider"


def test_restricted_models_are_not_found_without_the_right(make_caller: Any) -> None:
    """Mythos exists only for accounts that may use it."""
    assert make_caller().ask(model="claude-mythos-5-2").status == 404
    assert make_caller(restricted=True).ask(model="claude-mythos-5-2").status == 200


def test_the_fields_are_those_of_the_installed_sdk() -> None:
    """The own list of fields has every body field of the SDK's types, plus sampling and stream."""
    headers = {"workspace_id", "user_profile_id"}
    base = set(get_type_hints(message_create_params.MessageCreateParamsBase)) - headers
    assert base | {"stream", "temperature", "top_p", "top_k"} == shapes.MESSAGE_FIELDS
    count = set(get_type_hints(message_count_tokens_params.MessageCountTokensParams)) - headers
    assert count == shapes.COUNT_FIELDS


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("text", types.TextBlockParam),
        ("image", types.ImageBlockParam),
        ("document", types.DocumentBlockParam),
        ("search_result", types.SearchResultBlockParam),
        ("tool_result", types.ToolResultBlockParam),
        ("tool_use", types.ToolUseBlockParam),
        ("thinking", types.ThinkingBlockParam),
        ("redacted_thinking", types.RedactedThinkingBlockParam),
        ("server_tool_use", types.ServerToolUseBlockParam),
        ("web_search_tool_result", types.WebSearchToolResultBlockParam),
    ],
)
def test_the_blocks_are_those_of_the_installed_sdk(name: str, kind: type) -> None:
    """Each block has exactly the fields of the SDK's type."""
    assert set(kind.__annotations__) == shapes.BLOCKS[name][1]


NAMES = ["type", "text", "source", "content", "properties", "items", "input_schema", "name", "ttl", "effort"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(["text", "object"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "text",
                    "source",
                    "content",
                    "properties",
                    "items",
                    "input_schema",
                    "name",
                    "ttl",
                    "effort",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(field=st.sampled_from(sorted(shapes.MESSAGE_FIELDS)), value=JSON, wrapped=st.booleans())
def test_no_body_makes_the_provider_fail(
    shared_caller: Any, field: str, value: Any, *, wrapped: bool
) -> None:
    """Whatever stands in a field, the answer is an answer or a 4xx, never a failure."""
    if wrapped:
        value = {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, value]}],
            "tools": [{"name": "a", "input_schema": {"type": "object", "properties": value}}],
            "output_config": {"format": {"type": "json_schema", "schema": value}},
        }.get(field, value)
    assert shared_caller.ask(**{field: value}).status in (200, 400, 404)
