"""
The contract of the store, the same on memory, SQLite and PostgreSQL.
"""

from dataclasses import replace

import pytest

from circuit import (
    BreakerState,
    CallWindow,
    CircuitStore,
    HaltCode,
    Halted,
    ManualCode,
    Outcome,
    Permit,
    Rules,
    SpendWindow,
    State,
    Switch,
    admit,
    call_delta,
    check_chains,
    claim_probe,
    finish_probe,
    halted,
    probes_due,
    replay,
    spend_deltas,
    switch_scopes,
    transitions_due,
    unhealthy_models,
)

S = 1_000_000
NOW = 1_800_000_000 * S
SCOPES = ("global", "tenant:a", "model:m", "model:n")


def test_an_empty_store_reads_empty(store: CircuitStore, rules: Rules) -> None:
    """
    Nothing stored: no states, no money, no calls, and admission permits.
    """
    snapshot = store.read(None, SCOPES, NOW, rules)
    assert (snapshot.breakers, snapshot.switches, snapshot.read_us) == ({}, {}, NOW)
    assert snapshot.spend == {"global": SpendWindow(0), "tenant:a": SpendWindow(0)}
    assert snapshot.calls == {"model:m": CallWindow(), "model:n": CallWindow()}
    assert isinstance(admit(snapshot, rules, "a", NOW), Permit)
    assert store.standing().breakers == store.standing().switches == store.events() == ()
    assert store.switches(("global", "tenant:a")) == {}


def test_reading_nothing_and_without_rules(store: CircuitStore) -> None:
    """
    No scopes and no rules are answers too.
    """
    snapshot = store.read(None, (), NOW, Rules())
    assert (snapshot.breakers, snapshot.switches, snapshot.spend, snapshot.calls) == ({}, {}, {}, {})
    assert store.switches(()) == {}
    assert store.read(None, SCOPES, NOW, Rules()).spend == {}


def test_windows_are_summed_over_writers(store: CircuitStore, rules: Rules) -> None:
    """
    Shards of several writers and buckets add up; each scope has its own window length.
    """
    old_us = NOW - 100 * S
    for writer in ("w1", "w2"):
        store.record(spend_deltas([("a", NOW, 100), ("a", old_us, 7), ("b", NOW, 1)], writer))
    store.record(spend_deltas([("a", NOW, -30), ("a", NOW - 400 * S, 999)], "w1"))
    snapshot = store.read(None, SCOPES, NOW, rules)
    assert snapshot.spend == {"global": SpendWindow(172), "tenant:a": SpendWindow(184)}
    assert store.read(None, ("tenant:b",), NOW, rules).spend == {"tenant:b": SpendWindow(2)}


def test_big_money_is_kept_exactly(store: CircuitStore, rules: Rules) -> None:
    """
    Sums beyond what a float can carry come back as exact integers.
    """
    store.record(spend_deltas([("a", NOW, 2**61 + 1)], "w1"))
    store.record(spend_deltas([("a", NOW, 2)], "w2"))
    assert store.read(None, ("tenant:a",), NOW, rules).spend["tenant:a"] == SpendWindow(2**61 + 3)


def test_a_runaway_trips_refuses_and_recovers(store: CircuitStore, rules: Rules) -> None:
    """
    The whole life of a spend breaker: trip with numbers, refuse, another cooldown, close.
    """
    store.record(spend_deltas([("a", NOW, 5_000)], "w"))
    snapshot = store.read(None, SCOPES, NOW, rules)
    due = transitions_due(snapshot, rules, "a", NOW)
    assert [(wish.scope, wish.to_state) for wish in store.apply(due)] == [("tenant:a", "open")]
    answer = admit(store.read(None, SCOPES, NOW + 1, rules), rules, "a", NOW + 1)
    assert isinstance(answer, Halted)
    assert (
        answer.code,
        answer.scope,
        answer.until_us,
        answer.numbers["spent_nanos"],
    ) == (HaltCode.RUNAWAY, "tenant:a", NOW + 600 * S, 5_000)
    assert isinstance(admit(store.read(None, ("global", "tenant:b"), NOW, rules), rules, "b", NOW), Permit)
    store.record(spend_deltas([("a", NOW + 590 * S, 3_500)], "w"))
    for now_us, to in ((NOW + 600 * S, "open"), (NOW + 1_200 * S, "closed")):
        due = transitions_due(store.read(None, SCOPES, now_us, rules), rules, "a", now_us)
        assert [wish.to_state for wish in store.apply(due)] == [to]
    assert isinstance(admit(store.read(None, SCOPES, now_us, rules), rules, "a", now_us), Permit)


