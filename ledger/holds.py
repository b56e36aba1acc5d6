"""
What becomes of a hold: settled, released, renewed, captured at expiry, refunded (pure).

A true cost is never refused: what the hold and the free credit do not cover becomes debt, or is absorbed by
the operator. A hold past its expiry is captured in full, because the provider may have been paid; the truth,
when it arrives, corrects it. Budgets count a hold in the windows in which it was authorized.
"""

from dataclasses import replace

from ledger.admission import TTL_MAX_US
from ledger.books import Books
from ledger.codec import digest
from ledger.outcome import Outcome, event, exposure, invalid_amount, invalid_field, refuse, valid_amount
from ledger.postings import account_of, draw, give_back, post, transfer_id
from ledger.rows import (
    ABSORB,
    ABSORBED,
    AFTER_EXPIRY,
    AFTER_RELEASE,
    COUNTS_CHARGE,
    COUNTS_COST,
    EXPIRED,
    IN_TIME,
    OPEN,
    RECEIVABLE,
    RELEASED,
    SETTLED,
    STATE_NAMES,
    USAGE,
    WALLET,
    Hold,
    HoldWindow,
    Window,
)
from ledger.types import (
    Correct,
    Reason,
    Refund,
    Refunded,
    Release,
    Released,
    Renew,
    Renewed,
    Settle,
    Settled,
    recorded_by_hold,
)
from pricing.money import scale_ceil

_LATE = {OPEN: IN_TIME, EXPIRED: AFTER_EXPIRY, RELEASED: AFTER_RELEASE}


def settle(books: Books, op: Settle, now_us: int, body: str) -> Outcome:
    """
    Book the true cost of a call, whatever the state of its hold.
    """
    hold = books.holds.get(op.hold_id)
    if hold is None:
        return refuse(Reason.UNKNOWN_HOLD, hold_id=op.hold_id)
    if not valid_amount(op.cost_nanos):
        return invalid_amount("cost_nanos", op.cost_nanos)
    first = hold.state == SETTLED and hold.detail is None
    if first:
        _say_of_itself(books, hold, op)
    settled = settled_before(books, op, body)
    if settled is not None:
        return settled._replace(applied=first)
    charge = scale_ceil(op.cost_nanos, hold.multiplier_ppm)
    if not valid_amount(charge):
        return invalid_amount("charge_nanos", charge)

    # from here the settlement must succeed
    before = 0 if hold.state == RELEASED else exposure(hold)
    if hold.state == OPEN:
        _unhold(books, hold)
    book_charge(books, hold, charge, op, now_us)
    _count_settled(books, hold, charge, op.cost_nanos)
    hold.late = _LATE[hold.state]
    hold.actual, hold.settle_hash, hold.detail = op.cost_nanos, body, op.detail
    _close(books, hold, SETTLED, now_us)
    books.changes.events.append(event("settled", hold, charge - before, now_us))
    return Outcome(_settled(hold, replayed=False), applied=True)


def settled_before(books: Books, op: Settle, body: str) -> Outcome | None:
    """
    Answer a settlement of a settled hold: the same body is a repetition, another one is refused. None where
    only an operator has told the cost: then this is the first that the call itself says.
    """
    hold = books.holds.get(op.hold_id)
    if hold is None or hold.state != SETTLED or hold.detail is None:
        return None
    if hold.settle_hash == body:
        return Outcome(_settled(hold, replayed=True), applied=False)
    if recorded_by_hold(op):
        return refuse(Reason.KEY_CONFLICT, key=op.key, made="Settle", cost_nanos=hold.actual)
    return refuse(Reason.HOLD_CLOSED, state="settled", cost_nanos=hold.actual)


def _say_of_itself(books: Books, hold: Hold, op: Settle) -> None:
    """
    Keep what a call says after an operator told its cost, as if it had said it before. No money moves,
    whatever cost it names; what is attached is written, this once.
    """
    assert hold.actual is not None
    hold.detail = op.detail
    hold.settle_hash = digest(replace(op, cost_nanos=hold.actual))
    books.changes.holds[hold.id] = hold


def _settled(hold: Hold, *, replayed: bool) -> Settled:
    assert hold.actual is not None
    held = 0 if hold.late == AFTER_RELEASE else hold.amount
    return Settled(
        hold_id=hold.id, cost_nanos=hold.actual, charge_nanos=hold.captured, held_nanos=held,
        from_free_nanos=max(0, hold.charged - held), debt_nanos=hold.debt, absorbed_nanos=hold.absorbed,
        seq=hold.settle_seq, late=hold.late != IN_TIME, replayed=replayed,
    )  # fmt: skip


