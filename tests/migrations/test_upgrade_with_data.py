"""
A database of every earlier revision, with rows in it, comes to the newest one and proves itself.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from ledger import Ledger, make_engine, reading
from ledger.chain import list_hash
from ledger.journal_reads import changes
from ledger.seals import make_seals, seals
from ledger.types import Offer, OpenAccount, Reserve, Reverse, Reversed, SetBudget, Settle, TopUp
from ledger.verify import verify
from outlay import schema

NOW = 1_763_700_000 * 1_000_000
DAY_US = 86_400 * 1_000_000
EARLIER = schema.revisions()[: schema.revisions().index("0006")]  # since then the journal tells of each row
LOT = (
    "INSERT INTO ledger_grant_lot (id, tenant, kind, priority, granted, remaining, effective_at, expires_at,"
    " source_ref, created_at) VALUES (:id, :tenant, :kind, :priority, :granted, :remaining, :effective_at,"
    " :expires_at, :source_ref, :created_at)"
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    made = make_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def rows(tmp_path: Any) -> dict[str, list[dict[str, Any]]]:
    """Rows of some calls, made by the ledger of today; the first revision has all columns they need."""
    source = make_engine(f"sqlite:///{tmp_path / 'source.db'}")
    schema.upgrade(source)
    with Ledger(source) as ledger:
        ledger.do(OpenAccount("acme", "open", NOW - 9, "Europe/Berlin", 1_000, 900))
        ledger.do(TopUp("acme", "short", NOW - 9, 40, "promo", NOW))
        ledger.do(TopUp("acme", "more", NOW, 500, "promo", NOW + 10**15))
        for turn in range(3):
            ledger.do(Reserve("acme", f"r{turn}", NOW, f"h{turn}", (Offer(100, 10),)))
            ledger.do(Settle("acme", f"s{turn}", NOW, f"h{turn}", 60))
    words = "account budget budget_window hold hold_window transfer draw op grant_lot"
    with source.connect() as connection:
        found = {
            f"ledger_{name}": [
                dict(row) for row in connection.execute(text(f"SELECT * FROM ledger_{name}")).mappings()
            ]
            for name in words.split()
        }
    source.dispose()
    return found


def fill(engine: Engine, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Write rows with the columns that the first revision has."""
    with engine.begin() as connection:
        for name, values in rows.items():
            columns = list(values[0])
            marks = ", ".join(f":{column}" for column in columns)
            insert = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})"
            connection.execute(text(LOT if name == "ledger_grant_lot" else insert), values)


@pytest.mark.parametrize("revision", EARLIER)
def test_rows_of_an_earlier_revision_go_on(
    engine: Engine, rows: dict[str, list[dict[str, Any]]], revision: str
) -> None:
    """
    Every row is there after the upgrade, the chain is whole, an old lot can be charged back, one that expired
    unused leaves no debt then, and history is append-only still.
    """
    schema.upgrade(engine, revision)
    assert schema.current(engine) == revision
    fill(engine, rows)
    assert schema.upgrade(engine) == revision
    with reading(engine) as connection:
        found = verify(connection)
        assert (found.problems, found.transfers) == ((), 7)
        told = [(one.subject, one.actor) for one in changes(connection, "acme")]
        subjects = "account", "budget:tenant/day", "lot:acme-1", "lot:acme-2", "lot:acme-4"
        assert told == [(subject, "migration") for subject in subjects]
    with Ledger(engine) as ledger:
        assert ledger.do(TopUp("acme", "more", NOW, 500, "promo", NOW + 10**15)).replayed  # type: ignore[union-attr]
        back = ledger.do(Reverse("acme", "back", NOW, "acme-1", "bank", kind="chargeback"))
        assert isinstance(back, Reversed)
        expired = ledger.do(Reverse("acme", "by mistake", NOW, "acme-2", "mistake"))
        assert isinstance(expired, Reversed)
        assert (expired.forfeited_nanos, expired.debt_nanos) == (40, 0)
    with reading(engine) as connection:
        assert verify(connection).problems == ()
    with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
        connection.execute(text("UPDATE ledger_transfer SET amount = 1"))


def test_seals_from_before_the_journal_go_on(engine: Engine, rows: dict[str, list[dict[str, Any]]]) -> None:
    """
    A seal made before the revision keeps its hash, the next one continues it and names the journal; going
    back keeps the old one and drops those that nobody could prove any more.
    """
    schema.upgrade(engine, "0005")
    fill(engine, rows)
    with engine.begin() as connection:
        last = connection.execute(text("SELECT * FROM ledger_transfer ORDER BY seq DESC LIMIT 1")).one()
        old = ("acme", "2025-11-21", 1, last.seq, last.hash, last.wallet_after, 0, last.at, "")
        marks = ", ".join(f":{place}" for place in "abcdefghij")
        values = dict(zip("abcdefghij", (*old, list_hash(*old)), strict=True))
        connection.execute(text(f"INSERT INTO ledger_seal VALUES ({marks})"), values)
        midnight = {"at": NOW - NOW % DAY_US + DAY_US}
        connection.execute(text("UPDATE ledger_account SET last_at = :at"), midnight)
    schema.upgrade(engine)
    with Ledger(engine) as ledger:
        ledger.do(SetBudget("acme", "lower", NOW + DAY_US, 5, actor="ann"))
    (made,) = make_seals(engine, NOW + 3 * DAY_US)
    assert (made.seq_from, made.seq_to, made.settings_n) == (last.seq + 1, last.seq, 6)
    assert made.prev_hash == list_hash(*old)
    with reading(engine) as connection:
        assert verify(connection).problems == ()
        assert len(seals(connection)) == 2
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(schema.migrations()))
        config.attributes["connection"] = connection
        command.downgrade(config, "0005")
        kept = connection.execute(text("SELECT * FROM ledger_seal")).all()
    assert [tuple(row) for row in kept] == [(*old, list_hash(*old))]
    schema.upgrade(engine)
    with reading(engine) as connection:
        assert verify(connection).problems == ()
