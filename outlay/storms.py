"""
Storms of refusals: the first of a minute are kept one by one, the rest are counted.

What is counted is written once a second, all of it together: a loop of refused calls costs the books little,
and a process that dies loses what it counted since.
"""

import threading
from typing import Final

from ledger.types import Attachment
from outlay.tables import refusal_count

CALM_PER_MINUTE: Final = 30
_MINUTE_US: Final = 60 * 1_000_000
_KEPT_MAX: Final = 10_000
_WRITE_EVERY_US: Final = 1_000_000

Kind = tuple[str, str, int]
"""Tenant, code and minute of refusals."""


class Storms:
    """
    Counts refusals per tenant, code and minute in this process; safe to use from several threads.
    """

    def __init__(self, calm: int = CALM_PER_MINUTE) -> None:
        self._calm = calm
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}
        self._counted: dict[Kind, int] = {}
        self._taken_us = 0

    def is_calm(self, tenant: str, code: str, at_us: int) -> bool:
        """
        Count one refusal; tell whether it may have a record of its own.
        """
        minute = at_us // _MINUTE_US
        with self._lock:
            if len(self._seen) > _KEPT_MAX:
                self._seen.clear()
            since, count = self._seen.get((tenant, code), (minute, 0))
            count = count + 1 if since == minute else 1
            self._seen[(tenant, code)] = (minute, count)
        return count <= self._calm

    def count(self, tenant: str, code: str, at_us: int) -> None:
        """
        Count a refusal that has no record of its own.
        """
        kind = (tenant, code, at_us - at_us % _MINUTE_US)
        with self._lock:
            self._counted[kind] = self._counted.get(kind, 0) + 1

    def take_counts(self, at_us: int | None = None) -> list[Attachment]:
        """
        Return the rows of what was counted and not taken yet; at an instant only once a second.
        """
        with self._lock:
            if not self._counted or (at_us is not None and abs(at_us - self._taken_us) < _WRITE_EVERY_US):
                return []
            self._taken_us = self._taken_us if at_us is None else at_us
            counted, self._counted = self._counted, {}
        return [_row(kind, count) for kind, count in counted.items()]


def _row(kind: Kind, count: int) -> Attachment:
    tenant, code, minute_us = kind
    values = {"tenant": tenant, "code": code, "minute_us": minute_us, "count": count}
    return Attachment(refusal_count, values, add=("count",))
