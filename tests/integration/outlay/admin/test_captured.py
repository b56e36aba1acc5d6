"""
The truth about a call that has ended, told by an operator: once it is known, and again where it was wrong.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ledger import reads
from ledger.types import Settle, settle_key
from outlay.admin import decisions, money, statements, tenants
from outlay.admin.books import verify
from outlay.admin.captured import TIMES_MAX, settle
from outlay.admin.money import balance
from outlay.calls import Completed, NotSent, Uncertain
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected
from outlay.wiring import App

MakeCall = Callable[..., str]

pytestmark = pytest.mark.usefixtures("acme")
SMALL = Completed("claude-opus-5-5", {"input_tokens": 5, "output_tokens": 5})
COST = "0.00012"
"""5 tokens at 4 USD and 5 at 20 USD per million; the call was held at about 0.02 USD."""


def expired(app: App, make_call: MakeCall) -> str:
    """Make a call that nobody saw the end of, and let its hold expire."""
    hold_id = make_call(outcome=Uncertain("no_answer"))
    app.ledger.sweep(now_us() + 3_600 * 1_000_000)
    return hold_id


def told(app: App, hold_id: str, cost: str, **more: Any) -> dict[str, Any]:
    """Tell the truth of a call, whatever it is."""
    return settle(app, hold_id, cost, reason="the provider's bill", actor="fin", confirmed=True, **more)


def day(app: App) -> tuple[str, str]:
    """Return what the day's budget counts as spent, and above its holds."""
    found = balance(app, "acme")["day"]
    return found["spent_usd"], found["overage_usd"]


def sums(app: App) -> tuple[Decimal, Decimal]:
    """Return the sums of cost_usd and charge_usd on the statement."""
    lines = statements.statement(app, "acme")["lines"]
    cost, charge = (sum(Decimal(line[name] or 0) for line in lines) for name in ("cost_usd", "charge_usd"))
    return Decimal(cost), Decimal(charge)


@pytest.mark.parametrize(("cost", "left"), [("0.001248", "19.998752"), ("0", "20.00")])
def test_the_truth_corrects_a_capture(app: App, make_call: MakeCall, cost: str, left: str) -> None:
    """The tenant gets back what was captured above the true cost; telling it twice changes nothing."""
    hold_id = expired(app, make_call)
    first = settle(app, hold_id, cost, reason="the provider's bill of May", actor="fin")
    assert first["replayed"] is False
    assert Decimal(first["charge_before_usd"]) > 0
    assert balance(app, "acme")["credit_usd"] == left
    again = settle(app, hold_id, cost, reason="told by somebody else, too", actor="ann")
    assert again == {**first, "replayed": True}
    assert balance(app, "acme")["credit_usd"] == left
    assert verify(app)["ok"]
    last = statements.statement(app, "acme")["lines"][-1]
    assert (last["actor"], last["reason"]) == ("fin", "the provider's bill of May")


def test_a_truth_that_the_sender_told_late_is_a_repetition(app: App, make_call: MakeCall) -> None:
    """What was captured until the sender settled is told, as it would have been by the order itself."""
    hold_id = expired(app, make_call)
    with app.reading() as connection:
        captured = reads.hold(connection, hold_id)
    assert captured is not None
    app.ledger.do(Settle("acme", settle_key(hold_id), now_us(), hold_id, 0))
    again = told(app, hold_id, "0")
    assert (again["replayed"], Decimal(again["charge_before_usd"])) == (
        True,
        Decimal(captured.amount_nanos) / 10**9,
    )


def test_a_wrong_cost_is_settled_again_up_and_down(app: App, make_call: MakeCall) -> None:
    """
    A typo far above all credit, and back: credit, debt, the day's budget, the statement's sums and `verify`
    are each time as if the call had cost that from the beginning; `explain` has the cost of now.
    """
    hold_id = make_call(outcome=SMALL)
    wanted = [
        ("50", ("0.00", "30.00"), "50.00"),
        ("3", ("17.00", "0.00"), "3.00"),
        ("25", ("0.00", "5.00"), "25.00"),
        (COST, ("19.99988", "0.00"), COST),
        ("0", ("20.00", "0.00"), "0.00"),
        (COST, ("19.99988", "0.00"), COST),
    ]
    for cost, left, spent in wanted:
        done = told(app, hold_id, cost)
        found = balance(app, "acme")
        assert (found["credit_usd"], found["debt_usd"]) == (done["credit_usd"], done["debt_usd"]) == left
        assert day(app)[0] == spent
        assert sums(app) == (Decimal(cost), Decimal(cost))
        shown = decisions.explain(app, hold_id)
        assert (shown["cost_usd"], shown["settlement"]["cost_usd"]) == (spent, spent)
        assert verify(app)["problems"] == []
    assert day(app)[1] == "0.00"


