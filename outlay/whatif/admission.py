"""
Which offer the ledger would have taken, by the ledger's own rule on the money around a call.

Headroom tells less than the books do: of credits only what is left. So a refusal may be told as busy where
the ledger would have said exhausted, or the other way.
"""

from collections.abc import Sequence
from typing import Final

from ledger.admission import price, select
from ledger.budget import Meter
from ledger.rows import WINDOW_NAMES, Window
from ledger.types import Offer as LedgerOffer
from ledger.types import Refused
from outlay.refusals import LEDGER
from router.types import Budget, Headroom, Offer

_KINDS: Final = {name: kind for kind, name in enumerate(WINDOW_NAMES)}


def taken(offers: Sequence[Offer], headroom: Headroom) -> int | str:
    """
    Return the place of the offer that fits, or the code of the refusal.
    """
    ppm = headroom.multiplier_ppm
    wanted = [LedgerOffer(one.cost_bound_nanos, one.expected_cost_nanos, "", one.waits) for one in offers]
    limits = [*_credit(headroom), *(_budget(one) for one in headroom.budgets)]
    chosen = select(limits, wanted, [price(one, ppm) for one in wanted], ppm)
    return LEDGER[chosen.reason].code if isinstance(chosen, Refused) else chosen


def _credit(headroom: Headroom) -> tuple[Meter, ...]:
    left = headroom.credit_available_nanos
    if left is None:
        return ()
    expected = headroom.credit_expected_nanos
    most = max(left, left if expected is None else expected)
    return (Meter("credit", None, most, 0, most - left, 0),)


def _budget(budget: Budget) -> Meter:
    scope, _, kind = budget.name.rpartition("/")
    ends_us = budget.resets_us or 0
    spent, held, expected = budget.spent_nanos, budget.held_nanos, budget.expected_held_nanos
    window = Window("", 0, "", "", ends_us, budget.limit_nanos, spent, held, expected, 0)
    return Meter(scope, _KINDS.get(kind), budget.limit_nanos, spent, held, expected, window=window)
