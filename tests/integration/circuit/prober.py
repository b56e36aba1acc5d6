"""
A process of its own for the race tests: waits for the start, does one thing, says what came of it.

Called as `prober.py URL ORDER START_FILE`; prints one line. It is no test module.
"""

import sys
import time
from pathlib import Path

from circuit import ProviderRule, Rules, SqlCircuitStore, claim_probe, probes_due
from ledger.connect import make_engine

RULES = Rules(provider=ProviderRule(min_calls=4, cooldown_s=1))
LEASE_S = 2


def now_us() -> int:
    """The clock of this process."""
    return time.time_ns() // 1_000


def claim(store: SqlCircuitStore) -> bool:
    """Ask to be the probe, as every caller does that finds one due."""
    at_us = now_us()
    state = probes_due(store.read(None, ("model:m",), at_us, RULES), RULES, at_us).get("m")
    wish = None if state is None else claim_probe(state, at_us, LEASE_S, "prober")
    return wish is not None and bool(store.apply((wish,)))


def main(url: str, order: str, start: str) -> None:
    """Wait for the start file, then act."""
    store = SqlCircuitStore(make_engine(url))
    store.read(None, ("model:m",), now_us(), RULES)
    print("ready", flush=True)
    while not Path(start).exists():
        time.sleep(0.0005)
    if order == "halt":
        print(store.halt("global", "race", "prober", now_us()).code, flush=True)
        return
    print("won" if claim(store) else "lost", flush=True)
    if order == "hang":
        time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:4])
