"""
The plan promises what the summary will show: each tenant is set up so that its story happens.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from outlay.demo.bodies import BYTES_PER_TOKEN, body_of
from outlay.demo.plan import Plan, PlannedCall, make_plan, timezone_of
from outlay.demo.tenants import TENANTS
from outlay.demo.trace import load_trace
from pricing.bound import bound_request
from pricing.facts import model_facts
from pricing.load import load_prices
from pricing.money import parse_usd
from router.policy import load_policy

NOON_US = 1_795_262_400_000_000


def test_every_policy_of_the_plan_is_valid(plan: Plan) -> None:
    """No policy is left with a placeholder or a problem."""
    for text in (plan.policy, *(tenant.policy for tenant in plan.tenants if tenant.policy)):
        assert "{credit}" not in text
        assert "{limit}" not in text
        load_policy(text)


def test_token_counts_and_times_are_those_of_the_trace(plan: Plan) -> None:
    """Every row of the trace is one call with its counts, at its share of the day."""
    loop = [call for call in plan.calls if ("outlay-session", "runaway") in call.headers]
    real = Counter((call.input_tokens, call.output_tokens) for call in plan.calls)
    real.subtract(Counter((call.input_tokens, call.output_tokens) for call in loop))
    rows = load_trace()
    assert +real == Counter((row.input_tokens, row.output_tokens) for row in rows)
    first = min(plan.calls, key=lambda call: call.due_s)
    assert first.due_s == pytest.approx(rows[0].at_s / 86_400 * plan.play_s)


def test_calls_are_sorted_by_time_and_end_with_the_play(plan: Plan) -> None:
    """The player can take calls one after the other."""
    times = [call.due_s for call in plan.calls]
    assert times == sorted(times)
    assert times[-1] <= plan.play_s


def test_the_runaway_alone_reaches_the_limit_of_its_breaker(plan: Plan) -> None:
    """The limit lies above all usual spending of the tenant and under that plus the loop."""
    rover = next(tenant for tenant in plan.tenants if tenant.name == "rover-agents")
    rule = load_policy(rover.policy).breaker.spend
    assert rule is not None
    prices = load_prices()
    price = prices.price("claude-opus-5-5", NOON_US).rates(0)
    costs = {True: 0, False: 0}
    for call in plan.calls:
        if call.tenant == rover.name:
            picos = call.input_tokens * price.input + call.output_tokens * price.output
            costs[("outlay-session", "runaway") in call.headers] += picos // 1000
    assert costs[False] < rule.max_nanos < costs[False] + costs[True]
    assert rule.window_s >= plan.play_s


def test_budget_and_credits_are_too_small_where_they_shall_run_out(plan: Plan) -> None:
    """The content tenant has less budget, and the trial less credit, than its calls would cost as asked."""
    money = {tenant.name: tenant for tenant in plan.tenants}
    lumen, kiosk = money["lumen-content"], money["kiosk-trial"]
    assert lumen.budget_usd is not None
    assert parse_usd(lumen.budget_usd) < parse_usd(lumen.credit_usd) // 5
    assert kiosk.budget_usd is None
    assert parse_usd(kiosk.credit_usd) < parse_usd(money["harbor-support"].credit_usd)


def test_few_calls_keep_the_proportions() -> None:
    """A small demo has smaller budgets, and every tenant in it."""
    small = make_plan(load_trace(), 300, load_prices(), NOON_US)
    assert 280 <= len(small.calls) <= 300
    assert {call.tenant for call in small.calls} == {spec.name for spec in TENANTS}
    assert any(call.fault for call in small.calls)
    assert any(call.leaves for call in small.calls)


def test_a_fault_strikes_the_first_attempt_only(plan: Plan) -> None:
    """A retry of the client meets a provider that works again."""
    call = next(call for call in plan.calls if call.fault)
    first, again = (str(body_of(call, attempt=attempt)["messages"]) for attempt in (0, 1))
    assert f"fault={call.fault}" in first
    assert "fault" not in again


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-haiku-5-5"])
def test_the_text_is_long_enough_for_the_tokens_it_claims(plan: Plan, model: str) -> None:
    """What the provider will bill as input never exceeds the bound that the gateway holds money for."""
    facts = model_facts(model)
    for call in plan.calls:
        bound = bound_request(body_of(call, attempt=0))
        assert bound.input_tokens(facts) >= call.input_tokens
        assert bound.text_bytes >= BYTES_PER_TOKEN * call.input_tokens


def test_max_tokens_leaves_room_for_the_answer(plan: Plan) -> None:
    """No answer is cut by what the application itself asks for."""
    assert all(2 * call.output_tokens <= call.max_tokens <= 16_384 for call in plan.calls)


def test_clients_leave_only_streams(plan: Plan) -> None:
    """A plain answer comes at once; there is no middle to leave in."""
    leaving: list[PlannedCall] = [call for call in plan.calls if call.leaves]
    assert leaving
    assert all(call.stream for call in leaving)
    assert all(replace(call, leaves=False) != call for call in leaving)


@pytest.mark.parametrize("minutes", [-6, -4, 0, 4, 6])
def test_no_day_ends_during_the_demo(minutes: int) -> None:
    """Within five minutes of midnight a tenant lives in its other zone, where it is not midnight."""
    midnight = datetime(2026, 11, 22, tzinfo=ZoneInfo("Asia/Tokyo"))
    now_us = int((midnight + timedelta(minutes=minutes)).timestamp()) * 1_000_000
    zone = timezone_of(("Asia/Tokyo", "Asia/Singapore"), now_us)
    assert zone == ("Asia/Singapore" if abs(minutes) <= 5 else "Asia/Tokyo")


def test_the_other_zone_has_another_midnight() -> None:
    """Both zones of a tenant never change the date at the same time, summer or winter."""
    for spec in TENANTS:
        for month in (1, 7):
            at = datetime(2026, month, 10, 12, tzinfo=ZoneInfo("UTC"))
            first, other = (at.astimezone(ZoneInfo(zone)).utcoffset() for zone in spec.zones)
            assert first != other
