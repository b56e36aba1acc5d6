"""
Pacing decisions: what is lowered when the money would not last, what is worth its price, and when it ends.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pricing.table import PriceTable
from router.choose import choose
from router.codec import Inputs, from_json, replay, to_json
from router.demand import NOT_PACED, Outlook, Pace, PaceState
from router.pace import tide
from router.policy import Policy
from router.types import (
    Budget,
    Choice,
    Counts,
    Evidence,
    Headroom,
    Hints,
    Known,
    Prediction,
    Profile,
    ReasonCode,
    Refusal,
    Rights,
)
from router.worth import bin_of, price_curve

NOW_US = 1_795_000_000_000_000
MINUTE_US = 60 * 1_000_000
USD = 1_000_000_000
PRICE_40 = price_curve({bin_of(100): 500, bin_of(40): 10, bin_of(1): 490})
Profiles = Callable[..., Profile]


@pytest.fixture
def paced_policy(policy_with: Callable[[str, str], Policy]) -> Policy:
    """The policy of all routes, in mode pace."""
    return policy_with("[degradation]\n", '[degradation]\nmode = "pace"\n')


def outlook(asked: float, gauge: str = "tenant/day", **changed: Any) -> Outlook:
    """A demand in USD that the cheapest tier serves for a fifth, with a margin of a quarter."""
    nanos = round(asked * USD)
    made = Outlook(gauge, 0.5, nanos, nanos // 5, nanos // 4, 0, NOW_US + 600 * MINUTE_US, True)
    return replace(made, **changed)


def known(asked: float, state: PaceState = NOT_PACED, **changed: Any) -> Known:
    """What pacing goes by when so much is still to be asked."""
    pace = Pace(14, (outlook(asked, **changed),), (1.0, 0.6, 0.2), PRICE_40, state)
    return Known(pace=pace)


def money(left: float, limit: float = 100.0) -> Headroom:
    """A day's budget with so much left, in USD."""
    return Headroom((Budget("tenant/day", round(limit * USD), round((limit - left) * USD)),))


@pytest.fixture
def decide(
    paced_policy: Policy, prices: PriceTable, profile: Profiles, body: Callable[..., dict[str, Any]]
) -> Callable[..., Choice | Refusal]:
    """Decide on a call for opus with so much money left, and once more from what is stored of it."""

    def made(
        left: float,
        facts: Known,
        *,
        limit: float | None = None,
        gain: float | None = None,
        policy: Policy = paced_policy,
        **hints: Any,
    ) -> Choice | Refusal:
        wanted = profile(body(), hints=Hints(**hints), rights=Rights(loosen=True))
        if gain is not None:
            wanted = replace(wanted, prediction=Prediction("learned", "v1", gain=gain))
        around = money(left, left * 1.2 if limit is None else limit)
        choice = choose(wanted, around, policy, prices, level=0, unhealthy={}, now_us=NOW_US, known=facts)
        stored = to_json(Inputs(wanted, around, 0, {}, NOW_US, facts))
        assert replay(from_json(Inputs, stored), policy, prices) == choice
        return choice

    return made


Decide = Callable[..., Any]


def codes(choice: Choice) -> list[str]:
    """Codes of the reasons, in order."""
    return [reason.code for reason in choice.reasons]


# without predictions


def test_money_that_lasts_changes_nothing(decide: Decide) -> None:
    """With 70 USD for an expected 60 the call stays as asked, and no reason speaks of pacing."""
    choice = decide(70, known(60))
    assert choice.offers[0].tier == "large"
    assert ReasonCode.PACED not in codes(choice)
    assert choice.paced.state == NOT_PACED


@pytest.mark.parametrize(("asked", "tier"), [(74, "large"), (76, "medium"), (116, "medium"), (130, "small")])
def test_the_highest_tier_that_lasts_serves(decide: Decide, asked: float, tier: str) -> None:
    """With 70 USD left: 6 % too much is borne, 116 last at the middle tier's 60 %, 130 only at a fifth."""
    choice = decide(70, known(asked))
    assert choice.offers[0].tier == tier
    assert (ReasonCode.PACED in codes(choice)) == (tier != "large")


def test_the_reason_has_the_numbers_that_decided(decide: Decide) -> None:
    """Demand, what is left, the part of the curve to come and the budget are all told."""
    reason = next(one for one in decide(70, known(100)).reasons if one.code == ReasonCode.PACED)
    assert "lasts for 70% of the demand" in reason.text
    assert reason.numbers["mode"] == "pace"
    assert reason.numbers["gauge"] == "tenant/day"
    assert reason.numbers["demand_nanos"] == 100 * USD
    assert reason.numbers["left_nanos"] == 70 * USD
    assert reason.numbers["curve_left"] == 0.5


def test_steps_stay_bounds_and_the_lower_tier_wins(decide: Decide) -> None:
    """With 10 % left the owner's steps cap at small, though the money would last."""
    choice = decide(10, known(5), limit=100)
    assert choice.offers[0].tier == "small"
    assert ReasonCode.DEGRADED in codes(choice)
    assert ReasonCode.PACED not in codes(choice)


