"""
The recipe of docs/how-to/keep-the-books.md: what the columns of a statement add up to, against the truth.
"""

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger import reads
from outlay.admin import money
from outlay.admin.books import verify
from outlay.admin.captured import settle
from outlay.admin.tenants import create_tenant, set_tenant
from outlay.calls import Broken, Completed, NotSent, Uncertain
from outlay.cli.main import build
from outlay.clock import now_us
from outlay.wiring import App

MakeCall = Callable[..., str]

MODEL = "claude-opus-5-5"
SERVED = Completed(MODEL, {"input_tokens": 100, "output_tokens": 50})
SERVED_COST = Decimal("0.0014")
"""100 tokens at 4 USD and 50 at 20 USD per million."""


def expire(app: App) -> None:
    """Let the holds expire that are still open."""
    app.ledger.sweep(now_us() + 3_600 * 1_000_000)


def known_cost(app: App, hold_id: str) -> Decimal:
    """Return what the books hold as the cost of a call."""
    with app.reading() as connection:
        hold = reads.hold(connection, hold_id)
    assert hold is not None
    assert hold.cost_nanos is not None
    return Decimal(hold.cost_nanos) / 10**9


def summed(database_url: str, column: str, *more: str) -> Decimal:
    """Add up a column as the documentation says, from the CSV of the command."""
    args = ["statement", "acme", "--csv", *more, "--database-url", database_url]
    ran = CliRunner().invoke(build(), args)
    assert ran.exit_code == 0, ran.output
    rows = csv.DictReader(io.StringIO(ran.stdout))
    return sum((Decimal(row[column]) for row in rows if row[column]), Decimal(0))


def charged(app: App, credited: str) -> Decimal:
    """Return what the tenant has paid or owes, from its balance alone."""
    found = money.balance(app, "acme")
    return Decimal(credited) - Decimal(found["credit_usd"]) + Decimal(found["debt_usd"])


def settled(app: App, hold_id: str, cost: str) -> None:
    """Tell the truth of a captured call."""
    settle(app, hold_id, cost, reason="invoice", confirmed=True, actor="fin")


@pytest.mark.parametrize("multiplier", ["1", "1.2"])
def test_costs_add_up_to_the_bill(app: App, make_call: MakeCall, books_url: str, multiplier: str) -> None:
    """
    Captures, late truths below and above, refunds: cost_usd adds up to the bill, charge_usd to the charge.

    A call of unknown cost and a broken stream count at their upper bound, also after a refund to the tenant.
    """
    create_tenant(app, "acme", credit="20", actor="t")
    set_tenant(app, "acme", multiplier=multiplier, actor="t")
    for _ in range(2):
        served = make_call(outcome=SERVED)
    make_call(outcome=NotSent("refused_by_provider"))
    uncertain = [make_call(outcome=Uncertain("no_answer")) for _ in range(4)]
    broken = make_call(outcome=Broken(MODEL, {"input_tokens": 100, "output_tokens": 1}, 40))
    expire(app)
    bounds = known_cost(app, broken) + 4 * known_cost(app, uncertain[0])
    assert summed(books_url, "cost_usd") == 2 * SERVED_COST + bounds
    for hold_id, cost in zip(uncertain, ("0.001248", "0", "0.07"), strict=False):
        settled(app, hold_id, cost)
    money.refund(app, served, reason="bad answer", actor="t")
    money.refund(app, broken, amount="0.0001", reason="invoice", actor="t")
    money.top_up(app, "acme", "3", actor="t")
    told = Decimal("0.001248") + Decimal("0.07")
    bounds = known_cost(app, broken) + known_cost(app, uncertain[3])
    assert summed(books_url, "cost_usd") == 2 * SERVED_COST + told + bounds
    assert summed(books_url, "charge_usd") == charged(app, "23")
    assert verify(app)["ok"]


@pytest.mark.parametrize("overage", ["debt", "absorb"])
def test_a_cost_above_all_credit_counts_once(
    app: App, make_call: MakeCall, books_url: str, overage: str
) -> None:
    """
    What credit does not cover is a line of its own; the call's cost is not counted on both, nor lost.
    """
    create_tenant(app, "acme", credit="0.06", actor="t")
    set_tenant(app, "acme", overage=overage, actor="t")
    first, second = (make_call(outcome=Uncertain("no_answer")) for _ in range(2))
    expire(app)
    settled(app, first, "0.5")
    settled(app, second, "0.7")
    assert summed(books_url, "cost_usd") == Decimal("1.2")
    assert summed(books_url, "charge_usd") == charged(app, "0.06")
    assert (charged(app, "0.06") == Decimal("1.2")) is (overage == "debt")


def test_a_lower_truth_that_repays_debt_counts_once(app: App, make_call: MakeCall, books_url: str) -> None:
    """
    Money of a correction that pays off debt is on two lines, the difference of the cost on one.
    """
    create_tenant(app, "acme", credit="0.06", actor="t")
    first, second = (make_call(outcome=Uncertain("no_answer")) for _ in range(2))
    expire(app)
    settled(app, first, "0.0405")
    owed = Decimal(money.balance(app, "acme")["debt_usd"])
    settled(app, second, "0.0001")
    assert owed > 0
    assert summed(books_url, "cost_usd") == Decimal("0.0406")
    assert summed(books_url, "charge_usd") == charged(app, "0.06")


def test_the_recipe_is_documented_with_these_columns() -> None:
    """
    The page names the two columns that are added up, and the bound at which two outcomes stay.
    """
    page = Path("docs/how-to/keep-the-books.md").read_text(encoding="utf-8")
    part = page.partition("## Compare with the provider's bill")[2].partition("\n## ")[0]
    assert {"`cost_usd`", "`charge_usd`", "`uncertain`", "`broken`"} <= set(part.replace(",", "").split())
