"""
The ledger in memory, over the same pure core: for tests, previews and as the model of the database.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from operator import attrgetter
from threading import Lock
from typing import Any, Final

from ledger.books import Books, Changes
from ledger.rows import (
    Account,
    Budget,
    Draw,
    Hold,
    HoldWindow,
    Lot,
    Op,
    Setting,
    Transfer,
    Window,
    columns,
)
from ledger.rules import apply, check_books
from ledger.types import Attachment, Operation, Result, Sweep, Swept, Tap

ROW_TYPES: Final[dict[str, type]] = {
    "ledger_account": Account,
    "ledger_grant_lot": Lot,
    "ledger_budget": Budget,
    "ledger_budget_window": Window,
    "ledger_hold": Hold,
    "ledger_hold_window": HoldWindow,
    "ledger_transfer": Transfer,
    "ledger_draw": Draw,
    "ledger_op": Op,
    "ledger_setting": Setting,
}


class MemoryLedger:
    """
    The interface of `Ledger` without a database; nothing is durable.
    """

    def __init__(self, *, owner: str = "memory", tap: Tap | None = None) -> None:
        self.owner = owner
        self.attached: list[Attachment] = []
        self._tap = tap
        self._lock = Lock()
        self._books: dict[str, Books] = {}
        self._transfers: list[Transfer] = []
        self._settings: list[Setting] = []
        self._hold_windows: dict[tuple[str, str, int], HoldWindow] = {}

    def do(self, op: Operation, attach: Sequence[Attachment] = ()) -> Result:
        """
        Carry out one operation.
        """
        with self._lock:
            books = self._books.setdefault(op.tenant, Books(op.tenant))
            outcome = apply(books, op)
            check_books(books)
            if outcome.applied:
                self.attached.extend(attach)
            self._drain(books)
            return outcome.result

    def submit(self, op: Operation, attach: Sequence[Attachment] = ()) -> Future[Result]:
        """
        Carry out one operation; the future is resolved at once.
        """
        future: Future[Result] = Future()
        future.set_result(self.do(op, attach))
        return future

    def sweep(self, now_us: int) -> int:
        """
        Capture the expired holds of all tenants; returns their number.
        """
        count = 0
        for tenant, books in list(self._books.items()):
            if books.account is not None:
                result = self.do(Sweep(tenant, "sweep", now_us))
                count += len(result.holds) if isinstance(result, Swept) else 0
        return count

    def close(self) -> None:
        """
        Do nothing: there is nothing to drain.
        """

    def books(self, tenant: str) -> Books:
        """
        Return a tenant's rows, for tests; not a copy.
        """
        return self._books[tenant]

    def _drain(self, books: Books) -> None:
        """
        Make the changes part of the state, as a commit does.
        """
        changes = books.changes
        if self._tap is not None and changes.events:
            self.attached.extend(self._tap(changes.events))
        self._transfers.extend(changes.transfers)
        self._settings.extend(changes.settings)
        self._hold_windows.update(changes.hold_windows)
        books.changes = Changes()

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """
        Return the rows of a table as the database would have them, sorted.
        """
        every = [self._rows_of(books, table) for books in self._books.values()]
        found: list[Any] = [row for rows in every for row in rows]
        if table == "ledger_transfer":
            found = list(self._transfers)
        if table == "ledger_setting":
            found = list(self._settings)
        if table == "ledger_hold_window":
            found = list(self._hold_windows.values())
        return sorted((attrgetter(*columns(ROW_TYPES[table]))(row) for row in found), key=repr)

    @staticmethod
    def _rows_of(books: Books, table: str) -> list[Any]:
        account = [] if books.account is None else [books.account]
        by_table: dict[str, list[Any]] = {
            "ledger_account": account,
            "ledger_grant_lot": list(books.lots.values()),
            "ledger_budget": list(books.budgets.values()),
            "ledger_budget_window": [w for known in books.windows.values() for w in known.values()],
            "ledger_hold": list(books.holds.values()),
            "ledger_draw": [row for rows in books.draws.values() for row in rows],
            "ledger_op": list(books.ops.values()),
        }
        return by_table.get(table, [])
