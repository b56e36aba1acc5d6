"""
Errors of the ledger: broken promises of the world, never a refusal.

    LedgerError
    +-- StoreUnavailable     nothing was written; the same operation may be sent again
    |   `-- ClockAhead       as this process's clock is ahead: it is not let near the books
    +-- OutcomeUnknown       the store was lost around COMMIT; ask again with the same key
    +-- OperationFailed      one operation made the store fail; its neighbours were not touched
    +-- LedgerClosed         this object takes no more work (closed, or used after a fork)
"""

from datetime import UTC, datetime


class LedgerError(Exception):
    """
    The ledger could not do its work.
    """


class StoreUnavailable(LedgerError):  # noqa: N818 - says what is so; the name is part of the contract
    """
    The database cannot be reached or stays locked; nothing was written.
    """


class ClockAhead(StoreUnavailable):
    """
    The instant of an operation is ahead of the database's clock, or of the time that has passed; nothing was
    written.
    """

    def __init__(self, now_us: int, true_us: int, *, by_database: bool) -> None:
        """
        Name both clocks and the remedy.
        """
        self.now_us, self.true_us = now_us, true_us
        said = f"the clock of this process says {_iso(now_us)}"
        fix = "nothing was written; set the clock of this machine (NTP)"
        if by_database:
            super().__init__(f"{said}, the database's {_iso(true_us)}: {fix}")
        else:
            true = f"by the time that passed since it opened the books it is {_iso(true_us)}"
            super().__init__(f"{said}, but {true}: {fix}, or restart this process if its clock is right")


def _iso(instant_us: int) -> str:
    return datetime.fromtimestamp(instant_us // 1_000_000, tz=UTC).isoformat()


class OutcomeUnknown(LedgerError):  # noqa: N818 - says what is so; the name is part of the contract
    """
    The connection was lost around COMMIT and the answer could not be looked up in time.
    """


class OperationFailed(LedgerError):  # noqa: N818 - says what is so; the name is part of the contract
    """
    The database or an invariant rejected this one operation; nothing of it was written.
    """


class LedgerClosed(LedgerError):  # noqa: N818 - says what is so; the name is part of the contract
    """
    The ledger was closed, or this process is a fork of the one that opened it.
    """
