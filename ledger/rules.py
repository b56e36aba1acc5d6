"""
The pure core: one operation applied to one tenant's books. No I/O, no clock, no randomness.

Both the in-memory ledger and the database writer call `apply`. It changes the working copy it is given and
answers; a refusal changes nothing but, for a client's own key, the stored refusal, and what a call says of
itself after an operator told its cost. Order inside an operation: the clock never steps back, a known key
gets its stored answer, scheduled lots take effect, due holds are captured, due lots forfeited, then the
operation itself.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeGuard

from ledger import accounts, admission, corrections, holds, truths
from ledger.books import Books
from ledger.codec import digest, result_from_json, result_to_json
from ledger.outcome import Outcome, invalid_field, refuse
from ledger.postings import account_of, activate_due, forfeit_due
from ledger.rows import Op
from ledger.types import (
    Adjust,
    Correct,
    Note,
    Noted,
    OpenAccount,
    Operation,
    Reason,
    Refund,
    Refused,
    Release,
    Renew,
    Reserve,
    Reverse,
    SetAccount,
    SetBudget,
    Settle,
    Sweep,
    Swept,
    TopUp,
    recorded_by_hold,
    takes_a_holds_key,
)

STICKY_US: Final = 24 * 3_600 * 1_000_000
STICKY_REASONS: Final = frozenset(
    {Reason.FROZEN, Reason.IN_DEBT, Reason.CREDIT_EXHAUSTED, Reason.BUDGET_EXHAUSTED}
)
_NEEDS_NO_ACCOUNT: Final = (OpenAccount, Note)

Rule = Callable[[Books, Any, int, str], Outcome]


def _sweep(books: Books, _op: Sweep, now_us: int, _digest: str) -> Outcome:
    activate_due(books, now_us)
    captured = holds.expire_due(books, now_us)
    return Outcome(Swept(captured, forfeit_due(books, now_us)), applied=True)


def _note(_books: Books, _op: Note, _now_us: int, _digest: str) -> Outcome:
    return Outcome(Noted(), applied=True)


_RULES: Final[dict[type, Rule]] = {
    Reserve: admission.reserve,
    Settle: holds.settle,
    Release: holds.release,
    Renew: holds.renew,
    Refund: holds.refund,
    Correct: truths.correct,
    TopUp: accounts.top_up,
    Adjust: corrections.adjust,
    Reverse: corrections.reverse,
    SetBudget: accounts.set_budget,
    SetAccount: accounts.set_account,
    OpenAccount: accounts.open_account,
    Note: _note,
}


def apply(books: Books, op: Operation) -> Outcome:
    """
    Apply one operation to its tenant's books.
    """
    if books.account is None and not isinstance(op, _NEEDS_NO_ACCOUNT):
        return refuse(Reason.UNKNOWN_TENANT, tenant=op.tenant)
    if takes_a_holds_key(op):
        return invalid_field("key", op.key, "keys that begin with hold: or settle: belong to those holds")
    now_us = op.now_us if books.account is None else max(op.now_us, books.account.last_at)
    if isinstance(op, Sweep):
        return _sweep(books, op, now_us, "")
    body = digest(op)
    known = _known(books, op, body, now_us)
    if known is not None:
        return known
    if books.account is not None:
        activate_due(books, now_us)
        holds.expire_due(books, now_us)
        forfeit_due(books, now_us)
    outcome = _RULES[type(op)](books, op, now_us, body)
    if not isinstance(outcome.result, Refused):
        _remember(books, op, outcome, body, now_us)
    elif isinstance(op, Reserve) and op.sticky:
        _remember_refusal(books, op, outcome, body, now_us)
    return outcome


def _known(books: Books, op: Operation, body: str, now_us: int) -> Outcome | None:
    """
    Return the answer that the key or its hold has stored, a conflict where that is of another body, or None.
    """
    if recorded_by_hold(op):
        if isinstance(op, Settle):
            return holds.settled_before(books, op, body)
        before = admission.held_before(books, op, body, now_us)
        if before is not None or not op.sticky:
            return before
    hold = books.holds_by_key.get(op.key)
    if hold is not None:
        return admission.replay(books, op, hold, body, now_us)
    row = books.ops.get(op.key)
    if row is None or _stale(row, op, now_us):
        return None
    if not _same_order(row, op, body):
        return refuse(Reason.KEY_CONFLICT, key=op.key, made=row.kind)
    return Outcome(result_from_json(row.result), applied=False)


def _same_order(row: Op, op: Operation, body: str) -> bool:
    """
    Tell whether an operation is the one that its key stands for. An order for another reason is no other
    order; the digest has the reason of the first, which is kept beside it.
    """
    if row.kind != type(op).__name__:
        return False
    return row.req_hash == body or (
        _has_reason(op) and row.req_hash == digest(replace(op, reason=row.reason))
    )


def _has_reason(
    op: Operation,
) -> TypeGuard[TopUp | Adjust | Reverse | SetBudget | SetAccount | Refund | Correct]:
    return hasattr(op, "reason")


def _stale(row: Op, op: Operation, now_us: int) -> bool:
    """
    Tell whether the key's answer is a refusal that is no longer kept.
    """
    return isinstance(op, Reserve) and row.kind == "Reserve" and now_us - row.at >= STICKY_US


def _remember(books: Books, op: Operation, outcome: Outcome, body: str, now_us: int) -> None:
    """
    Store the answer with its key, where the hold is not the record itself, and advance the account's clock.

    Also where another key had done the work already: this key must get the same answer ever after.
    """
    if books.account is not None and books.account.last_at != now_us:
        books.account.last_at = now_us
        books.changes.account = True
    if not isinstance(op, Reserve) and not recorded_by_hold(op):
        _store(books, op, outcome, body, now_us)


def _remember_refusal(books: Books, op: Reserve, outcome: Outcome, body: str, now_us: int) -> None:
    """
    Keep a final refusal for a client's own key, so that a delayed duplicate makes no hold.
    """
    result = outcome.result
    if isinstance(result, Refused) and result.reason in STICKY_REASONS:
        _store(books, op, outcome, body, now_us)


def _store(books: Books, op: Operation, outcome: Outcome, body: str, now_us: int) -> None:
    before = books.ops.get(op.key)
    row = Op(
        op.tenant, op.key, type(op).__name__, body, result_to_json(outcome.result), getattr(op, "actor", ""),
        getattr(op, "reason", ""), now_us, fresh=before is None or before.fresh,
    )  # fmt: skip
    books.ops[op.key] = row
    books.changes.ops[op.key] = row


def check_books(books: Books) -> None:
    """
    Assert the invariants that must hold at every commit, on what the batch has loaded.
    """
    if books.account is None:
        return
    account = account_of(books)
    assert 0 <= account.held <= account.wallet, f"overspent: held {account.held} of {account.wallet}"
    assert 0 <= account.held_expected <= account.held, "expected above held"
    assert account.debt >= 0, "negative debt"
    left = 0
    for lot in books.lots.values():
        if not lot.scheduled:
            left += lot.remaining
    assert left == account.wallet, f"lots {left} are not the wallet {account.wallet}"
    for window in books.changes.windows.values():
        assert window.spent >= 0, "negative spending"
        assert 0 <= window.held_expected <= window.held, "held in window"
