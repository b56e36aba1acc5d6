"""
Storms of refusals: the first of a minute are kept one by one, the rest are counted.
"""

import threading
from typing import Final

CALM_PER_MINUTE: Final = 30
_MINUTE_US: Final = 60 * 1_000_000
_KEPT_MAX: Final = 10_000


class Storms:
    """
    Counts refusals per tenant, code and minute in this process; safe to use from several threads.
    """

    def __init__(self, calm: int = CALM_PER_MINUTE) -> None:
        self._calm = calm
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}

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
