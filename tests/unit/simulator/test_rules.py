"""What each model takes and rejects."""

from typing import Any

import pytest

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
OLD_HAIKU, OPUS_4_6, OPUS_5 = "claude-haiku-4-5", "claude-opus-4-6", "claude-opus-5"
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
USER = {"role": "user", "content": "Hello"}
PREFILL = [USER, {"role": "assistant", "content": "So"}]
ENABLED = {"type": "enabled", "budget_tokens": 1024}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
OLD = {"anthropic-version": "2023-06-01"}
FAST = {"anthropic-beta": "fast-mode-2026-02-01"}


def _effort(level: str) -> dict[str, Any]:
    return {"output_config": {"effort": level}}


REJECTED: list[tuple[str, dict[str, Any], str]] = [
    *[
        (model, {"thinking": {"type": kind}}, f'"thinking.type.{kind}" is not supported')
        for model, kinds in {
            "claude-fable-5-2": ("disabled", "between_tools", "enabled"),
            "claude-fable-5-1": ("disabled", "between_tools", "enabled"),
            OPUS: ("disabled", "between_tools", "enabled"),
            SONNET: ("disabled", "enabled"),
            HAIKU: ("between_tools", "enabled"),
            OPUS_5: ("between_tools", "enabled"),
            "claude-opus-4-7": ("between_tools", "enabled"),
            OPUS_4_6: ("between_tools",),
            OLD_HAIKU: ("adaptive", "between_tools"),
        }.items()
        for kind in kinds
    ],
    (HAIKU, {"thinking": {"type": "disabled"}, **_effort("xhigh")}, "not supported at effort level 'xhigh'"),
    (OPUS_5, {"thinking": {"type": "disabled"}, **_effort("max")}, "not supported at effort level 'max'"),
    (OPUS, {"thinking": {"type": "adaptive", "budget_tokens": 2000}}, "Extra inputs are not permitted"),
    (OLD_HAIKU, {"thinking": {"type": "enabled", "budget_tokens": 1023}, "max_tokens": 4000}, "1024"),
    (OLD_HAIKU, {"thinking": {"type": "enabled"}}, "budget_tokens: Field required"),
    (OLD_HAIKU, {"thinking": ENABLED, "max_tokens": 1024}, "must be greater than `thinking.budget_tokens`"),
    *[
        (model, {"tools": [TOOL], "tool_choice": choice}, "tool_choice: type")
        for model in ("claude-fable-5-2", "claude-fable-5-1", OPUS, SONNET)
        for choice in ({"type": "any"}, {"type": "tool", "name": "look"})
    ],
    (
        OLD_HAIKU,
        {"tools": [TOOL], "tool_choice": {"type": "any"}, "thinking": ENABLED, "max_tokens": 4000},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    *[(model, {"messages": PREFILL}, "prefill") for model in (OPUS, SONNET, HAIKU, OPUS_4_6)],
    (OLD_HAIKU, _effort("low"), "does not support the effort parameter"),
    (OPUS_4_6, _effort("xhigh"), "does not support effort level 'xhigh'"),
    (OPUS, _effort("enormous"), "output_config.effort"),
    (OPUS, {"max_tokens": 128_001}, "128001 > 128000"),
    (OLD_HAIKU, {"max_tokens": 64_001}, "64001 > 64000"),
    (HAIKU, {"speed": "fast"}, "speed: 'fast' is not supported"),
    (OPUS_5, {"speed": "fast"}, "speed: Extra inputs are not permitted"),
    (OLD_HAIKU, {"inference_geo": "us"}, "inference_geo: is not supported"),
    (OPUS, {"inference_geo": "moon"}, "'moon' is not available"),
    (
        OPUS_5,
        {"messages": [USER, {"role": "system", "content": "Be brief"}]},
        "role 'system' is not supported",
    ),
    (
        OPUS,
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        "additional",
    ),
    (OPUS, {"output_config": {"format": {"type": "xml"}}}, "json_schema"),
]


@pytest.mark.parametrize(("model", "fields", "expected"), REJECTED)
def test_what_a_model_does_not_take_is_rejected(
    caller: Any, model: str, fields: dict[str, Any], expected: str
) -> None:
    """Each rule of the model table gives 400 invalid_request_error, and nothing is billed."""
    reply = caller.ask(model=model, **fields)
    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
    assert expected in reply.message
    assert caller.provider.bill.calls == 0


ACCEPTED: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    (OPUS, {"thinking": {"type": "adaptive"}}, {}),
    (SONNET, {"thinking": {"type": "between_tools"}}, {}),
    (HAIKU, {"thinking": {"type": "disabled"}, **_effort("high")}, {}),
    (HAIKU, {"tools": [TOOL], "tool_choice": {"type": "any"}}, {}),
    (OPUS_5, {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look"}}, {}),
    (OPUS, {"tools": [TOOL], "tool_choice": {"type": "auto"}}, {}),
    (OLD_HAIKU, {"thinking": ENABLED, "max_tokens": 1025}, {}),
    (OLD_HAIKU, {"messages": PREFILL}, {}),
    (OLD_HAIKU, {"temperature": 0.3, "top_k": 4}, OLD),
    (OPUS, {"max_tokens": 128_000}, {}),
    (OPUS, {"max_tokens": 0}, {}),
    (OPUS, {"speed": "fast"}, {}),
    (OPUS_5, {"speed": "fast"}, FAST),
    (OPUS, {"inference_geo": "us"}, {}),
    (OPUS, {"messages": [USER, {"role": "system", "content": "Be brief"}]}, {}),
    (OPUS, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "max"}}, {}),
]


