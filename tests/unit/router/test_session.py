"""
Conversations: when one may change its model or effort, and what raises it.
"""

from dataclasses import replace
from typing import Any

import pytest

from pricing.money import format_usd
from router.codec import Inputs, from_json, replay, to_json
from router.demand import Outlook, Pace
from router.policy import Policy, load_policy
from router.session import turns_after
from router.types import (
    Budget,
    Cache,
    Choice,
    Headroom,
    Hints,
    Known,
    Priority,
    Profile,
    Reason,
    Rights,
    SessionState,
)

NOW_US = 1_795_000_000_000_000
USD = 1_000_000_000
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
TIER = {OPUS: "large", SONNET: "medium", HAIKU: "small"}
DEFAULT_EFFORT = {OPUS: "medium", SONNET: "high", HAIKU: "medium"}


def first(outcome: Any) -> Any:
    """Give the best offer of a call that is routed."""
    assert isinstance(outcome, Choice), outcome
    return outcome.offers[0]


def told(outcome: Any, code: str) -> Reason:
    """Give the one reason of a kind."""
    (reason,) = [reason for reason in outcome.reasons if reason.code == code]
    return reason


def codes(outcome: Any) -> list[str]:
    """Give the codes of the reasons."""
    return [str(reason.code) for reason in outcome.reasons]


@pytest.fixture
def going_on(body: Any, profile: Any) -> Any:
    """Build a call of a conversation that a model has answered, 50k tokens of it in the cache."""

    def build(
        model: str,
        *,
        asked: str = OPUS,
        cached: int = 50_000,
        age_s: int = 10,
        task: str | None = None,
        expected: int = 500,
        fields: Any = None,
        hints: Hints = Hints(),
        rights: Rights = Rights(),
        **state: Any,
    ) -> Profile:
        text = {"type": "text", "text": "x" * 154_000, "cache_control": {"type": "ephemeral"}}
        messages = [
            {"role": "user", "content": [text]},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Go on."},
        ]
        known = {
            "turns": 1,
            "model": model,
            "tier": TIER[model],
            "effort": DEFAULT_EFFORT[model] if model != SONNET or asked != OPUS else "medium",
            "wanted_effort": DEFAULT_EFFORT.get(asked, "high"),
            "asked_model": asked,
            "task": task,
        }
        read: Profile = profile(
            body(asked, **{"messages": messages, **(fields or {})}),
            hints=replace(hints, task=task),
            rights=rights,
            expected=expected,
            cache=Cache(model, cached, age_s),
        )
        return replace(read, session_state=SessionState(**{**known, **state}))

    return build


@pytest.fixture
def under(policy_with: Any) -> Any:
    """The policy with rules of its own for sessions."""

    def build(rules: str) -> Policy:
        built: Policy = policy_with("[privacy.health]", f"[routing.sessions]\n{rules}\n[privacy.health]")
        return built

    return build


# climbing


def test_a_conversation_climbs_back_only_at_a_cold_cache(going_on: Any, decide: Any, money: Any) -> None:
    """
    A step has led down to Haiku and is left again: the warm conversation stays there, the cold one goes home.

    To write 50k tokens anew at Opus costs $0.25, to read them at Haiku $0.0005.
    """
    kept = decide(going_on(HAIKU), money(0.1))
    assert first(kept).model == HAIKU
    reason = told(kept, "switch_suppressed_cache")
    assert reason.numbers["cost_nanos"] > 240_000_000
    assert reason.numbers["cached_tokens"] == 50_000
    assert reason.numbers["model"] == OPUS
    assert kept.counterfactual.model == OPUS
    home = decide(going_on(HAIKU, age_s=301), money(0.1))
    assert first(home).model == OPUS
    assert "switch_suppressed_cache" not in codes(home)