def test_who_is_late_changes_nothing(store: CircuitStore, rules: Rules) -> None:
    """
    Of two transitions from one version the second is lost: no state, no event.
    """
    store.record(spend_deltas([("a", NOW, 5_000)], "w"))
    (first,) = transitions_due(store.read(None, SCOPES, NOW, rules), rules, "a", NOW)
    second = replace(first, at_us=first.at_us + 5, reason="late")
    assert store.apply((first,)) == (first,)
    before = (store.standing(), store.events())
    assert store.apply((second,)) == ()
    assert store.apply((replace(second, version=7),)) == ()
    assert store.apply(()) == ()
    assert before == (store.standing(), store.events())
    assert store.standing().breakers[0].reason == first.reason


def test_a_provider_trips_is_probed_and_closes(store: CircuitStore, rules: Rules) -> None:
    """
    Failures trip; after the cooldown exactly one claim wins; its success closes; old outcomes do not count.
    """
    _fail(store, 4, generation=0)
    (trip,) = store.apply(transitions_due(store.read(None, SCOPES, NOW, rules), rules, "a", NOW))
    assert unhealthy_models(store.read(None, SCOPES, NOW, rules), rules, NOW) == {"m": NOW + 30 * S}
    later = NOW + 30 * S
    claimable = probes_due(store.read(None, SCOPES, later, rules), rules, later)["m"]
    claims = [claim_probe(claimable, later, 60, f"p{number}") for number in (1, 2)]
    won = [store.apply((claim,)) for claim in claims if claim is not None]
    assert [len(made) for made in won] == [1, 0]
    assert unhealthy_models(store.read(None, SCOPES, later, rules), rules, later) == {"m": later + 60 * S}
    assert rules.provider is not None
    done = finish_probe(won[0][0], succeeded=True, cooldown=rules.provider.cooldown, now_us=later + S)
    assert store.apply((done,)) == (done,)
    _fail(store, 9, generation=trip.version)
    _fail(store, 3, generation=3)
    snapshot = store.read(None, SCOPES, later + S, rules)
    assert (CallWindow(3, 3), State.CLOSED, 3) == (
        snapshot.calls["model:m"],
        snapshot.breakers["model:m"].state,
        snapshot.breakers["model:m"].version,
    )
    assert transitions_due(snapshot, rules, "a", later + S) == ()


def test_a_late_outcome_of_a_lost_probe_changes_nothing(store: CircuitStore, rules: Rules) -> None:
    """
    The lease runs out, the breaker reopens for longer, and the prober's late success finds it moved on.
    """
    _fail(store, 4, generation=0)
    store.apply(transitions_due(store.read(None, SCOPES, NOW, rules), rules, "a", NOW))
    later = NOW + 30 * S
    claim = claim_probe(probes_due(store.read(None, SCOPES, later, rules), rules, later)["m"], later, 60, "p")
    assert claim is not None
    store.apply((claim,))
    lost = later + 60 * S
    (expired,) = store.apply(transitions_due(store.read(None, SCOPES, lost, rules), rules, "a", lost))
    assert (State.OPEN, lost + 60 * S) == (expired.to_state, expired.until_us)
    assert rules.provider is not None
    late = finish_probe(claim, succeeded=True, cooldown=rules.provider.cooldown, now_us=lost + S)
    assert store.apply((late,)) == ()
    assert unhealthy_models(store.read(None, SCOPES, lost, rules), rules, lost) == {"m": lost + 60 * S}


def _fail(store: CircuitStore, count: int, *, generation: int) -> None:
    delta = call_delta("m", Outcome.FAILURE, NOW, "w", generation)
    assert delta is not None
    store.record([delta] * count)


