"""
Translation against the simulated provider's own rules: what one model accepts, its stand-in accepts too.

The judge has a model table of its own (`simulator/data/models.toml`) and shares no code with the router.
"""

import copy
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pricing.facts import known_models, model_facts
from router.translate import translate
from router.types import EFFORTS
from simulator.errors import ApiError
from simulator.models import find
from simulator.rules import FAST_BETA, VERSIONS, Caller, check_rules
from simulator.signature import conversation_digest, sign

KEY = "k"
CALLER = Caller(key_hash=KEY, version=VERSIONS[0], betas=frozenset({FAST_BETA}))
MODELS = tuple(name for name in known_models() if find(name, restricted=True) is not None)


def accepted(body: dict[str, Any], model: str) -> str | None:
    """Ask the judge; give what it objects to."""
    found = find(model, restricted=True)
    assert found is not None
    try:
        check_rules(body, found, CALLER)
    except ApiError as error:
        return str(error)
    return None


@st.composite
def requests(draw: st.DrawFn, model: str) -> dict[str, Any]:
    """A body of any mixture of settings, with a history by the model itself."""
    body: dict[str, Any] = {"model": model, "max_tokens": draw(st.sampled_from([1, 1_500, 8_000, 64_000]))}
    budget = draw(st.sampled_from([1_024, 1_499, 7_000]))
    optional = {
        "thinking": st.sampled_from(
            [
                {"type": "adaptive"},
                {"type": "disabled"},
                {"type": "between_tools"},
                {"type": "enabled", "budget_tokens": budget},
            ]
        ),
        "output_config": st.fixed_dictionaries({"effort": st.sampled_from(EFFORTS)}),
        "temperature": st.sampled_from([1, 0.3]),
        "top_k": st.just(5),
        "tool_choice": st.sampled_from([{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "f"}]),
        "speed": st.sampled_from(["standard", "fast"]),
        "inference_geo": st.just("global"),
    }
    for name, values in optional.items():
        if draw(st.booleans()):
            body[name] = draw(values)
    body["messages"] = draw(histories(model))
    return body


@st.composite
def histories(draw: st.DrawFn, model: str) -> list[dict[str, Any]]:
    """A conversation with thinking blocks that the model signed, perhaps in a tool loop or with a prefill."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
    found = find(model, restricted=True)
    assert found is not None
    if draw(st.booleans()):
        signature = sign(
            model=model,
            binding=found.thinking_binding,
            account=KEY,
            conversation=conversation_digest(messages),
        )
        thought = {"type": "thinking", "thinking": "hm", "signature": signature}
        call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
        messages += [{"role": "assistant", "content": [thought, call]}, {"role": "user", "content": [result]}]
    if draw(st.booleans()):
        messages.append({"role": "assistant", "content": "{"})
    return messages


@given(st.data(), st.sampled_from(MODELS), st.sampled_from(MODELS))
@settings(max_examples=500, deadline=None)
def test_what_the_asked_model_accepts_its_stand_in_accepts(
    data: st.DataObject, asked: str, served: str
) -> None:
    """A body that is valid at its own model is valid at any other after translation, shrunk or not."""
    body = data.draw(requests(asked))
    assume(accepted(body, asked) is None)
    kept = copy.deepcopy(body)
    facts = model_facts(served)
    max_tokens = data.draw(st.sampled_from([1, 1_024, 1_100, body["max_tokens"]]))
    effort = data.draw(st.sampled_from([None, *EFFORTS]))
    limit = min(max_tokens, body["max_tokens"])
    result = translate(body, facts, asked=model_facts(asked), effort=effort, max_tokens=limit)
    assert accepted(result.body, served) is None, (accepted(result.body, served), result)
    assert body == kept
    assert result.body["max_tokens"] <= limit


@given(st.data(), st.sampled_from(MODELS), st.sampled_from(MODELS), st.sampled_from([None, *EFFORTS]))
@settings(max_examples=500, deadline=None)
def test_translation_never_raises_the_effort(
    data: st.DataObject, asked: str, served: str, effort: str | None
) -> None:
    """The effort sent is at most what the body meant at its own model, where that model has efforts."""
    body = data.draw(requests(asked))
    own, other = model_facts(asked), model_facts(served)
    result = translate(body, other, asked=own, effort=effort, max_tokens=body["max_tokens"])
    meant = body.get("output_config", {}).get("effort") or own.default_effort
    sent = result.body.get("output_config", {}).get("effort") or other.default_effort
    if own.efforts and other.efforts and asked != served:
        assert "effort" in result.body["output_config"]
        assert EFFORTS.index(sent) <= EFFORTS.index(meant)
