"""
The journal of settings: who set what, to what, when and why, as a hash chain for each tenant (pure).

Every order that sets something leaves an entry for each subject that it set: the account, a budget, a new lot
of credit. An entry has all settings of its subject as they were left, so the last one says what must stand in
the row itself. Lots that a refund makes are no order's: their transfer says everything about them.
"""

from typing import Final

from ledger.books import Books
from ledger.chain import compact_json, list_hash
from ledger.rows import WINDOW_NAMES, Account, Budget, Lot, Setting
from ledger.types import Adjust, OpenAccount, Reverse, SetAccount, SetBudget, TopUp

Order = OpenAccount | TopUp | Adjust | Reverse | SetBudget | SetAccount
ORDERS: Final[frozenset[type]] = frozenset({OpenAccount, TopUp, Adjust, Reverse, SetBudget, SetAccount})
"""The operations that may write to the journal: for these its end is loaded."""

ACCOUNT: Final = "account"
BUDGET: Final = "budget:"
LOT: Final = "lot:"
SETTINGS: Final[dict[type, tuple[str, ...]]] = {
    Account: ("frozen", "multiplier_ppm", "overage", "timezone", "policy_version", "opened_at"),
    Budget: ("limit_amt", "raised_amt", "valid_until", "counts", "timezone"),
    Lot: ("kind", "granted", "priority", "effective_at", "expires_at", "source_ref"),
}
"""Of each kind of subject: the columns that are set, and not computed."""


def budget_subject(scope: str, window_kind: int) -> str:
    """
    Return the subject of a budget's entries.
    """
    return f"{BUDGET}{scope}/{WINDOW_NAMES[window_kind]}"


def settings_of(kind: type, row: object) -> str:
    """
    Return the settings of a row as an entry tells them.
    """
    return compact_json({name: getattr(row, name) for name in SETTINGS[kind]})


def note_account(books: Books, op: Order, account: Account, now_us: int) -> None:
    """
    Note how an order left the account.
    """
    _write(books, op, ACCOUNT, settings_of(Account, account), now_us)


def note_budget(books: Books, op: Order, budget: Budget, now_us: int) -> None:
    """
    Note how an order left a budget.
    """
    subject = budget_subject(budget.scope, budget.window_kind)
    _write(books, op, subject, settings_of(Budget, budget), now_us)


def note_lot(books: Books, op: Order, lot_id: str, now_us: int) -> None:
    """
    Note the terms of a lot that an order made.
    """
    _write(books, op, f"{LOT}{lot_id}", settings_of(Lot, books.lots[lot_id]), now_us)


def _write(books: Books, op: Order, subject: str, value: str, now_us: int) -> None:
    """
    Lengthen the journal by an entry.
    """
    reason = getattr(op, "reason", "")
    body = (books.tenant, books.settings_n + 1, subject, value, op.key, op.actor, reason, now_us)
    head = list_hash(books.settings_head, *body)
    books.changes.settings.append(Setting(*body, books.settings_head, head))
    books.settings_n, books.settings_head = body[1], head
