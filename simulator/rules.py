"""
What one model accepts: thinking, effort, tool choice, sampling, prefill, speed, place, limits.

Works on a body whose shape is checked. The table is `data/models.toml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.errors import invalid
from simulator.models import Model
from simulator.schema import check_schema
from simulator.signature import conversation_digest, refusal

VERSIONS = ("2023-06-01", "2026-10-21")
FAST_BETA = "fast-mode-2026-02-01"
BUDGET_TOKENS_MIN = 1_024
EFFORTS = ("low", "medium", "high", "xhigh", "max")
KINDS = ("adaptive", "enabled", "disabled", "between_tools")


@dataclass(frozen=True, slots=True)
class Caller:
    """
    What the headers say: who calls, in which version of the API, with which betas.
    """

    key_hash: str
    version: str
    betas: frozenset[str]


def check_rules(body: Mapping[str, Any], model: Model, caller: Caller) -> None:
    """
    Check a request against the rules of its model.

    Raises:
        ApiError: 400, naming the first rule that is broken.
    """
    _effort(body, model)
    _thinking(body, model)
    _sampling(body, model, caller)
    _output(body, model)
    _tool_choice(body, model)
    _speed(body, model, caller)
    _geo(body, model)
    _turns(body, model)
    _thinking_blocks(body, model, caller)


def effort(body: Mapping[str, Any], model: Model) -> str:
    """
    Return the effort at which the model works.
    """
    return (body.get("output_config") or {}).get("effort") or model.default_effort


def thinks(body: Mapping[str, Any], model: Model) -> bool:
    """
    Tell whether the model thinks before it answers.
    """
    thinking = body.get("thinking")
    return model.thinks_by_default if thinking is None else thinking["type"] in ("adaptive", "enabled")


def _effort(body: Mapping[str, Any], model: Model) -> None:
    config = body.get("output_config") or {}
    level = config.get("effort")
    if "task_budget" in config:
        raise invalid("output_config.task_budget: this beta is not offered by the simulated provider")
    if level is None:
        return
    if level not in EFFORTS:
        raise invalid(f"output_config.effort: Input should be {', '.join(map(repr, EFFORTS))}")
    if not model.efforts:
        raise invalid("This model does not support the effort parameter.")
    if level not in model.efforts:
        raise invalid(
            f"This model does not support effort level '{level}'. Supported: {', '.join(model.efforts)}."
        )


def _thinking(body: Mapping[str, Any], model: Model) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type")
    if kind not in KINDS:
        raise invalid(
            f"thinking: Input tag {kind!r} found using 'type' does not match any of the expected tags"
        )
    if kind not in model.thinking:
        raise invalid(_unsupported(kind, model))
    level = effort(body, model)
    if kind == "disabled" and model.efforts and level not in model.disabled_thinking_efforts:
        raise invalid(
            f"\"thinking.type.disabled\" is not supported at effort level '{level}' for this model."
        )
    if kind != "enabled" and "budget_tokens" in thinking:
        raise invalid(f"thinking.{kind}.budget_tokens: Extra inputs are not permitted")
    if kind == "enabled":
        _budget(thinking.get("budget_tokens"), body.get("max_tokens"))
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _unsupported(kind: str, model: Model) -> str:
    quoted = f'"thinking.type.{kind}" is not supported for this model.'
    if kind == "disabled" and "between_tools" in model.thinking:
        return f'{quoted} To turn thinking off on this model, send "thinking": {{"type": "between_tools"}}.'
    if "adaptive" in model.thinking:
        return (
            f'{quoted} Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        )
    return f'{quoted} Use "thinking.type.enabled" and "thinking.budget_tokens".'


def _budget(budget: Any, max_tokens: int | None) -> None:
    if type(budget) is not int:
        raise invalid("thinking.enabled.budget_tokens: Field required")
    if budget < BUDGET_TOKENS_MIN:
        raise invalid(
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to {BUDGET_TOKENS_MIN}"
        )
    if max_tokens is not None and budget >= max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _sampling(body: Mapping[str, Any], model: Model, caller: Caller) -> None:
    given = [name for name in ("temperature", "top_p", "top_k") if name in body]
    for name in given:
        if caller.version != VERSIONS[0]:
            raise invalid(f"{name}: Extra inputs are not permitted")
        if not model.sampling:
            raise invalid(f"`{name}` is not supported for this model.")
    if "temperature" in given and not 0 <= body["temperature"] <= 1:
        raise invalid("temperature: range: 0..1")
    if "top_p" in given and not 0 <= body["top_p"] <= 1:
        raise invalid("top_p: range: 0..1")
    if thinks(body, model) and body.get("temperature", 1) != 1:
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")


def _output(body: Mapping[str, Any], model: Model) -> None:
    wanted = body.get("max_tokens", 0)
    if wanted > model.max_output_tokens:
        raise invalid(
            f"max_tokens: {wanted} > {model.max_output_tokens}, which is the maximum allowed number of "
            f"output tokens for {model.id}"
        )
    format_ = (body.get("output_config") or {}).get("format")
    if format_ is None:
        return
    if not isinstance(format_, dict) or format_.get("type") != "json_schema":
        raise invalid("output_config.format: Input should be an object of type 'json_schema'")
    check_schema(format_.get("schema"), "output_config.format.schema")


def _tool_choice(body: Mapping[str, Any], model: Model) -> None:
    kind = (body.get("tool_choice") or {}).get("type")
    if kind in ("any", "tool") and not model.forced_tool_choice:
        raise invalid(f"tool_choice: type '{kind}' is not supported for this model. Use 'auto' or 'none'.")


def _speed(body: Mapping[str, Any], model: Model, caller: Caller) -> None:
    speed = body.get("speed")
    if speed is None:
        return
    if model.fast_beta and FAST_BETA not in caller.betas:
        raise invalid("speed: Extra inputs are not permitted")
    if speed == "fast" and not model.fast:
        raise invalid(f"speed: 'fast' is not supported for {model.id}")


def _geo(body: Mapping[str, Any], model: Model) -> None:
    geo = body.get("inference_geo")
    if geo is None:
        return
    if not model.geo:
        raise invalid(f"inference_geo: is not supported for {model.id}")
    if geo not in ("us", "global"):
        raise invalid(f"inference_geo: {geo!r} is not available; use 'us' or 'global'")


def _turns(body: Mapping[str, Any], model: Model) -> None:
    messages = body["messages"]
    if not model.system_messages and any(message["role"] == "system" for message in messages):
        raise invalid(
            "messages: role 'system' is not supported for this model. Use the top-level `system` parameter."
        )
    last = messages[-1]
    if last["role"] != "assistant":
        return
    if not model.prefill:
        raise invalid(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )
    if isinstance(last["content"], str) and last["content"] != last["content"].rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")


def _thinking_blocks(body: Mapping[str, Any], model: Model, caller: Caller) -> None:
    messages = body["messages"]
    for at, message in enumerate(messages):
        if message["role"] != "assistant" or isinstance(message["content"], str):
            continue
        for place, block in enumerate(message["content"]):
            if block["type"] != "thinking":
                continue
            why = refusal(
                block["signature"],
                model=model.id,
                binding=model.thinking_binding,
                account=caller.key_hash,
                conversation=conversation_digest(messages[:at]),
            )
            if why is not None:
                raise invalid(f"messages.{at}.content.{place}: {why}")
