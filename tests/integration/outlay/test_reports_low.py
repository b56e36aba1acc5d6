"""
The mark "low" of a tenant: its latest call was refused for money, and its usual calls would be as well.
"""

import dashboard_books as books
import pytest
from dashboard_books import HOUR_US, MINUTE_US, NOON, USD

from ledger.types import Attachment, Note, SetAccount, SetBudget
from outlay import reports, tables
from outlay.reports_money import TenantRow
from outlay.wiring import App
from pricing.money import PPM


@pytest.fixture
def acme(app: App) -> App:
    """Books with one tenant since yesterday morning: 20 USD of credit, 5 USD a day."""
    books.tenant(app, "acme", NOON - 30 * HOUR_US)
    return app


@pytest.mark.parametrize(
    ("code", "numbers", "credit", "day", "is_tight"),
    [
        ("outlay_credit_exhausted", {"needed_usd": "0.51"}, USD // 2, None, True),
        ("outlay_credit_exhausted", {"needed_usd": "0.50"}, USD // 2, None, False),
        ("outlay_daily_budget_reached", {"needed_usd": "0.51"}, USD, USD // 2, True),
        ("outlay_daily_budget_reached", {"needed_usd": "0.50"}, USD, USD // 2, False),
        ("outlay_priority_refused", {"gauge": "tenant/day", "below": 1.0}, USD, USD // 2, False),
        ("outlay_frozen", {"needed_usd": "9.00"}, USD // 2, None, False),
    ],
)
def test_money_that_was_too_little_for_the_latest_call_is_told(
    acme: App, code: str, numbers: dict[str, object], credit: int, day: int | None, is_tight: bool
) -> None:
    """As long as there is no more of it than the refused call needed, and no later call passed."""
    where = {"budget_scope": "tenant", "budget_window": "day"} if "budget" in code else {}
    books.tenant(acme, "trial", NOON, credit_nanos=credit, daily_nanos=day)

    def row() -> TenantRow:
        return next(row for row in reports.tenants(acme, now_us=NOON) if row.tenant == "trial")

    told = {"code": code, "text": "too dear", "numbers": {**numbers, **where}}
    for minutes in (3, 2, 1):
        at_us = NOON - minutes * MINUTE_US
        books.play(acme, books.Call("trial", at_us, outcome="refused", code=code, refusal=told))
    assert row().stops == ()
    assert (row().tight is not None) is is_tight
    books.play(acme, books.Call("trial", NOON, cost_nanos=1))
    assert row().tight is None
    books.play(acme, books.Call("trial", NOON, outcome="refused", code=code, refusal=told))
    books.play(acme, books.Call("trial", NOON + 1, cost_nanos=1))
    assert row().tight is None


def _refused(app: App, tenant: str, minutes_ago: int, needed: str, window: str | None = None) -> None:
    """Refuse a call that needed so many USD, for credit or for a budget of the tenant."""
    where = {} if window is None else {"budget_scope": "tenant", "budget_window": window}
    code = "outlay_credit_exhausted" if window is None else "outlay_daily_budget_reached"
    told = {"code": code, "text": "too dear", "numbers": {"needed_usd": needed, **where}}
    at_us = NOON - minutes_ago * MINUTE_US
    books.play(app, books.Call(tenant, at_us, outcome="refused", code=code, refusal=told))


def _tight(app: App, tenant: str) -> str | None:
    row = next(row for row in reports.tenants(app, now_us=NOON) if row.tenant == tenant)
    return None if row.tight is None else row.tight.gauge


@pytest.mark.parametrize("window", [None, "day"])
def test_one_absurd_ask_marks_nobody_as_low(acme: App, window: str | None) -> None:
    """A tenant whose usual calls fit is not low, however often the absurd one is asked for again."""
    for minutes in range(9, 4, -1):
        books.call(acme, minutes, cost_nanos=USD // 10)  # each held 0.20 USD; 4.50 are left of the day
    for minutes in (3, 2, 1):
        _refused(acme, "acme", minutes, "50.00", window)
    assert _tight(acme, "acme") is None


@pytest.mark.parametrize(("window", "gauge"), [(None, "credit"), ("day", "tenant/day")])
def test_who_cannot_pay_for_a_usual_call_is_low(acme: App, window: str | None, gauge: str) -> None:
    """Usual is the middle one of what was let through in the last day, at what was held for it."""
    books.tenant(acme, "short", NOON - HOUR_US, credit_nanos=2 * USD, daily_nanos=2 * USD)
    for minutes, cost in ((9, USD // 100), (8, 6 * USD // 10), (7, 7 * USD // 10)):
        books.play(acme, books.Call("short", NOON - minutes * MINUTE_US, cost_nanos=cost))
    _refused(acme, "short", 1, "0.70", window)  # 0.69 are left, and the usual call holds 1.20
    assert _tight(acme, "short") == gauge


def test_what_is_usual_is_counted_as_the_budget_counts(acme: App) -> None:
    """A budget that counts what the provider bills is compared with that, not with what the tenant pays."""
    books.tenant(acme, "dear", NOON - HOUR_US, credit_nanos=90 * USD, daily_nanos=None)
    acme.ledger.do(SetAccount("dear", "price", NOON - HOUR_US, multiplier_ppm=10 * PPM))
    acme.ledger.do(SetBudget("dear", "of-month", NOON - HOUR_US, USD, window="month", counts="cost"))
    books.play(acme, books.Call("dear", NOON - 9 * MINUTE_US, cost_nanos=USD // 10))  # held 0.20, to pay 2.00
    _refused(acme, "dear", 1, "5.00", "month")
    assert _tight(acme, "dear") is None


def test_who_was_never_let_through_is_low_from_the_third_refusal(acme: App) -> None:
    """Of a new tenant nothing is usual: its first ask, however large, marks nobody."""
    books.tenant(acme, "new", NOON - HOUR_US, credit_nanos=20 * USD)
    for minutes, gauge in ((3, None), (2, None), (1, "credit")):
        _refused(acme, "new", minutes, "50.00")
        assert _tight(acme, "new") == gauge


def test_a_storm_of_refusals_after_a_call_that_passed_is_told(acme: App) -> None:
    """Refusals beyond the first of a minute are only counted; what was missing is told all the same."""
    books.tenant(acme, "trial", NOON - HOUR_US, credit_nanos=USD)
    for minutes in (2, 1):
        books.play(acme, books.Call("trial", NOON - minutes * MINUTE_US, cost_nanos=4 * USD // 10))
    _refused(acme, "trial", 0, "0.50")
    books.play(acme, books.Call("trial", NOON + 1, cost_nanos=1))
    assert _tight(acme, "trial") is None
    counted = {"tenant": "trial", "code": "outlay_credit_exhausted", "minute_us": NOON, "count": 9}
    acme.ledger.do(Note("trial", "storm", NOON), [Attachment(tables.refusal_count, counted)])
    assert _tight(acme, "trial") == "credit"
