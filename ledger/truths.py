"""
The true cost of a call whose hold is closed, as an operator knows it from the provider's bill (pure).

It is booked whatever was booked before, above or below: a difference, never a second charge. Budgets count it
in the windows in which the hold was authorized, credit and debt change by the difference.
"""

from ledger.books import Books
from ledger.codec import digest
from ledger.holds import book_charge, cost_told, parts, settle
from ledger.outcome import Outcome, event, invalid_amount, invalid_field, refuse, valid_amount
from ledger.postings import account_of, draw, give_back, post
from ledger.rows import ABSORBED, AFTER_RELEASE, COUNTS_COST, OPEN, RECEIVABLE, SETTLED, USAGE, WALLET, Hold
from ledger.types import Correct, Corrected, Reason, Refused, Settle
from pricing.money import scale_ceil


def correct(books: Books, op: Correct, now_us: int, _digest: str) -> Outcome:
    """
    Book the true cost of a closed hold. One in flight is settled by who sent it.
    """
    hold = books.holds.get(op.hold_id)
    if hold is None:
        return refuse(Reason.UNKNOWN_HOLD, hold_id=op.hold_id)
    if hold.state == OPEN:
        return refuse(Reason.HOLD_CLOSED, hold_id=hold.id, state="open")
    if not valid_amount(op.cost_nanos):
        return invalid_amount("cost_nanos", op.cost_nanos)
    if op.reason.strip() == "":
        return invalid_field("reason", op.reason, "say where the truth is from")
    before, refunded = (hold.actual, hold.captured), hold.refunded
    known = hold.state == SETTLED and hold.actual == op.cost_nanos
    refused = None if known else _book(books, hold, op, now_us)
    if refused is not None:
        return refused
    account = account_of(books)
    answer = Corrected(
        hold.id, op.cost_nanos, hold.captured, *before, hold.refunded, account.wallet, account.debt,
        refund_used_nanos=refunded - hold.refunded, replayed=known,
    )  # fmt: skip
    return Outcome(answer, applied=not known)


def _book(books: Books, hold: Hold, op: Correct, now_us: int) -> Outcome | None:
    """
    Settle a hold that was not settled yet; of one that was, book the difference. Returns a refusal.
    """
    detail = hold.detail if hold.state == SETTLED else None
    truth = Settle(op.tenant, op.key, op.now_us, hold.id, op.cost_nanos, detail or "")
    if hold.state != SETTLED:
        told = settle(books, truth, now_us, digest(truth))
        if isinstance(told.result, Refused):
            return told
        hold.detail = None  # the call itself has said nothing yet
        return None
    charge = scale_ceil(op.cost_nanos, hold.multiplier_ppm)
    if not valid_amount(charge):
        return invalid_amount("charge_nanos", charge)

    # from here the correction must succeed
    delta = charge - hold.captured
    _recount(books, hold, charge, op.cost_nanos)
    if delta < 0:
        _lower(books, hold, charge, op, now_us)
    else:
        book_charge(books, hold, charge, op, now_us)
    hold.actual, hold.settle_hash = op.cost_nanos, digest(truth)
    books.changes.holds[hold.id] = hold
    books.changes.events.append(event("settled", hold, delta, now_us))
    return None


def _lower(books: Books, hold: Hold, charge: int, op: Correct, now_us: int) -> None:
    """
    Give back what was booked too much: first what the operator bore of it, then to the tenant.

    What had been refunded counts as given back: it is taken back, as far as free credit has it, and returned
    with the rest, so that a line of the statement tells the difference of the cost. Where that leaves nothing
    to return, it is owed and repaid at once.
    """
    account = account_of(books)
    cost: int | None = op.cost_nanos - cost_told(hold)
    borne = min(hold.captured - charge, hold.absorbed)
    less = hold.captured - charge - borne
    again = min(less, hold.refunded)
    taken = min(again, account.wallet - account.held)
    if borne > 0:
        hold.settle_seq = post(
            books, "correction", USAGE, ABSORBED, borne, now_us=now_us, key=op.key, hold=hold, cost=cost
        )
        cost = None
    if taken > 0:
        seq = post(books, "correction", WALLET, USAGE, taken, now_us=now_us, key=op.key, hold=hold)
        draw(books, hold.id, seq, taken, now_us)
    back = less - again + taken
    if back == 0 and borne == 0:  # all was refunded, and no credit is free: only a debt can tell the cost
        back = again
        account.debt += again
        post(books, "debt", RECEIVABLE, USAGE, again, now_us=now_us, key=op.key, hold=hold)
    if back > 0:
        hold.settle_seq, _ = give_back(books, "correction", hold, back, now_us=now_us, key=op.key, cost=cost)
    hold.refunded -= again
    hold.absorbed -= borne
    hold.debt = min(hold.debt, charge - hold.absorbed)
    hold.charged = charge - hold.absorbed - hold.debt
    hold.captured = charge


def _recount(books: Books, hold: Hold, charge: int, cost: int) -> None:
    """
    Count the truth in the windows of the hold, in place of what a settled hold counts there.
    """
    lowered = max(0, hold.captured - charge - hold.absorbed)
    for part, window in parts(books, hold):
        by_cost = part.counts == COUNTS_COST
        before, truth = (hold.actual or 0, cost) if by_cost else (hold.captured, charge)
        authorized = 0 if hold.late == AFTER_RELEASE else part.amount
        refunded = min(part.refunded, hold.refunded - min(lowered, hold.refunded))
        window.spent += truth - before + part.refunded - refunded
        window.overage += max(0, truth - authorized) - max(0, before - authorized)
        if refunded != part.refunded:
            part.refunded = refunded
            books.changes.hold_windows[(part.hold_id, part.budget_id, part.starts_at)] = part
