"""
Breakers on money and on models, the kill switch, and their stores.

Which call may go on is decided by pure functions over a snapshot (`admit`); the stores only read and
compare-and-set. Importing this package does not load SQLAlchemy: `SqlCircuitStore` comes on demand.
"""

from typing import TYPE_CHECKING

from circuit.admission import Assessment, admit, assess, probes_due, transitions_due, unhealthy_models
from circuit.breaker import claim_probe, finish_probe, shown_state
from circuit.health import CallDelta, Outcome, call_delta, outcome_of, probe_verdict
from circuit.journal import check_chains, replay
from circuit.rules import ProviderRule, Rules, SpendRule
from circuit.spend import BucketDelta, spend_deltas
from circuit.store import CircuitStore
from circuit.store_memory import MemoryCircuitStore
from circuit.switch import halted, switch_scopes
from circuit.types import (
    FOREVER_US,
    GLOBAL,
    BreakerState,
    CallWindow,
    CircuitError,
    Event,
    HaltCode,
    Halted,
    Manual,
    ManualCode,
    Permit,
    Snapshot,
    SpendWindow,
    Standing,
    State,
    StoreUnavailable,
    Switch,
    Transition,
    model_scope,
    tenant_scope,
)

if TYPE_CHECKING:
    from circuit.store_sql import SqlCircuitStore

__all__ = [
    "FOREVER_US",
    "GLOBAL",
    "Assessment",
    "BreakerState",
    "BucketDelta",
    "CallDelta",
    "CallWindow",
    "CircuitError",
    "CircuitStore",
    "Event",
    "HaltCode",
    "Halted",
    "Manual",
    "ManualCode",
    "MemoryCircuitStore",
    "Outcome",
    "Permit",
    "ProviderRule",
    "Rules",
    "Snapshot",
    "SpendRule",
    "SpendWindow",
    "SqlCircuitStore",
    "Standing",
    "State",
    "StoreUnavailable",
    "Switch",
    "Transition",
    "admit",
    "assess",
    "call_delta",
    "check_chains",
    "claim_probe",
    "finish_probe",
    "halted",
    "model_scope",
    "outcome_of",
    "probe_verdict",
    "probes_due",
    "replay",
    "shown_state",
    "spend_deltas",
    "switch_scopes",
    "tenant_scope",
    "transitions_due",
    "unhealthy_models",
]


def __getattr__(name: str) -> object:
    """
    Load the SQL store, and SQLAlchemy with it, only when it is asked for.
    """
    if name == "SqlCircuitStore":
        from circuit.store_sql import SqlCircuitStore

        return SqlCircuitStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
