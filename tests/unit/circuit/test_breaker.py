"""
The state machine by itself: open times, probes, leases, clocks and manual moves.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from circuit import State, claim_probe, finish_probe, shown_state
from circuit.breaker import (
    Cause,
    after,
    anchor,
    blocked_until_us,
    cooldown_us,
    expire_probe,
    force,
    is_blocking,
    probe_due,
    trip,
)
from circuit.rules import Cooldown
from circuit.types import FOREVER_US, SKEW_US

COOLDOWN = Cooldown(base_s=30, max_s=900, quiet_s=600)
CAUSE = Cause("provider", "failing", {})


@pytest.mark.parametrize(
    ("trips", "seconds"), [(0, 30), (1, 30), (2, 60), (3, 120), (5, 480), (6, 900), (7, 900), (10**9, 900)]
)
def test_open_times_double_up_to_the_ceiling(trips: int, seconds: int) -> None:
    """
    Base, twice, four times ... and never above the ceiling, however many trips.
    """
    assert seconds * 1_000_000 == cooldown_us(COOLDOWN, trips)


@pytest.mark.parametrize(("closed_s", "trips"), [(0, 3), (599, 3), (600, 1), (10_000, 1)])
def test_a_quiet_time_ends_the_doubling(given: SimpleNamespace, closed_s: int, trips: int) -> None:
    """
    A trip after 600 s closed counts as the first; a second earlier it counts on.
    """
    state = given.breaker("closed", trips=2, changed_us=given.now_us - closed_s * given.s)
    tripped = trip(state, COOLDOWN, given.now_us, CAUSE)
    assert (State.OPEN, trips) == (tripped.to_state, tripped.trips)
    assert given.now_us + cooldown_us(COOLDOWN, trips) == tripped.until_us


def test_a_transition_raises_the_version_by_one(given: SimpleNamespace) -> None:
    """
    The state after a transition has the next generation and the instant of the transition.
    """
    state = after(trip(given.breaker("closed"), COOLDOWN, given.now_us, CAUSE))
    assert (8, given.now_us, State.OPEN) == (state.version, state.changed_us, state.state)


@pytest.mark.parametrize(
    ("offset_us", "blocks", "shown"), [(-1, True, State.OPEN), (0, False, State.HALF_OPEN)]
)
def test_an_open_breaker_is_shown_half_open_when_its_cooldown_has_passed(
    given: SimpleNamespace, offset_us: int, blocks: bool, shown: State
) -> None:
    """
    Nobody needs to ask for a permit first: the shown state is derived from the time.
    """
    state = given.breaker("open", until_us=given.now_us)
    now_us = given.now_us + offset_us
    assert (blocks, shown, not blocks) == (
        is_blocking(state, now_us),
        shown_state(state, now_us),
        probe_due(state, now_us),
    )


@pytest.mark.parametrize(
    ("state", "until_s", "expected_s"),
    [
        ("closed", None, None),
        ("open", 5, 5),
        ("open", 0, None),
        ("half_open", 5, 5),
        ("disabled", None, None),
    ],
)
def test_until_when_calls_are_blocked(
    given: SimpleNamespace, state: str, until_s: int | None, expected_s: int | None
) -> None:
    """
    Open blocks to the end of the cooldown, half-open to the end of the lease, disabled never.
    """
    until_us = None if until_s is None else given.now_us + until_s * given.s
    expected_us = None if expected_s is None else given.now_us + expected_s * given.s
    assert expected_us == blocked_until_us(given.breaker(state, until_us=until_us), given.now_us)


def test_forced_open_blocks_for_ever(given: SimpleNamespace) -> None:
    """
    No time ends what a person forced open.
    """
    state = after(force(given.closed, State.FORCED_OPEN, given.now_us, "bad answers", "ada"))
    assert blocked_until_us(state, given.now_us * 2) == FOREVER_US
    assert claim_probe(state, given.now_us * 2, 60, "p") is None


@pytest.mark.parametrize("state", ["closed", "half_open", "forced_open", "disabled"])
def test_only_an_open_breaker_can_be_probed(given: SimpleNamespace, state: str) -> None:
    """
    No second probe beside one under way, and none where none is needed.
    """
    assert claim_probe(given.breaker(state, until_us=given.now_us - 1), given.now_us, 60, "p") is None


def test_no_probe_before_the_cooldown_has_passed(given: SimpleNamespace) -> None:
    """
    A probe can be claimed at the end of the cooldown and not a microsecond earlier.
    """
    state = given.breaker("open", until_us=given.now_us)
    assert claim_probe(state, given.now_us - 1, 60, "p") is None
    claim = claim_probe(state, given.now_us, 60, "p")
    assert claim is not None
    assert (State.HALF_OPEN, given.now_us + 60 * given.s, "p") == (
        claim.to_state,
        claim.until_us,
        claim.actor,
    )


@pytest.mark.parametrize(
    ("succeeded", "to", "trips", "open_s"),
    [(True, State.CLOSED, 2, None), (False, State.OPEN, 3, 120), (None, State.OPEN, 2, 0)],
)
def test_what_a_probe_leads_to(
    given: SimpleNamespace, succeeded: bool | None, to: State, trips: int, open_s: int | None
) -> None:
    """
    Success closes; failure doubles the open time; an outcome that says nothing hands the probe back.
    """
    claim = claim_probe(given.breaker("open", until_us=given.now_us, trips=2), given.now_us, 60, "p")
    assert claim is not None
    done = finish_probe(claim, succeeded=succeeded, cooldown=COOLDOWN, now_us=given.now_us + given.s)
    until_us = None if open_s is None else given.now_us + given.s + open_s * given.s
    assert (to, trips, until_us, claim.version + 1) == (
        done.to_state,
        done.trips,
        done.until_us,
        done.version,
    )


def test_a_lost_lease_counts_as_a_failed_probe(given: SimpleNamespace) -> None:
    """
    At the end of the lease, not before, the breaker reopens for twice as long, from that end on.
    """
    state = given.breaker("half_open", until_us=given.now_us, trips=1, changed_us=given.now_us - 60 * given.s)
    assert expire_probe(state, COOLDOWN, given.now_us - 1) is None
    expired = expire_probe(state, COOLDOWN, given.now_us + 5 * given.s)
    assert expired is not None
    assert (State.OPEN, 2, given.now_us + 60 * given.s) == (expired.to_state, expired.trips, expired.until_us)


def test_a_clock_set_back_does_not_hold_a_breaker_open(given: SimpleNamespace) -> None:
    """
    A breaker opened a day in the future is open for one cooldown from now; small skew changes nothing.
    """
    day_us = 86_400 * given.s
    state = given.breaker(
        "open", changed_us=given.now_us + day_us, until_us=given.now_us + day_us + 1, trips=1
    )
    anchored = anchor(state, COOLDOWN, given.now_us)
    assert anchored is not None
    assert (State.OPEN, given.now_us + 30 * given.s, 1) == (
        anchored.to_state,
        anchored.until_us,
        anchored.trips,
    )
    assert anchor(replace(state, changed_us=given.now_us + SKEW_US), COOLDOWN, given.now_us) is None
    assert anchor(after(anchored), COOLDOWN, given.now_us) is None


def test_a_clock_set_back_does_not_prolong_a_lease(given: SimpleNamespace) -> None:
    """
    A probe that began a day in the future counts as lost; the cooldown runs from now.
    """
    day_us = 86_400 * given.s
    state = given.breaker(
        "half_open", changed_us=given.now_us + day_us, until_us=given.now_us + day_us + 1, trips=1
    )
    expired = expire_probe(state, COOLDOWN, given.now_us)
    assert expired is not None
    assert given.now_us + 60 * given.s == expired.until_us


def test_a_reset_starts_afresh(given: SimpleNamespace) -> None:
    """
    After a reset the doubling is gone and earlier spending does not count.
    """
    state = after(force(given.breaker("open", trips=5), State.CLOSED, given.now_us, "checked", "ada"))
    assert (State.CLOSED, 0, given.now_us) == (state.state, state.trips, state.since_us)
    disabled = after(force(state, State.DISABLED, given.now_us + 1, "noisy", "ada"))
    assert given.now_us == disabled.since_us
