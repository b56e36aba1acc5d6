"""
Offers for the last money: shrink, then lower the tier, then shrink the cheapest.
"""

from typing import Any

import pytest

from router.afford import OFFERS_MAX
from router.types import Budget, Headroom, Hints, Rights

USD = 1_000_000_000


def left(nanos: int, **fields: Any) -> Headroom:
    """Give a large budget of which only so much is left; no share falls under a step that is off."""
    limit = 10_000 * USD
    return Headroom((Budget("tenant/day", limit, limit - nanos),), **fields)


@pytest.fixture
def flat(policy_with: Any) -> Any:
    """The policy without steps, so that only affordability acts."""
    return policy_with("hysteresis = 0.03", 'hysteresis = 0.03\nmode = "off"')


def test_ample_money_makes_one_offer(body: Any, profile: Any, decide: Any, flat: Any) -> None:
    """With sixteen times the bound left there is nothing to fall back to."""
    whole = decide(profile(body()), under=flat).offers[0].cost_bound_nanos
    assert len(decide(profile(body()), left(16 * whole), under=flat).offers) == 1
    assert len(decide(profile(body()), left(16 * whole - 1), under=flat).offers) > 1
    assert len(decide(profile(body()), Headroom(), under=flat).offers) == 1


def test_scarce_money_shrinks_the_same_model_first(body: Any, profile: Any, decide: Any, flat: Any) -> None:
    """What is left buys a shorter answer of the same model while it still holds the expected one twice."""
    request = profile(body(max_tokens=16_000), expected=500)
    whole = decide(request, under=flat).offers[0].cost_bound_nanos
    room = whole // 2
    chosen, shrunk, *lower = decide(request, left(room), under=flat).offers
    assert (chosen.model, chosen.max_tokens) == ("claude-opus-5-5", 16_000)
    assert shrunk.model == "claude-opus-5-5"
    assert 1000 <= shrunk.max_tokens < 16_000
    assert 0.99 * room < shrunk.cost_bound_nanos <= room
    assert [offer.tier for offer in lower] == ["small"]
    (reason,) = shrunk.reasons
    assert reason.code == "affordability"
    assert (reason.numbers["room_nanos"], reason.numbers["needed_nanos"]) == (room, whole)


