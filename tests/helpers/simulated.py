"""
The simulated provider in a process of its own, for as long as a test needs it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulator import run


@contextmanager
def simulated(bill_file: Path, **settings: Any) -> Iterator[str]:
    """Start a provider that bills into a file; gives its address, and ends it."""
    address, process = run.start(bill_file, **settings)
    try:
        yield address
    finally:
        process.terminate()
        process.wait()
