"""
The state machine of one breaker, as pure functions from a state to the transition that is due.

A transition is a wish: it happens only if the stored version is still the one it starts from. What
makes a breaker trip (money, failures) is decided in `spend.py` and `health.py`; here is only how long
it stays open, who may probe, and what a late or lost probe means. Instants and leases are arguments.
"""

from dataclasses import dataclass, replace

from circuit.rules import Cooldown
from circuit.types import (
    FOREVER_US,
    SKEW_US,
    US_PER_S,
    BreakerState,
    Numbers,
    State,
    Subject,
    Transition,
)

DOUBLINGS_MAX = 20
SYSTEM = "circuit"
"""The actor of every transition that no person made."""


def cooldown_us(cooldown: Cooldown, trips: int) -> int:
    """
    Length of the open time after so many trips in a row: base, 2 base, 4 base ... up to the ceiling.
    """
    doublings = min(max(trips - 1, 0), DOUBLINGS_MAX)
    return min(cooldown.base_s << doublings, cooldown.max_s) * US_PER_S


@dataclass(frozen=True, slots=True)
class Cause:
    """
    Why a transition is made: the rule, what it saw, a sentence, and who.
    """

    rule: str
    reason: str
    numbers: Numbers
    actor: str = SYSTEM


def move(
    state: BreakerState, to: State, now_us: int, cause: Cause, *, until_us: int | None = None, trips: int
) -> Transition:
    """
    Write down a transition of a breaker; `since_us` stays as it is.
    """
    return Transition(
        subject=Subject.BREAKER,
        scope=state.scope,
        version=state.version,
        at_us=now_us,
        from_state=state.state.value,
        to_state=to.value,
        until_us=until_us,
        trips=trips,
        since_us=state.since_us,
        rule=cause.rule,
        numbers=cause.numbers,
        actor=cause.actor,
        reason=cause.reason,
    )


def after(transition: Transition) -> BreakerState:
    """
    The state that a transition of a breaker leads to; replaying events is folding this.
    """
    assert transition.subject is Subject.BREAKER
    return BreakerState(
        scope=transition.scope,
        state=State(transition.to_state),
        version=transition.version + 1,
        changed_us=transition.at_us,
        until_us=transition.until_us,
        trips=transition.trips,
        since_us=transition.since_us,
        rule=transition.rule,
        actor=transition.actor,
        reason=transition.reason,
    )


def trip(state: BreakerState, cooldown: Cooldown, now_us: int, cause: Cause) -> Transition:
    """
    Open a closed breaker. The open time doubles unless it was closed for the quiet time.
    """
    quiet = now_us - state.changed_us >= cooldown.quiet_s * US_PER_S
    trips = 1 if quiet or state.trips == 0 else state.trips + 1
    return _open(state, cooldown, trips, now_us, now_us, cause)


def _open(
    state: BreakerState, cooldown: Cooldown, trips: int, from_us: int, now_us: int, cause: Cause
) -> Transition:
    until_us = from_us + cooldown_us(cooldown, trips)
    return move(state, State.OPEN, now_us, cause, until_us=until_us, trips=trips)


def clock_went_back(state: BreakerState, now_us: int) -> bool:
    """
    Tell whether the state was made so far in the future that the clock must have been set back.
    """
    return state.changed_us - now_us > SKEW_US


def anchor(state: BreakerState, cooldown: Cooldown, now_us: int) -> Transition | None:
    """
    Measure the cooldown of an open breaker from now where the clock was set back.

    Without it a breaker opened at a wrong future time would stay open until that time comes.
    """
    if state.state is not State.OPEN or not clock_went_back(state, now_us):
        return None
    numbers = {"changed_us": state.changed_us, "now_us": now_us}
    cause = Cause("clock", "the clock went back: cooldown measured anew", numbers)
    return _open(state, cooldown, state.trips, now_us, now_us, cause)


