"""
Tampering is refused by the database, and found where the guards were taken away.
"""

import ledger_script
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from ledger import Ledger, reading, tables
from ledger.tables import APPEND_ONLY
from ledger.verify import verify


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database with two tenants' histories."""
    ledger = Ledger(engine)
    for seed in (3, 11):
        for op in ledger_script.run(seed, 120, tenant=f"tenant-{seed}").script:
            ledger.submit(op)
    ledger.close()  # carries out what waits
    return engine


WIPE = {"sqlite": "INSERT OR REPLACE INTO {table} SELECT * FROM {table}", "postgresql": "TRUNCATE {table}"}


@pytest.mark.parametrize("change", ["UPDATE {table} SET amount = amount", "DELETE FROM {table}", "wipe"])
@pytest.mark.parametrize("table", ["ledger_transfer", "ledger_draw"])
def test_history_cannot_be_changed(filled: Engine, table: str, change: str) -> None:
    """
    The database refuses to update, delete, truncate or replace a row of history.
    """
    statement = WIPE[filled.dialect.name] if change == "wipe" else change
    with pytest.raises(DBAPIError, match="append-only"), filled.begin() as connection:
        connection.execute(text(statement.format(table=table)))


def test_overspend_cannot_be_committed(filled: Engine) -> None:
    """
    The CHECK on the account refuses more held than there is, whoever writes it.
    """
    with pytest.raises(DBAPIError, match="never_overspent"), filled.begin() as connection:
        connection.execute(text("UPDATE ledger_account SET held = wallet + 1"))


def unguard(connection: Connection) -> None:
    """Take the triggers away, as somebody with the owner's rights could."""
    for table in APPEND_ONLY:
        names = ("no_update", "no_delete", "no_replace")
        if connection.dialect.name == "sqlite":
            for name in names:
                connection.execute(text(f"DROP TRIGGER {table.name}_{name}"))
        else:
            connection.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))


NUMBERS = ("kind", "debit", "credit", "amount", "at", "effective_at", "wallet_after", "cost", "seq")
TEXTS = ("hold_id", "lot_id", "op_key", "prev_hash", "hash", "tenant")


@pytest.mark.parametrize("column", [*NUMBERS, *TEXTS])
def test_any_changed_column_of_a_transfer_is_found(filled: Engine, column: str) -> None:
    """
    With the triggers gone, a change of any column of one row is found, and that row is named.
    """
    target = "tenant = 'tenant-3' AND seq = 2"
    change = {
        "kind": "9 - kind", "debit": "5", "credit": "5", "seq": "seq + 1000", "tenant": "'nobody'",
        "cost": "coalesce(cost, 0) + 1", "hold_id": "coalesce(hold_id, '') || 'x'",
        "lot_id": "coalesce(lot_id, '') || 'x'",
    }.get(column, f"{column} || '0'" if column in TEXTS else f"{column} + 1")  # fmt: skip
    with filled.begin() as connection:
        unguard(connection)
        connection.execute(text(f"UPDATE ledger_transfer SET {column} = {change} WHERE {target}"))
    with reading(filled) as connection:
        found = verify(connection)
    assert not found.ok
    assert not (found.checks["chain"] and found.checks["sequence"])
    assert any("tenant-3" in problem for problem in found.problems)


def test_a_cut_tail_is_found(filled: Engine) -> None:
    """
    Deleting the newest transfers leaves a whole chain, but not the one that the account's head names.
    """
    with filled.begin() as connection:
        unguard(connection)
        connection.execute(text("DELETE FROM ledger_transfer WHERE tenant = 'tenant-3' AND seq > 3"))
    with reading(filled) as connection:
        found = verify(connection)
    assert not found.checks["head"]


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("held", "UPDATE ledger_account SET held = held + 1, wallet = wallet + 1"),
        ("head", "UPDATE ledger_account SET wallet = wallet + 1"),
        ("lots", "UPDATE ledger_grant_lot SET granted = granted + 1"),
        ("parties", "UPDATE ledger_account SET debt = debt + 1"),
        ("holds", "UPDATE ledger_hold SET captured = captured + 1, charged = charged + 1 WHERE state = 1"),
        ("windows", "UPDATE ledger_budget_window SET spent = spent + 1"),
        ("windows", "UPDATE ledger_budget_window SET ends_at = ends_at + 864000000000"),
        ("orphans", "INSERT INTO ledger_draw VALUES ('ghost', 1, 'x', 'y', 0, 1)"),
    ],
)
def test_books_that_do_not_add_up_are_found(filled: Engine, check: str, change: str) -> None:
    """
    Each kind of row that has no chain of its own is compared with the transfers and the holds.
    """
    with filled.begin() as connection:
        connection.execute(text(change))
    with reading(filled) as connection:
        found = verify(connection)
    assert not found.checks[check], found.problems


def test_empty_database_verifies(engine: Engine) -> None:
    """
    Nothing is wrong with no books at all.
    """
    with reading(engine) as connection:
        found = verify(connection)
    assert found.ok
    assert (found.tenants, found.transfers) == (0, 0)
    assert set(tables.metadata.tables) >= {"ledger_account", "ledger_transfer"}
