"""
SQL text of the hot path, made once per engine from the tables and sent through the driver.

SQLAlchemy's expression layer costs eight times the CPU of the driver; so the tables stay the one source of
names and types, and this module writes the few statements that the writer sends. Many rows go as VALUES, in
a few lengths that are prepared: on SQLite the last few rows go alone, on PostgreSQL rows of NULL fill up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import Boolean, Float, Integer, String, Text

from ledger import tables
from ledger.rows import Account, Budget, Draw, Hold, HoldWindow, Lot, Op, Setting, Transfer, Window, columns

Processor = Callable[[Any], Any] | None

ROWS: Final[dict[type, Table]] = {
    Account: tables.account,
    Lot: tables.grant_lot,
    Budget: tables.budget,
    Window: tables.budget_window,
    Hold: tables.hold,
    HoldWindow: tables.hold_window,
    Transfer: tables.transfer,
    Draw: tables.draw,
    Op: tables.op,
    Setting: tables.setting,
}
MUTABLE: Final[dict[type, tuple[str, ...]]] = {
    Account: (
        "wallet", "held", "held_expected", "debt", "seq", "head_hash", "last_at", "policy_version", "frozen",
        "multiplier_ppm", "overage", "timezone",
    ),
    Lot: ("remaining", "repaid", "reversed", "scheduled", "forfeited"),
    Budget: ("limit_amt", "raised_amt", "valid_until", "timezone", "tiled_until"),
    Window: ("spent", "held", "held_expected", "overage", "local_date", "ends_at", "limit_amt"),
    Hold: (
        "state", "captured", "actual", "charged", "debt", "absorbed", "refunded", "late", "settle_hash",
        "settle_seq", "detail", "expires_at", "closed_at",
    ),
    HoldWindow: ("refunded",),
    Op: ("kind", "req_hash", "result", "actor", "reason", "at"),
}  # fmt: skip


OFTEN: Final[dict[type, int]] = {Account: 7, Lot: 1, Window: 4}
"""The first so many of these columns change with calls; the others by an order, or where a lot or
a window begins or ends."""
_CHUNKS: Final = {
    "sqlite": (32, 8, 2),  # 32 rows of 28 columns stay below the 999 parameters of an old SQLite
    "postgresql": (64, 32, 16, 8, 4, 2),
}


@dataclass(frozen=True, slots=True)
class Bulk:
    """
    A statement that writes a row, and the same for several rows at once.

    Args:
        text: For one row.
        chunks: For so many rows each, the largest first. On PostgreSQL rows of NULL write nothing.
        as_bytes: Of each parameter of a row, whether it is sent as bytes with their length, not as text up to
            a NUL (PostgreSQL only).
        counts: Whether the statement is told, last, how many rows it has to find, and fails where it does not
            (PostgreSQL only).
        processors: Of each column, what converts its value; empty where none needs it.
        never_null: Place of the column whose NULL tells a row that only fills up (PostgreSQL's inserts only).
    """

    text: str
    chunks: tuple[tuple[int, str], ...] = ()
    as_bytes: tuple[bool, ...] = ()
    counts: bool = False
    processors: tuple[Processor, ...] = ()
    never_null: int | None = None


@dataclass(frozen=True, slots=True)
class Texts:
    """
    Every statement of the hot path for one engine.
    """

    lock: str
    unchanged: str
    unused_key: str
    unanswered_key: str
    unmade: str
    by_key: str
    by_id: str
    due: str
    due_next: str
    ops: str
    many: str
    budgets: str
    budgets_by_id: str
    windows: str
    windows_last: str
    lots: str
    lots_by_id: str
    hold_windows: str
    windows_of: str
    draws: str
    lots_of: str
    settings: str
    insert: dict[type, Bulk]
    update: dict[type, Bulk]
    update_often: dict[type, Bulk]
    update_confirmed: Bulk | None


def _names(row_type: type) -> str:
    return ", ".join(columns(row_type))


def _select(row_type: type, where: str) -> str:
    return f"SELECT {_names(row_type)} FROM {ROWS[row_type].name} WHERE {where}"  # noqa: S608 - our own names


_XMIN_NEXT: Final = "pg_current_xact_id()::text::bigint & 4294967295"
_FILE_VERSION: Final = "pragma_data_version"


def _lock(among: str, dialect: str) -> str:
    """
    Write the lock of accounts: each with the version of its row, and the one that it gets if written now.

    On PostgreSQL these are the transactions that write it, and the rows are locked in the order in which
    `_update_confirmed` is sent them, whatever the database's own. On SQLite both are the version of the whole
    file, which is another one as soon as another connection has written to it.
    """
    names, table = _names(Account), ROWS[Account].name
    if dialect == "sqlite":
        versions = "v.data_version, v.data_version"
        return f"SELECT {names}, {versions} FROM {_FILE_VERSION} AS v CROSS JOIN {table} WHERE tenant {among} ORDER BY tenant"  # noqa: S608, E501 - our own names
    return f'SELECT {names}, xmin::text::bigint, {_XMIN_NEXT} FROM {table} WHERE tenant {among} ORDER BY tenant COLLATE "C" FOR UPDATE'  # noqa: S608, E501 - our own names


def _must(condition: str, dialect: str) -> str:
    """
    Write the test of a condition: on PostgreSQL it fails, by a division by zero, where that is not so, and
    what was sent behind it is not carried out; on SQLite it says so.
    """
    return f"SELECT {condition}" if dialect == "sqlite" else f"SELECT 1 / ({condition})::int"


def _unchanged(dialect: str) -> str:
    """
    Write the test that accounts still have their versions; on SQLite, whichever they are, that of the file.
    """
    if dialect == "sqlite":
        version = "CAST(json_extract(value, '$[1]') AS INTEGER)"
        changed = f"SELECT 1 FROM json_each(?), {_FILE_VERSION} WHERE {version} <> data_version"  # noqa: S608 - our own names
    else:
        changed = (
            "SELECT 1 FROM unnest(%s::text[], %s::xid[]) AS p(tenant, version) "
            "LEFT JOIN ledger_account AS a ON a.tenant = p.tenant AND a.xmin = p.version "
            "WHERE a.tenant IS NULL"
        )
    return _must(f"NOT EXISTS ({changed})", dialect)


def _of_few(row_type: type, among: str, beyond: str, only: str = "true") -> str:
    """
    Write the search for rows of tenants that have no more budgets than so many.
    """
    names = ", ".join(f"t.{name}" for name in columns(row_type))
    return f"SELECT {names} FROM ledger_account AS a CROSS JOIN {ROWS[row_type].name} AS t WHERE t.tenant = a.tenant AND {only} AND a.tenant {among} AND {beyond} IS NULL"  # noqa: S608, E501 - our own names


def _due_next(each: str, clock: str) -> str:
    """
    Write the search for the next instant, after those that are due, at which a hold of each tenant expires.
    """
    found = (
        f"SELECT h.expires_at FROM {ROWS[Hold].name} AS h WHERE h.state = 0 AND h.tenant = p.value "  # noqa: S608 - our own names
        f"AND h.expires_at > {clock} ORDER BY h.expires_at LIMIT 1"
    )
    return f"SELECT p.value, ({found}) FROM {each}"  # noqa: S608 - our own names


def _select_pairs(row_type: type, key: str, dialect: str, only: str = "true") -> str:
    """
    Write the search for (tenant, key) pairs: two lists side by side, never each tenant with each key.

    PostgreSQL is told in a way that only an index over both can answer in order: one that knows the tenant
    alone looks as good to a planner without statistics, and reads all that a tenant ever did. `only` is the
    condition of that index, if it has one, for a row that is named `{0}`.
    """
    names = ", ".join(f"t.{name}" for name in columns(row_type))
    table = ROWS[row_type].name
    if dialect == "sqlite":
        one, other = (f"json_extract(p.value, '$[{place}]')" for place in (0, 1))
        return f"SELECT {names} FROM json_each(?) AS p CROSS JOIN {table} AS t WHERE t.tenant = {one} AND t.{key} = {other} AND {only.format('t')}"  # noqa: S608, E501 - our own names
    both = f"(h.tenant, h.{key})"
    found = (
        f"SELECT * FROM {table} AS h WHERE {both} >= (p.tenant, p.key) AND {both} <= (p.tenant, p.key) "  # noqa: S608 - our own names
        f"AND {only.format('h')} ORDER BY h.tenant, h.{key} LIMIT 1"
    )
    return f"SELECT {names} FROM unnest(%s::text[], %s::text[]) AS p(tenant, key) CROSS JOIN LATERAL ({found}) AS t"  # noqa: S608, E501 - our own names


def texts(dialect: str) -> Texts:
    """
    Write every statement for an engine, `sqlite` or `postgresql`.

    A list parameter is JSON text on SQLite and an array on PostgreSQL; a list of pairs is JSON text, or two
    arrays.
    """
    lite = dialect == "sqlite"
    among = "IN (SELECT value FROM json_each(?))" if lite else "= ANY(%s::text[])"
    each = "json_each(?) AS p" if lite else "unnest(%s::text[]) AS p(value)"
    mark, latest = ("?", "max") if lite else ("%s", "greatest")
    by_key = _select_pairs(Hold, "op_key", dialect, "{0}.op_key <> 'hold:' || {0}.id")
    by_id, ops = _select(Hold, f"id {among}"), _select_pairs(Op, "key", dialect)
    clock = f"{latest}({mark}, (SELECT max(last_at) FROM ledger_account WHERE tenant {among}))"  # noqa: S608 - our own names
    beyond = f"(SELECT 1 FROM ledger_budget WHERE tenant = a.tenant LIMIT 1 OFFSET {mark})"  # noqa: S608 - our own names
    return Texts(
        lock=_lock(among, dialect),
        unchanged=_unchanged(dialect),
        unused_key=_must(f"NOT EXISTS ({by_key})", dialect),
        unanswered_key=_must(f"NOT EXISTS ({ops})", dialect),
        unmade=_must(f"NOT EXISTS ({by_id})", dialect),
        by_key=by_key,
        by_id=by_id,
        due=_select(Hold, f"state = 0 AND tenant {among} AND expires_at <= {clock}"),
        due_next=_due_next(each, clock),
        ops=ops,
        many=f"SELECT a.tenant FROM ledger_account AS a WHERE a.tenant {among} AND {beyond} IS NOT NULL",  # noqa: S608 - our own names
        budgets=_of_few(Budget, among, beyond),
        budgets_by_id=_select(Budget, f"id {among}"),
        windows=_of_few(Window, among, beyond, "t.ends_at > a.last_at"),  # which never steps back
        windows_last=f"SELECT {_names(Window)} FROM {each} CROSS JOIN ledger_budget_window AS w WHERE w.budget_id = p.value AND w.starts_at >= ({_LAST_TWO})",  # noqa: S608, E501 - our own names
        lots=_select(Lot, f"tenant {among} AND {tables.UNSPENT}"),
        lots_by_id=_select(Lot, f"id {among}"),
        hold_windows=_select(HoldWindow, f"hold_id {among}"),
        windows_of=_select(Window, f"(budget_id, starts_at) IN ({_PLACES_OF} {among})"),
        draws=_select(Draw, f"hold_id {among} ORDER BY place"),
        lots_of=_select(Lot, f"id IN (SELECT lot_id FROM ledger_draw WHERE hold_id {among})"),  # noqa: S608 - our own names
        settings=f"{_SETTINGS} {among}",
        insert={row_type: insert(table, columns(row_type), dialect) for row_type, table in ROWS.items()},
        update={row_type: _update(row_type, names, dialect) for row_type, names in MUTABLE.items()},
        update_often={
            row_type: _update(row_type, MUTABLE[row_type][:often], dialect)
            for row_type, often in OFTEN.items()
        },
        update_confirmed=None if lite else _update_confirmed(),
    )


_LAST_TWO: Final = (  # of a budget: the window that runs, and one that a change of zone has laid behind it
    "SELECT min(at) FROM (SELECT starts_at AS at FROM ledger_budget_window WHERE budget_id = p.value "
    "ORDER BY starts_at DESC LIMIT 2) AS two"
)
_PLACES_OF: Final = "SELECT budget_id, starts_at FROM ledger_hold_window WHERE hold_id"
_SETTINGS: Final = (
    "SELECT s.tenant, s.n, s.hash FROM ledger_account AS a JOIN ledger_setting AS s "
    "ON s.tenant = a.tenant AND s.n = (SELECT max(n) FROM ledger_setting WHERE tenant = a.tenant) "
    "WHERE a.tenant"
)


def _dialect(name: str) -> Dialect:
    made = sqlite.dialect() if name == "sqlite" else postgresql.dialect()  # type: ignore[no-untyped-call]
    assert isinstance(made, Dialect)
    return made


def _values(types: Sequence[str], rows: int) -> str:
    """
    Write so many rows as a table of parameters on PostgreSQL; the first one gives the types to all.
    """
    first = ", ".join(f"%s::{kind}" for kind in types)
    others = f", ({', '.join(['%s'] * len(types))})" * (rows - 1)
    return f"(VALUES ({first}){others})"


def _bulk(write: Callable[[int], str], dialect: str, as_bytes: Sequence[bool] = ()) -> Bulk:
    """
    Make a statement in all its lengths.
    """
    return Bulk(write(1), tuple((rows, write(rows)) for rows in _CHUNKS[dialect]), tuple(as_bytes))


def _types(table: Table, names: Sequence[str]) -> list[str]:
    """
    Return the types of columns as PostgreSQL names them.
    """
    return [table.c[name].type.compile(_dialect("postgresql")) for name in names]


def _as_bytes(table: Table, names: Sequence[str]) -> list[bool]:
    types = [table.c[name].type for name in names]
    assert all(isinstance(one, Integer | String | Float | Boolean) for one in types), "others: no plain text"
    return [type(one) in (Text, String) for one in types]


def insert(table: Table, names: Sequence[str], dialect: str, ending: str = "") -> Bulk:
    """
    Write the insert of rows, with an ON CONFLICT ending.
    """
    quote = _dialect(dialect).identifier_preparer
    quoted = ", ".join(quote.quote(name) for name in names)
    into = f"INSERT INTO {quote.format_table(table)} ({quoted})"
    if dialect == "sqlite":
        row = f"({', '.join('?' for _ in names)})"
        return _bulk(lambda rows: f"{into} VALUES {', '.join([row] * rows)}{ending}", dialect)
    types = _types(table, names)
    place = next(place for place, name in enumerate(names) if not table.c[name].nullable)

    def write(rows: int) -> str:
        given = f"{_values(types, rows)} AS v({quoted})"
        return f"{into} SELECT * FROM {given} WHERE v.{quote.quote(names[place])} IS NOT NULL{ending}"  # noqa: S608 - our own names

    return replace(_bulk(write, dialect, _as_bytes(table, names)), never_null=place)


def guard_of(row_type: type) -> tuple[str, ...]:
    """
    Return the attributes that find a row for its update: the key, and the state that a hold was read in.
    """
    key = tuple(column.name for column in ROWS[row_type].primary_key)
    return (*key, "was") if row_type is Hold else key


def _update(row_type: type, changed: tuple[str, ...], dialect: str) -> Bulk:
    """
    Write the update of many rows by primary key; a hold also by the state that it was read in.
    """
    table = ROWS[row_type]
    guard = tuple("state" if name == "was" else name for name in guard_of(row_type))
    if dialect == "sqlite":
        sets = ", ".join(f"{name} = ?" for name in changed)
        where = " AND ".join(f"{name} = ?" for name in guard)
        return Bulk(f"UPDATE {table.name} SET {sets} WHERE {where}")  # noqa: S608 - our own names
    return _update_from_values(table, changed, guard)


def _update_confirmed() -> Bulk:
    """
    Write the update of accounts whose rows have the versions that are sent; it returns the one that they have
    then.
    """
    often = MUTABLE[Account][: OFTEN[Account]]
    return _update_from_values(ROWS[Account], often, guard_of(Account), (("xmin", "xid"),), f"{_XMIN_NEXT}, ")


def _update_from_values(
    table: Table,
    changed: Sequence[str],
    guard: Sequence[str],
    more: Sequence[tuple[str, str]] = (),
    asked: str = "",
) -> Bulk:
    """
    Write the update of rows on PostgreSQL, which fails where it does not find all; `more` are system columns
    to compare, with their types.
    """
    sent = (*changed, *guard)
    types = [*_types(table, sent), *(kind for _, kind in more)]
    compared = (*guard, *(name for name, _ in more))
    sets = ", ".join(f"{name} = v.{name}" for name in changed)
    where = " AND ".join(f"t.{name} = v.g_{name}" for name in compared)
    names = ", ".join((*changed, *(f"g_{name}" for name in compared)))

    def write(rows: int) -> str:
        given = f"{_values(types, rows)} AS v({names})"
        update = f"UPDATE {table.name} AS t SET {sets} FROM {given} WHERE {where} RETURNING 1"  # noqa: S608 - our own names
        return f"WITH found AS ({update}) SELECT {asked}1 / (count(*) = %s)::int FROM found"  # noqa: S608 - our own names

    made = _bulk(write, "postgresql", [*_as_bytes(table, sent), *(False for _ in more)])
    return replace(made, counts=True)


def attachment(
    table: Table, names: tuple[str, ...], add: tuple[str, ...], ignore: bool, dialect: Dialect
) -> Bulk:
    """
    Write the insert of rows of another package, adding to or ignoring rows that exist.
    """
    key = ", ".join(column.name for column in table.primary_key)
    ending = ""
    if add:
        sets = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in add)
        ending = f" ON CONFLICT ({key}) DO UPDATE SET {sets}"
    elif ignore:
        ending = " ON CONFLICT DO NOTHING"
    if ending and dialect.name == "sqlite":
        ending = f" {ending}"
    bulk = insert(table, names, dialect.name, ending)
    bound = tuple(table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names)
    return replace(bulk, processors=bound) if any(bound) else bulk
