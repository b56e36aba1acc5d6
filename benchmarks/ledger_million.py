"""
A ledger with a million transfers: the balance at a past time, and the proof of everything.

    python benchmarks/ledger_million.py --engine sqlite --transfers 1000000
"""

import argparse
import os
import random
import statistics
import tempfile
import time

from databases import postgres
from sqlalchemy import Engine

from ledger import Ledger, make_engine, reading, tables
from ledger.reads import credit_at
from ledger.types import Offer, OpenAccount, Refused, Reserve, Settle
from ledger.verify import verify
from ledger.writer import Committer, Item

START_US = 1_763_700_000 * 1_000_000
CREDIT = 10**15
PAIRS = 500


def fill(engine: Engine, transfers: int, tenants: int) -> None:
    """Reserve and settle until there are that many transfers."""
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
    with Ledger(engine) as ledger:
        for n in range(tenants):
            ledger.do(OpenAccount(f"t{n}", "open", START_US, "UTC", CREDIT, None))
    committer = Committer(engine, None)
    for first in range(0, transfers, PAIRS):
        items = []
        for n in range(first, first + PAIRS):
            tenant, name, at = f"t{n % tenants}", f"{n:08x}", START_US + n * 1_000
            items.append(Item(Reserve(tenant, name, at, name, (Offer(9_000, 3_000, "{}"),)), ()))
            items.append(Item(Settle(tenant, name + "s", at, name, 3_000, "{}"), ()))
        committer.run(items)
        assert not any(item.error or isinstance(item.result, Refused) for item in items)
    committer.disconnect()


def measure(engine: Engine, options: argparse.Namespace) -> None:
    """Fill, then ask for the past and prove the books."""
    started = time.perf_counter()
    fill(engine, options.transfers, options.tenants)
    print(f"filled in {time.perf_counter() - started:.1f} s", flush=True)
    rng = random.Random(1)
    took = []
    with reading(engine) as connection:
        for _ in range(200):
            tenant, at_us = (
                f"t{rng.randrange(options.tenants)}",
                START_US + rng.randrange(options.transfers) * 1_000,
            )
            before = time.perf_counter()
            credit_at(connection, tenant, at_us)
            took.append((time.perf_counter() - before) * 1_000)
        before, cpu = time.perf_counter(), time.process_time()
        proved = verify(connection)
        verified_s, cpu = time.perf_counter() - before, time.process_time() - cpu
    assert proved.ok, proved.problems[:3]
    took.sort()
    print(
        f"{options.engine}: {proved.transfers} transfers; balance at a past time p50"
        f" {statistics.median(took):.2f} ms, p99 {took[197]:.2f} ms; full verify {verified_s:.1f} s"
        f" ({cpu:.1f} s CPU of this process), load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    engine.dispose()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--transfers", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=10)
    parser.add_argument("--postgres-url", default=None)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    if options.engine == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            measure(make_engine(f"sqlite:///{folder}/bench.db"), options)
    else:
        with postgres(options.postgres_url) as new_database:
            measure(make_engine(new_database()), options)


if __name__ == "__main__":
    main()
