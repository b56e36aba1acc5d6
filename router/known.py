"""
What has been measured until now, of models, of scores, of a tenant's calls.

A part of the words of the router; `router/types.py` gives them out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from router.demand import Pace


@dataclass(frozen=True, slots=True)
class Counts:
    """
    Scored calls and how many of them failed, both as sums of weights (a call weighs at most 1).
    """

    n: float = 0.0
    failed: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What quality scores say of downgraded calls of one task class.

    Args:
        models: This tenant's downgraded calls, by the id of the model that served.
        others: The same of all other tenants: the global table, for estimates to shrink to.
    """

    task_class: str
    models: Mapping[str, Counts] = field(default_factory=dict)
    others: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def n(self) -> float:
        """
        Give the weight of the tenant's scored downgraded calls.
        """
        return sum(counts.n for counts in self.models.values())

    @property
    def failed(self) -> float:
        """
        Give the weight of those that failed.
        """
        return sum(counts.failed for counts in self.models.values())


@dataclass(frozen=True, slots=True)
class Known:
    """
    What has been measured of models and of the tenant's calls until now; empty where nothing is known yet.

    Args:
        latencies_ms: Time that a model's calls usually take at most (95 of 100), by its id.
        evidence: Scores of the downgraded calls of this call's task class; None where nobody looked.
        session_turns: How many of the tenant's recent conversations had a first answer, a second and so on.
        level_since_us: When the number of active steps last changed.
        pace: The projection that `mode = "pace"` goes by; None in the other modes.
    """

    latencies_ms: Mapping[str, int] = field(default_factory=dict)
    evidence: Evidence | None = None
    session_turns: tuple[int, ...] = ()
    level_since_us: int | None = None
    pace: Pace | None = None


NOTHING_KNOWN: Final = Known()
