"""
A fork of a process that has a database open: connections stay with the process that made them.
"""

import os

import pytest
from sqlalchemy import Engine, text

from ledger import Ledger
from ledger.errors import LedgerClosed
from ledger.types import TopUp

NOW_US = 1_763_700_000 * 1_000_000
WORKED = 7


def exit_code(child: int) -> int:
    """Wait for a child."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_does_not_use_its_parents_connections(engine: Engine) -> None:
    """It opens its own: two processes on one would read each other's answers, or lose its locks."""
    with engine.connect() as connection:
        parents = connection.connection.dbapi_connection
    child = os.fork()
    if child == 0:
        try:
            with engine.connect() as connection:
                own = connection.connection.dbapi_connection is not parents
                asked = connection.execute(text("SELECT 1")).scalar()
            os._exit(WORKED if own and asked == 1 else 1)
        finally:
            os._exit(2)
    assert exit_code(child) == WORKED
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is parents
        assert connection.execute(text("SELECT 1")).scalar() == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("ask", ["do", "submit"])
def test_a_child_is_told_so_whatever_its_parent_was_doing(ledger: Ledger, ask: str) -> None:
    """Also where the fork found the parent's queue locked: nobody in the child will ever unlock it."""
    with ledger._writer._wake, ledger._writer._commit:
        child = os.fork()
        if child == 0:
            try:
                getattr(ledger, ask)(TopUp("acme", "child", NOW_US, 1))
            except LedgerClosed:
                os._exit(WORKED)
            finally:
                os._exit(1)
    assert exit_code(child) == WORKED
