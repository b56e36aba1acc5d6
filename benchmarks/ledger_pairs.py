"""
Pairs of reserve and settle per second: the group-commit writer against one transaction per operation.

Both ways run the same rules, statements and rows on one hot tenant (or on `--tenants` many), in one run on
one machine; the machine varies, so read the ratios. The books of each engine are verified at the end.

`naive` and `writer` give each caller a thread of its own. `loop` is how a server asks: one thread
(`--threads`) has all callers' operations under way as futures and sends the next one of whoever was answered.
The CPU is that of this process: rules, driver and the callers themselves, not a database server. The garbage
collector is set as the gateway sets it.

Ids and keys are made as the product makes them: ordered by time, `hold:ID`, `settle:ID`. `--ids random` plays
callers whose ids have no order: each then lands on a page of its own in every index, which costs SQLite most.

    python benchmarks/ledger_pairs.py --engines sqlite,postgresql --callers 1,16,64 --seconds 2 --json
"""

import argparse
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from queue import SimpleQueue
from typing import Any

from databases import postgres
from sqlalchemy import Engine

from gateway.collector import spare_collector
from ledger import Ledger, make_engine, reading, tables
from ledger.drivers import Driver
from ledger.types import (
    Held,
    Offer,
    OpenAccount,
    Operation,
    Reserve,
    Result,
    Settle,
    Settled,
    hold_key,
    settle_key,
)
from ledger.verify import verify
from ledger.writer import Committer, Item

START_US = 1_763_700_000 * 1_000_000
CREDIT = 10**17


class Naive:
    """A transaction per operation: each caller has its own connection and commits for itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._local = threading.local()
        self._every: list[Committer] = []

    def do(self, op: Operation) -> Result:
        """Carry out one operation in its own transaction."""
        committer = getattr(self._local, "committer", None)
        if committer is None:
            committer = self._local.committer = Committer(self._engine, None, patience_s=60)
            self._every.append(committer)
        item = Item(op, ())
        committer.run((item,))
        return item.answer()

    def close(self) -> None:
        """Close every connection."""
        for committer in self._every:
            committer.disconnect()


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement."""

    engine: str
    way: str
    callers: int
    pairs_per_s: float
    reserve_p50_ms: float
    reserve_p99_ms: float
    cpu_us_per_pair: float


def slow(commit_ms: float) -> None:
    """Add a delay to every commit, to play a disk whose flush is not free."""
    from ledger.driver_postgres import PostgresDriver
    from ledger.driver_sqlite import SqliteDriver

    for kind, name in ((SqliteDriver, "commit"), (PostgresDriver, "commit"), (PostgresDriver, "transact")):
        original = getattr(kind, name)

        def commit(self: Driver, *given: Any, original: Callable[..., Any] = original) -> Any:
            time.sleep(commit_ms / 1_000)
            return original(self, *given)

        setattr(kind, name, commit)


class Calls:
    """Makes the calls of all callers, each with an id of its own; ids grow with time, or have no order."""

    def __init__(self, tenants: int, ids: str) -> None:
        self._tenants = tenants
        self._numbers = count()
        self._mix = 0x9E3779B97F4A7C15 if ids == "random" else 1  # odd: no two numbers meet

    def pair(self, caller: int, turn: int) -> tuple[Reserve, Settle]:
        """Return the next reservation of a caller and its settlement."""
        mixed = next(self._numbers) * self._mix & 0xFFFFFFFFFFFFFFFF
        name = f"{mixed:016x}-7000-8000-0123456789ab"
        tenant = f"t{(caller * 7_919 + turn) % self._tenants}"
        now_us = START_US + turn
        held = Reserve(tenant, hold_key(name), now_us, name, (Offer(9_000, 3_000, "{}"),), owner="bench")
        return held, Settle(tenant, settle_key(name), now_us, name, 3_000, "{}")


def alone(ledger: Ledger | Naive, calls: Calls, caller: int, stop: threading.Event) -> list[float]:
    """Be one caller on a thread of its own: reserve, settle, again; returns the reservations' latencies."""
    latencies: list[float] = []
    for turn in count():
        if stop.is_set():
            return latencies
        reserve, settle = calls.pair(caller, turn)
        before = time.perf_counter()
        held = ledger.do(reserve)
        latencies.append(time.perf_counter() - before)
        assert isinstance(held, Held), held
        assert isinstance(ledger.do(settle), Settled)
    return latencies