def book_charge(books: Books, hold: Hold, charge: int, op: Settle | Correct, now_us: int) -> None:
    """
    Move the difference between the charge and what is booked already.

    The first transfer carries the difference of the cost, so that costs of transfers add up to the truth.
    """
    account = account_of(books)
    more, cost = charge - hold.captured, op.cost_nanos - cost_told(hold)
    if more < 0:
        hold.settle_seq, _ = give_back(books, "correction", hold, -more, now_us=now_us, key=op.key, cost=cost)
        hold.charged += more
        hold.captured = charge
        return
    take = min(more, account.wallet - account.held)
    short = more - take
    if take > 0:
        kind = "correction" if hold.state in (EXPIRED, SETTLED) else "settle"
        seq = post(books, kind, WALLET, USAGE, take, now_us=now_us, key=op.key, hold=hold, cost=cost)
        draw(books, hold.id, seq, take, now_us)
        hold.settle_seq = seq
    if short > 0:
        hold.settle_seq = book_short(books, hold, short, op, now_us, None if take > 0 else cost)
    hold.charged += take
    hold.captured = charge


def cost_told(hold: Hold) -> int:
    """
    Return the cost that transfers of this hold tell so far.
    """
    return hold.actual if hold.actual is not None and hold.captured > 0 else 0


def book_short(
    books: Books, hold: Hold, short: int, op: Settle | Correct, now_us: int, cost: int | None
) -> int:
    """
    Book what no credit covers: as the tenant's debt, or as the operator's loss.
    """
    if hold.overage == ABSORB:
        hold.absorbed += short
        return post(books, "absorb", ABSORBED, USAGE, short, now_us=now_us, key=op.key, hold=hold, cost=cost)
    hold.debt += short
    account_of(books).debt += short
    return post(books, "debt", RECEIVABLE, USAGE, short, now_us=now_us, key=op.key, hold=hold, cost=cost)


def _count_settled(books: Books, hold: Hold, charge: int, cost: int) -> None:
    """
    Count the truth in the windows of the hold's authorization, in place of what they counted before.
    """
    for part, window in parts(books, hold):
        truth = cost if part.counts == COUNTS_COST else charge
        counted = part.amount if hold.state == EXPIRED else 0
        authorized = 0 if hold.state == RELEASED else part.amount
        window.spent += truth - counted
        window.overage += max(0, truth - authorized)


def parts(books: Books, hold: Hold) -> list[tuple[HoldWindow, Window]]:
    """
    Return the hold's parts with their windows, which are about to change.
    """
    found = []
    for part in books.hold_windows.get(hold.id, []):
        window = books.window(part.budget_id, part.starts_at)
        books.changes.windows[(part.budget_id, part.starts_at)] = window
        found.append((part, window))
    return found


def _unhold(books: Books, hold: Hold) -> None:
    """
    Take an open hold out of everything that counts it as held.
    """
    account = account_of(books)
    account.held -= hold.amount
    account.held_expected -= hold.expected
    for part, window in parts(books, hold):
        window.held -= part.amount
        window.held_expected -= part.expected


def _close(books: Books, hold: Hold, state: int, now_us: int) -> None:
    hold.state = state
    hold.closed_at = now_us
    books.changes.holds[hold.id] = hold
    books.changes.account = True


def expire_due(books: Books, now_us: int) -> tuple[str, ...]:
    """
    Capture every open hold past its expiry; returns their ids.
    """
    due = books.take_due(now_us)
    for hold in due:
        _capture(books, hold, now_us)
    return tuple(sorted(hold.id for hold in due))


def _capture(books: Books, hold: Hold, now_us: int) -> None:
    """
    Book an expired hold in full, provisionally: nobody said what the provider billed.
    """
    _unhold(books, hold)
    if hold.amount > 0:
        seq = post(
            books, "expire_capture", WALLET, USAGE, hold.amount, now_us=now_us, key=f"expire:{hold.id}",
            hold=hold, cost=hold.cost_bound,
        )  # fmt: skip
        draw(books, hold.id, seq, hold.amount, now_us)
        hold.settle_seq = seq
    hold.charged = hold.captured = hold.amount
    hold.actual = hold.cost_bound
    for part, window in parts(books, hold):
        window.spent += part.amount
    _close(books, hold, EXPIRED, now_us)
    account_of(books).last_at = now_us
    books.changes.events.append(event("captured", hold, 0, now_us))


