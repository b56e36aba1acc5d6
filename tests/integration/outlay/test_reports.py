"""
Read models against books made by the real ledger, on both engines: what they say is what was written.
"""

import dashboard_books as books
import pytest
from dashboard_books import HOUR_US, MINUTE_US, NOON, USD, call

from circuit.types import State
from ledger.types import (
    Adjust,
    Attachment,
    Correct,
    Note,
    Offer,
    Refund,
    Release,
    Reserve,
    SetAccount,
    SetBudget,
    Settle,
    TopUp,
)
from outlay import reports, reports_calls, reports_log, reports_routing, tables
from outlay.admin import policies
from outlay.admin.captured import settle
from outlay.admin.decisions import explain, list_decisions
from outlay.reports_calls import LOWERING, LOWERING_ALONE, ONLY_COUNTED, UNTOLD, Count, Refusals, Savings
from outlay.reports_log import Filter
from outlay.reports_money import TenantRow
from outlay.reports_periods import Span, fitting_period, fitting_span, period
from outlay.reports_standing import Obstacle, Stop
from outlay.wiring import App
from router.policy import default_policy_text


@pytest.fixture
def acme(app: App) -> App:
    """Books with one tenant in Berlin, since yesterday morning: 20 USD of credit, 5 USD a day."""
    books.tenant(app, "acme", NOON - 30 * HOUR_US, zone="Europe/Berlin")
    return app


def stopped(row: TenantRow, obstacle: Obstacle) -> bool:
    """Tell whether something of a kind stops a tenant."""
    return any(stop.obstacle is obstacle for stop in row.stops)


def test_empty_books_have_an_empty_overview(app: App) -> None:
    """Without any tenant every sum is 0 and nothing fails."""
    seen = reports.overview(app, now_us=NOON)
    assert seen is not None
    assert (seen.tenants, seen.spend, seen.refusals, seen.burn) == ((), (), (), ())
    assert seen.credits.credit_nanos == 0
    assert reports.tenant_zones(app) == {}
    routing = reports_routing.routing(app, now_us=NOON)
    assert routing is not None
    assert routing.cells == ()
    assert reports_log.decisions(app, Filter()).rows == ()


def test_an_unknown_tenant_has_no_report(app: App) -> None:
    """Absence is a value, not an error."""
    assert reports.overview(app, "nobody", now_us=NOON) is None
    assert reports_routing.routing(app, "nobody", now_us=NOON) is None
    assert reports_routing.why(app, "nothing") is None


def test_money_of_the_overview_is_the_ledgers(acme: App) -> None:
    """Credit, spending and remaining share are those of the account and of its day window."""
    call(acme, 90, cost_nanos=2 * USD)
    call(acme, 60, cost_nanos=USD)
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    day = seen.tenants[0].day
    assert day is not None
    assert (seen.credits.credit_nanos, seen.spent_today_nanos) == (17 * USD, 3 * USD)
    assert (day.limit_nanos, day.spent_nanos, day.remaining_ratio) == (5 * USD, 3 * USD, 0.4)
    assert seen.period.zone == "Europe/Berlin"


def test_burn_down_falls_from_the_whole_budget_to_what_is_left(acme: App) -> None:
    """It starts full at local midnight, never rises, and ends with what the budget says; yesterday is out."""
    call(acme, 20 * 60, cost_nanos=4 * USD)  # yesterday, 17:00 in Berlin
    call(acme, 120, cost_nanos=2 * USD)
    call(acme, 30, cost_nanos=USD)
    seen = reports.overview(acme, "acme", span=Span.TODAY, now_us=NOON)
    assert seen is not None
    left = [point.remaining_nanos for point in seen.burn]
    assert left[0] == 5 * USD
    assert left[-1] == 2 * USD
    assert set(left) == {5 * USD, 3 * USD, 2 * USD}
    assert left == sorted(left, reverse=True)
    assert seen.burn[0].at_us == NOON - 13 * HOUR_US  # Berlin's midnight
    close = reports.overview(acme, "acme", span=Span.HOUR, now_us=NOON)
    assert close is not None
    assert close.burn[0].remaining_nanos == 3 * USD


