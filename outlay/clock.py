"""
The one clock of the shell: instants are integer microseconds since the epoch, UTC.

Decision code never calls it; it is handed `now_us`.
"""

import time
from datetime import UTC, datetime


def now_us() -> int:
    """
    Return the current instant in microseconds since the epoch, UTC.
    """
    return time.time_ns() // 1_000


def iso(instant_us: int) -> str:
    """
    Write an instant as ISO 8601 text in UTC, for people and for JSON.
    """
    return datetime.fromtimestamp(instant_us / 1_000_000, tz=UTC).isoformat()
