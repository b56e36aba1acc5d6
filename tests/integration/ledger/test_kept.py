"""
What the writer keeps between batches is what the database has, whoever else writes to it.
"""

import random
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import ledger_world
import psycopg
import pytest
from sqlalchemy import Engine, text

from ledger import Ledger, reading
from ledger import kept as kept_rows
from ledger.books import Books
from ledger.driver_postgres import PostgresDriver
from ledger.driver_sqlite import SqliteDriver
from ledger.drivers import Driver
from ledger.errors import OperationFailed, StoreUnavailable
from ledger.kept import Lent
from ledger.own_driver import connect
from ledger.rows import Budget, Hold, HoldWindow, Lot, Window, columns
from ledger.seals import make_seals
from ledger.statements import ROWS, texts
from ledger.store_memory import MemoryLedger
from ledger.store_sql import SqlStore
from ledger.types import (
    Held,
    Offer,
    OpenAccount,
    Operation,
    Reason,
    Refused,
    Renew,
    Reserve,
    SetBudget,
    Settle,
    Settled,
    Sweep,
    TopUp,
)
from ledger.verify import verify
from ledger.writer import Committer, Item

NOW_US = 1_763_700_000 * 1_000_000
TENANTS = ("acme", "bolt")


def values(rows: Iterable[Any]) -> set[tuple[Any, ...]]:
    """Return rows as the database would."""
    return {tuple(getattr(row, name) for name in columns(type(row))) for row in rows}


def compare(driver: Driver, books: Books) -> None:
    """Compare what a batch works on with the database: all of it is true, and nothing is missing."""
    mark = "?" if isinstance(driver, SqliteDriver) else "%s"

    def stored(row_type: type, column: str, name: str) -> set[tuple[Any, ...]]:
        query = f"SELECT {', '.join(columns(row_type))} FROM {ROWS[row_type].name} WHERE {column} = {mark}"
        return {tuple(row) for row in driver.select([(query, (name,))])[0]}

    assert books.account is not None
    budgets = {row for row in stored(Budget, "tenant", books.tenant) if books.knows(Budget(*row).scope)}
    assert values(books.budgets.values()) == budgets
    known = {Budget(*row).id for row in budgets}
    windows = stored(Window, "tenant", books.tenant)
    lasting = {row for row in windows if Window(*row).ends_at > books.account.last_at}
    running = {row for row in lasting if Window(*row).budget_id in known}
    loaded = [one for known in books.windows.values() for one in known.values()]
    assert running <= values(loaded) <= windows
    assert all(one.ends_at >= books.windows_due_us for one in loaded)
    lots = stored(Lot, "tenant", books.tenant)
    assert {row for row in lots if Lot(*row).remaining > 0} <= values(books.lots.values()) <= lots
    for hold in books.holds.values():
        assert values([hold]) == stored(Hold, "id", hold.id)
        assert hold.was == hold.state
        assert values(books.hold_windows[hold.id]) == stored(HoldWindow, "hold_id", hold.id)
        assert len(books.hold_windows[hold.id]) == len(values(books.hold_windows[hold.id]))


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    Compares at every load, and lets no batch fail; lists the tenants whose rows were not read again. What is
    decided on before the lock may be old: then nothing of it must be written.
    """
    seen: list[str] = []
    load, write = SqlStore.load, SqlStore.commit
    old: set[str] = set()

    def failed(_: object, error: Exception) -> None:
        raise error  # the next attempt would read everything, and hide what was kept wrongly

    monkeypatch.setattr(Committer, "_leave", failed)

    def compared(self: SqlStore, driver: Driver, ops: Sequence[Operation]) -> dict[str, Books]:
        books = load(self, driver, ops)
        old.clear()
        if self._assumed:
            old.update(tenant for tenant, one in self._lent.items() if not confirmed(self, driver, one))
        for tenant in self._lent.keys() - old:
            seen.append(tenant)
            compare(driver, books[tenant])
        return books

    def believed(self: SqlStore, driver: Driver, books: Iterable[Books], attached: Any) -> bool:
        done = write(self, driver, books, attached)
        assert not (done and old), "written although it was decided on old rows"
        return done

    monkeypatch.setattr(SqlStore, "load", compared)
    monkeypatch.setattr(SqlStore, "commit", believed)
    return seen


def confirmed(store: SqlStore, driver: Driver, lent: Lent) -> bool:
    """Tell whether nobody else has written to a tenant since."""
    pairs = driver.pairs([(lent.books.tenant, str(lent.version))])
    try:
        return bool(driver.select([(store._texts.unchanged, pairs)])[0][0][0])
    except psycopg.errors.DivisionByZero:
        return False


@pytest.fixture
def selects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lists the texts of all queries."""
    texts: list[str] = []
    for kind in (SqliteDriver, PostgresDriver):
        for name in ("begin_and_select", "select"):
            ask = getattr(kind, name)

            def listed(self: Any, queries: Any, ask: Any = ask) -> Any:
                texts.extend(text for text, _ in queries)
                return ask(self, queries)

            monkeypatch.setattr(kind, name, listed)
    send = PostgresDriver.transact  # that of SQLite asks as above

    def noted(self: PostgresDriver, first: Any, tests: Any, rest: Any) -> Any:
        texts.extend(text for text, _ in tests)
        return send(self, first, tests, rest)

    monkeypatch.setattr(PostgresDriver, "transact", noted)
    return texts


