"""
Preview: what another policy would have done to recorded traffic, with the money that it would have left.
"""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from traffic import CHEAP, DAY_US, MINUTE_US, STEPS, Clock, Traffic

from outlay.admin import policies
from outlay.admin.captured import settle
from outlay.admin.preview import preview_apart, preview_policy
from outlay.admin.replay import replay
from outlay.calls import CallRequest, Completed
from outlay.errors import BadInput, PolicyInvalid, Rejected
from outlay.wiring import App
from router.types import Hints

MARK = {"type": "ephemeral"}
STRICTER = STEPS.replace("below = 0.50", "below = 0.80").replace("below = 0.20", "below = 0.60")
WITHOUT_STEPS = STEPS[: STEPS.index("[degradation]")]
NO_OPUS = STEPS.replace("claude-opus-5-5", "claude-opus-5")
Play = Callable[..., list[str]]


@pytest.fixture
def clock() -> Clock:
    """The clock of the traffic."""
    return Clock()


@pytest.fixture
def traffic(app: App, clock: Clock) -> Iterator[Traffic]:
    """Calls some days ago."""
    made = Traffic(app, clock)
    yield made
    made.calls.close()


@pytest.fixture
def play(traffic: Traffic) -> Play:
    """Carry calls out."""
    return traffic.play


@pytest.fixture
def opened(app: App, traffic: Traffic) -> App:
    """The policy of these tests for everybody, and a tenant with 20 USD and 0.15 USD a day."""
    policies.apply_policy(app, STEPS, actor="t")
    traffic.account("acme", 150_000_000)
    return app


def test_the_policy_in_force_previews_to_no_change(opened: App, play: Play) -> None:
    """
    Traffic through every step, refusals for want of money included, comes out as it was.
    """
    play(40, task="blog")
    play(5, task="crm/mail")
    play(5, task=None, priority="low")
    found = preview_policy(opened, STEPS)
    total = found["total"]
    assert total["refusals_now"] > 0
    assert total["downgrades_now"] > 0
    assert (found["changed"], found["changes"]) == (0, []), found["changes"]
    assert total["spend_now_usd"] == total["spend_then_usd"] != "0.00"
    assert total["downgrades_now"] == total["downgrades_then"]
    assert total["refusals_now"] == total["refusals_then"]
    assert found["risks"] == []
    assert replay(opened)["differing"] == 0


def test_calls_that_overlapped_preview_to_no_change_too(opened: App, play: Play) -> None:
    """
    What calls in flight did to each other is recorded, so that an unchanged policy changes nothing of it.
    """
    play(12, at_once=6)
    found = preview_policy(opened, STEPS)
    assert found["total"]["refusals_now"] > 0
    assert found["changed"] == 0, found["changes"]


@pytest.mark.parametrize("text", [STRICTER, WITHOUT_STEPS, CHEAP, NO_OPUS])
def test_a_preview_says_what_the_same_traffic_comes_to_under_the_other_policy(
    opened: App, clock: Clock, traffic: Traffic, play: Play, text: str
) -> None:
    """
    Calls one after the other, played for one tenant and previewed, then played for another tenant under the
    other policy: spending, downgrades and refusals are those of the preview, to the last nano-USD.
    """
    calls: list[dict[str, Any]] = [
        {"count": 9, "task": "blog", "tokens": 300},
        {"count": 3, "task": "crm/mail", "tokens": 120},
        {"count": 4, "task": None, "model": "claude-sonnet-5-5", "tokens": 350},
        {"count": 2, "task": "blog", "tokens": 300, "fails": True},
        {"count": 6, "task": "blog", "tokens": 390},
        {"count": 3, "task": "blog", "tokens": 200, "every_us": DAY_US},
    ]
    began = clock.us
    traffic.account("twin", 150_000_000)
    for part in calls:
        play(**part)
    found = preview_policy(opened, text)
    assert found["total"]["refusals_now"] == 0
    policies.apply_policy(opened, text, tenant="twin", actor="t")
    clock.us = began
    for part in calls:
        play(tenant="twin", **part)
    twin = next(one for one in preview_policy(opened, text, tenant="twin")["tenants"])
    then = found["total"]
    assert found["changed"] > 0
    assert then["downgrades_then"] == twin["downgrades_now"]
    assert then["refusals_then"] == twin["refusals_now"]
    assert then["spend_then_usd"] == twin["spend_now_usd"]


