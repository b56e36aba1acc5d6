"""
Credit that begins later, corrections by hand, and lots that are taken back.
"""

from typing import Any

import pytest

from ledger.codec import digest
from ledger.rows import Lot, Transfer
from ledger.store_memory import MemoryLedger
from ledger.types import (
    Adjust,
    Adjusted,
    Correct,
    Held,
    Offer,
    OpenAccount,
    Operation,
    Reason,
    Refund,
    Refused,
    Reserve,
    Reverse,
    Reversed,
    Settle,
    Sweep,
    ToppedUp,
    TopUp,
)

NOW = 1_763_700_000 * 1_000_000
DAY_US = 86_400 * 1_000_000


@pytest.fixture
def ledger() -> MemoryLedger:
    """A ledger with the tenant `acme`: 1,000 of paid credit, no daily limit."""
    made = MemoryLedger()
    made.do(OpenAccount("acme", "open", NOW, "UTC", 1_000, None))
    return made


def spend(ledger: MemoryLedger, name: str, hold: int, cost: int | None, now: int = NOW) -> Any:
    """Hold an amount, and settle it at a cost."""
    held = ledger.do(Reserve("acme", name, now, name, (Offer(hold, hold),)))
    return held if cost is None else ledger.do(Settle("acme", f"s-{name}", now, name, cost))


def wallet(ledger: MemoryLedger) -> tuple[int, int, int]:
    """Return wallet, held and debt."""
    account = ledger.books("acme").account
    assert account is not None
    return account.wallet, account.held, account.debt


def lot(ledger: MemoryLedger, lot_id: str) -> Lot:
    """Return one lot."""
    return ledger.books("acme").lots[lot_id]


def answered(result: object, kind: type[Any]) -> Any:
    """Return an answer of a kind."""
    assert isinstance(result, kind), result
    return result