def test_a_lower_tier_comes_before_a_truncated_answer(
    body: Any, profile: Any, decide: Any, flat: Any
) -> None:
    """An answer expected at 4,000 tokens is not cut to 1,000 at Opus while Haiku can give all of it."""
    request = profile(body(max_tokens=16_000), expected=4000)
    whole = decide(request, under=flat).offers[0].cost_bound_nanos
    offers = decide(request, left(whole // 16), under=flat).offers
    assert [(offer.tier, offer.max_tokens) for offer in offers] == [("large", 16_000), ("small", 16_000)]


def test_the_last_money_buys_a_short_answer_of_the_cheapest(
    body: Any, profile: Any, decide: Any, flat: Any
) -> None:
    """When no tier can bear the expected answer, the cheapest is shrunk down to min_max_tokens."""
    request = profile(body(max_tokens=16_000), expected=16_000)
    small = decide(profile(body("outlay/small", max_tokens=16_000)), under=flat).offers[0].cost_bound_nanos
    last = decide(request, left(small // 4), under=flat).offers[-1]
    assert last.tier == "small"
    assert 256 <= last.max_tokens < 4000
    only = decide(request, left(50_000), under=flat).offers
    assert [offer.model for offer in only] == ["claude-opus-5-5"]


def test_affordability_respects_the_floor(body: Any, profile: Any, decide: Any, flat: Any) -> None:
    """No shortage of money offers a tier under the floor."""
    request = profile(body(max_tokens=16_000), hints=Hints(floor="medium"), rights=Rights(loosen=True))
    assert {o.tier for o in decide(request, left(USD // 50), under=flat).offers} <= {"large", "medium"}


def test_the_multiplier_of_the_tenant_counts(body: Any, profile: Any, decide: Any, flat: Any) -> None:
    """Budgets count the charge: at twice the price, half the call can be afforded."""
    request = profile(body(max_tokens=16_000))
    whole = decide(request, under=flat).offers[0].cost_bound_nanos
    shrunk = decide(request, left(whole, multiplier_ppm=2_000_000), under=flat).offers[1]
    assert 0.98 * whole < 2 * shrunk.cost_bound_nanos <= whole


def test_credits_bind_like_a_budget(body: Any, profile: Any, decide: Any, flat: Any) -> None:
    """The tightest of budgets and credits is what offers are shrunk to, and the reason names it."""
    request = profile(body(max_tokens=16_000))
    room = Headroom((Budget("tenant/day", 100 * USD),), USD // 10, USD // 10)
    shrunk = decide(request, room, under=flat).offers[1]
    assert shrunk.cost_bound_nanos <= USD // 10
    assert shrunk.reasons[0].numbers["gauge"] == "credit"


def test_held_money_counts_at_its_expected_cost_and_waits(
    body: Any, profile: Any, decide: Any, flat: Any
) -> None:
    """Money held by calls in flight is not a reason to shrink; the ledger says busy (every offer waits)."""
    request = profile(body(max_tokens=16_000))
    whole = decide(request, under=flat).offers[0].cost_bound_nanos
    limit = 100 * whole
    budget = Budget("tenant/day", limit, 97 * whole, held_nanos=3 * whole, expected_held_nanos=whole)
    offers = decide(request, Headroom((budget,)), under=flat).offers
    assert offers[0].max_tokens == 16_000
    assert offers[1].max_tokens == 8_000
    assert all(offer.waits for offer in offers)


def test_a_ceiling_cannot_be_shrunk(body: Any, profile: Any, decide: Any, flat: Any) -> None:
    """Offers of a request without a bound all cost its ceiling, so there is one."""
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    request = profile(body(tools=tools, max_tokens=1000), hints=Hints(task="research"))
    offers = decide(request, left(USD), under=flat).offers
    assert [offer.cost_bound_nanos for offer in offers] == [2 * USD]


def test_many_tiers_make_few_offers(body: Any, profile: Any, decide: Any) -> None:
    """However many tiers there are, the ledger gets at most six offers."""
    from router.policy import load_policy

    models = (
        "fable-5-1",
        "fable-5-2",
        "opus-5",
        "opus-5-5",
        "sonnet-4-6",
        "sonnet-5-5",
        "haiku-4-5",
        "haiku-5-5",
    )
    tiers = "".join(f'[tiers.t{n}]\nmodels = ["claude-{model}"]\n' for n, model in enumerate(models))
    under = load_policy(f'{tiers}\n[routing]\ndefault_tier = "t0"')
    request = profile(body("outlay/t0", max_tokens=8000), expected=10)
    whole = decide(request, under=under).offers[0].cost_bound_nanos
    for room in (whole * 2, whole, whole // 3, whole // 100):
        offers = decide(request, left(room), under=under).offers
        assert 1 < len(offers) <= OFFERS_MAX


def test_scarce_money_does_not_buy_a_dearer_downgrade(
    body: Any, profile: Any, decide: Any, flat: Any
) -> None:
    """
    A session warm at Opus is not offered to Sonnet, whose bound is lower but which would cost more.

    Opus reads 80k tokens for $0.016; Sonnet writes them anew for $0.20, Haiku for $0.01.
    """
    text = {"type": "text", "text": "x" * 250_000, "cache_control": {"type": "ephemeral"}}
    turns = [{"role": "user", "content": [text]}, {"role": "assistant", "content": "y"}]
    request = profile(body(messages=[*turns, {"role": "user", "content": "z"}]), expected=1000)
    offers = decide(request, left(7 * USD // 10), under=flat).offers
    assert [offer.tier for offer in offers] == ["large", "small"]


@pytest.fixture
def warm(body: Any, profile: Any) -> Any:
    """A session of 80,000 tokens, warm at Opus: $0.016 to read there, $0.20 to write at Sonnet."""
    text = {"type": "text", "text": "x" * 250_000, "cache_control": {"type": "ephemeral"}}
    turns = [{"role": "user", "content": [text]}, {"role": "assistant", "content": "y"}]
    floor = {"hints": Hints(floor="medium"), "rights": Rights(loosen=True)}
    return profile(body(messages=[*turns, {"role": "user", "content": "z"}]), expected=1000, **floor)


def test_a_dearer_tier_is_offered_before_a_refusal(warm: Any, decide: Any, flat: Any) -> None:
    """
    What is left does not bear the worst case at Opus, but that at Sonnet: the call is served, and told at
    what price. The worst case at Opus is some $1.3 for the prompt alone, at Sonnet some $0.65; of the budget
    $0.75 are left.
    """
    room = 3 * USD // 4
    kept, moved = decide(warm, left(room), under=flat).offers
    assert (kept.tier, moved.tier) == ("large", "medium")
    assert moved.cost_bound_nanos <= room < kept.cost_bound_nanos
    assert moved.expected_cost_nanos > kept.expected_cost_nanos
    (reason,) = moved.reasons
    assert reason.code == "only_affordable"
    assert reason.numbers == {
        "gauge": "tenant/day",
        "room_nanos": room,
        "needed_nanos": kept.cost_bound_nanos,
        "bound_nanos": moved.cost_bound_nanos,
        "max_tokens": moved.max_tokens,
        "expected_nanos": moved.expected_cost_nanos,
        "kept_expected_nanos": kept.expected_cost_nanos,
    }


def test_a_dearer_tier_is_not_offered_while_anything_else_fits(warm: Any, decide: Any, flat: Any) -> None:
    """With enough for a shortened answer of the warm model, the conversation stays; so it does with more."""
    least = decide(warm, left(3 * USD // 4), under=flat).offers[0]
    for room in (least.cost_bound_nanos - USD // 1_000, least.cost_bound_nanos, 2 * least.cost_bound_nanos):
        offers = decide(warm, left(room), under=flat).offers
        assert {offer.tier for offer in offers} == {"large"}


def test_a_dearer_tier_is_offered_only_with_room_for_its_answer(warm: Any, decide: Any, flat: Any) -> None:
    """Nobody pays more for an answer that is cut off: without that room the call is refused."""
    whole = decide(warm, left(3 * USD // 4), under=flat).offers[1]
    prompt_only = whole.cost_bound_nanos - whole.max_tokens * 10_000  # at $10 a million tokens
    assert len(decide(warm, left(prompt_only + 500 * 10_000), under=flat).offers) == 1