def release(books: Books, op: Release, now_us: int, _digest: str) -> Outcome:
    """
    Give a hold back; a captured one returns its money.
    """
    hold = books.holds.get(op.hold_id)
    if hold is None:
        return refuse(Reason.UNKNOWN_HOLD, hold_id=op.hold_id)
    if hold.state == SETTLED:
        return refuse(Reason.HOLD_CLOSED, state="settled", cost_nanos=hold.actual)
    if hold.state == RELEASED:
        return Outcome(Released(hold.id, 0, replayed=True), applied=False)
    late, returned = hold.state == EXPIRED, hold.captured
    if late:
        _uncapture(books, hold, op, now_us)
    else:
        _unhold(books, hold)
    hold.detail = op.why
    _close(books, hold, RELEASED, now_us)
    books.changes.events.append(event("released", hold, -exposure(hold), now_us))
    return Outcome(Released(hold.id, returned, late=late), applied=True)


def _uncapture(books: Books, hold: Hold, op: Release, now_us: int) -> None:
    """
    Undo a capture at expiry: the provider did not bill.
    """
    if hold.captured > 0:
        hold.settle_seq, _ = give_back(
            books, "correction", hold, hold.captured, now_us=now_us, key=op.key, cost=-cost_told(hold)
        )
    hold.captured = hold.charged = 0
    hold.actual = None
    for part, window in parts(books, hold):
        window.spent -= part.amount


def renew(books: Books, op: Renew, now_us: int, _digest: str) -> Outcome:
    """
    Extend an open hold; never shortens it.
    """
    hold = books.holds.get(op.hold_id)
    if hold is None:
        return refuse(Reason.UNKNOWN_HOLD, hold_id=op.hold_id)
    if not valid_amount(op.ttl_us, least=1) or op.ttl_us > TTL_MAX_US:
        return invalid_field("ttl_us", op.ttl_us, f"1 to {TTL_MAX_US} microseconds")
    if hold.state != OPEN:
        return refuse(Reason.HOLD_CLOSED, state=STATE_NAMES[hold.state])
    hold.expires_at = max(hold.expires_at, now_us + op.ttl_us)
    books.watch(hold)
    books.changes.holds[hold.id] = hold
    books.changes.events.append(event("renewed", hold, 0, now_us))
    return Outcome(Renewed(hold.id, hold.expires_at), applied=True)


def refund(books: Books, op: Refund, now_us: int, _digest: str) -> Outcome:
    """
    Give back at most what a settled call was charged and was not refunded yet.

    A budget gets its part back only while its window lasts: yesterday's refund must not raise today's limit.
    """
    hold = books.holds.get(op.hold_id)
    if hold is None:
        return refuse(Reason.UNKNOWN_HOLD, hold_id=op.hold_id)
    if hold.state != SETTLED:
        return refuse(Reason.HOLD_CLOSED, state=STATE_NAMES[hold.state])
    left = hold.charged + hold.debt - hold.refunded
    amount = left if op.amount_nanos is None else op.amount_nanos
    if op.amount_nanos is not None and not valid_amount(op.amount_nanos, least=1):
        return invalid_amount("amount_nanos", op.amount_nanos)
    if amount > left or amount == 0:
        return refuse(Reason.REFUND_EXCEEDS_CHARGE, refundable_nanos=left, needed_nanos=amount)
    seq, repaid = give_back(books, "refund", hold, amount, now_us=now_us, key=op.key)
    hold.refunded += amount
    books.changes.holds[hold.id] = hold
    _refund_windows(books, hold, amount, now_us)
    wallet = account_of(books).wallet
    return Outcome(Refunded(transfer_id(books.tenant, seq), amount, wallet, repaid), applied=True)


def _refund_windows(books: Books, hold: Hold, amount: int, now_us: int) -> None:
    for part in books.hold_windows.get(hold.id, []):
        window = books.window(part.budget_id, part.starts_at)
        if part.counts == COUNTS_CHARGE and now_us < window.ends_at:
            window.spent -= amount
            part.refunded += amount
            books.changes.windows[(part.budget_id, part.starts_at)] = window
            books.changes.hold_windows[(part.hold_id, part.budget_id, part.starts_at)] = part
