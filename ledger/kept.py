"""
What the writer keeps from one batch to the next: books that nobody else changed are not read again.

Each transaction that changes a tenant's rows also writes the row of the account, under its lock. So whoever
locks the account and finds the version that it wrote itself knows that all are as it left them. The database
tells the version of a row (`ledger.statements`): nothing is trusted for its age. Whatever fails empties all
of it.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from ledger.rows import OPEN, Books, Changes, Hold

ROWS_MAX: Final = 50_000
"""About one kilobyte each, plans apart."""
_WINDOWS_MAX: Final = 2
"""Of one budget; beyond that those that have ended are left out."""


class Lent(NamedTuple):
    """
    One tenant's books as the last batch left them, true while the account's row has this version.
    """

    books: Books
    version: int
    size: int


class Kept:
    """
    The tenants of one writer; used by one thread at a time.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, Lent] = {}
        self._rows = 0

    def take(self, tenants: Iterable[str]) -> dict[str, Lent]:
        """
        Take the books of some tenants out, as far as there are any: only a commit brings them back.
        """
        found = {tenant: self._tenants.pop(tenant) for tenant in tenants if tenant in self._tenants}
        for lent in found.values():
            self._rows -= lent.size
        return found

    def keep(self, books: Books, version: int, found: Iterable[Hold]) -> None:
        """
        Keep what a batch has committed, but for what it found closed or has closed itself.
        """
        _tidy(books, found)
        size = 1 + len(books.budgets) + len(books.windows) + len(books.lots) + len(books.holds)
        self._tenants[books.tenant] = Lent(books, version, size)
        self._rows += size
        if self._rows > ROWS_MAX:
            self.forget()

    def forget(self) -> None:
        """
        Keep nothing: the next batch of each tenant reads it all.
        """
        self._tenants.clear()
        self._rows = 0


def _tidy(books: Books, found: Iterable[Hold]) -> None:
    """
    Leave only what a batch loads: what is spent, ended or closed is looked up by who needs it.
    """
    for hold in (*found, *books.changes.holds.values()):
        if hold.state != OPEN:
            books.drop_hold(hold)
    for lot in [lot for lot in books.lots.values() if lot.remaining == 0]:
        del books.lots[lot.id]
    for budget_id, known in books.windows.items():
        if len(known) > _WINDOWS_MAX and books.account is not None:
            clock_us = books.account.last_at
            books.windows[budget_id] = {at: one for at, one in known.items() if one.ends_at > clock_us}
    books.ops, books.draws, books.changes = {}, {}, Changes()
