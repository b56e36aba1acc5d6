"""
What a statement says of debt: each leg moves an amount, and the debt after it is the debt of then.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from outlay.admin import lots, money, statements
from outlay.admin.captured import settle
from outlay.calls import Completed
from outlay.wiring import App

MakeCall = Callable[..., str]

pytestmark = pytest.mark.usefixtures("acme")
SMALL = Completed("claude-opus-5-5", {"input_tokens": 5, "output_tokens": 5})


@pytest.fixture
def owed(app: App, acme: Any, make_call: MakeCall) -> str:
    """A call of 50 USD with 20 USD of credit, a top-up of 40 USD, and 12 USD taken by hand where 10 are."""
    hold_id = make_call(outcome=SMALL)
    settle(app, hold_id, "50", reason="bill", confirmed=True, actor="fin")
    money.top_up(app, "acme", "40", actor="t")
    lots.adjust(app, "acme", "12", take=True, reason="counted twice", confirmed=True, actor="t")
    return hold_id


def legs(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return kind, amount, change of the credit, change of the debt, credit and debt of each line."""
    names = ("kind", "amount_usd", "change_usd", "debt_change_usd", "balance_usd", "debt_usd")
    return [tuple(line[name] for name in names) for line in found["lines"]]


@pytest.mark.usefixtures("owed")
def test_each_leg_says_what_it_did_to_credit_and_to_debt(app: App) -> None:
    """
    What no credit covers is a line with its amount that raises the debt; a top-up repays that first, which
    changes no credit.
    """
    found = statements.statement(app, "acme")
    assert legs(found)[2:] == [
        ("correction", "19.99988", "-19.99988", "0.00", "0.00", "0.00"),
        ("debt", "30.00", "0.00", "30.00", "0.00", "30.00"),
        ("repay", "30.00", "0.00", "-30.00", "0.00", "0.00"),
        ("topup", "10.00", "10.00", "0.00", "10.00", "0.00"),
        ("adjust", "10.00", "-10.00", "0.00", "0.00", "0.00"),
        ("adjust", "2.00", "0.00", "2.00", "0.00", "2.00"),
    ]
    assert (found["opening_debt_usd"], found["closing_debt_usd"]) == ("0.00", "2.00")


@pytest.mark.usefixtures("owed")
def test_running_debt_is_right_wherever_a_statement_begins(app: App) -> None:
    """
    Of the newest lines, and of a period, each line has the debt that the whole statement gives it.
    """
    whole = statements.statement(app, "acme")
    for most in range(1, len(whole["lines"]) + 1):
        part = statements.statement(app, "acme", limit=most)
        assert part["lines"] == whole["lines"][-most:]
        before = whole["lines"][-most - 1]["debt_usd"] if most < len(whole["lines"]) else "0.00"
        assert (part["opening_debt_usd"], part["closing_debt_usd"]) == (before, "2.00")
    part = statements.statement(app, "acme", since=whole["lines"][4]["at"])
    assert part["lines"] == whole["lines"][4:]
    assert (part["opening_debt_usd"], part["lines"][0]["debt_usd"]) == ("30.00", "0.00")
    later = statements.statement(app, "acme", since="2999-01-01")
    assert (later["lines"], later["opening_debt_usd"], later["closing_debt_usd"]) == ([], "2.00", "2.00")


def test_a_truth_that_repays_its_own_debt_is_whole_on_the_statement(app: App, owed: str) -> None:
    """
    The change of credit less the change of debt is what each correction comes to.
    """
    settle(app, owed, "49", reason="bill", confirmed=True, actor="fin")
    last = statements.statement(app, "acme")["lines"][-1:]
    assert legs({"lines": last}) == [("repay", "1.00", "0.00", "-1.00", "0.00", "1.00")]
    settle(app, owed, "40", reason="bill", confirmed=True, actor="fin")
    last = statements.statement(app, "acme")["lines"][-2:]
    moved = sum(Decimal(line["change_usd"]) - Decimal(line["debt_change_usd"]) for line in last)
    assert moved == 9
    balance = money.balance(app, "acme")
    assert (last[-1]["balance_usd"], last[-1]["debt_usd"]) == (balance["credit_usd"], balance["debt_usd"])
