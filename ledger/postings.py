"""
Movements of money: one-row transfers on the chain, and the lots that they draw from or return to (pure).

Nothing here decides whether money may move; the callers have decided. Amounts are positive.
"""

from typing import Final

from ledger.books import Books
from ledger.chain import list_hash
from ledger.rows import (
    ADJUST,
    ADJUSTMENTS,
    CASH,
    FORFEITED,
    KIND,
    NEVER_US,
    PAID,
    PROMO,
    PROMO_POOL,
    RECEIVABLE,
    REFUND,
    SCHEDULED,
    USAGE,
    WALLET,
    Account,
    Draw,
    Hold,
    Lot,
    Transfer,
)

REFUND_GRACE_US: Final = 30 * 86_400 * 1_000_000
ORIGINS: Final = {
    "paid": (PAID, CASH, "topup"),
    "promo": (PROMO, PROMO_POOL, "grant"),
    "adjust": (ADJUST, ADJUSTMENTS, "adjust"),
}
"""Of each kind of lot: its code, where its money comes from, and what its transfer is called."""
_FIRST: Final = -1
_LAST: Final = 2**63


def account_of(books: Books) -> Account:
    """
    Return the account, which the caller knows to exist.
    """
    assert books.account is not None
    return books.account


def transfer_id(tenant: str, seq: int) -> str:
    """
    Return the public id of a transfer.
    """
    return f"{tenant}-{seq}"


def post(
    books: Books, kind: str, debit: int, credit: int, amount: int, *, now_us: int, key: str,
    hold: Hold | None = None, lot_id: str | None = None, cost: int | None = None,
) -> int:  # fmt: skip
    """
    Write one transfer: moves the wallet, lengthens the chain; returns its sequence number.
    """
    assert amount > 0, amount
    account = account_of(books)
    account.wallet += amount * ((credit == WALLET) - (debit == WALLET))
    account.seq += 1
    hold_id = None if hold is None else hold.id
    row = (
        account.tenant, account.seq, KIND[kind], debit, credit, amount, cost, hold_id, lot_id, key, now_us,
        now_us, account.wallet,
    )  # fmt: skip
    head = list_hash(account.head_hash, *row)
    books.changes.transfers.append(Transfer(*row, account.head_hash, head))
    books.changes.account = True
    account.head_hash = head
    return account.seq


def lot_order(lot: Lot, now_us: int) -> tuple[int, int, int, int, int, int, str]:
    """
    Return the place of a lot in the order of drawing.

    Lots past their expiry that holds keep alive, then priority, expiry (never = last), promotional before
    paid, effective date, creation, id.
    """
    expires = _LAST if lot.expires_at is None else lot.expires_at
    overdue = _FIRST if expires <= now_us else 0
    return (
        overdue, lot.priority, expires, int(lot.kind != PROMO), lot.effective_at, lot.created_at, lot.id,
    )  # fmt: skip


def draw(books: Books, hold_id: str, seq: int, amount: int, now_us: int) -> None:
    """
    Take an amount from the lots, in their order; `hold_id` is empty where no call is behind it.
    """
    left = amount
    usable = [lot for lot in books.lots.values() if lot.remaining > 0 and not lot.scheduled]
    if len(usable) > 1:
        usable.sort(key=lambda lot: lot_order(lot, now_us))
    for lot in usable:
        part = min(lot.remaining, left)
        if part > 0:
            lot.remaining -= part
            left -= part
            _record(books, hold_id, seq, lot, part)
    assert left == 0, "the wallet is the sum of its lots"


def _record(books: Books, hold_id: str, seq: int, lot: Lot, amount: int) -> None:
    known = books.draws.setdefault(hold_id, [])
    place = len(known)
    if hold_id == "":  # what other transfers took without a call has no order among itself
        place = sum(row.seq == seq for row in known[-len(books.lots) :])
    row = Draw(books.tenant, seq, lot.id, hold_id, place, amount)
    known.append(row)
    books.changes.draws.append(row)
    books.changes.lots[lot.id] = lot


