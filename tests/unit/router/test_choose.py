"""
Where a call goes, and why: names, constraints, priorities, steps.
"""

from typing import Any

import pytest

from router.types import (
    Budget,
    Choice,
    Headroom,
    Hints,
    Priority,
    Refusal,
    RefusalCode,
    Rights,
)

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
