"""
The facts of a tenant as the auditor keeps them: what came, what went, what each hold was for, how it ended.

Every figure is worked out anew as a sum over facts: no running balance, no counter, no row of the ledger.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any

import ledger_calendar as calendar

from ledger.types import Offer, Operation, Reserve

Answer = tuple[Any, ...]
Priced = tuple[int, int, int, int]


def charge_of(cost: int, ppm: int) -> int:
    """Return what a tenant pays for a cost, rounded up."""
    return ceil(Fraction(cost) * Fraction(ppm, 1_000_000))


@dataclass
class Lot:
    """Credit of one origin; `takes` are amounts that left it (negative: came back), by any way but debt."""

    id: str
    kind: str
    priority: int
    granted: int
    since: int
    made: int
    expires: int | None
    waits: bool = False
    repaid: int = 0
    reversed: int = 0
    takes: list[int] = field(default_factory=list)

    @property
    def left(self) -> int:
        """What is still in it."""
        return self.granted - self.repaid - sum(self.takes)

    def overdue(self, now: int) -> bool:
        """Tell whether it is past its expiry."""
        return self.expires is not None and self.expires <= now

    def place(self, now: int) -> tuple[Any, ...]:
        """Return its place in the order of drawing."""
        never = self.expires is None
        return (
            not self.overdue(now), self.priority, never, self.expires or 0, self.kind != "promo",
            self.since, self.made, self.id,
        )  # fmt: skip


@dataclass
class Call:
    """A hold: what was asked and how it ended; `parts` are the windows it counts in."""

    id: str
    key: str
    body: Any
    ppm: int
    absorbs: bool
    index: int
    amount: int
    expected: int
    bound: int
    priced: Priced
    opened: int
    expires: int
    scopes: tuple[str, ...]
    parts: list[tuple[tuple[str, str], int]]
    state: str = "open"
    late: bool = False
    settled_by: Any = None
    detail: str | None = None  # what the call said of itself; None while only an operator told its cost
    cost: int | None = None
    booked: int = 0
    paid: int = 0
    debt: int = 0
    absorbed: int = 0
    refunds: list[tuple[int, int]] = field(default_factory=list)
    drawn: list[list[Any]] = field(default_factory=list)

    @property
    def refunded(self) -> int:
        """What was given back so far."""
        return sum(amount for _, amount in self.refunds)

    def forget_refunds(self, amount: int) -> None:
        """Count so much of the newest refunds as something else."""
        while amount:
            at, newest = self.refunds.pop()
            amount, left = max(0, amount - newest), max(0, newest - amount)
            self.refunds += [(at, left)] if left else []


@dataclass
class Limit:
    """A budget: its limits, its zone since when, and the spans that a change of zone has fixed."""

    counts: str
    zone: str
    standing: int | None = None
    raised: int | None = None
    until: int | None = None
    fixed: list[calendar.Window] = field(default_factory=list)
    former: list[tuple[int, str]] = field(default_factory=list)

    def at(self, now: int) -> int | None:
        """Return the limit in force."""
        return self.raised if self.until is not None and now < self.until else self.standing

    def window(self, kind: str, at: int) -> calendar.Window:
        """Return the window that contains an instant."""
        for span in self.fixed:
            if span[1] <= at < span[2]:
                return span
        zone = next((zone for until, zone in self.former if at < until), self.zone)
        return calendar.window(kind, zone, at)

    def move(self, kind: str, zone: str, now: int) -> int:
        """Change the zone from the end of the current window, which is returned."""
        current = self.window(kind, now)
        following = calendar.window_after(kind, zone, current[2])
        self.fixed = [*[span for span in self.fixed if span[2] <= current[1]], current, following]
        if not self.former or self.former[-1][0] < current[2]:
            self.former.append((current[2], self.zone))
        self.zone = zone
        return current[2]


@dataclass
class Book:
    """The facts of one tenant."""

    name: str
    zone: str
    ppm: int
    clock: int
    frozen: bool = False
    absorbs: bool = False
    lots: dict[str, Lot] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    limits: dict[tuple[str, str], Limit] = field(default_factory=dict)
    moves: list[tuple[Any, ...]] = field(default_factory=list)
    keys: dict[str, tuple[str, Any, Answer, int]] = field(default_factory=dict)
    told: list[tuple[Any, ...]] = field(default_factory=list)
    opened: int = 0

    def tell(self, op: Operation, subject: str, now: int, **settings: Any) -> None:
        """Note that an order set something: everything that is set of this subject now."""
        who = getattr(op, "actor", None), getattr(op, "reason", "")
        self.told.append((len(self.told) + 1, subject, settings, op.key, *who, now))

    def tell_account(self, op: Operation, now: int) -> None:
        """Note how the account was left."""
        self.tell(
            op, "account", now, frozen=int(self.frozen), multiplier_ppm=self.ppm, overage=int(self.absorbs),
            timezone=self.zone, policy_version=0, opened_at=self.opened,
        )  # fmt: skip

    def tell_limit(self, op: Operation, place: tuple[str, str], now: int) -> None:
        """Note how a budget was left."""
        limit = self.limits[place]
        self.tell(
            op, f"budget:{place[0]}/{place[1]}", now, limit_amt=limit.standing, raised_amt=limit.raised,
            valid_until=limit.until, counts=("charge", "cost").index(limit.counts), timezone=limit.zone,
        )  # fmt: skip

    def tell_lot(self, op: Operation, name: str, now: int, source: str = "") -> None:
        """Note the terms of new credit."""
        lot = self.lots[name]
        kind = ("paid", "promo", "refund", "adjust").index(lot.kind)
        self.tell(
            op, f"lot:{name}", now, kind=kind, granted=lot.granted, priority=lot.priority,
            effective_at=lot.since, expires_at=lot.expires, source_ref=source,
        )  # fmt: skip

    def usable(self, now: int) -> list[Lot]:
        """Return the lots that are credit already, in the order of drawing."""
        return sorted((lot for lot in self.lots.values() if not lot.waits), key=lambda lot: lot.place(now))

    def flow(self, party: str) -> int:
        """Return what a party has received, less what it has given."""
        return sum(move[3] * ((move[2] == party) - (move[1] == party)) for move in self.moves)

    @property
    def wallet(self) -> int:
        """The posted credit."""
        return self.flow("wallet")

    @property
    def debt(self) -> int:
        """What the tenant owes."""
        return -self.flow("receivable")

    def lapsed(self, lot: str) -> int:
        """Return what of a lot came to nothing at its end, and was not taken back from there."""
        moves = [move for move in self.moves if move[6] == lot]
        return sum(move[3] * ((move[2] == "expired") - (move[1] == "expired")) for move in moves)

    def open_calls(self) -> list[Call]:
        """Return the open holds."""
        return [call for call in self.calls.values() if call.state == "open"]

    @property
    def held(self) -> int:
        """What open holds bind."""
        return sum(call.amount for call in self.open_calls())

    @property
    def free(self) -> int:
        """What nobody holds."""
        return self.wallet - self.held

    def counted(self, place: tuple[str, str], starts: int) -> tuple[int, int, int, int]:
        """Return spent, held, expected and overage of a window, as sums over its holds."""
        sums = [0, 0, 0, 0]
        by_cost = self.limits[place].counts == "cost"
        ends = self.limits[place].window(place[1], starts)[2]
        for call in self.calls.values():
            if (place, starts) in call.parts:
                for index, amount in enumerate(_part(call, by_cost, ends)):
                    sums[index] += amount
        return sums[0], sums[1], sums[2], sums[3]


def _part(call: Call, by_cost: bool, ends: int) -> tuple[int, int, int, int]:
    bound, expected = (call.priced[1], call.priced[3]) if by_cost else (call.priced[0], call.priced[2])
    if call.state == "open":
        return 0, bound, expected, 0
    if call.state == "expired":
        return bound, 0, 0, 0
    if call.state == "released":
        return 0, 0, 0, 0
    assert call.cost is not None
    truth = call.cost if by_cost else call.booked
    back = 0 if by_cost else sum(amount for at, amount in call.refunds if at < ends)
    allowed = 0 if call.late and call.settled_by[0] == "released" else bound
    return truth - back, 0, 0, max(0, truth - allowed)


def places_of(scopes: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    """Return what may limit a reservation, in the order in which limits are named."""
    return [(scope, kind) for scope in dict.fromkeys(("tenant", *scopes)) for kind in calendar.KINDS]


def body_of(op: Operation) -> Any:
    """Return what a key stands for."""
    if isinstance(op, Reserve):
        return op.request_hash or (op.offers, op.ttl_us, op.scopes, op.enforce)
    skip = ("tenant", "key", "now_us", "actor", "reason")
    return tuple(getattr(op, name) for name in op.__dataclass_fields__ if name not in skip)


def priced(offer: Offer, ppm: int) -> Priced:
    """Return worst charge and cost, then expected charge and cost."""
    expected, worst = min(offer.expected_nanos, offer.cost_nanos), charge_of(offer.cost_nanos, ppm)
    return worst, offer.cost_nanos, min(charge_of(expected, ppm), worst), expected


def choose(gauges: list[tuple[Any, ...]], offers: tuple[Offer, ...], prices: list[Priced]) -> int | str:
    """Return the first offer that fits everything, else what to say."""

    def blocked(price: Priced, held_at: int | None) -> list[str]:
        """Name what does not fit, with holds counted in full (2), as expected (3) or not at all."""
        return [
            gauge[5] for gauge in gauges
            if gauge[0] is not None
            and gauge[1] + (0 if held_at is None else gauge[held_at]) + price[1 if gauge[4] else 0] > gauge[0]
        ]  # fmt: skip

    for index, (offer, price) in enumerate(zip(offers, prices, strict=True)):
        stands = blocked(price, 2)
        if not stands:
            return index
        if offer.waits and not blocked(price, 3):
            return f"{stands[0]}_busy"
    cheapest = min(prices, key=lambda price: price[:2])
    if never := blocked(cheapest, None):
        return f"{never[0]}_exhausted"
    return f"{blocked(cheapest, 2)[0]}_busy"


def held_answer(call: Call) -> Answer:
    return "held", call.id, call.index, call.amount, call.opened


def settled_answer(call: Call) -> Answer:
    own = 0 if call.settled_by[0] == "released" else call.amount
    return (
        "settled", call.id, call.cost, call.booked, own, max(0, call.paid - own), call.debt, call.absorbed,
        call.late,
    )  # fmt: skip


def cost_told(book: Book, call: Call) -> int:
    """Add up what the moves of a call tell of its cost; after each of them it must be the truth."""
    known = 0 if call.state == "open" else call.booked
    return sum(move[4] or 0 for move in book.moves if known and move[5] == call.id)
