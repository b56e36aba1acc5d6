"""
What the LLM classifier has said of conversations, so that each is classified once by a process.

Kept in memory: another process, or this one started anew, asks again. Stored decisions carry the answer that
they were made by, so replay does not depend on it.
"""

import threading
from collections import OrderedDict
from typing import Final

from router.types import Prediction

KEPT_MAX: Final = 20_000
PAUSE_US: Final = 30 * 1_000_000
"""After a classification that failed the tenant's calls go on without for this long: none waits twice."""


class Answers:
    """
    Answers by tenant and conversation; safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str], Prediction] = OrderedDict()
        self._paused: dict[str, int] = {}

    def find(self, tenant: str, session: str, version: str) -> Prediction | None:
        """
        Return what was said of a conversation by this version of the question.
        """
        with self._lock:
            return self._kept.get((tenant, session, version))

    def keep(self, tenant: str, session: str, said: Prediction) -> None:
        """
        Remember an answer; the oldest is forgotten first.
        """
        with self._lock:
            self._kept[(tenant, session, said.version)] = said
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)

    def pause(self, tenant: str, now_us: int) -> None:
        """
        Ask nothing for a while.
        """
        with self._lock:
            self._paused[tenant] = now_us + PAUSE_US

    def paused(self, tenant: str, now_us: int) -> bool:
        """
        Tell whether nothing is to be asked now.
        """
        with self._lock:
            return now_us < self._paused.get(tenant, 0)
