"""
What the ledger answers: results, and refusals as values with stable codes. Import them from `ledger.types`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, cast

from ledger.frozen import frozen

Number = int | str | None


class Reason(StrEnum):
    """
    Why an operation was refused; stable codes, in order of precedence.
    """

    QUEUE_FULL = "queue_full"
    UNKNOWN_TENANT = "unknown_tenant"
    TENANT_EXISTS = "tenant_exists"
    KEY_CONFLICT = "key_conflict"
    AMOUNT_INVALID = "amount_invalid"
    FIELD_INVALID = "field_invalid"
    UNKNOWN_TIMEZONE = "unknown_timezone"
    UNKNOWN_HOLD = "unknown_hold"
    HOLD_CLOSED = "hold_closed"
    REFUND_EXCEEDS_CHARGE = "refund_exceeds_charge"
    UNKNOWN_LOT = "unknown_lot"
    REVERSAL_EXCEEDS_GRANT = "reversal_exceeds_grant"
    FROZEN = "frozen"
    IN_DEBT = "in_debt"
    CREDIT_EXHAUSTED = "credit_exhausted"
    BUDGET_EXHAUSTED = "budget_exhausted"
    CREDIT_BUSY = "credit_busy"
    BUDGET_BUSY = "budget_busy"


BUSY = frozenset({Reason.QUEUE_FULL, Reason.CREDIT_BUSY, Reason.BUDGET_BUSY})


@dataclass(frozen=True, slots=True)
class Refused:
    """
    The operation was not carried out; `numbers` explain why.
    """

    reason: Reason
    numbers: Mapping[str, Number] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """
        Tell whether only calls in flight (or the queue) stand in the way: a retry may succeed.
        """
        return self.reason in BUSY


@frozen
class Gauge:
    """
    One thing that can run out: the credit, or one budget window.

    For `credit` the limit is the posted wallet and `spent_nanos` is 0. With `counts_cost` the amounts are
    what the provider bills, else what the tenant pays.
    """

    name: str
    scope: str
    window: str
    limit_nanos: int | None
    spent_nanos: int
    held_nanos: int
    expected_held_nanos: int
    overage_nanos: int
    starts_us: int
    resets_us: int | None
    counts_cost: bool = False


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """
    The account exists.
    """

    tenant: str
    credit_nanos: int
    transfer: str | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """
    Credit was added; `credit_nanos` is the wallet afterwards.
    """

    transfer: str
    credit_nanos: int
    repaid_nanos: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Adjusted:
    """
    The credit was corrected; `credit_nanos` and `debt_nanos` are the wallet and the debt afterwards.
    """

    transfer: str
    amount_nanos: int
    credit_nanos: int
    repaid_nanos: int = 0
    debt_nanos: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Reversed:
    """
    A lot was taken back: `taken_nanos` of it was unspent, `forfeited_nanos` had expired, the rest is debt.
    """

    transfer: str
    amount_nanos: int
    taken_nanos: int
    debt_nanos: int
    credit_nanos: int
    frozen: bool
    forfeited_nanos: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class BudgetSet:
    """
    The limit now in force, and the one before.
    """

    scope: str
    window: str
    limit_nanos: int | None
    limit_before_nanos: int | None
    valid_until_us: int | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class AccountSet:
    """
    The settings now in force; a new zone applies from `timezone_from_us` (of the tenant's day budget).
    """

    frozen: bool
    timezone: str
    timezone_from_us: int | None
    multiplier_ppm: int
    overage: str
    replayed: bool = False


@frozen
class Held:
    """
    Money is held: `amount_nanos` of charge for `cost_nanos` of provider cost.

    `would_refuse` and `would_offer` say, in observe mode, what enforcement would have done.
    """

    hold_id: str
    offer_index: int
    amount_nanos: int
    cost_nanos: int
    opened_us: int
    expires_us: int
    state: str
    gauges: tuple[Gauge, ...]
    replayed: bool = False
    would_refuse: Refused | None = None
    would_offer: int | None = None


@frozen
class Settled:
    """
    The true cost is booked: charge = from the hold and free credit + debt + absorbed.
    """

    hold_id: str
    cost_nanos: int
    charge_nanos: int
    held_nanos: int
    from_free_nanos: int
    debt_nanos: int
    absorbed_nanos: int
    seq: int | None
    late: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """
    The hold is closed without a charge; `returned_nanos` undoes a capture.
    """

    hold_id: str
    returned_nanos: int
    late: bool = False
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Renewed:
    """
    The hold now expires at `expires_us`.
    """

    hold_id: str
    expires_us: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Refunded:
    """
    Money went back; `credit_nanos` is the wallet afterwards, `repaid_nanos` went to debt instead.
    """

    transfer: str
    amount_nanos: int
    credit_nanos: int
    repaid_nanos: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Corrected:
    """
    The cost of a closed hold is what an operator said; `refunded_nanos` of its charge are given back beside.

    `refund_used_nanos` had been refunded, and count as given back by this. `credit_nanos` and `debt_nanos`
    are the wallet and the debt of the tenant afterwards.
    """

    hold_id: str
    cost_nanos: int
    charge_nanos: int
    cost_before_nanos: int | None
    charge_before_nanos: int
    refunded_nanos: int
    credit_nanos: int
    debt_nanos: int
    refund_used_nanos: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Swept:
    """
    The holds that were captured, and the credit that was forfeited.
    """

    holds: tuple[str, ...]
    forfeited_nanos: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """
    The attachments of a note are written.
    """

    replayed: bool = False


Result = (
    AccountOpened
    | ToppedUp
    | Adjusted
    | Reversed
    | BudgetSet
    | AccountSet
    | Held
    | Settled
    | Released
    | Renewed
    | Refunded
    | Corrected
    | Swept
    | Noted
    | Refused
)


def unrepeated(result: Result) -> Result:
    """
    Undo the mark of a repetition on an answer that our own unanswered COMMIT had written.
    """
    if isinstance(result, Refused) or not getattr(result, "replayed", False):
        return result
    ours: Result = replace(cast("Any", result), replayed=False)
    return ours
