"""
What holds for every call, budget and policy: less money never buys more, constraints hold, decisions replay.
"""

from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from router_properties import LIMIT, MODELS, NOW_US, TIERS, left, prices, rank

from pricing.facts import model_facts
from router.choose import choose
from router.classify import profile_request
from router.codec import Inputs, from_json, replay, to_json
from router.degrade import active_steps
from router.policy import Policy, load_policy
from router.types import Cache, Choice, Headroom, Hints, Profile, Refusal, RefusalCode, Rights

STEPS = (
    'map = { large = "medium", medium = "small" }',
    'map = { medium = "small" }',
    'max_tier = "medium"',
    'max_tier = "small"\nmax_tokens = 1000',
    'effort = "low"\nmax_tokens = 3000',
    "max_tokens = 500",
    'only = ["critical", "high"]',
)


@cache
def policy_of(steps: tuple[tuple[float, str], ...], mode: str, hysteresis: float) -> Policy:
    """A policy of three tiers with these steps."""
    text = "".join(f"[[degradation.steps]]\nbelow = {below}\n{change}\n" for below, change in steps)
    return load_policy(
        f"""
        [tiers.large]
        models = ["claude-opus-5-5", "claude-opus-4-5"]
        [tiers.medium]
        models = ["claude-sonnet-5-5", "claude-sonnet-4-5"]
        max_tokens = 9000
        [tiers.small]
        models = ["claude-haiku-5-5", "claude-haiku-4-5"]
        [routing]
        default_tier = "medium"
        [routing.tasks]
        "floored" = {{ tier = "large", floor = "medium" }}
        "vital" = {{ tier = "medium", priority = "critical" }}
        "private" = {{ tier = "small", privacy = "some" }}
        [privacy.some]
        models = ["claude-opus-4-5", "claude-sonnet-5-5", "claude-haiku-4-5"]
        [enforcement]
        mode = "{mode}"
        [degradation]
        hysteresis = {hysteresis}
        {text}
        """
    )


