"""
Ends a process whose parent is gone, however it went: nobody else would stop it, and it would spend on.

`python -m outlay.lifeline MODULE ...` runs a module for as long as the process that started it lives, which
holds the other end of the standard input and writes nothing: its end says that nobody is there.
"""

import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from typing import Final

COMMAND: Final = (sys.executable, "-P", "-m", "outlay.lifeline")
"""
Before a module of ours and its arguments; its standard input is to be a pipe. `-P` keeps a file of the same
name in the working folder from shadowing it.
"""
_STANDARD_INPUT: Final = 0


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


if __name__ == "__main__":
    end_after(lambda: os.read(_STANDARD_INPUT, 1))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
