"""
A key that comes again with another order is refused in the words of who used it first.
"""

from collections.abc import Callable
from typing import Any

import pytest

from outlay.admin import lots, money
from outlay.errors import Rejected
from outlay.wiring import App

Order = Callable[[App, str, Any], object]


def _top_up(app: App, amount: str, _call: Any) -> object:
    return money.top_up(app, "acme", amount, idempotency_key="k", actor="ana")


def _promo_of_debt(app: App, amount: str, _call: Any) -> object:
    """Add credit of which debt takes a part."""
    lots.adjust(app, "acme", "21", take=True, reason="owed", actor="ana")
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
        (_top_up, "5", "a top-up of 5.00 USD", "5.00"),
        (_promo_of_debt, "5", "a top-up of 5.00 USD", "5.00"),
        (_adjust, "0.30", "an adjustment of -0.30 USD", "-0.30"),
        (_refund, "0.0001", "a refund of 0.0001 USD", "0.0001"),
        (_reverse, "0.40", "taking 0.40 USD of a lot back", "0.40"),
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
    assert error.message.startswith(f"this idempotency key was used for {words} on 2")
    assert error.message.endswith(" Europe/Berlin, by ana; use another key")
    details = error.details
    assert (details["key"], details["used_by"], details.get("amount_usd")) == ("k", "ana", amount_usd)
    assert str(details["used_at"]).endswith(("+01:00", "+02:00"))
    assert details["made"] in ("TopUp", "Adjust", "Refund", "Reverse", "SetBudget")  # as it always was
