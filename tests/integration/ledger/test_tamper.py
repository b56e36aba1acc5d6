"""
Stored columns of the ledger's tables, changed by hand in one row: `verify` finds it and names the row.

The guards are taken away first, as somebody with the owner's rights could. Each change is made and
proved in a transaction that is rolled back, so one history serves all columns.
"""

from collections.abc import Iterator
from typing import Any

import ledger_world
import pytest
from sqlalchemy import Column, Connection, Engine, Integer, Table, select, text
from sqlalchemy.exc import IntegrityError

from ledger import Ledger, make_engine, tables
from ledger.tables import APPEND_ONLY
from ledger.verify import verify

ROWS_MAX = 4
TABLES = (
    tables.account, tables.grant_lot, tables.budget, tables.budget_window, tables.hold, tables.hold_window,
    tables.transfer, tables.draw, tables.op, tables.setting,
)  # fmt: skip
# Columns of which the books hold no second account: nothing but the row itself says so. A row that is in no
# chain could only be proved by a digest of its own; whoever adds one strikes its columns from here.
LABEL = "explains, and moves no money"
UNTOLD = {
    "ledger_account": {
        "last_at": "may lie after every row: sealing moves the clock, and what moved it may be archived",
    },
    "ledger_grant_lot": {},
    "ledger_budget": {},
    "ledger_budget_window": {
        "starts_at": "of a window that no hold counts in", "ends_at": "where a gap follows",
        "local_date": LABEL, "limit_amt": LABEL,
    },
    "ledger_hold": {
        "op_key": LABEL, "req_hash": LABEL, "offer_index": LABEL, "scopes": LABEL, "plan": LABEL,
        "owner": LABEL, "detail": "of a hold that is not settled", "opened_at": "within its life",
        "expires_at": "within its life", "closed_at": "within its life", "expected": "below the amount",
        "enforced": "a hold of the full amount looks the same", "amount": "of an observed hold",
        "late": "of a hold without overage", "cost_bound": "where the multiplier rounds it away",
    },
    "ledger_hold_window": {"expected": "of a hold that is closed", "refunded": "in a window of the cost"},
    "ledger_transfer": {},
    "ledger_draw": {"place": "of a draw without a call"},
    "ledger_setting": {},
    "ledger_op": dict.fromkeys([column.name for column in tables.op.columns], LABEL),
}  # fmt: skip
COLUMNS = [
    (table, one)
    for table in TABLES
    for one in table.columns
    if one.name not in UNTOLD[table.name] and one.computed is None
]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def books(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A connection without guards to a database with the histories of four tenants."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('tamper') / 'outlay.db'}"
    else:
        url = request.getfixturevalue("postgres_server").new_database()
    engine = make_engine(url)
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
    fill(engine)
    with engine.connect() as connection:
        unguard(connection)
        assert verify(connection).problems == ()
        connection.commit()
        yield connection
    engine.dispose()


def fill(engine: Engine) -> None:
    """Play two audited histories."""
    ledger = Ledger(engine)
    for seed in (8, 12):
        for op in ledger_world.run(seed, 200, (f"left-{seed}", f"right-{seed}")).script:
            ledger.submit(op)
    ledger.close()


def unguard(connection: Connection) -> None:
    """Take triggers, checks and foreign keys away."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for name in connection.execute(text(query)).scalars().all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.commit()
        raw = connection.connection.driver_connection
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute("PRAGMA ignore_check_constraints = ON")
        return
    for table in APPEND_ONLY:
        connection.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
    query = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype IN ('c', 'f')"
    for table, name in connection.execute(text(query)).all():
        if str(table).startswith("ledger_"):
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))


def some_rows(connection: Connection, table: Table) -> list[Any]:
    """Return rows from all over a table."""
    rows = connection.execute(select(table).order_by(*table.primary_key)).all()
    assert rows, f"{table.name} is empty: the history proves nothing about it"
    return rows[:: max(1, len(rows) // ROWS_MAX)][:ROWS_MAX]


def other(column: Column[Any], value: Any) -> Any:
    """Return another value of the column's type."""
    if isinstance(column.type, Integer):
        return 1 if value is None else value + 1
    return f"{value or ''}x"


def changed(connection: Connection, table: Table, column: Column[Any], row: Any) -> tuple[str, ...]:
    """Return the problems after one column of one row was changed; the change is undone."""
    key = [one == getattr(row, one.name) for one in table.primary_key]
    values = {column.name: other(column, getattr(row, column.name))}
    try:
        assert connection.execute(table.update().where(*key).values(values)).rowcount == 1
        return verify(connection).problems
    except IntegrityError:
        return ("refused by the database",)
    finally:
        connection.rollback()


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[str(column) for _, column in COLUMNS])
def test_any_changed_column_is_found(books: Connection, table: Table, column: Column[Any]) -> None:
    """
    In whatever row it was changed, the column is found, and a problem names the row or its owner.
    """
    for row in some_rows(books, table):
        problems = changed(books, table, column, row)
        assert problems, f"{column} of {row} was changed unseen"
        names = {str(getattr(row, one.name)) for one in table.primary_key} | {"refused"}
        names.add(str(getattr(row, "tenant", "refused")))
        said = " ".join(problems).replace("\\n", "\n")
        assert any(name in said for name in names), (names, problems)


def test_columns_that_nothing_tells_of_are_columns() -> None:
    """
    The list of what cannot be proved names only what exists, and no column that money is computed from.
    """
    for table in TABLES:
        assert UNTOLD[table.name].keys() <= {column.name for column in table.columns}
    sums = {"wallet", "held", "debt", "seq", "head_hash", "remaining", "spent", "captured", "charged"}
    assert not any(sums & names.keys() for names in UNTOLD.values())
