"""
Holds the rows of a ledger in memory against the auditor's facts, and its answers against what was expected.
"""

import json
from collections import Counter
from hashlib import sha256
from typing import Any

from ledger_facts import Answer, Book

from ledger.rows import COUNTS_NAMES, KIND_NAMES, LOT_NAMES, OVERAGE_NAMES, PARTY_NAMES, STATE_NAMES
from ledger.store_memory import MemoryLedger
from ledger.types import (
    AccountOpened,
    AccountSet,
    Adjusted,
    BudgetSet,
    Corrected,
    Held,
    Noted,
    Refunded,
    Refused,
    Released,
    Renewed,
    Result,
    Reversed,
    Settled,
    Swept,
    ToppedUp,
)

SHAPES: dict[type, tuple[str, str]] = {
    Held: ("held", "hold_id offer_index amount_nanos opened_us"),
    Settled: (
        "settled",
        "hold_id cost_nanos charge_nanos held_nanos from_free_nanos debt_nanos absorbed_nanos late",
    ),
    Released: ("released", "returned_nanos late"),
    Renewed: ("renewed", "expires_us"),
    Refunded: ("refunded", "amount_nanos credit_nanos repaid_nanos"),
    Corrected: (
        "corrected",
        (
            "hold_id cost_nanos charge_nanos cost_before_nanos charge_before_nanos refunded_nanos "
            "credit_nanos refund_used_nanos"
        ),
    ),
    ToppedUp: ("topped_up", "transfer credit_nanos repaid_nanos"),
    Adjusted: ("adjusted", "transfer amount_nanos credit_nanos repaid_nanos debt_nanos"),
    Reversed: (
        "reversed",
        "transfer amount_nanos taken_nanos debt_nanos credit_nanos frozen forfeited_nanos",
    ),
    AccountOpened: ("opened", "credit_nanos"),
    BudgetSet: ("budget_set", "limit_nanos limit_before_nanos"),
    AccountSet: ("account_set", "frozen timezone timezone_from_us multiplier_ppm overage"),
    Swept: ("swept", "holds forfeited_nanos"),
    Noted: ("noted", ""),
    Refused: ("refused", "reason"),
}


def shape(answer: Result) -> Answer:
    """Return an answer as the auditor gives it: without the mark of a repetition, without gauges."""
    word, names = SHAPES[type(answer)]
    return word, *(getattr(answer, name) for name in names.split())


def check(book: Book, ledger: MemoryLedger) -> None:
    """Compare one tenant's rows with the facts."""
    books = ledger.books(book.name)
    _check_account(book, books.account)
    _check_lots(book, books)
    _check_holds(book, books)
    _check_windows(book, books)
    rows = [row for row in ledger.rows("ledger_transfer") if row[0] == book.name]
    _check_moves(book, sorted(rows, key=lambda row: row[1]), books.account)
    entries = [row for row in ledger.rows("ledger_setting") if row[0] == book.name]
    _check_told(book, sorted(entries, key=lambda row: row[1]))


def _check_account(book: Book, row: Any) -> None:
    expected = sum(call.expected for call in book.open_calls())
    assert (row.wallet, row.held, row.held_expected) == (book.wallet, book.held, expected), "balance"
    assert row.debt == book.debt >= 0, "debt"
    assert 0 <= book.held <= book.wallet, "overspent"
    settings = (bool(row.frozen), row.multiplier_ppm, OVERAGE_NAMES[row.overage], row.timezone)
    assert settings == (book.frozen, book.ppm, "absorb" if book.absorbs else "debt", book.zone), "settings"
    assert row.last_at == book.clock, "clock"


def _check_lots(book: Book, books: Any) -> None:
    wanted = {
        lot.id: (
            lot.kind, lot.priority, lot.granted, lot.left, lot.since, lot.made, lot.expires, lot.repaid,
            lot.reversed, lot.waits, book.lapsed(lot.id),
        )
        for lot in book.lots.values()
    }  # fmt: skip
    found = {
        row.id: (
            LOT_NAMES[row.kind], row.priority, row.granted, row.remaining, row.effective_at, row.created_at,
            row.expires_at, row.repaid, row.reversed, bool(row.scheduled),
            row.forfeited,
        )
        for row in books.lots.values()
    }  # fmt: skip
    assert found == wanted, "lots"
    credit = sum(lot.left for lot in book.lots.values() if not lot.waits)
    assert credit == book.wallet, "wallet is not the sum of its lots"
    scheduled = sum(lot.left for lot in book.lots.values() if lot.waits)
    assert scheduled == book.flow("scheduled"), "scheduled credit is not the sum of its lots"


