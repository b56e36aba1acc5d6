"""
Loads what a batch needs under the lock of its accounts, and writes what the rules changed.

No decision about money is made here. Lock first, look second: the lock statement is the first of the
transaction, so everything read after it is what the lock's former holder committed. It also tells whether
that was this writer: then what it kept is true, and is not read again.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, cast

from sqlalchemy import Engine, Table

from ledger.drivers import Driver, Query, Write
from ledger.journal import ORDERS
from ledger.kept import Kept, Rows
from ledger.loaded import RARE, as_read, committed, take_rows, take_second, window_missing
from ledger.rows import (
    EXPIRED,
    RELEASED,
    Account,
    Books,
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
from ledger.statements import MUTABLE, OFTEN, Bulk, Texts, attachment, guard_of, texts
from ledger.types import Attachment, Operation, Refund, Reserve, Reverse, recorded_by_hold

Getter = Callable[[Any], tuple[Any, ...]]

_INSERT_ORDER: Final[tuple[type, ...]] = (
    Account, Lot, Budget, Window, Hold, HoldWindow, Transfer, Draw, Op, Setting,
)  # fmt: skip
_NEVER_CHANGED: Final = (Transfer, Draw, Setting)  # tuples in the order of their columns: sent as they are
_INSERTED: Final[dict[type, Getter]] = {
    row_type: attrgetter(*columns(row_type)) for row_type in _INSERT_ORDER
}
_UPDATED: Final[dict[type, Getter]] = {
    row_type: attrgetter(*changed, *guard_of(row_type)) for row_type, changed in MUTABLE.items()
}
_OFTEN: Final[dict[type, Getter]] = {
    row_type: attrgetter(*MUTABLE[row_type][:often], *guard_of(row_type)) for row_type, often in OFTEN.items()
}


class SqlStore:
    """
    The statements of one engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        self._texts: Texts = texts(engine.dialect.name)
        self._attachments: dict[tuple[Table, tuple[str, ...], tuple[str, ...], bool], Bulk] = {}
        self._kept = Kept()
        self._lent: dict[str, Rows] = {}
        self._versions: dict[str, tuple[int, int]] = {}

    def load(self, driver: Driver, ops: Sequence[Operation]) -> dict[str, Books]:
        """
        Begin a transaction, lock the accounts of the operations and load what they need.
        """
        tenants = sorted({op.tenant for op in ops})
        books = {tenant: Books(tenant) for tenant in tenants}
        named = _named(ops)
        self._lent = lent = self._kept.take(tenants)
        unread = [tenant for tenant in tenants if tenant not in lent]
        known = {
            name: tenant for name, tenant in named.items() if tenant in lent and name in lent[tenant].holds
        }
        asked = self._lock_queries(driver, ops, tenants)
        asked |= self._state_queries(driver, unread, [name for name in named if name not in known])
        rows = dict(zip(asked, driver.begin_and_select(list(asked.values())), strict=True))
        stale = self._take_accounts(books, rows["lock"])
        for name, tenant in known.items():
            if tenant in lent:
                lent[tenant].lend_hold(books[tenant], name)
        take_rows(books, rows)
        if stale:
            again = [name for name, tenant in known.items() if tenant in stale]
            asked = self._state_queries(driver, stale, again)
            take_rows(books, dict(zip(asked, driver.select(list(asked.values())), strict=True)))
        second = self._second_queries(driver, books, ops, set(named))
        if second:
            take_second(books, driver.select(second))
        return books

    def _lock_queries(self, driver: Driver, ops: Sequence[Operation], tenants: list[str]) -> dict[str, Query]:
        """
        Return the queries that every batch needs, the lock first.
        """
        sql, among = self._texts, driver.many(tenants)
        queries: dict[str, Query] = {
            "lock": (sql.lock, (among,)),
            "due": (sql.due, (among, max(op.now_us for op in ops), among)),
        }
        keys = dict.fromkeys((op.tenant, op.key) for op in ops if not recorded_by_hold(op))
        if keys:
            pairs = driver.pairs(keys)
            queries |= {"ops": (sql.ops, pairs), "by_key": (sql.by_key, pairs)}
        orders = [op for op in ops if type(op) in ORDERS]
        if orders:
            queries |= self._for_orders(driver, orders)
        return queries

    def _state_queries(self, driver: Driver, tenants: list[str], holds: list[str]) -> dict[str, Query]:
        """
        Return the queries for the tenants and for the holds of which nothing true is kept.
        """
        sql, queries = self._texts, dict[str, Query]()
        if tenants:
            among = driver.many(tenants)
            queries["budgets"] = (sql.budgets, (among,))
            queries["windows"] = (sql.windows, (among,))
            queries["lots"] = (sql.lots, (among,))
        if holds:
            ids = driver.many(holds)
            queries["by_id"] = (sql.by_id, (ids,))
            queries["hold_windows"] = (sql.hold_windows, (ids,))
        return queries

    def _take_accounts(self, books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> list[str]:
        """
        Put the accounts into their books, with what is kept of them where it is still true; returns the
        tenants where it is not.
        """
        self._versions = {}
        for *columns_, version, next_version in rows:
            account = as_read(Account(*columns_))
            books[account.tenant].account = account
            self._versions[account.tenant] = version, next_version
        stale = [one for one, kept in self._lent.items() if self._versions.get(one, (0,))[0] != kept.version]
        for tenant in stale:  # shared with others: not kept this time
            del self._lent[tenant]
            self._versions.pop(tenant, None)
        for tenant, kept in self._lent.items():
            kept.lend(books[tenant])
        return stale

    def keep(self, books: Iterable[Books]) -> None:
        """
        Keep what was committed for the next batch.
        """
        for one in books:
            versions = self._versions.get(one.tenant)
            if versions is not None:
                committed(one.changes)
                rows = self._lent.get(one.tenant) or Rows()
                rows.version = versions[one.changes.account]
                self._kept.keep(one, rows)

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
        self, driver: Driver, books: dict[str, Books], ops: Sequence[Operation], named: set[str]
    ) -> list[Query]:
        """
        Return the queries for what the loaded holds need besides; mostly there are none.
        """
        loaded = [hold for one in books.values() for hold in one.holds.values()]
        refunded = {op.hold_id for op in ops if isinstance(op, Refund)}
        drawn = [h.id for h in loaded if h.state in (EXPIRED, RELEASED) or h.id in refunded]
        unseen = [hold.id for hold in loaded if hold.id not in named]
        unplaced = [h.id for h in loaded if h.id in named and window_missing(books[h.tenant], h)]
        elsewhere = [*unseen, *unplaced]
        if not drawn and not elsewhere:
            return []
        sql = self._texts
        return [
            (sql.hold_windows, (driver.many(unseen),)),
            (sql.windows_of, (driver.many(elsewhere),)),
            (sql.draws, (driver.many(drawn),)),
            (sql.lots_of, (driver.many(drawn),)),
        ]

    def writes(self, books: Iterable[Books], attached: Sequence[Attachment]) -> list[Write]:
        """
        Return the statements that make the changes durable.
        """
        inserts, updates = [], []
        for row_type, rows in _changed_rows(books).items():
            made = rows if row_type in _NEVER_CHANGED else [row for row in rows if row.fresh]
            if made:
                values = made if row_type in _NEVER_CHANGED else list(map(_INSERTED[row_type], made))
                inserts.append(Write(self._texts.insert[row_type], values, counted=True))
            if len(made) < len(rows):
                updates += self._updates(row_type, [row for row in rows if not row.fresh])
        return [*inserts, *updates, *self._attached(attached)]

    def _updates(self, row_type: type, rows: list[Any]) -> list[Write]:
        """
        Return the updates of rows: of those in which only what calls change has changed, only that.
        """
        rare = RARE.get(row_type)
        often: list[Any] = []
        rest: list[Any] = []
        for row in rows:
            (rest if rare is None or rare(row) != row.rare else often).append(row)
        parts = (
            (often, self._texts.update_often, _OFTEN),
            (rest, self._texts.update, _UPDATED),
        )
        return [
            Write(bulks[row_type], list(map(values[row_type], some)), counted=True)
            for some, bulks, values in parts
            if some
        ]

    def _attached(self, attached: Sequence[Attachment]) -> list[Write]:
        """
        Group attachments into bulk statements, in a fixed order of tables and keys.
        """
        groups: dict[tuple[Table, tuple[str, ...], tuple[str, ...], bool], list[Attachment]] = {}
        for one in attached:
            shape = (cast("Table", one.table), tuple(one.values), one.add, one.ignore)
            groups.setdefault(shape, []).append(one)
        found = []
        for shape in sorted(groups, key=lambda shape: (shape[0].name, shape[1:])):
            bulk = self._attachments.get(shape)
            if bulk is None:
                bulk = self._attachments[shape] = attachment(*shape, self._dialect)
            found.append(Write(bulk, _attached_rows(shape[0], shape[1], shape[2], groups[shape])))
        return found


