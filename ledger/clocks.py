"""
Notices a process whose clock runs ahead: its sweeps would capture everybody's holds and let credit lapse, and
its calls would begin tomorrow's budgets today.

The judge is the database's clock where it has one, else the clock of the machine as it was when the books
were opened; between readings a clock that nobody sets tells the time, so that a look costs no round trip.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Engine

from ledger.errors import ClockAhead
from ledger.tickets import Item
from ledger.types import Release, Renew, Settle

AHEAD_MAX_US: Final = 60_000_000
"""Further than any clock that is kept, and too little to let much lapse too early."""
READ_EVERY_US: Final = 60_000_000
DATABASE_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_UNDER_WAY: Final = (Settle, Release, Renew)

Ask = Callable[[str], int]


def _steady_clock() -> int | None:
    """Find the clock that also counts while the machine sleeps; None where the usual one does."""
    name = "CLOCK_MONOTONIC_RAW" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    found: int | None = getattr(time, name, None)
    return found


_STEADY: Final = _steady_clock()


def passed_us() -> int:
    """
    Return what has passed since some instant, sleep included; setting the clock does not change it.
    """
    return (time.monotonic_ns() if _STEADY is None else time.clock_gettime_ns(_STEADY)) // 1_000


class ClockCheck:
    """
    Tells how late it is at most.

    Args:
        engine: The database, whose clock is the judge if it is PostgreSQL.
        clock: The clock of this machine; on SQLite it is trusted at first, and where it goes in small steps.
        passed: Only for tests: what counts the time between readings.
    """

    def __init__(
        self, engine: Engine, clock: Callable[[], int], passed: Callable[[], int] = passed_us
    ) -> None:
        self.by_database = engine.dialect.name == "postgresql"
        self._clock = clock
        self._passed = passed
        self._began_us = 0
        self._good_until_us = -1
        if not self.by_database:
            self._learn(clock())

    def true_us(self) -> int:
        """
        Return the instant, by the last reading and what passed since.
        """
        return self._began_us + self._passed()

    def leaps(self, now_us: int, ask: Ask) -> bool:
        """
        Tell whether an instant is too far ahead; before that is said, the judge is read anew.

        Args:
            ask: Reads a number from the database by a statement.
        """
        passed = self._passed()
        if passed < self._good_until_us and now_us <= self._began_us + passed + AHEAD_MAX_US:
            return False
        if self.by_database:
            self._learn(ask(DATABASE_CLOCK))
        elif abs((machine_us := self._clock()) - self.true_us()) <= AHEAD_MAX_US:
            self._learn(machine_us)
        return now_us > self.true_us() + AHEAD_MAX_US

    def _learn(self, true_us: int) -> None:
        passed = self._passed()
        self._began_us = true_us - passed
        self._good_until_us = passed + READ_EVERY_US

    def error(self, now_us: int) -> ClockAhead:
        """
        Name both clocks.
        """
        return ClockAhead(now_us, self.true_us(), by_database=self.by_database)

    def timely(self, items: Sequence[Item], ask: Ask) -> Sequence[Item]:
        """
        Return the operations that may be carried out; those that leap have their error.

        What closes or renews the hold of a call under way is carried out at the judge's instant instead: a
        true cost is never refused. What may be written already is not refused either.
        """
        if not self.leaps(max(item.op.now_us for item in items), ask):
            return items
        true_us = self.true_us()
        found = []
        for item in items:
            if item.op.now_us > true_us + AHEAD_MAX_US:
                if isinstance(item.op, _UNDER_WAY):
                    item.op = replace(item.op, now_us=true_us)
                elif not item.ambiguous:
                    item.error = self.error(item.op.now_us)
                    continue
            found.append(item)
        return found
