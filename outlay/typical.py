"""
How long answers usually are, per tenant and kind of call: what a call is expected to cost.

Kept in memory: a process that starts anew expects a share of max_tokens until it has seen a few answers.
Stored decisions carry the number they were made by, so replay does not depend on it.
"""

import threading
from collections import OrderedDict
from typing import Final

KINDS_MAX: Final = 10_000
SEEN_MIN: Final = 3
WEIGHT: Final = 16
"""A new answer counts one part in this many, once as many have been seen."""


class Typical:
    """
    Running means of output tokens; safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._means: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def tokens(self, tenant: str, kind: str) -> int | None:
        """
        Return the usual output; None before a few answers were seen.
        """
        with self._lock:
            count, mean = self._means.get((tenant, kind), (0, 0.0))
        return round(mean) if count >= SEEN_MIN else None

    def saw(self, tenant: str, kind: str, output_tokens: int) -> None:
        """
        Take one more answer into the mean; the kind seen longest ago is forgotten first.
        """
        with self._lock:
            count, mean = self._means.pop((tenant, kind), (0, 0.0))
            count += 1
            mean += (output_tokens - mean) / min(count, WEIGHT)
            self._means[(tenant, kind)] = (count, mean)
            if len(self._means) > KINDS_MAX:
                self._means.popitem(last=False)
