"""
Runs a module for as long as the process that started it lives: `python -m outlay.demo.following MODULE ...`.

The parent holds the other end of the standard input and writes nothing; its end says that the parent is gone.
"""

import os
import runpy
import sys

from outlay.lifeline import end_after

STANDARD_INPUT = 0

if __name__ == "__main__":
    end_after(lambda: os.read(STANDARD_INPUT, 1))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