@pytest.mark.parametrize(("model", "fields", "headers"), ACCEPTED)
def test_what_a_model_takes_is_answered(
    caller: Any, model: str, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    """The other side of each boundary gives an answer."""
    assert caller.ask(model=model, headers=headers, **fields).status == 200


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_sampling_is_rejected_by_the_new_version_even_at_its_default(caller: Any, field: str) -> None:
    """Version 2026-10-21 has no sampling fields, whatever the model."""
    reply = caller.ask(model=OLD_HAIKU, **{field: 1})
    assert (400, f"{field}: Extra inputs are not permitted") == (reply.status, reply.message)


@pytest.mark.parametrize("model", [OPUS, SONNET, HAIKU, OPUS_5, "claude-opus-4-7"])
@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_sampling_is_rejected_by_new_models_in_the_old_version(caller: Any, model: str, field: str) -> None:
    """Models from Opus 4.7 on have no sampling fields in either version."""
    reply = caller.ask(model=model, headers=OLD, **{field: 1})
    assert reply.status == 400
    assert field in reply.message


def _continued(reply: Any, first: str = "Hello") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": first},
        {"role": "assistant", "content": reply.json["content"]},
        {"role": "user", "content": "Go on"},
    ]


def test_thinking_blocks_of_opus_are_bound_to_model_and_conversation(make_caller: Any) -> None:
    """Opus takes its own block back in the same conversation; no other model, account or start will do."""
    caller = make_caller()
    reply = caller.ask(model=OPUS)
    assert reply.json["content"][0]["type"] == "thinking"
    assert caller.ask(model=OPUS, messages=_continued(reply)).status == 200
    for changed in (
        caller.ask(model=SONNET, messages=_continued(reply)),
        caller.ask(model=OPUS, messages=_continued(reply, "Another")),
        caller.ask(model=OPUS, messages=_continued(reply), headers={"x-api-key": "key-b"}),
    ):
        assert changed.status == 400
        assert "messages.1.content.0: `thinking` block" in changed.message


def test_thinking_blocks_of_sonnet_are_bound_to_the_account(caller: Any) -> None:
    """Haiku takes a block of Sonnet from the same account, Opus does not; another account may not send it."""
    reply = caller.ask(model=SONNET)
    assert caller.ask(model=HAIKU, messages=_continued(reply)).status == 200
    assert caller.ask(model=OPUS, messages=_continued(reply)).status == 400
    stranger = caller.ask(model=HAIKU, messages=_continued(reply), headers={"x-api-key": "key-b"})
    assert stranger.status == 400


@pytest.mark.parametrize("signature", ["", "bm9uc2Vuc2U=", "%%%"])
def test_a_forged_signature_is_rejected(caller: Any, signature: str) -> None:
    """A thinking block that the provider has not signed is not taken back."""
    block = {"type": "thinking", "thinking": "", "signature": signature}
    messages = [USER, {"role": "assistant", "content": [block, {"type": "text", "text": "Yes"}]}, USER]
    assert "Invalid `signature`" in caller.ask(messages=messages).message


def test_a_prompt_beyond_the_context_is_rejected(caller: Any) -> None:
    """One token over the context window is too long; the window itself leaves no room for output."""
    over = caller.ask(model=OLD_HAIKU, headers={"simulator-input-tokens": "200001"})
    assert (over.status, over.message) == (400, "prompt is too long: 200001 tokens > 200000 maximum")
    full = caller.ask(model=OLD_HAIKU, headers={"simulator-input-tokens": "200000"})
    assert (
        full.json["stop_reason"],
        full.json["usage"]["output_tokens"],
    ) == ("model_context_window_exceeded", 0)