def test_the_markers_of_the_body_say_how_long_a_cache_lives(going_on: Any, decide: Any, profile: Any) -> None:
    """With markers for an hour a cache of half an hour ago still holds the conversation."""
    text = {"type": "text", "text": "x" * 154_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    messages = [{"role": "user", "content": [text]}, {"role": "assistant", "content": "a"}]
    messages.append({"role": "user", "content": "b"})
    for age_s, model in ((1_800, HAIKU), (3_601, OPUS)):
        asked = going_on(HAIKU, age_s=age_s, fields={"messages": messages})
        assert first(decide(asked)).model == model


def test_without_a_cache_nothing_holds_a_conversation(going_on: Any, decide: Any) -> None:
    """A body that marks nothing for the cache loses nothing by a change."""
    plain = [{"role": "user", "content": "x" * 9_000}, {"role": "assistant", "content": "a"}]
    plain.append({"role": "user", "content": "b"})
    assert first(decide(going_on(HAIKU, fields={"messages": plain}))).model == OPUS


def test_an_owner_may_route_every_call_on_its_own(going_on: Any, decide: Any, under: Any) -> None:
    """`sticky = false` turns the gate off."""
    assert first(decide(going_on(HAIKU), under=under("sticky = false"))).model == OPUS


# what is never held


def test_new_words_of_the_caller_are_followed(going_on: Any, decide: Any) -> None:
    """A caller that names another model or tier than for its last call gets it, up or down."""
    assert first(decide(going_on(HAIKU, asked=OPUS, asked_model=HAIKU))).model == OPUS
    assert first(decide(going_on(OPUS, asked=HAIKU, asked_model=OPUS))).model == HAIKU
    assert first(decide(going_on(HAIKU, asked="outlay/large", asked_model="outlay/auto"))).model == OPUS


def test_a_new_task_may_lead_up_but_not_throw_a_cache_away(going_on: Any, decide: Any) -> None:
    """What the table grants a task it gets at once; a cheaper table entry does not make a switch pay."""
    auto = {"asked": "outlay/auto", "wanted_effort": "medium"}
    up = going_on(HAIKU, task="content/blog-post", **auto)
    assert first(decide(replace(up, session_state=replace(up.session_state, task="crm/x")))).model == OPUS
    down = going_on(OPUS, task="crm/x", **auto)
    down = replace(down, session_state=replace(down.session_state, task="content/blog-post"))
    assert first(decide(down)).model == OPUS
    assert "switch_suppressed_cache" in codes(decide(down))


def test_hard_constraints_are_never_held(going_on: Any, decide: Any) -> None:
    """A floor, a privacy class and an outage lead away from the conversation's model at once."""
    floor = going_on(HAIKU, hints=Hints(floor="large"), rights=Rights(loosen=True))
    assert first(decide(floor)).model == OPUS
    private = going_on(HAIKU, hints=Hints(privacy="health"))
    assert first(decide(private)).model == OPUS
    out = decide(going_on(HAIKU), unhealthy={HAIKU: NOW_US + 1})
    assert first(out).model == OPUS


def test_exempt_and_pinned_calls_are_never_held(going_on: Any, decide: Any) -> None:
    """A critical call is not kept on a cheaper model for its cache's sake, nor is one that is pinned."""
    loosen = Rights(loosen=True)
    critical = going_on(HAIKU, hints=Hints(priority=Priority.CRITICAL), rights=loosen)
    assert first(decide(critical)).model == OPUS
    assert first(decide(going_on(HAIKU, hints=Hints(pin=True), rights=loosen))).model == OPUS


def test_a_model_that_left_the_policy_holds_nobody(going_on: Any, decide: Any) -> None:
    """Who was served by a model that no tier lists any more starts anew."""
    call = going_on(HAIKU)
    gone = replace(call.session_state, model="claude-opus-4-8", tier="gone")
    assert first(decide(replace(call, session_state=gone))).model == OPUS


# moving down


def test_a_step_pays_for_its_cache_write_over_the_turns_to_come(
    going_on: Any, decide: Any, money: Any, under: Any
) -> None:
    """
    At 50k cached tokens and no turn to follow, Sonnet is dearer for this call than staying; with 60 cheap
    turns expected the step leads down all the same.
    """
    call = going_on(OPUS)
    stays = decide(call, money(0.6), under=under("expected_turns = 0"))
    assert first(stays).model == OPUS
    reason = told(stays, "switch_suppressed_cache")
    assert reason.numbers["switch_nanos"] - reason.numbers["stay_nanos"] == reason.numbers["cost_nanos"] > 0
    moved = decide(call, money(0.6), under=under("expected_turns = 60"))
    assert first(moved).model == SONNET
    assert "degraded" in codes(moved)


def test_a_conversation_that_was_kept_in_the_middle_is_not_moved_at_a_loss(
    going_on: Any, decide: Any, money: Any, under: Any
) -> None:
    """
    The steps lead from Opus to Haiku; this conversation is at Sonnet, and to write 50k tokens for one short
    answer costs more at Haiku than to read them at Sonnet. With turns to follow it moves.
    """
    call = going_on(SONNET, expected=50)
    assert first(decide(call, money(0.85), under=under("expected_turns = 0"))).model == SONNET
    assert first(decide(call, money(0.85), under=under("expected_turns = 4"))).model == HAIKU


def test_measured_conversations_outweigh_the_expectation(
    going_on: Any, policy_with: Any, prices: Any, money: Any
) -> None:
    """Where a tenant's conversations end after two turns, a long expectation does not move them."""
    rules = "[routing.sessions]\nexpected_turns = 60\n[privacy.health]"
    policy = policy_with("[privacy.health]", rules)
    for counts, model in (((), SONNET), ((2_000, 1_990, 0), OPUS)):
        inputs = Inputs(going_on(OPUS), money(0.6), 0, {}, NOW_US, Known(session_turns=counts))
        assert first(replay(inputs, policy, prices)).model == model


def test_pacing_looks_at_the_turns_to_come_and_tells_when_a_conversation_stays(
    going_on: Any, policy_with: Any, prices: Any
) -> None:
    """Short of money, pacing moves a warm conversation where that pays over its turns, as steps do."""
    day = Outlook("tenant/day", 0.5, 120 * USD, 24 * USD, 30 * USD, 0, NOW_US + 36_000_000_000, True)
    facts = Known(pace=Pace(14, (day,), (1.0, 0.6, 0.2)))
    headroom = Headroom((Budget("tenant/day", 100 * USD, 10 * USD),))
    for turns, model, code in ((0, OPUS, "switch_suppressed_cache"), (60, SONNET, "paced")):
        rules = f'[routing.sessions]\nexpected_turns = {turns}\n[degradation]\nmode = "pace"\n'
        policy = policy_with("[degradation]\n", rules)
        outcome = replay(Inputs(going_on(OPUS), headroom, 0, {}, NOW_US, facts), policy, prices)
        assert first(outcome).model == model
        assert code in codes(outcome)


def test_a_change_that_nothing_forces_waits_though_it_saves_a_little(going_on: Any, decide: Any) -> None:
    """
    The table leads a conversation to Haiku in its midst: it saves money, but at a worse rate than at a cold
    cache, where the same conversation moves. With next to nothing in the cache it moves at once.
    """
    auto = {"asked": "outlay/auto", "task": "crm/x", "wanted_effort": "medium"}
    kept = decide(going_on(OPUS, **auto))
    assert first(kept).model == OPUS
    reason = told(kept, "switch_suppressed_cache")
    saved = -int(reason.numbers["cost_nanos"] or 0)
    assert saved > 0
    assert f"would throw away 50000 cached tokens to save only {format_usd(saved)} USD over" in reason.text
    assert "-" not in reason.text.partition("cached tokens")[2]
    assert first(decide(going_on(OPUS, age_s=301, **auto))).model == HAIKU
    assert first(decide(going_on(OPUS, cached=100, **auto))).model == HAIKU


# effort and max_tokens


def test_effort_is_kept_where_lowering_it_would_lose_the_cache(
    going_on: Any, decide: Any, money: Any, policy_with: Any
) -> None:
    """
    A step lowers effort and max_tokens of a warm conversation: max_tokens falls, the effort stays until its
    cache is cold, since a cache belongs to one effort.
    """
    under = policy_with(
        'effort = "medium"\nmap = { large = "medium", medium = "small" }', 'effort = "low"\nmax_tokens = 1024'
    )
    warm = decide(going_on(OPUS), money(0.6), under=under)
    assert (first(warm).model, first(warm).effort, first(warm).max_tokens) == (OPUS, "medium", 1024)
    assert told(warm, "switch_suppressed_cache").numbers["effort"] == "low"
    cold = decide(going_on(OPUS, age_s=301), money(0.6), under=under)
    assert first(cold).effort == "low"


def test_effort_falls_where_long_answers_make_it_pay(
    going_on: Any, decide: Any, money: Any, policy_with: Any
) -> None:
    """Little in the cache and long answers: what a lower effort saves in output is worth the write."""
    under = policy_with('effort = "medium"\nmap = { large = "medium", medium = "small" }', 'effort = "low"')
    call = going_on(OPUS, cached=1_000, expected=4_000)
    assert first(decide(call, money(0.6), under=under)).effort == "low"


def test_effort_climbs_back_at_a_cold_cache(going_on: Any, decide: Any) -> None:
    """The effort that a step has lowered stays low after the step while the cache is warm."""
    assert first(decide(going_on(OPUS, effort="low"))).effort == "low"
    assert first(decide(going_on(OPUS, effort="low", age_s=301))).effort == "medium"


def test_an_effort_that_the_caller_changes_is_followed(going_on: Any, decide: Any) -> None:
    """Who asks for another effort than last time gets it."""
    call = going_on(OPUS, fields={"output_config": {"effort": "high"}})
    assert first(decide(call)).effort == "high"


# escalation


SIGNALS = {
    "failed_check": {"score_ppm": 499_999},
    "retry": {"retried": True},
    "tool_errors": {"tool_errors": 3},
}
QUIET = {"score_ppm": 500_000, "retried": False, "tool_errors": 2}


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_raises_a_conversation_by_one_tier(going_on: Any, decide: Any, signal: str) -> None:
    """A conversation that was kept at Haiku goes up to Sonnet, not to Opus at once, its cache warm or not."""
    raised = decide(going_on(HAIKU, **{**QUIET, **SIGNALS[signal]}))
    assert first(raised).model == SONNET
    numbers = told(raised, "session_escalated").numbers
    assert (numbers["signal"], numbers["from_tier"], numbers["tier"]) == (signal, "small", "medium")
    assert "switch_suppressed_cache" not in codes(raised)


def test_values_at_the_border_are_no_signal(going_on: Any, decide: Any) -> None:
    """A score of exactly the threshold has passed; fewer errors than named are none; 0 is a failed score."""
    assert first(decide(going_on(HAIKU, **QUIET))).model == HAIKU
    assert first(decide(going_on(HAIKU, score_ppm=0))).model == SONNET


def test_an_owner_chooses_the_signals(going_on: Any, decide: Any, under: Any) -> None:
    """Only signals in `escalate_on` count."""
    call = going_on(HAIKU, retried=True)
    assert first(decide(call, under=under('escalate_on = ["failed_check"]'))).model == HAIKU
    assert first(decide(call, under=under("escalate_on = []"))).model == HAIKU


def test_a_raised_conversation_is_not_raised_again(going_on: Any, decide: Any) -> None:
    """Once per conversation; what was raised stays, also where the table would lead down at a cold cache."""
    again = decide(going_on(SONNET, retried=True, escalated=True))
    assert first(again).model == SONNET
    assert told(again, "session_escalated").numbers["signal"] == "before"
    auto = {"asked": "outlay/auto", "task": "crm/x", "wanted_effort": "medium"}
    cold = decide(going_on(SONNET, age_s=301, escalated=True, **auto))
    assert first(cold).model == SONNET


def test_a_signal_leads_to_the_asked_tier_or_the_configured_one(
    going_on: Any, decide: Any, under: Any
) -> None:
    """Without a ceiling of its own a conversation is never raised above what it asks for."""
    auto = {"asked": "outlay/auto", "task": "crm/x", "wanted_effort": "medium"}
    call = going_on(HAIKU, retried=True, **auto)
    assert first(decide(call)).model == HAIKU
    assert first(decide(call, under=under('escalate_to = "large"'))).model == SONNET
    assert first(decide(call, under=under('escalate_to = "small"'))).model == HAIKU


def test_the_budget_bounds_what_a_signal_raises(going_on: Any, decide: Any, money: Any) -> None:
    """Under the step that allows small only, a signal raises nobody, and nothing is said to be raised."""
    kept = decide(going_on(HAIKU, retried=True), money(0.85))
    assert first(kept).model == HAIKU
    assert "session_escalated" not in codes(kept)


def test_a_conversation_that_begins_is_never_raised(profile: Any, body: Any, decide: Any, under: Any) -> None:
    """The first turn knows too little: nothing is raised by a prompt alone."""
    call = profile(body("outlay/small"))
    assert call.session_state is None
    assert first(decide(call, under=under('escalate_to = "large"'))).model == HAIKU


# expectation, storage, policy


@pytest.mark.parametrize(
    ("turns", "counts", "prior", "expected"),
    [
        (1, (), 4.0, 4.0),
        (1, (100, 50, 10), 4.0, (10 + 80) / 70),
        (9, (100, 50, 10), 4.0, 80 / 30),
        (0, (980, 0), 0.0, 0.0),
        (0, (0,), 3.0, 3.0),
    ],
)
def test_turns_to_come_are_measured_and_shrunk(
    turns: int, counts: tuple[int, ...], prior: float, expected: float
) -> None:
    """After one answer, of 50 conversations with a second 10 had a third; the expectation counts for 20."""
    assert turns_after(turns, counts, prior) == pytest.approx(expected)


def test_a_decision_of_a_conversation_replays(going_on: Any, policy: Any, prices: Any, money: Any) -> None:
    """State and measured turns are stored with the decision; what was stored before there were any reads."""
    inputs = Inputs(going_on(HAIKU), money(0.1), 0, {}, NOW_US, Known(session_turns=(9, 3)))
    again = from_json(Inputs, to_json(inputs))
    assert again == inputs
    assert replay(again, policy, prices) == replay(inputs, policy, prices)
    old = to_json(inputs.profile).replace(f',"session_state":{to_json(inputs.profile.session_state)}', "")
    assert "session_state" not in old
    assert from_json(Profile, old).session_state is None


def test_a_ceiling_must_be_a_tier() -> None:
    """A misspelled tier is reported with the name that was probably meant."""
    text = """
[tiers.large]
models = ["claude-opus-5-5"]
[routing]
default_tier = "large"
[routing.sessions]
escalate_to = "lagre"
"""
    with pytest.raises(ValueError, match=r"routing\.sessions\.escalate_to") as caught:
        load_policy(text)
    assert "large" in str(caught.value)
