"""
Opening, topping up and configuring an account (pure).
"""

from operator import itemgetter
from typing import Final

from ledger.books import Books
from ledger.budget import bounds_from, budget_id, current_window, keep_window, known_timezone, new_window
from ledger.chain import GENESIS
from ledger.journal import note_account, note_budget, note_lot
from ledger.outcome import AMOUNT_MAX, Outcome, invalid_amount, invalid_field, refuse, valid_amount
from ledger.postings import account_of, schedule, take_in, transfer_id
from ledger.rows import COUNTS_CHARGE, COUNTS_NAMES, DAY, OVERAGE_NAMES, WINDOW_NAMES, Account, Budget
from ledger.types import (
    AccountOpened,
    AccountSet,
    BudgetSet,
    OpenAccount,
    Reason,
    SetAccount,
    SetBudget,
    ToppedUp,
    TopUp,
)

MULTIPLIER_MAX_PPM: Final = 1_000_000_000
NAME_MAX: Final = 200
WALLET_MAX: Final = 8 * AMOUNT_MAX
PRIORITY_MAX: Final = 1_000_000
_SCOPES: Final = ("key:", "task:", "user:", "tag:")


def valid_name(name: object) -> bool:
    """
    Tell whether a text can name a tenant or a scope: printable, not empty, not longer than 200.
    """
    return isinstance(name, str) and 0 < len(name) <= NAME_MAX and name.isprintable()


def _invalid_timezone(name: object) -> Outcome | None:
    if isinstance(name, str) and known_timezone(name):
        return None
    return refuse(Reason.UNKNOWN_TIMEZONE, timezone=str(name)[:60])


def _invalid_multiplier(ppm: object) -> Outcome | None:
    if valid_amount(ppm) and isinstance(ppm, int) and ppm <= MULTIPLIER_MAX_PPM:
        return None
    return invalid_field("multiplier_ppm", ppm, f"0 to {MULTIPLIER_MAX_PPM} parts per million")


def _invalid_limit(field: str, limit: object) -> Outcome | None:
    return None if limit is None or valid_amount(limit) else invalid_amount(field, limit)


def open_account(books: Books, op: OpenAccount, now_us: int, _digest: str) -> Outcome:
    """
    Create the account, its day budget and its first credit.
    """
    if books.account is not None:
        return refuse(Reason.TENANT_EXISTS, tenant=op.tenant)
    if not valid_name(op.tenant):
        return invalid_field("tenant", op.tenant, f"1 to {NAME_MAX} printable characters")
    if not valid_amount(op.credit_nanos):
        return invalid_amount("credit_nanos", op.credit_nanos)
    invalid = (
        _invalid_timezone(op.timezone)
        or _invalid_limit("daily_limit_nanos", op.daily_limit_nanos)
        or _invalid_multiplier(op.multiplier_ppm)
    )
    if invalid is not None:
        return invalid
    books.account = Account(
        tenant=op.tenant, wallet=0, held=0, held_expected=0, debt=0, seq=0, head_hash=GENESIS, last_at=now_us,
        policy_version=0, frozen=0, multiplier_ppm=op.multiplier_ppm, overage=0, timezone=op.timezone,
        opened_at=now_us, fresh=True,
    )  # fmt: skip
    books.changes.account = True
    budget = _add_budget(books, "tenant", DAY, COUNTS_CHARGE)
    budget.limit_amt = op.daily_limit_nanos
    note_account(books, op, books.account, now_us)
    note_budget(books, op, budget, now_us)
    transfer = None
    if op.credit_nanos > 0:
        seq, _ = take_in(books, op.credit_nanos, kind="paid", now_us=now_us, key=op.key, expires_us=None,
                         priority=0, source_ref="opening credit")  # fmt: skip
        transfer = transfer_id(op.tenant, seq)
        note_lot(books, op, transfer, now_us)
    return Outcome(AccountOpened(op.tenant, books.account.wallet, transfer), applied=True)


