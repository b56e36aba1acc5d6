"""
Closings that found the books out of reach: tried again in the background until they are written.

With a folder they are on disk before the caller goes on, and another process carries them out should this one
die; without one they wait in memory. Money is safe either way (a hold that nobody closes is captured when it
expires); this brings the true cost.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from ledger import Ledger, LedgerError, OperationFailed
from ledger.types import Attachment, Operation, Refused
from outlay.spool import Closing, Spool, any_left, database_of, left_behind, own_spool

RETRY_S: Final = 1.0
WAITING_MAX: Final = 100_000
_log = logging.getLogger("outlay")


class Memory:
    """
    Closings in memory: where there is no folder, or its disk takes nothing.
    """

    def __init__(self) -> None:
        self._waiting: deque[Closing] = deque()

    def append(self, op: Operation, attach: Sequence[Attachment]) -> None:
        """
        Keep a closing, up to a bound.
        """
        if len(self._waiting) >= WAITING_MAX:
            _log.error("too many calls wait to be closed; the hold of this one will be captured: %s", op)
            return
        self._waiting.append((op, attach))

    def __len__(self) -> int:
        return len(self._waiting)

    def first(self) -> Closing | None:
        """
        Return the first closing that is not done.
        """
        return self._waiting[0] if self._waiting else None

    def done(self) -> None:
        """
        Forget the first closing.
        """
        self._waiting.popleft()


class Later:
    """
    The closings that wait, each safe to repeat by its key, and the thread that carries them out.

    Args:
        ledger: Where they are carried out.
        folder: Where they are kept meanwhile; `None` keeps them in memory.
        owner: Names this process's file.
    """

    def __init__(self, ledger: Ledger, folder: str | None = None, owner: str = "") -> None:
        self._ledger = ledger
        self._folder = folder
        self._owner = owner
        self._pid = os.getpid()
        self._memory = Memory()
        self._spool: Spool | None = None
        self._lock = threading.Lock()
        self._emptying = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, op: Operation, attach: Sequence[Attachment] = ()) -> None:
        """
        Keep an operation until it is written; a fork leaves the calls of its parent to that.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._keep(op, attach)
        self._start()

    def start(self) -> None:
        """
        Carry out, in the background, what dead processes left behind; without such this does nothing.
        """
        if self._folder is not None and any_left(self._folder, self._database()):
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._loop, name="outlay-later", daemon=True)
                self._thread.start()

    def _keep(self, op: Operation, attach: Sequence[Attachment]) -> None:
        try:
            if self._folder is not None:
                self._own_spool(self._folder).append(op, attach)
                return
        except (OSError, TypeError, ValueError):
            _log.exception("a closing could not be written to %s and waits in memory", self._folder)
        self._memory.append(op, attach)

    def _own_spool(self, folder: str) -> Spool:
        if self._spool is None:
            self._spool = own_spool(folder, self._database(), self._owner)
        return self._spool

    def _database(self) -> str:
        return database_of(self._ledger.engine.url)

    def __len__(self) -> int:
        """
        Tell how much waits: operations in memory, bytes on disk; 0 is nothing.
        """
        return len(self._memory) + (len(self._spool) if self._spool is not None else 0)

    def close(self) -> None:
        """
        Try once more, then leave what is on disk to the next process; what is in memory is given up, and its
        holds are captured when they expire.
        """
        if os.getpid() != self._pid:
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._empty()
        if self._spool is not None:
            self._spool.close()
        if len(self._memory):
            _log.error("%d calls could not be closed; their holds will be captured", len(self._memory))

    def _loop(self) -> None:
        self._adopt()
        while not self._stop.wait(RETRY_S):
            self._adopt()
            self._empty()

    def _adopt(self) -> None:
        """
        Carry out what processes left that are no more.
        """
        if self._folder is None:
            return
        for spool in left_behind(self._folder, self._database()):
            with self._emptying:
                self._carry_out(spool)
            spool.close()

    def _empty(self) -> None:
        with self._emptying:
            self._carry_out(self._memory)
            if self._spool is not None:
                self._carry_out(self._spool)

    def _carry_out(self, waiting: Memory | Spool) -> None:
        """
        Do one closing after the other, until all are done or the books are out of reach.
        """
        while True:
            with self._lock:
                first = waiting.first()
            if first is None or not self._is_over(*first):
                return
            with self._lock:
                waiting.done()

    def _is_over(self, op: Operation, attach: Sequence[Attachment]) -> bool:
        """Tell whether an operation needs no more tries: written (if need be without its rows) or refused."""
        try:
            answer = self._ledger.do(op, attach)
        except OperationFailed:
            _log.exception("a call could not be closed %s its record", "with" if attach else "without")
            return not attach or self._is_over(op, ())
        except LedgerError:
            return False
        if not isinstance(answer, Refused):
            return True
        _log.warning("a call that waits to be closed: %s", answer)
        return not answer.busy
