"""
Conversations that begin easily: a harder turn climbs to its own tier, and no signal leads lower than none.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from router.policy import Policy
from router.types import Cache, Choice, Hints, Profile, Rights, SessionState

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
MAPPED = """default_tier = "medium"
classifier = "complexity"
[routing.complexity]
trivial = { tier = "small" }
expert = { tier = "large" }
[routing.roles]
planner = { tier = "large" }
"""
Turn = Callable[..., Profile]


@pytest.fixture
def mapped(policy_with: Any) -> Policy:
    """The policy with a complexity map: trivial calls are small, expert ones large."""
    built: Policy = policy_with('default_tier = "medium"', MAPPED)
    return built


@pytest.fixture
def turn(body: Any, profile: Any, mapped: Policy) -> Turn:
    """Build the second turn of a conversation that Haiku has answered, 50k tokens of it in the cache."""

    def build(hints: Hints, *, asked: str = "outlay/auto", age_s: int = 10, **state: Any) -> Profile:
        text = {"type": "text", "text": "x" * 154_000, "cache_control": {"type": "ephemeral"}}
        messages = [
            {"role": "user", "content": [text]},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Go on."},
        ]
        read: Profile = profile(
            body(asked, messages=messages),
            hints=hints,
            rights=Rights(loosen=True),
            cache=Cache(HAIKU, 50_000, age_s),
            under=mapped,
        )
        known = {"turns": 1, "model": HAIKU, "tier": "small", "asked_model": asked, "routed_tier": "small"}
        return replace(read, session_state=SessionState(**{**known, **state}))

    return build


def served(outcome: Any) -> str:
    """Give the model of the best offer."""
    assert isinstance(outcome, Choice), outcome
    return outcome.offers[0].model


EXPERT, TRIVIAL = Hints(complexity="expert"), Hints(complexity="trivial")


@pytest.mark.parametrize("hints", [EXPERT, Hints(complexity="trivial", role="planner")])
def test_a_harder_turn_climbs_though_the_cache_is_warm(
    turn: Turn, decide: Any, mapped: Policy, hints: Hints
) -> None:
    """A conversation that began with a trivial turn is not held small when class or role call for large."""
    outcome = decide(turn(hints), under=mapped)
    assert served(outcome) == OPUS
    assert "switch_suppressed_cache" not in [reason.code for reason in outcome.reasons]


def test_a_turn_that_is_no_harder_than_the_one_before_stays(turn: Turn, decide: Any, mapped: Policy) -> None:
    """Money has lowered the expert turn before to Haiku; the next one waits for a cold cache, as ever."""
    assert served(decide(turn(EXPERT, routed_tier="large"), under=mapped)) == HAIKU
    assert served(decide(turn(EXPERT, routed_tier=None), under=mapped)) == HAIKU
    assert served(decide(turn(TRIVIAL, routed_tier="large"), under=mapped)) == HAIKU


def test_the_budget_bounds_what_a_harder_turn_gets(
    turn: Turn, decide: Any, money: Any, mapped: Policy
) -> None:
    """Under half of the money an expert turn climbs to medium, under a fifth not at all."""
    assert served(decide(turn(EXPERT), money(0.6), under=mapped)) == SONNET
    assert served(decide(turn(EXPERT), money(0.9), under=mapped)) == HAIKU


def test_an_owner_may_let_harder_turns_wait(turn: Turn, decide: Any, policy_with: Any) -> None:
    """With `follow_harder = false` a warm conversation stays, and what that costs is told."""
    rules = f"{MAPPED}[routing.sessions]\nfollow_harder = false\n"
    under = policy_with('default_tier = "medium"', rules)
    outcome = decide(turn(EXPERT), under=under)
    assert served(outcome) == HAIKU
    assert "switch_suppressed_cache" in [reason.code for reason in outcome.reasons]


def test_a_signal_never_leads_lower_than_none(turn: Turn, decide: Any, mapped: Policy) -> None:
    """Where nothing holds the call under Opus, a retry does not make it one tier above Haiku only."""
    cold = turn(EXPERT, age_s=301, retried=True, routed_tier="large")
    critical = turn(Hints(complexity="expert", priority="critical"), retried=True, routed_tier="large")
    anew = replace(turn(EXPERT, asked=OPUS, retried=True), session_state=None)
    anew = replace(anew, session_state=SessionState(1, HAIKU, "small", asked_model=SONNET, retried=True))
    for call in (cold, critical, anew):
        assert served(decide(call, under=mapped)) == OPUS
    held = turn(EXPERT, retried=True, routed_tier="large")
    assert served(decide(held, under=mapped)) == SONNET
