"""
Processes of many threads race for money that bears exactly K holds: exactly K are held, on both engines.
"""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine

from ledger import Ledger, reading
from ledger.reads import open_holds
from ledger.types import Held, Offer, OpenAccount, Reserve, SetBudget, Settle, TopUp
from ledger.verify import verify

NOW_US = 1_763_700_000 * 1_000_000
LONG = "OUTLAY_TEST_LONG" in os.environ
PROCESSES, THREADS, TURNS = (6, 16, 40) if LONG else (3, 8, 10)
COST = 100

RACER = """
import sys, threading
from ledger import Ledger, make_engine
from ledger.types import Held, Offer, Refused, Reserve
url, name, threads, turns, scope = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
ledger = Ledger(make_engine(url), owner=name)
held, other = [], []
go = threading.Event()
def work(thread):
    go.wait()
    for turn in range(turns):
        for tenant in ("acme", "bolt"):
            key = f"{tenant}-{name}-{thread}-{turn}"
            wish = Reserve(tenant, key, 1763700000000000, key, (Offer(100, 60),), scopes=(scope,))
            answer = ledger.do(wish)
            if isinstance(answer, Held):
                held.append(key)
            elif not answer.busy:
                other.append(answer.reason)
every = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
[one.start() for one in every]
print("ready", flush=True)
sys.stdin.readline()
go.set()
[one.join() for one in every]
ledger.close()
assert not other, other
print(*held)
"""


@dataclass(frozen=True)
class Stake:
    """What each tenant has: credit, a limit of the day, and one of the racers' key."""

    credit: int
    day: int | None
    key: int | None


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a Python process that waits for a line."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def opened(engine: Engine, stake: Stake) -> None:
    """Open both tenants."""
    ledger = Ledger(engine)
    for tenant in ("acme", "bolt"):
        ledger.do(OpenAccount(tenant, "open", NOW_US, "Europe/Berlin", stake.credit, stake.day))
        if stake.key is not None:
            ledger.do(SetBudget(tenant, "limit", NOW_US, stake.key, "key:a", "month"))
    ledger.close()


def race(url: str) -> list[str]:
    """Let the processes run against each other; returns the holds that they were given."""
    racers = [start(RACER, url, f"p{n}", str(THREADS), str(TURNS), "key:a") for n in range(PROCESSES)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=280)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * PROCESSES
    return " ".join(said).split()


K = 53
ENOUGH = 10**6
STAKES = {
    "credit": Stake(K * COST + 99, None, None),
    "day": Stake(ENOUGH, K * COST + 99, None),
    "key": Stake(ENOUGH, ENOUGH, K * COST),
}


@pytest.mark.parametrize("stake", STAKES.values(), ids=STAKES)
def test_processes_race_for_exactly_k(engine: Engine, books_url: str, stake: Stake) -> None:
    """
    Whatever limits them, credit, the day or the key: exactly K of the racers' wishes come true per tenant.
    """
    opened(engine, stake)
    held = race(books_url)
    assert len(held) == len(set(held)) == 2 * K
    with reading(engine) as connection:
        for tenant in ("acme", "bolt"):
            stored = {one.id for one in open_holds(connection, tenant)}
            assert stored == {key for key in held if key.startswith(tenant)}
            assert len(stored) == K
        assert verify(connection).problems == ()


def test_released_money_is_raced_for_again(engine: Engine, books_url: str) -> None:
    """
    After a settlement below the hold and a top-up, exactly what came free is held by the next racers.
    """
    opened(engine, STAKES["credit"])
    first = race(books_url)
    ledger = Ledger(engine)
    ledger.do(Settle("acme", "settle", NOW_US, next(key for key in first if key[0] == "a"), 1))
    ledger.do(TopUp("acme", "more", NOW_US, 5 * COST))
    again = [
        ledger.do(Reserve("acme", f"again{n}", NOW_US, f"again{n}", (Offer(COST, COST),))) for n in range(9)
    ]
    ledger.close()
    assert sum(isinstance(answer, Held) for answer in again) == 6
    with reading(engine) as connection:
        assert verify(connection).problems == ()