def add_lot(
    books: Books, kind: int, lot_id: str, amount: int, now_us: int, expires_us: int | None, *, priority: int,
    source_ref: str, repaid: int = 0, effective_us: int | None = None,
) -> None:  # fmt: skip
    """
    Make a new lot part of the books; `repaid` of it has paid off debt already. With `effective_us` it is
    scheduled.
    """
    lot = Lot(
        id=lot_id, tenant=books.tenant, kind=kind, priority=priority, granted=amount,
        remaining=amount - repaid, effective_at=now_us if effective_us is None else effective_us,
        expires_at=expires_us, source_ref=source_ref, created_at=now_us, repaid=repaid,
        scheduled=int(effective_us is not None), fresh=True,
    )  # fmt: skip
    books.add_lot(lot)
    books.changes.lots[lot.id] = lot


def take_in(
    books: Books, amount: int, *, kind: str, now_us: int, key: str, expires_us: int | None, priority: int,
    source_ref: str,
) -> tuple[int, int]:  # fmt: skip
    """
    Book money from outside: debt is repaid first, the rest becomes a lot.

    Returns:
        Sequence number of the last transfer, and the part that repaid debt.
    """
    code, source, posting = ORIGINS[kind]
    account = account_of(books)
    last = account.seq + (1 if account.debt == 0 or account.debt >= amount else 2)
    lot_id = transfer_id(books.tenant, last)
    seq, repaid = _repay(books, amount, source, now_us, key, lot_id=lot_id)
    if amount > repaid:
        seq = post(books, posting, source, WALLET, amount - repaid, now_us=now_us, key=key, lot_id=lot_id)
    assert seq == last, "a lot has the id of its last transfer"
    add_lot(
        books, code, lot_id, amount, now_us, expires_us, priority=priority, source_ref=source_ref,
        repaid=repaid,
    )  # fmt: skip
    return seq, repaid


def schedule(
    books: Books, amount: int, *, kind: str, now_us: int, key: str, effective_us: int, expires_us: int | None,
    priority: int, source_ref: str,
) -> int:  # fmt: skip
    """
    Book money that becomes credit at a later instant; returns the sequence number of its transfer.
    """
    code, source, _ = ORIGINS[kind]
    lot_id = transfer_id(books.tenant, account_of(books).seq + 1)
    seq = post(books, "schedule", source, SCHEDULED, amount, now_us=now_us, key=key, lot_id=lot_id)
    add_lot(
        books, code, lot_id, amount, now_us, expires_us, priority=priority, source_ref=source_ref,
        effective_us=effective_us,
    )  # fmt: skip
    return seq


def activate_due(books: Books, now_us: int) -> None:
    """
    Make scheduled lots part of the wallet once their date has come; debt is repaid first.

    One that was taken back whole before its date stays as it is: the store loads no empty lots.
    """
    if now_us < books.lots_due_us:
        return
    waiting = [lot for lot in books.lots.values() if lot.scheduled and lot.remaining > 0]
    due = [lot for lot in waiting if lot.effective_at <= now_us]
    for lot in sorted(due, key=lambda lot: (lot.effective_at, lot.id)):
        lot.scheduled = 0
        account_of(books).last_at = now_us
        books.changes.lots[lot.id] = lot
        _, repaid = _repay(books, lot.remaining, SCHEDULED, now_us, "", lot_id=lot.id)
        lot.repaid += repaid
        lot.remaining -= repaid
        if lot.remaining > 0:
            post(books, "activate", SCHEDULED, WALLET, lot.remaining, now_us=now_us, key="", lot_id=lot.id)


def _repay(
    books: Books, amount: int, source: int, now_us: int, key: str, *, hold: Hold | None = None,
    lot_id: str | None = None, cost: int | None = None,
) -> tuple[int, int]:  # fmt: skip
    """
    Pay off as much debt as the amount covers.
    """
    account = account_of(books)
    repaid = min(account.debt, amount)
    if repaid > 0:
        account.debt -= repaid
        post(
            books, "repay", source, RECEIVABLE, repaid, now_us=now_us, key=key, hold=hold, lot_id=lot_id,
            cost=cost,
        )  # fmt: skip
    return account.seq, repaid


