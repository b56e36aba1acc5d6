"""
Errors of the ledger: broken promises of the world, never a refusal.

    LedgerError
    +-- StoreUnavailable     nothing was written; the same operation may be sent again
    +-- OutcomeUnknown       the store was lost around COMMIT; ask again with the same key
    +-- OperationFailed      one operation made the store fail; its neighbours were not touched
    +-- LedgerClosed         this object takes no more work (closed, or used after a fork)
"""


class LedgerError(Exception):
    """
    The ledger could not do its work.
    """


class StoreUnavailable(LedgerError):  # noqa: N818 - says what is so; the name is part of the contract
    """
    The database cannot be reached or stays locked; nothing was written.
    """


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