def test_a_tenant_without_a_budget_has_no_burn_down(acme: App) -> None:
    """No limit is not a limit of 0: neither has a burn-down, and only the second has nothing left."""
    acme.ledger.do(SetBudget("acme", "none", NOON, None))
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    assert seen.burn == ()
    assert seen.tenants[0].day is not None
    assert seen.tenants[0].day.remaining_ratio is None
    acme.ledger.do(SetBudget("acme", "zero", NOON, 0))
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    assert seen.burn == ()
    assert seen.tenants[0].day is not None
    assert seen.tenants[0].day.remaining_ratio == 0.0


def test_bands_are_the_steps_of_the_policy_in_force(acme: App) -> None:
    """The packaged default has three thresholds, so four bands, from the full budget to nothing."""
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    edges = [(band.level, band.low_ratio, band.high_ratio) for band in seen.policy.bands]
    assert edges == [(0, 0.5, 1.0), (1, 0.2, 0.5), (2, 0.05, 0.2), (3, 0.0, 0.05)]
    assert seen.policy.bands[0].text == "as asked"
    assert seen.policy.bands[3].text == "only critical, high"


def test_spend_is_summed_by_tier_and_local_hour(acme: App) -> None:
    """Two calls of an hour and tier are one bar; the bars of a period add up to what was billed."""
    call(acme, 45, cost_nanos=100, served="large")
    call(acme, 40, cost_nanos=200, served="large")
    call(acme, 35, cost_nanos=30, asked="medium", served="small")
    call(acme, 75, cost_nanos=4, served="large")
    seen = reports.overview(acme, "acme", span=Span.TODAY, now_us=NOON)
    assert seen is not None
    bars = [((bar.starts_us - NOON) // HOUR_US, bar.tier, bar.cost_nanos, bar.calls) for bar in seen.spend]
    assert bars == [(-2, "large", 4, 1), (-1, "large", 300, 2), (-1, "small", 30, 1)]
    week = reports.overview(acme, "acme", span=Span.WEEK, now_us=NOON)
    assert week is not None
    assert [(bar.tier, bar.cost_nanos) for bar in week.spend] == [("large", 304), ("small", 30)]


def test_savings_count_served_downgrades_only(acme: App) -> None:
    """Usage of a downgraded call is priced at the model asked for; others and broken ones add nothing."""
    call(acme, 30, asked="large", served="medium", cost_nanos=40)  # large costs 2.5 times medium: 100
    call(acme, 20, asked="large", served="large", cost_nanos=500)
    call(acme, 10, asked="large", served="small", cost_nanos=7, outcome="broken")
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    saved = seen.savings
    assert (saved.calls, saved.asked_cost_nanos, saved.cost_nanos, saved.saved_nanos) == (1, 100, 40, 60)
    assert seen.downgrades == (Count("degraded", 2),)
    assert saved.downgraded == 2, "as many as the bars"


def test_a_call_that_its_session_kept_on_a_better_tier_is_no_downgrade(acme: App) -> None:
    """Asked medium and served large: no sum, bar or line of the log calls it downgraded."""
    lowered = call(acme, 30, asked="large", served="medium", cost_nanos=40)
    call(acme, 20, asked="medium", served="large", cost_nanos=500, reason="switch_suppressed_cache")
    seen, routing = (look(acme, "acme", now_us=NOON) for look in (reports.overview, reports_routing.routing))
    assert isinstance(seen, reports.Overview)
    assert isinstance(routing, reports_routing.Routing)
    assert seen.savings == routing.savings == Savings(1, 1, 100, 40)
    assert seen.downgrades == (Count("degraded", 1),)
    page = reports_log.decisions(acme, Filter(tenant="acme", downgraded=True))
    assert [row.id for row in page.rows] == [lowered]


def test_a_call_whose_end_nobody_saw_costs_what_the_books_say_now(acme: App) -> None:
    """Nothing while it is in flight, the captured bound after that, and the truth once it is told."""
    unseen = call(acme, 30, asked="large", served="medium", cost_nanos=40, outcome="uncertain")

    def shown() -> tuple[list[int], list[int], int | None]:
        seen = reports.overview(acme, "acme", now_us=NOON)
        routing = reports_routing.routing(acme, "acme", now_us=NOON)
        assert seen is not None
        assert routing is not None
        row = reports_log.decisions(acme, Filter()).rows[0]
        bars, cells = [bar.cost_nanos for bar in seen.spend], [cell.cost_nanos for cell in routing.cells]
        return bars, cells, row.cost_nanos

    def listed() -> tuple[str | None, str | None]:
        row = list_decisions(acme)["decisions"][0]
        return row["cost_usd"], explain(acme, unseen)["cost_usd"]

    assert (shown(), listed()) == (([], [0], None), (None, None))
    acme.ledger.sweep(NOON + 10 * HOUR_US)
    assert (shown(), listed()) == (([80], [80], 80), ("0.00000008",) * 2)
    settle(acme, unseen, "0.00000003", reason="the provider's bill", actor="fin")
    assert (shown(), listed()) == (([30], [30], 30), ("0.00000003",) * 2)


@pytest.mark.parametrize("outcome", ["uncertain", "failed"])
@pytest.mark.parametrize("told_late", [False, True])
def test_a_call_given_back_costs_nothing_unless_a_bill_comes(
    acme: App, told_late: bool, outcome: str
) -> None:
    """A released hold cost nothing; a settlement that comes after it is always accepted, and is shown."""
    given_back = call(acme, 30, cost_nanos=40, outcome=outcome)
    acme.ledger.do(Release("acme", "back", NOON, given_back, "not_sent"))
    if told_late:
        acme.ledger.do(Settle("acme", "late", NOON, given_back, 50))
    assert reports_log.decisions(acme, Filter()).rows[0].cost_nanos == (50 if told_late else 0)


def test_reasons_of_the_held_offer_count_too(acme: App) -> None:
    """An offer's own reason, as a shortage of money, explains the downgrade; named twice it counts once."""
    call(acme, 9, asked="large", served="small", offer_reason="affordability")
    call(acme, 8, asked="large", served="small", offer_reason="degraded")
    call(acme, 7, asked="large", served="large", offer_reason="affordability")
    seen = reports.overview(acme, "acme", now_us=NOON)
    routing = reports_routing.routing(acme, "acme", now_us=NOON)
    assert seen is not None
    assert routing is not None
    assert seen.downgrades == (Count("degraded", 2), Count("affordability", 1))
    assert routing.reasons == (Count("task_route", 3), Count("affordability", 2), Count("degraded", 2))


@pytest.mark.parametrize("code", [*LOWERING, *LOWERING_ALONE])
def test_every_reason_for_a_downgrade_is_counted(acme: App, code: str) -> None:
    """Whatever lowered a call stands among the downgrades, however the call was lowered."""
    call(acme, 9, asked="large", served="small", reason=code)
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    assert seen.downgrades == (Count(code, 1),)


def test_what_chose_the_first_tier_counts_only_where_nothing_else_lowered(acme: App) -> None:
    """A table that routes an `outlay/auto` call lowers nothing; the step after it does."""
    call(acme, 9, asked="large", served="small", reason="classified")
    call(acme, 8, asked="large", served="small", reason="classified", offer_reason="paced")
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    assert seen.downgrades == (Count("classified", 1), Count("paced", 1))


def test_a_downgrade_without_a_known_reason_is_counted_too(acme: App) -> None:
    """The chart adds up to at least all calls that were lowered, also by reasons of older versions."""
    call(acme, 9, asked="large", served="small", route_reason="asked_tier", reason="of_another_version")
    call(acme, 8, asked="large", served="small")
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    assert seen.downgrades == (Count("degraded", 1), Count(UNTOLD, 1))


def test_refusals_are_those_logged_and_those_only_counted(acme: App) -> None:
    """A storm that was counted by the minute adds to what stands in the log; old minutes do not."""
    call(acme, 12, outcome="refused", code="outlay_budget_exhausted")
    call(acme, 11, outcome="refused", code="outlay_budget_exhausted")
    call(acme, 10, outcome="refused", code="outlay_frozen")
    for minutes, count in ((10, 40), (60 * 24 * 3, 1_000)):
        values = {
            "tenant": "acme",
            "code": "outlay_frozen",
            "minute_us": NOON - minutes * MINUTE_US,
            "count": count,
        }
        acme.ledger.do(Note("acme", f"storm-{minutes}", NOON), [Attachment(tables.refusal_count, values)])
    seen = reports.overview(acme, "acme", span=Span.TODAY, now_us=NOON)
    assert seen is not None
    assert seen.refusals == (Count("outlay_frozen", 41), Count("outlay_budget_exhausted", 2))
    everybody = reports.overview(acme, span=Span.TODAY, now_us=NOON)
    assert everybody is not None
    assert everybody.refusals == seen.refusals


def test_refusals_are_grouped_with_their_first_and_last(acme: App) -> None:
    """By tenant and code, the latest first; what was only counted adds to the count, not to what is kept."""
    books.tenant(acme, "other", NOON - HOUR_US)
    for minutes in (30, 20, 10):
        call(acme, minutes, outcome="refused", code="outlay_frozen")
    books.play(acme, books.Call("other", NOON - 15 * MINUTE_US, outcome="refused", code="outlay_frozen"))
    counted = {"tenant": "acme", "code": "outlay_frozen", "minute_us": NOON - 40 * MINUTE_US, "count": 90}
    acme.ledger.do(Note("acme", "storm", NOON), [Attachment(tables.refusal_count, counted)])
    seen = reports_routing.routing(acme, span=Span.TODAY, now_us=NOON)
    assert seen is not None
    assert seen.refusals == (
        Refusals("acme", "outlay_frozen", 93, 3, NOON - 40 * MINUTE_US, NOON - 10 * MINUTE_US),
        Refusals("other", "outlay_frozen", 1, 1, NOON - 15 * MINUTE_US, NOON - 15 * MINUTE_US),
    )
    kept = reports_log.decisions(acme, Filter(tenant="acme", code="outlay_frozen")).rows
    assert len(kept) == 3
    assert reports_log.decisions(acme, Filter(without_refused=True)).rows == ()


def test_routing_counts_what_was_asked_against_what_served(acme: App) -> None:
    """Every decision is in one cell; refused and failed calls are in that of no tier."""
    call(acme, 50, asked="large", served="large", cost_nanos=100)
    call(acme, 40, asked="large", served="small", cost_nanos=10)
    call(acme, 30, asked="large", served="small", cost_nanos=20)
    call(acme, 20, asked="small", served="small", outcome="refused", code="outlay_frozen")
    seen = reports_routing.routing(acme, "acme", now_us=NOON)
    assert seen is not None
    cells = [
        (cell.asked, cell.served, cell.calls, cell.cost_nanos, cell.asked_cost_nanos) for cell in seen.cells
    ]
    assert cells == [
        ("large", "large", 1, 100, 100), ("large", "small", 2, 30, 300), ("small", None, 1, 0, 0),
    ]  # fmt: skip
    assert seen.reasons == (Count("task_route", 4), Count("degraded", 2))
    assert seen.tiers == ("large", "medium", "small")


def test_routing_counts_refusals_that_were_only_counted(acme: App) -> None:
    """
    Matrix and reasons have as many refusals as the overview: a storm has a row of its own, and the code of
    each is its reason.
    """
    call(acme, 50)
    told = {"code": "outlay_frozen", "text": "frozen", "numbers": {}}
    call(acme, 20, asked="small", served="small", outcome="refused", code="outlay_frozen", refusal=told)
    call(acme, 10, asked="small", served="small", outcome="failed")
    counted = {"tenant": "acme", "code": "outlay_frozen", "minute_us": NOON - 20 * MINUTE_US, "count": 90}
    acme.ledger.do(Note("acme", "storm", NOON), [Attachment(tables.refusal_count, counted)])
    seen = reports_routing.routing(acme, "acme", span=Span.TODAY, now_us=NOON)
    overview = reports.overview(acme, "acme", span=Span.TODAY, now_us=NOON)
    assert seen is not None
    assert overview is not None
    unserved = {(cell.asked, cell.refused): cell.calls for cell in seen.cells if cell.served is None}
    assert unserved == {("small", True): 1, ("small", False): 1, (ONLY_COUNTED, True): 90}
    assert reports_calls.total(overview.refusals) == 91
    assert Count("outlay_frozen", 91) in seen.reasons
    assert Count("outlay_frozen", 91) in overview.refusals


def test_why_tells_reasons_offers_hold_and_the_road_not_taken(acme: App) -> None:
    """One decision comes with its reasons in order, its offers, the one taken, and what was booked."""
    decision = call(acme, 9, asked="large", served="medium", cost_nanos=40, level=1, ratio=0.4)
    found = reports_routing.why(acme, decision)
    assert found is not None
    assert [reason.code for reason in found.reasons] == ["task_route", "degraded"]
    assert found.reasons[1].numbers["below"] == 0.5
    assert [(offer.tier, offer.taken) for offer in found.offers] == [("medium", True), ("small", False)]
    assert found.road_not_taken is not None
    assert (found.road_not_taken.tier, found.road_not_taken.expected_cost_nanos) == ("large", 100)
    assert found.hold is not None
    assert (found.hold.state, found.hold.cost_nanos, found.hold.charge_nanos) == ("settled", 40, 40)


def test_the_role_of_a_call_is_told(acme: App) -> None:
    """It stands among the inputs of the choice; calls that named none, or were never routed, have none."""
    for named in ("planner", None):
        decision = call(acme, 9, role=named)
        found = reports_routing.why(acme, decision)
        assert found is not None
        assert (found.role, explain(acme, decision)["role"]) == (named, named)


def test_why_of_a_refusal_has_no_hold(acme: App) -> None:
    """A refused call held nothing and took no offer."""
    found = reports_routing.why(acme, call(acme, 9, outcome="refused", code="outlay_frozen"))
    assert found is not None
    assert found.hold is None
    assert found.record["code"] == "outlay_frozen"


def test_statement_is_newest_first_and_continues(acme: App) -> None:
    """Lines follow each other without gap; without single calls only what people did remains."""
    holds = [call(acme, minutes, cost_nanos=10) for minutes in (9, 8, 7)]
    acme.ledger.do(Refund("acme", "refund", NOON, holds[0], None, actor="ana", reason="sorry"))
    first = reports.statement(acme, "acme", limit=2)
    rest = reports.statement(acme, "acme", limit=10, before_seq=first[-1].seq)
    lines = [*first, *rest]
    assert [line.kind for line in lines] == ["refund", "settle", "settle", "settle", "topup"]
    assert [line.change_nanos for line in lines[:2]] == [10, -10]
    assert lines[0].balance_nanos == 20 * USD - 20
    assert (lines[0].actor, lines[0].reason) == ("ana", "sorry")
    acme.ledger.do(Correct("acme", "truth", NOON, holds[1], actor="ana", reason="bill", cost_nanos=7))
    people = reports.statement(acme, "acme", calls=False)
    assert [line.kind for line in people] == ["correction", "refund", "topup"]
    assert (people[0].change_nanos, people[0].actor) == (3, "ana")


def test_a_statement_tells_what_became_debt(acme: App) -> None:
    """A call that the credit does not cover moves credit and debt, each on a line of its own."""
    acme.ledger.do(Reserve("acme", "ask", NOON, "h", (Offer(10, 10),)))
    acme.ledger.do(Settle("acme", "bill", NOON, "h", 20 * USD + 3))
    debt, credit, *_ = reports.statement(acme, "acme")
    assert (credit.change_nanos, credit.debt_change_nanos) == (-20 * USD, 0)
    assert (debt.change_nanos, debt.debt_change_nanos) == (0, 3)
    acme.ledger.do(TopUp("acme", "more", NOON, 5))
    assert [line.debt_change_nanos for line in reports.statement(acme, "acme", limit=2)] == [0, -3]


def test_every_budget_is_shown_with_its_window_and_its_raise(acme: App) -> None:
    """All scopes and windows, in the tenant's zone; a raise holds until its end and names what comes back."""
    acme.ledger.do(SetBudget("acme", "m", NOON, 100 * USD, window="month"))
    acme.ledger.do(SetBudget("acme", "h", NOON, USD, window="hour", counts="cost"))
    acme.ledger.do(SetBudget("acme", "t", NOON, 2 * USD, scope="task:crm/summary"))
    acme.ledger.do(SetBudget("acme", "d", NOON, 9 * USD, valid_until_us=NOON + 30 * HOUR_US))
    call(acme, -1, cost_nanos=USD // 2)
    lines = reports.budgets(acme, "acme", now_us=NOON + 2 * MINUTE_US)
    assert [(line.scope, line.window) for line in lines] == [
        ("tenant", "hour"), ("tenant", "day"), ("tenant", "month"), ("task:crm/summary", "day")
    ]  # fmt: skip
    hour, day, month, task = lines
    assert (hour.now.spent_nanos, hour.now.remaining_nanos, hour.counts) == (USD // 2, USD // 2, "cost")
    assert (day.now.limit_nanos, day.standing_nanos) == (9 * USD, 5 * USD)
    assert day.raised_until_us == NOON + 30 * HOUR_US
    assert day.now.resets_us == NOON + 11 * HOUR_US  # Berlin's midnight
    assert month.now.resets_us == NOON + (9 * 24 + 11) * HOUR_US
    assert task.now.spent_nanos == 0  # the helper's calls hold in no scope
    later = reports.budgets(acme, "acme", now_us=NOON + 31 * HOUR_US)[1]
    assert (later.now.limit_nanos, later.raised_until_us) == (5 * USD, None)
    seen = reports.overview(acme, "acme", now_us=NOON + 2 * MINUTE_US)
    assert seen is not None
    assert seen.budgets == lines


def test_what_lets_no_call_pass_is_told_with_its_end(acme: App) -> None:
    """Halted, frozen, without credit until a lot takes effect, a budget of 0: in that order, with its end."""
    books.tenant(acme, "poor", NOON, credit_nanos=0, daily_nanos=0)

    def stops(now_us: int = NOON, tenant: str = "poor") -> list[tuple[str, int | None]]:
        row = next(row for row in reports.tenants(acme, now_us=now_us) if row.tenant == tenant)
        alone = reports.overview(acme, tenant, now_us=now_us)
        assert alone is not None
        assert alone.tenants == (row,)
        return [(str(stop.obstacle), stop.until_us) for stop in row.stops]

    assert stops() == [("no_credit", None), ("budget_used_up", None)]
    soon = NOON + HOUR_US
    acme.ledger.do(TopUp("poor", "soon", NOON, 7 * USD, effective_us=soon))
    acme.ledger.do(SetBudget("poor", "raise", NOON, USD, valid_until_us=NOON + 2 * HOUR_US))
    assert stops() == [("no_credit", soon)]
    assert stops(soon) == []  # nobody has booked it yet, but a call would find it
    assert stops(NOON + 2 * HOUR_US) == [("budget_used_up", None)]
    acme.ledger.do(SetAccount("poor", "freeze", NOON, True))
    acme.circuit.halt("tenant:poor", "loop", "ana", NOON)
    assert [name for name, _ in stops()] == ["halted", "frozen", "no_credit"]
    acme.circuit.halt("global", "all", "ana", NOON)
    assert stops(tenant="acme") == [("all_halted", None)]
    policies.apply_policy(acme, default_policy_text().replace('"enforce"', '"observe"'), actor="ana")
    assert [name for name, _ in stops()] == ["all_halted", "halted", "frozen"]
    poor = next(row for row in reports.tenants(acme, now_us=NOON) if row.tenant == "poor")
    assert [stop.obstacle for stop in poor.observed] == [Obstacle.NO_CREDIT]


def test_credit_that_has_expired_or_is_spent_is_no_credit(acme: App) -> None:
    """An expired lot is gone before a sweep books it; a spent day ends with the day, a debt with a top-up."""
    books.tenant(acme, "promo", NOON, credit_nanos=0, daily_nanos=USD)
    ends = NOON + HOUR_US
    acme.ledger.do(TopUp("promo", "lot", NOON, 7 * USD, "promo", ends))

    def stops(now_us: int) -> tuple[Stop, ...]:
        return next(row for row in reports.tenants(acme, now_us=now_us) if row.tenant == "promo").stops

    assert stops(NOON) == ()
    assert [stop.obstacle for stop in stops(ends)] == [Obstacle.NO_CREDIT]
    books.play(acme, books.Call("promo", NOON, cost_nanos=USD))
    assert stops(NOON) == (Stop(Obstacle.BUDGET_USED_UP, NOON + 12 * HOUR_US, "", USD, "day"),)
    acme.ledger.do(Adjust("promo", "taken", NOON + 1, -8 * USD, "booked twice", "ana"))
    found = stops(NOON)
    assert [(stop.obstacle, stop.nanos) for stop in found[:2]] == [
        (Obstacle.IN_DEBT, 2 * USD), (Obstacle.NO_CREDIT, None)
    ]  # fmt: skip


def test_switches_and_breakers_concern_their_tenant(acme: App) -> None:
    """A tenant sees the switch of all and its own, not its neighbour's; the overview of all sees each."""
    books.tenant(acme, "other", NOON - HOUR_US)
    assert reports.halted(acme, None) is None
    acme.circuit.halt("tenant:other", "loop", "ana", NOON)
    seen, everybody = reports.overview(acme, "acme", now_us=NOON), reports.overview(acme, now_us=NOON)
    assert seen is not None
    assert everybody is not None
    assert seen.switches == ()
    assert [switch.scope for switch in everybody.switches] == ["tenant:other"]
    assert [row.tenant for row in everybody.tenants if stopped(row, Obstacle.HALTED)] == ["other"]
    acme.circuit.halt("global", "fire", "ana", NOON)
    seen = reports.overview(acme, "acme", now_us=NOON)
    assert seen is not None
    assert [switch.reason for switch in seen.switches] == ["fire"]
    halted = reports.halted(acme, "other")
    assert halted is not None
    assert halted.reason == "loop"


def test_an_open_breaker_shows_at_its_tenant(acme: App) -> None:
    """A tripped tenant reads as such in every list, and the breaker is shown until it is reset."""
    books.tenant(acme, "other", NOON - HOUR_US)
    acme.circuit.force("tenant:other", State.FORCED_OPEN, "too fast", "ana", NOON)
    everybody = reports.overview(acme, now_us=NOON)
    assert everybody is not None
    assert [breaker.scope for breaker in everybody.breakers] == ["tenant:other"]
    assert [
        row.tenant for row in reports.tenants(acme, now_us=NOON) if stopped(row, Obstacle.BREAKER_OPEN)
    ] == ["other"]
    acme.circuit.reset("tenant:other", "mended", "ana", NOON)
    assert not any(row.stops for row in reports.tenants(acme, now_us=NOON))


def test_days_of_clock_changes_have_their_true_length() -> None:
    """In Berlin the last Sunday of October has 25 hours; its buckets tile it without gap."""
    noon = 1_792_926_000_000_000  # 2026-10-25 11:00 UTC, the day on which summer time ended
    seen = period(Span.TODAY, "Europe/Berlin", noon)
    starts, ends = period(Span.WEEK, "Europe/Berlin", noon).bucket(noon)
    assert ends - starts == 25 * HOUR_US
    at_us, hours = seen.from_us, 0
    while at_us < ends:
        begin, at_us = seen.bucket(at_us)[0], seen.bucket(at_us)[1]
        assert at_us - begin == HOUR_US
        hours += 1
    assert hours == 25


def test_half_hour_zones_have_local_hours() -> None:
    """In India an hour starts at half past of UTC."""
    starts, ends = period(Span.TODAY, "Asia/Kolkata", NOON).bucket(NOON)
    assert (NOON - starts, ends - NOON) == (30 * MINUTE_US, 30 * MINUTE_US)


@pytest.mark.parametrize(
    ("oldest_min", "newest_min", "span"),
    [
        (None, None, Span.TODAY),
        (5, 1, Span.QUARTER),
        (40, 1, Span.HOUR),
        (90, 80, Span.TODAY),
        (60 * 24 * 5, 10, Span.TODAY),
        (60 * 24 * 5, 60 * 24 * 2, Span.WEEK),
    ],
)
def test_the_span_fits_the_traffic(oldest_min: int | None, newest_min: int | None, span: Span) -> None:
    """Minutes after the first call minutes are shown, later the day, and the week where today is quiet."""
    oldest = None if oldest_min is None else NOON - oldest_min * MINUTE_US
    newest = None if newest_min is None else NOON - newest_min * MINUTE_US
    assert fitting_span(oldest, newest, "UTC", NOON) is span


@pytest.mark.parametrize(("lasted_s", "step_s"), [(0, 1), (30, 1), (60, 2), (150, 5), (600, 15)])
def test_minutes_after_the_first_call_steps_are_fine(lasted_s: int, step_s: int) -> None:
    """A burst of a minute is shown in seconds, from its first call; a longer one in the steps of its span."""
    oldest = NOON - 11 * MINUTE_US
    seen = fitting_period(oldest, oldest + lasted_s * 1_000_000, "UTC", NOON)
    assert (seen.span, seen.step_us) == (Span.QUARTER, step_s * 1_000_000)
    assert seen.from_us <= oldest < seen.to_us


def test_a_call_refused_before_routing_asked_for_no_tier(acme: App) -> None:
    """It is told apart from calls of models that no tier lists."""
    record = books.records.opened(
        id="early", tenant="acme", at_us=NOON, surface="gateway", asked_model="claude-x"
    )
    row = books.records.row(record, outcome="refused", finished_us=NOON, code="outlay_runaway_halt")
    acme.ledger.do(Note("acme", "early", NOON), [Attachment(tables.decision, row)])
    seen = reports_routing.routing(acme, "acme", now_us=NOON)
    assert seen is not None
    assert [(cell.asked, cell.served, cell.calls) for cell in seen.cells] == [("not routed", None, 1)]
