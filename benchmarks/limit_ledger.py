"""
The limit of a durable ledger on this machine, and the share of it that the product reaches in the same run.

The limit is the least SQL that locks the accounts, decides, writes and commits: one account row, one hold row
and one entry, no idempotency keys, lots, budgets or hash chain; statements sent through the driver, in
batches like those of the writer, half reservations and half settlements. Its books are checked at the end.
The product is given the same batches without callers around it (`ledger_pairs.py` measures those). What is
`in database` passes in its driver and the database: more rows, indexes, checks and triggers than the limit
has. The rest is the rules, which the limit does not have at all.

    python benchmarks/limit_ledger.py --engines sqlite,postgresql --batches 64,256 --tenants 1,1000
"""

import argparse
import json
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from databases import postgres
from sqlalchemy import Engine

from ledger import Ledger, make_engine, reading, tables
from ledger.drivers import Driver
from ledger.types import Offer, OpenAccount, Refused, Reserve, Settle, hold_key, settle_key
from ledger.verify import verify
from ledger.writer import Committer, Item

START_US = 1_763_700_000 * 1_000_000
CREDIT = 10**15
BOUND, COST = 9_000, 3_000
SCHEMA = (
    (
        "CREATE TABLE account (tenant TEXT PRIMARY KEY, wallet BIGINT NOT NULL, held BIGINT NOT NULL,"
        " CHECK (held >= 0 AND wallet >= held))"
    ),
    (
        "CREATE TABLE hold (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, amount BIGINT NOT NULL,"
        " state SMALLINT NOT NULL)"
    ),
    "CREATE TABLE entry (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, amount BIGINT NOT NULL)",
)
Batch = tuple[list[tuple[str, str]], list[tuple[str, str]]]
"""What one batch does: (tenant, hold) to reserve, (tenant, hold) to settle."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement; CPU is this process's own, so a server's work is not in it."""

    engine: str
    what: str
    tenants: int
    batch: int
    pairs_per_s: float
    cpu_us_per_pair: float
    database_us_per_pair: float


