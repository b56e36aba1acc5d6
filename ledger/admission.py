"""
Whether money may be held, for which offer, and what to say if not (pure).

The first offer that fits the credit and every budget wins. A refusal is final ("exhausted") if the cheapest
offer would not fit even were every open hold released, else it is "busy": only calls in flight stand in the
way and a retry may succeed.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ledger.books import Books
from ledger.budget import Meter, keep_window, meters
from ledger.chain import compact_json
from ledger.outcome import Outcome, event, exposure, invalid_amount, invalid_field, refuse, valid_amount
from ledger.postings import account_of
from ledger.rows import (
    ABSORB,
    COUNTS_CHARGE,
    COUNTS_COST,
    IN_TIME,
    OPEN,
    STATE_NAMES,
    WINDOW_NAMES,
    Account,
    Hold,
    HoldWindow,
)
from ledger.types import Gauge, Held, Number, Offer, Operation, Reason, Refused, Reserve
from pricing.money import PPM, scale_ceil

TTL_MAX_US: Final = 30 * 86_400 * 1_000_000
_NOT_CLOSED: Final = (0, None, 0, 0, 0, 0, IN_TIME, None, None, None)
"""Of a hold, `captured` to `detail`: what its closing will fill in."""


class Price(NamedTuple):
    """
    An offer in both units: what the tenant pays and what the provider bills, at worst and typically.
    """

    charge: int
    cost: int
    expected_charge: int
    expected_cost: int

    def amount(self, meter: Meter) -> int:
        """
        Return the worst case in the meter's unit.
        """
        return self.cost if meter.counts_cost else self.charge


def price(offer: Offer, multiplier_ppm: int) -> Price:
    """
    Price an offer for a tenant; the expectation is never above the worst case.
    """
    expected = min(offer.expected_nanos, offer.cost_nanos)
    if multiplier_ppm == PPM:
        return Price(offer.cost_nanos, offer.cost_nanos, expected, expected)
    charge = scale_ceil(offer.cost_nanos, multiplier_ppm)
    return Price(charge, offer.cost_nanos, min(scale_ceil(expected, multiplier_ppm), charge), expected)


def reserve(books: Books, op: Reserve, now_us: int, digest: str) -> Outcome:
    """
    Hold money for the first offer that fits, or refuse.
    """
    invalid = _invalid(op)
    if invalid is not None:
        return invalid
    account = account_of(books)
    if account.frozen:
        return refuse(Reason.FROZEN)
    limits = meters(books, op.scopes, now_us)
    prices = [price(offer, account.multiplier_ppm) for offer in op.offers]
    choice = _in_debt(account) or select(limits, op.offers, prices, account.multiplier_ppm)
    if isinstance(choice, Refused):
        if op.enforce:
            return Outcome(choice, applied=False)
        would_refuse, would_offer, index = choice, None, 0
    else:
        would_refuse, would_offer, index = None, choice, choice if op.enforce else 0

    # from here the hold must succeed
    hold = _open(books, op, index, prices[index], now_us, digest)
    _count(books, hold, limits, prices[index])
    held = held_answer(hold, tuple(meter.gauge() for meter in limits), replayed=False)
    if not op.enforce:
        held = replace(held, would_refuse=would_refuse, would_offer=would_offer)
    return Outcome(held, applied=True)


def _invalid(op: Reserve) -> Outcome | None:
    if op.hold_id == "":
        return invalid_field("hold_id", op.hold_id, "give the hold an id")
    if not op.offers:
        return invalid_field("offers", "()", "give at least one offer")
    if not valid_amount(op.ttl_us, least=1) or op.ttl_us > TTL_MAX_US:
        return invalid_field("ttl_us", op.ttl_us, f"1 to {TTL_MAX_US} microseconds")
    for offer in op.offers:
        if not valid_amount(offer.cost_nanos):
            return invalid_amount("cost_nanos", offer.cost_nanos)
        if not valid_amount(offer.expected_nanos):
            return invalid_amount("expected_nanos", offer.expected_nanos)
    return None


def _in_debt(account: Account) -> Refused | None:
    if account.debt == 0:
        return None
    return Refused(Reason.IN_DEBT, {"debt_nanos": account.debt, "wallet_nanos": account.wallet})


def select(limits: list[Meter], offers: Sequence[Offer], prices: Sequence[Price], ppm: int) -> int | Refused:
    """
    Return the index of the first offer that fits, or the refusal.
    """
    for index, (offer, worst) in enumerate(zip(offers, prices, strict=True)):
        blocking = [meter for meter in limits if not meter.fits(worst.amount(meter), meter.held)]
        if not blocking:
            return index
        if offer.waits and all(meter.fits(worst.amount(meter), meter.expected) for meter in limits):
            return _explain(limits, blocking[0], worst, ppm, busy=True)
    cheapest = min(prices, key=lambda worst: (worst.charge, worst.cost))
    for meter in limits:
        if not meter.fits(cheapest.amount(meter), 0):
            return _explain(limits, meter, cheapest, ppm, busy=False)
    blocking = [meter for meter in limits if not meter.fits(cheapest.amount(meter), meter.held)]
    return _explain(limits, blocking[0], cheapest, ppm, busy=True)


def _explain(limits: list[Meter], meter: Meter, worst: Price, ppm: int, *, busy: bool) -> Refused:
    """
    Say which limit stood in the way, with its numbers in its own unit.

    `max_affordable_nanos` is the largest provider cost that every limit would let pass now.
    """
    numbers: dict[str, Number] = {
        "needed_nanos": worst.amount(meter),
        "needed_cost_nanos": worst.cost,
        "available_nanos": _left_now(meter),
        "limit_nanos": meter.limit,
        "spent_nanos": meter.spent,
        "held_nanos": meter.held,
        "expected_held_nanos": meter.expected,
        "max_affordable_nanos": _affordable(limits, ppm),
    }
    if meter.window is None or meter.kind is None:
        return Refused(Reason.CREDIT_BUSY if busy else Reason.CREDIT_EXHAUSTED, numbers)
    numbers["budget_scope"] = meter.scope
    numbers["budget_window"] = WINDOW_NAMES[meter.kind]
    numbers["resets_us"] = meter.window.ends_at
    return Refused(Reason.BUDGET_BUSY if busy else Reason.BUDGET_EXHAUSTED, numbers)


def _left_now(meter: Meter) -> int:
    left = meter.left(meter.held)
    assert left is not None, "a meter without a limit refuses nothing"
    return max(0, left)


def _affordable(limits: list[Meter], ppm: int) -> int | None:
    """
    Return the largest provider cost that fits every limit; `None` where nothing limits it.
    """
    costs = []
    for meter in limits:
        if meter.limit is not None and (meter.counts_cost or ppm > 0):
            left = _left_now(meter)
            costs.append(left if meter.counts_cost else left * PPM // ppm)
    return min(costs, default=None)


def _open(books: Books, op: Reserve, index: int, worst: Price, now_us: int, digest: str) -> Hold:
    """
    Write the hold and count it in the account.

    An observed hold (not enforced) takes what credit there is; what is short is absorbed at settlement.
    """
    assert op.hold_id not in books.holds, f"hold {op.hold_id} exists"
    account = account_of(books)
    amount = worst.charge if op.enforce else min(worst.charge, account.wallet - account.held)
    overage = account.overage if op.enforce else ABSORB
    expected = min(worst.expected_charge, amount)
    hold = Hold(  # by position: by name this call would take twice the time
        op.hold_id, op.tenant, op.key, digest, OPEN, int(op.enforce), overage, account.multiplier_ppm,
        index, amount, expected, worst.cost, *_NOT_CLOSED, compact_json(op.scopes), op.offers[index].plan,
        op.owner, now_us, now_us + op.ttl_us, None, fresh=True,
    )  # fmt: skip
    account.held += hold.amount
    account.held_expected += hold.expected
    books.add_hold(hold)
    books.changes.account = True
    books.changes.holds[hold.id] = hold
    books.changes.events.append(event("held", hold, exposure(hold), now_us))
    return hold


def _count(books: Books, hold: Hold, limits: list[Meter], worst: Price) -> None:
    """
    Count the hold in the account's meter and in every budget window.
    """
    limits[0].held += hold.amount
    limits[0].expected += hold.expected
    for meter in limits[1:]:
        budget, window = meter.budget, meter.window
        assert budget is not None
        assert window is not None
        counts = COUNTS_COST if meter.counts_cost else COUNTS_CHARGE
        expected = worst.expected_cost if meter.counts_cost else worst.expected_charge
        part = HoldWindow(
            hold.id, budget.id, window.starts_at, counts, worst.amount(meter), expected, 0, fresh=True
        )
        window.held += part.amount
        window.held_expected += part.expected
        meter.held, meter.expected = window.held, window.held_expected
        keep_window(books, budget, window)
        books.add_part(part)
        books.changes.hold_windows[(part.hold_id, part.budget_id, part.starts_at)] = part


def held_answer(hold: Hold, gauges: tuple[Gauge, ...], *, replayed: bool) -> Held:
    """
    Describe a hold to its caller.
    """
    return Held(
        hold_id=hold.id, offer_index=hold.offer_index, amount_nanos=hold.amount, cost_nanos=hold.cost_bound,
        opened_us=hold.opened_at, expires_us=hold.expires_at, state=STATE_NAMES[hold.state], gauges=gauges,
        replayed=replayed,
    )  # fmt: skip


def held_before(books: Books, op: Reserve, digest: str, now_us: int) -> Outcome | None:
    """
    Answer a reservation under its hold's own key, where there is that hold.
    """
    hold = books.holds.get(op.hold_id)
    return None if hold is None else replay(books, op, hold, digest, now_us)


def replay(books: Books, op: Operation, hold: Hold, digest: str, now_us: int) -> Outcome:
    """
    Answer an operation whose key has made a hold, or its id: the same body is a repetition, and gets the same
    hold, its state and the gauges of now.
    """
    if not isinstance(op, Reserve) or (hold.op_key, hold.req_hash) != (op.key, digest):
        return refuse(Reason.KEY_CONFLICT, key=op.key, made="Reserve")
    gauges = meters(books, tuple(json.loads(hold.scopes)), now_us)
    held = held_answer(hold, tuple(meter.gauge() for meter in gauges), replayed=True)
    return Outcome(held, applied=False)
