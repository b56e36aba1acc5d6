"""
Corrections by hand: adjustments of the credit, and lots that are taken back (pure).

Nothing here touches what open holds may need: what the free credit does not cover becomes debt, which the
next top-up repays first. Every correction has a reason and an actor, kept with its key.
"""

from typing import Final

from ledger.accounts import room_for
from ledger.books import Books
from ledger.journal import note_account, note_lot
from ledger.outcome import Outcome, invalid_amount, invalid_field, refuse, valid_amount
from ledger.postings import ORIGINS, account_of, draw, post, take_in, transfer_id
from ledger.rows import ADJUSTMENTS, FORFEITED, LOT_NAMES, PAID, RECEIVABLE, SCHEDULED, WALLET, Lot
from ledger.types import Adjust, Adjusted, Reason, Reverse, Reversed

REVERSALS: Final = ("reversal", "chargeback")


def adjust(books: Books, op: Adjust, now_us: int, _digest: str) -> Outcome:
    """
    Add to the credit, or take from it.
    """
    if not _valid_change(op.amount_nanos):
        return invalid_amount("amount_nanos", op.amount_nanos)
    if op.reason.strip() == "":
        return invalid_field("reason", op.reason, "say why the credit is corrected")
    if op.amount_nanos > 0 and not room_for(books, op.amount_nanos):
        return invalid_amount("amount_nanos", op.amount_nanos)
    repaid = 0
    if op.amount_nanos > 0:
        seq, repaid = take_in(
            books, op.amount_nanos, kind="adjust", now_us=now_us, key=op.key, expires_us=None, priority=0,
            source_ref="",
        )  # fmt: skip
        note_lot(books, op, transfer_id(op.tenant, seq), now_us)
    else:
        seq = _take(books, -op.amount_nanos, op.key, now_us)
    account = account_of(books)
    answer = Adjusted(transfer_id(op.tenant, seq), op.amount_nanos, account.wallet, repaid, account.debt)
    return Outcome(answer, applied=True)


def _valid_change(amount: object) -> bool:
    if not isinstance(amount, int) or isinstance(amount, bool):
        return False
    return valid_amount(abs(amount), least=1)


def _take(books: Books, amount: int, key: str, now_us: int) -> int:
    """
    Take an amount from the free credit in the order of drawing; the rest becomes debt.

    Returns:
        Sequence number of the last transfer.
    """
    account = account_of(books)
    taken = min(amount, account.wallet - account.held)
    if taken > 0:
        seq = post(books, "adjust", WALLET, ADJUSTMENTS, taken, now_us=now_us, key=key)
        draw(books, "", seq, taken, now_us)
    _owe(books, "adjust", ADJUSTMENTS, amount - taken, key, now_us, None)
    return account.seq


def _owe(books: Books, kind: str, party: int, short: int, key: str, now_us: int, lot_id: str | None) -> None:
    """
    Book what no credit covers as the tenant's debt.
    """
    if short > 0:
        account_of(books).debt += short
        post(books, kind, RECEIVABLE, party, short, now_us=now_us, key=key, lot_id=lot_id)


def reverse(books: Books, op: Reverse, now_us: int, _digest: str) -> Outcome:
    """
    Take a lot back: what is left from the wallet, what had expired from there, what was spent as debt.
    """
    lot = books.lots.get(op.lot_id)
    if lot is None:
        return refuse(Reason.UNKNOWN_LOT, lot_id=op.lot_id)
    invalid = _invalid_reversal(op, lot)
    if invalid is not None:
        return invalid
    left = lot.granted - lot.reversed
    amount = left if op.amount_nanos is None else op.amount_nanos
    if amount > left or amount == 0:
        return refuse(Reason.REVERSAL_EXCEEDS_GRANT, reversible_nanos=left, needed_nanos=amount)

    # from here the reversal must succeed
    taken, forfeited, debt = _take_back(books, op, lot, amount, now_us)
    account = account_of(books)
    if op.freeze:
        account.frozen = 1
        note_account(books, op, account, now_us)
    answer = Reversed(
        transfer_id(op.tenant, account.seq), amount, taken, debt, account.wallet, bool(account.frozen),
        forfeited,
    )  # fmt: skip
    return Outcome(answer, applied=True)


def _invalid_reversal(op: Reverse, lot: Lot) -> Outcome | None:
    if op.kind not in REVERSALS:
        return invalid_field("kind", op.kind, " or ".join(REVERSALS))
    if LOT_NAMES[lot.kind] not in ORIGINS:
        return invalid_field("lot_id", op.lot_id, "a refund is taken back by an adjustment")
    if op.kind == "chargeback" and lot.kind != PAID:
        return invalid_field("kind", op.kind, "only paid credit is charged back; use a reversal")
    if op.amount_nanos is not None and not valid_amount(op.amount_nanos, least=1):
        return invalid_amount("amount_nanos", op.amount_nanos)
    if op.reason.strip() == "":
        return invalid_field("reason", op.reason, "say why the credit is taken back")
    return None


def _take_back(books: Books, op: Reverse, lot: Lot, amount: int, now_us: int) -> tuple[int, int, int]:
    """
    Take what the lot still has and no open hold needs, then what was forfeited; the rest becomes debt.

    Returns:
        What was taken from the credit, what from the forfeited, and the debt.
    """
    account = account_of(books)
    source = ORIGINS[LOT_NAMES[lot.kind]][1]
    free = lot.remaining if lot.scheduled else min(lot.remaining, account.wallet - account.held)
    taken = min(amount, free)
    forfeited = min(amount - taken, lot.forfeited)
    home = SCHEDULED if lot.scheduled else WALLET
    for party, part in ((home, taken), (FORFEITED, forfeited)):
        if part > 0:
            post(books, op.kind, party, source, part, now_us=now_us, key=op.key, lot_id=lot.id)
    debt = amount - taken - forfeited
    _owe(books, op.kind, source, debt, op.key, now_us, lot.id)
    lot.remaining -= taken
    lot.forfeited -= forfeited
    lot.reversed += amount
    books.changes.lots[lot.id] = lot
    return taken, forfeited, debt