def test_halt_and_resume(store: CircuitStore) -> None:
    """
    Halting twice and resuming what runs are answers with codes; only changes are events.
    """
    scope = "tenant:a"
    first = store.halt(scope, "runaway agent", "ada", NOW)
    again = store.halt(scope, "me too", "bob", NOW + 1)
    assert (first.code, first.changed, first.version, first.actor) == (ManualCode.HALTED, True, 1, "ada")
    assert (
        again.code, again.changed, again.version, again.actor, again.reason, again.since_us,
    ) == (ManualCode.ALREADY_HALTED, False, 1, "ada", "runaway agent", NOW)  # fmt: skip
    refusal = halted(store.switches(switch_scopes("a")), "a")
    assert refusal is not None
    assert (HaltCode.KILL_SWITCH, scope, "runaway agent", 1) == (
        refusal.code, refusal.scope, refusal.reason, refusal.numbers["epoch"],
    )  # fmt: skip
    assert halted(store.switches(switch_scopes("b")), "b") is None
    assert store.resume("global", "?", "ada", NOW).code is ManualCode.NOT_HALTED
    assert store.resume(scope, "fixed", "bob", NOW + 2).code is ManualCode.RESUMED
    assert store.resume(scope, "fixed", "bob", NOW + 3).code is ManualCode.NOT_HALTED
    assert store.switches((scope,)) == {scope: Switch(scope, False, 2, NOW + 2, "fixed", "bob")}
    assert [
        (event.transition.from_state, event.transition.to_state) for event in reversed(store.events())
    ] == [("running", "halted"), ("halted", "running")]


@pytest.mark.parametrize(
    ("scope", "reason", "actor", "code"),
    [
        ("model:m", "r", "ada", ManualCode.SCOPE_INVALID),
        ("tenant:", "r", "ada", ManualCode.SCOPE_INVALID),
        ("tenant:a\x00b", "r", "ada", ManualCode.SCOPE_INVALID),
        ("nonsense", "r", "ada", ManualCode.SCOPE_INVALID),
        ("", "r", "ada", ManualCode.SCOPE_INVALID),
        ("global", "", "ada", ManualCode.REASON_REQUIRED),
        ("global", " \t", "ada", ManualCode.REASON_REQUIRED),
        ("global", "r", "", ManualCode.ACTOR_REQUIRED),
        ("global", "r\x00", "ada", ManualCode.TEXT_INVALID),
        ("global", "r" * 1_001, "ada", ManualCode.TEXT_INVALID),
    ],
)
def test_orders_need_a_scope_a_reason_and_an_actor(
    store: CircuitStore, scope: str, reason: str, actor: str, code: ManualCode
) -> None:
    """
    A refused order names what is missing and writes nothing.
    """
    answers = [store.halt(scope, reason, actor, NOW), store.resume(scope, reason, actor, NOW)]
    assert [(code, False)] * 2 == [(answer.code, answer.changed) for answer in answers]
    assert store.events() == ()


def test_force_disable_and_reset(store: CircuitStore, rules: Rules) -> None:
    """
    A model forced open is unhealthy for ever, a reset closes, repeating an order changes nothing.
    """
    codes = [
        store.force("model:m", State.FORCED_OPEN, "bad answers", "ada", NOW).code,
        store.force("model:m", State.FORCED_OPEN, "bad answers", "ada", NOW).code,
        store.force("model:m", State.DISABLED, "trust it", "ada", NOW).code,
        store.reset("model:m", "normal again", "ada", NOW).code,
        store.reset("model:m", "normal again", "ada", NOW).code,
        store.reset("model:x", "never moved", "ada", NOW).code,
        store.reset("elsewhere", "no such scope", "ada", NOW).code,
    ]
    assert codes == [
        ManualCode.FORCED_OPEN, ManualCode.ALREADY_FORCED_OPEN, ManualCode.DISABLED, ManualCode.RESET,
        ManualCode.ALREADY_CLOSED, ManualCode.ALREADY_CLOSED, ManualCode.SCOPE_INVALID,
    ]  # fmt: skip
    assert unhealthy_models(store.read(None, SCOPES, NOW, rules), rules, NOW) == {}


def test_money_from_before_a_reset_does_not_trip_again(store: CircuitStore, rules: Rules) -> None:
    """
    The window after a reset holds only what was spent since; without that a reset would last one call.
    """
    store.record(spend_deltas([("a", NOW - 100 * S, 9_000)], "w"))
    store.apply(transitions_due(store.read(None, SCOPES, NOW, rules), rules, "a", NOW))
    store.reset("tenant:a", "a wanted batch", "ada", NOW + S)
    store.record(spend_deltas([("a", NOW + 5 * S, 4_999)], "w"))
    snapshot = store.read(None, SCOPES, NOW + 6 * S, rules)
    assert snapshot.spend["tenant:a"] == SpendWindow(4_999)
    assert isinstance(admit(snapshot, rules, "a", NOW + 6 * S), Permit)
    store.record(spend_deltas([("a", NOW + 6 * S, 1)], "w"))
    assert isinstance(admit(store.read(None, SCOPES, NOW + 6 * S, rules), rules, "a", NOW + 6 * S), Halted)


