"""
Deterministic simulation of the writer on real databases: faults around every step of a commit.

One thread, a plan of faults, an audited script. After every batch, whether it was answered, retried or died,
the rows are those of the model: a batch is wholly there or not at all, what was answered is there, and
nothing is there twice. `OUTLAY_TEST_LONG=1` runs many more seeds.
"""

import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import ledger_world
import pytest
from ledger_compare import shape
from ledger_faults import Crash, Place, Plan, connector
from ledger_world import rows_of_model, stored_rows
from sqlalchemy import Engine

from ledger import ClockAhead, reading, writer
from ledger.clocks import ClockCheck
from ledger.own_driver import connect
from ledger.store_memory import MemoryLedger
from ledger.types import Operation, Release, Renew, Settle
from ledger.verify import verify
from ledger.writer import Committer, Item

LONG = "OUTLAY_TEST_LONG" in os.environ
SEEDS = range(40 if LONG else 4)
LEAP_US = 3 * 86_400_000_000
CLOSINGS = (Settle, Release, Renew)


def lost() -> BaseException:
    """The connection is gone."""
    return ConnectionResetError("planned")


def busy() -> BaseException:
    """The database asks to run the transaction again."""
    error = sqlite3.OperationalError("planned")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


KINDS: tuple[Callable[[], BaseException], ...] = (lost, busy, Crash)


class Rig:
    """
    A committer that is struck by a plan, restarted after each death, and compared with the model.

    Attributes:
        now: The time, by a clock that nobody sets.
    """

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self.engine = engine
        self.plan = plan
        self.model = MemoryLedger()
        self.now = 0
        judge = cast("Engine", SimpleNamespace(dialect=SimpleNamespace(name="virtual")))
        self.check_clock = ClockCheck(judge, lambda: self.now, lambda: self.now)
        self.committer = self.new_committer()
        self.answered = self.refused = 0

    def new_committer(self) -> Committer:
        """Start, or start again."""
        return Committer(self.engine, None, check=self.check_clock)

    def run(self, batch: Sequence[Operation], leaps: Callable[[], bool] = lambda: False) -> bool:
        """
        Carry a batch out; False if the process died before it answered.

        Args:
            leaps: Whether a clock leaps: a closing is sent by it, to be carried out now; beside any other
                operation its like is sent under another key, to be refused.
        """
        start = len(self.plan.seen)
        self.now = max(self.now, *(op.now_us for op in batch))
        items = [Item(op, ()) for op in batch]
        refused: list[Item] = []
        for item in items:
            if leaps():
                late = replace(item.op, now_us=self.now + LEAP_US)
                if isinstance(late, CLOSINGS):
                    item.op = late
                else:
                    refused.append(Item(replace(late, key=f"{late.key}:leaps"), ()))
        batch = [replace(i.op, now_us=self.now) if i.op.now_us > self.now else i.op for i in items]
        died = False
        try:
            self.committer.run([*items, *refused])
        except Crash:
            died = True
            self.committer = self.new_committer()
        commits = self.plan.seen[start:].count(Place.AFTER_COMMIT)
        wanted: list[Any] = []
        for _ in range(commits):
            wanted = [shape(self.model.do(op)) for op in batch]
        if not died:
            assert [shape(item.answer()) for item in items] == wanted
            self.answered += len(batch)
            for item in refused:
                with pytest.raises(ClockAhead):
                    item.answer()
            self.refused += len(refused)
        self.check()
        return not died

    def check(self) -> None:
        """The database holds what the commits that took effect wrote, no more and no less."""
        with reading(self.engine) as connection:
            for name, rows in rows_of_model(self.model).items():
                assert stored_rows(connection, name) == rows, name

    def close(self) -> None:
        """Prove the books."""
        self.committer.disconnect()
        with reading(self.engine) as connection:
            assert verify(connection).problems == ()


@pytest.fixture
def rig(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A rig whose every connection follows its plan."""
    plan = Plan()
    monkeypatch.setattr(writer, "connect", connector(plan, connect))
    made = Rig(engine, plan)
    yield made
    made.close()


def batches(script: list[Operation], rng: random.Random) -> Iterator[list[Operation]]:
    """Cut a script into batches of one to six."""
    place = 0
    while place < len(script):
        size = rng.randrange(1, 7)
        yield script[place : place + size]
        place += size


@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults_lose_nothing_and_repeat_nothing(rig: Rig, seed: int) -> None:
    """
    Lost connections, conflicts and deaths at random steps; a client that lives asks again with its keys.
    """
    rng = random.Random(seed)
    script = ledger_world.run(1_000 + seed, 120).script
    for batch in batches(script, rng):
        near = range(rig.plan.steps, rig.plan.steps + 24)
        rig.plan.faults = {step: rng.choice(KINDS) for step in near if rng.random() < 0.12}
        answered = rig.run(batch)
        while not answered and rng.random() < 0.8:
            answered = rig.run(batch)
    assert rig.answered > len(script) // 2
    assert len(rig.plan.struck) > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_leaps_leaves_no_trace(rig: Rig, seed: int) -> None:
    """
    Amid the same faults some operations come by a clock that is days ahead: what closes or renews a hold is
    carried out now, the rest is refused, and the rows are as if nothing had leapt.
    """
    rng = random.Random(seed)
    for batch in batches(ledger_world.run(2_000 + seed, 120).script, rng):
        near = range(rig.plan.steps, rig.plan.steps + 24)
        rig.plan.faults = {step: rng.choice(KINDS) for step in near if rng.random() < 0.08}
        while not rig.run(batch, lambda: rng.random() < 0.3):
            rig.plan.faults = {}
    assert rig.refused > 10
    assert len(rig.plan.struck) > 5


def test_every_fault_at_every_step_of_a_commit(rig: Rig) -> None:
    """
    Each kind of fault strikes at each step in turn; asked again, every batch gets its answer.
    """
    cut = batches(ledger_world.run(77, 600).script, random.Random(77))
    strikes = [*product(KINDS, range(16))] * 3
    for batch, (kind, after) in zip(cut, strikes, strict=False):
        rig.plan.faults = {rig.plan.steps + after: kind}
        if not rig.run(batch):
            rig.plan.faults = {}
            assert rig.run(batch)
    reached = {(place, name) for place, name in rig.plan.struck}
    names = ("ConnectionResetError", "OperationalError", "Crash")
    assert reached >= set(product(set(Place), names))


def test_the_simulation_notices_a_commit_that_was_none(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The rig is not blind: a driver that answers without committing is found at the next comparison.
    """
    script = ledger_world.run(5, 20).script
    assert rig.run(script[:10])
    driver = rig.committer._driver
    assert driver is not None
    inner = driver.inner  # type: ignore[attr-defined]
    for name in ("commit", "transact"):
        monkeypatch.setattr(inner, name, lambda *_: inner.recover())
    with pytest.raises(AssertionError):
        rig.run(script[10:])
