"""
Ends a process whose parent is gone, however it went: nobody else would stop it, and it would spend on.
"""

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import parent_process


def follow_parent() -> None:
    """
    End as on SIGTERM once the process that spawned this worker is gone; does nothing in any other process.
    """
    parent = parent_process()
    if parent is not None:
        end_after(parent.join)


def end_after(gone: Callable[[], object]) -> None:
    """
    End as on SIGTERM once `gone` returns, which is waited for beside the work.
    """

    def wait() -> None:
        gone()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="outlay-lifeline", daemon=True).start()
