"""
The gate of conversations, for any size of cache, answer and future: it never lets one be moved at a loss.
"""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.facts import model_facts
from pricing.load import load_prices
from router.choose import choose
from router.classify import profile_request
from router.costs import Costs
from router.policy import load_policy
from router.session import turns_after
from router.types import Budget, Cache, Choice, Headroom, Hints, Known, Profile, Rights, SessionState

NOW_US = 1_795_219_200_000_000
MODELS = {"large": "claude-opus-5-5", "medium": "claude-sonnet-5-5", "small": "claude-haiku-5-5"}
POLICY = load_policy("""
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.medium]
models = ["claude-sonnet-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
[[degradation.steps]]
below = 0.5
map = { large = "medium", medium = "small" }
[[degradation.steps]]
below = 0.2
max_tier = "small"
""")


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """A call of a warm conversation at any model, asking for any."""
    tier = draw(st.sampled_from(list(MODELS)))
    asked = MODELS[draw(st.sampled_from(list(MODELS)))]
    size = draw(st.integers(1_000, 700_000))
    text = {"type": "text", "text": "x" * size, "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "content": [text]}, {"role": "assistant", "content": "a"}]
    messages.append({"role": "user", "content": "b"})
    body: dict[str, Any] = {"model": asked, "max_tokens": 8_000, "messages": messages}
    read = profile_request(
        body,
        Hints(),
        Rights(),
        POLICY,
        expected_output_tokens=draw(st.integers(0, 8_000)),
        cache=Cache(MODELS[tier], draw(st.integers(1, 250_000)), 10),
    )
    assert isinstance(read, Profile)
    state = SessionState(
        turns=draw(st.integers(1, 40)), model=MODELS[tier], tier=tier, effort="medium", asked_model=asked
    )
    return replace(read, session_state=state)


@given(
    profiles(),
    st.floats(0, 0.99),
    st.lists(st.integers(0, 500), max_size=8).map(lambda counts: tuple(sorted(counts, reverse=True))),
)
@settings(max_examples=300, deadline=None)
def test_no_conversation_is_moved_at_a_loss(profile: Profile, spent: float, counts: tuple[int, ...]) -> None:
    """Whatever the budget says: a move costs less than staying, over this call and the turns expected."""
    money = Headroom((Budget("tenant/day", 10**12, round(spent * 10**12)),))
    known = Known(session_turns=counts)
    found = choose(profile, money, POLICY, load_prices(), level=0, unhealthy={}, now_us=NOW_US, known=known)
    assert isinstance(found, Choice)
    state, served = profile.session_state, found.offers[0].model
    assert state is not None
    if served == state.model:
        return
    costs = Costs(profile, load_prices(), NOW_US, asked=model_facts(profile.asked_model))
    costs.turns_after = turns_after(state.turns, counts, POLICY.routing.sessions.expected_turns)
    stay = costs.ahead(model_facts(state.model), profile.max_tokens)
    assert costs.ahead(model_facts(served), profile.max_tokens) < stay
