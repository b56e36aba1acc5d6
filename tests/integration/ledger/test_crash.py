"""
Writers that are killed in mid-traffic, again and again: real processes, real signals, both engines.
"""

import json
import os
import random
import subprocess
import sys
import time
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from ledger import Ledger, reading, tables
from ledger.reads import balance, hold, open_holds
from ledger.types import Offer, OpenAccount, Reserve, Settle, TopUp, settle_key
from ledger.verify import verify

NOW_US = 1_763_700_000 * 1_000_000
LIVES = 60 if "OUTLAY_TEST_LONG" in os.environ else 5

TRAFFIC = """
import json, sys, threading
from ledger import Ledger, make_engine
from ledger.types import Adjust, Offer, Refund, Release, Reserve, Settle, TopUp, settle_key
url, name = sys.argv[1], sys.argv[2]
now = 1763700000000000
ledger = Ledger(make_engine(url), owner=name)
out = threading.Lock()
def ask(tenant, op):
    answer = ledger.do(op)
    fields = {key: getattr(op, key) for key in op.__dataclass_fields__ if key != "offers"}
    with out:
        sys.stdout.write(json.dumps([type(op).__name__, fields, repr(answer)]) + "\\n")
        sys.stdout.flush()
def work(thread):
    turn, tenant = 0, ("acme", "bolt")[thread % 2]
    while True:
        turn += 1
        key = f"{name}-{thread}-{turn}"
        ask(tenant, Reserve(tenant, key, now, key, (Offer(100, 60),)))
        if turn % 7 == 1:
            ask(tenant, Release(tenant, key + "-r", now, key))
        elif turn % 7:
            ask(tenant, Settle(tenant, settle_key(key), now, key, 70 + turn % 60))
        if turn % 5 == 2:
            ask(tenant, Refund(tenant, key + "-f", now, key, 9))
        if turn % 6 == 3:
            ask(tenant, TopUp(tenant, key + "-t", now, 500 + turn, "promo"))
        if turn % 9 == 4:
            ask(tenant, Adjust(tenant, key + "-a", now, -turn, "counted"))
for n in range(6):
    threading.Thread(target=work, args=(n,), daemon=True).start()
threading.Event().wait()
"""


def live_and_die(url: str, name: str, rng: random.Random) -> list[Any]:
    """Let a writer work for a while, kill it, and return what it had been answered."""
    process = subprocess.Popen([sys.executable, "-c", TRAFFIC, url, name], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(rng.uniform(0.0, 0.3))
    process.kill()
    text = first + process.stdout.read()  # communicate() with a timeout would lose what was buffered
    process.wait()
    process.stdout.close()
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def transfers(connection: Connection) -> int:
    """Count the transfers."""
    return int(connection.execute(select(func.count()).select_from(tables.transfer)).scalar_one())


def ended(engine: Engine) -> None:
    """Wait for a COMMIT that the dead had sent: a server carries it out without them."""
    with engine.begin() as connection:
        connection.execute(select(tables.account).with_for_update()).all()


def asked_again(ledger: Ledger, kind: str, fields: dict[str, Any], said: str) -> None:
    """Ask what was answered before the death: the same answer, marked as a repetition."""
    from ledger import types

    if kind == "Reserve":
        fields = {**fields, "offers": (Offer(100, 60),), "scopes": tuple(fields["scopes"])}
    again = ledger.do(getattr(types, kind)(**fields))
    assert getattr(again, "replayed", False), (kind, fields, again)
    if kind != "Reserve":  # a hold is shown as it is now
        assert repr(again) == said.replace("replayed=False", "replayed=True")


def test_killed_writers_lose_nothing_that_was_answered(engine: Engine, books_url: str) -> None:
    """
    kill -9 in mid-traffic, life after life: the books are whole, every answer is in them and is given again
    by its key, nothing is booked twice, and what the dead left open is captured at its expiry.
    """
    rng = random.Random(9)
    ledger = Ledger(engine)
    for tenant in ("acme", "bolt"):
        ledger.do(OpenAccount(tenant, "open", NOW_US, "Europe/Berlin", 10**9, None))
    answered = 0
    for life in range(LIVES):
        said = live_and_die(books_url, f"life{life}", rng)
        ended(engine)
        with reading(engine) as connection:
            assert verify(connection).problems == ()
            before = transfers(connection)
        for kind, fields, answer in said:
            if not answer.startswith("Refused"):  # a refusal changed nothing, and may be none now
                asked_again(ledger, kind, fields, answer)
        answered += len(said)
        with reading(engine) as connection:
            assert transfers(connection) == before, "a repetition moved money"
    assert answered > 20 * LIVES
    with reading(engine) as connection:
        left = sum(len(open_holds(connection, tenant)) for tenant in ("acme", "bolt"))
    assert ledger.sweep(NOW_US + 3_600 * 1_000_000) == left > 0
    ledger.close()
    with reading(engine) as connection:
        for tenant in ("acme", "bolt"):
            shown = balance(connection, tenant, NOW_US)
            assert shown is not None
            assert shown.account.held_nanos == 0
        assert verify(connection).problems == ()


def test_the_living_go_on_beside_the_dying(engine: Engine, books_url: str) -> None:
    """
    A ledger in this process keeps its pace and its answers while others are killed in mid-commit.
    """
    rng = random.Random(4)
    ledger = Ledger(engine)
    for tenant in ("acme", "bolt"):
        ledger.do(OpenAccount(tenant, "open", NOW_US, "Europe/Berlin", 10**9, None))
    for life in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", TRAFFIC, books_url, f"beside{life}"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        for turn in range(rng.randrange(20, 60)):
            key = f"mine{life}-{turn}"
            ledger.do(Reserve("acme", key, NOW_US, key, (Offer(10, 5),)))
            ledger.do(Settle("acme", settle_key(key), NOW_US, key, 7))
        process.kill()
        process.communicate(timeout=60)
        assert not getattr(ledger.do(TopUp("bolt", f"after{life}", NOW_US, 1)), "replayed", True)
    ledger.close()
    with reading(engine) as connection:
        assert verify(connection).problems == ()


def test_admission_does_not_wait_for_a_sweeper(engine: Engine) -> None:
    """
    An expired hold of a dead process frees nothing and blocks nothing that its capture would not.
    """
    ledger = Ledger(engine)
    ledger.do(OpenAccount("acme", "open", NOW_US, "Europe/Berlin", 1_000, None))
    ledger.do(Reserve("acme", "a", NOW_US, "a", (Offer(900, 1),), ttl_us=10))
    ledger.do(Reserve("acme", "b", NOW_US + 11, "b", (Offer(100, 1),)))
    ledger.close()
    with reading(engine) as connection:
        captured = hold(connection, "a")
        assert captured is not None
        assert (captured.state, captured.charge_nanos) == ("expired", 900)
        assert len(open_holds(connection, "acme")) == 1
