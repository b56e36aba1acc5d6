"""
Seals find a history that was rewritten as a whole; the past can be read back.
"""

import json
from collections.abc import Callable
from itertools import pairwise

import ledger_script
import pytest
from sqlalchemy import Connection, Engine, select, text

from ledger import Ledger, reading, tables
from ledger.chain import list_hash
from ledger.history import balance_at, lot_history, lots
from ledger.seals import SealFileError, check_export, export, make_seals, seals
from ledger.tables import APPEND_ONLY
from ledger.types import Adjust, Offer, OpenAccount, Refund, Reserve, Reverse, Settle, Sweep, TopUp
from ledger.verify import verify

DAY_US = 86_400 * 1_000_000
START_US = 20_000 * DAY_US + 5  # just after a midnight


def history(ledger: Ledger, days: int = 4) -> None:
    """Some days of one tenant: a grant that comes and ends, calls, a refund, a chargeback, debt."""
    ledger.do(OpenAccount("acme", "open", START_US, "UTC", 1_000, None))
    ledger.do(
        TopUp("acme", "g", START_US, 300, "promo", START_US + 3 * DAY_US, effective_us=START_US + DAY_US)
    )
    for day in range(days):
        now = START_US + day * DAY_US + 7
        ledger.do(Reserve("acme", f"r{day}", now, f"h{day}", (Offer(200, 100),)))
        ledger.do(Settle("acme", f"s{day}", now + 9, f"h{day}", 150))
    ledger.do(Refund("acme", "refund", START_US + days * DAY_US, "h1", 40))
    ledger.do(Reverse("acme", "back", START_US + days * DAY_US + 1, "acme-1", "bank", kind="chargeback"))
    ledger.do(Adjust("acme", "fix", START_US + days * DAY_US + 2, 2_000, "goodwill"))


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database with five days of `acme`."""
    with Ledger(engine) as ledger:
        history(ledger)
    return engine


def rewrite(connection: Connection, seq: int) -> None:
    """Change one amount and compute every later hash and balance anew, as the owner of the database could."""
    for table in APPEND_ONLY:
        if connection.dialect.name == "sqlite":
            for name in ("no_update", "no_delete", "no_replace"):
                connection.execute(text(f"DROP TRIGGER {table.name}_{name}"))
        else:
            connection.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
    transfer = tables.transfer
    connection.execute(transfer.update().where(transfer.c.seq == seq).values(op_key="forged"))
    head = ""
    for row in connection.execute(select(transfer).order_by(transfer.c.seq)).all():
        values = {"prev_hash": head, "hash": list_hash(head, *row[:13])}
        connection.execute(transfer.update().where(transfer.c.seq == row.seq).values(values))
        head = str(values["hash"])
    connection.execute(text("UPDATE ledger_account SET head_hash = :head"), {"head": head})


def test_each_day_with_transfers_is_sealed_once(filled: Engine) -> None:
    """
    Ended days get a seal each, the running one gets none, and sealing again adds nothing.
    """
    made = make_seals(filled, START_US + 4 * DAY_US)
    assert [seal.day for seal in made] == ["2024-10-04", "2024-10-05", "2024-10-06", "2024-10-07"]
    assert made[0].seq_from == 1
    assert all(one.seq_to + 1 == two.seq_from for one, two in pairwise(made))
    assert make_seals(filled, START_US + 4 * DAY_US) == ()
    assert len(make_seals(filled, START_US + 6 * DAY_US)) == 1
    with reading(filled) as connection:
        assert len(seals(connection)) == 5
        assert verify(connection).problems == ()


def test_a_quiet_tenant_is_sealed_beside_a_busy_one(engine: Engine) -> None:
    """
    What is sealed of one tenant says nothing of another: each ended day of each has its seal.
    """
    with Ledger(engine) as ledger:
        for tenant, payments in (("busy", 9), ("quiet", 1)):
            ledger.do(OpenAccount(tenant, "open", START_US, "UTC", 0, None))
            for day in range(3):
                for turn in range(payments):
                    ledger.do(TopUp(tenant, f"{day}/{turn}", START_US + day * DAY_US, 5))
    made = [seal for day in range(1, 4) for seal in make_seals(engine, START_US + day * DAY_US)]
    assert [(seal.tenant, seal.seq_to) for seal in made] == [
        ("busy", 9), ("quiet", 1), ("busy", 18), ("quiet", 2), ("busy", 27), ("quiet", 3),
    ]  # fmt: skip


def test_no_later_transfer_falls_into_a_sealed_day(filled: Engine) -> None:
    """
    A process whose clock is behind books after the seal: on the day that follows.
    """
    make_seals(filled, START_US + 6 * DAY_US)
    with Ledger(filled) as ledger:
        ledger.do(TopUp("acme", "late", START_US + 4 * DAY_US, 5))
    with reading(filled) as connection:
        newest = connection.execute(select(tables.transfer).order_by(tables.transfer.c.seq.desc())).first()
        assert newest is not None
        assert newest.at == 20_006 * DAY_US
        assert verify(connection).problems == ()


def test_a_rewritten_chain_is_found_by_an_export(filled: Engine) -> None:
    """
    All hashes are right again after the forgery; seals in the books and an export both tell, and say where.
    """
    with reading(filled) as connection:
        bare = export(connection, "2024-10-08")
    with filled.begin() as connection:
        rewrite(connection, 4)
    with reading(filled) as connection:
        assert verify(connection).problems == ()  # nothing was sealed, and the chain is whole
        (problem,) = check_export(connection, bare)
    assert "the chain was rewritten in acme-1 to acme-" in problem


def test_a_seal_narrows_the_forgery_to_its_day(filled: Engine) -> None:
    """
    The first seal that differs names the day's span of transfers.
    """
    made = make_seals(filled, START_US + 4 * DAY_US)
    with reading(filled) as connection:
        kept = export(connection, "2024-10-08")
        assert list(check_export(connection, kept)) == []
    third = made[2]
    with filled.begin() as connection:
        rewrite(connection, third.seq_to)
    with reading(filled) as connection:
        (problem,) = check_export(connection, kept)
        assert f"acme-{third.seq_from} to acme-{third.seq_to}" in problem
        found = verify(connection)
    assert found.checks["chain"]
    assert not found.checks["seals"]
    assert found.problems[0].startswith("seals: seal acme 2024-10-06")


def test_a_deleted_seal_is_found(filled: Engine) -> None:
    """
    Seals follow each other without a gap.
    """
    make_seals(filled, START_US + 4 * DAY_US)
    with filled.begin() as connection:
        rewrite(connection, 99)  # takes the triggers away and changes nothing
        connection.execute(text("DELETE FROM ledger_seal WHERE day = '2024-10-05'"))
    with reading(filled) as connection:
        assert not verify(connection).checks["seals"]


@pytest.mark.parametrize("change", ["cut", "digest", "format", "nothing", "list"])
def test_a_damaged_export_is_refused(filled: Engine, change: str) -> None:
    """
    A file that is no export, or was edited, proves nothing and is said to be so.
    """
    with reading(filled) as connection:
        kept = export(connection, "2024-10-08")
        document = json.loads(kept)
        document["heads"][0]["wallet"] = "1"
        bad = {
            "cut": kept[:-20], "digest": json.dumps(document), "nothing": "", "list": "[1]",
            "format": json.dumps({**document, "format": "x"}),
        }[change]  # fmt: skip
        with pytest.raises(SealFileError):
            list(check_export(connection, bad))


def test_the_balance_at_every_past_instant(filled: Engine) -> None:
    """
    1,000 paid; h0 holds 200 and costs 150; later 300 are granted; the chargeback leaves a debt, then +2,000.
    """
    at = {
        START_US - 1: (0, 0, 0),
        START_US: (1_000, 0, 0),
        START_US + 7: (1_000, 0, 200),
        START_US + 16: (850, 0, 0),
        START_US + DAY_US + 7: (1_150, 0, 200),
    }
    with reading(filled) as connection:
        for instant, wanted in at.items():
            found = balance_at(connection, "acme", instant)
            assert (found.credit_nanos, found.debt_nanos, found.held_nanos) == wanted
        before = balance_at(connection, "acme", START_US + 4 * DAY_US + 1)
        after = balance_at(connection, "acme", START_US + 4 * DAY_US + 2)
    assert before.debt_nanos > 0
    assert (after.debt_nanos, after.credit_nanos) == (0, before.credit_nanos + 2_000 - before.debt_nanos)


def test_each_lot_tells_its_life(engine: Engine, ledger: Ledger) -> None:
    """
    What a lot's lines add up to is what is left of it, in random histories and in one with every kind.
    """
    for op in ledger_script.run(3, 150, tenant="random").script:
        ledger.do(op)
    history(ledger)
    ledger.do(TopUp("acme", "end", START_US + 5 * DAY_US, 77, "promo", START_US + 6 * DAY_US))
    ledger.do(Sweep("acme", "s", START_US + 9 * DAY_US))
    kinds = set()
    with reading(engine) as connection:
        for tenant in ("random", "acme"):
            for lot in lots(connection, tenant):
                lines = lot_history(connection, lot)
                kinds |= {line.kind for line in lines}
                assert lines[-1].left_nanos == lot.remaining_nanos, (lot, lines)
    assert kinds >= {"topup", "schedule", "activate", "settle", "forfeit", "chargeback", "adjust", "repay"}


def test_scheduled_and_reversed_lots_verify(open_ledger: Callable[..., Ledger], engine: Engine) -> None:
    """
    The proof of the books knows the new kinds: sums by party and by lot hold after each of them.
    """
    ledger = open_ledger()
    history(ledger, days=2)
    with reading(engine) as connection:
        assert verify(connection).problems == ()
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger_grant_lot SET reversed = reversed - 1 WHERE reversed > 0"))
    with reading(engine) as connection:
        assert not verify(connection).checks["lots"]
