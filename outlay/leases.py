"""
Keeps the money of open calls held for as long as they take: an expired hold is captured, as nobody is left to
say what became of its call; an open call says that it is.

One thread of the process looks after all of them. It renews no hold whose caller has stopped taking a stream
without closing it, and none for longer than a day.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final

from ledger import Ledger, LedgerError
from ledger.types import Reason, Refused, Renew, Renewed, Result

RENEWALS_PER_TTL: Final = 3
IDLE_S: Final = 60.0
"""Longest that a caller may take nothing of its stream; after that its hold is left to expire."""
LONGEST_S: Final = 86_400.0
_TTL_MIN_US: Final = 1_000_000
_LOOK_S: Final = 5.0
"""The thread looks that often while nothing is open, so that short calls need not wake it."""
_OVER: Final = frozenset({Reason.HOLD_CLOSED, Reason.UNKNOWN_HOLD})
_log = logging.getLogger("outlay")


class Lease:
    """
    One hold that is renewed until `end`.
    """

    __slots__ = ("_begun", "_end", "_idle_since", "due", "hold_id", "period_s", "tenant", "ttl_us")

    def __init__(self, tenant: str, hold_id: str, ttl_us: int, end: Callable[[str], object]) -> None:
        self.tenant = tenant
        self.hold_id = hold_id
        self.ttl_us = ttl_us
        self.period_s = ttl_us / 1_000_000 / RENEWALS_PER_TTL
        self._begun = time.monotonic()
        self.due = self._begun + self.period_s
        self._idle_since = math.inf
        self._end = end

    def end(self) -> None:
        """
        Renew it no more.
        """
        self._end(self.hold_id)

    def rest(self) -> None:
        """
        Note that the caller has all that came so far: going on is up to it.
        """
        self._idle_since = time.monotonic()

    def go_on(self) -> None:
        """
        Note that the caller waits for more.
        """
        self._idle_since = math.inf

    def wanted(self, now: float) -> bool:
        """
        Tell whether somebody still waits for this call.
        """
        return now - self._idle_since <= IDLE_S and now - self._begun <= LONGEST_S

    def forgotten(self, now: float) -> bool:
        """
        Tell whether its hold has expired, as nobody had wanted it for so long.
        """
        idle_s = max(now - self._idle_since - IDLE_S, now - self._begun - LONGEST_S)
        return idle_s > self.ttl_us / 1_000_000


class Leases:
    """
    The open calls of a process, and the thread that renews their holds.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], int]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._open: dict[str, Lease] = {}
        self._wake = threading.Condition()
        self._next = math.inf
        self._closed = False
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._open)

    def keep(self, tenant: str, hold_id: str, expires_us: int) -> Lease:
        """
        Renew a hold from now on; its life is what is left of it.
        """
        ttl_us = max(expires_us - self._clock(), _TTL_MIN_US)
        lease = Lease(tenant, hold_id, ttl_us, self._drop)
        with self._wake:
            self._open[hold_id] = lease
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._loop, name="outlay-leases", daemon=True)
                self._thread.start()
            elif lease.due < self._next:
                self._wake.notify()
        return lease

    def close(self) -> None:
        """
        Renew nothing more; what is open expires, unless it is closed before.
        """
        if os.getpid() != self._pid:
            return
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _drop(self, hold_id: str) -> None:
        self._open.pop(hold_id, None)

    def _loop(self) -> None:
        while (due := self._wait()) is not None:
            for lease in due:
                self._renew(lease)

    def _wait(self) -> list[Lease] | None:
        """
        Wait until leases are due, and return them together with those that nearly are; None at the end.
        """
        with self._wake:
            while not self._closed:
                now = time.monotonic()
                leases = list(self._open.values())
                if any(lease.due <= now for lease in leases):
                    return self._taken(leases, now)
                self._next = min((lease.due for lease in leases), default=now + _LOOK_S)
                self._wake.wait(self._next - now)
        return None

    def _taken(self, leases: list[Lease], now: float) -> list[Lease]:
        """Put the next round of these later, and pass over those that nobody wants."""
        due = [lease for lease in leases if lease.due <= now + lease.period_s / 4]
        for lease in due:
            lease.due = now + lease.period_s
            if lease.forgotten(now):
                lease.end()
        return [lease for lease in due if lease.wanted(now)]

    def _renew(self, lease: Lease) -> None:
        now_us = self._clock()
        op = Renew(lease.tenant, f"renew:{lease.hold_id}:{now_us}", now_us, lease.hold_id, lease.ttl_us)
        try:
            self._ledger.submit(op).add_done_callback(partial(self._told, lease))
        except LedgerError as error:
            _failed(lease, error)

    def _told(self, lease: Lease, answer: "Future[Result]") -> None:
        if answer.cancelled() or lease.hold_id not in self._open:
            return
        said = answer.exception() or answer.result()
        if isinstance(said, Renewed):
            return
        if isinstance(said, Refused) and said.reason in _OVER:
            lease.end()
        _failed(lease, said)


def _failed(lease: Lease, why: object) -> None:
    _log.warning("hold %s of an open call was not renewed: %s", lease.hold_id, why)
