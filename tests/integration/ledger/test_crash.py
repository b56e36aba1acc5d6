"""
Processes that race, and processes that are killed in mid-traffic: real databases, real signals.
"""

import subprocess
import sys
import time

import pytest
from sqlalchemy import Engine

from ledger import Ledger, reading
from ledger.reads import balance, hold, open_holds
from ledger.types import Offer, OpenAccount, Reserve
from ledger.verify import verify

START_US = 1_763_700_000 * 1_000_000

RACER = """
import sys, threading
from ledger import Ledger, make_engine
from ledger.types import Held, Offer, Reserve
url, name, threads, turns = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ledger = Ledger(make_engine(url), owner=name)
held = []
def work(thread):
    for turn in range(turns):
        key = f"{name}-{thread}-{turn}"
        answer = ledger.do(Reserve("acme", key, 1763700000000000, key, (Offer(100, 60),), sticky=True))
        if isinstance(answer, Held):
            held.append(key)
every = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
[one.start() for one in every]
[one.join() for one in every]
ledger.close()
print(len(held))
"""

TRAFFIC = """
import sys, threading
from ledger import Ledger, make_engine
from ledger.types import Held, Offer, Reserve, Settle
url, name = sys.argv[1], sys.argv[2]
ledger = Ledger(make_engine(url), owner=name)
out = threading.Lock()
def say(*words):
    with out:
        sys.stdout.write(" ".join(map(str, words)) + "\\n")
        sys.stdout.flush()
def work(thread):
    turn = 0
    while True:
        turn += 1
        key = f"{name}-{thread}-{turn}"
        ledger.do(Reserve("acme", key, 1763700000000000, key, (Offer(100, 60),)))
        say("held", key)
        if turn % 5:
            ledger.do(Settle("acme", key + "-s", 1763700000000000, key, 70 + turn % 40))
            say("settled", key, 70 + turn % 40)
for n in range(6):
    threading.Thread(target=work, args=(n,), daemon=True).start()
threading.Event().wait()
"""


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a Python process."""
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def opened(engine: Engine, credit: int, limit: int | None) -> None:
    """Open the tenant."""
    ledger = Ledger(engine)
    ledger.do(OpenAccount("acme", "open", START_US, "Europe/Berlin", credit, limit))
    ledger.close()


@pytest.mark.parametrize(("credit", "limit"), [(53 * 100 + 99, None), (10**6, 53 * 100 + 99)])
def test_processes_race_for_exactly_k(
    engine: Engine, database_url: str, credit: int, limit: int | None
) -> None:
    """
    Three processes of eight threads want 240 holds; credit, or the day's budget, bears 53: exactly 53.
    """
    opened(engine, credit, limit)
    racers = [start(RACER, database_url, f"p{n}", "8", "10") for n in range(3)]
    counts = [int(racer.communicate(timeout=120)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sum(counts) == 53
    with reading(engine) as connection:
        assert len(open_holds(connection, "acme")) == 53
        assert verify(connection).problems == ()


def test_killed_process_loses_nothing_that_was_answered(engine: Engine, database_url: str) -> None:
    """
    kill -9 in mid-traffic: what was answered is in the books, the books are whole, and what the dead left
    open is captured at its expiry.
    """
    opened(engine, 10**9, None)
    said: list[str] = []
    for life in range(3):
        process = start(TRAFFIC, database_url, f"life{life}")
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.25)
        process.kill()
        rest = process.communicate(timeout=60)[0]
        said.extend(line for line in (first + rest).split("\n")[:-1] if line)
    assert sum(line.startswith("settled") for line in said) > 10
    with reading(engine) as connection:
        for line in said:
            _check_said(connection, line.split())
        assert verify(connection).problems == ()
        left = len(open_holds(connection, "acme"))
    ledger = Ledger(engine)
    assert ledger.sweep(START_US + 3_600 * 1_000_000) == left > 0
    ledger.close()
    with reading(engine) as connection:
        shown = balance(connection, "acme", START_US)
        assert shown is not None
        assert shown.account.held_nanos == 0
        assert verify(connection).problems == ()


def _check_said(connection: object, words: list[str]) -> None:
    """What a process said before it died is in the books."""
    found = hold(connection, words[1])  # type: ignore[arg-type]
    assert found is not None, words
    if words[0] == "settled":
        assert (found.state, found.cost_nanos) == ("settled", int(words[2]))


def test_admission_does_not_wait_for_a_sweeper(engine: Engine) -> None:
    """
    An expired hold of a dead process frees nothing and blocks nothing that its capture would not.
    """
    opened(engine, 1_000, None)
    ledger = Ledger(engine)
    ledger.do(Reserve("acme", "a", START_US, "a", (Offer(900, 1),), ttl_us=10))
    ledger.do(Reserve("acme", "b", START_US + 11, "b", (Offer(100, 1),)))
    ledger.close()
    with reading(engine) as connection:
        captured = hold(connection, "a")
        assert captured is not None
        assert (captured.state, captured.charge_nanos) == ("expired", 900)
        assert len(open_holds(connection, "acme")) == 1
