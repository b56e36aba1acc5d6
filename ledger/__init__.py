"""
Credit accounts, holds and budgets: the only package that moves money.

`import ledger` is light: the engine-bound parts load at first use, so that `ledger.types` and the pure
rules can be imported without SQLAlchemy.
"""

from typing import TYPE_CHECKING

from ledger.errors import (
    ClockAhead,
    LedgerClosed,
    LedgerError,
    OperationFailed,
    OutcomeUnknown,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from ledger.connect import make_engine, reading
    from ledger.ledger import Ledger
    from ledger.store_memory import MemoryLedger

__all__ = [
    "ClockAhead",
    "Ledger",
    "LedgerClosed",
    "LedgerError",
    "MemoryLedger",
    "OperationFailed",
    "OutcomeUnknown",
    "StoreUnavailable",
    "make_engine",
    "reading",
]

_LAZY = {
    "Ledger": "ledger.ledger",
    "MemoryLedger": "ledger.store_memory",
    "make_engine": "ledger.connect",
    "reading": "ledger.connect",
}


def __getattr__(name: str) -> object:
    """
    Load an engine-bound name at its first use.
    """
    if name not in _LAZY:
        raise AttributeError(f"module 'ledger' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
