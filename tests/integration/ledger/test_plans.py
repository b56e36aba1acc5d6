"""
No statement of the hot path reads more as history grows: each finds its rows by an index made for it.
"""

from dataclasses import fields

from sqlalchemy import Engine

from ledger import make_engine, tables
from ledger.statements import texts

BY = {
    "lock": "ledger_account",
    "by_key": "tenant=? AND op_key=?",
    "by_id": "(id=?)",
    "due": "ix_ledger_hold_due (tenant=? AND expires_at<?)",
    "ops": "tenant=? AND key=?",
    "budgets": "(tenant=?)",
    "windows": "tenant=? AND ends_at>?",
    "lots": "ix_ledger_grant_lot_left (tenant=?)",
    "hold_windows": "PRIMARY KEY (hold_id=?)",
    "windows_of": "budget_id=? AND starts_at=?",
    "draws": "ix_ledger_draw_hold_id (hold_id=?)",
    "lots_by_id": "(id=?)",
    "lots_of": "(id=?)",
}


def test_every_query_of_the_hot_path_uses_its_index(sqlite_url: str) -> None:
    """
    SQLite searches each table by the index that fits, and scans none.
    """
    engine: Engine = make_engine(sqlite_url)
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        statements = texts("sqlite")
        names = {one.name for one in fields(statements)} - {"insert", "update"}
        assert names == BY.keys()
        for name in names:
            query = str(getattr(statements, name))
            marks = ("[]",) * query.count("?")
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", marks)]
            assert any(BY[name] in step for step in plan), (name, plan)
            assert not any(step.startswith("SCAN ledger") for step in plan), (name, plan)
    engine.dispose()
