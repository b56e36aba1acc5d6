"""
Keeps the money of an open call held for as long as the call takes, however long that is.

An expired hold is captured, as nobody is left to say what became of its call; an open call says that it is.
"""

import asyncio
import logging
from concurrent.futures import Future

from ledger import Ledger, LedgerError
from ledger.operations import Renew
from ledger.results import Renewed
from ledger.types import Result
from outlay.calls import Sending
from outlay.clock import now_us

RENEWALS_PER_TTL = 3
logger = logging.getLogger("outlay.gateway")


class Lease:
    """
    One hold, renewed until `end`. It costs one timer of the running loop.
    """

    def __init__(self, ledger: Ledger, tenant: str, sending: Sending) -> None:
        self._ledger = ledger
        self._tenant = tenant
        self._hold_id = sending.decision_id
        self._ttl_us = max(sending.expires_us - now_us(), 1_000_000)
        self._count = 0
        self._timer = self._later()

    def end(self) -> None:
        """
        Renew it no more.
        """
        self._timer.cancel()

    def _later(self) -> asyncio.TimerHandle:
        wait_s = self._ttl_us / 1_000_000 / RENEWALS_PER_TTL
        return asyncio.get_running_loop().call_later(wait_s, self._renew)

    def _renew(self) -> None:
        self._timer = self._later()
        self._count += 1
        key = f"renew:{self._hold_id}:{self._count}"
        op = Renew(self._tenant, key, now_us(), self._hold_id, self._ttl_us)
        try:
            self._ledger.submit(op).add_done_callback(self._told)
        except LedgerError as error:
            self._failed(error)

    def _told(self, answer: "Future[Result]") -> None:
        if answer.cancelled():
            return
        error = answer.exception()
        if error is not None or not isinstance(answer.result(), Renewed):
            self._failed(error if error is not None else answer.result())

    def _failed(self, why: object) -> None:
        logger.warning("hold %s was not renewed, which is tried again: %s", self._hold_id, why)
