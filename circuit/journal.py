"""
The journal: how a transition is written down, chained by hash, checked and replayed.

Each scope's breaker and each scope's switch has a chain of its own, in the order of its versions, so
that scopes do not wait for each other. The hash covers every field that replaying needs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from circuit import breaker, switch
from circuit.types import BreakerState, Event, Standing, Subject, Switch, Transition

GENESIS = ""
"""The previous hash of the first event of a chain."""

Row = Mapping[str, str | int | None]


def numbers_text(transition: Transition) -> str:
    """
    The numbers of a transition as compact JSON with sorted keys.
    """
    return json.dumps(dict(transition.numbers), sort_keys=True, separators=(",", ":"), allow_nan=False)


def event_hash(transition: Transition, previous_hash: str) -> str:
    """
    Chain a transition to the one before it.
    """
    fields = [
        transition.subject.value,
        transition.scope,
        transition.version + 1,
        transition.at_us,
        transition.from_state,
        transition.to_state,
        transition.until_us,
        transition.trips,
        transition.since_us,
        transition.rule,
        numbers_text(transition),
        transition.actor,
        transition.reason,
    ]
    text = json.dumps([previous_hash, *fields], separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def event_row(transition: Transition, previous_hash: str) -> dict[str, str | int | None]:
    """
    The column values of an event; `version` is the one that the transition leads to.
    """
    return {
        "subject": transition.subject.value,
        "scope": transition.scope,
        "version": transition.version + 1,
        "at_us": transition.at_us,
        "from_state": transition.from_state,
        "to_state": transition.to_state,
        "until_us": transition.until_us,
        "trips": transition.trips,
        "since_us": transition.since_us,
        "rule": transition.rule,
        "numbers": numbers_text(transition),
        "actor": transition.actor,
        "reason": transition.reason,
        "previous_hash": previous_hash,
        "hash": event_hash(transition, previous_hash),
    }


def event_from_row(seq: int, row: Row) -> Event:
    """
    Read an event back from its column values.
    """
    transition = Transition(
        subject=Subject(str(row["subject"])),
        scope=str(row["scope"]),
        version=_int(row["version"]) - 1,
        at_us=_int(row["at_us"]),
        from_state=str(row["from_state"]),
        to_state=str(row["to_state"]),
        until_us=None if row["until_us"] is None else _int(row["until_us"]),
        trips=_int(row["trips"]),
        since_us=_int(row["since_us"]),
        rule=str(row["rule"]),
        numbers=json.loads(str(row["numbers"])),
        actor=str(row["actor"]),
        reason=str(row["reason"]),
    )
    return Event(seq, transition, str(row["previous_hash"]), str(row["hash"]))


def _int(value: str | int | None) -> int:
    assert isinstance(value, int)
    return value


def replay(events: Iterable[Event]) -> Standing:
    """
    Rebuild every breaker and switch from all events; equals what the store has of them.
    """
    breakers: dict[str, BreakerState] = {}
    switches: dict[str, Switch] = {}
    for event in _in_order(events):
        transition = event.transition
        if transition.subject is Subject.BREAKER:
            breakers[transition.scope] = breaker.after(transition)
        else:
            switches[transition.scope] = switch.after(transition)
    return Standing(
        tuple(breakers[scope] for scope in sorted(breakers)),
        tuple(switches[scope] for scope in sorted(switches)),
    )


def check_chains(events: Iterable[Event]) -> tuple[str, ...]:
    """
    Check all events: every chain complete from version 1, unchanged, and each from where the last led.

    Returns:
        One sentence per problem; none means that nothing was changed or removed from within.
    """
    chains: dict[tuple[Subject, str], list[Event]] = {}
    for event in _in_order(events):
        chains.setdefault((event.transition.subject, event.transition.scope), []).append(event)
    return tuple(problem for chain in chains.values() for problem in _check_chain(chain))


def _check_chain(chain: Sequence[Event]) -> list[str]:
    problems = []
    previous_hash, state, version = GENESIS, chain[0].transition.from_state, 0
    for event in chain:
        transition = event.transition
        name = f"{transition.subject.value} {transition.scope} version {transition.version + 1}"
        if transition.version != version:
            problems.append(f"{name}: follows version {version}")
        if event.previous_hash != previous_hash:
            problems.append(f"{name}: does not continue the hash before it")
        if event.hash != event_hash(transition, event.previous_hash):
            problems.append(f"{name}: its content does not match its hash")
        if transition.from_state != state:
            problems.append(f"{name}: starts from {transition.from_state}, the one before led to {state}")
        previous_hash, state, version = event.hash, transition.to_state, transition.version + 1
    return problems


def _in_order(events: Iterable[Event]) -> list[Event]:
    return sorted(
        events, key=lambda event: (event.transition.subject, event.transition.scope, event.transition.version)
    )
