"""
A key that comes again: the same order is a repetition, whatever became of it outside; another one is refused
in the words of who used it first.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from ledger import tables
from ledger.chain import list_hash
from ledger.journal_reads import changes
from outlay.admin import lots, money, statements, tenants
from outlay.errors import BadInput, Rejected
from outlay.wiring import App

Order = Callable[[App, str, Any], object]


def _top_up(app: App, amount: str, _call: Any) -> object:
    return money.top_up(app, "acme", amount, idempotency_key="k", actor="ana")


def _promo_of_debt(app: App, amount: str, _call: Any) -> object:
    """Add credit of which debt takes a part."""
    lots.adjust(app, "acme", "21", take=True, reason="owed", confirmed=True, actor="ana")
    return money.top_up(app, "acme", amount, kind="promo", idempotency_key="k", actor="ana")


def _adjust(app: App, amount: str, _call: Any) -> object:
    return lots.adjust(
        app, "acme", amount, take=True, reason="booked twice", idempotency_key="k", actor="ana"
    )


def _refund(app: App, amount: str, make_call: Any) -> object:
    return money.refund(app, make_call(), amount=amount, idempotency_key="k", actor="ana")


def _reverse(app: App, amount: str, _call: Any) -> object:
    lot = lots.list_lots(app, "acme")["lots"][0]["lot"]
    return lots.reverse(app, lot, amount=amount, reason="mistake", idempotency_key="k", actor="ana")


def _budget(app: App, amount: str, _call: Any) -> object:
    scope = "task:crm/x"
    return money.set_budget(
        app, "acme", amount, window="month", scope=scope, idempotency_key="k", actor="ana"
    )


@pytest.mark.parametrize(
    ("order", "first", "words", "amount_usd"),
    [
        (_top_up, "5", "a paid top-up of 5.00 USD", "5.00"),
        (_promo_of_debt, "5", "a promo top-up of 5.00 USD", "5.00"),
        (_adjust, "0.30", "an adjustment of -0.30 USD", "-0.30"),
        (_refund, "0.0001", "a refund of 0.0001 USD of call CALL", "0.0001"),
        (_reverse, "0.40", "taking 0.40 USD of lot acme-1 back", "0.40"),
        (_budget, "7", "setting the monthly budget of task crm/x to 7.00 USD", "7.00"),
        (_budget, "none", "setting the monthly budget of task crm/x to no limit", None),
    ],
)
def test_a_conflict_says_what_the_key_was_used_for(
    app: App, acme: Any, make_call: Any, order: Order, first: str, words: str, amount_usd: str | None
) -> None:
    """What, how much, when on the tenant's clock and by whom; for programs the same in fields."""
    order(app, first, make_call)
    with pytest.raises(Rejected) as caught:
        money.top_up(app, "acme", "11", idempotency_key="k", actor="bob")
    error = caught.value
    assert error.code == "key_conflict"
    calls = (line["hold"] for line in statements.statement(app, "acme")["lines"])
    words = words.replace("CALL", next((hold for hold in calls if hold is not None), ""))
    assert error.message.startswith(f"this idempotency key is booked already: {words}, on 2")
    assert " Europe/Berlin, by ana. " in error.message
    assert error.message.endswith("under another key it is booked as well, beside the first")
    details = error.details
    assert (details["key"], details["used_by"], details.get("amount_usd")) == ("k", "ana", amount_usd)
    assert str(details["used_at"]).endswith(("+01:00", "+02:00"))
    look = "tenant history acme --of budget" if "setting" in words else "statement acme"
    assert details["fix"] == f"look at what is booked first: outlay {look}"
    assert details["made"] in ("TopUp", "Adjust", "Refund", "Reverse", "SetBudget")  # as it always was


