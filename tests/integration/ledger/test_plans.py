"""
No statement of the hot path reads more as history grows: each finds its rows by an index made for it.
"""

from dataclasses import fields

from sqlalchemy import Engine

from ledger import Ledger, make_engine, tables
from ledger.driver_postgres import PostgresDriver
from ledger.statements import texts
from ledger.types import Offer, OpenAccount, Reserve

BY = {
    "lock": "ledger_account",
    "by_key": "tenant=? AND op_key=?",
    "by_id": "(id=?)",
    "unused_key": "tenant=? AND op_key=?",
    "unanswered_key": "tenant=? AND key=?",
    "unmade": "(id=?)",
    "due": "ix_ledger_hold_due (tenant=? AND expires_at<?)",
    "due_next": "ix_ledger_hold_due (tenant=? AND expires_at>?)",
    "ops": "tenant=? AND key=?",
    "many": "SEARCH ledger_budget USING COVERING INDEX sqlite_autoindex_ledger_budget_2 (tenant=?)",
    "budgets": "SEARCH t USING INDEX sqlite_autoindex_ledger_budget_2 (tenant=?)",
    "budgets_by_id": "(id=?)",
    "windows_last": "PRIMARY KEY (budget_id=? AND starts_at>?)",
    "windows": "ix_ledger_budget_window_tenant (tenant=? AND ends_at>?)",
    "lots": "ix_ledger_grant_lot_left (tenant=?)",
    "hold_windows": "PRIMARY KEY (hold_id=?)",
    "windows_of": "budget_id=? AND starts_at=?",
    "draws": "ix_ledger_draw_hold_id (hold_id=?)",
    "lots_by_id": "(id=?)",
    "settings": "tenant=? AND n=?",
    "lots_of": "(id=?)",
}
OF_NO_TABLE = {"unchanged"}
"""On SQLite the version is that of the file."""
BULKS = {"insert", "update", "update_often", "update_confirmed"}


def test_every_query_of_the_hot_path_uses_its_index(sqlite_url: str) -> None:
    """
    SQLite searches each table by the index that fits, and scans none.
    """
    engine: Engine = make_engine(sqlite_url)
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        statements = texts("sqlite")
        names = {one.name for one in fields(statements)} - BULKS
        assert names == BY.keys() | OF_NO_TABLE
        for name in BY:
            query = str(getattr(statements, name))
            marks = ("[]",) * query.count("?")
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", marks)]
            assert any(BY[name] in step for step in plan), (name, plan)
            assert not any(step.startswith("SCAN ledger") for step in plan), (name, plan)
    engine.dispose()


NO_SCAN = ("Seq Scan on ledger", "Hash Join", "Merge Join")


def test_the_writer_on_postgresql_scans_no_table_whatever_the_statistics(postgres_url: str) -> None:
    """
    Plans made for tables that were never analysed take the index that finds a row by its whole key.
    """
    engine = make_engine(postgres_url)
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
    with Ledger(engine) as ledger:
        ledger.do(OpenAccount("t", "open", 1, "UTC", 10**12, None))
        ops = [Reserve("t", f"k{n}", 1, f"h{n}", (Offer(5, 5, "{}"),)) for n in range(2_000)]
        for future in [ledger.submit(op) for op in ops]:
            future.result(60)
    driver = PostgresDriver(engine)
    many = "{" + ",".join(f"h{n}" for n in range(256)) + "}"
    statements = texts("postgresql")
    for name in (*BY, *OF_NO_TABLE):
        query = str(getattr(statements, name))
        marks = [{"::tex": many, "::xid": "{1,2}"}.get(cast, 1) for cast in casts(query)]
        plan = "\n".join(row[0] for row in driver.select([(f"EXPLAIN {query}", tuple(marks))])[0])
        assert not any(bad in plan for bad in NO_SCAN), (name, plan)
        if name == "lock":
            assert 'Sort Key: tenant COLLATE "C"' in plan, "locks would wait for each other in a circle"
        if name in ("by_key", "ops", "unused_key", "unanswered_key"):
            assert "Index Cond: ((ROW(" in plan, plan
            assert "Sort" not in plan, plan
    driver.close()
    engine.dispose()


def casts(query: str) -> list[str]:
    """Return what follows each of the marks of a statement: the beginning of its cast, if there is one."""
    return [rest[:5] for rest in query.split("%s")[1:]]
