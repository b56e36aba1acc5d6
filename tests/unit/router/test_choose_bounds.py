"""
What no combination of rules may do: lower a call twice for one threshold, cap an exempt call, hide a
downgrade, or fail in observe mode.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pricing.table import PriceTable
from router.choose import choose
from router.policy import Policy
from router.types import (
    Choice,
    Counts,
    Evidence,
    Headroom,
    Hints,
    Known,
    Prediction,
    Profile,
    Reason,
    Refusal,
    RefusalCode,
    Rights,
)

NOW_US = 1_795_000_000_000_000
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
CAPPED = """default_tier = "medium"
classifier = "complexity"
[routing.complexity]
trivial = { tier = "medium", max_tokens = 300 }
simple = { tier = "small", max_tokens = 300 }
"""
LEARNED = """default_tier = "large"
classifier = "learned"
[routing.learned]
smaller = "small"
[routing.roles]
actor = { tier = "medium" }
writer = { model = "claude-opus-5" }
"""
PolicyWith = Callable[[str, str], Policy]


def first(outcome: Any) -> Any:
    """Give the best offer of a call that is routed."""
    assert isinstance(outcome, Choice), outcome
    return outcome.offers[0]


def told(outcome: Any, code: str) -> list[Reason]:
    """Give the reasons of a kind."""
    return [reason for reason in outcome.reasons if reason.code == code]


def test_an_outage_does_not_make_a_step_lower_a_call_twice(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """
    At 40 % large calls are medium ones. With large out of service medium serves them already; the rule that
    medium calls are small ones is for others.
    """
    out = dict.fromkeys((OPUS, "claude-opus-5"), NOW_US + 9)
    outcome = decide(profile(body(OPUS)), money(0.6), unhealthy=out)
    assert first(outcome).model == SONNET
    assert first(decide(profile(body(SONNET)), money(0.6), unhealthy=out)).model == HAIKU
    assert first(decide(profile(body(OPUS)), money(0.9), unhealthy=out)).model == HAIKU


def test_a_class_does_not_cap_an_exempt_call(
    body: Any, profile: Any, decide: Any, policy_with: PolicyWith
) -> None:
    """A critical call of a class with max_tokens 300 keeps its own, and is told why; others are capped."""
    policy = policy_with('default_tier = "medium"', CAPPED)

    def call(**hints: Any) -> Profile:
        made: Profile = profile(
            body("outlay/auto"), hints=Hints(**hints), rights=Rights(loosen=True), under=policy
        )
        return made

    for kind in ("trivial", "simple"):
        vital = decide(call(complexity=kind, priority="critical"), under=policy)
        assert (first(vital).tier, first(vital).max_tokens) == ("medium", 4096)
        assert told(vital, "exempt")
        assert first(decide(call(complexity=kind), under=policy)).max_tokens == 300


def test_observe_mode_caps_no_call_by_its_class(
    body: Any, profile: Any, decide: Any, policy_with: PolicyWith
) -> None:
    """The class of a call for outlay/large means small with 300 tokens: observed, it goes out whole."""
    policy = policy_with('default_tier = "medium"', f'{CAPPED}[enforcement]\nmode = "observe"\n')
    hints = Hints(complexity="simple")
    outcome = decide(profile(body("outlay/large"), hints=hints, under=policy), under=policy)
    assert (first(outcome).model, first(outcome).max_tokens) == (OPUS, 4096)
    assert outcome.would.offer.max_tokens == 300


def test_observe_mode_holds_the_ceiling_of_what_has_no_bound(
    body: Any, profile: Any, prices: PriceTable, policy_with: Callable[[str, str], Policy]
) -> None:
    """A search without max_uses is bounded by its task's 2 USD, as enforced; without a ceiling it goes."""
    policy = policy_with("[degradation]\n", '[enforcement]\nmode = "observe"\n[degradation]\n')
    search = body(tools=[{"type": "web_search_20250305", "name": "web_search"}])
    for task, held in (("research", True), ("crm/summary", False)):
        asked = profile(search, hints=Hints(task=task))
        choice = choose(asked, Headroom(()), policy, prices, level=0, unhealthy={}, now_us=NOW_US)
        assert isinstance(choice, Choice)
        assert (choice.offers[0].cost_bound_nanos >= 2_000_000_000) is held
        assert ("unbounded_ceiling" in [reason.code for reason in choice.reasons]) is held


@pytest.mark.parametrize("spent", [0.0, 0.99])
def test_observe_mode_refuses_what_cannot_be_priced_as_asked(
    body: Any, profile: Any, decide: Any, money: Any, policy_with: PolicyWith, spent: float
) -> None:
    """Haiku has no fast speed: enforced, the call loses it; observed, it is refused, for that alone."""
    policy = policy_with("[degradation]\n", '[enforcement]\nmode = "observe"\n[degradation]\n')
    outcome = decide(profile(body(HAIKU, speed="fast"), under=policy), money(spent), under=policy)
    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.NO_MODEL_FITS
    assert HAIKU in outcome.message


def test_a_class_whose_model_may_not_serve_is_told(
    body: Any, profile: Any, decide: Any, policy_with: PolicyWith
) -> None:
    """The class names a model that the privacy class bars: its neighbour serves, and that is told."""
    table = 'default_tier = "medium"\nclassifier = "complexity"\n[routing.complexity]\n'
    policy = policy_with('default_tier = "medium"', f'{table}trivial = {{ model = "claude-sonnet-4-5" }}\n')

    def call(**hints: Any) -> Any:
        made = profile(body("outlay/auto"), hints=Hints(complexity="trivial", **hints), under=policy)
        return decide(made, under=policy)

    assert first(call()).model == "claude-sonnet-4-5"
    assert not told(call(), "constraint")
    barred = call(privacy="health")
    assert first(barred).model == SONNET
    assert told(barred, "constraint")[0].numbers["model"] == SONNET


@pytest.fixture
def learned(policy_with: PolicyWith) -> Policy:
    """Large unless a proven classifier says small; actors get medium, writers a model of their own."""
    return policy_with('default_tier = "medium"', LEARNED)


def test_a_role_does_not_hide_that_a_classifier_lowered_the_call(
    body: Any, profile: Any, learned: Policy, prices: PriceTable
) -> None:
    """The default is large, the classifier says small, the role medium: a downgrade from large."""
    made = profile(body("outlay/auto"), hints=Hints(role="actor"), under=learned)
    made = replace(made, prediction=Prediction("learned", "v", gain=0.0))
    evidence = Evidence("c", dict.fromkeys((HAIKU, "claude-haiku-4-5"), Counts(1000.0, 0.0)))
    known = Known(evidence=evidence)
    outcome = choose(made, Headroom(), learned, prices, level=0, unhealthy={}, now_us=NOW_US, known=known)
    assert isinstance(outcome, Choice)
    assert (outcome.asked_tier, first(outcome).tier) == ("large", "medium")


def test_the_model_of_a_role_is_told(body: Any, profile: Any, decide: Any, learned: Policy) -> None:
    """A role's own model serves with a reason; a caller that names one of the tier gets that, without."""
    hints = Hints(role="writer")
    outcome = decide(profile(body("outlay/auto"), hints=hints, under=learned), under=learned)
    assert first(outcome).model == "claude-opus-5"
    (reason,) = told(outcome, "role_tier")
    assert reason.numbers["model"] == "claude-opus-5"
    named = decide(profile(body(OPUS), hints=hints, under=learned), under=learned)
    assert first(named).model == OPUS
    assert not told(named, "role_tier")
