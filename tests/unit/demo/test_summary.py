"""
The summary finds every difference between the books and the bill, however small.
"""

from collections import Counter
from dataclasses import replace

import pytest

from outlay.demo.books import Books, TenantBooks
from outlay.demo.plan import Plan, PlannedCall, TenantPlan
from outlay.demo.player import Played
from outlay.demo.summary import Summary, as_dict, summarise

A, B = "acme", "bolt"


def _call(tenant: str) -> PlannedCall:
    return PlannedCall(0.0, tenant, "claude-opus-5-5", 10, 5, 512)


def _played(tenant: str, number: int) -> Played:
    return Played(_call(tenant), 0, 200, decision_id=f"d{number}", message_id=f"m{number}")


PLAN = Plan(
    tenants=tuple(TenantPlan(name, "UTC", "1.00", "0.50", "", "a story") for name in (A, B)),
    calls=(_call(A), _call(A), _call(B)),
    policy="",
    scenario="",
    play_s=1.0,
)
PLAYED = (_played(A, 1), _played(A, 2), _played(B, 3))
BILL = {"m1": 1_000, "m2": 2_000, "m3": 4_000}


def _books() -> Books:
    acme = TenantBooks(
        cost_nanos=3_000,
        logged_nanos=3_000,
        lowered_nanos=2_000,
        lowered_asked_nanos=4_000,
        calls={"d1": 1_000, "d2": 2_000},
    )
    bolt = TenantBooks(cost_nanos=4_000, logged_nanos=4_000, calls={"d3": 4_000})
    return Books({A: acme, B: bolt}, {})


def _unequal(summary: Summary) -> set[str]:
    return {check.name for check in summary.checks if not check.equal}


def test_equal_books_are_equal() -> None:
    """Books and bill that agree pass every check."""
    summary = summarise(PLAN, PLAYED, _books(), BILL)
    assert summary.equal
    assert _unequal(summary) == set()
    assert [(line.booked_nanos, line.billed_nanos, line.saved_nanos) for line in summary.lines] == [
        (3_000, 3_000, 2_000),
        (4_000, 4_000, 0),
    ]


def test_one_nano_dollar_too_much_in_the_books_is_found() -> None:
    """The smallest difference of one tenant shows in its line and in the total."""
    books = _books()
    books.tenants[A].cost_nanos += 1
    summary = summarise(PLAN, PLAYED, books, BILL)
    assert not summary.equal
    assert _unequal(summary) == {"spend of acme", "spend of all tenants"}


def test_one_nano_dollar_too_much_on_the_bill_is_found() -> None:
    """So does one on the provider's side, which also breaks the comparison call by call."""
    summary = summarise(PLAN, PLAYED, _books(), {**BILL, "m3": 4_001})
    assert _unequal(summary) == {
        "spend of bolt",
        "spend of all tenants",
        "the same by the decision log",
        "calls that cost the same on both sides",
    }


def test_money_booked_on_the_wrong_tenant_is_found() -> None:
    """Totals that agree do not hide a call that another tenant paid for."""
    books = _books()
    books.tenants[A].cost_nanos, books.tenants[B].cost_nanos = 4_000, 3_000
    assert _unequal(summarise(PLAN, PLAYED, books, BILL)) == {"spend of acme", "spend of bolt"}


def test_two_calls_with_exchanged_costs_are_found() -> None:
    """Sums that agree do not hide calls that do not."""
    books = _books()
    books.tenants[A].calls = {"d1": 2_000, "d2": 1_000}
    assert _unequal(summarise(PLAN, PLAYED, books, BILL)) == {"calls that cost the same on both sides"}


def test_a_billed_message_that_no_client_saw_is_found() -> None:
    """What the provider billed and nobody received belongs to no tenant, and is not passed over."""
    summary = summarise(PLAN, PLAYED, _books(), {**BILL, "m9": 7})
    assert "spend of all tenants" in _unequal(summary)


@pytest.mark.parametrize("field", ["open_holds", "estimated"])
def test_calls_without_a_final_count_are_shown(field: str) -> None:
    """A hold that stands, or a cost that is an estimate, is not called equal."""
    books = _books()
    setattr(books.tenants[B], field, 1)
    assert _unequal(summarise(PLAN, PLAYED, books, BILL)) == {"calls not settled, or settled by estimate"}


def test_a_decision_log_that_differs_from_the_ledger_is_found() -> None:
    """The two halves of the books are compared with the bill each for itself."""
    books = _books()
    books.tenants[B].logged_nanos = 0
    assert _unequal(summarise(PLAN, PLAYED, books, BILL)) == {"the same by the decision log"}


def test_retries_count_as_one_call_and_their_failures_as_failures_of_the_provider() -> None:
    """A call that failed once and was then served is served; refusals of ours are no failures."""
    first = replace(PLAYED[0], status=529, code="overloaded_error", message_id="", last=False)
    refused = Played(_call(B), 0, 429, code="outlay_daily_budget_reached", ours=True)
    summary = summarise(PLAN, (first, *PLAYED, refused), _books(), BILL)
    acme, bolt = summary.lines
    assert (acme.calls, acme.served, acme.failed) == (2, 2, 0)
    assert (bolt.calls, bolt.served, bolt.refused) == (2, 1, 1)
    assert summary.failures == {"overloaded_error": 1}
    assert summary.refusals == {"outlay_daily_budget_reached": 1}
    assert summary.retried == 1
    assert summary.situations["daily budget reached"] == 1


def test_refused_attempts_that_were_made_again_are_counted_by_their_end() -> None:
    """Final and retried refusals together are what the books counted; equal calls are not taken for one."""
    busy = replace(PLAYED[0], status=429, code="outlay_budget_busy", message_id="", ours=True, last=False)
    other = replace(busy, call=_call(A))
    ended = replace(other, last=True)
    summary = summarise(PLAN, (busy, other, other, *PLAYED, ended), _books(), BILL)
    assert summary.refusals == {"outlay_budget_busy": 1}
    assert summary.refusals_served == {"outlay_budget_busy": 1}
    assert summary.refusals_repeated == {"outlay_budget_busy": 2}


def test_situations_are_counted_from_reasons_and_trips() -> None:
    """Downgrades by thresholds, outages, exemptions and trips each have their own count."""
    books = _books()
    books.tenants[A].downgrades = Counter({"tenant/day below 50%": 3})
    books.tenants[A].detours = Counter({"provider_unhealthy": 2})
    books.tenants[B].kept = Counter({"exempt": 4})
    found = summarise(PLAN, PLAYED, replace(books, trips={"model:x": 1, "tenant:bolt": 1}), BILL).situations
    assert found["downgraded as money ran low"] == 3
    assert found["served by another model meanwhile"] == 2
    assert found["critical calls kept their model"] == 4
    assert found["provider breaker opened"] == 1


def test_json_carries_money_as_text_and_says_whether_all_is_equal() -> None:
    """Scripts read exact decimal text, never a float."""
    data = as_dict(summarise(PLAN, PLAYED, _books(), BILL))
    assert data["equal"] is True
    tenants = data["tenants"]
    assert isinstance(tenants, list)
    assert tenants[0]["spent_usd"] == tenants[0]["billed_usd"] == "0.000003"
