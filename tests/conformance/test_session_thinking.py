"""
Thinking blocks of conversations that change their model, judged by the simulated provider's own rules.

A block is signed by the model that wrote it, for its account and for the messages before it; the judge
refuses it at a model that does not take it back.
"""

from itertools import product
from typing import Any

import pytest

from pricing.facts import known_models, model_facts
from router.translate import translate
from simulator.errors import ApiError
from simulator.models import find
from simulator.rules import FAST_BETA, VERSIONS, Caller, check_rules
from simulator.signature import conversation_digest, sign

KEY = "k"
CALLER = Caller(key_hash=KEY, version=VERSIONS[0], betas=frozenset({FAST_BETA}))
MODELS = tuple(name for name in known_models() if find(name, restricted=True) is not None)
ACCOUNT_BOUND = ("claude-sonnet-5-5", "claude-haiku-5-5")


def judged(body: dict[str, Any], model: str) -> str | None:
    """Ask the provider; give what it objects to."""
    found = find(model, restricted=True)
    assert found is not None
    try:
        check_rules(body, found, CALLER)
    except ApiError as error:
        return str(error)
    return None


def answer(model: str, messages: list[dict[str, Any]], *, tool: bool) -> list[dict[str, Any]]:
    """What a model answers to these messages, thinking first, and what the caller says to that."""
    found = find(model, restricted=True)
    assert found is not None
    signature = sign(
        model=model,
        binding=found.thinking_binding,
        account=KEY,
        conversation=conversation_digest(messages),
    )
    place = str(len(messages))
    thought = {"type": "thinking", "thinking": "hm", "signature": signature}
    if not tool:
        said = {"type": "text", "text": f"Answer {place}."}
        return [{"role": "assistant", "content": [thought, said]}, {"role": "user", "content": "Go on."}]
    call = {"type": "tool_use", "id": place, "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": place, "content": "ok"}
    return [{"role": "assistant", "content": [thought, call]}, {"role": "user", "content": [result]}]


def thoughts(body: dict[str, Any]) -> int:
    """Count the thinking blocks in a history."""
    contents = (m["content"] for m in body["messages"] if isinstance(m["content"], list))
    return sum(block["type"] == "thinking" for content in contents for block in content)


def play(asked: str, served: tuple[str, ...], *, tool: bool, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """
    Let one model after the other answer a conversation that its caller writes for the asked model, with every
    answer given back as it came; each body must be accepted by the model that it is sent to.
    """
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
    before: frozenset[str] = frozenset()
    sent = []
    for model in served:
        body = {"model": asked, "max_tokens": 8_000, "messages": messages, **fields}
        result = translate(
            body,
            model_facts(model),
            asked=model_facts(asked),
            effort=None,
            max_tokens=8_000,
            served_before=before,
        )
        assert judged(result.body, model) is None, (asked, served, model, judged(result.body, model))
        sent.append(result.body)
        messages = [*messages, *answer(model, messages, tool=tool)]
        before |= {model}
    return sent


@pytest.mark.parametrize("tool", [False, True], ids=["texts", "open tool loop"])
@pytest.mark.parametrize("asked", MODELS)
def test_every_pair_of_models_may_take_turns(asked: str, tool: bool) -> None:
    """Away from the asked model, on to another one and back: the provider never objects to the history."""
    thinking = {"thinking": {"type": "adaptive"}} if "adaptive" in model_facts(asked).thinking else {}
    for one, other in product(MODELS, MODELS):
        play(asked, (asked, one, one, other, asked, asked), tool=tool, fields=thinking)


def test_a_conversation_that_stays_keeps_its_thinking() -> None:
    """Nothing is dropped while one model answers, also where it is not the one that was asked for."""
    for model in MODELS:
        sent = play("claude-opus-5-5", (model, model, model), tool=False, fields={})
        assert [thoughts(body) for body in sent] == [0, 1, 2], model


def test_thinking_passes_between_models_that_bind_it_to_the_account() -> None:
    """Sonnet 5.5 and Haiku 5.5 take back each other's thinking; Opus 5.5 takes back only its own."""
    sonnet, haiku = ACCOUNT_BOUND
    sent = play(sonnet, (sonnet, haiku, sonnet), tool=True, fields={})
    assert [thoughts(body) for body in sent] == [0, 1, 2]
    sent = play(sonnet, (sonnet, "claude-opus-5-5", haiku), tool=True, fields={})
    assert [thoughts(body) for body in sent] == [0, 0, 0]
