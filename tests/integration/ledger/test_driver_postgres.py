"""
The PostgreSQL driver under the writer: what is sent arrives unchanged, a server that goes away is noticed.
"""

import os
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import BigInteger, Boolean, Column, Engine, Float, MetaData, Table, Text, text

from ledger import Ledger, driver_postgres, make_engine, reading, tables
from ledger.driver_postgres import PostgresDriver
from ledger.drivers import Trouble, Write, trouble
from ledger.rows import Account
from ledger.statements import attachment, texts
from ledger.types import Held, Offer, OpenAccount, Operation, Refused, Reserve, Settle, Settled
from ledger.verify import verify
from ledger.writer import Committer, Item

NOW_US = 1_763_700_000 * 1_000_000
words = MetaData()
word = Table(
    "word", words, Column("id", BigInteger, primary_key=True), Column("word", Text), Column("n", BigInteger),
    Column("yes", Boolean), Column("part", Float),
)  # fmt: skip
NAMES = ("id", "word", "n", "yes", "part")
TENANTS = tuple(f"t{n:02}" for n in range(70))
TEXTS = ("", "plain", 'quo"te', "back\\slash", '\\"', "{a,b}", "NULL", "line\nfeed", "ünïcode €", "'", None)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    """An engine on a database with the ledger's tables and one of words."""
    made = make_engine(postgres_url)
    with made.begin() as connection:
        tables.metadata.create_all(connection)
        words.create_all(connection)
    yield made
    made.dispose()


@pytest.fixture
def driver(engine: Engine) -> Iterator[PostgresDriver]:
    """A connection of its own."""
    made = PostgresDriver(engine)
    yield made
    made.close()


def test_rows_arrive_as_they_were_sent(engine: Engine, driver: PostgresDriver) -> None:
    """
    Quotes, backslashes, braces, NULL, negative numbers, truth values and fractions survive the array texts.
    """
    rows = [
        (place, one, None if one is None else -place, one != "", 0.1 * place)
        for place, one in enumerate(TEXTS)
    ]
    driver.begin_and_select([("SELECT 1", ())])
    driver.commit([Write(attachment(word, NAMES, (), False, engine.dialect), rows, counted=True)])
    every = "SELECT id, word, n, yes, part FROM word WHERE word = ANY(%s::text[]) OR word IS NULL ORDER BY id"
    assert driver.select([(every, (driver.many([one for one in TEXTS if one is not None]),))]) == [rows]
    assert driver.select([(every, (driver.many([]),))]) == [rows[-1:]]


@pytest.mark.parametrize("number", [1, 2, 3, 33, 64, 65, 130])
def test_every_number_of_rows_is_written_once(engine: Engine, driver: PostgresDriver, number: int) -> None:
    """
    Rows that fill a statement up write nothing, whether rows are made, added to or changed; all are counted.
    """
    rows = [(place, f"word {place}", place, None, None) for place in range(number)]
    made = attachment(word, NAMES, (), False, engine.dialect)
    added = attachment(word, NAMES, ("n",), False, engine.dialect)
    driver.begin_and_select([("SELECT 1", ())])
    driver.commit([Write(made, rows, counted=True), Write(added, rows, counted=True)])
    wanted = [(place, f"word {place}", 2 * place, None, None) for place in range(number)]
    assert driver.select([("SELECT id, word, n, yes, part FROM word ORDER BY id", ())]) == [wanted]


@pytest.mark.parametrize("number", [1, 3, 64, 70])
def test_nothing_is_carried_out_behind_an_account_that_changed(
    engine: Engine, driver: PostgresDriver, number: int
) -> None:
    """
    Where one of the accounts has another version than was kept, the exchange fails at once: nothing behind
    waits for rows that another writer has locked.
    """
    with Ledger(engine) as ledger:
        for n in range(number):
            ledger.do(OpenAccount(f"t{n:02}", "open", NOW_US, "UTC", 9, None))
    sql = texts("postgresql")
    every = [(Account(*row[:-2]), row[-2]) for row in driver.select([(sql.lock, (driver.many(TENANTS),))])[0]]
    assert sql.update_confirmed is not None
    behind = Write(attachment(word, NAMES, (), False, engine.dialect), [(1, "behind", 1, None, None)])

    def write(off: int) -> int | None:
        rows = [
            (one.wallet, 0, 0, 0, one.seq, one.head_hash, one.last_at, one.tenant, version + off * (n == 0))
            for n, (one, version) in enumerate(every)
        ]
        return driver.transact(Write(sql.update_confirmed, rows), [("SELECT 1", ())], [behind])

    with pytest.raises(psycopg.errors.DivisionByZero):
        write(1)
    driver.recover()
    assert driver.select([("SELECT count(*) FROM word", ())]) == [[(0,)]]
    version = write(0)
    assert version is not None
    asked = "SELECT count(*) FROM ledger_account WHERE xmin::text::bigint = %s"
    assert driver.select([(asked, (version,))]) == [[(number,)]]
    assert driver.select([("SELECT word FROM word", ())]) == [[("behind",)]]


