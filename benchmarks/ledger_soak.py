"""
A long run on a slow disk: every commit takes 2 to 20 ms more; no answer may be lost, memory stays flat.

Callers reserve and settle or release; now and then one asks again with the same key, gives up on its future,
or meets a full queue. At the end every answer is compared with the books, and the books are verified.

    python benchmarks/ledger_soak.py --engine sqlite --seconds 600 --callers 64
"""

import argparse
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from databases import postgres
from sqlalchemy import Engine, select

from ledger import Ledger, make_engine, reading, tables
from ledger.driver_postgres import PostgresDriver
from ledger.driver_sqlite import SqliteDriver
from ledger.types import (
    Held,
    Offer,
    OpenAccount,
    Reason,
    Refused,
    Release,
    Released,
    Reserve,
    Settle,
    Settled,
)
from ledger.verify import verify

START_US = 1_763_700_000 * 1_000_000
QUEUE_MAX = 48  # below the callers' number, so that a full queue is met


def slow(low_ms: float, high_ms: float) -> None:
    """Let every commit take longer, by a random time."""
    for kind, name in ((SqliteDriver, "commit"), (PostgresDriver, "commit"), (PostgresDriver, "transact")):
        original = getattr(kind, name)

        def commit(self: Any, *given: Any, original: Callable[..., Any] = original) -> Any:
            time.sleep(random.uniform(low_ms, high_ms) / 1_000)
            return original(self, *given)

        setattr(kind, name, commit)


def memory_mb() -> float:
    """Return this process's resident memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Caller:
    """One caller; remembers the state that its last answer gave each hold."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self._ledger = ledger
        self._number = number
        self._rng = random.Random(number)
        self.states: dict[str, int] = {}
        self.seen: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        turn = 0
        while not stop.is_set():
            turn += 1
            self._call(f"{self._number}-{turn}", f"t{self._rng.randrange(8)}", START_US + turn)

    def _call(self, name: str, tenant: str, now_us: int) -> None:
        reserve = Reserve(tenant, name, now_us, name, (Offer(9_000, 3_000, "{}"),))
        future = self._ledger.submit(reserve)
        if self._rng.random() < 0.02:
            future.cancel()  # whether it was in time is the ledger's business: no hold may stay open
            self.seen["gave up"] += 1
            self.states[name] = -1
            return
        held = future.result(60)
        if isinstance(held, Refused):
            assert held.reason is Reason.QUEUE_FULL, held
            self.seen["queue full"] += 1
            return
        assert isinstance(held, Held)
        self._close(name, tenant, now_us)

    def _close(self, name: str, tenant: str, now_us: int) -> None:
        settles = self._rng.random() < 0.9
        op = (
            Settle(tenant, f"{name}s", now_us, name, 3_000, "{}")
            if settles
            else Release(tenant, f"{name}r", now_us, name, "soak")
        )
        again = 2 if self._rng.random() < 0.1 else 1
        while again:
            answer = self._ledger.do(op)
            if isinstance(answer, Settled | Released):
                self.states[name] = 1 if settles else 2
                self.seen[type(answer).__name__] += 1
                again -= 1
            else:
                assert isinstance(answer, Refused)
                assert answer.reason is Reason.QUEUE_FULL
                self.seen["queue full"] += 1


def soak(engine: Engine, options: argparse.Namespace) -> None:
    """Run, watch memory, compare."""
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
    ledger = Ledger(engine, queue_max=QUEUE_MAX)
    for n in range(8):
        ledger.do(OpenAccount(f"t{n}", "open", START_US, "UTC", 10**17, None))
    callers = [Caller(ledger, n) for n in range(options.callers)]
    stop, started, sizes = threading.Event(), time.perf_counter(), []
    with ThreadPoolExecutor(options.callers) as pool:
        work = [pool.submit(one.run, stop) for one in callers]
        for _ in range(10):
            time.sleep(options.seconds / 10)
            known = sum(len(one.states) for one in callers)
            sizes.append(memory_mb() - known * 250 / 2**20)  # without what the callers remember
        stop.set()
        for done in work:
            done.result(120)
    took = time.perf_counter() - started
    ledger.close()
    seen = sum((one.seen for one in callers), Counter[str]())
    print(f"{dict(seen)} in {took:.0f} s", flush=True)
    compare(engine, {name: state for one in callers for name, state in one.states.items()})
    print(f"memory after each tenth, MB: {', '.join(f'{size:.0f}' for size in sizes)}", flush=True)
    assert sizes[-1] < sizes[2] * 1.25 + 10, "memory grows"


def compare(engine: Engine, answered: dict[str, int]) -> None:
    """Compare what callers were told with the books."""
    with reading(engine) as connection:
        rows = connection.execute(select(tables.hold.c.id, tables.hold.c.state))
        booked = {row.id: row.state for row in rows}
        proved = verify(connection)
    assert proved.ok, proved.problems[:3]
    lost = [name for name, state in answered.items() if state > 0 and booked.get(name) != state]
    orphans = [name for name, state in booked.items() if state == 0]
    assert not lost, f"{len(lost)} answers are not in the books: {lost[:3]}"
    assert not orphans, f"{len(orphans)} holds belong to nobody: {orphans[:3]}"
    print(f"{len(answered)} calls, {len(booked)} holds: no answer lost, no hold left open", flush=True)


def main() -> None:
    """Soak one engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--commit-ms", type=float, nargs=2, default=(2.0, 20.0), metavar=("LOW", "HIGH"))
    parser.add_argument("--postgres-url", default=None)
    options = parser.parse_args()
    slow(*options.commit_ms)
    if options.engine == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            soak(make_engine(f"sqlite:///{folder}/bench.db"), options)
    else:
        with postgres(options.postgres_url) as new_database:
            soak(make_engine(new_database()), options)


if __name__ == "__main__":
    main()
