"""
A ledger under random work, watched by an auditor that shares no code with the rules.

The auditor knows only what was asked, what was answered and the rows that are left; it sums them up anew
after every step. `Simulation` is driven by hypothesis, by a seed, or by a list of operations.
"""

import json
import random
from dataclasses import dataclass, field, replace
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise
from math import ceil
from typing import Any

from ledger.store_memory import MemoryLedger
from ledger.types import (
    AccountOpened,
    Held,
    Offer,
    OpenAccount,
    Operation,
    Reason,
    Refund,
    Refunded,
    Refused,
    Release,
    Released,
    Renew,
    Reserve,
    Result,
    SetAccount,
    SetBudget,
    Settle,
    Settled,
    Sweep,
    ToppedUp,
    TopUp,
)

START_US = 1_763_700_000 * 1_000_000  # 2025-11-21T04:40Z
HOUR_US = 3_600 * 1_000_000
OPEN, SETTLED, RELEASED, EXPIRED = range(4)
MONEY_REASONS = {
    Reason.CREDIT_EXHAUSTED,
    Reason.BUDGET_EXHAUSTED,
    Reason.CREDIT_BUSY,
    Reason.BUDGET_BUSY,
}


@dataclass
class Seen:
    """What the auditor remembers of one hold, from the answers alone."""

    held: Held
    ppm: int
    enforced: bool
    settled: Settled | None = None
    released: bool = False
    refunded: int = 0
    refunds: list[tuple[int, int]] = field(default_factory=list)


