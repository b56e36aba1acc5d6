"""
The store's contract, which memory, SQLite and PostgreSQL keep alike.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from circuit.health import CallDelta
from circuit.rules import Rules
from circuit.spend import BucketDelta
from circuit.types import Event, Manual, Snapshot, Standing, State, Switch, Transition

KEEP_S = 86_400
"""How long buckets are kept by default; far longer than any window."""


class CircuitStore(Protocol):
    """
    Breakers, switches, buckets and the journal of one deployment.

    *conn* is an open connection of the SQL store's engine, for reading within the caller's own; the
    memory store takes and ignores it.
    """

    def read(self, conn: object | None, scopes: Sequence[str], now_us: int, rules: Rules) -> Snapshot:
        """
        Read what admission needs: breakers and switches of the scopes, and their windows by the rules.
        """

    def switches(self, scopes: Sequence[str]) -> Mapping[str, Switch]:
        """
        Read only the kill switches, as cheaply as possible: what is read between hold and send.
        """

    def standing(self, scopes: Sequence[str] | None = None) -> Standing:
        """
        Read the breakers and switches of some scopes, or of all that ever moved.
        """

    def apply(self, transitions: Sequence[Transition]) -> tuple[Transition, ...]:
        """
        Make the transitions whose version is still the stored one; return those that were made.

        Each that is made is one event row in the same transaction; the others change nothing.
        """

    def record(self, deltas: Sequence[BucketDelta | CallDelta]) -> None:
        """
        Add up bucket changes; for those that no ledger transaction carries.
        """

    def halt(self, scope: str, reason: str, actor: str, now_us: int) -> Manual:
        """
        Turn the kill switch of `global` or of a tenant.
        """

    def resume(self, scope: str, reason: str, actor: str, now_us: int) -> Manual:
        """
        Turn the kill switch of exactly this scope back.
        """

    def force(self, scope: str, state: State, reason: str, actor: str, now_us: int) -> Manual:
        """
        Hold a breaker forced open, or disable it, until a reset.
        """

    def reset(self, scope: str, reason: str, actor: str, now_us: int) -> Manual:
        """
        Close a breaker from any state.
        """

    def events(self, limit: int | None = 100, scope: str | None = None) -> tuple[Event, ...]:
        """
        Read events, the newest first; None reads all.
        """

    def prune(self, now_us: int, keep_s: int = KEEP_S, limit: int = 500) -> int:
        """
        Delete at most *limit* old buckets of each kind; return how many went.
        """
