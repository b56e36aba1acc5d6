"""
The list of a tenant's budgets: every one, with what it allows, what is used and left, and its own clock.
"""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from ledger import tables as ledger_tables
from ledger.journal_reads import budget_zones, budgets_since, zone_of_window
from outlay import fields
from outlay.admin import budgets, money, tenants
from outlay.clock import now_us
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
    """
    After changes of zone the list says in which zone each budget's window still runs, until when, and which
    zone holds from then on; a budget that is set afterwards begins in the new one.
    """
    make_call()
    before = budgets.list_budgets(app, "acme")["budgets"][0]
    assert (before["timezone"], before["next_timezone"]) == ("Europe/Berlin", None)
    for zone in ("America/New_York", "Asia/Tokyo"):
        tenants.set_tenant(app, "acme", timezone=zone, actor="t")
        money.set_budget(app, "acme", "6", actor="t")
        found = budgets.list_budgets(app, "acme")
        row = found["budgets"][0]
        assert (found["timezone"], row["timezone"], row["next_timezone"]) == (zone, "Europe/Berlin", zone)
        assert (row["starts_at"], row["resets_at"]) == (before["starts_at"], before["resets_at"])
    money.set_budget(app, "acme", "1", scope="task:new", actor="t")
    row = budgets.list_budgets(app, "acme")["budgets"][-1]
    assert (row["scope"], row["timezone"], row["next_timezone"]) == ("task:new", "Asia/Tokyo", None)
    assert row["resets_at"].endswith("T00:00:00+09:00")


def test_the_window_after_a_change_of_zone_runs_in_the_new_one(app: App, acme: Any) -> None:
    """
    At the old zone's midnight the new zone holds, although its own midnight is another.
    """
    tenants.set_tenant(app, "acme", timezone="America/New_York", actor="t")
    ends = budgets.list_budgets(app, "acme")["budgets"][0]["resets_at"]
    after_us = fields.instant_us(ends, "ends", "UTC")
    with app.reading() as connection:
        zones = budget_zones(connection, "acme")
    assert zone_of_window(zones, "tenant", "day", after_us) == "America/New_York"
    assert zone_of_window(zones, "tenant", "day", after_us - 86_400_000_000) == "Europe/Berlin"
    assert zone_of_window(zones, "task:none", "day", after_us) is None


def test_a_budget_set_within_its_window_says_from_when_it_counts(
    app: App, acme: Any, make_call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nothing spent is moved into a new budget, so the order's answer and the list say from when it counts,
    until the next window; the day that came with the account misses nothing.
    """
    make_call()
    before = now_us()
    made = money.set_budget(app, "acme", "2", window="month", idempotency_key="m1", actor="t")
    assert before <= fields.instant_us(made["counts_from"], "counts_from", "UTC") <= now_us()
    assert made["counts_from"].endswith(("+01:00", "+02:00"))
    again = money.set_budget(app, "acme", "2", window="month", idempotency_key="m1", actor="t")
    assert again == {**made, "replayed": True}
    assert money.set_budget(app, "acme", "5", actor="t")["counts_from"] is None
    raised = money.raise_budget(app, "acme", "3", window="month", until="2090-01-01", actor="t")
    assert raised["counts_from"] == made["counts_from"]
    day, month = budgets.list_budgets(app, "acme")["budgets"]
    assert (day["counts_from"], month["counts_from"]) == (None, made["counts_from"])
    assert Decimal(day["spent_usd"]) > 0
    assert month["spent_usd"] == "0.00"
    next_us = fields.instant_us(month["resets_at"], "resets_at", "UTC")
    monkeypatch.setattr(budgets, "now_us", lambda: next_us)
    assert [row["counts_from"] for row in budgets.list_budgets(app, "acme")["budgets"]] == [None, None]


def test_setting_a_budget_reads_one_entry_of_the_journal(app: App, acme: Any) -> None:
    """A tenant may have a budget for each of its users: what the others were set to is not read."""
    for number in range(5):
        money.set_budget(app, "acme", str(number), scope=f"user:{number}", actor="t")
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "FROM ledger_setting" in statement:
            asked.append((statement, values))

    event.listen(app.engine, "before_cursor_execute", note)
    first = money.set_budget(app, "acme", "1", window="month", scope="user:new", actor="t")
    again = money.set_budget(app, "acme", "2", window="month", scope="user:new", actor="t")
    event.remove(app.engine, "before_cursor_execute", note)
    assert asked
    assert first["counts_from"] == again["counts_from"] is not None
    with app.reading() as connection:
        for statement, values in asked:
            assert len(connection.exec_driver_sql(statement, values).all()) == 1, statement


def test_a_budget_older_than_the_journal_does_not_say_since_when_it_counts(app: App, acme: Any) -> None:
    """The migration's entry says that a budget was there, not when it was set."""
    old = {
        "tenant": "acme", "n": 99, "subject": "budget:tenant/month", "value": "{}", "op_key": "",
        "actor": "migration", "reason": "", "at": now_us(), "prev_hash": "", "hash": "",
    }  # fmt: skip
    with app.engine.begin() as connection:
        connection.execute(ledger_tables.setting.insert().values(old))
    with app.reading() as connection:
        assert set(budgets_since(connection, "acme")) == {"budget:tenant/day"}
        assert budgets_since(connection, "acme", "budget:tenant/month") == {}


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
