"""
Operations, results and refusals of the ledger: plain frozen values, no I/O, no SQLAlchemy.

Money is integer nano-USD (`_nanos`), instants are microseconds since the epoch, UTC (`_us`). Cost is what
the provider bills; charge is what the tenant pays: cost times the tenant's multiplier, rounded up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ledger.frozen import frozen
from ledger.operations import (
    Adjust,
    Correct,
    Note,
    Offer,
    OpenAccount,
    Operation,
    Refund,
    Release,
    Renew,
    Reserve,
    Reverse,
    SetAccount,
    SetBudget,
    Settle,
    Sweep,
    TopUp,
    hold_key,
    recorded_by_hold,
    settle_key,
    takes_a_holds_key,
)
from ledger.results import (
    BUSY,
    AccountOpened,
    AccountSet,
    Adjusted,
    BudgetSet,
    Corrected,
    Gauge,
    Held,
    Noted,
    Number,
    Reason,
    Refunded,
    Refused,
    Released,
    Renewed,
    Result,
    Reversed,
    Settled,
    Swept,
    ToppedUp,
)

__all__ = [
    "BUSY",
    "AccountOpened",
    "AccountSet",
    "Adjust",
    "Adjusted",
    "Attachment",
    "BudgetSet",
    "Correct",
    "Corrected",
    "Gauge",
    "Held",
    "HoldEvent",
    "Note",
    "Noted",
    "Number",
    "Offer",
    "OpenAccount",
    "Operation",
    "Reason",
    "Refund",
    "Refunded",
    "Refused",
    "Release",
    "Released",
    "Renew",
    "Renewed",
    "Reserve",
    "Result",
    "Reverse",
    "Reversed",
    "SetAccount",
    "SetBudget",
    "Settle",
    "Settled",
    "Sweep",
    "Swept",
    "Tap",
    "TopUp",
    "ToppedUp",
    "hold_key",
    "recorded_by_hold",
    "settle_key",
    "takes_a_holds_key",
]


@dataclass(frozen=True, slots=True)
class Attachment:
    """
    A row of another package, written in the operation's own transaction.

    Plain insert; with `ignore` a row whose primary key exists is left alone; with `add` the named columns
    are added to the row whose primary key exists. `table` is an SQLAlchemy table.
    """

    table: object
    values: Mapping[str, object]
    add: tuple[str, ...] = ()
    ignore: bool = False


@frozen
class HoldEvent:
    """
    A change of one hold, given to the tap; `delta_nanos` is the change of exposure in charge.
    """

    kind: str
    tenant: str
    hold_id: str
    delta_nanos: int
    opened_us: int
    now_us: int
    plan: str


Tap = Callable[[Sequence[HoldEvent]], Sequence[Attachment]]