def test_a_call_counts_once_however_many_models_were_tried(opened: App, traffic: Traffic, play: Play) -> None:
    """
    Three calls that three models each had no room for are three calls that begin at another model.
    """
    play(1)
    ids = traffic.overload(3)
    lower = STEPS.replace("0.50", "0.9999").replace('large = "medium"', 'large = "small"')
    found = preview_policy(opened, lower)
    total, (tenant,) = found["total"], found["tenants"]
    assert (found["decisions"], total["calls"], total["downgrades_then"]) == (10, 4, 3)
    assert found["changed"] == total["changed"] == tenant["changed"] == tenant["tasks"][0]["changed"] == 3
    assert found["changed_by"] == {"model": 3}
    assert [one["id"] for one in found["changes"]] == ids


def test_notes_and_risks_count_calls_and_not_their_attempts(opened: App, traffic: Traffic) -> None:
    """
    Two calls of three attempts each are two without a projection, and two for which no money is left.
    """
    traffic.overload(2)
    paced = STEPS.replace("[degradation]", '[degradation]\nmode = "pace"', 1)
    assert any("projection of demand: 2 calls." in note for note in preview_policy(opened, paced)["notes"])
    found = preview_policy(opened, STEPS + '[budget]\ndaily_usd = "0.00"\n', tenant="acme")
    assert found["tenants"][0]["refused_then"] == {"outlay_daily_budget_reached": 2}
    assert any(risk.startswith("acme: 2 calls would be refused for want") for risk in found["risks"])


@pytest.mark.parametrize(
    ("asked", "cost"), [({"inference_geo": "us"}, "0.01166"), ({"speed": "fast"}, "0.0106")]
)
def test_what_a_call_asked_for_is_priced_anew_though_its_usage_is_silent(
    opened: App, traffic: Traffic, asked: dict[str, str], cost: str
) -> None:
    """
    300 in and 1000 out by Sonnet cost 0.0106 USD: 1.1 times that in the US, no more where it cannot be fast.
    A twin under the other policy pays just so.
    """
    medium = STEPS.replace('"blog" = { tier = "large" }', '"blog" = { tier = "medium" }')
    traffic.account("twin", 150_000_000)
    policies.apply_policy(opened, medium, tenant="twin", actor="t")
    message = {"model": "outlay/auto", "max_tokens": 1_000, "messages": [{"role": "user", "content": "Hi."}]}
    for tenant in ("acme", "twin"):
        call = traffic.calls.start(CallRequest(tenant, {**message, **asked}, hints=Hints(task="blog")))
        assert call.sending is not None, call.result
        usage = {"input_tokens": 300, "output_tokens": 1_000}
        call.resume(Completed(call.sending.model, usage))
    (change,) = preview_policy(opened, medium)["changes"]
    twin = next(one for one in preview_policy(opened, medium, tenant="twin")["tenants"])
    assert change["cost_then_usd"] == twin["spend_now_usd"] == cost