def _check_holds(book: Book, books: Any) -> None:
    assert books.holds.keys() == book.calls.keys(), "holds"
    for call in book.calls.values():
        row = books.holds[call.id]
        actual = {"settled": call.cost, "expired": call.bound}.get(call.state)
        wanted = (
            call.state, call.amount, call.expected, call.bound, actual, call.booked, call.paid, call.debt,
            call.absorbed, call.refunded, call.opened, call.expires,
        )  # fmt: skip
        found = (
            STATE_NAMES[row.state], row.amount, row.expected, row.cost_bound, row.actual, row.captured,
            row.charged, row.debt, row.absorbed, row.refunded, row.opened_at, row.expires_at,
        )  # fmt: skip
        assert found == wanted, f"hold {call.id}"
        assert call.refunded <= call.paid + call.debt, "refunded more than charged"
        owed: Counter[str] = Counter()
        for lot_id, amount in call.drawn:
            owed[lot_id] += amount
        drawn: Counter[str] = Counter()
        for draw in books.draws.get(call.id, []):
            drawn[draw.lot_id] += draw.amount
        assert +drawn == +owed, f"draws of {call.id}"
        assert not -drawn, f"more went back to a lot than was drawn by {call.id}"


def _check_windows(book: Book, books: Any) -> None:
    rows = {budget.id: (place, budget) for place, budget in books.budgets.items()}
    kinds = ("hour", "day", "week", "month")
    assert {(scope, kinds[kind]) for scope, kind in books.budgets} == book.limits.keys(), "budgets"
    seen = set()
    for name, windows in books.windows.items():
        (scope, kind), budget = rows[name]
        place = (scope, kinds[kind])
        limit = book.limits[place]
        assert COUNTS_NAMES[budget.counts] == limit.counts
        assert (budget.limit_amt, budget.timezone) == (limit.standing, limit.zone), f"budget {place}"
        ends = 0
        for starts in sorted(windows):
            row = windows[starts]
            assert ends <= starts, f"windows of {place} overlap"
            ends = row.ends_at
            assert (row.local_date, starts, ends) == limit.window(place[1], starts), f"window of {place}"
            found = (row.spent, row.held, row.held_expected, row.overage)
            assert found == book.counted(place, starts), f"counted in {place}"
            seen.add((place, starts))
    assert {part for call in book.calls.values() for part in call.parts} <= seen, "a window is missing"


def _check_moves(book: Book, rows: list[tuple[Any, ...]], account: Any) -> None:
    """Compare every movement, and recompute the chain over all of them."""
    assert len(rows) == account.seq == len(book.moves), "number of transfers"
    head, wallet = "", 0
    for number, (row, move) in enumerate(zip(rows, book.moves, strict=True), 1):
        kind, giver, taker, amount, cost, hold, lot, key, at = move
        wallet += amount * ((taker == "wallet") - (giver == "wallet"))
        names = (KIND_NAMES[row[2]], PARTY_NAMES[row[3]], PARTY_NAMES[row[4]])
        assert (row[1], *names) == (number, kind, giver, taker), f"transfer {number}"
        assert row[5:11] == (amount, cost, hold, lot, key, at), f"transfer {number}"
        assert (row[12], row[-2]) == (wallet, head), f"transfer {number}"
        head = sha256(json.dumps([head, *row[:-2]], separators=(",", ":")).encode()).hexdigest()
        assert row[-1] == head, f"hash of transfer {number}"
    assert account.head_hash == head, "head of the chain"


def _check_told(book: Book, rows: list[tuple[Any, ...]]) -> None:
    """Compare every entry of the journal of settings, and recompute its chain."""
    assert len(rows) == len(book.told), "number of entries about settings"
    head = ""
    for row, (n, subject, settings, *given) in zip(rows, book.told, strict=True):
        assert (row[1], row[2], json.loads(row[3])) == (n, subject, settings), f"setting {n}"
        assert [*row[4:8]] == given, f"who set what in {n}"
        assert row[8] == head, f"chain of settings at {n}"
        head = sha256(json.dumps([head, *row[:8]], separators=(",", ":")).encode()).hexdigest()
        assert row[9] == head, f"hash of setting {n}"