def test_levers_come_before_tiers(decide: Decide, policy_with: Callable[[str, str], Policy]) -> None:
    """Where the policy names them, effort goes first and max_tokens next, at the same model."""
    policy = policy_with(
        "[degradation]\n",
        '[degradation.pace]\neffort = "low"\nmax_tokens = 500\n[degradation]\nmode = "pace"\n',
    )
    one = decide(70, known(85), policy=policy)
    assert (one.offers[0].tier, one.offers[0].effort) == ("large", "low")
    assert one.offers[0].max_tokens > 500
    two = decide(70, known(95), policy=policy)
    assert (two.offers[0].tier, two.offers[0].max_tokens) == ("large", 500)
    assert decide(70, known(120), policy=policy).offers[0].tier == "medium"


def test_only_a_low_priority_is_refused_once_nothing_lasts(decide: Decide) -> None:
    """Ten times the money is expected: the small tier's fifth does not last, so low priorities go."""
    refused = decide(70, known(700), priority="low")
    assert isinstance(refused, Refusal)
    assert refused.code == "outlay_priority_refused"
    assert refused.numbers["mode"] == "pace"
    assert decide(70, known(700)).offers[0].tier == "small"


def test_exempt_and_pinned_calls_are_left_alone(decide: Decide) -> None:
    """Neither a critical call nor a pinned one is lowered by pacing."""
    for changed in ({"priority": "critical"}, {"pin": True}):
        choice = decide(70, known(130), **changed)
        assert choice.offers[0].tier == "large"
        assert ReasonCode.PACED not in codes(choice)


def test_an_exempt_call_says_what_it_is_exempt_from(decide: Decide) -> None:
    """With the numbers of the pace while it lowers others, by rung or by worth; not where money lasts."""
    for asked, gain in ((130, None), (72, 0.0)):
        assert ReasonCode.PACED in codes(decide(70, known(asked), gain=gain))
        choice = decide(70, known(asked), gain=gain, priority="critical")
        reason = next(one for one in choice.reasons if one.code == ReasonCode.EXEMPT)
        assert (reason.numbers["mode"], reason.numbers["gauge"]) == ("pace", "tenant/day")
        assert reason.numbers["left_nanos"] == 70 * USD
        assert "critical is exempt" in reason.text
    assert ReasonCode.EXEMPT not in codes(decide(70, known(60), priority="critical"))
    assert ReasonCode.EXEMPT not in codes(decide(70, known(130), pin=True))


def test_a_floor_holds(decide: Decide) -> None:
    """A call with the floor medium is not served from small."""
    assert decide(70, known(300), floor="medium").offers[0].tier == "medium"


# dwell and band


@pytest.mark.parametrize(
    ("since_min", "left_min", "tier"), [(14, 600, "medium"), (15, 600, "large"), (60, 29, "medium")]
)
def test_climbing_waits_for_the_dwell_and_ends_before_the_window(
    decide: Decide, since_min: int, left_min: int, tier: str
) -> None:
    """A tenant that was lowered goes up again after 15 minutes, and not in the last half hour."""
    state = PaceState(1, NOW_US - since_min * MINUTE_US)
    choice = decide(70, known(60, state, resets_us=NOW_US + left_min * MINUTE_US))
    assert choice.offers[0].tier == tier


def test_climbing_needs_the_band(decide: Decide) -> None:
    """What just lasts is not enough to climb: 6 % must be to spare."""
    state = PaceState(1, NOW_US - 60 * MINUTE_US)
    assert decide(70, known(68, state)).offers[0].tier == "medium"
    assert decide(70, known(65, state)).offers[0].tier == "large"


def test_a_flutter_doubles_band_and_dwell(decide: Decide) -> None:
    """After six moves within the hour that came to nothing, 15 minutes are no longer enough."""
    moves = tuple(
        (NOW_US - minute * MINUTE_US, left)
        for minute, left in zip((56, 48, 40, 32, 24, 16), (1, 0) * 3, strict=True)
    )
    state = PaceState(1, NOW_US - 16 * MINUTE_US, moves)
    assert decide(70, known(60, state)).offers[0].tier == "medium"
    calm = PaceState(1, NOW_US - 16 * MINUTE_US, ())
    assert decide(70, known(60, calm)).offers[0].tier == "large"


def test_a_move_is_remembered_and_an_old_one_forgotten(decide: Decide) -> None:
    """The state says which rung was left when; what is over an hour old is gone."""
    old = PaceState(0, NOW_US - 90 * MINUTE_US, ((NOW_US - 90 * MINUTE_US, 1),))
    state = decide(70, known(100, old)).paced.state
    assert state == PaceState(1, NOW_US, ((NOW_US, 0),))


def test_going_down_does_not_wait(decide: Decide) -> None:
    """A minute after climbing, a surge lowers the tier at once."""
    state = PaceState(0, NOW_US - MINUTE_US)
    assert decide(70, known(100, state)).offers[0].tier == "medium"


# with predictions


