"""
Where a call goes, and why: names, constraints, steps, health, observe mode.
"""

from typing import Any

import pytest

from router.types import (
    Budget,
    Cache,
    Choice,
    Headroom,
    Hints,
    Priority,
    Refusal,
    RefusalCode,
    Rights,
)

NOW_US = 1_795_000_000_000_000
USD = 1_000_000_000
LOOSE = Rights(loosen=True)


def first(outcome: Choice | Refusal) -> Any:
    """Give the best offer of a call that is routed."""
    assert isinstance(outcome, Choice), outcome
    return outcome.offers[0]


def codes(outcome: Choice | Refusal) -> list[str]:
    """Give the reasons of a call that is routed."""
    assert isinstance(outcome, Choice), outcome
    return [str(reason.code) for reason in outcome.reasons]


@pytest.mark.parametrize(
    ("model", "task", "served", "tier", "why"),
    [
        ("claude-opus-5-5", None, "claude-opus-5-5", "large", "asked_model"),
        ("claude-opus-5", None, "claude-opus-5", "large", "asked_model"),
        ("claude-haiku-4-5-20251001", None, "claude-haiku-4-5", "small", "asked_model"),
        ("outlay/large", None, "claude-opus-5-5", "large", "asked_tier"),
        ("outlay/auto", None, "claude-sonnet-5-5", "medium", "unrouted_task"),
        ("outlay/auto", "unheard-of", "claude-sonnet-5-5", "medium", "unrouted_task"),
        ("outlay/auto", "content/blog-post", "claude-opus-5-5", "large", "task_route"),
        ("outlay/auto", "crm/call", "claude-haiku-5-5", "small", "task_route"),
        ("outlay/auto", "crm/mail/any", "claude-sonnet-5-5", "medium", "task_route"),
        ("outlay/auto", "crm/mail/legal", "claude-opus-5-5", "large", "task_route"),
        ("claude-opus-5-5", "crm/call", "claude-haiku-5-5", "small", "task_route"),
        ("claude-haiku-5-5", "content/blog-post", "claude-haiku-5-5", "small", "asked_model"),
        ("outlay/small", "content/blog-post", "claude-haiku-5-5", "small", "asked_tier"),
    ],
)
def test_base_tier_comes_from_model_tier_or_task(
    body: Any, profile: Any, decide: Any, model: str, task: str | None, served: str, tier: str, why: str
) -> None:
    """A named model keeps its tier, a task has its own, and of the two the cheaper wins."""
    outcome = decide(profile(body(model), hints=Hints(task=task)))
    assert (first(outcome).model, first(outcome).tier) == (served, tier)
    assert why in codes(outcome)


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [
        ("claude-opus-5.5", RefusalCode.UNKNOWN_MODEL, "claude-opus-5-5"),
        ("outlay/larg", RefusalCode.UNKNOWN_MODEL, "outlay/large"),
        ("gpt-5", RefusalCode.UNKNOWN_MODEL, "outlay/auto"),
        ("claude-opus-4-8", RefusalCode.MODEL_NOT_ALLOWED, "outlay/large"),
    ],
)
def test_a_model_that_is_unknown_or_unlisted_is_refused(
    body: Any, profile: Any, decide: Any, model: str, code: RefusalCode, says: str
) -> None:
    """A model outside the tiers is never served, and the refusal says what to ask for."""
    outcome = decide(profile(body(model)))
    assert isinstance(outcome, Refusal)
    assert outcome.code is code
    assert says in outcome.message


def test_unlisted_model_may_be_served_from_the_default_tier(
    body: Any, profile: Any, decide: Any, policy_with: Any
) -> None:
    """The owner may map unlisted models to the default tier; the reason says so."""
    under = policy_with(
        'default_tier = "medium"', 'default_tier = "medium"\nunlisted_models = "default_tier"'
    )
    outcome = decide(profile(body("claude-opus-4-8")), under=under)
    assert first(outcome).model == "claude-sonnet-5-5"
    assert "unlisted_model" in codes(outcome)


def test_floor_of_a_task_raises_a_lower_ask(body: Any, profile: Any, decide: Any) -> None:
    """The floor of a task is a hard constraint, also for a caller that names a cheaper model."""
    outcome = decide(profile(body("claude-haiku-5-5"), hints=Hints(task="safety-check")))
    assert first(outcome).model == "claude-sonnet-5-5"
    assert "floor" in codes(outcome)


