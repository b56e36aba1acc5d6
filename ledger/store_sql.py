"""
Loads what a batch needs under the lock of its accounts, and writes what the rules changed.

No decision about money is made here. Lock first, look second: the lock statement is the first of the
transaction, so everything read after it is what the lock's former holder committed.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Engine, Table

from ledger.drivers import Driver, Query, Write
from ledger.journal import ORDERS
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
from ledger.types import Attachment, Operation, Refund, Reverse, Settle

Getter = Callable[[Any], tuple[Any, ...]]
R = TypeVar("R", Account, Lot, Window)

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
_RARE: Final[dict[type, Getter]] = {
    row_type: attrgetter(*MUTABLE[row_type][often:]) for row_type, often in OFTEN.items()
}


class SqlStore:
    """
    The statements of one engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        self._texts: Texts = texts(engine.dialect.name)
        self._attachments: dict[tuple[Table, tuple[str, ...], tuple[str, ...], bool], Bulk] = {}

    def load(self, driver: Driver, ops: Sequence[Operation]) -> dict[str, Books]:
        """
        Begin a transaction, lock the accounts of the operations and load what they need.
        """
        tenants = sorted({op.tenant for op in ops})
        books = {tenant: Books(tenant) for tenant in tenants}
        named = [op.hold_id for op in ops if hasattr(op, "hold_id")]
        first = self._first_queries(driver, ops, tenants, named)
        rows = dict(zip(first, driver.begin_and_select(list(first.values())), strict=True))
        _take_accounts(books, rows)
        for slot in ("by_key", "by_id", "due"):
            _take_holds(books, rows.get(slot, ()))
        _take_hold_windows(books, rows.get("hold_windows", ()))
        second = self._second_queries(driver, books, ops, set(named))
        if second:
            _take_second(books, driver.select(second))
        return books

    def _first_queries(
        self, driver: Driver, ops: Sequence[Operation], tenants: list[str], named: list[str]
    ) -> dict[str, Query]:
        """
        Return the queries that every batch needs, the lock first.
        """
        sql = self._texts
        among, ids = driver.many(tenants), driver.many(named)
        keys = driver.pairs(dict.fromkeys((op.tenant, op.key) for op in ops if not _recorded_by_hold(op)))
        instants = [op.now_us for op in ops]
        queries: dict[str, Query] = {
            "lock": (sql.lock, (among,)),
            "ops": (sql.ops, keys),
            "budgets": (sql.budgets, (among,)),
            "windows": (sql.windows, (among, min(instants))),
            "lots": (sql.lots, (among,)),
            "by_key": (sql.by_key, keys),
            "due": (sql.due, (among, max(instants), among)),
        }
        orders = [op for op in ops if type(op) in ORDERS]
        if orders:
            queries |= self._for_orders(driver, orders)
        if named:
            queries["by_id"] = (sql.by_id, (ids,))
            queries["hold_windows"] = (sql.hold_windows, (ids,))
        return queries

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
        unplaced = [h.id for h in loaded if h.id in named and _window_missing(books[h.tenant], h)]
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
        rare = _RARE.get(row_type)
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


def _recorded_by_hold(op: Operation) -> bool:
    return isinstance(op, Settle) and op.recorded_by_hold


def _as_read(row: R) -> R:
    row.rare = _RARE[type(row)](row)
    return row


def _take_accounts(books: dict[str, Books], rows: dict[str, list[tuple[Any, ...]]]) -> None:
    """
    Put accounts, keys, budgets, windows and lots into the books of their tenants.
    """
    for row in rows["lock"]:
        books[row[0]].account = _as_read(Account(*row))
    for row in rows["ops"]:
        op = Op(*row)
        op.fresh = False
        books[op.tenant].ops[op.key] = op
    for row in rows["budgets"]:
        budget = Budget(*row)
        books[budget.tenant].budgets[(budget.scope, budget.window_kind)] = budget
    _take_windows(books, rows["windows"])
    _take_lots(books, rows["lots"])
    _take_lots(books, rows.get("lots_by_id", ()))
    for tenant, n, head in rows.get("settings", ()):
        books[tenant].settings_n, books[tenant].settings_head = n, head


def _take_windows(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    for row in rows:
        window = _as_read(Window(*row))
        books[window.tenant].windows.setdefault(window.budget_id, {}).setdefault(window.starts_at, window)


def _take_lots(books: dict[str, Books], rows: Sequence[tuple[Any, ...]]) -> None:
    for row in rows:
        owner = books.get(row[1])  # an operation may name a lot of somebody else
        if owner is not None and row[0] not in owner.lots:
            owner.add_lot(_as_read(Lot(*row)))


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


def _window_missing(books: Books, hold: Hold) -> bool:
    parts = books.hold_windows[hold.id]
    return any(part.starts_at not in books.windows.get(part.budget_id, {}) for part in parts)


def _take_second(books: dict[str, Books], rows: Sequence[Sequence[tuple[Any, ...]]]) -> None:
    """
    Put in what holds of other days, captured or refunded holds need.
    """
    _take_hold_windows(books, rows[0])
    _take_windows(books, rows[1])
    for row in rows[2]:
        draw = Draw(*row)
        books[draw.tenant].draws.setdefault(draw.hold_id, []).append(draw)
    _take_lots(books, rows[3])


def _changed_rows(books: Iterable[Books]) -> dict[type, list[Any]]:
    """
    Return every row that the rules made or changed, in the order in which new ones are inserted.
    """
    found: dict[type, list[Any]] = {row_type: [] for row_type in _INSERT_ORDER}
    for one in books:
        changes = one.changes
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
