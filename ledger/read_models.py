"""
What the ledger shows of itself: plain values, filled by `ledger.reads`.
"""

from dataclasses import dataclass

from ledger.types import Gauge


@dataclass(frozen=True, slots=True)
class AccountRow:
    """
    One tenant's account.
    """

    tenant: str
    credit_nanos: int
    held_nanos: int
    expected_held_nanos: int
    debt_nanos: int
    frozen: bool
    multiplier_ppm: int
    overage: str
    timezone: str
    opened_us: int
    transfers: int

    @property
    def available_nanos(self) -> int:
        """
        Return what may still be held.
        """
        return self.credit_nanos - self.held_nanos


@dataclass(frozen=True, slots=True)
class Balance:
    """
    An account with its day budget and every other gauge of the tenant, as of an instant.
    """

    account: AccountRow
    day: Gauge | None
    gauges: tuple[Gauge, ...]


@dataclass(frozen=True, slots=True)
class StatementLine:
    """
    One transfer; `change_nanos` is what it did to the credit, `balance_nanos` the credit afterwards.
    """

    transfer: str
    seq: int
    at_us: int
    kind: str
    debit: str
    credit: str
    amount_nanos: int
    change_nanos: int
    balance_nanos: int
    cost_nanos: int | None
    hold_id: str | None
    key: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class HoldRow:
    """
    One hold and what became of it.
    """

    id: str
    tenant: str
    key: str
    state: str
    enforced: bool
    offer_index: int
    amount_nanos: int
    expected_nanos: int
    cost_bound_nanos: int
    cost_nanos: int | None
    charge_nanos: int
    debt_nanos: int
    absorbed_nanos: int
    refunded_nanos: int
    scopes: tuple[str, ...]
    plan: str
    detail: str | None
    owner: str
    opened_us: int
    expires_us: int
    closed_us: int | None
    request_hash: str = ""
