"""
Commands on a machine whose clock is wrong.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from outlay import clock

Outlay = Callable[..., Any]


@pytest.mark.postgres
def test_an_order_by_a_clock_that_is_ahead_is_refused(
    outlay: Outlay, postgres_books: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A machine whose clock is a day ahead of the database makes no tenant; the failure names its fix.
    """
    ahead = SimpleNamespace(time_ns=lambda: time.time_ns() + 86_400 * 10**9)
    where = ("--database-url", postgres_books, "--json")
    with monkeypatch.context() as patched:
        patched.setattr(clock, "time", ahead)
        ran = outlay("tenant", "create", "late", *where)
    assert (ran.status, ran.error["code"]) == (1, "clock_ahead")
    assert "set the clock" in ran.error["fix"]
    assert outlay("tenant", "create", "late", *where).status == 0
