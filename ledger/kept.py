"""
What the writer keeps of tenants from one batch to the next: rows that nobody else changed are not read again.

Each transaction that changes such a row of a tenant also writes the row of the account, under its lock. So
whoever locks the account and finds the version that it wrote itself knows that all are as it left them.
The database tells the version of a row (`ledger.statements`): nothing is trusted for its age. Whatever fails
empties all of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ledger.rows import OPEN, Books, Budget, Hold, HoldWindow, Lot, Window

ROWS_MAX: Final = 50_000
"""About one kilobyte each, plans apart."""


@dataclass(slots=True)
class Rows:
    """
    One tenant's rows as the last batch left them, true while the account's row has this version.
    """

    version: int = 0
    budgets: dict[tuple[str, int], Budget] = field(default_factory=dict)
    windows: dict[str, dict[int, Window]] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    lots_due_us: int = 0
    holds: dict[str, tuple[Hold, list[HoldWindow]]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """
        Count the rows, and one for the tenant.
        """
        windows = sum(map(len, self.windows.values()))
        return 1 + len(self.budgets) + windows + len(self.lots) + len(self.holds)

    def lend(self, books: Books) -> None:
        """
        Give a batch all but the holds, which it asks for by name.
        """
        books.budgets, books.windows = self.budgets, self.windows
        books.lots, books.lots_due_us = self.lots, self.lots_due_us

    def lend_hold(self, books: Books, hold_id: str) -> None:
        """
        Give a batch one hold that is kept.
        """
        hold, parts = self.holds[hold_id]
        books.add_hold(hold)
        books.hold_windows[hold_id] = parts

    def take_back(self, books: Books) -> None:
        """
        Take over what a batch has committed, without what is spent, ended or closed: no batch loads that.
        """
        assert books.account is not None
        clock_us = books.account.last_at
        self.budgets, self.lots_due_us = books.budgets, books.lots_due_us
        self.lots = {lot.id: lot for lot in books.lots.values() if lot.remaining > 0}
        self.windows = {
            budget_id: {at: window for at, window in known.items() if window.ends_at > clock_us}
            for budget_id, known in books.windows.items()
        }
        for hold in books.holds.values():
            if hold.state == OPEN:
                self.holds[hold.id] = hold, books.hold_windows[hold.id]
            else:
                self.holds.pop(hold.id, None)


class Kept:
    """
    The tenants of one writer; used by one thread at a time.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, Rows] = {}
        self._rows = 0

    def take(self, tenants: Iterable[str]) -> dict[str, Rows]:
        """
        Take the rows of some tenants out, as far as there are any: only a commit brings them back.
        """
        found = {tenant: self._tenants.pop(tenant) for tenant in tenants if tenant in self._tenants}
        self._rows -= sum(rows.size for rows in found.values())
        return found

    def keep(self, books: Books, rows: Rows) -> None:
        """
        Keep what a batch has committed.
        """
        rows.take_back(books)
        self._tenants[books.tenant] = rows
        self._rows += rows.size
        if self._rows > ROWS_MAX:
            self.forget()

    def forget(self) -> None:
        """
        Keep nothing: the next batch of each tenant reads it all.
        """
        self._tenants.clear()
        self._rows = 0
