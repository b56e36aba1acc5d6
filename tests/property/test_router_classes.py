"""
What holds for every class, role and prediction: classifiers stay within what owner, caller and scores allow.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from router_properties import NOW_US, TIERS, prices, rank

from router.choose import choose
from router.classify import profile_request
from router.codec import Inputs, from_json, replay, to_json
from router.complexity import Complexity, assess, points
from router.policy import Policy, load_policy
from router.types import (
    Choice,
    Counts,
    Evidence,
    Headroom,
    Hints,
    Known,
    Prediction,
    Profile,
    Rights,
    Said,
    Signals,
)

MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
LEVELS = st.sampled_from([None, "low", "medium", "high"])


@cache
def policy_of(kind: str, mapped: tuple[str | None, ...], role: str, floor: str) -> Policy:
    """Three tiers of one model each, one classifier, one role, one task with a floor."""
    entries = "".join(
        f'{name} = {{ tier = "{tier}" }}\n'
        for name, tier in zip(Complexity, mapped, strict=True)
        if tier is not None
    )
    tiers = "".join(f'[tiers.{t}]\nmodels = ["{m}"]\n' for t, m in zip(TIERS, MODELS, strict=True))
    return load_policy(
        f"""{tiers}
        [routing]
        default_tier = "medium"
        classifier = "{kind}"
        [routing.tasks]
        "floored" = {{ floor = "{floor}" }}
        [routing.roles]
        actor = {{ tier = "{role}" }}
        [routing.complexity]
        {entries}
        """
    )


SAID = st.builds(
    Said,
    complexity=st.sampled_from([None, *Complexity]).map(lambda kind: None if kind is None else str(kind)),
    output_words=st.none() | st.integers(0, 3_000),
    revision=st.none() | st.integers(0, 10),
    reasoning=LEVELS,
    context=LEVELS,
)
SIGNALS = st.builds(
    Signals,
    context_bytes=st.integers(0, 500_000),
    turns=st.integers(0, 40),
    documents=st.integers(0, 5),
    images=st.integers(0, 5),
    tools=st.integers(0, 20),
    thinking=st.booleans(),
    questions=st.integers(0, 10),
    code_blocks=st.integers(0, 4),
    output_words=st.none() | st.integers(0, 3_000),
    said=SAID,
)
PREDICTIONS = st.none() | st.builds(
    Prediction,
    source=st.sampled_from(["learned", "llm"]),
    version=st.just("v"),
    gain=st.none() | st.floats(-1, 1),
    tier=st.sampled_from([None, *TIERS, "gone"]),
)
POLICIES = st.builds(
    policy_of,
    st.sampled_from(["table", "complexity", "learned", "llm"]),
    st.tuples(*[st.sampled_from([None, *TIERS])] * 5),
    st.sampled_from(TIERS),
    st.sampled_from(TIERS),
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[Profile, Policy, Known]:
    """Any call under any policy."""
    policy = draw(POLICIES)
    model = draw(st.sampled_from(["outlay/auto", *(f"outlay/{tier}" for tier in TIERS), *MODELS]))
    body = {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": "x"}]}
    hints = Hints(
        task=draw(st.sampled_from([None, "floored", "other"])),
        role=draw(st.sampled_from([None, "actor", "other"])),
    )
    loose = Rights(loosen=draw(st.booleans()))
    made = profile_request(body, hints, loose, policy, expected_output_tokens=100)
    assert isinstance(made, Profile)
    made = replace(made, signals=draw(SIGNALS), prediction=draw(PREDICTIONS))
    proof = Counts(1000, draw(st.sampled_from([0, 500])))
    evidence = draw(st.sampled_from([None, Evidence("c", dict.fromkeys(MODELS, proof))]))
    return made, policy, Known(evidence=evidence)


def decided(profile: Profile, policy: Policy, known: Known) -> Choice:
    """The choice with money to spare."""
    outcome = choose(profile, Headroom(), policy, prices(), level=0, unhealthy={}, now_us=NOW_US, known=known)
    assert isinstance(outcome, Choice)
    return outcome


def named_rank(profile: Profile) -> int | None:
    """Tier that the call names; None where it leaves it to the router."""
    if profile.asked_model == "outlay/auto":
        return None
    if profile.asked_model in MODELS:
        return MODELS.index(profile.asked_model)
    return rank(profile.asked_model.removeprefix("outlay/"))


@given(calls())
@settings(max_examples=400, deadline=None)
def test_classifiers_stay_within_bounds(call: tuple[Profile, Policy, Known]) -> None:
    """A floor holds; a named tier is not exceeded but for a floor; a role is not undercut."""
    profile, policy, known = call
    served = rank(decided(profile, policy, known).offers[0].tier)
    floor = rank(policy.routing.tasks["floored"].floor) if profile.task == "floored" else len(TIERS)
    named = named_rank(profile)
    assert served <= floor
    if named is not None:
        assert served >= min(named, floor)
    if profile.role == "actor":
        role = rank(policy.routing.roles["actor"].tier)
        assert served <= (role if named is None else max(role, named))


@given(calls())
@settings(max_examples=400, deadline=None)
def test_predictions_lower_nothing_without_proof(call: tuple[Profile, Policy, Known]) -> None:
    """Where scores prove nothing, a learned or LLM classifier serves no lower tier than the names mean."""
    profile, policy, known = call
    if policy.routing.classifier not in ("learned", "llm"):
        return
    proven = known.evidence is not None and known.evidence.models[MODELS[0]].failed == 0
    outcome = decided(profile, policy, known)
    named = named_rank(profile)
    base = rank("medium") if named is None else named
    if not proven:
        assert rank(outcome.offers[0].tier) <= base
    assert rank(outcome.asked_tier) <= base


@given(SIGNALS, st.booleans(), st.integers(1, 32_000))
def test_what_is_said_never_makes_a_call_harder_without_the_right_to(
    signals: Signals, may_raise: bool, max_tokens: int
) -> None:
    """The class is that of the request or lower; with the right it is what was said."""
    found = assess(signals, max_tokens, may_raise=may_raise)
    if not may_raise:
        assert found.kind.rank <= found.seen.rank
    elif signals.said.complexity is not None:
        assert found.kind == signals.said.complexity


@given(SIGNALS, st.integers(1, 32_000), st.integers(0, 200_000))
def test_more_of_anything_never_makes_a_call_easier(signals: Signals, max_tokens: int, more: int) -> None:
    """Points grow with every count."""
    for name in ("context_bytes", "turns", "documents", "images", "tools", "questions", "code_blocks"):
        larger: Any = replace(signals, **{name: getattr(signals, name) + more})
        assert sum(points(larger, max_tokens).values()) >= sum(points(signals, max_tokens).values())


@given(calls())
@settings(max_examples=200, deadline=None)
def test_classified_calls_replay(call: tuple[Profile, Policy, Known]) -> None:
    """Signals, prediction and evidence survive being stored, and give the same choice again."""
    profile, policy, known = call
    stored = to_json(Inputs(profile, Headroom(), 0, {}, NOW_US, known))
    assert to_json(replay(from_json(Inputs, stored), policy, prices())) == to_json(
        decided(profile, policy, known)
    )
