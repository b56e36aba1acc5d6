"""
Puts rows as the database returned them into the books of a batch. No decision is made here.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, TypeVar

from ledger.rows import Account, Books, Budget, Changes, Draw, Hold, HoldWindow, Lot, Op, Window
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


def committed(changes: Changes) -> None:
    """
    Mark the rows that a batch has written as they would be had they been read.
    """
    for lot in changes.lots.values():
        as_read(lot).fresh = False
    for window in changes.windows.values():
        as_read(window).fresh = False
    for budget in changes.budgets.values():
        budget.fresh = False
    for hold in changes.holds.values():
        hold.fresh, hold.was = False, hold.state
    for part in changes.hold_windows.values():
        part.fresh = False


def take_rows(books: dict[str, Books], rows: dict[str, list[tuple[Any, ...]]]) -> None:
    """
    Put keys, budgets, windows, lots and holds into the books of their tenants.
    """
    for row in rows.get("ops", ()):
        op = Op(*row)
        op.fresh = False
        books[op.tenant].ops[op.key] = op
    for row in rows.get("budgets", ()):
        budget = Budget(*row)
        books[budget.tenant].budgets[(budget.scope, budget.window_kind)] = budget
    _take_windows(books, rows.get("windows", ()))
    for slot in ("lots", "lots_by_id"):
        _take_lots(books, rows.get(slot, ()))
    for slot in ("by_key", "by_id", "due"):
        _take_holds(books, rows.get(slot, ()))
    _take_hold_windows(books, rows.get("hold_windows", ()))
    for tenant, n, head in rows.get("settings", ()):
        books[tenant].settings_n, books[tenant].settings_head = n, head


def _take_windows(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    for row in rows:
        window = as_read(Window(*row))
        books[window.tenant].windows.setdefault(window.budget_id, {}).setdefault(window.starts_at, window)


def _take_lots(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    for row in rows:
        owner = books.get(row[1])  # an operation may name a lot of somebody else
        if owner is not None and row[0] not in owner.lots:
            owner.add_lot(as_read(Lot(*row)))


def _take_holds(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    """
    Put holds into the books; one that several queries found is one object.
    """
    for row in rows:
        owner = books.get(row[1])
        if owner is not None and row[0] not in owner.holds:
            hold = Hold(*row)
            hold.was = hold.state
            owner.add_hold(hold)
            owner.hold_windows[hold.id] = []


def _take_hold_windows(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    homes = {hold_id: one for one in books.values() for hold_id in one.holds}
    for row in rows:
        home = homes.get(row[0])
        if home is not None:
            home.hold_windows[row[0]].append(HoldWindow(*row))


def window_missing(books: Books, hold: Hold) -> bool:
    """
    Tell whether a hold counts in a window that is not loaded, as it has ended.
    """
    parts = books.hold_windows[hold.id]
    return any(part.starts_at not in books.windows.get(part.budget_id, {}) for part in parts)


def take_second(books: dict[str, Books], rows: Sequence[Sequence[tuple[Any, ...]]]) -> None:
    """
    Put in what holds of other days, captured or refunded holds need.
    """
    _take_hold_windows(books, rows[0])
    _take_windows(books, rows[1])
    for row in rows[2]:
        draw = Draw(*row)
        books[draw.tenant].draws.setdefault(draw.hold_id, []).append(draw)
    _take_lots(books, rows[3])
