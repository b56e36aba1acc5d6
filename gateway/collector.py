"""
The garbage collector of a process that serves.
"""

import gc
from typing import Final

COLLECT_AFTER: Final = 5_000
"""So many more objects made than freed before the garbage collector looks through the young ones."""


def spare_collector() -> None:
    """
    Keep the collector from looking through all that was imported, again and again: each time every caller
    waits, for 30 ms and more. Calls leave next to nothing that only it would find.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
