"""
What the writer keeps from one batch to the next: books that nobody else changed are not read again.

Each transaction that changes a tenant's rows also writes the row of the account, under its lock. So whoever
locks the account and finds the version that it wrote itself knows that all are as it left them. The database
tells the version of a row (`ledger.statements`): nothing is trusted for its age. Whatever fails empties all
of it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from ledger.books import Books
from ledger.rows import NEVER_US, OPEN, Hold

ROWS_MAX: Final = 50_000
"""About one kilobyte each, or less; so many characters of plans count as one, too."""
CHARS_A_ROW: Final = 1_024
WHOLE_MAX: Final = 1_000
"""Of a tenant with more budgets than these only those are loaded, and kept, that its operations need."""


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
        self.by_scope: set[str] = set()

    def take(self, tenants: Iterable[str], scopes: Collection[str]) -> dict[str, Lent]:
        """
        Take the books of some tenants out, as far as there are any: only a commit brings them back. `scopes`
        has the tenants that need not have all of their budgets; books of others that lack some are dropped.
        """
        found = {tenant: self._tenants.pop(tenant) for tenant in tenants if tenant in self._tenants}
        for lent in found.values():
            self._rows -= lent.size
        return {
            tenant: lent for tenant, lent in found.items() if lent.books.scopes is None or tenant in scopes
        }

    def keep(self, books: Books, version: int, found: Sequence[Hold] | None) -> None:
        """
        Keep what a batch has committed, but for what it closed or found closed; `found` is None where it
        looked for nothing. Where that is too much, those go that were not used for the longest time.
        """
        _tidy(books, found)
        if books.scopes is None and len(books.budgets) > WHOLE_MAX:
            self.by_scope.add(books.tenant)
            return
        size = _size(books)
        if size > ROWS_MAX:
            return
        self._tenants[books.tenant] = Lent(books, version, size)
        self._rows += size
        while self._rows > ROWS_MAX:
            self._rows -= self._tenants.pop(next(iter(self._tenants))).size

    def forget(self) -> None:
        """
        Keep nothing but who has many budgets: the next batch of each tenant reads all that it needs.
        """
        self._tenants.clear()
        self._rows = 0


def _size(books: Books) -> int:
    """
    Count what books take in rows: by sums that they keep, as this is asked for every batch.
    """
    rows = len(books.budgets) + len(books.windows) + len(books.lots) + len(books.holds)
    return 1 + rows + len(books.scopes or ()) + books.chars // CHARS_A_ROW


def _tidy(books: Books, found: Sequence[Hold] | None) -> None:
    """
    Leave only what a batch loads: what is spent, ended or closed is looked up by who needs it.
    """
    changes = books.changes
    for hold in changes.holds.values():
        if hold.state != OPEN:
            books.drop_hold(hold)
    for hold in found or ():
        if hold.state != OPEN and hold.tenant == books.tenant:
            books.drop_hold(hold)
    lots = changes.lots if found is None else books.lots
    for lot in [lot for lot in lots.values() if lot.remaining == 0]:
        del books.lots[lot.id]
    if found is not None or changes.budgets:  # which a new window changes
        _leave_ended(books)
    books.ops.clear()
    books.draws.clear()
    changes.clear()


def _leave_ended(books: Books) -> None:
    """
    Leave the windows that have ended. Until one has, there may be tens of thousands that nobody looks at.
    """
    clock_us = books.account.last_at if books.account is not None else 0
    if clock_us < books.windows_due_us:
        return
    for budget_id, known in books.windows.items():
        if any(window.ends_at <= clock_us for window in known.values()):
            books.windows[budget_id] = {at: one for at, one in known.items() if one.ends_at > clock_us}
    lasting = (window.ends_at for known in books.windows.values() for window in known.values())
    books.windows_due_us = min(lasting, default=NEVER_US)