def _named(ops: Sequence[Operation]) -> dict[str, str]:
    """
    Return the holds that operations name, each with its tenant; a reservation makes its own.
    """
    return {op.hold_id: op.tenant for op in ops if hasattr(op, "hold_id") and not isinstance(op, Reserve)}


def _changed_rows(books: Iterable[Books]) -> dict[type, list[Any]]:
    """
    Return every row that the rules made or changed, in the order in which new ones are inserted.
    """
    found: dict[type, list[Any]] = {row_type: [] for row_type in _INSERT_ORDER}
    for one in books:
        changes = one.changes
        if changes.lots or changes.budgets or changes.windows or changes.holds:
            changes.account = True  # by its version others see that what they keep is old
        if changes.account:
            found[Account].append(one.account)
        found[Lot] += changes.lots.values()
        found[Budget] += changes.budgets.values()
        found[Window] += changes.windows.values()
        found[Hold] += changes.holds.values()
        found[HoldWindow] += changes.hold_windows.values()
        found[Transfer] += changes.transfers
        found[Draw] += changes.draws
        found[Op] += changes.ops.values()
        found[Setting] += changes.settings
    return found


def _attached_rows(
    table: Table, names: tuple[str, ...], add: tuple[str, ...], group: Sequence[Attachment]
) -> list[tuple[Any, ...]]:
    """
    Return the rows of one shape; additions to one key are summed, and keys stand in order so that two writers
    never wait for each other in a circle.
    """
    rows = [tuple(one.values[name] for name in names) for one in group]
    key = tuple(names.index(column.name) for column in table.primary_key if column.name in names)
    if not add:
        return rows
    adding = tuple(names.index(name) for name in add)
    sums: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        place = tuple(row[index] for index in key)
        if place not in sums:
            sums[place] = list(row)
            continue
        for index in adding:
            sums[place][index] += row[index]
    return [tuple(row) for _, row in sorted(sums.items())]