class Simulation:
    """One tenant on a ledger in memory."""

    def __init__(
        self,
        credit: int = 10_000,
        limit: int | None = 6_000,
        ppm: int = 1_000_000,
        overage: str = "debt",
        tenant: str = "acme",
        zone: str = "Europe/Berlin",
    ) -> None:
        self.ledger = MemoryLedger()
        self.tenant = tenant
        self.now = START_US
        self.ppm = ppm
        self.count = 0
        self.money_in = 0
        self.seen: dict[str, Seen] = {}
        self.script: list[Operation] = []
        self.answers: dict[str, tuple[Operation, Result]] = {}
        self.lowered = False
        self.do(OpenAccount(tenant, self.key(), self.now, zone, credit, limit, multiplier_ppm=ppm))
        self.do(SetAccount(tenant, self.key(), self.now, overage=overage))

    def key(self) -> str:
        """Return a new idempotency key."""
        self.count += 1
        return f"k{self.count}"

    # work

    def pass_time(self, amount_us: int) -> None:
        """Let time pass."""
        self.now += amount_us

    def reserve(
        self,
        costs: list[int],
        *,
        ttl_us: int = HOUR_US,
        enforce: bool = True,
        waits: bool = False,
        sticky: bool = False,
        scopes: tuple[str, ...] = ("key:a",),
    ) -> Result:
        """Ask for a hold on the first of several costs."""
        offers = tuple(Offer(cost, cost // 2, f"plan{cost}", waits) for cost in costs)
        op = Reserve(
            self.tenant,
            self.key(),
            self.now,
            f"{self.tenant}-h{self.count}",
            offers,
            ttl_us,
            scopes,
            "sim",
            f"body{self.count}",
            enforce,
            sticky,
        )
        return self.do(op)

    def pick(self, place: int) -> str:
        """Return some hold's id."""
        known = sorted(self.seen)
        return known[place % len(known)] if known else "none"

    def settle(self, hold_id: str, cost: int) -> Result:
        """Settle a hold."""
        return self.do(Settle(self.tenant, self.key(), self.now, hold_id, cost, "{}"))

    def release(self, hold_id: str) -> Result:
        """Release a hold."""
        return self.do(Release(self.tenant, self.key(), self.now, hold_id, "not sent"))

    def renew(self, hold_id: str, ttl_us: int) -> Result:
        """Renew a hold."""
        return self.do(Renew(self.tenant, self.key(), self.now, hold_id, ttl_us))

    def refund(self, hold_id: str, amount: int | None) -> Result:
        """Refund a settled hold."""
        return self.do(Refund(self.tenant, self.key(), self.now, hold_id, amount))

    def top_up(self, amount: int, kind: str = "paid", lasts_us: int | None = None) -> Result:
        """Add credit, perhaps for a while."""
        expires = None if lasts_us is None else self.now + lasts_us
        return self.do(TopUp(self.tenant, self.key(), self.now, amount, kind, expires))

    def set_limit(self, limit: int | None, scope: str = "tenant", window: str = "day") -> Result:
        """Change a limit."""
        self.lowered = True
        return self.do(SetBudget(self.tenant, self.key(), self.now, limit, scope, window))

    def move(self, zone: str) -> Result:
        """Move to another time zone."""
        return self.do(SetAccount(self.tenant, self.key(), self.now, timezone=zone))

    def sweep(self) -> Result:
        """Capture what is due."""
        return self.do(Sweep(self.tenant, "sweep", self.now))

    def repeat(self, place: int) -> None:
        """An earlier operation, asked again, changes nothing and gets the same answer; another body none."""
        keys = sorted(self.answers)
        if not keys:
            return
        op, answer = self.answers[keys[place % len(keys)]]
        before = self.everything()
        again = self.ledger.do(op)
        self.script.append(op)
        assert self.everything() == before, "a repetition changed rows"
        assert _plain(again) == _plain(answer), "a repetition got another answer"
        if isinstance(op, TopUp):
            other = self.ledger.do(replace(op, amount_nanos=op.amount_nanos + 1))
            assert isinstance(other, Refused)
            assert other.reason is Reason.KEY_CONFLICT
            assert self.everything() == before

    def do(self, op: Operation) -> Result:
        """Carry out one operation, then audit everything."""
        answer = self.ledger.do(op)
        self.script.append(op)
        self._remember(op, answer)
        self.audit(op, answer)
        return answer

    def random_step(self, rng: random.Random) -> None:
        """Do something at random."""
        choice = rng.randrange(100)
        some = rng.randrange(10**6)
        amount = rng.choice((0, 1, 7, 100, 999, 1_000, 2_500, 5_000))
        if choice < 35:
            costs = sorted((amount, rng.choice((50, 400, 3_000))), reverse=True)[: rng.randrange(1, 3)]
            self.reserve(
                costs,
                ttl_us=rng.choice((1, HOUR_US // 4, 30 * HOUR_US)),
                enforce=rng.random() < 0.85,
                waits=rng.random() < 0.3,
                sticky=rng.random() < 0.3,
                scopes=rng.choice(((), ("key:a",), ("key:a", "task:b"))),
            )
        elif choice < 60:
            self.settle(self.pick(some), amount)
        elif choice < 66:
            self.release(self.pick(some))
        elif choice < 70:
            self.renew(self.pick(some), rng.choice((1, HOUR_US)))
        elif choice < 76:
            self.refund(self.pick(some), rng.choice((None, 1, amount)))
        elif choice < 83:
            self.top_up(
                max(1, amount), rng.choice(("paid", "promo")), rng.choice((None, HOUR_US, 48 * HOUR_US))
            )
        elif choice < 86:
            self.set_limit(rng.choice((None, 0, 2_000, 6_000)), rng.choice(("tenant", "key:a", "task:b")))
        elif choice < 87:
            self.move(rng.choice(("Europe/Berlin", "Asia/Tokyo", "America/Santiago")))
        elif choice < 90:
            self.sweep()
        elif choice < 94:
            self.repeat(some)
        else:
            self.pass_time(rng.choice((1, HOUR_US // 2, 3 * HOUR_US, 25 * HOUR_US)))

    # the auditor

    def everything(self) -> dict[str, Any]:
        """Return all rows."""
        names = ("account", "grant_lot", "budget", "budget_window", "hold", "transfer", "draw", "op")
        return {name: self.ledger.rows(f"ledger_{name}") for name in names}

    def _remember(self, op: Operation, answer: Result) -> None:
        if not isinstance(op, Sweep) and not isinstance(answer, Refused):
            self.answers[op.key] = (op, answer)
        if isinstance(answer, Held) and isinstance(op, Reserve) and not answer.replayed:
            self.seen[answer.hold_id] = Seen(answer, self.ppm, op.enforce)
        elif isinstance(answer, Settled) and not answer.replayed:
            assert self.seen[answer.hold_id].settled is None, "a hold was settled twice"
            self.seen[answer.hold_id].settled = answer
        elif isinstance(answer, Released) and not answer.replayed:
            self.seen[answer.hold_id].released = True
        elif isinstance(answer, Refunded) and isinstance(op, Refund):
            self.seen[op.hold_id].refunded += answer.amount_nanos
            self.seen[op.hold_id].refunds.append((self.now, answer.amount_nanos))
        elif isinstance(answer, ToppedUp) and isinstance(op, TopUp):
            self.money_in += op.amount_nanos
        elif isinstance(answer, AccountOpened) and isinstance(op, OpenAccount):
            self.money_in += op.credit_nanos

    def audit(self, op: Operation, answer: Result) -> None:
        """Compare the rows with the history of answers."""
        books = self.ledger.books(self.tenant)
        account = books.account
        assert account is not None
        assert 0 <= account.held <= account.wallet
        assert account.debt >= 0
        assert account.wallet == sum(lot.remaining for lot in books.lots.values()), "wallet is not its lots"
        still_open = [hold for hold in books.holds.values() if hold.state == OPEN]
        assert account.held == sum(hold.amount for hold in still_open), "held is not the open holds"
        assert account.held_expected == sum(hold.expected for hold in still_open)
        self._audit_holds(books)
        self._audit_money(account)
        self._audit_windows(books)
        if isinstance(op, Reserve):
            self._audit_admission(op, answer, books)

    def _audit_holds(self, books: Any) -> None:
        for hold in books.holds.values():
            seen = self.seen[hold.id]
            if seen.settled is not None:
                assert hold.state == SETTLED
                exact = ceil(Fraction(seen.settled.cost_nanos * seen.ppm, 1_000_000))
                assert seen.settled.charge_nanos == exact, "charge is not cost times multiplier"
                parts = seen.settled.debt_nanos + seen.settled.absorbed_nanos
                assert 0 <= parts <= exact
            elif seen.released:
                assert hold.state == RELEASED
            elif hold.state == EXPIRED:
                assert hold.expires_at <= self.now, "captured before its time"
            else:
                assert hold.state == OPEN

    def _net(self, hold_id: str, state: int) -> int:
        """Return what a hold has cost the tenant so far."""
        seen = self.seen[hold_id]
        if seen.settled is not None:
            return seen.settled.charge_nanos - seen.settled.absorbed_nanos - seen.refunded
        return seen.held.amount_nanos if state == EXPIRED else 0

    def _audit_money(self, account: Any) -> None:
        holds = self.ledger.books(self.tenant).holds
        rows = self.ledger.rows("ledger_transfer")
        forfeited = sum(row[5] for row in rows if row[2] == 6)
        spent = sum(self._net(hold_id, hold.state) for hold_id, hold in holds.items())
        assert account.wallet - account.debt == self.money_in - spent - forfeited, (
            "money appeared or vanished"
        )
        assert [row[1] for row in sorted(rows, key=lambda row: row[1])] == list(range(1, account.seq + 1))

    def _audit_windows(self, books: Any) -> None:
        for windows in books.windows.values():
            ordered = sorted(windows.values(), key=lambda window: window.starts_at)
            for earlier, later in pairwise(ordered):
                assert earlier.ends_at <= later.starts_at, "windows overlap"
            for window in ordered:
                self._audit_window(books, window)

    def _audit_window(self, books: Any, window: Any) -> None:
        held = spent = 0
        for hold_id, seen in self.seen.items():
            parts = [p for p in books.hold_windows[hold_id] if p.budget_id == window.budget_id]
            if not any(part.starts_at == window.starts_at for part in parts):
                continue
            assert window.starts_at <= seen.held.opened_us < window.ends_at, "counted in another day"
            bound = ceil(Fraction(seen.held.cost_nanos * seen.ppm, 1_000_000))
            if seen.settled is not None:
                back = sum(amount for at, amount in seen.refunds if at < window.ends_at)
                spent += seen.settled.charge_nanos - back
            elif books.holds[hold_id].state == EXPIRED:
                spent += bound
            elif not seen.released:
                held += bound
        assert window.held == held, "a window's held is not that of its holds"
        assert window.spent == spent, "a window's spent is not that of its holds"

    def _audit_admission(self, op: Reserve, answer: Result, books: Any) -> None:
        """The first offer that fits is taken, and nothing that fits is refused."""
        account = books.account
        assert all(hold.expires_at > self.now for hold in books.holds.values() if hold.state == OPEN) or (
            not isinstance(answer, Held)
        ), "an expired hold was seen by an admission"
        limits = self._limits(op, books)
        if isinstance(answer, Held) and not answer.replayed and op.enforce:
            assert account.debt == 0
            assert not account.frozen
            limits = [(limit, spent, held - answer.amount_nanos) for limit, spent, held in limits]
            fits = [self._fits(limits, offer) for offer in op.offers]
            assert fits[answer.offer_index], "an offer was admitted that does not fit"
            assert not any(fits[: answer.offer_index]), "a better offer fitted"
        if isinstance(answer, Refused) and answer.reason in MONEY_REASONS:
            assert op.enforce, "observation refused"
            fits = [self._fits(limits, offer) for offer in op.offers]
            if not any(offer.waits for offer in op.offers):
                assert not any(fits), "something that fits was refused"
                free = [(limit, spent, 0) for limit, spent, _ in limits]
                cheapest = min(op.offers, key=lambda offer: offer.cost_nanos)
                assert answer.busy == self._fits(free, cheapest), "busy and exhausted are mixed up"
            assert not fits[0], "the first offer fits"

    def _limits(self, op: Reserve, books: Any) -> list[tuple[int, int, int]]:
        limits = [(books.account.wallet, 0, books.account.held)]
        for (scope, _), budget in books.budgets.items():
            if budget.limit_amt is None or scope not in ("tenant", *op.scopes):
                continue
            windows = books.windows.get(budget.id, {}).values()
            current = [w for w in windows if w.starts_at <= self.now < w.ends_at]
            spent, held = (current[0].spent, current[0].held) if current else (0, 0)
            limits.append((budget.limit_amt, spent, held))
        return limits

    def _fits(self, limits: list[tuple[int, int, int]], offer: Offer) -> bool:
        amount = ceil(Fraction(offer.cost_nanos * self.ppm, 1_000_000))
        return all(spent + held + amount <= limit for limit, spent, held in limits)

    def audit_chain(self) -> None:
        """Recompute the chain from the rows, and the wallet from the amounts."""
        head, wallet = "", 0
        for row in sorted(self.ledger.rows("ledger_transfer"), key=lambda row: row[1]):
            body = json.dumps([head, *row[:13]], separators=(",", ":"))
            head = sha256(body.encode()).hexdigest()
            wallet += row[5] * ((row[4] == 0) - (row[3] == 0))
            assert (row[14], row[12]) == (head, wallet)


def _plain(answer: Result) -> Any:
    """Return what a repetition must give again: all but its mark, and of a hold what does not move on."""
    if isinstance(answer, Held):
        return answer.hold_id, answer.amount_nanos, answer.offer_index, answer.opened_us
    return replace(answer, replayed=False) if hasattr(answer, "replayed") else answer


def run(seed: int, steps: int = 150, **options: Any) -> Simulation:
    """Run a seeded history; raises AssertionError, naming the seed, where the books are wrong."""
    rng = random.Random(seed)
    if not options:
        options = {
            "ppm": rng.choice((1_000_000, 1_250_000, 333_333, 0)),
            "limit": rng.choice((None, 0, 6_000, 20_000)),
            "overage": rng.choice(("debt", "absorb")),
        }
    simulation = Simulation(**options)
    for step in range(steps):
        try:
            simulation.random_step(rng)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {step}: {error}") from error
    simulation.audit_chain()
    return simulation