def _add_budget(books: Books, scope: str, kind: int, counts: int) -> Budget:
    budget = Budget(
        id=budget_id(books.tenant, scope, kind), tenant=books.tenant, scope=scope, window_kind=kind,
        limit_amt=None, raised_amt=None, valid_until=None, counts=counts, timezone=account_of(books).timezone,
        tiled_until=0, fresh=True,
    )  # fmt: skip
    books.budgets[(scope, kind)] = budget
    books.changes.budgets[budget.id] = budget
    return budget


def top_up(books: Books, op: TopUp, now_us: int, _digest: str) -> Outcome:
    """
    Add credit; debt is repaid first. Credit that takes effect later is booked as scheduled until then.
    """
    invalid = _invalid_top_up(books, op, now_us)
    if invalid is not None:
        return invalid
    if op.effective_us is not None and op.effective_us > now_us:
        repaid = 0
        seq = schedule(
            books, op.amount_nanos, kind=op.kind, now_us=now_us, key=op.key, effective_us=op.effective_us,
            expires_us=op.expires_us, priority=op.priority, source_ref=op.source_ref,
        )  # fmt: skip
    else:
        seq, repaid = take_in(
            books, op.amount_nanos, kind=op.kind, now_us=now_us, key=op.key, expires_us=op.expires_us,
            priority=op.priority, source_ref=op.source_ref,
        )  # fmt: skip
    transfer = transfer_id(op.tenant, seq)
    note_lot(books, op, transfer, now_us)
    return Outcome(ToppedUp(transfer, account_of(books).wallet, repaid), applied=True)


def room_for(books: Books, amount: int) -> bool:
    """
    Tell whether the wallet can take an amount, beside all that is scheduled, without leaving 64 bits.
    """
    scheduled = sum(lot.remaining for lot in books.lots.values() if lot.scheduled)
    return account_of(books).wallet + scheduled + amount <= WALLET_MAX


def _invalid_top_up(books: Books, op: TopUp, now_us: int) -> Outcome | None:
    if not valid_amount(op.amount_nanos, least=1) or not room_for(books, op.amount_nanos):
        return invalid_amount("amount_nanos", op.amount_nanos)
    if op.kind not in ("paid", "promo"):
        return invalid_field("kind", op.kind, "paid or promo")
    if not valid_amount(op.priority) or op.priority > PRIORITY_MAX:
        return invalid_field("priority", op.priority, f"0 to {PRIORITY_MAX}; lower is drawn earlier")
    starts_us = max(now_us, op.effective_us or 0)
    if op.expires_us is not None and op.expires_us <= starts_us:
        return invalid_field("expires_us", op.expires_us, "an instant after now and the effective date")
    return None


def _valid_scope(scope: str) -> bool:
    if scope == "tenant":
        return True
    return valid_name(scope) and scope.startswith(_SCOPES) and not scope.endswith(":")


def set_budget(books: Books, op: SetBudget, now_us: int, _digest: str) -> Outcome:
    """
    Set a limit, at once; lowered below what is spent it only refuses new work.
    """
    if not _valid_scope(op.scope):
        return invalid_field("scope", op.scope, "tenant, key:ID, task:NAME, user:ID or tag:NAME")
    if op.window not in WINDOW_NAMES:
        return invalid_field("window", op.window, ", ".join(WINDOW_NAMES))
    if op.valid_until_us is not None and op.valid_until_us <= now_us:
        return invalid_field("valid_until_us", op.valid_until_us, "an instant in the future")
    invalid = _invalid_limit("limit_nanos", op.limit_nanos)
    if invalid is not None:
        return invalid
    assert books.knows(op.scope), f"the budgets of {op.scope} are not loaded"
    kind = WINDOW_NAMES.index(op.window)
    budget = books.budgets.get((op.scope, kind))
    counts = _counts(op, budget)
    if counts is None:
        return invalid_field("counts", op.counts, _kept(budget))
    before = None if budget is None else budget.limit_at(now_us)
    budget = budget or _add_budget(books, op.scope, kind, counts)
    _limit(budget, op)
    note_budget(books, op, budget, now_us)
    books.changes.budgets[budget.id] = budget
    window = current_window(books, budget, now_us)
    if window.starts_at in books.windows.get(budget.id, {}):
        window.limit_amt = op.limit_nanos
        keep_window(books, budget, window)
    answer = BudgetSet(op.scope, op.window, op.limit_nanos, before, op.valid_until_us)
    return Outcome(answer, applied=True)


