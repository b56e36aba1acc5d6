"""
Lots, corrections, seals and the past, as operators reach them.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ledger.types import Offer, OpenAccount, Reserve, TopUp
from outlay.admin import books, lots, money, statements, tenants
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected
from outlay.wiring import App

DAY_US = 86_400 * 1_000_000


def soon(days: int) -> str:
    """A time in the future, without an offset."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_correction_needs_a_reason_and_counts_once(app: App, acme: dict[str, Any]) -> None:
    """
    Taking 25 of 20 leaves 5 owed; the statement says who did it and why.
    """
    order = {"take": True, "reason": "booked twice", "idempotency_key": "fix-1", "actor": "ann"}
    done = lots.adjust(app, "acme", "25", confirmed=True, **order)  # type: ignore[arg-type]
    assert (done["credit_usd"], done["debt_usd"], done["amount_usd"]) == ("0.00", "5.00", "-25.00")
    assert lots.adjust(app, "acme", "25", **order) == {**done, "replayed": True}  # type: ignore[arg-type]
    line = statements.statement(app, "acme")["lines"][-1]
    assert (line["kind"], line["actor"], line["reason"]) == ("adjust", "ann", "booked twice")
    for bad, field in (({"reason": " "}, "reason"), ({"reason": "x", "amount": "-1"}, "amount")):
        with pytest.raises(BadInput) as caught:
            lots.adjust(app, "acme", bad.get("amount", "1"), reason=bad["reason"], actor="t")
        assert (caught.value.field, bool(caught.value.fix)) == (field, True)


def test_taking_more_than_is_free_is_confirmed_first(app: App, acme: dict[str, Any]) -> None:
    """
    With 20 of credit, 4 of them held, a nano more than 16 makes debt: nothing is written without a
    confirmation. Under its key an order that was confirmed comes again without one.
    """
    app.ledger.do(Reserve("acme", "k", now_us(), "h", (Offer(4 * 10**9, 1),)))
    before = money.balance(app, "acme")
    with pytest.raises(Rejected, match=r"16\.00 USD of free credit") as caught:
        lots.adjust(app, "acme", "16.000000001", take=True, reason="typo", actor="t")
    assert caught.value.code == "debt_unconfirmed"
    told = {name: caught.value.details[name] for name in ("amount_usd", "available_usd", "debt_usd")}
    assert told == {"amount_usd": "16.000000001", "available_usd": "16.00", "debt_usd": "0.000000001"}
    assert "--yes" in str(caught.value.details["fix"])
    assert money.balance(app, "acme") == before
    lots.adjust(app, "acme", "17", reason="adding needs none", actor="t")
    lots.adjust(app, "acme", "33", take=True, reason="all", actor="t")
    order = {"take": True, "reason": "owed", "idempotency_key": "owed-1", "actor": "t"}
    done = lots.adjust(app, "acme", "2", confirmed=True, **order)  # type: ignore[arg-type]
    assert done["debt_usd"] == "2.00"
    assert lots.adjust(app, "acme", "2", **order) == {**done, "replayed": True}  # type: ignore[arg-type]
    with pytest.raises(Rejected) as caught:
        lots.adjust(app, "acme", "3", **order)  # type: ignore[arg-type]
    assert caught.value.code == "key_conflict"
    with pytest.raises(BadInput, match="true nor false"):
        lots.adjust(app, "acme", "3", take=True, reason="r", confirmed="yes", actor="t")  # type: ignore[arg-type]


def test_an_adjustment_answers_with_the_debt_that_is_left(app: App, acme: dict[str, Any]) -> None:
    """
    Whether credit is added or taken, the answer's debt is that of the balance.
    """
    for amount, take, left in (("20.03", True, "0.03"), ("0.01", False, "0.02"), ("0.01", True, "0.03")):
        done = lots.adjust(app, "acme", amount, take=take, reason="x", confirmed=True, actor="t")
        assert (done["debt_usd"], money.balance(app, "acme")["debt_usd"]) == (left, left)


def test_the_debt_of_a_reversed_lot_is_settled_from_other_credit(app: App, acme: dict[str, Any]) -> None:
    """
    A spent lot is taken back: its 5 are owed beside 20 of credit, until they are taken from it and added.
    """
    lot = money.top_up(app, "acme", "5", kind="promo", actor="t")["transfer"]
    lots.adjust(app, "acme", "5", take=True, reason="spent", actor="t")
    back = lots.reverse(app, lot, reason="mistake", actor="t")
    assert (back["tenant"], back["debt_usd"], back["credit_usd"]) == ("acme", "5.00", "20.00")
    lots.adjust(app, "acme", "5", take=True, reason="settle", actor="t")
    done = lots.adjust(app, "acme", "5", reason="settle", actor="t")
    assert (done["repaid_usd"], done["debt_usd"], done["credit_usd"]) == ("5.00", "0.00", "15.00")
    with pytest.raises(Rejected, match="already taken back whole"):
        lots.reverse(app, lot, reason="again", actor="t")
    assert books.verify(app)["problems"] == []