def test_floor_hint_needs_the_right_to_loosen(body: Any, profile: Any, decide: Any, money: Any) -> None:
    """A header cannot keep a call expensive unless its key may."""
    hints = Hints(floor="large")
    without = decide(profile(body(), hints=hints), money(0.9))
    assert first(without).tier == "small"
    assert codes(without)[0] == "hint_not_allowed"
    with_right = decide(profile(body(), hints=hints, rights=LOOSE), money(0.9))
    assert first(with_right).tier == "large"
    assert "floor" in codes(with_right)


def test_unknown_floor_is_refused(body: Any, profile: Any, decide: Any) -> None:
    """A floor that is no tier is an error, not silence."""
    outcome = decide(profile(body(), hints=Hints(floor="huge"), rights=LOOSE))
    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.INVALID_HINT


@pytest.mark.parametrize(
    ("task", "hint", "rights", "priority"),
    [
        (None, None, Rights(), Priority.NORMAL),
        (None, "low", Rights(), Priority.LOW),
        (None, "critical", Rights(), Priority.NORMAL),
        (None, "critical", LOOSE, Priority.CRITICAL),
        ("safety-check", None, Rights(), Priority.CRITICAL),
        ("safety-check", "low", Rights(), Priority.LOW),
        ("safety-check", "high", Rights(), Priority.HIGH),
    ],
)
def test_priority_can_only_fall_without_the_right(
    body: Any,
    profile: Any,
    decide: Any,
    task: str | None,
    hint: str | None,
    rights: Rights,
    priority: Priority,
) -> None:
    """A header may lower the priority of its task; raising it needs the right."""
    outcome = decide(profile(body("outlay/auto"), hints=Hints(task=task, priority=hint), rights=rights))
    assert outcome.priority is priority
    assert ("hint_not_allowed" in codes(outcome)) == (hint == "critical" and not rights.loosen)