def reserve(name: str, cost: int = 10) -> Reserve:
    """Ask for a hold."""
    return Reserve("acme", f"hold:{name}", NOW_US, name, (Offer(cost, cost),))


def opened(ledger: Ledger) -> None:
    """Open the tenant with 1,000 of credit and 600 a day."""
    ledger.do(OpenAccount("acme", "open", NOW_US, "UTC", 1_000, 600))


@pytest.mark.parametrize("whole_max", [kept_rows.WHOLE_MAX, 2, 0])
@pytest.mark.parametrize("seed", range(3))
def test_kept_rows_are_those_of_the_database(
    engine: Engine,
    open_ledger: Callable[..., Ledger],
    lent: list[str],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    whole_max: int,
) -> None:
    """
    Two writers in turn, and days that are sealed: every batch works on what is true, also where only the
    budgets of named scopes are kept, at once or from the third budget on.
    """
    monkeypatch.setattr(kept_rows, "WHOLE_MAX", whole_max)
    rng, model = random.Random(seed), MemoryLedger()
    writers = (open_ledger(), open_ledger())
    one = writers[0]
    for op in ledger_world.run(seed, 200, TENANTS).script:
        one = rng.choice(writers) if rng.random() < 0.2 else one
        assert one.do(op) == model.do(op)
        if rng.random() < 0.05:
            make_seals(engine, op.now_us)
    assert len(lent) > 60, "hardly anything was kept, so hardly anything was proved"
    with reading(engine) as connection:
        assert verify(connection).problems == ()


def test_what_nobody_else_changed_is_not_read_again(
    ledger: Ledger, open_ledger: Callable[..., Ledger], selects: list[str]
) -> None:
    """
    A settlement reads neither lots nor budgets nor its hold; after another writer it reads all.
    """
    opened(ledger)
    ledger.do(reserve("a"))
    selects.clear()
    assert isinstance(ledger.do(Settle("acme", "settle:a", NOW_US, "a", 5)), Settled)
    assert not any("ledger_" in text for text in selects)
    open_ledger().do(TopUp("acme", "more", NOW_US, 7))
    selects.clear()
    held = ledger.do(reserve("b"))
    assert isinstance(held, Held)
    assert held.gauges[0].limit_nanos == 1_000 - 5 + 7
    assert any("ledger_grant_lot" in text for text in selects)


def test_an_order_of_another_writer_counts_at_once(open_ledger: Callable[..., Ledger]) -> None:
    """
    A budget lowered, a hold settled or renewed by another process: the very next operation sees it.
    """
    one, other = open_ledger(), open_ledger()
    opened(one)
    one.do(reserve("a", 100))
    other.do(SetBudget("acme", "lower", NOW_US, 150))
    refused = one.do(reserve("b", 100))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BUDGET_BUSY
    other.do(Settle("acme", "settle:a", NOW_US, "a", 100))
    refused = one.do(reserve("c", 100))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BUDGET_EXHAUSTED
    one.do(reserve("d", 10))
    other.do(Renew("acme", "renew", NOW_US, "d", 900_000_000_000))
    one.do(Sweep("acme", "sweep", NOW_US + 800_000_000_000))
    assert isinstance(one.do(Settle("acme", "settle:d", NOW_US, "d", 10)), Settled)
    assert one.do(Settle("acme", "settle:d", NOW_US, "d", 10)).late is False  # type: ignore[union-attr]


