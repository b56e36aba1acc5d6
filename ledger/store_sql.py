"""
Loads what a batch needs under the lock of its accounts, and writes what the rules changed.

No decision about money is made here. Lock first, look second: the lock statement is the first of the
transaction, so everything read after it is what the lock's former holder committed. It also tells whether
that was this writer: then what it kept is true, and is not read again.

Where everything is kept, the lock waits: the rules decide on what is kept, and one exchange locks, confirms
and writes (optimistic concurrency control). Where somebody else had written, nothing is, and the batch is
run again, lock first.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Engine

from ledger import kept
from ledger.books import Books
from ledger.drivers import Driver, Query, Trouble, trouble
from ledger.journal import ORDERS
from ledger.kept import Kept, Lent
from ledger.loaded import as_read, take_rows, take_second, window_missing
from ledger.rows import EXPIRED, NEVER_US, RELEASED, Account, Hold
from ledger.scopes import Scopes, all_known, held_scopes, moves_budgets, named_scopes, take_unknown
from ledger.statements import Texts, texts
from ledger.types import (
    Attachment,
    Correct,
    Note,
    Operation,
    Refund,
    Release,
    Renew,
    Reserve,
    Reverse,
    Settle,
    recorded_by_hold,
)
from ledger.writes import Writes, changed_rows

_CALLS: Final = frozenset((Reserve, Settle, Release, Renew, Note))
_WARY_MAX: Final = 64
"""At most so many batches lock first after a wrong guess: one that was decided on what had changed, that has
used keys, or that cannot be carried out. Each time they are twice as many; a right guess halves them."""


class SqlStore:
    """
    The statements of one engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._texts: Texts = texts(engine.dialect.name)
        self._writes = Writes(engine.dialect, self._texts)
        self._kept = Kept()
        self._lent: dict[str, Lent] = {}
        self._scopes: Scopes = {}
        self._versions: dict[str, tuple[int, int]] = {}
        self._found: list[Hold] | None = None
        self._keys: dict[tuple[str, str], None] = {}
        self._made: dict[str, str] = {}
        self._assumed = False
        self._wary = 0
        self._wary_next = 1

    def load(self, driver: Driver, ops: Sequence[Operation]) -> dict[str, Books]:
        """
        Return the books of the operations' tenants: as they were kept, to be confirmed when they are written,
        or from a transaction that begins here and locks their accounts.
        """
        tenants = sorted({op.tenant for op in ops})
        named = _named(ops)
        self._scopes = named_scopes(ops, self._kept.by_scope)
        self._lent = self._kept.take(tenants, self._scopes)
        self._keys = dict.fromkeys((op.tenant, op.key) for op in ops if _leaves_answer(op))
        self._made = _made(ops)
        self._found = None
        self._assumed = self._assumable(ops, tenants, named)
        if self._assumed:
            return {tenant: self._lent[tenant].books for tenant in tenants}
        return self._locked(driver, ops, tenants, named | self._made)

    def _assumable(self, ops: Sequence[Operation], tenants: list[str], named: dict[str, str]) -> bool:
        """
        Tell whether all that a batch needs is kept, but for keys that were used before.
        """
        lent = self._lent
        if self._wary > 0:
            self._wary -= 1
            return False
        if len(lent) < len(tenants):
            return False
        if not all(type(op) in _CALLS for op in ops):
            return False
        if not all(all_known(lent[tenant].books, scopes) for tenant, scopes in self._scopes.items()):
            return False
        clock_us = max(op.now_us for op in ops)
        return all(_unmoved(one.books, clock_us) for one in lent.values()) and all(
            _placed(lent[tenant].books, name) for name, tenant in named.items()
        )

    def _locked(
        self, driver: Driver, ops: Sequence[Operation], tenants: list[str], named: dict[str, str]
    ) -> dict[str, Books]:
        """
        Begin a transaction, lock the accounts, and load what is not kept, or no longer true.
        """
        lent = self._lent
        books = {tenant: lent[tenant].books if tenant in lent else self._empty(tenant) for tenant in tenants}
        known = {name: one for name, one in named.items() if name in books[one].holds}
        clock_us = max(op.now_us for op in ops)
        due = [t for t in tenants if t not in lent or not _unmoved(books[t], clock_us)]
        asked = self._lock_queries(driver, ops, tenants)
        asked |= self._due_queries(driver, due, clock_us)
        unread = [tenant for tenant in tenants if tenant not in lent]
        whole_max = NEVER_US if any(map(moves_budgets, ops)) else kept.WHOLE_MAX
        asked |= self._state_queries(driver, unread, [name for name in named if name not in known], whole_max)
        asked |= self._budget_queries(driver, books, self._scopes)
        rows = dict(zip(asked, driver.begin_and_select(list(asked.values())), strict=True))
        stale = self._take_accounts(books, rows["lock"])
        found = take_rows(books, rows)
        if stale:
            again = [name for name, tenant in known.items() if tenant in stale]
            asked = self._due_queries(driver, stale, clock_us)
            asked |= self._state_queries(driver, stale, again, whole_max)
            asked |= self._budget_queries(driver, books, self._scopes)
            found += take_rows(books, dict(zip(asked, driver.select(list(asked.values())), strict=True)))
        self._learn_many(books, ops)
        self._found = found
        found = found + [books[one].holds[name] for name, one in known.items() if one not in stale]
        second = self._second_queries(driver, books, ops, found, set(named))
        if second:
            take_second(books, found, driver.select(second))
        return books

    def _lock_queries(self, driver: Driver, ops: Sequence[Operation], tenants: list[str]) -> dict[str, Query]:
        """
        Return the queries of every transaction that locks first.
        """
        queries: dict[str, Query] = {"lock": (self._texts.lock, (driver.many(tenants),))}
        if self._keys:
            pairs = driver.pairs(self._keys)
            queries |= {"ops": (self._texts.ops, pairs), "by_key": (self._texts.by_key, pairs)}
        orders = [op for op in ops if type(op) in ORDERS]
        if orders:
            queries |= self._for_orders(driver, orders)
        return queries

    def _due_queries(self, driver: Driver, tenants: list[str], now_us: int) -> dict[str, Query]:
        """
        Return the queries for holds that have expired, and for when the next one does.
        """
        if not tenants:
            return {}
        sql, among = self._texts, driver.many(tenants)
        return {"due": (sql.due, (among, now_us, among)), "due_next": (sql.due_next, (now_us, among, among))}

    def _state_queries(
        self, driver: Driver, tenants: list[str], holds: list[str], whole_max: int
    ) -> dict[str, Query]:
        """
        Return the queries for the tenants and for the holds of which nothing true is kept. Who turns out to
        have more budgets than so many is named instead, and read by scope after that.
        """
        sql, queries = self._texts, dict[str, Query]()
        if tenants:
            queries["lots"] = (sql.lots, (driver.many(tenants),))
        whole = [tenant for tenant in tenants if tenant not in self._scopes]
        if whole:
            among = driver.many(whole), whole_max
            queries |= {"many": (sql.many, among), "budgets": (sql.budgets, among)}
            queries["windows"] = (sql.windows, among)
        if holds:
            ids = driver.many(holds)
            queries["by_id"] = (sql.by_id, (ids,))
            queries["hold_windows"] = (sql.hold_windows, (ids,))
        return queries

    def _budget_queries(self, driver: Driver, books: dict[str, Books], scopes: Scopes) -> dict[str, Query]:
        """
        Return the queries for the budgets of scopes that are not loaded, of tenants that do not have all.
        """
        sql, missing = self._texts, take_unknown(books, scopes)
        if not missing:
            return {}
        ids = driver.many(missing)
        return {"budgets_by_id": (sql.budgets_by_id, (ids,)), "windows_last": (sql.windows_last, (ids,))}

    def _learn_many(self, books: dict[str, Books], ops: Sequence[Operation]) -> None:
        """
        Note which tenants turned out to have many budgets, and the scopes that this batch needs of them.
        """
        many = [t for t, one in books.items() if one.scopes is not None and t not in self._scopes]
        self._scopes |= named_scopes(ops, many)
        self._kept.by_scope.update(many)

    def _empty(self, tenant: str) -> Books:
        """
        Return books of which nothing is loaded yet.
        """
        return Books(tenant, scopes=set() if tenant in self._scopes else None)

    def _take_accounts(self, books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> list[str]:
        """
        Put the accounts into their books; returns the tenants of which nothing that was kept is true: they
        have new books.
        """
        accounts = {row[0]: row for row in rows}
        self._versions = {}
        stale = [t for t, one in self._lent.items() if t not in accounts or accounts[t][-2] != one.version]
        for tenant in stale:
            books[tenant] = self._empty(tenant)
            del self._lent[tenant]
        for tenant, (*columns_, version, next_version) in accounts.items():
            books[tenant].account = as_read(Account(*columns_))
            if tenant not in stale:  # shared with others: not kept this time
                self._versions[tenant] = version, next_version
        return stale

    def keep(self, books: Iterable[Books]) -> None:
        """
        Keep what was committed for the next batch.
        """
        for one in books:
            versions = self._versions.get(one.tenant)
            if versions is not None:
                self._kept.keep(one, versions[one.changes.account], self._found)

    def forget(self) -> None:
        """
        Keep nothing: a transaction failed, or another connection is used.
        """
        self._kept.forget()

    def _for_orders(self, driver: Driver, orders: Sequence[Operation]) -> dict[str, Query]:
        """
        Return what only operators' orders need: where the journal of settings stands, and the lots they name.
        """
        tenants = sorted({op.tenant for op in orders})
        queries: dict[str, Query] = {"settings": (self._texts.settings, (driver.many(tenants),))}
        lots = [op.lot_id for op in orders if isinstance(op, Reverse)]
        if lots:  # also one of which nothing is left
            queries["lots_by_id"] = (self._texts.lots_by_id, (driver.many(lots),))
        return queries

    def _second_queries(
        self,
        driver: Driver,
        books: dict[str, Books],
        ops: Sequence[Operation],
        found: Sequence[Hold],
        named: set[str],
    ) -> list[Query]:
        """
        Return the queries for what the holds of a batch need besides; mostly there are none.
        """
        returned = {op.hold_id for op in ops if isinstance(op, Refund | Correct)}
        drawn = [h.id for h in found if h.state in (EXPIRED, RELEASED) or h.id in returned]
        unseen = [h.id for h in found if h.id not in named and not books[h.tenant].hold_windows[h.id]]
        unplaced = [h.id for h in found if window_missing(books[h.tenant], h.id)]
        elsewhere = [*unseen, *unplaced]
        missing = take_unknown(books, self._scopes)  # of tenants that turned out to have many
        missing += take_unknown(books, held_scopes(books, found))
        if not drawn and not elsewhere and not missing:
            return []
        sql = self._texts
        return [
            (sql.hold_windows, (driver.many(unseen),)),
            (sql.windows_of, (driver.many(elsewhere),)),
            (sql.draws, (driver.many(drawn),)),
            (sql.lots_of, (driver.many(drawn),)),
            (sql.budgets_by_id, (driver.many(missing),)),
            (sql.windows_last, (driver.many(missing),)),
        ]

    def commit(self, driver: Driver, books: Sequence[Books], attached: Sequence[Attachment]) -> bool:
        """
        Make the changes durable; False where the books were not as they were kept: then nothing is written,
        and the next look is at the database.

        Raises:
            Unanswered: They may be durable.
        """
        changed = changed_rows(books)
        if not self._assumed:
            driver.commit(self._writes.statements(changed, attached))
            return True
        try:
            self._commit_confirmed(driver, books, changed, attached)
        except Exception as error:
            if trouble(error) not in (Trouble.INTEGRITY, Trouble.POISON):
                raise
            self.doubt()
            driver.recover()
            return False
        self._wary_next = max(1, self._wary_next // 2)
        return True

    def doubt(self) -> bool:
        """
        Look at the database first for a while; False where what was decided on came from there.
        """
        if self._assumed:
            self._wary = self._wary_next
            self._wary_next = min(_WARY_MAX, 2 * self._wary_next)
        return self._assumed

    def _commit_confirmed(
        self,
        driver: Driver,
        books: Sequence[Books],
        changed: dict[type, list[Any]],
        attached: Sequence[Attachment],
    ) -> None:
        """
        Write in a transaction of its own, if all accounts have the versions that were kept, and no key was
        used before; else it fails.
        """
        unwritten = self._lent
        first = self._writes.confirmed(changed[Account], unwritten)
        if first is not None:
            written = {one.tenant for one in changed.pop(Account)}
            unwritten = {tenant: one for tenant, one in unwritten.items() if tenant not in written}
        tests = self._tests(driver, unwritten, {one.tenant: one for one in books})
        found = driver.transact(first, tests, self._writes.statements(changed, attached))
        self._versions = {
            tenant: (one.version, one.version if found is None else found)
            for tenant, one in self._lent.items()
        }

    def _tests(self, driver: Driver, unwritten: dict[str, Lent], books: dict[str, Books]) -> list[Query]:
        """
        Return the tests that used keys, holds that are not made and accounts that are not written are as
        they were decided on.
        """
        sql, tests = self._texts, list[Query]()
        if unwritten:
            versions = {(tenant, str(one.version)) for tenant, one in unwritten.items()}
            if sql.update_confirmed is None:  # they are all the file's
                versions = {("", version) for _, version in versions}
            tests.append((sql.unchanged, driver.pairs(versions)))
        if self._keys:
            pairs = driver.pairs(self._keys)
            tests += [(sql.unanswered_key, pairs), (sql.unused_key, pairs)]
        unmade = [name for name, tenant in self._made.items() if name not in books[tenant].holds]
        if unmade:  # refused: no row of theirs will tell that there is that hold
            tests.append((sql.unmade, (driver.many(unmade),)))
        return tests


def _named(ops: Sequence[Operation]) -> dict[str, str]:
    """
    Return the holds that operations name, each with its tenant; a reservation makes its own.
    """
    return {op.hold_id: op.tenant for op in ops if hasattr(op, "hold_id") and not isinstance(op, Reserve)}


def _leaves_answer(op: Operation) -> bool:
    """
    Tell whether an operation may leave an answer under its key beside any hold.
    """
    return not recorded_by_hold(op) or (isinstance(op, Reserve) and op.sticky)


def _made(ops: Sequence[Operation]) -> dict[str, str]:
    """
    Return the holds that may have been made before by the reservations that are to make them.
    """
    return {op.hold_id: op.tenant for op in ops if isinstance(op, Reserve) and recorded_by_hold(op)}


def _unmoved(books: Books, now_us: int) -> bool:
    """
    Tell whether no hold of kept books has expired.
    """
    account = books.account
    return account is not None and books.none_due(max(now_us, account.last_at))


def _placed(books: Books, hold_id: str) -> bool:
    """
    Tell whether a hold is kept, with the windows that it counts in.
    """
    return hold_id in books.holds and not window_missing(books, hold_id)