def together(ledger: Ledger, calls: Calls, callers: Sequence[int], stop: threading.Event) -> list[float]:
    """Be many callers on one thread, each with one operation under way."""
    answered: SimpleQueue[Future[Result]] = SimpleQueue()
    under_way: dict[Future[Result], tuple[int, int, Settle | None, float]] = {}
    latencies = []

    def send(caller: int, turn: int, settle: Settle | None) -> None:
        op: Operation
        op, after = (settle, None) if settle is not None else calls.pair(caller, turn)
        before = time.perf_counter()
        future = ledger.submit(op)
        under_way[future] = (caller, turn, after, before)
        future.add_done_callback(answered.put)

    for caller in callers:
        send(caller, 0, None)
    while under_way:
        future = answered.get()
        caller, turn, settle, before = under_way.pop(future)
        assert isinstance(future.result(), Held | Settled), future.result()
        if settle is not None:
            latencies.append(time.perf_counter() - before)
            send(caller, turn, settle)
        elif not stop.is_set():
            send(caller, turn + 1, None)
    return latencies


def measure(
    engine: Engine, name: str, way: str, callers: int, calls: Calls, options: argparse.Namespace
) -> Measured:
    """Let callers reserve and settle in a closed loop."""
    ledger: Ledger | Naive = Naive(engine) if way == "naive" else Ledger(engine)
    stop = threading.Event()
    with ThreadPoolExecutor(callers) as pool:
        started, cpu = time.perf_counter(), time.process_time()
        if way == "loop" and isinstance(ledger, Ledger):
            shares = [range(n, callers, options.threads) for n in range(min(options.threads, callers))]
            work = [pool.submit(together, ledger, calls, some, stop) for some in shares]
        else:
            work = [pool.submit(alone, ledger, calls, n, stop) for n in range(callers)]
        time.sleep(options.seconds)
        stop.set()
        every = sorted(one for some in work for one in some.result())
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    ledger.close()
    return Measured(
        name, way, callers, round(len(every) / took, 1), round(every[len(every) // 2] * 1_000, 3),
        round(every[int(len(every) * 0.99)] * 1_000, 3), round(cpu / len(every) * 1e6, 1),
    )  # fmt: skip


def prepare(url: str, tenants: int) -> Engine:
    """Make the tables and open the tenants."""
    engine = make_engine(url)
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
    with Ledger(engine) as ledger:
        for n in range(tenants):
            ledger.submit(OpenAccount(f"t{n}", "open", START_US, "UTC", CREDIT, CREDIT))
    return engine


def compare(url: str, name: str, options: argparse.Namespace) -> list[Measured]:
    """Measure both ways for each number of callers on one database."""
    engine = prepare(url, options.tenants)
    spare_collector()
    calls, found = Calls(options.tenants, options.ids), []
    for callers in options.callers:
        for way in options.ways:
            found.append(measure(engine, name, way, callers, calls, options))
            show(found[-1], options)
    with reading(engine) as connection:
        proved = verify(connection)
    assert proved.ok, proved.problems
    engine.dispose()
    return found


def show(one: Measured, options: argparse.Namespace) -> None:
    """Print one line for people."""
    if not options.json:
        print(
            f"{one.engine:10} {one.way:6} {one.callers:4} callers {one.pairs_per_s:9.0f} pairs/s   "
            f"reserve p50 {one.reserve_p50_ms:8.2f} ms  p99 {one.reserve_p99_ms:8.2f} ms   "
            f"{one.cpu_us_per_pair:5.0f} us CPU a pair",
            flush=True,
        )


def ratios(found: list[Measured]) -> dict[str, float]:
    """Return each way's rate over that of a transaction per operation, same engine and callers."""
    rate = {(one.engine, one.way, one.callers): one.pairs_per_s for one in found}
    return {
        f"{engine}-{way}-{callers}": round(value / rate[(engine, "naive", callers)], 2)
        for (engine, way, callers), value in rate.items()
        if way != "naive" and (engine, "naive", callers) in rate
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731 - one word in two places
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--callers", type=numbers, default=[1, 16, 64])
    parser.add_argument("--ways", type=lambda text: text.split(","), default=["naive", "writer", "loop"])
    parser.add_argument("--threads", type=int, default=1, help="threads that share the callers of `loop`")
    parser.add_argument("--tenants", type=int, default=1)
    parser.add_argument("--ids", choices=("ordered", "random"), default="ordered")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--commit-ms", type=float, default=0.0, help="delay added to every commit")
    parser.add_argument("--postgres-url", default=None)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run the comparison and print it."""
    options = arguments()
    if options.commit_ms > 0:
        slow(options.commit_ms)
    found: list[Measured] = []
    if "sqlite" in options.engines:
        with tempfile.TemporaryDirectory() as folder:
            found += compare(f"sqlite:///{folder}/bench.db", "sqlite", options)
    if "postgresql" in options.engines:
        with postgres(options.postgres_url) as new_database:
            found += compare(new_database(), "postgresql", options)
    if options.json:
        rows = [{name: getattr(one, name) for name in Measured.__slots__} for one in found]
        machine = f"{platform.machine()} {platform.python_version()}"
        print(json.dumps({"machine": machine, "measured": rows, "ratios": ratios(found)}))
    else:
        print("over a transaction per operation:", ratios(found), f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