def _counts(op: SetBudget, budget: Budget | None) -> int | None:
    """
    Return what the budget counts, or None where the operation asks for something else.
    """
    kept = COUNTS_CHARGE if budget is None else budget.counts
    if op.counts is None:
        return kept
    if op.counts not in COUNTS_NAMES:
        return None
    asked = COUNTS_NAMES.index(op.counts)
    return asked if budget is None or asked == kept else None


def _kept(budget: Budget | None) -> str:
    if budget is None:
        return f"use one of: {', '.join(COUNTS_NAMES)}"
    counts = COUNTS_NAMES[budget.counts]
    return (
        f"this budget counts the {counts}, and keeps that: leave counts out, or set another window or scope"
    )


def _limit(budget: Budget, op: SetBudget) -> None:
    """
    Set the standing limit, or the temporary one that hides it until its end.
    """
    if op.valid_until_us is None:
        budget.limit_amt, budget.raised_amt, budget.valid_until = op.limit_nanos, None, None
    else:
        budget.raised_amt, budget.valid_until = op.limit_nanos, op.valid_until_us


def set_account(books: Books, op: SetAccount, now_us: int, _digest: str) -> Outcome:
    """
    Change settings; a new time zone applies from each budget's next boundary.
    """
    account = account_of(books)
    invalid = None if op.timezone is None else _invalid_timezone(op.timezone)
    if invalid is None and op.multiplier_ppm is not None:
        invalid = _invalid_multiplier(op.multiplier_ppm)
    if invalid is None and op.overage is not None and op.overage not in OVERAGE_NAMES:
        invalid = invalid_field("overage", op.overage, "debt or absorb")
    if invalid is not None:
        return invalid
    books.changes.account = True
    if op.frozen is not None:
        account.frozen = int(op.frozen)
    if op.multiplier_ppm is not None:
        account.multiplier_ppm = op.multiplier_ppm
    if op.overage is not None:
        account.overage = OVERAGE_NAMES.index(op.overage)
    zone_from_us = None
    if op.timezone is not None and op.timezone != account.timezone:
        zone_from_us = _move_to_zone(books, op, op.timezone, now_us)
    note_account(books, op, account, now_us)
    answer = AccountSet(
        bool(account.frozen),
        account.timezone,
        zone_from_us,
        account.multiplier_ppm,
        OVERAGE_NAMES[account.overage],
    )
    return Outcome(answer, applied=True)


def _move_to_zone(books: Books, op: SetAccount, zone: str, now_us: int) -> int | None:
    """
    Let every budget's current window end as it would have, and start the next one in the new zone there.

    Returns:
        The instant from which the tenant's day budget follows the new zone.
    """
    assert books.scopes is None, "not all budgets are loaded"
    account_of(books).timezone = zone
    since = None
    for (scope, kind), budget in sorted(books.budgets.items(), key=itemgetter(0)):
        current = current_window(books, budget, now_us)
        keep_window(books, budget, current)
        budget.timezone = zone
        span = bounds_from(kind, zone, current.ends_at)
        following = books.windows[budget.id].get(current.ends_at) or new_window(budget, span, now_us)
        following.local_date, following.ends_at = span.label, span.ends_us
        keep_window(books, budget, following)
        budget.tiled_until = span.ends_us
        books.changes.budgets[budget.id] = budget
        note_budget(books, op, budget, now_us)
        if (scope, kind) == ("tenant", DAY):
            since = current.ends_at
    return since
