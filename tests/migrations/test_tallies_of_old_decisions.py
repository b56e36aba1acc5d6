"""
Decisions from before the roll-up are counted as those that come after it, reasons included.
"""

import dashboard_books as books
import pytest
from dashboard_books import NOON
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from ledger import make_engine, reading
from outlay import schema
from outlay.admin.books import verify
from outlay.tables import decision, tally

NEW = ("codes", "spared_nanos")


def counted(connection: Connection) -> list[tuple[object, ...]]:
    """All of the roll-up, in order."""
    return [tuple(row) for row in connection.execute(select(tally).order_by(*tally.primary_key.columns))]


def test_the_log_is_counted_as_it_would_have_been(database_url: str, tmp_path: object) -> None:
    """
    A day of calls, written before the revision, has the same roll-up after it; the guard of the log is back.
    """
    source = books.open_books(f"sqlite:///{tmp_path}/source.db")
    books.a_day(source, NOON, calls=60)
    for reason in ("switch_suppressed_cache", "degraded"):
        books.play(source, books.Call("acme", NOON, served="small", reason=reason, offer_reason="paced"))
    with source.reading() as connection:
        rows = [dict(row._mapping) for row in connection.execute(select(decision))]
        wanted = counted(connection)
    source.close()
    assert {"degraded paced task_route", "paced switch_suppressed_cache task_route"} <= {
        row["codes"] for row in rows
    }
    engine = make_engine(database_url)
    schema.upgrade(engine, "0006")
    old = [{name: value for name, value in row.items() if name not in NEW} for row in rows]
    columns = [column for column in decision.c if column.name not in NEW]
    with engine.begin() as connection:
        connection.execute(insert(decision).values({column.name: None for column in columns}), old)
    schema.upgrade(engine)
    with reading(engine) as connection:
        assert counted(connection) == wanted
        kept = {row.id: row.codes for row in connection.execute(select(decision))}
        assert kept == {row["id"]: row["codes"] for row in rows}
    for change in ("UPDATE outlay_decision SET codes = ''", "DELETE FROM outlay_decision"):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(change))
    engine.dispose()
    app = books.open_books(database_url)
    assert verify(app)["checks"]["tallies"]
    app.close()
