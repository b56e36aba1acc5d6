"""
Money moves once per key, within its bounds, and each movement is on the statement.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.types import Offer, Reserve
from outlay.admin import books, keys, money, statements, tenants
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected
from outlay.wiring import App

MakeCall = Callable[..., str]
Rows = Callable[[], object]


def soon(days: int = 1) -> str:
    """A time in the future, without an offset."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_top_up_counts_once_per_key(app: App, acme: dict[str, Any]) -> None:
    """
    The same order again gets the same answer and adds nothing; another order under the key is refused.
    """
    first = money.top_up(app, "acme", "10", idempotency_key="inv-7", actor="t")
    assert first == {
        "transfer": "acme-2",
        "credit_usd": "30.00",
        "repaid_usd": "0.00",
        "effective_at": None,
        "replayed": False,
    }
    again = money.top_up(app, "acme", "10", idempotency_key="inv-7", actor="somebody else")
    assert again == {**first, "replayed": True}
    for amount, kind in (("11", "paid"), ("10", "promo")):
        with pytest.raises(Rejected) as caught:
            money.top_up(app, "acme", amount, kind=kind, idempotency_key="inv-7", actor="t")
        assert (caught.value.code, caught.value.details["key"]) == ("key_conflict", "inv-7")
    assert money.top_up(app, "acme", "10", actor="t")["credit_usd"] == "40.00"
    assert money.top_up(app, "acme", "10", actor="t")["credit_usd"] == "50.00"


def test_a_key_stands_for_one_order_of_any_kind(app: App, acme: dict[str, Any]) -> None:
    """
    A key that topped up cannot set a budget.
    """
    money.top_up(app, "acme", "10", idempotency_key="k", actor="t")
    with pytest.raises(Rejected) as caught:
        money.set_budget(app, "acme", "10", idempotency_key="k", actor="t")
    assert caught.value.code == "key_conflict"


