"""
The list of a tenant's budgets: every one, with what it allows, what is used and left, and its own clock.
"""

from decimal import Decimal
from typing import Any

import pytest

from outlay.admin import budgets, money, tenants
from outlay.errors import Rejected
from outlay.reports_budgets import LINES_MAX
from outlay.wiring import App


def test_every_budget_is_listed_with_what_is_left(app: App, acme: Any, make_call: Any) -> None:
    """Of all calls first, then by scope; spent, held and left add up to the limit."""
    money.set_budget(app, "acme", "2", window="hour", counts="cost", actor="t")
    money.set_budget(app, "acme", "none", window="month", actor="t")
    money.set_budget(app, "acme", "0.50", scope="task:blog", actor="t")
    make_call(outcome=None)
    make_call()
    found = budgets.list_budgets(app, "acme")
    assert (found["tenant"], found["timezone"]) == ("acme", "Europe/Berlin")
    rows = found["budgets"]
    assert [(row["scope"], row["window"], row["counts"]) for row in rows] == [
        ("tenant", "hour", "cost"), ("tenant", "day", "charge"), ("tenant", "month", "charge"),
        ("task:blog", "day", "charge"),
    ]  # fmt: skip
    hour, day, month, task = rows
    balance = money.balance(app, "acme")["day"]
    same = ("limit_usd", "spent_usd", "held_usd", "overage_usd", "counts", "remaining_ratio", "resets_at")
    assert {name: day[name] for name in same} == {name: balance[name] for name in same}
    used = [Decimal(day[name]) for name in ("spent_usd", "held_usd")]
    assert min(used) > 0
    assert Decimal(day["left_usd"]) + sum(used) == Decimal("5.00")
    assert hour["resets_at"].endswith((":00:00+01:00", ":00:00+02:00"))
    assert (month["limit_usd"], month["left_usd"], month["remaining_ratio"]) == (None, None, None)
    assert (task["spent_usd"], task["left_usd"], task["name"]) == ("0.00", "0.50", None)


def test_a_raise_is_listed_with_its_end_and_the_limit_after_it(app: App, acme: Any) -> None:
    """The limit in force, the instant on the tenant's clock, the one that holds again."""
    money.raise_budget(app, "acme", "9", until="2090-01-31", actor="t")
    row = budgets.list_budgets(app, "acme")["budgets"][0]
    assert (row["limit_usd"], row["standing_usd"]) == ("9.00", "5.00")
    assert row["raised_until"] == "2090-01-31T00:00:00+01:00"


def test_a_budget_keeps_its_zone_until_its_window_ends(app: App, acme: Any, make_call: Any) -> None:
    """After a change of zone the list says in which zone each budget's window still runs."""
    make_call()
    tenants.set_tenant(app, "acme", timezone="Asia/Tokyo", actor="t")
    found = budgets.list_budgets(app, "acme")
    assert found["timezone"] == "Asia/Tokyo"
    row = found["budgets"][0]
    assert row["timezone"] in ("Europe/Berlin", "Asia/Tokyo")
    assert row["resets_at"] == money.balance(app, "acme")["day"]["resets_at"]


def test_a_budget_of_a_key_has_its_name(app: App, acme: Any) -> None:
    """Ids of keys tell people nothing."""
    money.set_budget(app, "acme", "1", scope=f"key:{acme['key_id']}", actor="t")
    assert budgets.list_budgets(app, "acme")["budgets"][-1]["name"] == "first key"


def test_no_budget_is_left_out(app: App, acme: Any) -> None:
    """The dashboard shows the tightest few hundred; a list for scripts is whole."""
    budget = next(iter(budgets.list_budgets(app, "acme")["budgets"]))
    assert budget["window"] == "day"
    for number in range(LINES_MAX + 1):
        money.set_budget(app, "acme", "1", scope=f"user:{number}", actor="t")
    assert len(budgets.list_budgets(app, "acme")["budgets"]) == LINES_MAX + 2


def test_an_unknown_tenant_has_no_budgets(app: App, acme: Any) -> None:
    """It is refused like everywhere, with the name that was meant."""
    with pytest.raises(Rejected, match='Did you mean "acme"'):
        budgets.list_budgets(app, "acmee")
