"""
Admission with many holds open against few: counters, not sums, so the number of open holds must not matter.

    python benchmarks/open_holds.py --engines sqlite,postgresql --holds 10,100000 --rounds 5
"""

import argparse
import os
import statistics
import tempfile
import time

from databases import postgres
from sqlalchemy import Engine

from ledger import Ledger, make_engine, tables
from ledger.types import Held, Offer, OpenAccount, Release, Reserve
from ledger.writer import Committer, Item

START_US = 1_763_700_000 * 1_000_000
CREDIT = 10**17
OFFER = (Offer(9_000, 3_000, "{}"),)


def reserve(tenant: str, name: str) -> Item:
    """Return a reservation for the committer."""
    return Item(Reserve(tenant, name, START_US, name, OFFER, ttl_us=86_400_000_000), ())


def fill(committer: Committer, tenant: str, count: int) -> None:
    """Open holds that stay open."""
    for first in range(0, count, 250):
        committer.run([reserve(tenant, f"{tenant}-{n}") for n in range(first, min(first + 250, count))])


def admit(committer: Committer, tenant: str, mark: str, count: int = 300) -> float:
    """Return the median time of one admission in ms; each hold is released again."""
    took = []
    for n in range(count):
        item = reserve(tenant, f"{tenant}-{mark}-{n}")
        before = time.perf_counter()
        committer.run((item,))
        took.append(time.perf_counter() - before)
        assert isinstance(item.result, Held), item
        committer.run((Item(Release(tenant, f"{mark}-{n}", START_US, item.result.hold_id), ()),))
    return statistics.median(took) * 1_000


def compare(name: str, engine: Engine, options: argparse.Namespace) -> None:
    """Measure both tenants in turn, so that the machine's moods fall on both."""
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
    with Ledger(engine) as ledger:
        for count in options.holds:
            ledger.do(OpenAccount(f"t{count}", "open", START_US, "UTC", CREDIT, CREDIT))
    committer = Committer(engine, None)
    for count in options.holds:
        fill(committer, f"t{count}", count)
    found: dict[int, list[float]] = {count: [] for count in options.holds}
    for turn in range(options.rounds):
        for count in options.holds:
            found[count].append(admit(committer, f"t{count}", f"round-{turn}"))
    committer.disconnect()
    engine.dispose()
    medians = {count: statistics.median(some) for count, some in found.items()}
    few, many = min(medians), max(medians)
    text = ", ".join(f"{count} open: {value:.3f} ms" for count, value in medians.items())
    print(f"{name:10} {text}; ratio {medians[many] / medians[few]:.2f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731 - short
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--holds", type=numbers, default=[10, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres-url", default=None)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    if "sqlite" in options.engines:
        with tempfile.TemporaryDirectory() as folder:
            compare("sqlite", make_engine(f"sqlite:///{folder}/bench.db"), options)
    if "postgresql" in options.engines:
        with postgres(options.postgres_url) as new_database:
            compare("postgresql", make_engine(new_database()), options)


if __name__ == "__main__":
    main()