@pytest.mark.parametrize(
    ("op", "reason", "field"),
    [
        (Adjust("acme", "k", NOW, 0, "why"), Reason.AMOUNT_INVALID, "amount_nanos"),
        (Adjust("acme", "k", NOW, True, "why"), Reason.AMOUNT_INVALID, "amount_nanos"),
        (Adjust("acme", "k", NOW, -(10**18) - 1, "why"), Reason.AMOUNT_INVALID, "amount_nanos"),
        (Adjust("acme", "k", NOW, 5, " "), Reason.FIELD_INVALID, "reason"),
        (Reverse("acme", "k", NOW, "acme-1", ""), Reason.FIELD_INVALID, "reason"),
        (Reverse("acme", "k", NOW, "acme-1", "why", 0), Reason.AMOUNT_INVALID, "amount_nanos"),
        (Reverse("acme", "k", NOW, "acme-1", "why", kind="theft"), Reason.FIELD_INVALID, "kind"),
        (Reverse("acme", "k", NOW, "acme-9", "why"), Reason.UNKNOWN_LOT, None),
        (Reverse("acme", "k", NOW, "acme-1", "why", 1_001), Reason.REVERSAL_EXCEEDS_GRANT, None),
        (TopUp("acme", "k", NOW, 5, priority=-1), Reason.FIELD_INVALID, "priority"),
        (TopUp("acme", "k", NOW, 5, expires_us=NOW + 5, effective_us=NOW + 5), Reason.FIELD_INVALID,
         "expires_us"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(
    ledger: MemoryLedger, op: Operation, reason: Reason, field: str | None
) -> None:
    """
    A bad correction names its field and leaves the books as they were.
    """
    before = ledger.rows("ledger_account"), ledger.rows("ledger_grant_lot")
    refused = answered(ledger.do(op), Refused)
    assert (refused.reason, refused.numbers.get("field")) == (reason, field)
    assert (ledger.rows("ledger_account"), ledger.rows("ledger_grant_lot")) == before


def test_scheduled_credit_is_no_credit_before_its_date(ledger: MemoryLedger) -> None:
    """
    A grant of 500 from tomorrow cannot be held today, and is there with tomorrow's first operation.
    """
    made = answered(
        ledger.do(TopUp("acme", "k", NOW, 500, "promo", NOW + 3 * DAY_US, effective_us=NOW + DAY_US)),
        ToppedUp,
    )
    assert (made.transfer, made.credit_nanos, wallet(ledger)) == ("acme-2", 1_000, (1_000, 0, 0))
    assert answered(spend(ledger, "a", 1_001, None), Refused).reason is Reason.CREDIT_EXHAUSTED
    answered(spend(ledger, "b", 1_500, None, NOW + DAY_US), Held)
    assert wallet(ledger) == (1_500, 1_500, 0)
    assert ledger.rows("ledger_transfer")[-1][2:6] == (13, 8, 0, 500)  # activate: scheduled -> wallet


def test_scheduled_credit_that_ended_unseen_is_forfeited(ledger: MemoryLedger) -> None:
    """
    A grant whose days passed without an operation takes effect and ends in the next one.
    """
    ledger.do(TopUp("acme", "k", NOW, 500, "promo", NOW + 2 * DAY_US, effective_us=NOW + DAY_US))
    ledger.do(Sweep("acme", "s", NOW + 5 * DAY_US))
    assert wallet(ledger) == (1_000, 0, 0)
    assert [row[2] for row in ledger.rows("ledger_transfer")] == [0, 12, 13, 6]


def test_scheduled_credit_repays_debt_first(ledger: MemoryLedger) -> None:
    """
    A call of 1,300 against 1,000 leaves a debt of 300, which a grant of 500 repays on its date, not before.
    """
    ledger.do(TopUp("acme", "k", NOW, 500, effective_us=NOW + DAY_US))
    spend(ledger, "a", 1_000, 1_300)
    assert wallet(ledger) == (0, 0, 300)
    ledger.do(Sweep("acme", "s", NOW + DAY_US))
    assert wallet(ledger) == (200, 0, 0)
    assert (lot(ledger, "acme-2").repaid, lot(ledger, "acme-2").remaining) == (300, 200)


def test_lots_are_drawn_in_the_documented_order(ledger: MemoryLedger) -> None:
    """
    Priority goes before expiry, expiry before kind, kind before age; a lot without an end comes last.
    """
    orders = [
        TopUp("acme", "1", NOW, 10, "paid", NOW + 9 * DAY_US, priority=0),
        TopUp("acme", "2", NOW, 10, "promo", NOW + 9 * DAY_US, priority=0),
        TopUp("acme", "3", NOW, 10, "paid", NOW + 5 * DAY_US, priority=0),
        TopUp("acme", "4", NOW, 10, "promo", NOW + 1 * DAY_US, priority=7),
    ]
    for order in orders:
        ledger.do(order)
    spend(ledger, "a", 1_035, 1_035)
    draws = sorted(ledger.rows("ledger_draw"), key=lambda row: row[4])
    assert [row[2] for row in draws] == ["acme-4", "acme-3", "acme-2", "acme-1", "acme-5"]
    assert lot(ledger, "acme-5").remaining == 5


def test_adjustments_add_and_take(ledger: MemoryLedger) -> None:
    """
    -1,200 takes the 1,000 there is and leaves 200 owed; +500 repays them and leaves 300.
    """
    down = answered(ledger.do(Adjust("acme", "1", NOW, -1_200, "booked twice", "ann")), Adjusted)
    assert (down.credit_nanos, down.debt_nanos, wallet(ledger)) == (0, 200, (0, 0, 200))
    up = answered(ledger.do(Adjust("acme", "2", NOW, 500, "goodwill", "ann")), Adjusted)
    assert (up.repaid_nanos, up.credit_nanos, wallet(ledger)) == (200, 300, (300, 0, 0))
    assert [row[2:4] + row[5:7] for row in ledger.rows("ledger_op")][:2] == [
        ("Adjust", ledger.books("acme").ops["1"].req_hash, "ann", "booked twice"),
        ("Adjust", ledger.books("acme").ops["2"].req_hash, "ann", "goodwill"),
    ]
    assert answered(ledger.do(Adjust("acme", "2", NOW, 500, "goodwill", "bob")), Adjusted).replayed


def test_a_correction_never_takes_what_open_holds_need(ledger: MemoryLedger) -> None:
    """
    With 700 of 1,000 held, taking 600 takes the free 300 and books 300 as debt.
    """
    spend(ledger, "a", 700, None)
    taken = answered(ledger.do(Adjust("acme", "1", NOW, -600, "x")), Adjusted)
    assert (taken.debt_nanos, wallet(ledger)) == (300, (700, 700, 300))


def test_a_chargeback_takes_the_unspent_part_and_books_the_rest_as_debt(ledger: MemoryLedger) -> None:
    """
    Of 1,000 paid, 400 are spent and 100 held: 500 are taken, 500 become debt, and the tenant is frozen.
    """
    spend(ledger, "a", 400, 400)
    spend(ledger, "b", 100, None)
    order = Reverse("acme", "cb", NOW, "acme-1", "bank took it back", kind="chargeback", freeze=True)
    back = answered(ledger.do(order), Reversed)
    assert (back.amount_nanos, back.taken_nanos, back.debt_nanos, back.frozen) == (1_000, 500, 500, True)
    assert wallet(ledger) == (100, 100, 500)
    assert answered(spend(ledger, "c", 1, None), Refused).reason is Reason.FROZEN
    assert answered(ledger.do(order), Reversed).replayed
    again = answered(ledger.do(Reverse("acme", "cb2", NOW, "acme-1", "again")), Refused)
    assert (again.reason, again.numbers["reversible_nanos"]) == (Reason.REVERSAL_EXCEEDS_GRANT, 0)


def test_a_lot_that_repaid_debt_can_be_charged_back_whole(ledger: MemoryLedger) -> None:
    """
    A payment of 500 that repaid a debt of 300 is charged back: 200 are taken, the debt of 300 is back.
    """
    spend(ledger, "a", 1_000, 1_300)
    made = answered(ledger.do(TopUp("acme", "k", NOW, 500)), ToppedUp)
    back = answered(ledger.do(Reverse("acme", "cb", NOW, made.transfer, "x", kind="chargeback")), Reversed)
    assert (back.taken_nanos, back.debt_nanos, wallet(ledger)) == (200, 300, (0, 0, 300))


def test_taking_back_what_expired_unused_makes_no_debt(ledger: MemoryLedger) -> None:
    """
    A grant of 500 that expired unused is taken back from where it was forfeited: the tenant never had it.
    """
    ledger.do(TopUp("acme", "k", NOW, 500, "promo", NOW + DAY_US))
    ledger.do(Sweep("acme", "s", NOW + DAY_US))
    assert lot(ledger, "acme-2").forfeited == 500
    back = answered(ledger.do(Reverse("acme", "r", NOW + DAY_US, "acme-2", "by mistake")), Reversed)
    assert (back.amount_nanos, back.taken_nanos, back.forfeited_nanos, back.debt_nanos) == (500, 0, 500, 0)
    assert wallet(ledger) == (1_000, 0, 0)
    assert ledger.rows("ledger_transfer")[-1][2:6] == (14, 4, 2, 500)  # reversal: expired -> promo
    assert (lot(ledger, "acme-2").forfeited, lot(ledger, "acme-2").reversed) == (0, 500)


def test_of_expired_credit_only_what_was_spent_becomes_debt(ledger: MemoryLedger) -> None:
    """
    Of 500 paid, 200 were spent and 300 forfeited: a chargeback of 250 leaves nothing owed, the next one of
    250 finds the other 50 that were forfeited, and the 200 that were spent are owed.
    """
    made = answered(ledger.do(TopUp("acme", "k", NOW, 500, expires_us=NOW + DAY_US)), ToppedUp)
    spend(ledger, "a", 200, 200)
    later = NOW + DAY_US
    found = [
        answered(ledger.do(Reverse("acme", key, later, made.transfer, "x", 250, "chargeback")), Reversed)
        for key in ("one", "two")
    ]
    assert [(back.taken_nanos, back.forfeited_nanos, back.debt_nanos) for back in found] == [
        (0, 250, 0), (0, 50, 200),
    ]  # fmt: skip
    assert wallet(ledger) == (1_000, 0, 200)


def test_scheduled_credit_can_be_taken_back_before_its_date(ledger: MemoryLedger) -> None:
    """
    A mistaken grant is taken back in part; what is left takes effect on its date.
    """
    ledger.do(TopUp("acme", "k", NOW, 500, "promo", effective_us=NOW + DAY_US))
    spend(ledger, "a", 1_000, None)  # open holds do not stand in the way of what is no credit yet
    back = answered(ledger.do(Reverse("acme", "r", NOW, "acme-2", "mistake", 400)), Reversed)
    assert (back.taken_nanos, back.debt_nanos) == (400, 0)
    ledger.do(Sweep("acme", "s", NOW + DAY_US))
    assert wallet(ledger) == (100, 0, 0)  # the hold has expired and was captured


def test_refund_lots_and_promotions_are_not_charged_back(ledger: MemoryLedger) -> None:
    """
    A bank takes back payments only.
    """
    ledger.do(TopUp("acme", "k", NOW, 500, "promo"))
    refused = answered(ledger.do(Reverse("acme", "r", NOW, "acme-2", "x", kind="chargeback")), Refused)
    assert refused.numbers["field"] == "kind"


def test_older_keys_keep_their_digest() -> None:
    """
    A field that came later does not change what a key of before stands for (digest of the first release).
    """
    assert digest(TopUp("acme", "k", NOW, 5)) == (
        "5037e0a1f6bfbae5c438180afbd5bf10de90929f04929ee196ca7de28a0db52d"
    )
    assert digest(TopUp("acme", "k", NOW, 5)) != digest(TopUp("acme", "k", NOW, 5, effective_us=NOW + 9))


def costs(ledger: MemoryLedger, hold_id: str) -> int:
    """Return the cost of a call as the lines of the statement add it up."""
    lines = [Transfer(*row) for row in ledger.rows("ledger_transfer")]
    return sum(line.cost or 0 for line in lines if line.hold_id == hold_id)


@pytest.mark.parametrize("refunded", [300, 200, 100])
@pytest.mark.parametrize("left", [0, 30, 700])
@pytest.mark.parametrize("debt", [0, 50])
def test_a_lower_truth_has_a_line_with_its_cost_whatever_credit_is_left(
    ledger: MemoryLedger, refunded: int, left: int, debt: int
) -> None:
    """Costs of the lines of a call add up to its last truth, also where all was refunded and spent since."""
    spend(ledger, "a", 300, 300)
    ledger.do(Refund("acme", "r", NOW, "a", actor="ann", reason="good will", amount_nanos=refunded))
    spend(ledger, "b", 700, 700 + refunded - left)
    spend(ledger, "c", 0, debt)
    before = wallet(ledger)
    for place, cost in enumerate((200, 150, 300, 10)):
        ledger.do(Correct("acme", f"c-{place}", NOW, "a", actor="ann", reason="bill", cost_nanos=cost))
        assert costs(ledger, "a") == cost
    fields = wallet(ledger)
    charged = ledger.books("acme").holds["a"]
    paid_before, paid = 300 - refunded, charged.captured - charged.refunded
    assert (fields[0] - fields[2]) - (before[0] - before[2]) == paid_before - paid
