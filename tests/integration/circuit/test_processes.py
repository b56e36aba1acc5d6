"""
Several processes on one database: races for a probe, a prober that dies, a halt that others see.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from circuit import (
    Outcome,
    ProviderRule,
    Rules,
    SqlCircuitStore,
    call_delta,
    check_chains,
    claim_probe,
    probes_due,
    transitions_due,
    unhealthy_models,
)
from circuit.types import US_PER_S

RULES = Rules(provider=ProviderRule(min_calls=4, cooldown_s=1))
PROBER = Path(__file__).with_name("prober.py")
Start = Callable[[str, int], list["subprocess.Popen[str]"]]


def now_us() -> int:
    """The real clock: other processes have no other."""
    return time.time_ns() // 1_000


@pytest.fixture
def start(books_url: str, engine: Engine, tmp_path: Path) -> Iterator[Start]:
    """Start processes that all wait, then let them go at the same moment."""
    running: list[subprocess.Popen[str]] = []

    def go(order: str, count: int) -> list["subprocess.Popen[str]"]:
        flag = tmp_path / f"start-{len(running)}"
        command = [sys.executable, str(PROBER), books_url, order, str(flag)]
        fresh = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        running.extend(fresh)
        assert ["ready"] * count == [_line(process) for process in fresh]
        flag.touch()
        return fresh

    yield go
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def trip(store: SqlCircuitStore) -> None:
    """Open the model's breaker long enough ago that its cooldown has passed."""
    then_us = now_us() - 40 * US_PER_S
    delta = call_delta("m", Outcome.FAILURE, then_us, "w")
    assert delta is not None
    store.record([delta] * 4)
    snapshot = store.read(None, ("model:m",), then_us, RULES)
    assert store.apply(transitions_due(snapshot, RULES, "a", then_us))


def test_one_of_eight_processes_probes(sql_store: SqlCircuitStore, start: Start) -> None:
    """
    Eight processes find the same probe due at the same moment; exactly one may send.
    """
    trip(sql_store)
    said = Counter(_line(process) for process in start("claim", 8))
    assert said == Counter({"lost": 7, "won": 1})
    events = sql_store.events(None)
    assert Counter(event.transition.to_state for event in events) == Counter({"open": 1, "half_open": 1})
    assert check_chains(events) == ()


def test_a_killed_prober_is_replaced_after_its_lease(sql_store: SqlCircuitStore, start: Start) -> None:
    """
    kill -9 of the probing process: nobody else sends within the lease; after it and the cooldown another may.
    """
    trip(sql_store)
    (prober,) = start("hang", 1)
    assert _line(prober) == "won"
    prober.kill()
    prober.wait()
    at_us = now_us()
    snapshot = sql_store.read(None, ("model:m",), at_us, RULES)
    lease_us = snapshot.breakers["model:m"].until_us
    assert lease_us is not None
    assert (unhealthy_models(snapshot, RULES, at_us), probes_due(snapshot, RULES, at_us)) == (
        {"m": lease_us},
        {},
    )
    snapshot = sql_store.read(None, ("model:m",), lease_us, RULES)
    assert unhealthy_models(snapshot, RULES, lease_us) == {"m": lease_us + 2 * US_PER_S}
    later_us = lease_us + 2 * US_PER_S
    snapshot = sql_store.read(None, ("model:m",), later_us, RULES)
    claim = claim_probe(probes_due(snapshot, RULES, later_us)["m"], later_us, 60, "next")
    assert claim is not None
    due = transitions_due(snapshot, RULES, "a", later_us)
    assert [made.to_state for made in sql_store.apply((*due, claim))] == ["open", "half_open"]


def test_a_halt_is_seen_by_the_next_reading_of_another_process(
    sql_store: SqlCircuitStore, start: Start
) -> None:
    """
    Once another process says that it halted, this one's next reading says so: nothing is cached.
    """
    assert sql_store.switches(("global",)) == {}
    (other,) = start("halt", 1)
    assert _line(other) == "halted"
    assert sql_store.switches(("global",))["global"].halted
    assert sql_store.read(None, ("global",), now_us(), RULES).switches["global"].reason == "race"


def test_of_eight_halts_one_changes_the_switch(sql_store: SqlCircuitStore, start: Start) -> None:
    """
    Processes that halt at once are all told the truth: one halted, the others found it halted.
    """
    said = Counter(_line(process) for process in start("halt", 8))
    assert said == Counter({"already_halted": 7, "halted": 1})
    assert sql_store.switches(("global",))["global"].epoch == 1
    assert len(sql_store.events(None)) == 1


def test_two_claims_in_one_order_cannot_lock_each_other_out(sql_store: SqlCircuitStore) -> None:
    """
    Transitions of several scopes are taken in one order whatever order they are given in.
    """
    at_us = now_us()
    first = sql_store.halt("tenant:z", "r", "ada", at_us)
    assert first.changed
    trip(sql_store)
    later_us = now_us()
    snapshot = sql_store.read(None, ("model:m",), later_us, RULES)
    claim = claim_probe(probes_due(snapshot, RULES, later_us)["m"], later_us, 60, "p")
    assert claim is not None
    other = replace(claim, scope="model:a", version=0)
    assert [made.scope for made in sql_store.apply((claim, other))] == ["model:a", "model:m"]