def test_a_text_that_would_be_cut_is_refused(engine: Engine, driver: PostgresDriver) -> None:
    """
    A NUL, at which libpq would end the text, is an error of its operation; the connection stays usable.
    """
    bulk = attachment(word, NAMES, (), False, engine.dialect)
    driver.begin_and_select([("SELECT 1", ())])
    with pytest.raises(psycopg.DataError) as caught:
        driver.commit([Write(bulk, [(1, "cut\0here", 1, True, 0.5)])])
    assert trouble(caught.value) is Trouble.POISON
    driver.recover()
    assert driver.select([("SELECT count(*) FROM word", ())]) == [[(0,)]]


def test_an_exchange_may_be_larger_than_every_buffer(driver: PostgresDriver) -> None:
    """
    Neither side waits for the other to read: both directions carry megabytes in one exchange.
    """
    long = "x" * 1_000_000
    found = driver.select([("SELECT %s::text || 'y', generate_series(1, 3)", (long,))] * 8)
    assert [[len(row[0]) for row in rows] for rows in found] == [[1_000_001] * 3] * 8


def test_a_failed_statement_fails_the_step(driver: PostgresDriver) -> None:
    """
    The error names the statement's own state, whatever follows it in the same round trip.
    """
    with pytest.raises(psycopg.errors.DivisionByZero):
        driver.begin_and_select([("SELECT 1 / %s::int", (0,)), ("SELECT 1", ())])
    driver.recover()


def test_backends_that_are_killed_cost_no_answer(engine: Engine, postgres_url: str) -> None:
    """
    The server ends the writer's connection amid its work, again and again: every call is answered, once.
    """
    ledger = Ledger(engine)
    ledger.do(OpenAccount("t", "open", NOW_US, "UTC", 10**12, None))
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as killer:
        for turn in range(30):
            names = [f"{turn}-{n}" for n in range(20)]
            held = [ledger.submit(Reserve("t", f"r{n}", NOW_US, n, (Offer(9, 3, "{}"),))) for n in names]
            closed = [ledger.submit(Settle("t", f"s{n}", NOW_US, n, 3, "{}")) for n in names]
            time.sleep(turn % 5 / 1_000)
            killer.execute(kill)
            assert all(isinstance(future.result(60), Held) for future in held)
            assert all(isinstance(future.result(60), Settled) for future in closed)
    ledger.close()
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM ledger_transfer")).scalar_one() == 601
        assert verify(connection).ok


def test_another_server_behind_the_connection_is_noticed(engine: Engine) -> None:
    """
    A pooler that gave the connection another server, where nothing is prepared, costs no call its answer.
    """
    with Ledger(engine) as ledger:
        ledger.do(OpenAccount("t", "open", NOW_US, "UTC", 10**12, None))
        for n in range(3):
            assert isinstance(ledger.do(Reserve("t", f"hold:{n}", NOW_US, str(n), (Offer(9, 3),))), Held)
            driver = ledger._writer._committer._driver
            assert isinstance(driver, PostgresDriver)
            driver._connection.execute("DEALLOCATE ALL")
            assert isinstance(ledger.do(Settle("t", f"settle:{n}", NOW_US, str(n), 3)), Settled)


def test_what_a_caller_broke_off_is_not_committed_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An interrupt while the server waits for another's lock: it is called off, or its COMMIT would follow.
    """

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    committer = Committer(engine, None)
    open_account = OpenAccount("acme", "open", NOW_US, "UTC", 10**6, None)
    for op in (open_account, Reserve("acme", "hold:a", NOW_US, "a", (Offer(9, 3),))):
        committer.run((Item(op, ()),))
    with engine.connect() as other:
        other.execute(text("SELECT 1 FROM ledger_account FOR UPDATE"))
        with monkeypatch.context() as patch:
            patch.setattr(PostgresDriver, "_wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                committer.run((Item(Reserve("acme", "hold:leak", NOW_US, "leak", (Offer(9, 3),)), ()),))
    held = Item(Reserve("acme", "hold:b", NOW_US, "b", (Offer(9, 3),)), ())  # waits for what was under way
    committer.run((held,))
    committer.disconnect()
    with reading(engine) as connection:
        assert connection.execute(text("SELECT id FROM ledger_hold ORDER BY id")).scalars().all() == [
            "a",
            "b",
        ]


def test_a_server_that_hangs_is_given_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A server process that stands still, while its kernel still answers, keeps nobody waiting for ever; once it
    runs again the key tells what became of the operation.
    """
    monkeypatch.setattr(driver_postgres, "ANSWER_S", 0.5)
    committer = Committer(engine, None, patience_s=1.0)

    def carry_out(op: Operation) -> Item:
        item = Item(op, ())
        committer.run((item,))
        return item

    assert carry_out(OpenAccount("acme", "open", NOW_US, "UTC", 1_000, None)).error is None
    held = Reserve("acme", "key", NOW_US, "h", (Offer(10, 5, "{}"),))
    driver = committer._driver
    assert isinstance(driver, PostgresDriver)
    stopped = driver._connection.info.backend_pid
    os.kill(stopped, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert isinstance(carry_out(Settle("acme", "s0", NOW_US, "other", 1, "{}")).result, Refused)
        assert time.monotonic() - began < 30
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert isinstance(carry_out(held).result, Held)
    committer.disconnect()
