"""
Puts rows as the database returned them into the books of a batch. No decision is made here.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, TypeVar

from ledger.books import Books
from ledger.rows import NEVER_US, Account, Budget, Draw, Hold, HoldWindow, Lot, Op, Window
from ledger.statements import MUTABLE, OFTEN

R = TypeVar("R", Account, Lot, Window)

RARE: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {
    row_type: attrgetter(*MUTABLE[row_type][often:]) for row_type, often in OFTEN.items()
}
"""What a row has in the columns that calls do not change."""


def as_read(row: R) -> R:
    """
    Remember what a row had, when it was read, in the columns that calls do not change.
    """
    row.rare = RARE[type(row)](row)
    return row


def written(row_type: type, rows: Sequence[Any]) -> None:
    """
    Mark rows as they would be had they been read.
    """
    rare = RARE.get(row_type)
    for row in rows:
        row.fresh = False
        if rare is not None:
            row.rare = rare(row)
        elif row_type is Hold:
            row.was = row.state


def take_rows(books: dict[str, Books], rows: dict[str, list[tuple[Any, ...]]]) -> list[Hold]:
    """
    Put keys, budgets, windows, lots and holds into the books of their tenants; returns the holds. Of tenants
    that turn out to have many budgets none is loaded yet.
    """
    for (tenant,) in rows.get("many", ()):
        books[tenant].scopes = set()
    for row in rows.get("ops", ()):
        op = Op(*row)
        op.fresh = False
        books[op.tenant].ops[op.key] = op
    for slot in ("budgets", "budgets_by_id"):
        _take_budgets(books, rows.get(slot, ()))
    for slot in ("windows", "windows_last"):
        _take_windows(books, rows.get(slot, ()))
    for slot in ("lots", "lots_by_id"):
        _take_lots(books, rows.get(slot, ()))
    found = [hold for slot in ("by_key", "by_id", "due") for hold in _take_holds(books, rows.get(slot, ()))]
    _take_hold_windows(books, found, rows.get("hold_windows", ()))
    for tenant, at_us in rows.get("due_next", ()):
        books[tenant].others_due_us = NEVER_US if at_us is None else at_us
    for tenant, n, head in rows.get("settings", ()):
        books[tenant].settings_n, books[tenant].settings_head = n, head
    return found


def _take_budgets(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    for row in rows:
        budget = Budget(*row)
        books[budget.tenant].budgets[(budget.scope, budget.window_kind)] = budget


def _take_windows(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    for row in rows:
        window = as_read(Window(*row))
        books[window.tenant].add_window(window)


def _take_lots(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    for row in rows:
        owner = books.get(row[1])  # an operation may name a lot of somebody else
        if owner is not None and row[0] not in owner.lots:
            owner.add_lot(as_read(Lot(*row)))


def _take_holds(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> list[Hold]:
    """
    Put holds into the books and return them; one that is known, or that several queries found, is one object.
    """
    found = []
    for row in rows:
        owner = books.get(row[1])
        if owner is None:
            continue
        if row[0] not in owner.holds:
            hold = Hold(*row)
            hold.was = hold.state
            owner.add_hold(hold)
        found.append(owner.holds[row[0]])
    return found


def _take_hold_windows(
    books: dict[str, Books], found: Sequence[Hold], rows: Sequence[tuple[Any, ...]]
) -> None:
    """
    Put in the parts of the holds that were found, but of those that have them.
    """
    owners = {hold.id: books[hold.tenant] for hold in found}
    bare = {hold_id: owner for hold_id, owner in owners.items() if not owner.hold_windows[hold_id]}
    for row in rows:
        if row[0] in bare:
            bare[row[0]].add_part(HoldWindow(*row))


def window_missing(books: Books, hold_id: str) -> bool:
    """
    Tell whether a hold counts in a window that is not loaded, as it has ended.
    """
    for part in books.hold_windows[hold_id]:
        if part.starts_at not in books.windows.get(part.budget_id, ()):
            return True
    return False


def take_second(
    books: dict[str, Books], found: Sequence[Hold], rows: Sequence[Sequence[tuple[Any, ...]]]
) -> None:
    """
    Put in what holds of other days, of other scopes, captured or refunded holds need.
    """
    _take_hold_windows(books, found, rows[0])
    _take_windows(books, rows[1])
    for row in rows[2]:
        draw = Draw(*row)
        books[draw.tenant].draws.setdefault(draw.hold_id, []).append(draw)
    _take_lots(books, rows[3])
    _take_budgets(books, rows[4])
    _take_windows(books, rows[5])
