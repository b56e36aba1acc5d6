"""
Admission: the chain, what due transitions do to the answer, and which models may be called.
"""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import circuit
from circuit import (
    FOREVER_US,
    BreakerState,
    CallWindow,
    HaltCode,
    Halted,
    Permit,
    Rules,
    Snapshot,
    SpendWindow,
    State,
    Switch,
    admit,
    assess,
    halted,
    probes_due,
    transitions_due,
    unhealthy_models,
)

EMPTY = Snapshot({}, {}, {}, {}, 0)


def test_an_empty_store_permits(given: SimpleNamespace) -> None:
    """
    Nothing stored means closed, running, generation 0.
    """
    permit = admit(EMPTY, given.rules, "a", given.now_us)
    assert permit == Permit({})
    assert isinstance(permit, Permit)
    assert permit.generation("m") == 0


def test_the_most_severe_refusal_wins(given: SimpleNamespace) -> None:
    """
    Global switch, tenant's switch, global speed, tenant's speed: taking one away shows the next.
    """
    until_us = given.now_us + 10 * given.s
    snapshot = Snapshot(
        breakers={at: BreakerState(at, State.OPEN, 1, until_us=until_us) for at in ("global", "tenant:a")},
        spend={}, calls={},
        switches={scope: Switch(scope, True, 1, 5, "why", "ada") for scope in ("global", "tenant:a")},
        read_us=given.now_us,
    )  # fmt: skip
    seen = []
    for switches, breakers in (
        (("global", "tenant:a"), ("global", "tenant:a")),
        (("tenant:a",), ("global", "tenant:a")),
        ((), ("global", "tenant:a")),
        ((), ("tenant:a",)),
    ):
        part = replace(
            snapshot,
            switches={scope: snapshot.switches[scope] for scope in switches},
            breakers={scope: snapshot.breakers[scope] for scope in breakers},
        )
        answer = admit(part, given.rules, "a", given.now_us)
        assert isinstance(answer, Halted)
        seen.append((answer.code, answer.scope))
    assert seen == [
        (HaltCode.KILL_SWITCH, "global"),
        (HaltCode.KILL_SWITCH, "tenant:a"),
        (HaltCode.RUNAWAY, "global"),
        (HaltCode.RUNAWAY, "tenant:a"),
    ]


def test_another_tenants_halt_does_not_matter(given: SimpleNamespace) -> None:
    """
    A tenant is stopped by its own switch and by the global one only.
    """
    assert halted({"tenant:b": Switch("tenant:b", halted=True)}, "a") is None


def test_a_switch_turned_back_permits(given: SimpleNamespace) -> None:
    """
    A stored switch that is not halted stops nobody.
    """
    assert halted({"global": Switch("global", halted=False, epoch=2)}, "a") is None


def test_a_threshold_that_is_reached_refuses_before_anybody_wrote_it(given: SimpleNamespace) -> None:
    """
    The answer counts the trip that is due, with the numbers of both sides and a time to come back.
    """
    snapshot = replace(EMPTY, spend={"tenant:a": SpendWindow(5_000)})
    answer = admit(snapshot, given.rules, "a", given.now_us)
    assert isinstance(answer, Halted)
    assert (answer.code, answer.scope, answer.retry_after_s) == (HaltCode.RUNAWAY, "tenant:a", 600)
    assert tuple(
        answer.numbers[name] for name in ("spent_nanos", "max_nanos", "close_below_nanos", "window_s")
    ) == (5_000, 5_000, 3_500, 300)
    assert given.now_us + 600 * given.s == answer.until_us == answer.numbers["until_us"]
    due = transitions_due(snapshot, given.rules, "a", given.now_us)
    assert [transition.scope for transition in due] == ["tenant:a"]


def test_retry_after_is_rounded_up(given: SimpleNamespace) -> None:
    """
    One microsecond left is one second to wait, never zero.
    """
    for left_us, seconds in ((1, 1), (given.s, 1), (given.s + 1, 2)):
        state = BreakerState("global", State.OPEN, 1, until_us=given.now_us + left_us)
        answer = admit(replace(EMPTY, breakers={"global": state}), given.rules, "a", given.now_us)
        assert isinstance(answer, Halted)
        assert seconds == answer.retry_after_s


def test_forced_open_is_a_persons_halt(given: SimpleNamespace) -> None:
    """
    A spend breaker forced open has no end and the code of the kill switch.
    """
    state = BreakerState("global", State.FORCED_OPEN, 1, reason="audit", actor="ada")
    answer = admit(replace(EMPTY, breakers={"global": state}), given.rules, "a", given.now_us)
    assert isinstance(answer, Halted)
    assert (
        answer.code, answer.reason, answer.until_us, answer.retry_after_s,
    ) == (HaltCode.KILL_SWITCH, "audit", None, None)  # fmt: skip