def test_a_chargeback_freezes_and_the_next_payment_repays(app: App, acme: dict[str, Any]) -> None:
    """
    The opening credit of 20 is charged back while 8 are held: 12 are taken, 8 owed, then 10 paid repay them.
    """
    app.ledger.do(Reserve("acme", "k", now_us(), "h", (Offer(8 * 10**9 // 2, 1),)))
    back = lots.reverse(app, "acme-1", kind="chargeback", reason="bank", actor="ann")
    assert (back["taken_usd"], back["debt_usd"], back["frozen"]) == ("16.00", "4.00", True)
    assert tenants.show_tenant(app, "acme")["frozen"] is True
    assert money.top_up(app, "acme", "10", actor="t")["repaid_usd"] == "4.00"
    with pytest.raises(Rejected) as caught:
        lots.reverse(app, "acme-1", reason="again", actor="ann")
    assert caught.value.code == "reversal_exceeds_grant"
    with pytest.raises(Rejected) as caught:
        lots.reverse(app, "acme-77", reason="x", actor="ann")
    assert caught.value.code == "unknown_lot"
    assert books.verify(app)["problems"] == []


def test_scheduled_credit_is_listed_and_can_be_told(app: App, acme: dict[str, Any]) -> None:
    """
    A grant of next week is shown as scheduled, counts nowhere, and may be taken back.
    """
    made = money.top_up(
        app, "acme", "7", kind="promo", effective=soon(7), expires=soon(9), priority=5, actor="t"
    )
    assert made["credit_usd"] == "20.00"
    found = lots.list_lots(app, "acme")["lots"]
    assert [(lot["state"], lot["priority"]) for lot in found] == [("open", 0), ("scheduled", 5)]
    assert [line["kind"] for line in lots.show_lot(app, made["transfer"])["lines"]] == ["schedule"]
    assert lots.reverse(app, made["transfer"], reason="mistake", actor="t")["taken_usd"] == "7.00"
    for bad, field in (
        ({"expires": soon(3)}, "expires"),
        ({"priority": -1}, "priority"),
        ({"effective": "never"}, "effective"),
    ):
        terms: dict[str, Any] = {"effective": soon(7), **bad}
        with pytest.raises(BadInput) as caught:
            money.top_up(app, "acme", "7", actor="t", **terms)
        assert caught.value.field == field


def test_expired_credit_is_taken_back_from_there(app: App, acme: dict[str, Any]) -> None:
    """
    What of a lot expired unused is named, and taking it back makes nobody owe it.
    """
    late = now_us() - 3 * DAY_US
    app.ledger.do(OpenAccount("late", "open", late, "UTC", 0, None))
    app.ledger.do(TopUp("late", "k", late, 7, "promo", late + DAY_US))
    app.ledger.sweep(now_us())
    assert lots.show_lot(app, "late-1")["forfeited_usd"] == "0.000000007"
    back = lots.reverse(app, "late-1", reason="mistake", actor="t")
    assert (back["taken_usd"], back["forfeited_usd"], back["debt_usd"]) == ("0.00", "0.000000007", "0.00")
    lines = lots.show_lot(app, "late-1")["lines"]
    assert [(line["kind"], line["left_usd"]) for line in lines] == [
        ("grant", "0.000000007"), ("forfeit", "0.00"), ("reversal", "0.00"),
    ]  # fmt: skip
    assert books.verify(app)["ok"]


def test_the_balance_of_the_past(app: App, acme: dict[str, Any]) -> None:
    """
    Before the account there was nothing; a future instant is refused.
    """
    assert money.balance(app, "acme", at="2020-01-01")["credit_usd"] == "0.00"
    now = money.balance(app, "acme", at=datetime.now(UTC).isoformat())
    assert (now["credit_usd"], now["held_usd"], now["available_usd"]) == ("20.00", "0.00", "20.00")
    with pytest.raises(BadInput) as caught:
        money.balance(app, "acme", at=soon(2))
    assert caught.value.field == "at"


def test_open_holds_are_listed(app: App, acme: dict[str, Any]) -> None:
    """
    The next to expire first, counted even where fewer are shown.
    """
    for name, ttl in (("late", 900), ("soon", 60)):
        app.ledger.do(Reserve("acme", name, now_us(), name, (Offer(10**9, 1),), ttl_us=ttl * 1_000_000))
    found = lots.list_holds(app, "acme", limit=1)
    assert (found["count"], found["held_usd"], [hold["hold"] for hold in found["holds"]]) == (
        2,
        "2.00",
        ["soon"],
    )


def test_an_export_convicts_a_rewritten_book(app: App, acme: dict[str, Any], tmp_path: Path) -> None:
    """
    `verify` with the exported seals fails where the head of a chain is another; a damaged file is refused.
    """
    file = tmp_path / "seals.json"
    lots.export_seals(app, str(file))
    assert books.verify(app, seal=str(file))["checks"]["seal_file"] is True
    money.top_up(app, "acme", "1", actor="t")
    assert books.verify(app, seal=str(file))["ok"] is True  # what came later is no contradiction
    with pytest.raises(BadInput):
        lots.export_seals(app, str(file))
    with app.engine.begin() as connection:
        if app.engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER ledger_transfer_no_update"))
        else:
            connection.execute(text("ALTER TABLE ledger_transfer DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE ledger_transfer SET hash = 'x' WHERE seq = 1"))
    found = books.verify(app, seal=str(file))
    assert found["checks"]["seal_file"] is False
    document = json.loads(file.read_text())
    document["heads"][0]["seq"] = 2
    (tmp_path / "forged").write_text(json.dumps(document))
    for path in (tmp_path / "forged", tmp_path / "none"):
        with pytest.raises(BadInput) as caught:
            books.verify(app, seal=str(path))
        assert (caught.value.field, bool(caught.value.fix)) == ("seal", True)


def test_a_budget_may_count_cost(app: App, acme: dict[str, Any]) -> None:
    """
    What a budget counts is chosen when it is made, and kept.
    """
    assert money.set_budget(app, "acme", "3", window="hour", counts="cost", actor="t")["limit_usd"] == "3.00"
    with pytest.raises(BadInput):
        money.set_budget(app, "acme", "3", window="hour", counts="calls", actor="t")
    with pytest.raises(Rejected) as caught:
        money.set_budget(app, "acme", "3", window="hour", counts="charge", actor="t")
    assert caught.value.code == "field_invalid"
