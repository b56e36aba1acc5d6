"""
Stored values of the router: there and back, and no prompt in them.
"""

import json
from typing import Any

import pytest

from router.codec import CodecError, Inputs, from_json, replay, to_json
from router.types import Choice, Hints, Profile, Refusal, Rights

NOW_US = 1_795_000_000_000_000


@pytest.mark.parametrize("spent", [0.0, 0.6, 0.97])
def test_a_stored_decision_is_made_again(
    body: Any, profile: Any, money: Any, policy: Any, prices: Any, spent: float
) -> None:
    """Inputs and outcome survive storage, and the stored inputs lead to the stored outcome."""
    request = profile(body(), hints=Hints(task="crm/x", floor="large", tags=(("a", "b"),)))
    inputs = Inputs(request, money(spent), 1, {"claude-haiku-5-5": NOW_US + 5}, NOW_US)
    again = from_json(Inputs, to_json(inputs))
    assert again == inputs
    outcome = replay(inputs, policy, prices)
    assert replay(again, policy, prices) == outcome
    assert from_json(type(outcome), to_json(outcome)) == outcome
    assert isinstance(outcome, Refusal) == (spent > 0.95)


def test_an_observed_choice_is_stored_whole(
    body: Any, profile: Any, money: Any, policy_with: Any, decide: Any
) -> None:
    """What would have happened is part of the stored choice."""
    under = policy_with("[degradation]\n", '[enforcement]\nmode = "observe"\n\n[degradation]\n')
    outcome = decide(profile(body()), money(0.99), under=under)
    assert outcome.would is not None
    assert from_json(Choice, to_json(outcome)) == outcome


def test_no_prompt_is_stored(body: Any, profile: Any) -> None:
    """A profile holds counts and hashes of what a tenant wrote, never the text."""
    text = "a very particular sentence"
    request = profile(body(system=text, messages=[{"role": "user", "content": text}]), rights=Rights())
    assert "particular" not in to_json(request)


def test_json_is_compact_and_sorted(body: Any, profile: Any) -> None:
    """Equal values have equal text."""
    text = to_json(profile(body()))
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "{}", '{"task": 5}', "null", "[" * 100_000])
def test_other_text_is_an_error(text: str) -> None:
    """Text that is not a stored profile is refused as such."""
    with pytest.raises(CodecError):
        from_json(Profile, text)


def test_wrong_types_inside_are_an_error(body: Any, profile: Any) -> None:
    """A number that became text on the way is not read as a number."""
    raw = json.loads(to_json(profile(body())))
    raw["max_tokens"] = "4096"
    with pytest.raises(CodecError):
        from_json(Profile, json.dumps(raw))
