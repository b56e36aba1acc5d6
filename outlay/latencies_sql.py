"""
How long the calls of each model usually take: the 95th percentile of what was served of late.

Counted over all tenants, whole calls to their last byte, anew every half minute and only where a policy asks
for it. A model that was called too rarely to tell is left out: it is neither fast nor slow.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sqlalchemy import Connection

from outlay.statements import marked
from router.policy import Policy

KEPT_S: Final = 30.0
WINDOW_US: Final = 15 * 60 * 1_000_000
"""A model that was ruled out gets no calls, so after this time it is unknown again, and tried."""
CALLS_MAX: Final = 2_000
CALLS_MIN: Final = 20
"""With fewer calls a single slow one would decide."""
# holds of callers that send for themselves are settled when they please
_TAKEN: Final = """SELECT served_model, finished_us - at_us FROM outlay_decision
 WHERE at_us >= ? AND outcome = 'served' AND surface <> 'holds' AND served_model IS NOT NULL
 ORDER BY at_us DESC LIMIT ?"""


class Latencies:
    """
    The latencies that one process knows.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0
        self._known: Mapping[str, int] = {}

    def of(self, connection: Connection, policy: Policy, now_us: int) -> Mapping[str, int]:
        """
        Return the latencies in milliseconds by model; none where the policy does not ask for them.
        """
        if not policy.routing.heeds_latency:
            return {}
        if self._clock() >= self._until:
            self._known = read_latencies(connection, now_us)
            self._until = self._clock() + KEPT_S
        return self._known


def read_latencies(connection: Connection, now_us: int) -> Mapping[str, int]:
    """
    Return the 95th percentile of each model's newest calls, in milliseconds rounded up.
    """
    statement = marked(_TAKEN, connection.dialect.name)
    rows = connection.exec_driver_sql(statement, (now_us - WINDOW_US, CALLS_MAX)).all()
    taken: dict[str, list[int]] = {}
    for model, taken_us in rows:
        taken.setdefault(str(model), []).append(int(taken_us))
    return {model: _p95_ms(times) for model, times in sorted(taken.items()) if len(times) >= CALLS_MIN}


def _p95_ms(times_us: Iterable[int]) -> int:
    """Give the smallest time that 95 of 100 do not exceed."""
    ordered = sorted(times_us)
    return -(-ordered[(95 * len(ordered) + 99) // 100 - 1] // 1_000)
