"""
An auditor of the ledger that shares no arithmetic with it: it is told what is asked, and says what must come.

`Auditor.expect` gives the answer that an operation must get and takes note of what it does; `ledger_compare`
then holds the ledger's rows against the facts. Written from the study of the ledger, sections 4 to 7.
"""

import ledger_calendar as calendar
from ledger_facts import (
    Answer,
    Book,
    Call,
    Limit,
    Lot,
    body_of,
    charge_of,
    choose,
    cost_told,
    held_answer,
    places_of,
    priced,
    settled_answer,
)

from ledger.types import (
    Adjust,
    Correct,
    Note,
    OpenAccount,
    Operation,
    Refund,
    Release,
    Renew,
    Reserve,
    Reverse,
    SetAccount,
    SetBudget,
    Settle,
    Sweep,
    TopUp,
    settle_key,
)

DAY_US = 24 * calendar.HOUR_US
GRACE_US = 30 * DAY_US
SOURCES = {"paid": ("cash", "topup"), "promo": ("promo", "grant"), "adjust": ("adjustments", "adjust")}
STICKY = {"frozen", "in_debt", "credit_exhausted", "budget_exhausted"}


class Auditor:
    """Predicts every answer; `tenants` has the facts."""

    def __init__(self) -> None:
        self.tenants: dict[str, Book] = {}

    def expect(self, op: Operation) -> Answer:
        """Return the answer that the operation must get, and take note of what it does."""
        book = self.tenants.get(op.tenant)
        if book is None:
            return self._without_account(op)
        now = max(op.now_us, book.clock)
        if isinstance(op, Sweep):
            before = len(book.moves)
            captured = self._what_is_due(book, now)
            gone = sum(move[3] for move in book.moves[before:] if move[0] == "forfeit")
            return "swept", captured, gone
        known = self._known(book, op, now)
        if known is not None:
            return known
        self._what_is_due(book, now)
        answer: Answer = getattr(self, f"_{type(op).__name__.lower()}")(book, op, now)
        if answer[0] != "refused":
            book.clock = now
        if not isinstance(op, Reserve) and answer[0] != "refused":
            book.keys[op.key] = (type(op).__name__, body_of(op), answer, now)
        if isinstance(op, Reserve) and op.sticky and answer[0] == "refused" and answer[1] in STICKY:
            book.keys[op.key] = ("Reserve", body_of(op), answer, now)
        return answer

    def _without_account(self, op: Operation) -> Answer:
        if isinstance(op, Note):
            return ("noted",)
        if not isinstance(op, OpenAccount):
            return "refused", "unknown_tenant"
        book = self.tenants[op.tenant] = Book(op.tenant, op.timezone, op.multiplier_ppm, op.now_us)
        book.limits["tenant", "day"] = Limit("charge", op.timezone, op.daily_limit_nanos)
        book.opened = op.now_us
        book.tell_account(op, op.now_us)
        book.tell_limit(op, ("tenant", "day"), op.now_us)
        if op.credit_nanos:
            name, _ = self._income(book, op.credit_nanos, "paid", op.now_us, op.key, None, 0)
            book.tell_lot(op, name, op.now_us, "opening credit")
        answer = ("opened", op.credit_nanos)
        book.keys[op.key] = ("OpenAccount", body_of(op), answer, op.now_us)
        return answer

    def _known(self, book: Book, op: Operation, now: int) -> Answer | None:
        for call in book.calls.values():
            if call.key == op.key:
                same = isinstance(op, Reserve) and call.body == body_of(op)
                return held_answer(call) if same else ("refused", "key_conflict")
        if op.key not in book.keys:
            return None
        kind, body, answer, at = book.keys[op.key]
        if kind == "Reserve" and isinstance(op, Reserve) and now - at >= DAY_US:
            return None
        if (kind, body) != (type(op).__name__, body_of(op)):
            return "refused", "key_conflict"
        return answer

    # money

    def _move(
        self, book: Book, kind: str, giver: str, taker: str, amount: int, now: int, key: str,
        call: Call | None = None, lot: str | None = None, cost: int | None = None,
    ) -> str:  # fmt: skip
        assert amount > 0
        book.moves.append((kind, giver, taker, amount, cost, call and call.id, lot, key, now))
        return f"{book.name}-{len(book.moves)}"

    def _income(
        self, book: Book, amount: int, kind: str, now: int, key: str, expires: int | None, priority: int
    ) -> tuple[str, int]:
        """Book money from outside: debt first; the lot is named after the last transfer."""
        source, word = SOURCES[kind]
        repaid = min(book.debt, amount)
        name = f"{book.name}-{len(book.moves) + (repaid > 0) + (repaid < amount)}"
        self._repay(book, amount, source, now, key, None, name)
        if amount > repaid:
            self._move(book, word, source, "wallet", amount - repaid, now, key, lot=name)
        book.lots[name] = Lot(name, kind, priority, amount, now, now, expires, repaid=repaid)
        return name, repaid

    def _repay(
        self, book: Book, amount: int, source: str, now: int, key: str, call: Call | None,
        lot: str | None = None, cost: int | None = None,
    ) -> int:  # fmt: skip
        repaid = min(book.debt, amount)
        if repaid:
            self._move(book, "repay", source, "receivable", repaid, now, key, call, lot, cost)
        return repaid

    def _take(self, book: Book, call: Call | None, amount: int, now: int) -> None:
        """Take money out of the lots, in their order."""
        for lot in book.usable(now):
            part = min(lot.left, amount)
            if part:
                lot.takes.append(part)
                amount -= part
                if call is not None:
                    call.drawn.append([lot.id, part])
        assert amount == 0, "more was taken than there is"

    def _return(
        self, book: Book, call: Call, kind: str, amount: int, now: int, key: str, cost: int | None = None
    ) -> int:
        """Give money back: to the debt first, then to the lots, newest draw first."""
        repaid = self._repay(book, amount, "usage", now, key, call, cost=cost)
        rest = amount - repaid
        if not rest:
            return repaid
        cost = None if repaid else cost
        name = self._move(book, kind, "usage", "wallet", rest, now, key, call, cost=cost)
        homeless = rest
        for drawn in reversed(call.drawn):
            lot, part = book.lots[drawn[0]], min(drawn[1], rest)
            drawn[1] -= part
            rest -= part
            if part and not lot.overdue(now):
                lot.takes.append(-part)
                homeless -= part
        if homeless:
            ends = None if rest else now + GRACE_US  # the rest had repaid debt, with money from anywhere
            book.lots[name] = Lot(name, "refund", 0, homeless, now, now, ends)
        return repaid

    def _what_is_due(self, book: Book, now: int) -> tuple[str, ...]:
        """Let scheduled credit take effect, capture holds and forfeit lots, in this order."""
        self._activate(book, now)
        captured = self._captures(book, now)
        self._forfeits(book, now)
        return captured

    def _activate(self, book: Book, now: int) -> None:
        waiting = [lot for lot in book.lots.values() if lot.waits and lot.left]
        due = sorted((lot.since, lot.id) for lot in waiting if lot.since <= now)
        for _, name in due:
            lot = book.lots[name]
            lot.waits, book.clock = False, now
            lot.repaid += self._repay(book, lot.left, "scheduled", now, "", None, name)
            if lot.left:
                self._move(book, "activate", "scheduled", "wallet", lot.left, now, "", lot=name)

    def _captures(self, book: Book, now: int) -> tuple[str, ...]:
        due = sorted((call.expires, call.id) for call in book.open_calls() if call.expires <= now)
        for _, name in due:
            call = book.calls[name]
            call.state = "expired"
            if call.amount:
                key = f"expire:{call.id}"
                self._move(book, "expire_capture", "wallet", "usage", call.amount, now, key, call,
                           cost=call.bound)  # fmt: skip
                self._take(book, call, call.amount, now)
            call.booked = call.paid = call.amount
            book.clock = now
        return tuple(sorted(name for _, name in due))

    def _forfeits(self, book: Book, now: int) -> None:
        for lot in book.usable(now):
            amount = min(lot.left, book.free) if lot.overdue(now) else 0
            if amount:
                self._move(book, "forfeit", "wallet", "expired", amount, now, "", lot=lot.id)
                lot.takes.append(amount)
                book.clock = now

    # operations

    def _openaccount(self, _book: Book, _op: OpenAccount, _now: int) -> Answer:
        return "refused", "tenant_exists"

    def _note(self, _book: Book, _op: Note, _now: int) -> Answer:
        return ("noted",)

    def _topup(self, book: Book, op: TopUp, now: int) -> Answer:
        if op.amount_nanos < 1:
            return "refused", "amount_invalid"
        later = op.effective_us is not None and op.effective_us > now
        since = op.effective_us if later and op.effective_us is not None else now
        if op.expires_us is not None and op.expires_us <= since:
            return "refused", "field_invalid"
        if not later:
            name, repaid = self._income(
                book, op.amount_nanos, op.kind, now, op.key, op.expires_us, op.priority
            )  # fmt: skip
            book.tell_lot(op, name, now)
            return "topped_up", name, book.wallet, repaid
        name = f"{book.name}-{len(book.moves) + 1}"
        self._move(book, "schedule", SOURCES[op.kind][0], "scheduled", op.amount_nanos, now, op.key, lot=name)
        book.lots[name] = Lot(
            name, op.kind, op.priority, op.amount_nanos, since, now, op.expires_us, waits=True
        )  # fmt: skip
        book.tell_lot(op, name, now)
        return "topped_up", name, book.wallet, 0

    def _adjust(self, book: Book, op: Adjust, now: int) -> Answer:
        if op.amount_nanos == 0:
            return "refused", "amount_invalid"
        if not op.reason.strip():
            return "refused", "field_invalid"
        if op.amount_nanos > 0:
            name, repaid = self._income(book, op.amount_nanos, "adjust", now, op.key, None, 0)
            book.tell_lot(op, name, now)
            return "adjusted", name, op.amount_nanos, book.wallet, repaid, book.debt
        taken = min(-op.amount_nanos, book.free)
        short = -op.amount_nanos - taken
        if taken:
            self._move(book, "adjust", "wallet", "adjustments", taken, now, op.key)
            self._take(book, None, taken, now)
        if short:
            self._move(book, "adjust", "receivable", "adjustments", short, now, op.key)
        return "adjusted", f"{book.name}-{len(book.moves)}", op.amount_nanos, book.wallet, 0, book.debt

    def _reverse(self, book: Book, op: Reverse, now: int) -> Answer:
        lot = book.lots.get(op.lot_id)
        if lot is None:
            return "refused", "unknown_lot"
        if lot.kind == "refund" or (op.kind == "chargeback" and lot.kind != "paid"):
            return "refused", "field_invalid"
        if op.amount_nanos is not None and op.amount_nanos < 1:
            return "refused", "amount_invalid"
        if not op.reason.strip():
            return "refused", "field_invalid"
        left = lot.granted - lot.reversed
        amount = left if op.amount_nanos is None else op.amount_nanos
        if not 0 < amount <= left:
            return "refused", "reversal_exceeds_grant"
        taken = min(amount, lot.left if lot.waits else min(lot.left, book.free))
        source, home = SOURCES[lot.kind][0], "scheduled" if lot.waits else "wallet"
        if taken:
            self._move(book, op.kind, home, source, taken, now, op.key, lot=lot.id)
            lot.takes.append(taken)
        lapsed = min(amount - taken, book.lapsed(lot.id))
        if lapsed:
            self._move(book, op.kind, "expired", source, lapsed, now, op.key, lot=lot.id)
        owed = amount - taken - lapsed
        if owed:
            self._move(book, op.kind, "receivable", source, owed, now, op.key, lot=lot.id)
        lot.reversed += amount
        book.frozen = book.frozen or op.freeze
        if op.freeze:
            book.tell_account(op, now)
        name = f"{book.name}-{len(book.moves)}"
        return "reversed", name, amount, taken, owed, book.wallet, book.frozen, lapsed

    def _setbudget(self, book: Book, op: SetBudget, now: int) -> Answer:
        place = (op.scope, op.window)
        if op.valid_until_us is not None and op.valid_until_us <= now:
            return "refused", "field_invalid"
        known = book.limits.get(place)
        if op.counts is not None and known is not None and known.counts != op.counts:
            return "refused", "field_invalid"
        before = None if known is None else known.at(now)
        limit = book.limits.setdefault(place, Limit(op.counts or "charge", book.zone))
        if op.valid_until_us is None:
            limit.standing, limit.raised, limit.until = op.limit_nanos, None, None
        else:
            limit.raised, limit.until = op.limit_nanos, op.valid_until_us
        book.tell_limit(op, place, now)
        return "budget_set", op.limit_nanos, before

    def _setaccount(self, book: Book, op: SetAccount, now: int) -> Answer:
        book.frozen = book.frozen if op.frozen is None else op.frozen
        book.ppm = book.ppm if op.multiplier_ppm is None else op.multiplier_ppm
        book.absorbs = book.absorbs if op.overage is None else op.overage == "absorb"
        since = None
        if op.timezone is not None and op.timezone != book.zone:
            book.zone = op.timezone
            for (scope, kind), limit in book.limits.items():
                ends = limit.move(kind, op.timezone, now)
                since = ends if (scope, kind) == ("tenant", "day") else since
            for place in sorted(book.limits, key=lambda place: (place[0], calendar.KINDS.index(place[1]))):
                book.tell_limit(op, place, now)
        book.tell_account(op, now)
        overage = "absorb" if book.absorbs else "debt"
        return "account_set", book.frozen, book.zone, since, book.ppm, overage

    def _reserve(self, book: Book, op: Reserve, now: int) -> Answer:
        if book.frozen:
            return "refused", "frozen"
        places = [place for place in places_of(op.scopes) if place in book.limits]
        gauges = [(book.wallet, 0, book.held, sum(c.expected for c in book.open_calls()), False, "credit")]
        parts = []
        for place in places:
            limit = book.limits[place]
            starts = limit.window(place[1], now)[1]
            spent, held, expected, _ = book.counted(place, starts)
            gauges.append((limit.at(now), spent, held, expected, limit.counts == "cost", "budget"))
            parts.append((place, starts))
        prices = [priced(offer, book.ppm) for offer in op.offers]
        found = "in_debt" if book.debt else choose(gauges, op.offers, prices)
        if isinstance(found, str) and op.enforce:
            return "refused", found
        index = found if op.enforce and isinstance(found, int) else 0
        price = prices[index]
        amount = price[0] if op.enforce else min(price[0], book.free)
        call = book.calls[op.hold_id] = Call(
            op.hold_id, op.key, body_of(op), book.ppm, book.absorbs or not op.enforce, index, amount,
            min(price[2], amount), price[1], price, now, now + op.ttl_us, op.scopes, parts,
        )  # fmt: skip
        return held_answer(call)

    def _settle(self, book: Book, op: Settle, now: int) -> Answer:
        call = book.calls.get(op.hold_id)
        if call is None:
            return "refused", "unknown_hold"
        if call.state == "settled":
            if call.detail is None:
                self._say(book, call, op.detail, now)
            if call.settled_by[1] == body_of(op):
                return settled_answer(call)
            return "refused", "key_conflict" if op.key == settle_key(call.id) else "hold_closed"
        before, more = call.state, charge_of(op.cost_nanos, call.ppm) - call.booked
        cost = op.cost_nanos - cost_told(book, call)
        call.state, call.late, call.settled_by = "settled", before != "open", (before, body_of(op))
        call.cost, call.booked, call.detail = op.cost_nanos, call.booked + more, op.detail
        if more < 0:
            self._return(book, call, "correction", -more, now, op.key, cost)
            call.paid += more
            return settled_answer(call)
        word = "correction" if before == "expired" else "settle"
        self._charge(book, call, word, more, now, op.key, cost)
        return settled_answer(call)

    def _charge(
        self, book: Book, call: Call, word: str, more: int, now: int, key: str, cost: int | None
    ) -> None:
        """Take money for a call; what is not there is owed, or borne by the operator."""
        take = min(more, book.free)
        short = more - take
        if take:
            self._move(book, word, "wallet", "usage", take, now, key, call, cost=cost)
            self._take(book, call, take, now)
        if short:
            word, party = ("absorb", "absorbed") if call.absorbs else ("debt", "receivable")
            self._move(book, word, party, "usage", short, now, key, call, cost=None if take else cost)
        call.paid += take
        call.debt += 0 if call.absorbs else short
        call.absorbed += short if call.absorbs else 0

    def _correct(self, book: Book, op: Correct, now: int) -> Answer:
        call = book.calls.get(op.hold_id)
        if call is None:
            return "refused", "unknown_hold"
        if call.state == "open":
            return "refused", "hold_closed"
        before = {"expired": call.bound, "settled": call.cost}.get(call.state), call.booked
        refunded = call.refunded
        if call.state != "settled":
            self._settle(book, Settle(op.tenant, op.key, op.now_us, op.hold_id, op.cost_nanos), now)
            call.detail = None
        elif call.cost != op.cost_nanos:
            self._again(book, call, op, now)
            call.cost = op.cost_nanos
        if call.detail is not None:
            self._say(book, call, call.detail, now)
        return (
            "corrected",
            call.id,
            call.cost,
            call.booked,
            *before,
            call.refunded,
            book.wallet,
            refunded - call.refunded,
        )

    def _say(self, book: Book, call: Call, detail: str, now: int) -> None:
        """Note what a call says of itself; what its own key stands for has the cost that was told last."""
        assert call.cost is not None
        call.detail = detail
        body = body_of(Settle(book.name, "", now, call.id, call.cost, detail))
        call.settled_by = (call.settled_by[0], body)
        book.keys[settle_key(call.id)] = ("Settle", body, settled_answer(call), now)

    def _again(self, book: Book, call: Call, op: Correct, now: int) -> None:
        """Book the difference to another truth; what was refunded is part of what comes back."""
        assert call.cost is not None
        charge = charge_of(op.cost_nanos, call.ppm)
        cost: int | None = op.cost_nanos - (call.cost if call.booked else 0)
        less, call.booked = call.booked - charge, charge
        if less <= 0:
            self._charge(book, call, "correction", -less, now, op.key, cost)
            return
        borne = min(less, call.absorbed)
        if borne:
            self._move(book, "correction", "usage", "absorbed", borne, now, op.key, call, cost=cost)
            cost = None
        again = min(less - borne, call.refunded)
        taken = min(again, book.free)
        if taken:
            self._move(book, "correction", "wallet", "usage", taken, now, op.key, call)
            self._take(book, call, taken, now)
        back = less - borne - again + taken
        if not back and not borne:
            back = again
            self._move(book, "debt", "receivable", "usage", again, now, op.key, call)
        if back:
            self._return(book, call, "correction", back, now, op.key, cost)
        call.forget_refunds(again)
        call.absorbed -= borne
        call.debt = min(call.debt, charge - call.absorbed)
        call.paid = charge - call.absorbed - call.debt

    def _release(self, book: Book, op: Release, now: int) -> Answer:
        call = book.calls.get(op.hold_id)
        if call is None:
            return "refused", "unknown_hold"
        if call.state == "settled":
            return "refused", "hold_closed"
        late, back = call.state == "expired", call.booked
        if back:
            self._return(book, call, "correction", back, now, op.key, -cost_told(book, call))
        call.state, call.booked, call.paid = "released", 0, 0
        return "released", back, late

    def _renew(self, book: Book, op: Renew, now: int) -> Answer:
        call = book.calls.get(op.hold_id)
        if call is None:
            return "refused", "unknown_hold"
        if call.state != "open":
            return "refused", "hold_closed"
        call.expires = max(call.expires, now + op.ttl_us)
        return "renewed", call.expires

    def _refund(self, book: Book, op: Refund, now: int) -> Answer:
        call = book.calls.get(op.hold_id)
        if call is None:
            return "refused", "unknown_hold"
        if call.state != "settled":
            return "refused", "hold_closed"
        left = call.paid + call.debt - call.refunded
        amount = left if op.amount_nanos is None else op.amount_nanos
        if op.amount_nanos is not None and amount < 1:
            return "refused", "amount_invalid"
        if not 0 < amount <= left:
            return "refused", "refund_exceeds_charge"
        repaid = self._return(book, call, "refund", amount, now, op.key)
        call.refunds.append((now, amount))
        return "refunded", amount, book.wallet, repaid
