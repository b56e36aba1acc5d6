"""
The store in memory, for tests and for the differential check of the SQL store.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import TypeVar

from circuit import breaker, switch
from circuit.health import CallDelta
from circuit.journal import GENESIS, event_from_row, event_row
from circuit.orders import Orders
from circuit.rules import Rules
from circuit.spend import BucketDelta, counted_from_us, window
from circuit.store import KEEP_S
from circuit.types import (
    US_PER_S,
    BreakerState,
    CallWindow,
    Event,
    Snapshot,
    SpendWindow,
    Standing,
    Subject,
    Switch,
    Transition,
    is_model_scope,
)

Kept = TypeVar("Kept", BreakerState, Switch)


class MemoryCircuitStore(Orders):
    """
    Breakers, switches, buckets and the journal of one process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._breakers: dict[str, BreakerState] = {}
        self._switches: dict[str, Switch] = {}
        self._spend: dict[tuple[str, int, str], int] = {}
        self._calls: dict[tuple[str, int, str, int], tuple[int, int]] = {}
        self._events: list[Event] = []
        self._heads: dict[tuple[Subject, str], str] = {}

    def read(
        self,
        conn: object | None,  # noqa: ARG002 - the contract has it
        scopes: Sequence[str],
        now_us: int,
        rules: Rules,
    ) -> Snapshot:
        """
        Read what admission needs: breakers and switches of the scopes, and their windows by the rules.
        """
        with self._lock:
            return Snapshot(
                {scope: self._breakers[scope] for scope in scopes if scope in self._breakers},
                {scope: self._spent(scope, now_us, rules) for scope in scopes if _is_metered(scope, rules)},
                {scope: self._called(scope, now_us, rules) for scope in scopes if is_model_scope(scope)},
                {scope: self._switches[scope] for scope in scopes if scope in self._switches},
                now_us,
            )

    def _spent(self, scope: str, now_us: int, rules: Rules) -> SpendWindow:
        rule = rules.spend_rule(scope)
        assert rule is not None
        buckets = window(rule.window_s, now_us)
        from_us = counted_from_us(self._breakers.get(scope, BreakerState(scope)), now_us)
        return SpendWindow(
            sum(
                amount
                for (name, starts_us, _), amount in self._spend.items()
                if name == scope and buckets.holds(starts_us) and starts_us >= from_us
            )
        )

    def _called(self, scope: str, now_us: int, rules: Rules) -> CallWindow:
        if rules.provider is None:
            return CallWindow()
        buckets = window(rules.provider.window_s, now_us)
        version = self._breakers.get(scope, BreakerState(scope)).version
        found = [
            counted
            for (name, starts_us, _, generation), counted in self._calls.items()
            if name == scope and generation == version and buckets.holds(starts_us)
        ]
        return CallWindow(sum(calls for calls, _ in found), sum(failures for _, failures in found))

    def switches(self, scopes: Sequence[str]) -> Mapping[str, Switch]:
        """
        Read only the kill switches.
        """
        with self._lock:
            return {scope: self._switches[scope] for scope in scopes if scope in self._switches}

    def standing(self, scopes: Sequence[str] | None = None) -> Standing:
        """
        Read the breakers and switches of some scopes, or of all that ever moved.
        """
        with self._lock:
            return Standing(_chosen(self._breakers, scopes), _chosen(self._switches, scopes))

    def apply(self, transitions: Sequence[Transition]) -> tuple[Transition, ...]:
        """
        Make the transitions whose version is still the stored one; return those that were made.
        """
        with self._lock:
            return tuple(transition for transition in transitions if self._apply(transition))

    def _apply(self, transition: Transition) -> bool:
        scope = transition.scope
        key = (transition.subject, scope)
        if transition.subject is Subject.BREAKER:
            if self._breakers.get(scope, BreakerState(scope)).version != transition.version:
                return False
            self._breakers[scope] = breaker.after(transition)
        else:
            if self._switches.get(scope, Switch(scope)).epoch != transition.version:
                return False
            self._switches[scope] = switch.after(transition)
        row = event_row(transition, self._heads.get(key, GENESIS))
        event = event_from_row(len(self._events) + 1, row)
        self._events.append(event)
        self._heads[key] = event.hash
        return True

    def record(self, deltas: Sequence[BucketDelta | CallDelta]) -> None:
        """
        Add up bucket changes.
        """
        with self._lock:
            for delta in deltas:
                if isinstance(delta, BucketDelta):
                    key = (delta.scope, delta.starts_us, delta.writer)
                    self._spend[key] = self._spend.get(key, 0) + delta.delta_nanos
                else:
                    place = (delta.scope, delta.starts_us, delta.writer, delta.generation)
                    calls, failures = self._calls.get(place, (0, 0))
                    self._calls[place] = (calls + delta.calls, failures + delta.failures)

    def events(self, limit: int | None = 100, scope: str | None = None) -> tuple[Event, ...]:
        """
        Read events, the newest first; None reads all.
        """
        with self._lock:
            found = [event for event in reversed(self._events) if scope in (None, event.transition.scope)]
        return tuple(found if limit is None else found[:limit])

    def prune(self, now_us: int, keep_s: int = KEEP_S, limit: int = 500) -> int:
        """
        Delete at most *limit* old buckets of each kind; return how many went.
        """
        before_us = now_us - keep_s * US_PER_S
        with self._lock:
            spend = sorted((key for key in self._spend if key[1] < before_us), key=lambda key: key[1])[:limit]
            calls = sorted((key for key in self._calls if key[1] < before_us), key=lambda key: key[1])[:limit]
            for key in spend:
                del self._spend[key]
            for place in calls:
                del self._calls[place]
        return len(spend) + len(calls)


def _is_metered(scope: str, rules: Rules) -> bool:
    return not is_model_scope(scope) and rules.spend_rule(scope) is not None


def _chosen(stored: Mapping[str, Kept], scopes: Sequence[str] | None) -> tuple[Kept, ...]:
    return tuple(stored[scope] for scope in sorted(stored) if scopes is None or scope in scopes)
