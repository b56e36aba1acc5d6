"""
What one operation did, and the checks on amounts that every operation shares (pure).
"""

from typing import Final, NamedTuple

from ledger.rows import Hold
from ledger.types import HoldEvent, Number, Reason, Refused, Result
from pricing.money import NANOS_PER_USD, scale_ceil

AMOUNT_MAX: Final = 10**18  # 1e9 USD: sums of a few stay inside 64 bits
_AMOUNTS: Final = f"amounts go up to {AMOUNT_MAX // NANOS_PER_USD:,} USD"


class Outcome(NamedTuple):
    """
    An answer, and whether the operation was carried out now (its attachments are then written).
    """

    result: Result
    applied: bool


def refuse(reason: Reason, **numbers: Number) -> Outcome:
    """
    Return a refusal: nothing was carried out.
    """
    return Outcome(Refused(reason, numbers), applied=False)


def valid_amount(value: object, *, least: int = 0) -> bool:
    """
    Tell whether a value is an amount of money: an integer (never a bool or float) from `least` to 1e9 USD.
    """
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= AMOUNT_MAX


def invalid_amount(field: str, value: object) -> Outcome:
    """
    Refuse an amount, naming the field and the value.
    """
    return refuse(Reason.AMOUNT_INVALID, field=field, value=str(value)[:60], fix=_AMOUNTS)


def invalid_field(field: str, value: object, fix: str) -> Outcome:
    """
    Refuse a field that is not money, naming the field, the value and the fix.
    """
    return refuse(Reason.FIELD_INVALID, field=field, value=str(value)[:60], fix=fix)


def exposure(hold: Hold) -> int:
    """
    Return the charge that a hold's call can cost at most, whatever amount could be held for it.
    """
    return scale_ceil(hold.cost_bound, hold.multiplier_ppm)


def event(kind: str, hold: Hold, delta_nanos: int, now_us: int) -> HoldEvent:
    """
    Describe a change of a hold for the tap.
    """
    return HoldEvent(kind, hold.tenant, hold.id, delta_nanos, hold.opened_at, now_us, hold.plan)