@pytest.mark.parametrize(("gain", "tier", "code"), [(0.9, "large", "worth_it"), (0.0001, "small", "paced")])
def test_a_gain_is_bought_where_it_is_worth_the_price(
    decide: Decide, gain: float, tier: str, code: str
) -> None:
    """With money for about half of the upgrades, a large gain keeps its model and a tiny one does not."""
    choice = decide(63, known(100), gain=gain)
    assert choice.offers[0].tier == tier
    reason = next(one for one in choice.reasons if one.code == code)
    assert reason.numbers["gain"] == gain
    assert reason.numbers["price_per_usd"] is not None


def test_no_gain_is_never_bought_while_money_is_short(decide: Decide) -> None:
    """A call that the small model answers better goes there, even at a price of almost nothing."""
    assert decide(99, known(100), gain=-0.1).offers[0].tier == "small"


def test_ample_money_buys_everything_as_asked(decide: Decide) -> None:
    """Nothing is lowered because it seems easy: with money for all, even no gain leaves the call alone."""
    choice = decide(99, known(60), gain=-0.1)
    assert choice.offers[0].tier == "large"
    assert not {"paced", "worth_it"} & set(codes(choice))


def test_the_reserve_for_the_cheapest_tier_comes_first(decide: Decide) -> None:
    """With 24 USD left, 25 of which are kept back, not even the surest gain is bought."""
    choice = decide(24, known(100), gain=1.0)
    assert choice.offers[0].tier == "small"
    reason = next(one for one in choice.reasons if one.code == ReasonCode.PACED)
    assert "kept for the cheapest tier" in reason.text
    assert reason.numbers["price_per_usd"] is None


def test_scores_of_the_class_stand_in_for_a_prediction(decide: Decide) -> None:
    """With 36 of 40 downgraded calls failed, the call is worth its model. Four calls say nothing yet."""
    facts = known(100)
    failing = Evidence("large", {"claude-haiku-5-5": Counts(40.0, 36.0)})
    choice = decide(63, replace(facts, evidence=failing))
    assert choice.offers[0].tier == "large"
    few = Evidence("large", {"claude-haiku-5-5": Counts(4.0, 4.0)})
    assert decide(63, replace(facts, evidence=few)).offers[0].tier == "medium"


def test_calls_in_flight_may_cost_more_than_is_expected(paced_policy: Policy) -> None:
    """With 64 calls out there is less money for upgrades than with the same money spent: a margin is kept."""
    projected = Pace(1, (outlook(100, call_nanos=USD // 10),), (1.0, 0.6, 0.2), PRICE_40)

    def upgrades(spent: float, flying: float) -> float:
        budget = Budget("tenant/day", 100 * USD, round(spent * USD), 0, round(flying * USD))
        now = tide(projected, paced_policy, Headroom((budget,)), NOW_US)
        assert now is not None
        assert now.upgrades is not None
        return now.upgrades

    assert upgrades(40, 0) == pytest.approx((60 - 25) / 80)
    assert upgrades(40 - 6.4, 6.4) == pytest.approx((60 - 25 - 1.645 * 3 * 0.8) / 80)


# which money


def test_without_a_projection_pacing_is_silent(decide: Decide) -> None:
    """A tenant that nothing is known of is served as asked."""
    assert decide(70, Known()).offers[0].tier == "large"


def test_the_tightest_budget_decides(paced_policy: Policy) -> None:
    """Of two budgets the one that lasts for less of its demand is told."""
    pace = Pace(1, (outlook(50), outlook(30, "key:k/day")), (1.0, 0.6, 0.2))
    budgets = (Budget("tenant/day", 100 * USD, 20 * USD), Budget("key:k/day", 10 * USD, 0))
    now = tide(pace, paced_policy, Headroom(budgets), NOW_US)
    assert now is not None
    assert now.outlook.gauge == "key:k/day"


def test_credits_count_as_the_days_money_where_they_are_less(paced_policy: Policy) -> None:
    """Of 80 USD of budget only the 5 USD of credit count today; for a week's budget they do not."""
    budgets = (Budget("tenant/day", 100 * USD, 20 * USD),)
    headroom = Headroom(budgets, credit_available_nanos=5 * USD, credit_expected_nanos=5 * USD)
    now = tide(Pace(1, (outlook(50),), (1.0, 0.6, 0.2)), paced_policy, headroom, NOW_US)
    assert now is not None
    assert now.left_nanos == 5 * USD
    week = Pace(1, (outlook(50, within_day=False),), (1.0, 0.6, 0.2))
    now = tide(week, paced_policy, headroom, NOW_US)
    assert now is not None
    assert now.left_nanos == 80 * USD


def test_a_multiplier_turns_charge_into_cost(paced_policy: Policy) -> None:
    """80 USD of charge at twice the cost pay for 40 USD of demand."""
    headroom = Headroom((Budget("tenant/day", 100 * USD, 20 * USD),), multiplier_ppm=2_000_000)
    now = tide(Pace(1, (outlook(50),), (1.0, 0.6, 0.2)), paced_policy, headroom, NOW_US)
    assert now is not None
    assert now.left_nanos == 40 * USD


def test_other_modes_do_not_pace(decide: Decide, policy: Policy) -> None:
    """In mode steps the same projection changes nothing."""
    assert decide(70, known(130), policy=policy).offers[0].tier == "large"
