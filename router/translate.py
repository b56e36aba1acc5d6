"""
A request body for the model that serves it.

A downgrade is a translation: models differ in what they accept (`pricing/data/models.toml`), and a bare
swap of the name is answered with a 400. What the caller's own model would reject is left to the provider
to reject; a body that goes to the model it names, unshrunk, goes out as it came.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pricing.facts import ModelFacts, UnknownModel, model_facts
from router.effort import clamp, least_effort
from router.shape import (
    THINKING_BLOCKS,
    effort_of,
    has_prefill,
    is_forced,
    messages_of,
    open_tool_loop,
    thinking_kind,
)

SAMPLING: Final = ("temperature", "top_p", "top_k")
FALLBACKS: Final = ("fallbacks", "fallback_credit_token")
THINKING_BUDGET_MIN: Final = 1024
_KEPT: Final = frozenset({"type", "budget_tokens"})


@dataclass(frozen=True, slots=True)
class Translated:
    """
    The body to send, and what was changed besides the model.
    """

    body: dict[str, Any]
    notes: tuple[str, ...]


def translate(
    body: Mapping[str, Any],
    served: ModelFacts,
    *,
    asked: ModelFacts | None,
    effort: str | None,
    max_tokens: int,
    served_before: frozenset[str] = frozenset(),
) -> Translated:
    """
    Make the body that a model accepts from the one that was asked. The given body is only read.

    Args:
        asked: Model that the body was written for; None when it names a tier or leaves the choice to the
            router.
        effort: Effort of the offer; it is never raised above what the body and its model mean.
        max_tokens: Of the offer.
        served_before: Models that have answered in this conversation, as far as known: thinking blocks in the
            history are theirs. Empty means: the asked model.
    """
    work = _Translation(body, served, asked, served_before)
    work.max_tokens(max_tokens)
    work.effort(effort)
    work.history()
    if work.changed:
        work.model()
        work.thinking()
        work.tool_choice()
        work.dropped()
        work.prefill()
    work.thinking_budget()
    return Translated(work.body, tuple(work.notes))


class _Translation:
    """
    The body on its way; inner values are replaced, never changed in place.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        served: ModelFacts,
        asked: ModelFacts | None,
        served_before: frozenset[str],
    ) -> None:
        self.body = dict(body)
        self.notes: list[str] = []
        self.served = served
        self.asked = asked
        self.served_before = served_before
        self.changed = asked is None or asked.id != served.id
        self.loop_cut = False

    def model(self) -> None:
        """Name the serving model."""
        self.body["model"] = self.served.id

    def max_tokens(self, wanted: int) -> None:
        """Lower max_tokens to the offer, and at another model to what it can give."""
        before = self.body.get("max_tokens")
        limit = min(wanted, self.served.max_output_tokens) if self.changed else wanted
        if not isinstance(before, int) or limit < before:
            self.body["max_tokens"] = limit
            self.notes.append(f"max_tokens {before} -> {limit}")

    def effort(self, wanted: str | None) -> None:
        """Send the effort where it differs from what the model would do by itself."""
        own = effort_of(self.body)
        if not self.served.efforts:
            if self.changed and own is not None:
                self._set_effort(None)
                self.notes.append(f"effort {own} dropped: {self.served.id} has none")
            return
        meant = own or (self.asked.default_effort if self.asked is not None else None)
        level = least_effort(wanted or meant or self.served.default_effort, meant)
        if level is None:
            return
        if not self.changed and level == (own or self.served.default_effort):
            return
        level = clamp(level, self.served.efforts)
        if level != own:
            self._set_effort(level)
            self.notes.append(f"effort {own or 'unset'} -> {level}")

    def history(self) -> None:
        """Drop thinking blocks that another model wrote; they are bound to it and would be rejected."""
        if not self._foreign_thinking():
            return
        messages = messages_of(self.body)
        kept = [_without_thinking(message) for message in messages]
        if kept == messages:
            return
        self.loop_cut = open_tool_loop(self.body)
        self.body["messages"] = [message for message in kept if message["content"] != []]
        self.notes.append("thinking blocks of another model dropped from the history")

    def _foreign_thinking(self) -> bool:
        """Tell whether the history may hold thinking blocks that the serving model does not take back."""
        if not self.served_before and self.asked is None:
            return self.served.thinking_binding != "none"
        own = frozenset() if self.asked is None else frozenset({self.asked.id})
        return any(not self._takes_back(model) for model in self.served_before or own)

    def _takes_back(self, model: str) -> bool:
        """Blocks bound to the account pass between the models that bind so; others stay with their own."""
        if model == self.served.id:
            return True
        try:
            bindings = {self.served.thinking_binding, model_facts(model).thinking_binding}
        except UnknownModel:
            return False
        return bindings == {"account"}

    def thinking(self) -> None:
        """Say the kind of thinking in the words of the serving model."""
        kind = thinking_kind(self.body)
        if kind is None:
            return
        known = self.served.thinking
        if kind not in known:
            self._other_thinking(kind)
        if thinking_kind(self.body) == "disabled":
            self._effort_without_thinking()

    def _other_thinking(self, kind: str) -> None:
        known = self.served.thinking
        sibling = {"disabled": "between_tools", "between_tools": "disabled"}.get(kind)
        if sibling in known:
            self._set_thinking({"type": sibling})
        elif kind == "disabled":
            self._drop_thinking("disabled is not accepted")
            self.effort("low")
        elif "adaptive" in known:
            self._set_thinking({"type": "adaptive"})
        elif "enabled" in known and kind == "adaptive" and not self._thinking_barred():
            self._set_thinking({"type": "enabled", "budget_tokens": self._half_of_answer()})
        else:
            self._drop_thinking(f"{kind} is not accepted")

    def _thinking_barred(self) -> bool:
        """Tell whether the rest of the body would clash with thinking at a model that has only `enabled`."""
        return is_forced(self.body) or has_prefill(self.body) or any(name in self.body for name in SAMPLING)

    def _half_of_answer(self) -> int:
        return max(THINKING_BUDGET_MIN, int(self.body["max_tokens"]) // 2)

    def _effort_without_thinking(self) -> None:
        """Lower the effort to one at which the model lets thinking be disabled."""
        allowed = self.served.disabled_thinking_efforts
        level = effort_of(self.body) or self.served.default_effort
        if allowed is None or level is None or level in allowed:
            return
        fitting = clamp(level, allowed)
        self._set_effort(fitting)
        self.notes.append(f"effort {level} -> {fitting}, as thinking is disabled")

    def thinking_budget(self) -> None:
        """Keep the thinking budget under max_tokens where either was changed; without room, do not think."""
        if thinking_kind(self.body) != "enabled":
            return
        if self.loop_cut:
            self._drop_thinking("the open tool loop has lost its thinking blocks")
            return
        if not self.notes:
            return
        thinking = self.body["thinking"]
        budget, limit = thinking.get("budget_tokens"), self.body["max_tokens"]
        if not isinstance(budget, int) or budget < limit:
            return
        if limit <= THINKING_BUDGET_MIN:
            self._drop_thinking(f"max_tokens {limit} leaves no room for it")
            return
        fitting = max(THINKING_BUDGET_MIN, limit // 2)
        self.body["thinking"] = {**thinking, "budget_tokens": fitting}
        self.notes.append(f"thinking budget {budget} -> {fitting}")

    def tool_choice(self) -> None:
        """Let the model choose its tool where it cannot be forced."""
        if not is_forced(self.body) or self.served.forced_tool_choice:
            return
        choice = self.body["tool_choice"]
        self.body["tool_choice"] = {k: v for k, v in choice.items() if k not in ("type", "name")} | {
            "type": "auto"
        }
        self.notes.append(f"tool_choice {choice['type']} -> auto: {self.served.id} cannot be forced")

    def dropped(self) -> None:
        """Drop fields that the serving model rejects, and fallbacks that were written for another one."""
        if not self.served.sampling:
            self._drop(SAMPLING, "not accepted")
        if not self.served.fast and self.body.get("speed") == "fast":
            self._drop(("speed",), "not accepted")
        if not self.served.geo_ppm and self.body.get("inference_geo") == "global":
            self._drop(("inference_geo",), "not accepted")
        self._drop(FALLBACKS, "the route was chosen by the policy")

    def prefill(self) -> None:
        """Take back the beginning of the answer where the model does not accept one."""
        messages = messages_of(self.body)
        if not has_prefill(self.body) or self.served.prefill or len(messages) == 1:
            return
        self.body["messages"] = messages[:-1]
        self.notes.append(f"prefill dropped: {self.served.id} does not accept one")

    def _drop(self, names: tuple[str, ...], why: str) -> None:
        for name in names:
            if name in self.body:
                del self.body[name]
                self.notes.append(f"{name} dropped: {why}")

    def _set_effort(self, level: str | None) -> None:
        config = self.body.get("output_config")
        rest = {k: v for k, v in config.items() if k != "effort"} if isinstance(config, Mapping) else {}
        if level is not None:
            rest["effort"] = level
        if rest:
            self.body["output_config"] = rest
        else:
            self.body.pop("output_config", None)

    def _set_thinking(self, value: dict[str, Any]) -> None:
        before = self.body["thinking"]
        self.body["thinking"] = {k: v for k, v in before.items() if k not in _KEPT} | value
        self.notes.append(f"thinking {before['type']} -> {value['type']}")

    def _drop_thinking(self, why: str) -> None:
        del self.body["thinking"]
        self.notes.append(f"thinking dropped: {why}")


def _without_thinking(message: Any) -> Any:
    """Give an assistant's message without its thinking blocks; any other as it is."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list) or message.get("role") != "assistant":
        return message
    kept = [b for b in content if not (isinstance(b, Mapping) and b.get("type") in THINKING_BLOCKS)]
    return message if len(kept) == len(content) else {**message, "content": kept}