def test_a_reset_from_the_future_hides_no_spending(store: CircuitStore, rules: Rules) -> None:
    """
    A reset made while the clock was a day ahead does not blind the breaker once the clock is right.
    """
    store.force("tenant:a", State.DISABLED, "r", "ada", NOW)
    store.reset("tenant:a", "r", "ada", NOW + 86_400 * S)
    store.record(spend_deltas([("a", NOW, 6_000)], "w"))
    assert store.read(None, ("tenant:a",), NOW, rules).spend["tenant:a"] == SpendWindow(6_000)


def test_replaying_the_events_rebuilds_the_states(store: CircuitStore, rules: Rules) -> None:
    """
    Everything that moved is in the journal, unbroken, with the numbers it saw; states follow from it.
    """
    store.halt("global", 'quoted "text" and üñí', "ada", NOW)
    store.record(spend_deltas([("a", NOW, 5_000)], "w"))
    store.apply(transitions_due(store.read(None, SCOPES, NOW, rules), rules, "a", NOW))
    store.resume("global", "over", "ada", NOW + 1)
    _fail(store, 4, generation=0)
    store.apply(transitions_due(store.read(None, SCOPES, NOW, rules), rules, "a", NOW))
    store.force("tenant:b", State.FORCED_OPEN, "audit", "ada", NOW + 2)
    store.reset("tenant:b", "audited", "ada", NOW + 3)
    events = store.events(None)
    assert len(events) == 6
    assert check_chains(events) == ()
    assert replay(events) == store.standing()
    assert replay(reversed(events)) == store.standing()
    tripped = next(event.transition for event in events if event.transition.rule == "spend")
    assert (tripped.numbers["spent_nanos"], tripped.numbers["max_nanos"]) == (5_000, 5_000)


def test_a_changed_or_missing_event_is_found(store: CircuitStore) -> None:
    """
    Every field is under the hash, and an event cut out of the middle breaks the chain.
    """
    for at in range(3):
        store.halt("global", f"r{at}", "ada", NOW + at)
        store.resume("global", f"r{at}", "ada", NOW + at)
    events = store.events(None)
    assert check_chains(events) == ()
    assert check_chains(events[:2] + events[3:]) != ()
    for changed in (
        {"actor": "eve"},
        {"reason": "x"},
        {"at_us": 1},
        {"to_state": "x"},
        {"numbers": {"a": 1}},
    ):
        forged = replace(events[2], transition=replace(events[2].transition, **changed))
        assert any("hash" in problem for problem in check_chains((*events[:2], forged, *events[3:])))


def test_events_are_listed_newest_first_and_bounded(store: CircuitStore) -> None:
    """
    A limit and a scope narrow the list.
    """
    for at, scope in enumerate(("global", "tenant:a", "tenant:b")):
        store.halt(scope, "r", "ada", NOW - at)
    assert [event.transition.scope for event in store.events(2)] == ["tenant:b", "tenant:a"]
    assert [event.transition.scope for event in store.events(scope="tenant:a")] == ["tenant:a"]


def test_standing_of_chosen_scopes(store: CircuitStore) -> None:
    """
    A breaker and a switch of one scope are two things.
    """
    store.halt("tenant:a", "r", "ada", NOW)
    store.force("tenant:a", State.DISABLED, "r", "ada", NOW)
    store.halt("global", "r", "ada", NOW)
    standing = store.standing(("tenant:a",))
    assert standing.breakers == (
        BreakerState("tenant:a", State.DISABLED, 1, NOW, rule="manual", actor="ada", reason="r"),
    )
    assert [switch.scope for switch in standing.switches] == ["tenant:a"]
    assert [switch.scope for switch in store.standing().switches] == ["global", "tenant:a"]


def test_pruning_is_bounded_and_keeps_what_counts(store: CircuitStore, rules: Rules) -> None:
    """
    The oldest buckets go first, at most so many at once; those of the window stay.
    """
    store.record(spend_deltas([("a", NOW - at * 10 * S, 1) for at in range(10)], "w"))
    _fail(store, 1, generation=0)
    assert store.prune(NOW, keep_s=40, limit=6) == 6
    assert store.prune(NOW, keep_s=40, limit=6) == 4
    assert store.prune(NOW, keep_s=40, limit=6) == 0
    assert store.read(None, ("tenant:a",), NOW, rules).spend["tenant:a"] == SpendWindow(5)
    assert store.read(None, ("model:m",), NOW, rules).calls["model:m"] == CallWindow(1, 1)