def test_spending_is_priced_anew_by_what_would_have_served(opened: App, play: Play) -> None:
    """
    One call of 300 tokens in and 1000 out: Opus at 4 and 20 USD per million becomes Haiku at 0.10 and 0.50.
    """
    (made,) = play(1, task="blog", tokens=1_000)
    found = preview_policy(opened, CHEAP)
    (change,) = found["changes"]
    assert (change["id"], change["served_now"]["model"], change["served_then"]["model"]) == (
        made, "claude-opus-5-5", "claude-haiku-5-5"
    )  # fmt: skip
    now, then = Decimal(change["cost_now_usd"]), Decimal(change["cost_then_usd"])
    packaged = opened.prices.price("claude-haiku-5-5", time.time_ns() // 1_000).tiers[0][1]
    assert then == Decimal(300 * packaged.input + 1_000 * packaged.output) / 10**12
    assert now > then
    assert found["changed_by"] == {"model": 1}
    assert [reason["code"] for reason in change["reasons"]] == ["task_route"]
    assert change["estimated"] is False


def test_a_corrected_call_is_no_change_and_its_correction_no_saving(opened: App, play: Play) -> None:
    """
    The policy in force previews to no change still; another one costs its part of what was billed.
    """
    (made,) = play(1, task="blog", tokens=1_000)
    before = preview_policy(opened, CHEAP)["total"]
    now, then = Decimal(before["spend_now_usd"]), Decimal(before["spend_then_usd"])
    settle(opened, made, str(3 * now), reason="invoice", actor="fin")
    same = preview_policy(opened, STEPS)["total"]
    assert Decimal(same["spend_now_usd"]) == Decimal(same["spend_then_usd"]) == 3 * now
    assert (same["changed"], same["estimated_usd"]) == (0, "0.00")
    found = preview_policy(opened, CHEAP)
    assert Decimal(found["total"]["spend_then_usd"]) == Decimal(found["total"]["estimated_usd"]) == 3 * then
    (change,) = found["changes"]
    assert (Decimal(change["cost_now_usd"]), Decimal(change["cost_then_usd"])) == (3 * now, 3 * then)
    assert change["estimated"] is True
    assert replay(opened)["differing"] == 0


def test_a_lower_day_limit_of_the_tenants_own_policy_refuses(opened: App, play: Play) -> None:
    """
    `[budget]` counts in a tenant's own policy, and only there, as when it is applied.
    """
    play(5, task="blog", tokens=500)
    text = STEPS + '[budget]\ndaily_usd = "0.01"\ntimezone = "Asia/Tokyo"\n'
    tight = preview_policy(opened, text, tenant="acme")["total"]
    assert tight["downgrades_then"] > tight["downgrades_now"]
    own = preview_policy(opened, text.replace('"0.01"', '"0"'), tenant="acme")
    assert (own["total"]["refusals_now"], own["total"]["refusals_then"]) == (0, 5)
    assert own["tenants"][0]["refused_then"] == {"outlay_daily_budget_reached": 5}
    assert any("want of money" in risk for risk in own["risks"])
    assert any("Europe/Berlin" in note for note in own["notes"])
    everybody = preview_policy(opened, text)
    assert everybody["changed"] == 0
    assert any("created later" in note for note in everybody["notes"])


def test_a_policy_for_everybody_does_not_reach_tenants_with_their_own(
    opened: App, traffic: Traffic, play: Play
) -> None:
    """
    Whoever has a policy of their own is left out, and counted.
    """
    traffic.account("beta", None)
    play(3)
    play(2, tenant="beta")
    policies.apply_policy(opened, STEPS, tenant="beta", actor="t")
    found = preview_policy(opened, CHEAP)
    assert [one["tenant"] for one in found["tenants"]] == ["acme"]
    assert found["kept"] == {"own_policy": 2}
    assert preview_policy(opened, CHEAP, tenant="beta")["changed"] == 2


def test_refused_calls_that_would_be_served_count_at_their_expected_cost(opened: App, play: Play) -> None:
    """
    There is no usage of a refused call: the preview says that its cost is estimated.
    """
    play(40, tokens=1_000)
    found = preview_policy(opened, CHEAP)
    assert found["changed_by"]["served"] == found["total"]["refusals_now"] > 0
    assert Decimal(found["total"]["estimated_usd"]) > 0
    assert found["total"]["refusals_then"] == 0


def test_a_policy_that_only_observes_refuses_and_lowers_nothing(opened: App, play: Play) -> None:
    """
    Under observation every call goes out as it was asked; enforcing what was observed brings steps back.
    """
    observe = STEPS + '[enforcement]\nmode = "observe"\n'
    play(30)
    found = preview_policy(opened, observe)["total"]
    assert (found["downgrades_then"], found["refusals_then"]) == (0, 0)
    assert found["downgrades_now"] > 0
    policies.apply_policy(opened, observe, actor="t")
    play(5, every_us=DAY_US // 5)
    assert preview_policy(opened, observe, days=2)["total"]["downgrades_then"] == 0


def test_what_cannot_be_previewed_is_told(opened: App, play: Play, tamper: Callable[[str], None]) -> None:
    """
    Refusals before the choice stay, records that cannot be read stay, and both are counted and noted.
    """
    play(2)
    play(1, priority="urgent")
    tamper("UPDATE outlay_decision SET inputs = '[]' WHERE id = (SELECT min(id) FROM outlay_decision)")
    found = preview_policy(opened, CHEAP)
    assert found["kept"] == {"refused_before": 1, "unreadable": 1}
    assert found["changed"] == 1
    assert found["total"]["calls"] == 3
    assert any("refused before" in note for note in found["notes"])


def test_the_list_of_changes_and_the_period_are_bounded(
    opened: App, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    All changes are counted, the first are named; a long log is shortened to its newest part, and so told.
    """
    monkeypatch.setattr("outlay.admin.log_pages.PAGE", 2)
    ids = play(7)
    seen: list[tuple[int, int]] = []
    found = preview_policy(opened, CHEAP, shown=2, progress=lambda done, of: seen.append((done, of)))
    assert (found["changed"], [one["id"] for one in found["changes"]]) == (7, ids[:2])
    assert seen[-1] == (7, 7)
    short = preview_policy(opened, CHEAP, most=3)
    assert (short["decisions"], short["shortened"]) == (3, True)
    assert any("begins at" in note for note in short["notes"])
    assert preview_policy(opened, CHEAP, days=1)["decisions"] == 0


def test_the_order_is_checked(opened: App) -> None:
    """
    A policy that is not valid, a tenant that is not there and a period that cannot be are refused.
    """
    with pytest.raises(PolicyInvalid):
        preview_policy(opened, "[tiers]")
    with pytest.raises(Rejected):
        preview_policy(opened, STEPS, tenant="acne")
    for change in ({"days": 0}, {"days": 93}, {"shown": -1}, {"most": 0}):
        with pytest.raises(BadInput, match=next(iter(change))):
            preview_policy(opened, STEPS, **change)


def test_a_process_of_its_own_says_the_same(opened: App, play: Play) -> None:
    """
    What a server has made apart is what a process makes itself; bad orders are refused before one is started.
    """
    play(4)
    apart, here = preview_apart(opened, CHEAP, tenant="acme"), preview_policy(opened, CHEAP, tenant="acme")
    for found in (apart, here):
        del found["from"], found["to"]
    assert json.loads(json.dumps(apart)) == json.loads(json.dumps(here))
    with pytest.raises(Rejected):
        preview_apart(opened, STEPS, tenant="acne")
    with pytest.raises(PolicyInvalid):
        preview_apart(opened, "")


def test_a_conversation_pays_for_its_cache_anew_where_it_would_have_been_moved(
    opened: App, clock: Clock, traffic: Traffic
) -> None:
    """
    A talk that begins elsewhere finds its cache there as it did. One that is moved on its way writes
    it anew on that turn, and reads it on the next.
    """
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "long " * 4_000, "cache_control": MARK}]},
        {"role": "assistant", "content": "yes"},
    ]
    usage = {"input_tokens": 10, "output_tokens": 50, "cache_read_input_tokens": 4_000}
    policies.apply_policy(opened, CHEAP, actor="t")
    for turn in range(4):
        messages = [*talk, {"role": "user", "content": f"and then {turn}?"}]
        body = {"model": "outlay/auto", "max_tokens": 500, "messages": messages}
        call = traffic.calls.start(CallRequest("acme", body, hints=Hints(task="blog", session="s")))
        assert call.sending is not None
        clock.us += MINUTE_US
        call.resume(Completed(call.sending.model, usage))
    rates = opened.prices.price("claude-opus-5-5", clock.us).tiers[0][1]
    plain = 10 * rates.input + 50 * rates.output
    warm, cold = (Decimal(plain + 4_000 * rate) / 10**12 for rate in (rates.cache_read, rates.cache_write_5m))
    free = STEPS + "[routing.sessions]\nsticky = false\n"
    for most, costs in ((4, [warm] * 4), (2, [cold, warm])):
        found = preview_policy(opened, free, most=most)
        assert [Decimal(one["cost_then_usd"]) for one in found["changes"]] == costs


def test_a_call_that_its_session_kept_above_the_tier_asked_for_is_raised(
    opened: App, traffic: Traffic
) -> None:
    """
    It is no downgrade, under the policy of its time or another; without sessions it is served as asked.
    """
    traffic.talk_above()
    as_blog = STEPS.replace('"crm/*" = { tier = "small" }', '"crm/*" = { tier = "large" }')
    free = STEPS + "[routing.sessions]\nsticky = false\n"
    for text, raised in ((STEPS, (1, 1)), (as_blog, (1, 0)), (free, (1, 0))):
        total = preview_policy(opened, text)["total"]
        assert (total["raised_now"], total["raised_then"]) == raised, text
        assert (total["downgrades_now"], total["downgrades_then"]) == (0, 0), text


def test_validation_beside_recent_traffic_names_tasks_without_a_route(opened: App, play: Play) -> None:
    """
    With books at hand a policy is compared with the tasks of recent calls; an unknown tenant is refused.
    """
    play(1, task="invoices")
    plain = policies.validate_policy(STEPS)
    assert not any("invoices" in warning for warning in plain["warnings"])
    told = policies.validate_policy(STEPS, app=opened, tenant="acme")["warnings"]
    assert any("'invoices'" in warning for warning in told)
    assert any('"crm/*": unused' in warning for warning in told)
    assert preview_policy(opened, STEPS)["warnings"] == told
    with pytest.raises(Rejected):
        policies.validate_policy(STEPS, app=opened, tenant="acne")
