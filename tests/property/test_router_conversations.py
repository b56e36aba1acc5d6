"""
What holds for every conversation, at every money, paced or not: constraints stand, exempt and pinned calls
are served as asked, a signal never leads down, and less money never buys more.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from router_properties import LIMIT, MODELS, NOW_US, TIERS, USD, left, prices, rank

from router.choose import choose
from router.classify import profile_request
from router.codec import Inputs, from_json, replay, to_json
from router.demand import Outlook, Pace, PaceState
from router.policy import Policy, load_policy
from router.policy_model import Enforcement
from router.types import (
    Cache,
    Choice,
    Headroom,
    Hints,
    Known,
    Prediction,
    Profile,
    Refusal,
    Rights,
    SessionState,
)
from router.worth import bin_of, price_curve

HOUR_US = 3_600 * 1_000_000
TIER_OF = {model: TIERS[place // 2] for place, model in enumerate(MODELS)}
PRIVATE = ("claude-opus-4-5", "claude-sonnet-5-5", "claude-haiku-4-5")
EFFORTS = st.sampled_from([None, "low", "medium", "high"])
CURVE = price_curve({bin_of(300): 300, bin_of(40): 300, bin_of(1): 400})


@cache
def policy_of(mode: str, levers: str, kind: str, sessions: str) -> Policy:
    """Three tiers of two models; steps, a classifier, a role, a floor and a privacy class."""
    tiers = "".join(
        f'[tiers.{tier}]\nmodels = ["{MODELS[2 * place]}", "{MODELS[2 * place + 1]}"]\n'
        for place, tier in enumerate(TIERS)
    )
    return load_policy(
        f"""{tiers}
        [routing]
        default_tier = "large"
        classifier = "{kind}"
        [routing.tasks]
        "floored" = {{ floor = "medium" }}
        "cheap" = {{ tier = "small" }}
        "vital" = {{ priority = "critical" }}
        "private" = {{ privacy = "some" }}
        [routing.roles]
        actor = {{ tier = "medium" }}
        [routing.complexity]
        trivial = {{ tier = "small", max_tokens = 500 }}
        standard = {{ tier = "medium" }}
        expert = {{ tier = "large" }}
        [routing.sessions]
        {sessions}
        [privacy.some]
        models = ["{PRIVATE[0]}", "{PRIVATE[1]}", "{PRIVATE[2]}"]
        [degradation]
        mode = "{mode}"
        [degradation.pace]
        {levers}
        [[degradation.steps]]
        below = 0.5
        map = {{ large = "medium", medium = "small" }}
        [[degradation.steps]]
        below = 0.2
        max_tier = "small"
        max_tokens = 1000
        """
    )


POLICIES = st.builds(
    policy_of,
    st.sampled_from(["steps", "pace", "off"]),
    st.sampled_from(["", 'effort = "low"', "max_tokens = 800", "refuse = []"]),
    st.sampled_from(["table", "complexity"]),
    st.sampled_from(["", "sticky = false", "expected_turns = 40", 'escalate_to = "large"']),
)


@st.composite
def profiles(draw: st.DrawFn, policy: Policy) -> Profile:
    """A call that begins a conversation or goes on with one, its cache warm or cold."""
    text = {"type": "text", "text": "x" * draw(st.sampled_from([10, 9_000, 150_000]))}
    if draw(st.booleans()):
        text["cache_control"] = {"type": "ephemeral"}  # type: ignore[assignment]
    messages: list[Any] = [{"role": "user", "content": [text]}]
    goes_on = draw(st.booleans())
    if goes_on:
        messages += [{"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]
    asked = draw(st.sampled_from([*MODELS, "outlay/auto", "outlay/auto", *(f"outlay/{t}" for t in TIERS)]))
    tokens = draw(st.sampled_from([300, 2_000, 16_000]))
    hints = Hints(
        task=draw(st.sampled_from([None, "floored", "cheap", "vital", "private"])),
        role=draw(st.sampled_from([None, "actor"])),
        priority=draw(st.sampled_from([None, "critical", "low"])),
        pin=draw(st.sampled_from([False, False, True])),
        complexity=draw(st.sampled_from([None, "trivial", "standard", "expert"])),
    )
    last = draw(st.sampled_from(MODELS))
    made = profile_request(
        {"model": asked, "max_tokens": tokens, "messages": messages},
        hints,
        Rights(loosen=draw(st.sampled_from([True, True, False]))),
        policy,
        expected_output_tokens=draw(st.sampled_from([10, 400, 4_000])),
        cache=Cache(last, draw(st.sampled_from([0, 5_000, 40_000]))) if goes_on else None,
        session_state=draw(states(asked, last)) if goes_on else None,
    )
    assert isinstance(made, Profile), made
    gain = draw(st.sampled_from([None, None, -0.1, 0.0, 0.02, 0.5]))
    return made if gain is None else replace(made, prediction=Prediction("learned", "v", gain=gain))


@st.composite
def states(draw: st.DrawFn, asked: str, last: str) -> SessionState:
    """What a conversation was served with, with and without signals."""
    return SessionState(
        turns=1,
        model=last,
        tier=TIER_OF[last],
        effort=draw(EFFORTS),
        wanted_effort=draw(EFFORTS),
        asked_model=draw(st.sampled_from([asked, asked, "outlay/auto"])),
        task=draw(st.sampled_from([None, "vital", "cheap"])),
        routed_tier=draw(st.sampled_from([None, *TIERS])),
        escalated=draw(st.sampled_from([False, False, True])),
        score_ppm=draw(st.sampled_from([None, 0, 900_000])),
        retried=draw(st.booleans()),
        tool_errors=draw(st.sampled_from([0, 3])),
    )


@st.composite
def paces(draw: st.DrawFn) -> Pace | None:
    """A projection of the day, or none."""
    if draw(st.booleans()):
        return None
    asked = draw(st.sampled_from([0, USD, 10 * USD, 60 * USD]))
    outlook = Outlook("tenant/day", 0.5, asked, asked // 5, asked // 4, 10**7, NOW_US + 9 * HOUR_US, True)
    state = PaceState(draw(st.integers(0, 6)), NOW_US - draw(st.sampled_from([0, HOUR_US])))
    return Pace(9, (outlook,), (1.0, 0.6, 0.2), draw(st.sampled_from([(), CURVE])), state)


Situation = tuple[Profile, Policy, int, dict[str, int], Known]


@st.composite
def situations(draw: st.DrawFn, *, outages: bool = True) -> Situation:
    """A call, its policy, the level before, models out of service, and what is known."""
    policy = draw(POLICIES)
    out = draw(st.sets(st.sampled_from(MODELS), max_size=3)) if outages else set()
    known = Known(pace=draw(paces()), level_since_us=draw(st.sampled_from([None, NOW_US])))
    return (
        draw(profiles(policy)),
        policy,
        draw(st.integers(0, 2)),
        dict.fromkeys(sorted(out), NOW_US + 9),
        known,
    )


def run(situation: Situation, money: Headroom) -> Choice | Refusal:
    """Choose in a situation."""
    profile, policy, level, unhealthy, known = situation
    return choose(
        profile, money, policy, prices(), level=level, unhealthy=unhealthy, now_us=NOW_US, known=known
    )


MONEY = st.integers(0, LIMIT) | st.sampled_from([0, 10**5, 10**8, 10**9, LIMIT])


@given(situations(), MONEY)
@settings(max_examples=400, deadline=None)
def test_no_path_leaves_the_constraints(situation: Situation, nanos: int) -> None:
    """Sessions, signals, pace and shortage serve only listed, allowed, healthy models down to the floor."""
    profile, policy, _, unhealthy, _ = situation
    outcome = run(situation, left(nanos))
    if isinstance(outcome, Refusal):
        return
    for offer in outcome.offers:
        assert offer.tier is not None
        assert offer.model in policy.tiers[offer.tier].models
        assert offer.model not in unhealthy
        assert profile.task != "private" or offer.model in PRIVATE
        assert profile.task != "floored" or rank(offer.tier) <= rank("medium")
        assert offer.max_tokens <= profile.max_tokens


@given(situations(), MONEY)
@settings(max_examples=400, deadline=None)
def test_neither_money_nor_pace_changes_an_exempt_or_pinned_call(situation: Situation, nanos: int) -> None:
    """A critical call and a pinned one get the same one offer at any money."""
    poor, rich = run(situation, left(nanos)), run(situation, Headroom())
    if isinstance(rich, Refusal):
        return
    pinned = any(reason.code == "pinned" for reason in rich.reasons)
    if rich.priority == "critical" or pinned:
        if isinstance(poor, Refusal):
            assert pinned
            assert rich.priority == "low"
            return
        assert poor.offers == rich.offers
        assert len(poor.offers) == 1
    if pinned:
        assert rich.offers[0].model == situation[0].asked_model


@given(situations(), MONEY)
@settings(max_examples=600, deadline=None)
def test_a_signal_never_leads_down(situation: Situation, nanos: int) -> None:
    """A failed check, a retry and failing tools serve no lower tier than the same call without them."""
    profile = situation[0]
    if profile.session_state is None:
        return
    quiet = replace(profile.session_state, score_ppm=None, retried=False, tool_errors=0)
    without = run((replace(profile, session_state=quiet), *situation[1:]), left(nanos))
    outcome = run(situation, left(nanos))
    if isinstance(without, Refusal) or isinstance(outcome, Refusal):
        assert type(without) is type(outcome)
        return
    assert rank(outcome.offers[0].tier) <= rank(without.offers[0].tier)


@given(situations(), MONEY, MONEY)
@settings(max_examples=600, deadline=None)
def test_less_money_never_chooses_more(situation: Situation, one: int, other: int) -> None:
    """
    With less left a conversation, paced or not, is not served from a higher tier, unless it costs less there:
    a cap on max_tokens can make it dearer to write its cache anew than to stay.
    """
    less, more = run(situation, left(min(one, other))), run(situation, left(max(one, other)))
    if isinstance(less, Refusal) or isinstance(more, Refusal):
        assert isinstance(less, Refusal)
        return
    scarce, ample = less.offers[0], more.offers[0]
    saves = scarce.expected_cost_nanos < ample.expected_cost_nanos
    assert rank(scarce.tier) >= rank(ample.tier) or saves


@given(situations(outages=False), MONEY)
@settings(max_examples=600, deadline=None)
def test_every_downgrade_is_told_and_saves(situation: Situation, nanos: int) -> None:
    """What money lowers has a reason that says so, and outside of conversations it never costs more."""
    outcome, ample = run(situation, left(nanos)), run(situation, Headroom())
    if isinstance(outcome, Refusal) or isinstance(ample, Refusal):
        return
    served, best = outcome.offers[0], ample.offers[0]
    codes = {str(reason.code) for reason in (*outcome.reasons, *served.reasons)}
    if rank(served.tier) > rank(best.tier):
        assert codes & {"degraded", "paced", "affordability"}
        if situation[0].session_state is None:
            assert served.expected_cost_nanos <= best.expected_cost_nanos
    if served.max_tokens < best.max_tokens or served.effort != best.effort:
        assert codes & {"degraded", "paced", "affordability", "tier_limit"}


@given(situations(), MONEY)
@settings(max_examples=300, deadline=None)
def test_what_is_only_observed_is_served_as_asked(situation: Situation, nanos: int) -> None:
    """Money, pace, class, outage and conversation change nothing of an observed call, and refuse none."""
    profile, policy, *rest = situation
    watching = policy.model_copy(update={"enforcement": Enforcement(mode="observe")})
    outcome = run((profile, watching, *rest), left(nanos))
    assert isinstance(outcome, Choice)
    (offer,) = outcome.offers
    assert outcome.would is not None
    if profile.asked_model in MODELS:
        assert (offer.model, offer.max_tokens) == (profile.asked_model, profile.max_tokens)
    elif profile.asked_model != "outlay/auto":
        floor = "medium" if profile.task == "floored" else "small"
        assert rank(offer.tier) == min(rank(profile.asked_model.removeprefix("outlay/")), rank(floor))
        assert offer.max_tokens == profile.max_tokens


@given(situations(), MONEY)
@settings(max_examples=300, deadline=None)
def test_conversations_replay(situation: Situation, nanos: int) -> None:
    """What is stored of a conversation and of the pace gives the same choice again."""
    profile, policy, level, unhealthy, known = situation
    stored = to_json(Inputs(profile, left(nanos), level, unhealthy, NOW_US, known))
    again = replay(from_json(Inputs, stored), policy, prices())
    assert again == run(situation, left(nanos))
    assert to_json(again) == to_json(run(situation, left(nanos)))
