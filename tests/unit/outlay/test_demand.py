"""
From stored sums to what pacing goes by: the tenant's clock, its budgets, and what a closed call adds.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.types import Gauge
from outlay.demand import DAY_US, DemandRow, WorthRow, local_slot, pace, past, quarter_start, quarters
from outlay.demand_sql import attachments
from outlay.tables import demand, upgrade_worth
from pricing.load import load_prices
from router.demand import QUARTER_US
from router.policy import default_policy_text, load_policy

HOUR_US = 4 * QUARTER_US
PRICES = load_prices()
POLICY = load_policy(default_policy_text())


def at(*parts: int) -> int:
    """An instant of UTC in microseconds."""
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type]


def gauge(starts_us: int, ends_us: int, **changed: Any) -> Gauge:
    """A budget of 10 USD."""
    plain: dict[str, Any] = {
        "name": "tenant/day", "scope": "tenant", "window": "day", "limit_nanos": 10_000_000_000,
        "spent_nanos": 0, "held_nanos": 0, "expected_held_nanos": 0, "overage_nanos": 0,
        "starts_us": starts_us, "resets_us": ends_us,
    }  # fmt: skip
    return Gauge(**plain | changed)


def rows(starts_us: int, count: int, nanos: int, tier: str = "large") -> list[DemandRow]:
    """Some quarter-hours in a row with the same traffic."""
    return [
        DemandRow(starts_us + place * QUARTER_US, tier, 5, nanos, nanos // 5, nanos) for place in range(count)
    ]


def test_slots_are_those_of_the_tenants_clock() -> None:
    """Midnight in Berlin is 22:00 of the day before in UTC, and a Monday there."""
    assert local_slot("Europe/Berlin", at(2026, 7, 5, 22)) == (0, datetime(2026, 7, 6).toordinal())
    assert local_slot("UTC", at(2026, 7, 5, 22))[0] == 6 * 96 + 88


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25)])
def test_days_on_which_clocks_change_are_whole_days(day: tuple[int, int, int], hours: int) -> None:
    """With an even curve the middle of a 23 or 25 hour day has about half of it left, its end nothing."""
    starts_us = at(*day) - (1 if hours == 23 else 2) * HOUR_US
    ends_us = starts_us + hours * HOUR_US
    known = past((), "Europe/Berlin", starts_us)

    def left(at_us: int) -> float:
        made = pace(known, (), (), (gauge(starts_us, ends_us),), POLICY, PRICES, at_us)
        return made.outlooks[0].curve_left

    assert left(starts_us) == pytest.approx(1)
    assert left(starts_us + hours * HOUR_US // 2) == pytest.approx(0.5, abs=0.03)
    assert left(ends_us) == 0


def test_tiers_of_a_quarter_hour_add_up() -> None:
    """Two rows of one quarter-hour are one quarter-hour of the tenant."""
    start = at(2026, 7, 6)
    made = quarters([*rows(start, 1, 100), *rows(start, 1, 50, "small")], "UTC")
    assert [(one.calls, one.asked_nanos, one.least_nanos) for one in made] == [(10, 150, 30)]


def test_a_cheap_tier_saves_less_where_most_calls_ask_for_it_anyway() -> None:
    """Half of the money asked at small cannot be saved by a cap at small."""
    start = at(2026, 7, 6)
    budgets = (gauge(start, start + DAY_US),)
    known = past((), "UTC", start)
    whole = pace(known, rows(start, 4, 100), (), budgets, POLICY, PRICES, start + HOUR_US)
    asked = [DemandRow(start, "large", 1, 100, 20, 100), DemandRow(start, "small", 1, 100, 100, 100)]
    half = pace(known, asked, (), budgets, POLICY, PRICES, start + HOUR_US)
    assert whole.tier_ratios[0] == half.tier_ratios[0] == 1.0
    assert whole.tier_ratios[-1] == pytest.approx(0.2)
    assert half.tier_ratios[-1] == pytest.approx(0.6)


def test_the_budget_of_a_key_sees_the_keys_part_of_the_demand() -> None:
    """A key that spent a tenth of what the tenant did is expected to go on so."""
    start = at(2026, 7, 6)
    now = start + 12 * HOUR_US
    today = rows(start, 48, 100_000_000)
    own = gauge(start, start + DAY_US, name="key:k/day", scope="key:k", spent_nanos=480_000_000)
    made = pace(past((), "UTC", start), today, (), (gauge(start, start + DAY_US), own), POLICY, PRICES, now)
    tenant, key = made.outlooks
    assert key.asked_nanos / tenant.asked_nanos == pytest.approx(0.1, rel=0.25)


def test_limits_without_an_end_or_an_amount_have_no_outlook() -> None:
    """Credits have no reset and an unlimited budget no limit: there is nothing to last until."""
    start = at(2026, 7, 6)
    credit = gauge(start, 0, name="credit", resets_us=None)
    free = gauge(start, start + DAY_US, limit_nanos=None)
    assert pace(past((), "UTC", start), (), (), (credit, free), POLICY, PRICES, start).outlooks == ()


def test_worth_fades_from_day_to_day() -> None:
    """What was worth much yesterday counts less than what is worth little today."""
    start = at(2026, 7, 6)
    worth = [WorthRow(start - DAY_US, 40, 100), WorthRow(start, 1, 100)]
    made = pace(past((), "UTC", start), (), worth, (gauge(start, start + DAY_US),), POLICY, PRICES, start)
    assert made.worth[0] > made.worth[16]
    assert made.worth[10] == pytest.approx(made.worth[32], rel=0.3)


# what a closed call adds


def record(**changed: Any) -> dict[str, Any]:
    """The record of a call that was served from a cheaper model at 20 of the 100 it was expected to cost."""
    road = {"routed_tier": "large", "routed_nanos": 100, "least_nanos": 20, "gain": 0.3}
    offers = [{"model": "m", "max_tokens": 10, "expected_cost_nanos": 20}]
    plain = {
        "tenant": "acme", "at_us": at(2026, 7, 6, 10, 20), "outcome": "served", "cost_nanos": 30,
        "counterfactual": json.dumps(road), "offers": json.dumps(offers), "served_model": "m",
        "max_tokens": 10,
    }  # fmt: skip
    return plain | changed


def test_a_closed_call_adds_what_it_had_cost_as_asked() -> None:
    """It cost half as much again as expected, and so it had on the tier that it started from."""
    first, second = attachments(record())
    assert first.table is demand
    assert first.values == {
        "tenant": "acme", "quarter_us": at(2026, 7, 6, 10, 15), "tier": "large",
        "calls": 1, "asked_nanos": 150, "least_nanos": 30, "cost_nanos": 30,
    }  # fmt: skip
    assert set(first.add) == {"calls", "asked_nanos", "least_nanos", "cost_nanos"}
    assert second.table is upgrade_worth
    assert second.values["extra_nanos"] == 80
    assert quarter_start(at(2026, 7, 6, 10, 20)) == at(2026, 7, 6, 10, 15)


@pytest.mark.parametrize("changed", [{"outcome": "failed"}, {"outcome": "refused"}, {"cost_nanos": None}])
def test_what_was_not_billed_adds_nothing(changed: dict[str, Any]) -> None:
    """Failed and refused calls, and those whose cost nobody knows, are no demand."""
    assert attachments(record(**changed)) == ()
    assert attachments(None) == ()


def test_a_call_with_offers_of_its_own_counts_at_its_cost() -> None:
    """Nobody expected anything of it, so it is taken to be as asked, and no cheaper anywhere."""
    (only,) = attachments(record(counterfactual=None, offers="[]"))
    assert (only.values["asked_nanos"], only.values["least_nanos"]) == (30, 30)
    assert only.values["tier"] == ""