def give_back(
    books: Books, kind: str, hold: Hold, amount: int, *, now_us: int, key: str, cost: int | None = None
) -> tuple[int, int]:
    """
    Return charged money of a hold: debt is repaid first, the rest goes to the lots it was drawn from.

    Args:
        cost: What the known cost of the call changes by, where it does; told by the first transfer.
    Returns:
        Sequence number of the last transfer, and the part that repaid debt.
    """
    seq, repaid = _repay(books, amount, USAGE, now_us, key, hold=hold, cost=cost)
    rest = amount - repaid
    if rest > 0:
        told = cost if repaid == 0 else None
        seq = post(books, kind, USAGE, WALLET, rest, now_us=now_us, key=key, hold=hold, cost=told)
        _refill(books, hold, seq, rest, now_us)
    return seq, repaid


def _refill(books: Books, hold: Hold, seq: int, amount: int, now_us: int) -> None:
    """
    Put money back into lots, newest draw first; what cannot go back becomes a refund lot.

    It has a grace period where its lots have ended. Money that had repaid the debt of the call came from no
    lot that is known: it gets no end, with all that comes back with it, rather than one that nobody set.
    """
    left, back, homeless = amount, dict[str, int](), 0
    for lot_id, drawn in reversed(_owed(books, hold)):
        part = min(drawn, left)
        if part > 0:
            back[lot_id] = back.get(lot_id, 0) + part
            left -= part
    for lot_id, part in back.items():
        lot = books.lots[lot_id]
        _record(books, hold.id, seq, lot, -part)
        if lot.expires_at is not None and lot.expires_at <= now_us:
            homeless += part
        else:
            lot.remaining += part
    homeless += left
    if homeless > 0:
        lot_id, expires_us = transfer_id(books.tenant, seq), None if left > 0 else now_us + REFUND_GRACE_US
        add_lot(books, REFUND, lot_id, homeless, now_us, expires_us, priority=0, source_ref=hold.id)


def _owed(books: Books, hold: Hold) -> list[tuple[str, int]]:
    """
    Return what of each draw of the hold has not gone back, in order of drawing; a lot may be drawn twice.
    """
    back: dict[str, int] = {}
    owed: list[tuple[str, int]] = []
    for row in reversed(books.draws.get(hold.id, [])):
        returned = back.get(row.lot_id, 0)
        if row.amount < 0:
            back[row.lot_id] = returned - row.amount
        else:
            back[row.lot_id] = max(0, returned - row.amount)
            owed.append((row.lot_id, max(0, row.amount - returned)))
    return owed[::-1]


def forfeit_due(books: Books, now_us: int) -> int:
    """
    Forfeit lots past their expiry, but never what open holds may need; returns the amount.
    """
    if now_us < books.lots_due_us:
        return 0
    account = account_of(books)
    total = 0
    due = [
        lot
        for lot in books.lots.values()
        if lot.expires_at is not None and lot.expires_at <= now_us and not lot.scheduled
    ]
    for lot in sorted(due, key=lambda lot: lot_order(lot, now_us)):
        amount = min(lot.remaining, account.wallet - account.held)
        if amount > 0:
            post(books, "forfeit", WALLET, FORFEITED, amount, now_us=now_us, key="", lot_id=lot.id)
            lot.remaining -= amount
            lot.forfeited += amount
            books.changes.lots[lot.id] = lot
            account.last_at = now_us
            total += amount
    books.lots_due_us = min(
        (lot.due_us for lot in books.lots.values() if _matters(lot, now_us)), default=NEVER_US
    )
    return total


def _matters(lot: Lot, now_us: int) -> bool:
    """
    Tell whether a date is still to come for a lot, or has come and left something to do.
    """
    return lot.remaining > 0 or now_us < lot.due_us