def test_keys_of_calls_and_of_orders_never_meet(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    A caller cannot block an operator's order by using its key first.
    """
    make_call(idempotency_key="inv-7")
    app.ledger.do(Reserve("acme", "inv-8", now_us(), "some-hold", (Offer(1, 1),)))
    assert money.top_up(app, "acme", "10", idempotency_key="inv-8", actor="t")["replayed"] is False
    assert money.top_up(app, "acme", "10", idempotency_key="inv-7", actor="t")["replayed"] is False


def test_a_repeated_order_keeps_its_answer_after_its_end(app: App, acme: dict[str, Any]) -> None:
    """
    An expiry that has passed refuses a new top-up, and names the field as the operator gave it.
    """
    with pytest.raises(BadInput, match="in the future") as caught:
        money.top_up(app, "acme", "10", expires="2020-01-01", actor="t")
    assert (caught.value.field, caught.value.value) == ("expires", '"2020-01-01"')
    made = money.top_up(app, "acme", "10", expires=soon(), kind="promo", actor="t")
    assert made["credit_usd"] == "30.00"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("amount", {"amount": "0"}),
        ("amount", {"amount": "-5"}),
        ("amount", {"amount": 5}),
        ("amount", {"amount": "1e3"}),
        ("amount", {"amount": "1000000001"}),
        ("kind", {"kind": "gift"}),
        ("expires", {"expires": "tomorrow"}),
        ("expires", {"expires": "2026-02-30"}),
        ("expires", {"expires": 5}),
        ("idempotency_key", {"idempotency_key": ""}),
        ("idempotency_key", {"idempotency_key": "x" * 201}),
        ("idempotency_key", {"idempotency_key": 5}),
        ("reason", {"reason": "x" * 1_001}),
        ("reason", {"reason": "\x00"}),
        ("actor", {"actor": ""}),
        ("tenant", {"tenant": "*"}),
    ],
)
def test_bad_top_ups_write_nothing(
    app: App, acme: dict[str, Any], rows: Rows, field: str, change: dict[str, Any]
) -> None:
    """
    Each wrong field is named and no money moves.
    """
    before = rows()
    with pytest.raises(BadInput) as caught:
        money.top_up(app, **{"tenant": "acme", "amount": "1", "actor": "t", **change})
    assert caught.value.field == field
    assert rows() == before


def test_a_wallet_has_an_end(app: App, acme: dict[str, Any]) -> None:
    """
    Credit beyond what the books can add up is refused by the ledger, and told as its refusal.
    """
    for _ in range(7):
        money.top_up(app, "acme", "1000000000", actor="t")
    with pytest.raises(Rejected) as caught:
        money.top_up(app, "acme", "1000000000", actor="t")
    assert caught.value.code == "amount_invalid"


def test_a_refund_gives_back_what_was_charged_once(
    app: App, acme: dict[str, Any], make_call: MakeCall
) -> None:
    """
    A part, then the rest, then nothing more; the statement shows both.
    """
    hold = make_call()
    charged = statements.statement(app, "acme")["lines"][-1]
    assert (charged["kind"], charged["hold"]) == ("settle", hold)
    part = money.refund(app, hold, amount="0.0001", reason="sorry", idempotency_key="r1", actor="t")
    assert (part["amount_usd"], part["replayed"]) == ("0.0001", False)
    assert money.refund(app, hold, amount="0.0001", reason="sorry", idempotency_key="r1", actor="t")[
        "replayed"
    ]
    rest = money.refund(app, hold, actor="t")
    assert rest["credit_usd"] == "20.00"
    with pytest.raises(Rejected) as caught:
        money.refund(app, hold, amount="0.01", actor="t")
    assert caught.value.code == "refund_exceeds_charge"
    assert caught.value.details["refundable_usd"] == "0.00"
    with pytest.raises(Rejected, match="already refunded whole"):
        money.refund(app, hold, actor="t")
    last = statements.statement(app, "acme")["lines"][-2:]
    assert [line["kind"] for line in last] == ["refund", "refund"]
    assert (last[0]["reason"], last[0]["key"]) == ("sorry", "r1")
    assert books.verify(app)["ok"]


def test_what_cannot_be_refunded(app: App, acme: dict[str, Any], make_call: MakeCall, rows: Rows) -> None:
    """
    An unknown hold, a call in flight and bad amounts are refused by name.
    """
    hold = make_call(outcome=None)
    before = rows()
    for wanted, code in (("nothing", "unknown_hold"), (hold, "hold_closed")):
        with pytest.raises(Rejected) as caught:
            money.refund(app, wanted, actor="t")
        assert caught.value.code == code
    for amount in ("0", "-1", 1, "x"):
        with pytest.raises(BadInput, match="amount"):
            money.refund(app, hold, amount=amount, actor="t")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="hold"):
        money.refund(app, "", actor="t")
    assert rows() == before


def test_a_budget_is_set_at_once(app: App, acme: dict[str, Any]) -> None:
    """
    The limit in force changes, also to nothing and to no limit, and the one before is told.
    """
    made = money.set_budget(app, "acme", "3", reason="slow down", actor="t")
    assert made == {
        "tenant": "acme", "window": "day", "scope": "tenant", "limit_usd": "3.00",
        "limit_before_usd": "5.00", "until": None, "counts_from": None, "replayed": False,
    }  # fmt: skip
    for limit, shown in (("0", "0.00"), ("none", None), ("7.5", "7.50")):
        assert money.set_budget(app, "acme", limit, actor="t")["limit_usd"] == shown
        assert money.balance(app, "acme")["day"]["limit_usd"] == shown


def test_budgets_of_other_scopes_and_windows(app: App, acme: dict[str, Any]) -> None:
    """
    A budget for a key, a task and a month stands beside that of the day.
    """
    money.set_budget(app, "acme", "100", window="month", actor="t")
    money.set_budget(app, "acme", "1", scope=f"key:{acme['key_id']}", actor="t")
    money.set_budget(app, "acme", "2", scope="task:crm/lead", window="hour", actor="t")
    shown = money.balance(app, "acme")["budgets"]
    assert {(b["scope"], b["window"], b["limit_usd"]) for b in shown} == {
        ("tenant", "month", "100.00"),
        (f"key:{acme['key_id']}", "day", "1.00"),
        ("task:crm/lead", "hour", "2.00"),
    }


def test_a_raise_ends_by_itself_and_goes_up_only(app: App, acme: dict[str, Any]) -> None:
    """
    A temporary limit is above the one in force, ends at an instant, and repeats under its key.
    """
    until = soon()
    made = money.raise_budget(app, "acme", "8", until=until, idempotency_key="up", actor="t")
    assert made["limit_usd"] == "8.00"
    assert made["until"].startswith(until)
    assert money.balance(app, "acme")["day"]["limit_usd"] == "8.00"
    again = money.raise_budget(app, "acme", "8", until=until, idempotency_key="up", actor="t")
    assert again == {**made, "replayed": True}
    for limit in ("8", "7.999999999", "0"):
        with pytest.raises(BadInput, match=r"limit in force is 8\.00"):
            money.raise_budget(app, "acme", limit, until=until, actor="t")
    assert money.raise_budget(app, "acme", "none", until=until, actor="t")["limit_usd"] is None
    with pytest.raises(BadInput, match="no limit to raise"):
        money.raise_budget(app, "acme", "9", until=until, actor="t")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("limit", {"limit": "-1"}),
        ("limit", {"limit": None}),
        ("limit", {"limit": 5}),
        ("window", {"window": "year"}),
        ("scope", {"scope": "tenants"}),
        ("scope", {"scope": "task:"}),
        ("scope", {"scope": "key:unknown"}),
        ("scope", {"scope": 5}),
        ("until", {"until": "2020-01-01"}),
        ("until", {"until": "soon"}),
        ("actor", {"actor": None}),
    ],
)
@pytest.mark.parametrize("order", [money.set_budget, money.raise_budget])
def test_bad_budgets_write_nothing(
    app: App,
    acme: dict[str, Any],
    rows: Rows,
    field: str,
    change: dict[str, Any],
    order: Callable[..., object],
) -> None:
    """
    Each wrong field is named and no limit moves.
    """
    before = rows()
    with pytest.raises(BadInput) as caught:
        order(app, **{"tenant": "acme", "limit": "9", "until": soon(), "actor": "t", **change})
    assert caught.value.field == field
    assert rows() == before


def test_a_raise_needs_an_end(app: App, acme: dict[str, Any]) -> None:
    """
    Without an end it would be no raise.
    """
    with pytest.raises(BadInput, match="until"):
        money.raise_budget(app, "acme", "9", until=None, actor="t")  # type: ignore[arg-type]


def test_a_key_of_another_tenant_is_no_scope(app: App, acme: dict[str, Any]) -> None:
    """
    A budget for somebody else's key would limit nothing, so it is refused.
    """
    other = tenants.create_tenant(app, "other", actor="t")
    operator = keys.create_key(app, role="viewer", actor="t")
    for key in (other["key_id"], operator["id"]):
        with pytest.raises(BadInput, match="no such key"):
            money.set_budget(app, "acme", "1", scope=f"key:{key}", actor="t")


def test_a_statement_adds_up(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    Opening credit plus changes is the closing credit, over any part of it.
    """
    make_call()
    money.top_up(app, "acme", "3", kind="promo", reason="sorry", actor="anna")
    make_call()
    whole = statements.statement(app, "acme")
    assert whole["opening_usd"] == "0.00"
    assert whole["closing_usd"] == money.balance(app, "acme")["credit_usd"]
    assert [line["kind"] for line in whole["lines"]] == ["topup", "settle", "grant", "settle"]
    grant = whole["lines"][2]
    assert (grant["actor"], grant["reason"], grant["change_usd"]) == ("anna", "sorry", "3.00")
    last = statements.statement(app, "acme", limit=2)
    assert last["lines"] == whole["lines"][2:]
    assert last["opening_usd"] == whole["lines"][1]["balance_usd"]
    assert statements.statement(app, "acme", limit=99)["lines"] == whole["lines"]
    part = statements.statement(app, "acme", since=whole["lines"][1]["at"], until=whole["lines"][3]["at"])
    assert part["lines"] == whole["lines"][1:3]
    assert part["opening_usd"] == whole["lines"][0]["balance_usd"]
    assert statements.statement(app, "acme", until=whole["lines"][2]["at"], limit=1)["lines"] == [
        whole["lines"][1]
    ]


def test_a_quiet_period_has_a_balance_too(app: App, acme: dict[str, Any]) -> None:
    """
    A period without lines opens and closes at the credit of that time.
    """
    before = statements.statement(app, "acme", since="2020-01-01", until="2020-02-01")
    assert (before["opening_usd"], before["closing_usd"], before["lines"]) == ("0.00", "0.00", [])
    after = statements.statement(app, "acme", since="2090-01-01")
    assert (after["opening_usd"], after["closing_usd"]) == ("20.00", "20.00")
    empty = tenants.create_tenant(app, "empty", actor="t")["tenant"]
    assert statements.statement(app, empty)["closing_usd"] == "0.00"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("since", {"since": "x"}),
        ("until", {"until": 5}),
        ("until", {"since": "2026-02-01", "until": "2026-01-01"}),
        ("limit", {"limit": 0}),
        ("limit", {"limit": "10"}),
        ("limit", {"limit": True}),
    ],
)
def test_bad_periods(app: App, acme: dict[str, Any], field: str, change: dict[str, Any]) -> None:
    """
    A period that cannot be is named.
    """
    with pytest.raises(BadInput) as caught:
        statements.statement(app, "acme", **change)
    assert caught.value.field == field


def test_credit_that_would_end_before_it_begins_names_both_dates(app: App, acme: dict[str, Any]) -> None:
    """
    The end has not passed: it is before the beginning, and one of the two has to move.
    """
    for expires in ("2090-01-01", "2090-06-01"):
        with pytest.raises(BadInput, match=r"is not after effective \(2090-06-01\)") as caught:
            money.top_up(app, "acme", "5", effective="2090-06-01", expires=expires, actor="t")
        assert (caught.value.field, caught.value.value) == ("expires", f'"{expires}"')
        assert "after 2090-06-01" in caught.value.fix
    with pytest.raises(BadInput, match="has passed"):
        money.top_up(app, "acme", "5", effective="2090-06-01", expires="2020-01-01", actor="t")