def test_the_same_order_is_a_repetition_whoever_gives_it_for_whatever_reason(app: App, acme: Any) -> None:
    """
    Another reason or actor makes no other order: the first ones stay, and nothing is booked twice.
    """
    lot = lots.list_lots(app, "acme")["lots"][0]["lot"]
    orders: list[Callable[[str], dict[str, Any]]] = [
        lambda why: money.top_up(app, "acme", "5", idempotency_key="t", reason=why, actor=f"{why}-by"),
        lambda why: lots.adjust(app, "acme", "1", idempotency_key="a", reason=why, actor=f"{why}-by"),
        lambda why: lots.reverse(app, lot, amount="1", idempotency_key="r", reason=why, actor=f"{why}-by"),
        lambda why: money.set_budget(app, "acme", "5", idempotency_key="b", reason=why, actor=f"{why}-by"),
    ]
    for order in orders:
        first = order("because")
        assert first["replayed"] is False
        assert order("another") == {**first, "replayed": True}
    told = {change.reason for change in _journal(app) if change.key.startswith("admin:")}
    assert "because" in told
    assert "another" not in told


def _journal(app: App) -> tuple[Any, ...]:
    with app.reading() as connection:
        return changes(connection, "acme")


@pytest.mark.parametrize(
    "order",
    [
        lambda app, end: money.top_up(app, "acme", "5", expires=end, idempotency_key="k", actor="ana"),
        lambda app, end: money.top_up(app, "acme", "5", effective=end, idempotency_key="k", actor="ana"),
        lambda app, end: money.set_budget(app, "acme", "9", until=end, idempotency_key="k", actor="ana"),
        lambda app, end: money.raise_budget(app, "acme", "9", until=end, idempotency_key="k", actor="ana"),
    ],
    ids=["expires", "effective", "until", "raise"],
)
def test_a_date_means_under_its_key_what_it_meant_the_first_time(app: App, acme: Any, order: Any) -> None:
    """
    The tenant's zone changes twice: the order word for word is a repetition, another date is another order,
    and the very instant of the first time is the first order again.
    """
    first = order(app, "2090-12-31")
    for zone in ("America/New_York", "Asia/Tokyo"):
        tenants.set_tenant(app, "acme", timezone=zone, actor="ana")
        again = order(app, "2090-12-31")
        assert again["replayed"] is True
        assert {name: again[name] for name in ("transfer", "credit_usd") if name in first} == {
            name: first[name] for name in ("transfer", "credit_usd") if name in first
        }
    assert order(app, "2090-12-31T00:00:00+01:00")["replayed"] is True
    for other in ("2090-12-30", "2090-12-31T00:00:00-05:00"):
        with pytest.raises(Rejected) as caught:
            order(app, other)
        assert caught.value.code == "key_conflict"
    assert len(lots.list_lots(app, "acme")["lots"]) == (2 if "transfer" in first else 1)


def test_orders_of_older_books_are_repetitions_too(app: App, acme: Any) -> None:
    """
    What is compared is the digest that was stored: it is the one of version 1, reason and instants included.
    """
    money.top_up(app, "acme", "5", expires="2090-12-31", idempotency_key="k", reason="why", actor="ana")
    with app.reading() as connection:
        row = connection.execute(select(tables.op).where(tables.op.c.key == "admin:k")).one()
    assert row.req_hash == list_hash("TopUp", 5_000_000_000, "paid", 3_818_358_000_000_000, "", "why", 0)
    assert money.top_up(app, "acme", "5", expires="2090-12-31", idempotency_key="k", actor="bob")["replayed"]


def test_a_conflict_of_dates_says_which_date_was_booked(app: App, acme: Any) -> None:
    """
    The amounts are the same: the end of the first credit is what differs.
    """
    money.top_up(app, "acme", "5", kind="promo", expires="2090-12-31", idempotency_key="k", actor="ana")
    with pytest.raises(
        Rejected, match=r"a promo top-up of 5\.00 USD that ends 2090-12-31 at 00:00"
    ) as caught:
        money.top_up(app, "acme", "5", kind="promo", expires="2091-12-31", idempotency_key="k", actor="ana")
    assert caught.value.details["transfer"] == "acme-2"


def test_a_bad_date_under_a_used_key_is_named(app: App, acme: Any) -> None:
    """
    What cannot be read is no order at all.
    """
    money.top_up(app, "acme", "5", expires="2090-12-31", idempotency_key="k", actor="ana")
    with pytest.raises(BadInput, match="not a date"):
        money.top_up(app, "acme", "5", expires="soon", idempotency_key="k", actor="ana")
