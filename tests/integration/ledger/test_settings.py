"""
No setting changes unseen: the journal of settings, its proof, and its place in the seals.
"""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text

from ledger import Ledger, reading, tables
from ledger.chain import list_hash
from ledger.drivers import Driver, Query, Write
from ledger.journal_reads import changes
from ledger.own_driver import connect
from ledger.seals import check_export, export, make_seals, seals
from ledger.store_sql import SqlStore
from ledger.tables import APPEND_ONLY
from ledger.types import (
    Adjust,
    Note,
    Offer,
    OpenAccount,
    Operation,
    Refund,
    Release,
    Renew,
    Reserve,
    Reverse,
    SetAccount,
    SetBudget,
    Settle,
    Sweep,
    TopUp,
)
from ledger.verify import verify

DAY_US = 86_400 * 1_000_000
START_US = 20_000 * DAY_US + 5  # just after a midnight
ORDERS: tuple[Operation, ...] = (
    OpenAccount("acme", "open", START_US, "UTC", 1_000, 500, "ann"),
    SetBudget("acme", "lower", START_US + 1, 300, actor="ben", reason="too much"),
    SetBudget("acme", "more", START_US + 2, 900, valid_until_us=START_US + DAY_US, actor="cleo",
              reason="launch"),
    SetAccount("acme", "price", START_US + 3, multiplier_ppm=1_200_000, actor="dora", reason="list"),
)  # fmt: skip


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database in which four people have set something."""
    with Ledger(engine) as ledger:
        for op in ORDERS:
            ledger.do(op)
    return engine


def unguarded(connection: Connection) -> Connection:
    """Take the triggers away, as the owner of the database could."""
    for table in APPEND_ONLY:
        if connection.dialect.name == "sqlite":
            for name in ("no_update", "no_delete", "no_replace"):
                connection.execute(text(f"DROP TRIGGER {table.name}_{name}"))
        else:
            connection.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
    return connection


def told(engine: Engine, tenant: str = "acme") -> list[tuple[str, str, str]]:
    """Return subject, actor and reason of every entry."""
    with reading(engine) as connection:
        return [(one.subject, one.actor, one.reason) for one in changes(connection, tenant)]


def problems(engine: Engine, check: str = "settings") -> list[str]:
    """Return what the proof of the books says, all of it of one check."""
    with reading(engine) as connection:
        found = verify(connection)
    assert {problem.partition(":")[0] for problem in found.problems} <= {check}, found.problems
    return [problem.partition(": ")[2] for problem in found.problems]


def test_who_lowered_this_limit_when_and_from_what_to_what(filled: Engine) -> None:
    """
    Each order leaves one entry for each thing it set, with its actor and reason, in order.
    """
    assert told(filled) == [
        ("account", "ann", ""), ("budget:tenant/day", "ann", ""), ("lot:acme-1", "ann", ""),
        ("budget:tenant/day", "ben", "too much"), ("budget:tenant/day", "cleo", "launch"),
        ("account", "dora", "list"),
    ]  # fmt: skip
    with reading(filled) as connection:
        lowered = changes(connection, "acme", START_US + 1, START_US + 2)
    (one,) = lowered
    assert one.before is not None
    assert (one.before["limit_amt"], one.after["limit_amt"], one.at_us) == (500, 300, START_US + 1)


def test_every_way_to_set_something_is_told(engine: Engine) -> None:
    """
    Grants, scheduled grants, corrections, freezes by chargeback and new zones of all budgets are in the
    journal; refunds and refused orders are not.
    """
    orders: list[tuple[Operation, list[str]]] = [
        (OpenAccount("acme", "o", START_US, "UTC", 0, None), ["account", "budget:tenant/day"]),
        (TopUp("acme", "t", START_US, 500), ["lot:acme-1"]),
        (TopUp("acme", "t", START_US, 500), []),
        (TopUp("acme", "s", START_US, 70, "promo", effective_us=START_US + DAY_US), ["lot:acme-2"]),
        (SetBudget("acme", "b", START_US, 90, "key:a", "hour"), ["budget:key:a/hour"]),
        (SetBudget("acme", "w", START_US, -1, "key:a", "hour"), []),
        (SetAccount("acme", "z", START_US, timezone="Asia/Tokyo"),
         ["budget:key:a/hour", "budget:tenant/day", "account"]),
        (Adjust("acme", "a", START_US, 5, "gift"), ["lot:acme-3"]),
        (Adjust("acme", "m", START_US, -5, "mistake"), []),
        (Reserve("acme", "r", START_US, "h", (Offer(50, 50),)), []),
        (Settle("acme", "e", START_US, "h", 40), []),
        (Refund("acme", "f", START_US, "h"), []),
        (Reverse("acme", "k", START_US, "acme-2", "mistake"), []),
        (Reverse("acme", "c", START_US, "acme-1", "bank", kind="chargeback", freeze=True), ["account"]),
    ]  # fmt: skip
    with Ledger(engine) as ledger:
        for op, subjects in orders:
            before = len(told(engine))
            ledger.do(op)
            assert [one[0] for one in told(engine)[before:]] == subjects, op
    assert problems(engine) == []


class Counting:
    """A driver that notes what is asked of the one inside."""

    def __init__(self, inner: Driver) -> None:
        self.inner = inner
        self.asked: list[str] = []
        self.written: list[Write] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def begin_and_select(self, queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
        """Note the statements."""
        self.asked += [query[0] for query in queries]
        return self.inner.begin_and_select(queries)

    def commit(self, writes: Sequence[Write]) -> None:
        """Note the statements."""
        self.written += writes
        self.inner.commit(writes)


def test_calls_ask_nothing_of_the_journal(filled: Engine) -> None:
    """
    The end of the journal is loaded for orders, and a batch of calls costs not one statement more.
    """
    driver, store = Counting(connect(filled)), SqlStore(filled)
    head = ("acme", "k", START_US + 9)
    calls: list[Operation] = [
        Reserve(*head, "h", (Offer(1, 1),)), Settle(*head, "h", 1), Release(*head, "h"), Renew(*head, "h", 5),
        Sweep(*head), Note(*head), Refund(*head, "h"),
    ]  # fmt: skip
    books = store.load(driver, calls)
    assert not any("ledger_setting" in text for text in driver.asked)
    assert books["acme"].settings_n == 0
    assert store.commit(driver, list(books.values()), ())
    assert not any("ledger_setting" in write.bulk.text for write in driver.written)
    driver.asked.clear()
    books = store.load(driver, [*calls, SetBudget(*head, 5)])
    assert sum("ledger_setting" in text for text in driver.asked) == 1
    assert books["acme"].settings_n == 6
    driver.recover()
    driver.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE ledger_budget SET limit_amt = 301", "setting acme#5 set it to 300"),
        ("UPDATE ledger_account SET multiplier_ppm = 1", "setting acme#6 set it to 1200000"),
        ("UPDATE ledger_grant_lot SET priority = 5", "setting acme#3 set it to 0"),
        ("UPDATE ledger_setting SET actor = 'eve' WHERE n = 4", "setting acme#4 does not match its hash"),
        ("UPDATE ledger_setting SET value = '{}' WHERE n = 6", "setting acme#6 does not match its hash"),
        ("UPDATE ledger_setting SET at = 1 WHERE n = 6", "setting acme#6 does not match its hash"),
        ("DELETE FROM ledger_setting WHERE n = 4", "setting acme#5 follows 3"),
        ("DELETE FROM ledger_setting WHERE n = 6", "account of acme has multiplier_ppm 1200000"),
        ("DELETE FROM ledger_setting", "no entry tells who set account"),
        ("DELETE FROM ledger_budget", "is about budget:tenant/day, which is not there"),
        ("UPDATE ledger_op SET actor = 'eve' WHERE key = 'lower'", "order 'lower' of acme does not stand"),
        ("UPDATE ledger_op SET reason = '' WHERE key = 'price'", "order 'price' of acme does not stand"),
    ],
)
def test_what_was_changed_by_hand_is_named(filled: Engine, change: str, said: str) -> None:
    """
    A changed setting, entry or order is found, and the first problem names it.
    """
    with filled.begin() as connection:
        unguarded(connection).execute(text(change))
    assert said in problems(filled)[0]


@pytest.mark.parametrize("change", ["overage = 1", "multiplier_ppm = 1000000, amount = 40, expected = 40"])
def test_a_hold_keeps_the_price_and_the_rule_of_its_time(filled: Engine, change: str) -> None:
    """
    What a hold may cost whom is what its account said when it was opened, also where the account says
    otherwise by now; another price or rule is found, even where the amount was changed to fit.
    """
    with Ledger(filled) as ledger:
        ledger.do(Reserve("acme", "r", START_US + 4, "h", (Offer(40, 40),)))
        ledger.do(SetAccount("acme", "new", START_US + 5, multiplier_ppm=1_000_000, overage="absorb"))
        ledger.do(Release("acme", "e", START_US + 6, "h"))
    assert problems(filled) == []
    with filled.begin() as connection:
        connection.execute(text(f"UPDATE ledger_hold SET {change}"))
        same = "(SELECT amount FROM ledger_hold)"
        connection.execute(text(f"UPDATE ledger_hold_window SET amount = {same}, expected = {same}"))
    assert "which its account did not have" in problems(filled)[0]


def test_an_order_that_was_undone_without_a_trace_left_its_key(filled: Engine) -> None:
    """
    The last entry is taken away and the price put back: the order's own row tells of it.
    """
    with filled.begin() as connection:
        unguarded(connection).execute(text("DELETE FROM ledger_setting WHERE n = 6"))
        connection.execute(text("UPDATE ledger_account SET multiplier_ppm = 1000000"))
    assert problems(filled) == ["order 'price' of acme does not stand among the settings as it was given"]


def test_the_journal_is_append_only(filled: Engine) -> None:
    """
    The database itself refuses to change an entry or to take it away.
    """
    for change in ("UPDATE ledger_setting SET reason = ''", "DELETE FROM ledger_setting"):
        with pytest.raises(Exception, match="append-only"), filled.begin() as connection:
            connection.execute(text(change))


def rewrite(connection: Connection, n: int, actor: str) -> None:
    """Blame an entry on somebody else, and compute every later hash anew."""
    setting = tables.setting
    unguarded(connection).execute(setting.update().where(setting.c.n == n).values(actor=actor))
    connection.execute(text("UPDATE ledger_op SET actor = :actor WHERE key = 'lower'"), {"actor": actor})
    head = ""
    for row in connection.execute(select(setting).order_by(setting.c.n)).all():
        values = {"prev_hash": head, "hash": list_hash(head, *row[:8])}
        connection.execute(setting.update().where(setting.c.n == row.n).values(values))
        head = values["hash"]


def test_a_recomputed_journal_is_found_by_an_export(filled: Engine) -> None:
    """
    All hashes fit again after the forgery; the seal in the books and the kept file both say where it lies.
    """
    with reading(filled) as connection:
        bare = export(connection, "2024-10-04")
    make_seals(filled, START_US + DAY_US)
    with reading(filled) as connection:
        kept = export(connection, "2024-10-05")
        assert list(check_export(connection, kept)) == []
    with filled.begin() as connection:
        rewrite(connection, 4, "eve")
    (problem,) = problems(filled, "seals")
    assert "the settings were rewritten in acme#1 to #6" in problem
    for file in (bare, kept):
        with reading(filled) as connection:
            (problem,) = check_export(connection, file)
        assert "the settings were rewritten in acme#1 to #6" in problem


def test_entries_cut_from_the_end_are_found_by_an_export(filled: Engine) -> None:
    """
    Entry, row and order taken back together leave no trace in the books, and are missed by the file.
    """
    with reading(filled) as connection:
        kept = export(connection, "2024-10-04")
    with filled.begin() as connection:
        unguarded(connection).execute(text("DELETE FROM ledger_setting WHERE n = 6"))
        connection.execute(text("UPDATE ledger_account SET multiplier_ppm = 1000000"))
        connection.execute(text("DELETE FROM ledger_op WHERE key = 'price'"))
    assert problems(filled) == []
    with reading(filled) as connection:
        (problem,) = check_export(connection, kept)
    assert problem == "setting acme#6, exported at 2024-10-04, is gone"


def test_a_day_of_settings_alone_is_sealed(filled: Engine) -> None:
    """
    Days on which nothing moved but something was set have a seal, also of a tenant that never had credit;
    other days have none.
    """
    with Ledger(filled) as ledger:
        ledger.do(SetAccount("acme", "stop", START_US + 3 * DAY_US, frozen=True, actor="ann"))
        ledger.do(OpenAccount("poor", "open", START_US + DAY_US, "UTC", 0, None))
        ledger.do(TopUp("acme", "pay", START_US + 6 * DAY_US, 5))
    made = make_seals(filled, START_US + 8 * DAY_US)
    assert [(one.tenant, one.day, one.seq_from, one.seq_to, one.settings_n) for one in made] == [
        ("acme", "2024-10-04", 1, 1, 6), ("acme", "2024-10-07", 2, 1, 7), ("acme", "2024-10-10", 2, 2, 8),
        ("poor", "2024-10-05", 1, 0, 2),
    ]  # fmt: skip
    assert make_seals(filled, START_US + 8 * DAY_US) == ()
    assert problems(filled) == []
    with Ledger(filled) as ledger:
        ledger.do(SetAccount("poor", "late", START_US + DAY_US, frozen=True))
    with reading(filled) as connection:
        assert changes(connection, "poor")[-1].at_us == 20_008 * DAY_US, "no entry falls into a sealed day"
        assert list(check_export(connection, export(connection, "now"))) == []
    assert make_seals(filled, START_US + 9 * DAY_US)[0].seq_to == 0
    assert problems(filled) == []


def test_seals_and_files_from_before_the_journal_hold(filled: Engine) -> None:
    """
    A seal without settings keeps its old hash, an old file says nothing of settings, and the next seal begins
    with the first entry.
    """
    with filled.begin() as connection:  # as an earlier version has left them
        unguarded(connection)
        entries = connection.execute(select(tables.setting)).all()
        connection.execute(tables.setting.delete())
    make_seals(filled, START_US + DAY_US)
    with reading(filled) as connection:
        (old,) = seals(connection)
        assert (old.settings_n, old.hash) == (0, list_hash(*[getattr(old, name) for name in OLD_VALUES]))
        document = json.loads(export(connection, "2024-10-05"))
    with filled.begin() as connection:  # as the migration writes them
        head = ""
        for row in entries:
            body = (*row[:4], "", "migration", "", 20_001 * DAY_US)
            values = (*body, head, list_hash(head, *body))
            head = values[-1]
            connection.execute(tables.setting.insert().values(values))
    with Ledger(filled) as ledger:
        ledger.do(SetAccount("acme", "stop", START_US + 3 * DAY_US, frozen=True))
    first, second = make_seals(filled, START_US + 5 * DAY_US)
    assert (first.prev_hash, first.seq_to, first.settings_n, second.settings_n) == (old.hash, 1, 6, 7)
    assert problems(filled) == []
    for row in (*document["seals"], *document["heads"]):
        del row["settings_n"], row["settings_hash"]
    del document["digest"]
    from ledger.seals import _digest

    with reading(filled) as connection:
        assert list(check_export(connection, json.dumps({**document, "digest": _digest(document)}))) == []


OLD_VALUES = (
    "tenant", "day", "seq_from", "seq_to", "head_hash", "wallet", "debt", "at", "prev_hash",
)  # fmt: skip