def is_blocking(state: BreakerState, now_us: int) -> bool:
    """
    Tell whether the breaker refuses an ordinary call at this instant.

    A half-open breaker refuses: its one call is the probe that holds the lease. An open breaker
    whose cooldown has passed does not: the caller may claim the probe.
    """
    if state.state is State.OPEN:
        return state.until_us is None or now_us < state.until_us
    return state.state in (State.HALF_OPEN, State.FORCED_OPEN)


def blocked_until_us(state: BreakerState, now_us: int) -> int | None:
    """
    When an ordinary call may come again: None is now, FOREVER_US is when a person says so.
    """
    if not is_blocking(state, now_us):
        return None
    return FOREVER_US if state.until_us is None else state.until_us


def shown_state(state: BreakerState, now_us: int) -> State:
    """
    The state as people should see it: open is shown half-open once the cooldown has passed.
    """
    if state.state is State.OPEN and not is_blocking(state, now_us):
        return State.HALF_OPEN
    return state.state


def probe_due(state: BreakerState, now_us: int) -> bool:
    """
    Tell whether the next caller has to claim the probe before it sends.
    """
    return state.state is State.OPEN and not is_blocking(state, now_us)


def claim_probe(state: BreakerState, now_us: int, lease_s: int, holder: str) -> Transition | None:
    """
    Ask to be the probe of a breaker whose cooldown has passed; the winner of the race is.

    Args:
        lease_s: Seconds within which the outcome must be written; after that it counts as failed.
        holder: Who probes, for the event row.
    Returns:
        None where no probe is due (closed, cooling down, or a probe under way).
    """
    if not probe_due(state, now_us):
        return None
    until_us = now_us + lease_s * US_PER_S
    cause = Cause("probe", "cooldown passed: one call probes", {"lease_until_us": until_us}, holder)
    return move(state, State.HALF_OPEN, now_us, cause, until_us=until_us, trips=state.trips)


def finish_probe(claim: Transition, *, succeeded: bool | None, cooldown: Cooldown, now_us: int) -> Transition:
    """
    Turn the outcome of a won probe into a transition: success closes, failure reopens for longer.

    Args:
        claim: The transition that won; an outcome after the lease was lost fails the version check
            and changes nothing.
        succeeded: None where the call said nothing about the provider (not sent, our quota): the
            probe is handed back and the next caller may claim it at once.
    """
    state = after(claim)
    numbers = {"probe_ms": (now_us - claim.at_us) // 1_000, "trips": state.trips}
    actor = claim.actor
    if succeeded is None:
        cause = Cause("probe", "probe said nothing: handed back", numbers, actor)
        return move(state, State.OPEN, now_us, cause, until_us=now_us, trips=state.trips)
    if succeeded:
        cause = Cause("probe", "probe succeeded", numbers, actor)
        return move(state, State.CLOSED, now_us, cause, trips=state.trips)
    cause = Cause("probe", "probe failed", numbers, actor)
    return _open(state, cooldown, state.trips + 1, now_us, now_us, cause)


def expire_probe(state: BreakerState, cooldown: Cooldown, now_us: int) -> Transition | None:
    """
    Count a probe as failed when its lease has run out; the cooldown runs from the end of the lease.
    """
    if state.state is not State.HALF_OPEN:
        return None
    lease_us = state.until_us
    back = clock_went_back(state, now_us)
    if lease_us is not None and now_us < lease_us and not back:
        return None
    from_us = now_us if back or lease_us is None else lease_us
    numbers = {"lease_until_us": lease_us, "trips": state.trips}
    cause = Cause("probe", "probe's lease ran out: counted as failed", numbers)
    return _open(state, cooldown, state.trips + 1, from_us, now_us, cause)


def force(state: BreakerState, to: State, now_us: int, reason: str, actor: str) -> Transition:
    """
    Move a breaker by hand: forced open, disabled, or closed again (a reset).

    A reset starts afresh: the doubling ends, and spending from before is not counted, so that the
    same money does not trip the breaker again at once.
    """
    moved = move(state, to, now_us, Cause("manual", reason, {}, actor), trips=0)
    return replace(moved, since_us=now_us) if to is State.CLOSED else moved