def test_privacy_class_limits_models_whatever_the_budget(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """A task of a class goes up to a model of the class, and never down to another."""
    outcome = decide(profile(body("outlay/auto"), hints=Hints(task="patients")), money(0.94))
    assert first(outcome).model == "claude-sonnet-5-5"
    assert {offer.model for offer in outcome.offers} == {"claude-sonnet-5-5"}
    assert "constraint" in codes(outcome)


def test_privacy_classes_add_up(body: Any, profile: Any, decide: Any) -> None:
    """A call that belongs to two classes is served only by what both allow."""
    request = profile(body(), hints=Hints(privacy="law"), rights=Rights(privacy="health"))
    assert first(decide(request)).model == "claude-sonnet-5-5"


def test_unbounded_request_is_refused_naming_each_field(body: Any, profile: Any, decide: Any) -> None:
    """A request without a cost bound is refused, unless its task has a ceiling, which is then held."""
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    refused = decide(profile(body(tools=tools)))
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.UNBOUNDED_REQUEST
    assert "tools" in refused.message
    outcome = decide(profile(body(tools=tools), hints=Hints(task="research")))
    assert all(offer.cost_bound_nanos >= 2 * USD for offer in outcome.offers)
    assert "unbounded_ceiling" in codes(outcome)


@pytest.mark.parametrize(
    ("spent", "level", "served", "tier", "active"),
    [
        (0.0, 0, "claude-opus-5-5", "large", 0),
        (0.50, 0, "claude-opus-5-5", "large", 0),
        (0.51, 0, "claude-sonnet-5-5", "medium", 1),
        (0.48, 1, "claude-sonnet-5-5", "medium", 1),
        (0.47, 1, "claude-opus-5-5", "large", 0),
        (0.80, 0, "claude-sonnet-5-5", "medium", 1),
        (0.81, 0, "claude-haiku-5-5", "small", 2),
        (0.78, 2, "claude-haiku-5-5", "small", 2),
        (0.77, 2, "claude-sonnet-5-5", "medium", 1),
        (0.30, 9, "claude-opus-5-5", "large", 0),
    ],
)
def test_steps_apply_below_their_threshold_and_leave_above_it_plus_hysteresis(
    body: Any,
    profile: Any,
    decide: Any,
    money: Any,
    spent: float,
    level: int,
    served: str,
    tier: str,
    active: int,
) -> None:
    """A step begins strictly under its threshold and ends at the threshold plus the hysteresis."""
    outcome = decide(profile(body()), money(spent), level=level)
    assert (first(outcome).model, first(outcome).tier, outcome.level) == (served, tier, active)


def test_a_step_at_the_full_budget_can_be_left(
    body: Any, profile: Any, decide: Any, money: Any, policy_with: Any
) -> None:
    """The hysteresis never asks for more than the whole budget."""
    under = policy_with("below = 0.50", "below = 1.0")
    assert decide(profile(body()), money(0.0), under=under, level=1).level == 0


def test_degradation_reason_names_the_gauge_and_its_numbers(body: Any, profile: Any, decide: Any) -> None:
    """The smallest share over budgets and credits decides, with calls in flight at their expected cost."""
    budgets = (
        Budget("tenant/day", 100 * USD, 10 * USD),
        Budget("key:k1/day", 10 * USD, 4 * USD, held_nanos=6 * USD, expected_held_nanos=2 * USD),
        Budget("task:none/day", None, 10**12),
    )
    money = Headroom(budgets, 50 * USD, 49 * USD, 100 * USD)
    outcome = decide(profile(body()), money)
    (reason,) = [reason for reason in outcome.reasons if reason.code == "degraded"]
    assert outcome.gauge == "key:k1/day"
    assert outcome.ratio == pytest.approx(0.4)
    assert reason.numbers["limit_nanos"] == 10 * USD
    assert reason.numbers["spent_nanos"] == 4 * USD
    assert reason.numbers["expected_held_nanos"] == 2 * USD
    assert reason.numbers["below"] == 0.5
    assert "key:k1/day has 40.0% left" in reason.text


def test_credits_are_a_gauge_only_where_full_is_known(body: Any, profile: Any, decide: Any) -> None:
    """Credits decide by their share of `credit_full`, and not at all without one."""
    low = Headroom((), 10 * USD, 9 * USD, 100 * USD)
    assert (decide(profile(body()), low).gauge, decide(profile(body()), low).level) == ("credit", 2)
    unknown = Headroom((), 10 * USD, 9 * USD, None)
    assert (decide(profile(body()), unknown).gauge, decide(profile(body()), unknown).level) == (None, 0)


def test_a_budget_of_zero_has_nothing_left(body: Any, profile: Any, decide: Any, money: Any) -> None:
    """0 is a number: a budget of 0 degrades all the way; no limit does not."""
    refused = decide(profile(body()), money(0.0, 0))
    assert isinstance(refused, Refusal)
    assert refused.numbers["ratio"] == 0.0
    assert decide(profile(body()), money(0.0, None)).ratio == 1.0


def test_a_priority_that_is_not_served_is_refused_with_numbers(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """Under the last threshold only the named priorities are served."""
    refused = decide(profile(body()), money(0.96))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.level) == (RefusalCode.PRIORITY_REFUSED, 3)
    assert refused.numbers["gauge"] == "tenant/day"
    assert refused.numbers["below"] == 0.05
    high = decide(profile(body(), hints=Hints(priority="high"), rights=LOOSE), money(0.96))
    assert first(high).tier == "small"


def test_critical_calls_are_neither_degraded_nor_shrunk(
    body: Any, profile: Any, decide: Any, money: Any
) -> None:
    """An exempt priority is served as asked or not at all."""
    request = profile(body(), hints=Hints(priority="critical"), rights=LOOSE)
    outcome = decide(request, money(0.999))
    assert len(outcome.offers) == 1
    assert (first(outcome).model, first(outcome).max_tokens) == ("claude-opus-5-5", 4096)
    assert "exempt" in codes(outcome)


def test_a_pinned_call_stays_with_its_model(body: Any, profile: Any, decide: Any, money: Any) -> None:
    """With the right to pin, no step changes the model; without it the pin is ignored."""
    pinned = decide(profile(body(), hints=Hints(pin=True), rights=LOOSE), money(0.9))
    assert [offer.model for offer in pinned.offers] == ["claude-opus-5-5"]
    assert "pinned" in codes(pinned)
    assert first(decide(profile(body(), hints=Hints(pin=True)), money(0.9))).tier == "small"


def test_a_pin_does_not_undercut_the_floor_of_its_task(body: Any, profile: Any, decide: Any) -> None:
    """The owner's floor stands above the caller's pin."""
    hints = Hints(task="safety-check", pin=True)
    outcome = decide(profile(body("claude-haiku-5-5"), hints=hints, rights=LOOSE))
    assert first(outcome).tier == "medium"


def test_steps_off_leaves_the_tier_alone(
    body: Any, profile: Any, decide: Any, money: Any, policy_with: Any
) -> None:
    """Mode off degrades nothing."""
    under = policy_with("hysteresis = 0.03", 'hysteresis = 0.03\nmode = "off"')
    assert first(decide(profile(body()), money(0.96), under=under)).tier == "large"


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