@st.composite
def policies(draw: st.DrawFn, mode: str = "enforce") -> Policy:
    """Any policy with up to three steps."""
    belows = draw(st.lists(st.sampled_from([0.9, 0.7, 0.5, 0.3, 0.2, 0.05]), max_size=3, unique=True))
    steps = tuple((below, draw(st.sampled_from(STEPS))) for below in sorted(belows, reverse=True))
    return policy_of(steps, mode, draw(st.sampled_from([0.0, 0.03, 0.2])))


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A body of any size, with or without a conversation in the cache."""
    size = draw(st.sampled_from([10, 3_000, 60_000, 400_000]))
    text: dict[str, Any] = {"type": "text", "text": "x" * size}
    if draw(st.booleans()):
        text["cache_control"] = {"type": "ephemeral"}
    messages = [{"role": "user", "content": [text]}]
    if draw(st.booleans()):
        messages += [{"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]  # type: ignore[dict-item]
    asked = draw(st.sampled_from([*MODELS, "outlay/auto", *(f"outlay/{tier}" for tier in TIERS)]))
    body: dict[str, Any] = {"model": asked, "messages": messages}
    body["max_tokens"] = draw(st.sampled_from([0, 1, 300, 2_000, 16_000, 64_000]))
    if draw(st.booleans()):
        body["output_config"] = {"effort": draw(st.sampled_from(["low", "medium", "high", "max"]))}
    if draw(st.booleans()):
        body |= {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}}
    return body


@st.composite
def profiles(draw: st.DrawFn, policy: Policy) -> Profile:
    """Any request that can be profiled."""
    hints = Hints(
        task=draw(st.sampled_from([None, "floored", "vital", "private", "other"])),
        priority=draw(st.sampled_from([None, "critical", "high", "normal", "low"])),
        privacy=draw(st.sampled_from([None, None, "some"])),
        floor=draw(st.sampled_from([None, None, *TIERS])),
        pin=draw(st.sampled_from([False, False, True])),
    )
    cache = draw(st.sampled_from([None, Cache(), Cache("claude-opus-5-5", 50_000)]))
    result = profile_request(
        draw(bodies()),
        hints,
        Rights(loosen=draw(st.booleans())),
        policy,
        expected_output_tokens=draw(st.sampled_from([1, 400, 5_000])),
        cache=cache,
    )
    assert isinstance(result, Profile), result
    return result


@st.composite
def situations(draw: st.DrawFn, mode: str = "enforce") -> tuple[Profile, Policy, int, dict[str, int]]:
    """A request, a policy, the level before, and models out of service."""
    policy = draw(policies(mode))
    unhealthy = draw(st.sets(st.sampled_from(MODELS), max_size=3))
    level = draw(st.integers(0, 4))
    return draw(profiles(policy)), policy, level, dict.fromkeys(sorted(unhealthy), NOW_US + 10**7)


def run(situation: tuple[Profile, Policy, int, dict[str, int]], money: Headroom) -> Choice | Refusal:
    """Choose in a situation."""
    profile, policy, level, unhealthy = situation
    return choose(profile, money, policy, prices(), level=level, unhealthy=unhealthy, now_us=NOW_US)


MONEY = st.integers(0, LIMIT) | st.sampled_from([0, 10_000, 10**7, 10**8, 10**9])


@given(situations(), MONEY, MONEY)
@settings(max_examples=400, deadline=None)
def test_less_money_never_chooses_more(situation: Any, one: int, other: int) -> None:
    """With less left, the chosen tier is never higher, and in the same tier max_tokens is never larger."""
    less, more = run(situation, left(min(one, other))), run(situation, left(max(one, other)))
    if isinstance(more, Refusal):
        assert isinstance(less, Refusal)
        return
    if isinstance(less, Refusal):
        assert less.code is RefusalCode.PRIORITY_REFUSED
        return
    assert less.level >= more.level
    poor, rich = less.offers[0], more.offers[0]
    assert rank(poor.tier) >= rank(rich.tier)
    if poor.tier == rich.tier:
        assert poor.max_tokens <= rich.max_tokens


@given(situations(), MONEY, MONEY)
@settings(max_examples=400, deadline=None)
def test_less_money_never_affords_more(situation: Any, one: int, other: int) -> None:
    """At one level of degradation, the first offer that fits is never a higher tier with less money."""
    outcomes = [run(situation, left(nanos)) for nanos in sorted((one, other))]
    if any(isinstance(outcome, Refusal) for outcome in outcomes) or outcomes[0].level != outcomes[1].level:
        return
    fitting = [
        next((offer for offer in outcome.offers if offer.cost_bound_nanos <= nanos), None)
        for outcome, nanos in zip(outcomes, sorted((one, other)), strict=True)
    ]
    poor, rich = fitting
    if poor is not None:
        assert rich is not None
        assert (rank(poor.tier), -poor.max_tokens) >= (rank(rich.tier), -rich.max_tokens)


@given(situations(), MONEY)
@settings(max_examples=400, deadline=None)
def test_offers_keep_every_constraint(situation: Any, nanos: int) -> None:
    """Floor, class, listed models, health, window and the asked maximum hold for every offer; bounds fall."""
    profile, policy, _, unhealthy = situation
    outcome = run(situation, left(nanos))
    if isinstance(outcome, Refusal):
        return
    floors = [profile.floor, "medium" if profile.task == "floored" else None]
    lowest = min((rank(floor) for floor in floors if floor is not None), default=2)
    private = "some" in profile.privacy or profile.task == "private"
    for offer in outcome.offers:
        assert offer.tier is not None
        assert rank(offer.tier) <= lowest
        assert offer.model in policy.tiers[offer.tier].models
        assert offer.model not in unhealthy
        assert not private or offer.model in policy.privacy["some"].models
        assert offer.max_tokens <= profile.max_tokens
        assert offer.waits
        if offer.model != profile.asked_model:
            facts = model_facts(offer.model)
            typical = profile.bound.expected_input_tokens(facts)
            assert typical + offer.max_tokens <= facts.context_tokens
            assert offer.max_tokens <= facts.max_output_tokens
    bounds = [offer.cost_bound_nanos for offer in outcome.offers]
    assert bounds == sorted(set(bounds), reverse=True)
    assert len(bounds) <= 6


@given(situations(), MONEY, st.none() | st.integers(1, 99))
@settings(max_examples=400, deadline=None)
def test_a_downgrade_never_raises_the_expected_cost_of_choice(
    situation: Any, nanos: int, percent: int | None
) -> None:
    """
    No lower tier is chosen or offered for money's sake at a higher expected cost than full quality, but where
    it is all that fits what is left, so that the call would be refused; then it comes last, and says so.
    """
    profile, policy, level, _ = situation
    healthy = (profile, policy, level, {})
    whole = run(healthy, Headroom())
    if isinstance(whole, Refusal):
        return
    best = whole.offers[0]
    if percent is not None:  # a part of what the call needs, where the choice is hard
        nanos = min(best.cost_bound_nanos * percent // 100, LIMIT)
    outcome = run(healthy, left(nanos))
    if isinstance(outcome, Refusal):
        return
    for offer in outcome.offers:
        lower = rank(offer.tier) > rank(best.tier) and best.max_tokens == profile.max_tokens
        dearer = lower and offer.expected_cost_nanos > best.expected_cost_nanos
        told = any(reason.code == "only_affordable" for reason in offer.reasons)
        assert told or not dearer
        if told:
            *others, last = outcome.offers
            assert offer is last
            assert rank(offer.tier) > rank(others[0].tier)
            assert offer.expected_cost_nanos > others[0].expected_cost_nanos
            assert offer.cost_bound_nanos <= nanos < min(other.cost_bound_nanos for other in others)


@given(situations(), MONEY)
@settings(max_examples=300, deadline=None)
def test_critical_calls_are_untouched_by_money(situation: Any, nanos: int) -> None:
    """An exempt call gets the same one offer at any budget."""
    poor, rich = run(situation, left(nanos)), run(situation, Headroom())
    if isinstance(rich, Choice) and rich.priority == "critical":
        assert isinstance(poor, Choice)
        assert len(poor.offers) == 1
        assert poor.offers == rich.offers


@given(situations() | situations("observe"), MONEY)
@settings(max_examples=300, deadline=None)
def test_stored_inputs_replay_to_the_same_choice(situation: Any, nanos: int) -> None:
    """choose(decode(encode(inputs))) is the same choice, and the choice itself survives storage."""
    profile, policy, level, unhealthy = situation
    inputs = Inputs(profile, left(nanos), level, unhealthy, NOW_US)
    outcome = run(situation, left(nanos))
    assert replay(from_json(Inputs, to_json(inputs)), policy, prices()) == outcome
    assert from_json(type(outcome), to_json(outcome)) == outcome


@given(situations("observe"), MONEY)
@settings(max_examples=300, deadline=None)
def test_observe_mode_refuses_and_degrades_nothing(situation: Any, nanos: int) -> None:
    """Whatever the money and the health, a named model goes out as asked."""
    profile = situation[0]
    outcome = run(situation, left(nanos))
    if profile.asked_model in MODELS:
        assert isinstance(outcome, Choice)
        (offer,) = outcome.offers
        assert (offer.model, offer.max_tokens) == (profile.asked_model, profile.max_tokens)


@given(policies(), st.floats(0, 1), st.floats(0, 1), st.integers(0, 4), st.booleans())
def test_level_falls_with_money_and_rests_within_the_band(
    policy: Policy, one: float, other: float, level: int, rested: bool
) -> None:
    """Less money never lowers the level; one that was reached stays at the same share, dwell or not."""
    poor, rich = sorted((one, other))
    assert active_steps(policy, poor, level, rested=rested) >= active_steps(
        policy, rich, level, rested=rested
    )
    reached = active_steps(policy, one, level, rested=rested)
    assert active_steps(policy, one, reached, rested=rested) == reached
    assert active_steps(policy, one, level, rested=False) >= active_steps(policy, one, level)