def test_a_wrong_cost_that_the_operator_bore_goes_back_to_the_operator(app: App, make_call: MakeCall) -> None:
    """Where overage is absorbed, a lower truth gives nothing to the tenant that it never paid."""
    tenants.set_tenant(app, "acme", overage="absorb", actor="t")
    hold_id = make_call(outcome=SMALL)
    for cost, left in (("50", "0.00"), ("30", "0.00"), ("3", "17.00"), ("0", "20.00"), ("21", "0.00")):
        told(app, hold_id, cost)
        found = balance(app, "acme")
        assert (found["credit_usd"], found["debt_usd"]) == (left, "0.00")
        assert sums(app)[0] == Decimal(cost)
        assert verify(app)["problems"] == []


def test_debt_that_was_repaid_comes_back_as_credit(app: App, make_call: MakeCall) -> None:
    """The top-up in between repaid the debt of the typo: the truth gives it back."""
    hold_id = make_call(outcome=SMALL)
    told(app, hold_id, "50")
    assert money.top_up(app, "acme", "40", actor="t")["repaid_usd"] == "30.00"
    told(app, hold_id, "0")
    assert (balance(app, "acme")["credit_usd"], day(app)[0]) == ("60.00", "0.00")
    assert verify(app)["problems"] == []


@pytest.mark.parametrize(
    ("refunded", "cost", "left", "still"),
    [
        ("2", "1", "19.00", "0.00"),  # the refund is part of what is too much
        ("0.50", "2", "18.00", "0.00"),
        ("3", "0", "20.00", "0.00"),
        ("2", "4", "18.00", "2.00"),  # a refund stays where the truth is higher
    ],
)
def test_a_refund_counts_as_given_back(
    app: App, make_call: MakeCall, refunded: str, cost: str, left: str, still: str
) -> None:
    """A call at 3 USD, of which a part was refunded: nothing is given back twice, and the costs add up."""
    hold_id = make_call(outcome=SMALL)
    told(app, hold_id, "3")
    money.refund(app, hold_id, amount=refunded, actor="t")
    done = told(app, hold_id, cost)
    assert (done["credit_usd"], done["refunded_usd"]) == (left, still)
    assert Decimal(done["refund_used_usd"]) == Decimal(refunded) - Decimal(still)
    assert sums(app) == (Decimal(cost), Decimal(20) - Decimal(left))
    assert Decimal(day(app)[0]) == Decimal(20) - Decimal(left)
    assert verify(app)["problems"] == []


def test_the_charge_follows_the_multiplier_of_the_call(app: App, make_call: MakeCall) -> None:
    """The price of the time of the call holds, also after it was changed."""
    tenants.set_tenant(app, "acme", multiplier="1.5", actor="t")
    hold_id = make_call(outcome=SMALL)
    tenants.set_tenant(app, "acme", multiplier="3", actor="t")
    done = told(app, hold_id, "2")
    assert (done["cost_usd"], done["charge_usd"], done["credit_usd"]) == ("2.00", "3.00", "17.00")
    assert verify(app)["ok"]


def test_a_call_that_was_given_back_and_billed_all_the_same(app: App, make_call: MakeCall) -> None:
    """A released hold is settled late: all of it is overage of its day."""
    hold_id = make_call(outcome=NotSent("refused_by_provider"))
    done = told(app, hold_id, "0.01")
    assert (done["charge_usd"], done["charge_before_usd"], done["cost_before_usd"]) == ("0.01", "0.00", None)
    assert day(app) == ("0.01", "0.01")
    assert verify(app)["ok"]


