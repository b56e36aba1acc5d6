"""
Closings that found the books out of reach: tried again in the background until they are written.

Money is safe without it (a hold that nobody closes is captured when it expires); it brings the true cost.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from ledger import Ledger, LedgerError, OperationFailed
from ledger.types import Attachment, Operation, Refused

RETRY_S: Final = 1.0
WAITING_MAX: Final = 100_000
_log = logging.getLogger("outlay")


class Later:
    """
    A queue of operations, each safe to repeat by its key, and the thread that empties it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[tuple[Operation, Sequence[Attachment]]] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, op: Operation, attach: Sequence[Attachment] = ()) -> None:
        """
        Keep an operation until it is written.
        """
        with self._lock:
            if len(self._waiting) >= WAITING_MAX:
                _log.error("too many calls wait to be closed; the hold of this one will be captured: %s", op)
                return
            self._waiting.append((op, attach))
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="outlay-later", daemon=True)
                self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """
        Try once more, then give up; holds that stay open are captured when they expire.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._empty()
        if self._waiting:
            _log.error("%d calls could not be closed; their holds will be captured", len(self._waiting))

    def _loop(self) -> None:
        while not self._stop.wait(RETRY_S):
            self._empty()

    def _empty(self) -> None:
        while self._waiting and self._is_over(*self._waiting[0]):
            self._waiting.popleft()

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