@pytest.fixture
def guesses(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each batch that was decided before the lock, whether it was written."""
    seen: list[bool] = []
    commit = SqlStore._commit_confirmed

    def noted(self: SqlStore, *given: Any) -> None:
        seen.append(False)
        commit(self, *given)
        seen[-1] = True

    monkeypatch.setattr(SqlStore, "_commit_confirmed", noted)
    return seen


def test_a_used_key_costs_its_own_batch_alone(ledger: Ledger, guesses: list[bool]) -> None:
    """
    A caller that repeats its key makes nobody behind it lock first.
    """
    opened(ledger)
    ledger.do(Reserve("acme", "mine", NOW_US, "a", (Offer(10, 10),)))
    for n in range(3):
        guesses.clear()
        again = ledger.do(Reserve("acme", "mine", NOW_US, "a", (Offer(10, 10),)))
        assert isinstance(again, Held)
        assert again.replayed
        ledger.do(reserve(f"first-{n}"))
        for m in range(8):
            ledger.do(reserve(f"{n}-{m}"))
        assert guesses[0] is False
        assert all(guesses[1:])
        assert len(guesses) >= 8


def test_two_writers_of_one_tenant_guess_ever_less(
    open_ledger: Callable[..., Ledger], guesses: list[bool]
) -> None:
    """
    A guess that was wrong is made good under the lock at once; one that is nearly always wrong is soon not
    tried any more, and once it is right again, it is tried again.
    """
    one, other = open_ledger(), open_ledger()
    opened(one)
    one.do(reserve("a"))
    other.do(TopUp("acme", "more", NOW_US, 5))
    guesses.clear()
    assert isinstance(one.do(reserve("b")), Held)
    assert isinstance(one.do(reserve("c")), Held)
    assert guesses == [False, True]
    for n in range(50):
        one.do(reserve(f"one-{n}", 1))
        other.do(reserve(f"other-{n}", 1))
    assert 5 <= guesses.count(False) <= 14
    for n in range(200):
        one.do(Renew("acme", f"renew-{n}", NOW_US, "one-0", 900_000_000))
    assert all(guesses[-100:])


def test_a_batch_that_failed_leaves_nothing_behind(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What the rules changed in memory for a transaction that did not come to pass is forgotten.
    """
    opened(ledger)
    ledger.do(reserve("a", 100))
    with monkeypatch.context() as patch:
        for kind in (SqliteDriver, PostgresDriver):
            patch.setattr(kind, "commit", _full_disk)
            patch.setattr(kind, "transact", _full_disk)
        with pytest.raises(StoreUnavailable):
            ledger.do(Settle("acme", "settle:a", NOW_US, "a", 100))
        with pytest.raises(StoreUnavailable):
            ledger.do(reserve("lost", 500))
    held = ledger.do(reserve("b", 500))
    assert isinstance(held, Held)
    assert (held.gauges[1].spent_nanos, held.gauges[1].held_nanos) == (0, 600)


def test_a_lost_connection_empties_all(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, selects: list[str]
) -> None:
    """
    A database that comes back may be another one: not even an untouched tenant is believed to be as it was.
    """
    opened(ledger)
    ledger.do(OpenAccount("bolt", "open", NOW_US, "UTC", 1_000, 600))
    ledger.do(TopUp("bolt", "more", NOW_US, 5))
    with monkeypatch.context() as patch:
        for kind in (SqliteDriver, PostgresDriver):
            patch.setattr(kind, "commit", _full_disk)
            patch.setattr(kind, "transact", _full_disk)
        with pytest.raises(StoreUnavailable):
            ledger.do(reserve("a"))
    selects.clear()
    ledger.do(Reserve("bolt", "hold:b", NOW_US, "b", (Offer(10, 10),)))
    assert any("ledger_grant_lot" in text for text in selects)


def test_what_cannot_be_kept_is_answered_all_the_same(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After COMMIT nothing may turn an answer into "not written".
    """
    opened(ledger)

    def fails(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "keep", fails)
        held = ledger.do(reserve("a", 100))
    assert isinstance(held, Held)
    assert not held.replayed
    settled = ledger.do(Settle("acme", "settle:a", NOW_US, "a", 100))
    assert isinstance(settled, Settled)
    assert not settled.replayed


def test_windows_kept_from_a_refusal_serve_an_earlier_instant(
    open_ledger: Callable[..., Ledger], lent: list[str]
) -> None:
    """
    A call refused just after midnight moves no clock: one of just before still finds the window of its day.
    """
    midnight = NOW_US - NOW_US % 86_400_000_000 + 86_400_000_000
    first = open_ledger()
    opened(first)
    first.do(replace(reserve("a", 100), now_us=midnight - 2_000_000))
    second = open_ledger()
    refused = second.do(replace(reserve("b", 5_000), now_us=midnight + 5))
    assert isinstance(refused, Refused)
    held = second.do(replace(reserve("c", 100), now_us=midnight - 5))
    assert isinstance(held, Held)
    assert held.gauges[1].held_nanos == 200
    assert lent == ["acme"]


@pytest.mark.parametrize("made", [True, False])
def test_windows_that_have_ended_are_left(
    ledger: Ledger, open_ledger: Callable[..., Ledger], *, made: bool
) -> None:
    """
    What is kept has no window of yesterday, whether it was made or read, and no batch looks for one to leave
    before the day is over.
    """
    opened(ledger)
    day_us = 86_400_000_000
    midnight = NOW_US - NOW_US % day_us + day_us
    caller = ledger if made else open_ledger()
    for start in (midnight, midnight + day_us, midnight + 2 * day_us):
        assert isinstance(caller.do(replace(reserve(f"at {start}"), now_us=start)), Held)
        for _ in range(2):  # of what another writer wrote the first one keeps nothing
            ledger.do(Sweep("acme", "sweep", start))
        books = ledger._writer._committer._store._kept._tenants["acme"].books
        assert [one.starts_at for known in books.windows.values() for one in known.values()] == [start]
        assert books.windows_due_us == start + day_us


def test_a_hold_id_is_reserved_once(ledger: Ledger, engine: Engine) -> None:
    """
    Two keys that name one hold, in one batch: the first has it, the second fails, and the books are whole.
    """
    opened(ledger)
    items = [Item(Reserve("acme", key, NOW_US, "same", (Offer(9, 9),)), ()) for key in ("k1", "k2")]
    committer = Committer(engine, None)
    committer.run(items)
    committer.disconnect()
    assert isinstance(items[0].result, Held)
    assert isinstance(items[1].error, OperationFailed)
    with reading(engine) as connection:
        assert verify(connection).problems == ()


def _full_disk(*_: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_only_so_much_is_kept(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, lent: list[str]) -> None:
    """
    A tenant with more rows than the bound is not kept; nothing else changes.
    """
    monkeypatch.setattr(kept_rows, "ROWS_MAX", 7)  # the tenant, its budget, window and lot, three holds
    opened(ledger)
    for name in "stuvwxyz":  # what is closed is no row
        assert isinstance(ledger.do(reserve(name)), Held)
        assert isinstance(ledger.do(Settle("acme", f"settle:{name}", NOW_US, name, 5)), Settled)
    assert len(lent) == 15  # all but the first
    lent.clear()
    for name in "abcdefgh":
        assert isinstance(ledger.do(reserve(name)), Held)
    assert len(lent) == 7  # all but the one after the bound was passed
    for name in "abcdefgh":
        assert isinstance(ledger.do(Settle("acme", f"settle:{name}", NOW_US, name, 5)), Settled)


def test_what_a_hold_says_and_counts_in_is_within_the_bound(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, lent: list[str]
) -> None:
    """
    A plan counts as so many rows, and four windows that holds count in as one more, until the hold is closed.
    """
    monkeypatch.setattr(kept_rows, "ROWS_MAX", 17)
    opened(ledger)
    ledger.do(SetBudget("acme", "week", NOW_US, 900, window="week"))
    ledger.do(reserve("plain"))  # the tenant, its lot, two budgets, their windows: with a second hold eight
    for name, kilobytes, kept in (("small", 8, 2), ("large", 9, 1)):
        asked = reserve(name)
        ledger.do(replace(asked, offers=(replace(asked.offers[0], plan="p" * 1_024 * kilobytes),)))
        lent.clear()
        assert isinstance(ledger.do(Settle("acme", f"settle:{name}", NOW_US, name, 5)), Settled)
        assert isinstance(ledger.do(reserve(f"after {name}", 0)), Held)
        assert isinstance(
            ledger.do(Settle("acme", f"settle:after {name}", NOW_US, f"after {name}", 0)), Settled
        )
        assert len(lent) == kept + 1


def test_who_was_not_heard_of_for_longest_is_forgotten(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, lent: list[str]
) -> None:
    """
    Room for two tenants: the third takes the place of the first; one that is too large takes nobody's.
    """
    monkeypatch.setattr(kept_rows, "ROWS_MAX", 10)  # four rows each, and a hold
    for tenant in ("acme", "bolt", "cord"):
        ledger.do(OpenAccount(tenant, "open", NOW_US, "UTC", 1_000, 600))

    def call(tenant: str, number: int) -> bool:
        lent.clear()
        ledger.do(Reserve(tenant, f"hold:{tenant}{number}", NOW_US, f"{tenant}{number}", (Offer(1, 1),)))
        ledger.do(Settle(tenant, f"settle:{tenant}{number}", NOW_US, f"{tenant}{number}", 1))
        return len(lent) == 2

    assert [call(tenant, 0) for tenant in ("acme", "bolt", "cord")] == [False] * 3
    assert call("bolt", 1)
    assert not call("acme", 1)
    for number in range(20):
        ledger.do(Reserve("acme", f"hold:{number}", NOW_US, str(number), (Offer(1, 1),)))
    assert not call("bolt", 2)
    assert not call("acme", 2)
    assert call("bolt", 3)


def test_a_refusal_of_old_rows_is_not_given(open_ledger: Callable[..., Ledger]) -> None:
    """
    A call that what was kept would refuse is held for where another process topped up; refusing writes
    nothing, so that the version alone can tell.
    """
    one, other = open_ledger(), open_ledger()
    one.do(OpenAccount("acme", "open", NOW_US, "UTC", 100, None))
    assert isinstance(one.do(reserve("a", 500)), Refused)
    assert isinstance(one.do(reserve("b", 500)), Refused)
    other.do(TopUp("acme", "more", NOW_US, 1_000))
    assert isinstance(one.do(reserve("c", 500)), Held)


def test_a_hold_of_another_writer_is_captured_in_time(open_ledger: Callable[..., Ledger]) -> None:
    """
    A hold that was never loaded is due in the midst of calls for which everything is kept.
    """
    one, other = open_ledger(), open_ledger()
    opened(one)
    other.do(replace(reserve("theirs", 100), ttl_us=60_000_000))
    for name in "ab":
        assert isinstance(one.do(reserve(name)), Held)
    held = one.do(replace(reserve("c"), now_us=NOW_US + 60_000_001))
    assert isinstance(held, Held)
    assert (held.gauges[1].spent_nanos, held.gauges[1].held_nanos) == (100, 30)


def test_a_closed_hold_is_not_made_again(ledger: Ledger, open_ledger: Callable[..., Ledger]) -> None:
    """
    A reservation that comes again under its hold's own key is looked up nowhere before it is written: it gets
    the same hold all the same, whoever made it and whatever became of it.
    """
    opened(ledger)
    first = ledger.do(reserve("a", 100))
    open_ledger().do(reserve("b", 100))
    ledger.do(Settle("acme", "settle:a", NOW_US, "a", 70))
    for name in "ab":
        again = ledger.do(reserve(name, 100))
        assert isinstance(again, Held)
        assert again.replayed
        assert again.state == {"a": "settled", "b": "open"}[name]
    other = ledger.do(reserve("a", 99))
    assert isinstance(other, Refused)
    assert other.reason is Reason.KEY_CONFLICT
    assert isinstance(first, Held)
    settled = ledger.do(reserve("c"))
    assert isinstance(settled, Held)
    assert (settled.gauges[1].spent_nanos, settled.gauges[1].held_nanos) == (70, 110)


def test_a_refused_repetition_gets_its_hold(ledger: Ledger, open_ledger: Callable[..., Ledger]) -> None:
    """
    A reservation that comes again, and that what is kept would refuse, is that of its hold all the same: of
    one that is closed, or that another writer made before this one read the tenant.
    """
    other = open_ledger()
    opened(ledger)
    other.do(reserve("theirs", 400))
    for name in ("a", "b"):
        ledger.do(reserve(name, 100))
    ledger.do(Settle("acme", "settle:a", NOW_US, "a", 100))
    for name, cost, state in (("theirs", 400, "open"), ("a", 100, "settled")):
        again = ledger.do(reserve(name, cost))
        assert isinstance(again, Held)
        assert (again.replayed, again.state) == (True, state)
        for n in range(70):  # until it decides before the lock again
            ledger.do(Renew("acme", f"{name}-{n}", NOW_US, "b", 900_000_000))


def test_a_final_refusal_may_come_under_a_holds_own_key(ledger: Ledger) -> None:
    """
    Asked to keep a refusal, the ledger keeps it under any key.
    """
    opened(ledger)
    asked = replace(reserve("a", 2_000), sticky=True)
    for n in range(3):
        refused = ledger.do(asked)
        assert isinstance(refused, Refused)
        ledger.do(reserve(f"n{n}"))
    ledger.do(TopUp("acme", "more", NOW_US, 9_000))
    ledger.do(SetBudget("acme", "none", NOW_US, None))
    assert ledger.do(asked) == refused


def test_what_seems_impossible_is_looked_at(
    engine: Engine, ledger: Ledger, open_ledger: Callable[..., Ledger]
) -> None:
    """
    A hold that is kept as open was settled by another writer and archived since: its id may be used again.
    """
    opened(ledger)
    ledger.do(reserve("a"))
    open_ledger().do(Settle("acme", "settle:a", NOW_US, "a", 5))
    with engine.begin() as connection:
        for table, column in (("ledger_hold", "id"), ("ledger_hold_window", "hold_id")):
            connection.execute(text(f"DELETE FROM {table} WHERE {column} = 'a'"))
    held = ledger.do(replace(reserve("a"), key="call:0:mine"))
    assert isinstance(held, Held)
    assert held.gauges[1].spent_nanos == 5


def test_a_stored_refusal_holds_the_lock(engine: Engine, open_ledger: Callable[..., Ledger]) -> None:
    """
    What is only written under a key is written under the account's lock too: the row has a new version.
    """
    ledger = open_ledger()
    opened(ledger)
    for key in ("one", "two"):
        driver = connect(engine)
        lock = texts(engine.dialect.name).lock
        before = driver.select([(lock, (driver.many(["acme"]),))])[0][0][-2]
        ledger.do(replace(reserve("a", 2_000), key=key, sticky=True))
        after = driver.select([(lock, (driver.many(["acme"]),))])[0][0][-2]
        driver.close()
        assert after != before


def test_a_refusal_that_was_final_stays_so(ledger: Ledger) -> None:
    """
    A client's own key that was refused for good is refused again, although there is credit by now: its answer
    is looked for beside what is kept.
    """
    opened(ledger)
    asked = replace(reserve("a", 2_000), key="call:0:mine", sticky=True)
    refused = ledger.do(asked)
    assert isinstance(refused, Refused)
    ledger.do(TopUp("acme", "more", NOW_US, 9_000))
    ledger.do(SetBudget("acme", "none", NOW_US, None))
    assert isinstance(ledger.do(reserve("b", 2_000)), Held)
    assert ledger.do(asked) == refused


@pytest.mark.parametrize("key", ["hold:other", "settle:a"])
def test_a_holds_own_keys_are_for_nothing_else(ledger: Ledger, key: str) -> None:
    """
    An order under the key of a hold is refused, so that no look for it is needed; the hold is as it was.
    """
    opened(ledger)
    ledger.do(reserve("a"))
    for op in (TopUp("acme", key, NOW_US, 5), Reserve("acme", key, NOW_US, "z", (Offer(1, 1),))):
        refused = ledger.do(op)
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.numbers["field"]) == (Reason.FIELD_INVALID, "key")
    assert isinstance(ledger.do(Settle("acme", "settle:a", NOW_US, "a", 5)), Settled)