def test_a_disabled_breaker_permits_whatever_is_spent(given: SimpleNamespace) -> None:
    """
    Disabled never blocks and never trips.
    """
    state = BreakerState("tenant:a", State.DISABLED, 3)
    snapshot = replace(EMPTY, breakers={"tenant:a": state}, spend={"tenant:a": SpendWindow(10**12)})
    assert admit(snapshot, given.rules, "a", given.now_us) == Permit({"tenant:a": 3})
    assert transitions_due(snapshot, given.rules, "a", given.now_us) == ()


def test_models_by_health(given: SimpleNamespace) -> None:
    """
    Tripping, open, probed and forced models are unhealthy; one whose cooldown passed waits for a probe.
    """
    later_us = given.now_us + 9 * given.s
    breakers = {
        "model:open": BreakerState("model:open", State.OPEN, 1, until_us=later_us),
        "model:probed": BreakerState("model:probed", State.HALF_OPEN, 2, until_us=later_us),
        "model:forced": BreakerState("model:forced", State.FORCED_OPEN, 1),
        "model:passed": BreakerState("model:passed", State.OPEN, 1, until_us=given.now_us),
        "model:fine": BreakerState("model:fine", State.CLOSED, 4),
    }
    calls = {"model:bad": CallWindow(20, 10), "model:good": CallWindow(20, 9), "model:fine": CallWindow()}
    snapshot = replace(EMPTY, breakers=breakers, calls=calls)
    assert unhealthy_models(snapshot, given.rules, given.now_us) == {
        "open": later_us, "probed": later_us, "forced": FOREVER_US, "bad": given.now_us + 30 * given.s,
    }  # fmt: skip
    assert {"passed": breakers["model:passed"]} == probes_due(snapshot, given.rules, given.now_us)
    due = transitions_due(snapshot, given.rules, "a", given.now_us)
    assert [transition.scope for transition in due] == ["model:bad"]
    permit = admit(snapshot, given.rules, "a", given.now_us)
    assert isinstance(permit, Permit)
    assert (permit.generation("fine"), permit.generation("good")) == (4, 0)


def test_assessing_once_says_what_the_parts_say(given: SimpleNamespace) -> None:
    """
    The one assessment of a call and the four single questions agree.
    """
    snapshot = replace(
        EMPTY,
        breakers={"model:passed": BreakerState("model:passed", State.OPEN, 1, until_us=given.now_us)},
        spend={"global": SpendWindow(50_000), "tenant:a": SpendWindow(5_000)},
        calls={"model:bad": CallWindow(20, 10)},
    )
    asked = (snapshot, given.rules, "a", given.now_us)
    whole = assess(*asked)
    assert [wish.scope for wish in whole.due] == ["global", "tenant:a", "model:bad"]
    assert (whole.answer, whole.due) == (admit(*asked), transitions_due(*asked))
    assert whole.unhealthy == unhealthy_models(snapshot, given.rules, given.now_us)
    assert whole.probes == probes_due(snapshot, given.rules, given.now_us)
    assert (set(whole.unhealthy), set(whole.probes)) == ({"bad"}, {"passed"})


def test_a_probe_can_be_claimed_from_a_lease_long_gone(given: SimpleNamespace) -> None:
    """
    After a long idle time the lost lease and the new claim follow each other by version.
    """
    state = BreakerState("model:m", State.HALF_OPEN, 2, until_us=given.now_us - 3_600 * given.s, trips=1)
    snapshot = replace(EMPTY, breakers={"model:m": state})
    (due,) = transitions_due(snapshot, given.rules, "a", given.now_us)
    claimable = probes_due(snapshot, given.rules, given.now_us)["m"]
    assert (due.version, claimable.version, claimable.state) == (2, 3, State.OPEN)


def test_no_rules_no_breakers(given: SimpleNamespace) -> None:
    """
    Without rules nothing trips, whatever was spent or failed.
    """
    snapshot = replace(EMPTY, spend={"global": SpendWindow(2**62)}, calls={"model:m": CallWindow(99, 99)})
    assert admit(snapshot, Rules(), "a", given.now_us) == Permit({})
    assert unhealthy_models(snapshot, Rules(), given.now_us) == {}


def test_importing_the_package_loads_no_database_library() -> None:
    """
    The pure part and the memory store come without SQLAlchemy; the SQL store brings it.
    """
    code = (
        "import circuit, sys; assert 'sqlalchemy' not in sys.modules; "
        "circuit.SqlCircuitStore; assert 'sqlalchemy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert all(hasattr(circuit, name) for name in circuit.__all__)
    assert not hasattr(circuit, "nothing_of_that_name")