def batches(size: int, tenants: int) -> Iterator[Batch]:
    """Yield batches: each settles what the one before it reserved."""
    turn, before = 0, [("", "")][:0]
    while True:
        now = [(f"t{(turn * 7_919 + n) % tenants}", f"{turn:08x}-{n:04x}") for n in range(size // 2)]
        yield now, before
        turn, before = turn + 1, now


def decide(rows: list[tuple[str, int, int]], work: Batch) -> list[tuple[str, int, int]]:
    """Admit and settle in order, in memory, as any ledger must."""
    books = {tenant: [wallet, held] for tenant, wallet, held in rows}
    for tenant, _ in work[0]:
        book = books[tenant]
        assert book[0] - book[1] >= BOUND
        book[1] += BOUND
    for tenant, _ in work[1]:
        books[tenant][0] -= COST
        books[tenant][1] -= BOUND
    return [(tenant, wallet, held) for tenant, (wallet, held) in books.items()]


class SqliteLimit:
    """The least on SQLite: WAL, synchronous=FULL."""

    def __init__(self, path: str, tenants: int) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *SCHEMA):
            self._db.execute(statement)
        rows = [(f"t{n}", CREDIT, 0) for n in range(tenants)]
        self._db.executemany("INSERT INTO account VALUES (?, ?, ?)", rows)

    def run(self, work: Batch) -> None:
        """Carry out one batch."""
        made, closed = work
        names = json.dumps(sorted({tenant for tenant, _ in [*made, *closed]}))
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        among = "SELECT value FROM json_each(?)"
        rows = db.execute(f"SELECT * FROM account WHERE tenant IN ({among})", (names,)).fetchall()
        after = [(wallet, held, tenant) for tenant, wallet, held in decide(rows, work)]
        db.executemany("INSERT INTO hold VALUES (?, ?, ?, 0)", [(name, t, BOUND) for t, name in made])
        db.executemany("UPDATE hold SET state = 1 WHERE id = ? AND state = 0", [(n,) for _, n in closed])
        db.executemany("INSERT INTO entry VALUES (?, ?, ?)", [(name, t, COST) for t, name in closed])
        db.executemany("UPDATE account SET wallet = ?, held = ? WHERE tenant = ?", after)
        db.execute("COMMIT")

    def scalar(self, query: str) -> int:
        """Return one number."""
        return int(self._db.execute(query).fetchone()[0])

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class PostgresLimit:
    """The least on PostgreSQL: arrays and unnest, prepared, three round trips a batch."""

    def __init__(self, url: str, tenants: int) -> None:
        import psycopg

        self._db = psycopg.connect(url.replace("+psycopg", ""), autocommit=True, prepare_threshold=0)
        for statement in SCHEMA:
            self._db.execute(statement)
        names = [f"t{n}" for n in range(tenants)]
        self._db.execute("INSERT INTO account SELECT t, %s, 0 FROM unnest(%s::text[]) t", (CREDIT, names))
        self._db.execute("SET enable_seqscan = off")

    def run(self, work: Batch) -> None:
        """Carry out one batch."""
        made, closed = work
        names = sorted({tenant for tenant, _ in [*made, *closed]})
        db: Any = self._db
        with db.pipeline():
            db.execute("BEGIN")
            rows = db.execute(
                "SELECT * FROM account WHERE tenant = ANY(%s::text[]) ORDER BY tenant FOR UPDATE", (names,)
            ).fetchall()
        after = [list(column) for column in zip(*decide(rows, work), strict=True)]
        with db.pipeline():
            db.execute(
                "INSERT INTO hold SELECT i, t, %s, 0 FROM unnest(%s::text[], %s::text[]) v(i, t)",
                (BOUND, [name for _, name in made], [tenant for tenant, _ in made]),
            )
            shut = [name for _, name in closed]
            db.execute("UPDATE hold SET state = 1 WHERE id = ANY(%s::text[]) AND state = 0", (shut,))
            db.execute(
                "INSERT INTO entry SELECT i, t, %s FROM unnest(%s::text[], %s::text[]) v(i, t)",
                (COST, shut, [tenant for tenant, _ in closed]),
            )
            db.execute(
                "UPDATE account a SET wallet = v.w, held = v.h"
                " FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) v(t, w, h) WHERE a.tenant = v.t",
                after,
            )
            db.execute("COMMIT")

    def scalar(self, query: str) -> int:
        """Return one number."""
        return int(self._db.execute(query).fetchone()[0])  # type: ignore[index]  # one row

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class Timed:
    """A driver that adds up the time that passes in it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._driver, name)

        def timed(*arguments: Any) -> Any:
            before = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.perf_counter() - before

        setattr(self, name, timed)
        return timed


class Product:
    """The ledger's committer, given the same work; everything on: keys, lots, budget, hash chain."""

    def __init__(self, url: str, tenants: int) -> None:
        self._engine: Engine = make_engine(url)
        with self._engine.begin() as connection:
            tables.metadata.create_all(connection)
        with Ledger(self._engine) as ledger:
            for n in range(tenants):
                ledger.submit(OpenAccount(f"t{n}", "open", START_US, "UTC", CREDIT, CREDIT))
        self._committer = Committer(self._engine, None)
        self._driver = Timed(self._committer._connected())
        self._committer._driver = self._driver

    @property
    def database_s(self) -> float:
        """Return the time that passed in the driver and the database."""
        return self._driver.seconds

    def run(self, work: Batch) -> None:
        """Carry out one batch."""
        offer = (Offer(BOUND, COST, "{}"),)
        made = [
            Item(Reserve(tenant, hold_key(n), START_US, n, offer, owner="bench"), ()) for tenant, n in work[0]
        ]
        closed = [Item(Settle(tenant, settle_key(n), START_US, n, COST, "{}"), ()) for tenant, n in work[1]]
        self._committer.run([*made, *closed])
        assert not any(item.error or isinstance(item.result, Refused) for item in (*made, *closed))

    def close(self) -> None:
        """Prove the books, close the connection."""
        self._committer.disconnect()
        with reading(self._engine) as connection:
            proved = verify(connection)
        assert proved.ok, proved.problems
        self._engine.dispose()


def timed(one: Any, size: int, tenants: int, seconds: float) -> tuple[int, float, float, float]:
    """Run batches for a while after a warm-up; returns pairs, seconds, of CPU, and in the database."""
    source, done = batches(size, tenants), 0
    warm = time.perf_counter() + min(0.5, seconds / 4)
    while time.perf_counter() < warm:
        one.run(next(source))
    inside = getattr(one, "database_s", 0.0)
    started, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        one.run(next(source))
        done += size // 2
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    return done, took, cpu, getattr(one, "database_s", took) - inside


def prove(limit: SqliteLimit | PostgresLimit, tenants: int) -> None:
    """Compare the balances with the entries: a limit that is wrong is none."""
    spent = limit.scalar("SELECT coalesce(sum(amount), 0) FROM entry")
    assert limit.scalar("SELECT sum(wallet) FROM account") == tenants * CREDIT - spent
    still_open = limit.scalar("SELECT count(*) FROM hold WHERE state = 0")
    assert limit.scalar("SELECT sum(held) FROM account") == still_open * BOUND


def compare(engine: str, new: Callable[[], str], options: argparse.Namespace) -> Iterator[Measured]:
    """Measure limit and product for each number of tenants and size of batch."""
    kind: Any = SqliteLimit if engine == "sqlite" else PostgresLimit
    for tenants in options.tenants:
        for size in options.batches:
            for what in ("limit", "product"):
                one: Any = kind(new(), tenants) if what == "limit" else Product(_url(engine, new()), tenants)
                done, took, cpu, inside = timed(one, size, tenants, options.seconds)
                if what == "limit":
                    prove(one, tenants)
                one.close()
                rate = round(done / took, 1)
                yield Measured(
                    engine,
                    what,
                    tenants,
                    size,
                    rate,
                    round(cpu / done * 1e6, 1),
                    round(inside / done * 1e6, 1),
                )


def _url(engine: str, where: str) -> str:
    return f"sqlite:///{where}" if engine == "sqlite" else where


def show(one: Measured, limits: dict[tuple[str, int, int], float]) -> None:
    """Print one line; the product's with its share of the limit."""
    place = (one.engine, one.tenants, one.batch)
    if one.what == "limit":
        limits[place] = one.pairs_per_s
    whole = 1e6 / one.pairs_per_s
    parts = f"{whole:6.1f} us a pair, {one.database_us_per_pair:6.1f} in database"
    share = "" if one.what == "limit" else f"   {one.pairs_per_s / limits[place]:.2f} of the limit"
    print(
        f"{one.engine:10} {one.what:7} {one.tenants:5} tenants, batch {one.batch:4}: {one.pairs_per_s:9.0f}"
        f" pairs/s, {one.cpu_us_per_pair:6.1f} us CPU; {parts}{share}",
        flush=True,
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731 - one word in two places
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--batches", type=numbers, default=[64, 256])
    parser.add_argument("--tenants", type=numbers, default=[1, 1_000])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--postgres-url", default=None, help="an empty database; a second run needs another")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    limits: dict[tuple[str, int, int], float] = {}
    found: list[Measured] = []
    print(f"{platform.machine()} {platform.python_version()}, load {os.getloadavg()[0]:.1f}", flush=True)

    def keep(engine: str, new: Callable[[], str]) -> None:
        for one in compare(engine, new, options):
            found.append(one)
            show(one, limits)

    if "sqlite" in options.engines:
        with tempfile.TemporaryDirectory() as folder:
            names = iter(range(1_000))
            keep("sqlite", lambda: f"{folder}/{next(names)}.db")
    if "postgresql" in options.engines:
        with postgres(options.postgres_url) as new_database:
            keep("postgresql", new_database)
    if options.json:
        print(json.dumps([asdict(one) for one in found]))


if __name__ == "__main__":
    main()
