"""
A world of several tenants on a ledger in memory, where every answer and every row is audited.

Driven by hypothesis or by a seed. `script` has all that was asked, to be sent to other ledgers.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ledger_calendar as calendar
from ledger_auditor import Auditor
from ledger_compare import check, shape
from sqlalchemy import Connection, text

from ledger.rows import columns
from ledger.store_memory import ROW_TYPES, MemoryLedger
from ledger.types import (
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
    Result,
    Reverse,
    SetAccount,
    SetBudget,
    Settle,
    Sweep,
    TopUp,
    settle_key,
)

HOUR_US = calendar.HOUR_US
MINUTE_US = HOUR_US // 60
STARTS_S = (
    1_774_659_600,  # 2026-03-28T01:00Z: Europe loses an hour within the day
    1_792_891_800,  # 2026-10-25T00:30Z: Europe gains one
    1_775_277_000,  # 2026-04-04T04:30Z: Lord Howe gains half an hour, Santiago repeats its midnight
    1_788_660_000,  # 2026-09-06T02:00Z: Santiago has no midnight
    1_793_491_200,  # 2026-11-01T00:00Z: Havana has midnight twice, and a month begins
    1_798_671_600,  # 2026-12-30T23:00Z: the year ends
)
ZONES = (
    "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia",
    "Asia/Kathmandu", "Pacific/Kiritimati", "UTC",
)  # fmt: skip
PPMS = (1_000_000, 1_250_000, 333_333, 1, 0)
SCOPES = ((), ("key:a",), ("key:a", "task:b"), ("user:c", "key:a", "user:c"))
PLACES = tuple((s, w) for s in ("tenant", "key:a", "task:b", "user:c") for w in calendar.KINDS)
LIMITS = (None, 0, 1, 900, 2_500, 6_000, 20_000)
COSTS = (0, 1, 7, 100, 333, 999, 1_000, 2_500, 5_000)
TTLS = (1, MINUTE_US, HOUR_US, 7 * HOUR_US, 30 * HOUR_US)
LASTS = (None, None, MINUTE_US, 5 * HOUR_US, 48 * HOUR_US)


@dataclass
class World:
    """Tenants, a clock that only goes forwards, and the books of both sides."""

    start_us: int
    tenants: tuple[str, ...] = ("acme", "bolt")

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger()
        self.auditor = Auditor()
        self.script: list[Operation] = []
        self.now = self.start_us
        self.count = 0

    def key(self, word: str) -> str:
        """Return a new key."""
        self.count += 1
        return f"{word}{self.count}"

    def do(self, op: Operation) -> Result:
        """Ask the ledger and the auditor; they must agree on the answer and on every row."""
        self.script.append(op)
        wanted = self.auditor.expect(op)
        answer = self.ledger.do(op)
        assert shape(answer) == wanted, f"{op} got {answer}"
        if op.tenant in self.auditor.tenants:
            check(self.auditor.tenants[op.tenant], self.ledger)
        return answer

    def check(self) -> None:
        """Compare every tenant."""
        for book in self.auditor.tenants.values():
            check(book, self.ledger)

    def head(self, tenant: str, skew_us: int = 0) -> dict[str, Any]:
        """Return what every operation has."""
        return {"tenant": tenant, "key": self.key("k"), "now_us": self.now - skew_us}

    def open(self, tenant: str, zone: str, credit: int, limit: int | None, ppm: int) -> Result:
        """Open an account."""
        return self.do(OpenAccount(
            **self.head(tenant), timezone=zone, credit_nanos=credit, daily_limit_nanos=limit,
            multiplier_ppm=ppm,
        ))  # fmt: skip

    def reserve(self, tenant: str, costs: Sequence[int], *, half: bool = True, skew_us: int = 0,
                waits: bool = False, body: bool = True, **how: Any) -> Result:  # fmt: skip
        """Ask for a hold on the first of several costs."""
        offers = tuple(Offer(cost, cost // 2 if half else cost, f"p{cost}", waits) for cost in costs)
        head = self.head(tenant, skew_us)
        return self.do(Reserve(
            **head, hold_id=f"{tenant}-{self.count}", offers=offers, owner="world",
            request_hash=f"body {self.count}" if body else "", **how,
        ))  # fmt: skip

    def hold_of(self, tenant: str, place: int) -> str:
        """Return some hold of a tenant, the newest ones more often, or one that is unknown."""
        known = list(self.auditor.tenants[tenant].calls)
        if not known:
            return "none"
        return known[-1 - place % len(known)] if place % 3 else known[-1 - place % min(4, len(known))]

    def settle(self, tenant: str, place: int, cost: int) -> Result:
        """Settle some hold; each second one under the key of its own, as the product does."""
        head, hold_id = self.head(tenant), self.hold_of(tenant, place)
        if hold_id[-1] in "02468":
            head["key"] = settle_key(hold_id)
        return self.do(Settle(**head, hold_id=hold_id, cost_nanos=cost, detail="{}" if place % 2 else ""))

    def release(self, tenant: str, place: int) -> Result:
        """Release some hold."""
        return self.do(Release(**self.head(tenant), hold_id=self.hold_of(tenant, place), why="not sent"))

    def renew(self, tenant: str, place: int, ttl_us: int) -> Result:
        """Renew some hold."""
        return self.do(Renew(**self.head(tenant), hold_id=self.hold_of(tenant, place), ttl_us=ttl_us))

    def refund(self, tenant: str, place: int, amount: int | None) -> Result:
        """Refund some hold."""
        hold_id = self.hold_of(tenant, place)
        return self.do(Refund(**self.head(tenant), hold_id=hold_id, amount_nanos=amount))

    def correct(self, tenant: str, place: int, cost: int) -> Result:
        """Tell another cost of some hold."""
        return self.do(Correct(
            **self.head(tenant), hold_id=self.hold_of(tenant, place), cost_nanos=cost, reason="the bill",
            actor="ann",
        ))  # fmt: skip

    def top_up(self, tenant: str, amount: int, kind: str, lasts_us: int | None, priority: int,
               later_us: int | None = None) -> Result:  # fmt: skip
        """Add credit, perhaps for a while, perhaps later."""
        expires_us = None if lasts_us is None else self.now + lasts_us
        effective_us = None if later_us is None else self.now + later_us
        return self.do(TopUp(
            **self.head(tenant), amount_nanos=amount, kind=kind, expires_us=expires_us, priority=priority,
            effective_us=effective_us,
        ))  # fmt: skip

    def adjust(self, tenant: str, amount: int) -> Result:
        """Correct the credit by hand."""
        return self.do(Adjust(**self.head(tenant), amount_nanos=amount, reason="counted wrong", actor="ann"))

    def reverse(self, tenant: str, place: int, amount: int | None, kind: str, freeze: bool) -> Result:
        """Take some lot back."""
        known = list(self.auditor.tenants[tenant].lots)
        lot_id = known[place % len(known)] if known else "none"
        return self.do(Reverse(
            **self.head(tenant), lot_id=lot_id, reason="disputed", amount_nanos=amount, kind=kind,
            freeze=freeze,
        ))  # fmt: skip

    def set_budget(self, tenant: str, place: tuple[str, str], limit: int | None, lasts_us: int | None,
                   counts: str | None) -> Result:  # fmt: skip
        """Set a limit, perhaps for a while."""
        until_us = None if lasts_us is None else self.now + lasts_us
        return self.do(SetBudget(
            **self.head(tenant), limit_nanos=limit, scope=place[0], window=place[1],
            valid_until_us=until_us, counts=counts,
        ))  # fmt: skip

    def set_account(self, tenant: str, **settings: Any) -> Result:
        """Change settings."""
        return self.do(SetAccount(**self.head(tenant), **settings))

    def sweep(self, tenant: str) -> Result:
        """Capture and forfeit what is due."""
        return self.do(Sweep(tenant, "sweep", self.now))

    def note(self, tenant: str) -> Result:
        """Move nothing."""
        return self.do(Note(**self.head(tenant)))

    def pass_time(self, amount_us: int) -> None:
        """Let time pass."""
        self.now += amount_us

    def go_to_day_end(self, tenant: str, aside_us: int) -> None:
        """Let time pass up to the end of the tenant's day, or a moment beside it."""
        zone = self.auditor.tenants[tenant].zone
        self.now = max(self.now, calendar.window("day", zone, self.now)[2] + aside_us)

    def repeat(self, place: int, *, other: bool) -> None:
        """Ask again what was asked before, or something else with its key: nothing may change."""
        past = [op for op in self.script if not isinstance(op, Sweep)]
        op = past[-1 - place % len(past)]
        if other:
            op = _altered(op)
        if op.tenant not in self.auditor.tenants:
            return
        keyed = self._keyed(op)
        before = self.everything()
        self.do(op)
        assert not keyed or self.everything() == before, "a repetition changed rows"

    def _keyed(self, op: Operation) -> bool:
        """Tell whether the key stands for something, now and for good."""
        book = self.auditor.tenants[op.tenant]
        made = book.keys.get(op.key)
        lasting = made is not None and made[0] != "Reserve"
        return lasting or any(call.key == op.key for call in book.calls.values())

    def everything(self) -> dict[str, Any]:
        """Return all rows."""
        return rows_of_model(self.ledger)


