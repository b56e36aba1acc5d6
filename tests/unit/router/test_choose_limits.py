"""
Where a call goes when something stands in the way: warm caches, windows, tools, outages; and observe mode.
"""

from typing import Any

import pytest

from router.types import (
    Cache,
    Choice,
    Hints,
    Refusal,
    RefusalCode,
)

NOW_US = 1_795_000_000_000_000


def first(outcome: Choice | Refusal) -> Any:
    """Give the best offer of a call that is routed."""
    assert isinstance(outcome, Choice), outcome
    return outcome.offers[0]


def codes(outcome: Choice | Refusal) -> list[str]:
    """Give the reasons of a call that is routed."""
    assert isinstance(outcome, Choice), outcome
    return [str(reason.code) for reason in outcome.reasons]


def long_session(turn_bytes: int) -> list[dict[str, Any]]:
    """Give a conversation whose long first turn is marked for the cache."""
    text = {"type": "text", "text": "x" * turn_bytes, "cache_control": {"type": "ephemeral"}}
    return [
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Go on."},
    ]


def test_a_downgrade_that_loses_a_warm_cache_is_not_made(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """80k tokens in the cache of Opus 5.5 cost $0.016 to read; Sonnet 5.5 would write them anew for $0.20."""
    request = profile(body(messages=long_session(250_000)), expected=1000)
    outcome = decide(request, money(0.6))
    assert first(outcome).model == "claude-opus-5-5"
    (kept,) = [reason for reason in outcome.reasons if reason.code == "downgrade_not_cheaper"]
    assert kept.numbers["switch_nanos"] > 5 * kept.numbers["stay_nanos"]
    assert first(outcome).expected_cost_nanos == kept.numbers["stay_nanos"]


def test_a_cold_cache_does_not_hold_a_session(body: Any, profile: Any, decide: Any, money: Any) -> None:
    """The same session is downgraded when its cache is known to be cold."""
    request = profile(body(messages=long_session(250_000)), expected=1000, cache=Cache())
    assert first(decide(request, money(0.6))).model == "claude-sonnet-5-5"


def test_a_session_is_not_pulled_back_from_where_its_cache_is(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """Told that an earlier turn was served by Sonnet, the router counts that cache, not one of Opus."""
    cache = Cache("claude-sonnet-5-5", 80_000)
    request = profile(body(messages=long_session(250_000)), expected=1000, cache=cache)
    assert first(decide(request, money(0.6))).model == "claude-sonnet-5-5"


def test_effort_and_max_tokens_still_fall_where_the_model_stays(
    body: Any, profile: Any, decide: Any, money: Any, policy_with: Any
) -> None:
    """The other levers of a step work also when a switch would not pay."""
    under = policy_with('effort = "medium"', 'effort = "low"\nmax_tokens = 1024')
    outcome = decide(profile(body(messages=long_session(250_000))), money(0.6), under=under)
    offer = first(outcome)
    assert (offer.model, offer.effort, offer.max_tokens) == ("claude-opus-5-5", "low", 1024)


def test_a_prompt_too_long_for_a_model_rules_it_out(
    body: Any, profile: Any, decide: Any, policy_with: Any
) -> None:
    """A window of 200k tokens does not take a prompt of about 250k; the next model that does is taken."""
    under = policy_with(
        '["claude-haiku-5-5", "claude-haiku-4-5"]', '["claude-haiku-4-5", "claude-haiku-5-5"]'
    )
    short = decide(profile(body("outlay/small"), under=under), under=under)
    assert first(short).model == "claude-haiku-4-5"
    text = [{"role": "user", "content": "word " * 200_000}]
    long = decide(profile(body("outlay/small", messages=text), under=under), under=under)
    assert first(long).model == "claude-haiku-5-5"


def test_a_prompt_too_long_for_every_model_is_refused(body: Any, profile: Any, decide: Any) -> None:
    """Where no window is large enough the caller left to us, the refusal says what was needed."""
    text = [{"role": "user", "content": "word " * 900_000}]
    refused = decide(profile(body("outlay/auto", messages=text)))
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.NO_MODEL_FITS
    assert "4500" in refused.message


def test_a_model_that_cannot_be_forced_to_a_tool_is_no_downgrade(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """Opus 5 can be forced and Sonnet 5.5 cannot: the fallback of its tier that can is taken."""
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    request = profile(body("claude-opus-5", tools=tools, tool_choice={"type": "any"}))
    assert first(decide(request, money(0.6))).model == "claude-sonnet-4-5"


def test_a_model_that_would_have_to_stop_thinking_is_no_downgrade(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """Haiku 4.5 cannot think beside a forced tool, so a call that wants both does not go there."""
    tools = {"tools": [{"name": "t", "input_schema": {}}], "thinking": {"type": "adaptive"}}
    forced = {**tools, "tool_choice": {"type": "any"}}
    unhealthy = {"claude-haiku-5-5": NOW_US + 1_000_000}
    free = decide(profile(body("claude-opus-5", **tools)), money(0.9), unhealthy=unhealthy)
    assert first(free).model == "claude-haiku-4-5"
    kept = decide(profile(body("claude-opus-5", **forced)), money(0.9), unhealthy=unhealthy)
    assert first(kept).model == "claude-opus-5"
    assert "downgrade_not_possible" in codes(kept)


def test_an_asked_region_is_never_lost(body: Any, profile: Any, decide: Any, money: Any) -> None:
    """A model that cannot be held to the region that the body names is no candidate."""
    request = profile(body("outlay/medium", inference_geo="us"))
    outcome = decide(request, unhealthy={"claude-sonnet-5-5": NOW_US + 1_000_000})
    assert first(outcome).model == "claude-haiku-5-5"


def test_fallbacks_of_the_body_stay_inside_the_allowed_models(body: Any, profile: Any, decide: Any) -> None:
    """A server-side fallback to a model that the policy does not list is refused."""
    outcome = decide(profile(body(fallbacks=[{"model": "claude-opus-4-8"}])))
    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.MODEL_NOT_ALLOWED


OPEN = NOW_US + 20_500_000


def test_a_model_out_of_service_is_skipped(body: Any, profile: Any, decide: Any) -> None:
    """The next of the tier serves, then the next tier down, each with its reason."""
    request = profile(body())
    beside = decide(request, unhealthy={"claude-opus-5-5": OPEN})
    assert first(beside).model == "claude-opus-5"
    assert "provider_unhealthy" in codes(beside)
    (told,) = (reason.text for reason in beside.reasons if reason.code == "provider_unhealthy")
    assert "is out of service, or has just failed in this call; claude-opus-5 serves" in told
    below = decide(request, unhealthy={"claude-opus-5-5": OPEN, "claude-opus-5": OPEN})
    assert (first(below).model, first(below).tier) == ("claude-sonnet-5-5", "medium")


def test_an_outage_never_breaks_the_floor(body: Any, profile: Any, decide: Any) -> None:
    """With every allowed model out of service the call is refused until the first comes back."""
    request = profile(body("outlay/auto"), hints=Hints(task="safety-check"))
    unhealthy = {"claude-sonnet-5-5": OPEN, "claude-sonnet-4-5": OPEN + 10**7, "claude-haiku-4-5": NOW_US + 1}
    refused = decide(request, unhealthy=unhealthy)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.retry_after_s) == (RefusalCode.BREAKER_OPEN, 21)


def test_a_breaker_whose_time_has_passed_counts_as_closed(body: Any, profile: Any, decide: Any) -> None:
    """The instant of reopening belongs to the time in service."""
    assert first(decide(profile(body()), unhealthy={"claude-opus-5-5": NOW_US})).model == "claude-opus-5-5"


def test_tier_limits_are_ceilings(body: Any, profile: Any, decide: Any, policy_with: Any) -> None:
    """A tier caps effort and max_tokens; its effort is the setting only of calls that name neither."""
    under = policy_with(
        'models = ["claude-opus-5-5", "claude-opus-5"]',
        'models = ["claude-opus-5-5", "claude-opus-5"]\neffort = "high"\nmax_tokens = 2000',
    )
    capped = first(decide(profile(body(output_config={"effort": "max"})), under=under))
    assert (capped.effort, capped.max_tokens) == ("high", 2000)
    assert [reason.code for reason in capped.reasons] == ["tier_limit"]
    assert first(decide(profile(body()), under=under)).effort == "medium"
    assert first(decide(profile(body("outlay/large")), under=under)).effort == "high"


def test_a_switch_never_raises_an_unset_effort(body: Any, profile: Any, decide: Any, money: Any) -> None:
    """Opus 5.5 works at medium by default and Sonnet 5.5 at high; the downgrade asks for medium."""
    assert first(decide(profile(body()), money(0.6))).effort == "medium"


def test_counterfactual_is_the_price_of_what_was_asked(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """The road not taken is the asked model at full max_tokens, also when the task table lowered it."""
    outcome = decide(profile(body(), hints=Hints(task="crm/x")), money(0.9))
    whole = first(decide(profile(body())))
    assert outcome.counterfactual.model == "claude-opus-5-5"
    assert outcome.counterfactual.expected_cost_nanos == whole.expected_cost_nanos
    assert outcome.counterfactual.cost_bound_nanos == whole.cost_bound_nanos


@pytest.fixture
def observing(policy_with: Any) -> Any:
    """The policy in observe mode."""
    return policy_with("[degradation]\n", '[enforcement]\nmode = "observe"\n\n[degradation]\n')


def test_observe_serves_what_was_asked_and_says_what_would_have_been(
    body: Any, profile: Any, decide: Any, money: Any, observing: Any
) -> None:
    """Nothing is degraded; level, offer and reasons of enforcement are recorded."""
    outcome = decide(profile(body()), money(0.9), under=observing)
    assert len(outcome.offers) == 1
    assert (first(outcome).model, first(outcome).max_tokens) == ("claude-opus-5-5", 4096)
    assert outcome.would.level == 2
    assert outcome.would.offer.model == "claude-haiku-5-5"
    assert "degraded" in [reason.code for reason in outcome.would.reasons]
    told = "observed only: enforcement would have offered claude-haiku-5-5 with max_tokens "
    assert outcome.reasons[-1].text.startswith(told)


@pytest.mark.parametrize(
    ("fields", "hints", "spent", "code"),
    [
        ({}, Hints(), 0.99, RefusalCode.PRIORITY_REFUSED),
        ({"model": "claude-opus-4-8"}, Hints(), 0.0, RefusalCode.MODEL_NOT_ALLOWED),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            Hints(),
            0.0,
            RefusalCode.UNBOUNDED_REQUEST,
        ),
    ],
)
def test_observe_refuses_nothing_that_can_be_sent(
    body: Any,
    profile: Any,
    decide: Any,
    money: Any,
    observing: Any,
    fields: Any,
    hints: Any,
    spent: float,
    code: Any,
) -> None:
    """Refusals of the policy are recorded, the call goes out."""
    request = body(**fields)
    outcome = decide(profile(request), money(spent), under=observing)
    assert first(outcome).model == request["model"]
    assert outcome.would.refusal.code is code
    told = f"observed only: enforcement would have refused this call ({code})"
    assert outcome.reasons[-1].text == told


def test_observe_refuses_a_model_without_a_price(
    body: Any, profile: Any, decide: Any, observing: Any
) -> None:
    """What nobody knows cannot be paid for, observed or not."""
    outcome = decide(profile(body("gpt-5")), under=observing)
    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.UNKNOWN_MODEL


def test_observe_routes_what_names_no_model(body: Any, profile: Any, decide: Any, observing: Any) -> None:
    """A task's tier is not a downgrade, so it is served."""
    outcome = decide(profile(body("outlay/auto"), hints=Hints(task="crm/x")), under=observing)
    assert first(outcome).model == "claude-haiku-5-5"
