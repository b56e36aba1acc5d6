"""
The evidence that the gate of the router decides by: scores counted per tenant and task class, kept a while.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from outlay.scores_sql import ByClass, Scores
from router.policy import Policy
from router.policy_calibration import DAY_US
from router.types import Counts, Evidence

KEPT_S: Final = 10.0
"""A new score is heeded this much later at most, where few are counted."""
KEPT_OF_ALL_S: Final = 60.0
KEPT_PER_S: Final = 200.0
"""Counting takes one part in this many of the time at most: what took long is kept longer."""
RECOUNTED_S: Final = 3_600.0
"""Old scores leave the window this much later at most, where no new one comes."""
_TENANTS_MAX: Final = 10_000

ByName = Mapping[str, Evidence]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    """
    What was counted, and until when it stands; all in seconds of the process's clock.

    Attributes:
        newest_us: The newest score that was counted.
    """

    value: T
    until_s: float
    counted_s: float
    newest_us: int = 0


class EvidenceStore:
    """
    The evidence of one process, counted anew now and then for the tenants that are calling.
    """

    def __init__(self, scores: Scores, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Count nothing yet.
        """
        self._scores = scores
        self._clock = clock
        self._kept: dict[tuple[str, int], _Kept[ByName]] = {}
        self._all: dict[int, _Kept[Mapping[str, ByClass]]] = {}

    def of(self, connection: Connection, policy: Policy, tenant: str, now_us: int) -> ByName | None:
        """
        Return a tenant's evidence by task class; None where its policy asks for none.
        """
        if not wanted(policy):
            return None
        key = tenant, policy.routing.calibration.window_days
        kept, began = self._kept.get(key), self._clock()
        if kept is not None and began < kept.until_s:
            return kept.value
        newest_us = self._scores.newest_us(connection, tenant)
        if kept is not None:  # whoever asks meanwhile gets what was counted before
            self._kept[key] = kept = replace(kept, until_s=began + KEPT_S)
            if newest_us == kept.newest_us and began < kept.counted_s + RECOUNTED_S:
                return kept.value
        if len(self._kept) >= _TENANTS_MAX:
            self._kept.clear()
        found = self._counted(connection, tenant, now_us, key[1])
        self._kept[key] = _Kept(found, self._until(began, KEPT_S), began, newest_us)
        return found

    def _counted(self, connection: Connection, tenant: str, now_us: int, days: int) -> ByName:
        since_us, began = now_us - days * DAY_US, self._clock()
        own = self._scores.counted(connection, tenant, since_us)
        kept = self._all.get(days)
        if kept is None or began >= kept.until_s:
            everybody = self._scores.counted_of_all(connection, since_us)
            self._all[days] = kept = _Kept(everybody, self._until(began, KEPT_OF_ALL_S), began)
        return evidence(own, [one for name, one in kept.value.items() if name != tenant])

    def _until(self, began: float, least: float) -> float:
        ended = self._clock()
        return ended + max(least, (ended - began) * KEPT_PER_S)


def wanted(policy: Policy) -> bool:
    """
    Tell whether anything in a policy decides by scores.
    """
    return policy.routing.classifier != "table" or policy.degradation.mode == "pace"


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
