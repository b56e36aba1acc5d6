"""
Pairs of reserve and settle per second: the group-commit writer against one transaction per operation.

Both ways run the same rules, statements and rows on one hot tenant (or on `--tenants` many), in one run on
one machine; the machine varies, so read the ratios. The books of each engine are verified at the end.

    python benchmarks/ledger_pairs.py --engines sqlite,postgresql --callers 1,16,64 --seconds 2 --json
"""

import argparse
import json
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from databases import postgres
from sqlalchemy import Engine

from ledger import Ledger, make_engine, reading, tables
from ledger.drivers import Driver
from ledger.types import Held, Offer, OpenAccount, Operation, Reserve, Result, Settle, Settled
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


def slow(commit_ms: float) -> None:
    """Add a delay to every commit, to play a disk whose flush is not free."""
    from ledger import drivers

    for kind in (drivers.SqliteDriver, drivers.PostgresDriver):
        original = kind.commit

        def commit(self: Driver, original: Callable[[Any], None] = original) -> None:
            time.sleep(commit_ms / 1_000)
            original(self)

        kind.commit = commit  # type: ignore[method-assign,assignment]  # on purpose


def measure(engine: Engine, name: str, way: str, callers: int, tenants: int, seconds: float) -> Measured:
    """Let callers reserve and settle in a closed loop; verify the books afterwards."""
    ledger: Ledger | Naive = Ledger(engine) if way == "writer" else Naive(engine)
    latencies: list[list[float]] = [[] for _ in range(callers)]
    stop = threading.Event()
    begin = threading.Barrier(callers + 1)

    def work(caller: int) -> None:
        turn = 0
        begin.wait()
        while not stop.is_set():
            turn += 1
            key = f"{way}-{callers}-{caller}-{turn}"
            tenant = f"t{(caller * 7_919 + turn) % tenants}"
            now_us = START_US + turn
            before = time.perf_counter()
            held = ledger.do(Reserve(tenant, key, now_us, key, (Offer(9_000, 3_000, "{}"),), owner="bench"))
            latencies[caller].append(time.perf_counter() - before)
            assert isinstance(held, Held), held
            assert isinstance(ledger.do(Settle(tenant, key + "s", now_us, key, 3_000, "{}")), Settled)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(callers)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    ledger.close()
    every = sorted(one for some in latencies for one in some)
    return Measured(
        name, way, callers, round(len(every) / took, 1), round(every[len(every) // 2] * 1_000, 3),
        round(every[int(len(every) * 0.99)] * 1_000, 3),
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
    found = []
    for callers in options.callers:
        for way in ("naive", "writer"):
            found.append(measure(engine, name, way, callers, options.tenants, options.seconds))
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
            f"reserve p50 {one.reserve_p50_ms:8.2f} ms  p99 {one.reserve_p99_ms:8.2f} ms",
            flush=True,
        )


def ratios(found: list[Measured]) -> dict[str, float]:
    """Return writer / naive for each engine and number of callers."""
    rate = {(one.engine, one.way, one.callers): one.pairs_per_s for one in found}
    return {
        f"{engine}-{callers}": round(value / rate[(engine, "naive", callers)], 2)
        for (engine, way, callers), value in rate.items()
        if way == "writer"
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731 - one word in two places
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--callers", type=numbers, default=[1, 16, 64])
    parser.add_argument("--tenants", type=int, default=1)
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
        print("writer / naive:", ratios(found))


if __name__ == "__main__":
    main()
