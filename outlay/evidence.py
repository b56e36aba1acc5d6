"""
The evidence that the gate of the router decides by: scores counted per tenant and task class, kept a while.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection

from outlay.scores_sql import ByClass, Scores
from router.policy import Policy
from router.policy_calibration import DAY_US
from router.types import Counts, Evidence

KEPT_S: Final = 10.0
"""A new score is heeded this much later at most."""
KEPT_OF_ALL_S: Final = 60.0
_TENANTS_MAX: Final = 10_000

ByName = Mapping[str, Evidence]


class EvidenceStore:
    """
    The evidence of one process, counted anew every few seconds for the tenants that are calling.
    """

    def __init__(self, scores: Scores, clock: Callable[[], float] = time.monotonic) -> None:
        self._scores = scores
        self._clock = clock
        self._kept: dict[tuple[str, int], tuple[float, ByName]] = {}
        self._all: dict[int, tuple[float, Mapping[str, ByClass]]] = {}

    def of(self, connection: Connection, policy: Policy, tenant: str, now_us: int) -> ByName | None:
        """
        Return a tenant's evidence by task class; None where its policy asks for none.
        """
        if not wanted(policy):
            return None
        days = policy.routing.calibration.window_days
        until, found = self._kept.get((tenant, days), (0.0, {}))
        if self._clock() < until:
            return found
        if len(self._kept) >= _TENANTS_MAX:
            self._kept.clear()
        found = self._counted(connection, tenant, now_us, days)
        self._kept[tenant, days] = (self._clock() + KEPT_S, found)
        return found

    def _counted(self, connection: Connection, tenant: str, now_us: int, days: int) -> ByName:
        since_us = now_us - days * DAY_US
        own = self._scores.counted(connection, tenant, since_us)
        until, everybody = self._all.get(days, (0.0, {}))
        if self._clock() >= until:
            everybody = self._scores.counted_of_all(connection, since_us)
            self._all[days] = (self._clock() + KEPT_OF_ALL_S, everybody)
        return evidence(own, [one for name, one in everybody.items() if name != tenant])


def wanted(policy: Policy) -> bool:
    """
    Tell whether anything in a policy decides by scores.
    """
    return str(policy.routing.classifier) != "table" or str(policy.degradation.mode) == "pace"


def evidence(own: ByClass, others: list[ByClass]) -> ByName:
    """
    Put what was counted of a tenant beside what was counted of all others.
    """
    names = {*own, *(name for one in others for name in one)}
    return {name: Evidence(name, own.get(name, {}), _sum(name, others)) for name in names}


def _sum(name: str, others: list[ByClass]) -> dict[str, Counts]:
    total: dict[str, Counts] = {}
    for one in others:
        for model, counts in one.get(name, {}).items():
            before = total.get(model, Counts())
            total[model] = Counts(before.n + counts.n, before.failed + counts.failed)
    return total
