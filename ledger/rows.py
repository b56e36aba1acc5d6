"""
The rows of one tenant, as plain mutable objects on which the rules compute (`ledger.books`).

Fields stand in the order of the columns in `ledger.tables`; `fresh` marks a row that is not in the database
yet. Rows that never change are tuples, which are made in a quarter of the time and are sent as they are.
"""

from dataclasses import dataclass, fields
from typing import Final, NamedTuple

OPEN: Final = 0
SETTLED: Final = 1
RELEASED: Final = 2
EXPIRED: Final = 3
STATE_NAMES: Final = ("open", "settled", "released", "expired")

DEBT: Final = 0
ABSORB: Final = 1
OVERAGE_NAMES: Final = ("debt", "absorb")

PAID: Final = 0
PROMO: Final = 1
REFUND: Final = 2
ADJUST: Final = 3
LOT_NAMES: Final = ("paid", "promo", "refund", "adjust")

HOUR: Final = 0
DAY: Final = 1
WEEK: Final = 2
MONTH: Final = 3
WINDOW_NAMES: Final = ("hour", "day", "week", "month")

COUNTS_CHARGE: Final = 0
COUNTS_COST: Final = 1
COUNTS_NAMES: Final = ("charge", "cost")

WALLET: Final = 0
CASH: Final = 1
PROMO_POOL: Final = 2
USAGE: Final = 3
FORFEITED: Final = 4
ABSORBED: Final = 5
RECEIVABLE: Final = 6
ADJUSTMENTS: Final = 7
SCHEDULED: Final = 8
PARTY_NAMES: Final = (
    "wallet",
    "cash",
    "promo",
    "usage",
    "expired",
    "absorbed",
    "receivable",
    "adjustments",
    "scheduled",
)

KIND_NAMES: Final = (
    "topup",
    "grant",
    "settle",
    "expire_capture",
    "correction",
    "refund",
    "forfeit",
    "debt",
    "repay",
    "adjust",
    "chargeback",
    "absorb",
    "schedule",
    "activate",
    "reversal",
)
KIND: Final = {name: code for code, name in enumerate(KIND_NAMES)}

IN_TIME: Final = 0
AFTER_EXPIRY: Final = 1
AFTER_RELEASE: Final = 2

NEVER_US: Final = 2**63 - 1


Rare = tuple[int | str | None, ...]
"""What a row had, when it was read, in the columns that calls do not change."""
_NOT_COLUMNS: Final = frozenset({"fresh", "was", "rare"})


def columns(row_type: type) -> tuple[str, ...]:
    """
    Return the names of the columns of a row type, in the order of its table.
    """
    names = getattr(row_type, "_fields", None) or (f.name for f in fields(row_type))
    return tuple(name for name in names if name not in _NOT_COLUMNS)


@dataclass(slots=True)
class Account:
    """
    A tenant's balance; its row is also the lock.
    """

    tenant: str
    wallet: int
    held: int
    held_expected: int
    debt: int
    seq: int
    head_hash: str
    last_at: int
    policy_version: int
    frozen: int
    multiplier_ppm: int
    overage: int
    timezone: str
    opened_at: int
    fresh: bool = False
    rare: Rare = ()


@dataclass(slots=True)
class Lot:
    """
    Credit of one origin, with its own priority and expiry.

    granted = what repaid debt on arrival + what is left + what was drawn, forfeited or taken back. Until its
    effective date a `scheduled` lot is not part of the wallet; `reversed` includes what became debt, and
    `forfeited` is without what was taken back from there.
    """

    id: str
    tenant: str
    kind: int
    priority: int
    granted: int
    remaining: int
    effective_at: int
    expires_at: int | None
    source_ref: str
    created_at: int
    repaid: int = 0
    reversed: int = 0
    scheduled: int = 0
    forfeited: int = 0
    fresh: bool = False
    rare: Rare = ()

    @property
    def due_us(self) -> int:
        """
        Return when the lot takes effect if that is still to come, else when it ends.
        """
        if self.scheduled:
            return self.effective_at
        return NEVER_US if self.expires_at is None else self.expires_at


@dataclass(slots=True)
class Budget:
    """
    The limit of one scope and window kind; `raised_amt` is in force until `valid_until`.
    """

    id: str
    tenant: str
    scope: str
    window_kind: int
    limit_amt: int | None
    raised_amt: int | None
    valid_until: int | None
    counts: int
    timezone: str
    tiled_until: int
    fresh: bool = False

    def limit_at(self, now_us: int) -> int | None:
        """
        Return the limit in force at an instant; `None` is no limit.
        """
        if self.valid_until is not None and now_us < self.valid_until:
            return self.raised_amt
        return self.limit_amt


@dataclass(slots=True)
class Window:
    """
    What one budget has spent and held between two instants.
    """

    budget_id: str
    starts_at: int
    tenant: str
    local_date: str
    ends_at: int
    limit_amt: int | None
    spent: int
    held: int
    held_expected: int
    overage: int
    fresh: bool = False
    rare: Rare = ()


@dataclass(slots=True)
class Hold:
    """
    Money held for one call, and what became of it.

    captured = charged (from the wallet) + debt + absorbed: the charge that is booked now.
    """

    id: str
    tenant: str
    op_key: str
    req_hash: str
    state: int
    enforced: int
    overage: int
    multiplier_ppm: int
    offer_index: int
    amount: int
    expected: int
    cost_bound: int
    captured: int
    actual: int | None
    charged: int
    debt: int
    absorbed: int
    refunded: int
    late: int
    settle_hash: str | None
    settle_seq: int | None
    detail: str | None
    scopes: str
    plan: str
    owner: str
    opened_at: int
    expires_at: int
    closed_at: int | None
    fresh: bool = False
    was: int = OPEN  # the state in the database, compared again when the row is written


@dataclass(slots=True)
class HoldWindow:
    """
    The part of a hold that counts in one window.
    """

    hold_id: str
    budget_id: str
    starts_at: int
    counts: int
    amount: int
    expected: int
    refunded: int
    fresh: bool = False


class Transfer(NamedTuple):
    """
    One movement of money between two named parties; never changed once written.
    """

    tenant: str
    seq: int
    kind: int
    debit: int
    credit: int
    amount: int
    cost: int | None
    hold_id: str | None
    lot_id: str | None
    op_key: str
    at: int
    effective_at: int
    wallet_after: int
    prev_hash: str
    hash: str


class Draw(NamedTuple):
    """
    The part of a movement that one lot gave (positive) or got back (negative); `place` is the order.
    """

    tenant: str
    seq: int
    lot_id: str
    hold_id: str
    place: int
    amount: int


class Setting(NamedTuple):
    """
    One entry of the journal of settings: how an order left its subject; never changed once written.
    """

    tenant: str
    n: int
    subject: str
    value: str
    op_key: str
    actor: str
    reason: str
    at: int
    prev_hash: str
    hash: str


@dataclass(slots=True)
class Op:
    """
    The stored answer to one idempotency key.
    """

    tenant: str
    key: str
    kind: str
    req_hash: str
    result: str
    actor: str
    reason: str
    at: int
    fresh: bool = True
