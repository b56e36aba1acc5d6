"""
What a caller can ask of the ledger: plain frozen values. Import them from `ledger.types`.

Every operation names its tenant, its idempotency key and the instant at which it is made.
"""

from dataclasses import dataclass
from typing import Final, TypeGuard

from ledger.frozen import frozen

_HOLD: Final = "hold:"
_SETTLE: Final = "settle:"


@frozen
class Offer:
    """
    One plan that the caller would carry out, at its worst-case and its typical provider cost.

    `waits`: if only money held by calls in flight stands in the way (it would fit if they settled at their
    expected cost), the answer is busy instead of the next offer.
    """

    cost_nanos: int
    expected_nanos: int
    plan: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """
    Create a tenant's account with its first credit and its daily budget.
    """

    tenant: str
    key: str
    now_us: int
    timezone: str
    credit_nanos: int
    daily_limit_nanos: int | None
    actor: str = "system"
    multiplier_ppm: int = 1_000_000


@dataclass(frozen=True, slots=True)
class TopUp:
    """
    Add credit: paid money or a promotional grant; repays debt first.

    With `effective_us` in the future it is scheduled: no part of the wallet before that instant. A lower
    priority is drawn earlier.
    """

    tenant: str
    key: str
    now_us: int
    amount_nanos: int
    kind: str = "paid"
    expires_us: int | None = None
    source_ref: str = ""
    actor: str = "system"
    reason: str = ""
    priority: int = 0
    effective_us: int | None = None


@dataclass(frozen=True, slots=True)
class Adjust:
    """
    Correct the credit by hand: a positive amount is added, a negative one taken, the rest of it as debt.
    """

    tenant: str
    key: str
    now_us: int
    amount_nanos: int
    reason: str
    actor: str = "system"


@dataclass(frozen=True, slots=True)
class Reverse:
    """
    Take a lot back, for the bank's sake ("chargeback") or as a mistake ("reversal"); `None` is all of it.

    What the lot no longer has becomes debt; `freeze` stops the tenant's spending in the same transaction.
    """

    tenant: str
    key: str
    now_us: int
    lot_id: str
    reason: str
    amount_nanos: int | None = None
    kind: str = "reversal"
    freeze: bool = False
    actor: str = "system"


@dataclass(frozen=True, slots=True)
class SetBudget:
    """
    Set the limit of one scope and window; `None` is no limit, 0 lets nothing be spent.

    With `valid_until_us` the limit is temporary: the standing one returns at that instant. `counts` is
    "charge" (what the tenant pays; the default) or "cost" (what the provider bills); a budget keeps it.
    """

    tenant: str
    key: str
    now_us: int
    limit_nanos: int | None
    scope: str = "tenant"
    window: str = "day"
    valid_until_us: int | None = None
    actor: str = "system"
    reason: str = ""
    counts: str | None = None


@dataclass(frozen=True, slots=True)
class SetAccount:
    """
    Change settings of an account; `None` leaves a field as it is.
    """

    tenant: str
    key: str
    now_us: int
    frozen: bool | None = None
    timezone: str | None = None
    multiplier_ppm: int | None = None
    overage: str | None = None
    actor: str = "system"
    reason: str = ""


@frozen
class Reserve:
    """
    Hold money for the first offer that fits credit and every budget of the scopes.

    `request_hash` is the body that the key stands for; offers and hold_id may differ on a retry.
    """

    tenant: str
    key: str
    now_us: int
    hold_id: str
    offers: tuple[Offer, ...]
    ttl_us: int = 900_000_000
    scopes: tuple[str, ...] = ()
    owner: str = ""
    request_hash: str = ""
    enforce: bool = True
    sticky: bool = False


@frozen
class Settle:
    """
    Book the true cost of a held call; never refused for money.
    """

    tenant: str
    key: str
    now_us: int
    hold_id: str
    cost_nanos: int
    detail: str = ""


def hold_key(hold_id: str) -> str:
    """
    Return the key under which a hold is made best, where its caller has none of its own.
    """
    return f"{_HOLD}{hold_id}"


def settle_key(hold_id: str) -> str:
    """
    Return the key under which a hold is settled best: whoever settles it, it is the same settlement.
    """
    return f"{_SETTLE}{hold_id}"


@dataclass(frozen=True, slots=True)
class Release:
    """
    Give a hold back because the provider did not bill; also undoes a capture at expiry.
    """

    tenant: str
    key: str
    now_us: int
    hold_id: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Renew:
    """
    Extend an open hold to `now + ttl`; never shortens it.
    """

    tenant: str
    key: str
    now_us: int
    hold_id: str
    ttl_us: int


@dataclass(frozen=True, slots=True)
class Refund:
    """
    Give money of a settled hold back to the lots it came from; `None` is all that is left.
    """

    tenant: str
    key: str
    now_us: int
    hold_id: str
    amount_nanos: int | None = None
    actor: str = "system"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Correct:
    """
    Book what a closed hold has truly cost, as an operator knows it: above or below what is booked.
    """

    tenant: str
    key: str
    now_us: int
    hold_id: str
    cost_nanos: int
    actor: str = "system"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """
    Capture the tenant's expired holds and forfeit its expired lots; writes no key.
    """

    tenant: str
    key: str
    now_us: int


@dataclass(frozen=True, slots=True)
class Note:
    """
    Move no money: carries attachments that belong to no other operation. Needs no account.
    """

    tenant: str
    key: str
    now_us: int


Operation = (
    OpenAccount
    | TopUp
    | Adjust
    | Reverse
    | SetBudget
    | SetAccount
    | Reserve
    | Settle
    | Release
    | Renew
    | Refund
    | Correct
    | Sweep
    | Note
)


def recorded_by_hold(op: Operation) -> TypeGuard[Reserve | Settle]:
    """
    Tell whether an operation makes or settles a hold under the hold's own key: the hold tells all of it, and
    no answer is stored.
    """
    if isinstance(op, Reserve):
        return op.key == hold_key(op.hold_id)
    return isinstance(op, Settle) and op.key == settle_key(op.hold_id)


def takes_a_holds_key(op: Operation) -> bool:
    """
    Tell whether an operation comes under a key that is a hold's own, and is not what that key is for.
    """
    return op.key.startswith((_HOLD, _SETTLE)) and not recorded_by_hold(op)