def stored_rows(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    """Return every row of a table, sorted, without what the database makes of the other columns itself."""
    names = ", ".join(columns(ROW_TYPES[table]))
    return sorted((tuple(row) for row in connection.execute(text(f"SELECT {names} FROM {table}"))), key=repr)


def rows_of_model(ledger: MemoryLedger) -> dict[str, Any]:
    """Return all rows of a ledger in memory, by table."""
    return {name: ledger.rows(name) for name, row_type in ROW_TYPES.items() if columns(row_type)}


def _altered(op: Operation) -> Operation:
    """Return the operation with another body."""
    if isinstance(op, Reserve):
        return replace(op, request_hash=op.request_hash + "x", ttl_us=op.ttl_us + 1)
    if isinstance(op, Note):
        return Renew(op.tenant, op.key, op.now_us, "none", 5)
    name = {TopUp: "amount_nanos", Settle: "cost_nanos", OpenAccount: "credit_nanos"}.get(type(op))
    if name is not None:
        return replace(op, **{name: getattr(op, name) + 1})  # type: ignore[arg-type]
    return TopUp(op.tenant, op.key, op.now_us, 77, "promo")


def step(world: World, rng: random.Random) -> None:
    """Do something at random."""
    tenant, place = rng.choice(world.tenants), rng.randrange(10**6)
    cost, choice = rng.choice(COSTS), rng.randrange(100)
    if choice < 33:
        world.reserve(
            tenant, sorted(rng.sample(COSTS, rng.randrange(1, 4)), reverse=rng.random() < 0.8),
            half=rng.random() < 0.8, waits=rng.random() < 0.3, ttl_us=rng.choice(TTLS),
            scopes=rng.choice(SCOPES), enforce=rng.random() < 0.85, sticky=rng.random() < 0.3,
            body=rng.random() < 0.5, skew_us=rng.choice((0, 0, 0, MINUTE_US, 30 * HOUR_US)),
        )  # fmt: skip
    elif choice < 52:
        world.settle(tenant, place, cost)
    elif choice < 56:
        world.correct(tenant, place, cost)
    elif choice < 61:
        world.release(tenant, place)
    elif choice < 65:
        world.renew(tenant, place, rng.choice(TTLS))
    elif choice < 71:
        world.refund(tenant, place, rng.choice((None, 1, cost)))
    elif choice < 78:
        later_us = rng.choice((None, None, None, 1, HOUR_US, 30 * HOUR_US))
        kind, lasts_us = rng.choice(("paid", "promo")), rng.choice(LASTS)
        world.top_up(tenant, cost, kind, lasts_us, rng.randrange(3), later_us)
    else:
        _seldom(world, rng, tenant, place, choice)


def _seldom(world: World, rng: random.Random, tenant: str, place: int, choice: int) -> None:
    if choice < 82:
        counts = rng.choice((None, None, "charge", "cost"))
        world.set_budget(tenant, rng.choice(PLACES), rng.choice(LIMITS), rng.choice(LASTS), counts)
    elif choice < 85:
        settings: dict[str, Any] = rng.choice((
            {"timezone": rng.choice(ZONES)}, {"multiplier_ppm": rng.choice(PPMS)},
            {"overage": rng.choice(("debt", "absorb"))}, {"frozen": rng.random() < 0.4},
        ))  # fmt: skip
        world.set_account(tenant, **settings)
    elif choice < 86:
        world.sweep(tenant)
    elif choice < 87:
        world.note(tenant)
    elif choice < 89:
        world.adjust(tenant, rng.choice((1, -1)) * rng.choice(COSTS))
    elif choice < 91:
        amount = rng.choice((None, None, 1, *COSTS))
        kind, freeze = rng.choice(("reversal", "chargeback")), rng.random() < 0.3
        world.reverse(tenant, place, amount, kind, freeze)
    elif choice < 93:
        world.repeat(place, other=rng.random() < 0.5)
    elif choice < 95:
        world.go_to_day_end(tenant, rng.choice((-1, 0, 1)))
    else:
        world.pass_time(rng.choice((1, MINUTE_US, HOUR_US, 5 * HOUR_US, 26 * HOUR_US)))


def run(seed: int, steps: int = 120, tenants: tuple[str, ...] = ("acme", "bolt")) -> World:
    """Play a seeded history; raises AssertionError, naming the seed, where the two sides differ."""
    rng = random.Random(seed)
    world = World(STARTS_S[seed % len(STARTS_S)] * calendar.SECOND_US, tenants)
    for place in range(steps):
        try:
            if place < len(tenants):
                world.open(
                    tenants[place], rng.choice(ZONES), rng.choice((0, 3_000, 10_000)),
                    rng.choice(LIMITS), rng.choice(PPMS),
                )  # fmt: skip
            else:
                step(world, rng)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {place}: {error}") from error
    world.check()
    return world