def test_a_cost_far_above_the_bound_is_confirmed_first(app: App, make_call: MakeCall) -> None:
    """
    Above ten times what the call could cost nothing is written without a confirmation, which names both; up
    to there, above the hold too, it is booked at once.
    """
    hold_id = make_call(outcome=SMALL)
    with app.reading() as connection:
        hold = reads.hold(connection, hold_id)
    assert hold is not None
    most = Decimal(hold.cost_bound_nanos * TIMES_MAX) / 10**9
    before = balance(app, "acme")
    with pytest.raises(Rejected, match="more than 10 times what this call could cost") as caught:
        settle(app, hold_id, f"{most + Decimal('0.000000001'):f}", reason="r", actor="fin")
    assert caught.value.code == "cost_unconfirmed"
    assert "--yes" in str(caught.value.details["fix"])
    assert balance(app, "acme") == before
    settle(app, hold_id, f"{most:f}", reason="r", actor="fin")
    assert day(app)[0] == f"{most:f}"
    settle(app, hold_id, "60", reason="r", confirmed=True, actor="fin")
    assert settle(app, hold_id, "60", reason="r", actor="fin")["replayed"] is True
    with pytest.raises(BadInput, match="true nor false"):
        settle(app, hold_id, "61", reason="r", confirmed="yes", actor="fin")  # type: ignore[arg-type]


def test_a_truth_under_a_key_is_told_once(app: App, make_call: MakeCall) -> None:
    """
    A repetition that comes late, after another truth, changes nothing and says what the first said; another
    cost under the key is refused in words.
    """
    hold_id = make_call(outcome=SMALL)
    first = told(app, hold_id, "1", idempotency_key="bill-1")
    told(app, hold_id, "2", idempotency_key="bill-2")
    assert told(app, hold_id, "1", idempotency_key="bill-1") == {**first, "replayed": True}
    assert balance(app, "acme")["credit_usd"] == "18.00"
    with pytest.raises(Rejected, match=rf"settling call {hold_id} at 1\.00 USD, on 2") as caught:
        told(app, hold_id, "3", idempotency_key="bill-1")
    assert caught.value.code == "key_conflict"


def test_what_is_in_flight_or_nonsense_is_refused(app: App, make_call: MakeCall) -> None:
    """A call in flight is settled by who sent it; nothing is written, and the message says when it ends."""
    hold_id = make_call(outcome=None)
    before = balance(app, "acme")
    with pytest.raises(
        Rejected, match=r"is in flight: who sent it settles it, or it is captured after 2"
    ) as caught:
        told(app, hold_id, "1")
    assert (caught.value.code, caught.value.details["state"]) == ("hold_closed", "open")
    with pytest.raises(Rejected, match="no hold"):
        told(app, "nothing", "1")
    for field, cost, reason in (("reason", "1", ""), ("cost", "-1", "r"), ("cost", "much", "r")):
        with pytest.raises(BadInput) as bad:
            settle(app, hold_id, cost, reason=reason, actor="fin")
        assert bad.value.field == field
    assert balance(app, "acme") == before


@pytest.mark.parametrize(
    ("outcome", "text", "fix"),
    [
        (None, "in flight", "when it has ended"),
        (NotSent("refused_by_provider"), "nothing was charged", "nothing is left to do"),
        (Uncertain("no_answer"), "what the call cost is not known", "outlay settle {} USD --reason TEXT"),
    ],
)
def test_a_refund_of_what_is_not_settled_says_what_to_do(
    app: App, make_call: MakeCall, outcome: Any, text: str, fix: str
) -> None:
    """The fix works: where it names a command, that command gives the money back."""
    hold_id = expired(app, make_call) if isinstance(outcome, Uncertain) else make_call(outcome=outcome)
    with pytest.raises(Rejected, match=text) as caught:
        money.refund(app, hold_id, actor="t")
    assert caught.value.code == "hold_closed"
    assert fix.format(hold_id) in str(caught.value.details["fix"])
    if isinstance(outcome, Uncertain):
        assert told(app, hold_id, "0")["credit_usd"] == "20.00"


def test_a_cost_that_nobody_told_is_still_found(app: App, make_call: MakeCall, tamper: Any) -> None:
    """`verify` takes another cost than the record's only where an operator told that very cost."""
    hold_id = make_call(outcome=SMALL)
    told(app, hold_id, "1")
    assert verify(app)["ok"]
    tamper("UPDATE outlay_decision SET cost_nanos = 5")
    assert verify(app)["checks"]["tallies"] is False
    tamper("UPDATE ledger_op SET result = replace(result, '1000000000', '1000000001') WHERE kind = 'Correct'")
    assert any("its hold is settled at" in problem for problem in verify(app)["problems"])
