"""
Faults planted in the core on purpose: each one is noticed by the short scenario named beside it.

A scenario only says what is asked; the auditor (`ledger_auditor`) compares every answer and every row. A
fault that no scenario notices fails here, and so does one that no longer fits the code.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from ledger_world import HOUR_US, MINUTE_US, STARTS_S, World

import ledger.accounts
import ledger.admission
import ledger.books
import ledger.budget
import ledger.corrections
import ledger.holds
import ledger.journal
import ledger.postings
import ledger.rows
import ledger.rules
import ledger.truths
from ledger.types import Adjust, OpenAccount, Refund, Reserve, Settle, TopUp

DAY_US = 24 * HOUR_US
T = "acme"


def opened(credit: int = 1_000, limit: int | None = None, ppm: int = 1_000_000, zone: str = "UTC") -> World:
    """A world with one tenant, at a start inside a day of every zone."""
    world = World(STARTS_S[0] * 1_000_000, (T,))
    world.open(T, zone, credit, limit, ppm)
    return world


def hold(world: World, *costs: int, ttl_us: int = HOUR_US, **how: Any) -> None:
    """Ask for a hold."""
    world.reserve(T, costs, ttl_us=ttl_us, **how)


def two_holds_beside_each_other() -> None:
    """The second hold must fit beside the first, to the last nano."""
    world = opened()
    hold(world, 600)
    hold(world, 401)
    hold(world, 400)
    hold(world, 1)


def a_full_day() -> None:
    """The day's budget counts what is spent, held and asked."""
    world = opened(credit=10_000, limit=1_000)
    hold(world, 500)
    world.settle(T, 0, 400)
    hold(world, 601)
    hold(world, 600)
    hold(world, 1)


def nothing_may_be_spent() -> None:
    """A limit of 0 is a limit, and no limit is none."""
    world = opened(limit=0)
    hold(world, 1)
    hold(world, 0)
    world.set_budget(T, ("tenant", "day"), None, None, None)
    hold(world, 1)


def first_offer_that_fits() -> None:
    """Offers are taken in order."""
    world = opened()
    hold(world, 2_000, 900, 100)
    hold(world, 2_000, 50, 40)


def busy_or_exhausted() -> None:
    """Busy while open holds stand in the way, exhausted where their release would not help."""
    world = opened()
    hold(world, 800)
    hold(world, 900)
    hold(world, 1_001)
    hold(world, 600, 10, waits=True)


def credit_that_ends_under_a_hold() -> None:
    """What a hold needs is not forfeited, the rest is."""
    world = opened(credit=100)
    world.top_up(T, 500, "promo", MINUTE_US, 0)
    hold(world, 550)
    world.pass_time(2 * MINUTE_US)
    world.sweep(T)
    world.settle(T, 0, 510)
    world.sweep(T)


def cost_above_its_hold() -> None:
    """What is held by others pays for nobody else; what nothing covers is debt, and debt admits nothing."""
    world = opened(credit=1_000)
    hold(world, 500)
    hold(world, 300)
    world.settle(T, 1, 1_200)
    hold(world, 0)
    world.top_up(T, 100, "paid", None, 0)
    world.top_up(T, 900, "promo", None, 0)
    hold(world, 1)


def absorbed_overage() -> None:
    """The operator's loss is no debt."""
    world = opened(credit=100)
    world.set_account(T, overage="absorb")
    hold(world, 100)
    world.settle(T, 0, 150)
    world.top_up(T, 10, "paid", None, 0)
    hold(world, 10)


def truth_after_a_refund() -> None:
    """A cost above the hold is refunded in part, then told lower, lower yet, again, and higher."""
    world = opened(limit=900)
    hold(world, 300)
    world.settle(T, 0, 500)
    world.refund(T, 0, 150)
    for cost in (420, 60, 60, 700, 0):
        world.correct(T, 0, cost)


def truth_after_all_was_refunded_and_spent() -> None:
    """A refunded call is told lower where no credit is left that could be taken back."""
    world = opened(credit=300)
    hold(world, 300)
    world.settle(T, 0, 300)
    world.refund(T, 0, 300)
    hold(world, 300)
    for cost in (200, 300):
        world.correct(T, 1, cost)


def truths_of_an_absorbed_call() -> None:
    """What the operator bore goes back to the operator."""
    world = opened(credit=100)
    world.set_account(T, overage="absorb")
    hold(world, 100)
    world.settle(T, 0, 150)
    for cost in (120, 70, 130):
        world.correct(T, 0, cost)


def truths_of_an_owed_call() -> None:
    """What the tenant owed for it is owed no more."""
    world = opened(credit=100)
    hold(world, 100)
    world.settle(T, 0, 180)
    for cost in (40, 160, 130):
        world.correct(T, 0, cost)


def settled_twice() -> None:
    """One hold has one settlement, whatever the key."""
    world = opened()
    hold(world, 300)
    world.settle(T, 0, 200)
    world.settle(T, 0, 200)
    world.settle(T, 0, 250)
    world.repeat(0, other=False)


def late_truth() -> None:
    """A captured hold is corrected, downwards and upwards."""
    world = opened(limit=2_000)
    hold(world, 300, ttl_us=1)
    hold(world, 300, ttl_us=1)
    world.pass_time(1)
    world.settle(T, 0, 200)
    world.settle(T, 1, 350)


def captured_and_not_billed() -> None:
    """A capture that was none gives everything back."""
    world = opened(limit=2_000)
    hold(world, 300, ttl_us=1)
    world.pass_time(5)
    world.release(T, 0)
    world.settle(T, 0, 20)


def refunds() -> None:
    """A refund is bounded, and only today's raises today's budget."""
    world = opened(credit=5_000, limit=2_000)
    hold(world, 1_000)
    world.settle(T, 0, 900)
    world.refund(T, 0, 901)
    world.refund(T, 0, 400)
    world.refund(T, 0, 501)
    world.go_to_day_end(T, 1)
    world.refund(T, 0, None)
    hold(world, 2_000)


def refund_to_several_lots() -> None:
    """Money goes back to the newest draw first; what has ended meanwhile becomes a refund lot."""
    world = opened(credit=300)
    world.top_up(T, 100, "promo", 2 * HOUR_US, 0)
    world.top_up(T, 100, "paid", 3 * HOUR_US, 0)
    hold(world, 450)
    world.settle(T, 0, 450)
    world.refund(T, 0, 260)
    world.pass_time(2 * HOUR_US)
    world.refund(T, 0, None)


def lot_drawn_twice() -> None:
    """A hold that drew one lot before and after another gives back in the opposite order."""
    world = opened(credit=100)
    world.top_up(T, 1_000, "paid", None, 1)
    hold(world, 50)
    world.settle(T, 0, 50)
    hold(world, 100, ttl_us=1)
    world.pass_time(1)
    world.sweep(T)
    world.do(Refund(T, "back", world.now, "acme-3"))
    world.settle(T, 0, 150)
    world.refund(T, 0, 60)
    world.refund(T, 0, 70)


def corrected_by_hand() -> None:
    """An adjustment takes free credit only, the rest is debt; a positive one repays it first."""
    world = opened(credit=500)
    hold(world, 300)
    world.adjust(T, -250)
    world.adjust(T, 70)
    world.adjust(T, 0)


def charged_back() -> None:
    """A lot that is taken back leaves what open holds need, and can be taken back once."""
    world = opened(credit=500)
    world.top_up(T, 400, "promo", None, 1)
    hold(world, 450)
    world.settle(T, 0, 100)
    hold(world, 750)
    world.reverse(T, 0, None, "chargeback", True)
    world.reverse(T, 0, 1, "reversal", False)
    world.settle(T, 0, 750)
    world.set_account(T, frozen=False)
    hold(world, 1)
    world.top_up(T, 500, "paid", None, 0)
    hold(world, 1)


def expired_and_taken_back() -> None:
    """Of a lot that ended partly unused, only what was spent is owed once it is taken back, in two parts."""
    world = opened(credit=0)
    world.top_up(T, 500, "paid", HOUR_US, 0)
    hold(world, 200)
    world.settle(T, 0, 200)
    world.pass_time(HOUR_US)
    world.reverse(T, 0, 250, "chargeback", False)
    world.reverse(T, 0, None, "chargeback", False)


def credit_of_next_hour() -> None:
    """Scheduled credit is none until its instant, and then repays debt first."""
    world = opened(credit=100)
    world.top_up(T, 300, "promo", 9 * HOUR_US, 0, HOUR_US)
    world.top_up(T, 300, "promo", 9 * HOUR_US, 0, 2 * HOUR_US)
    hold(world, 101)
    hold(world, 100)
    world.settle(T, 0, 130)
    world.pass_time(HOUR_US - 1)
    world.sweep(T)
    world.pass_time(1)
    hold(world, 271)
    hold(world, 270)


def refilled_lot_ends() -> None:
    """A lot that was empty when another one ended still ends on its own date, with what came back to it."""
    world = opened(credit=100)
    world.top_up(T, 300, "promo", 2 * HOUR_US, 0)
    world.top_up(T, 50, "promo", 3 * HOUR_US, 1)
    world.top_up(T, 50, "promo", HOUR_US, 2)
    hold(world, 300)
    world.settle(T, 0, 300)
    world.pass_time(HOUR_US)
    world.sweep(T)
    world.refund(T, 0, 120)
    world.pass_time(HOUR_US)
    hold(world, 200)


def order_of_lots() -> None:
    """Priority, then expiry, then promotional before paid."""
    world = opened(credit=100)
    world.top_up(T, 100, "paid", HOUR_US, 1)
    world.top_up(T, 100, "promo", HOUR_US, 1)
    world.top_up(T, 100, "promo", None, 0)
    for _ in range(7):
        hold(world, 50)
        world.settle(T, 0, 50)


def hold_over_midnight() -> None:
    """A hold counts on the day of its authorization."""
    world = opened(credit=5_000, limit=1_000)
    hold(world, 700, ttl_us=30 * HOUR_US)
    world.go_to_day_end(T, 0)
    hold(world, 1_000)
    world.settle(T, 1, 600)
    world.settle(T, 0, 1_100)


def renewed_while_it_streams() -> None:
    """Renewal extends and never shortens; expiry is exact."""
    world = opened()
    hold(world, 300, ttl_us=HOUR_US)
    world.renew(T, 0, 2 * HOUR_US)
    world.renew(T, 0, 1)
    world.pass_time(2 * HOUR_US - 1)
    world.sweep(T)
    world.pass_time(1)
    world.sweep(T)


def broken_prices() -> None:
    """The charge is cost times multiplier, rounded up once."""
    world = opened(credit=10_000, ppm=333_333)
    hold(world, 1_000)
    world.settle(T, 0, 1)
    hold(world, 29_999)


def same_key_again() -> None:
    """A known key changes nothing, and stands for one body."""
    world = opened()
    head = {"tenant": T, "now_us": world.now}
    for amount in (500, 500, 501):
        world.do(TopUp(**head, key="t", amount_nanos=amount))  # type: ignore[arg-type]
    for _ in range(2):
        hold(world, 100)
        world.do(Settle(**head, key="s", hold_id=world.hold_of(T, 0), cost_nanos=50))  # type: ignore[arg-type]
    world.do(Refund(**head, key="t", hold_id=world.hold_of(T, 0)))  # type: ignore[arg-type]
    world.do(OpenAccount(T, "o", world.now, "UTC", 5, None))


def same_order_for_another_reason() -> None:
    """Why an order is given makes no other order of it."""
    world = opened()
    head = {"tenant": T, "now_us": world.now, "key": "t"}
    for amount, reason in ((5, "a"), (5, "b"), (6, "a")):
        world.do(Adjust(**head, amount_nanos=amount, reason=reason))  # type: ignore[arg-type]


def refusal_that_sticks() -> None:
    """A client's own key keeps its refusal for a day, then asks anew."""
    world = opened(credit=10)
    ops = [
        Reserve(T, "mine", world.now + after, f"h{after}", world_offers(50), request_hash="b", sticky=True)
        for after in (0, 1, DAY_US)
    ]
    world.do(ops[0])
    world.top_up(T, 500, "paid", None, 0)
    for op in ops[1:]:
        world.do(op)


def world_offers(cost: int) -> Any:
    """One offer."""
    from ledger.types import Offer

    return (Offer(cost, cost),)


def new_zone() -> None:
    """A new zone begins where the old zone's day ends: no second budget, no overlap."""
    world = opened(credit=9_000, limit=1_000, zone="Asia/Tokyo")
    hold(world, 600)
    world.set_account(T, timezone="America/Santiago")
    hold(world, 401)
    world.go_to_day_end(T, 1)
    hold(world, 900)
    world.pass_time(20 * HOUR_US)
    hold(world, 900)


def raised_for_an_hour() -> None:
    """A temporary limit ends by itself."""
    world = opened(limit=500)
    world.set_budget(T, ("tenant", "day"), 900, HOUR_US, None)
    hold(world, 700)
    world.release(T, 0)
    world.pass_time(HOUR_US)
    hold(world, 700)


def observed_only() -> None:
    """Observation holds what there is and absorbs the rest."""
    world = opened(credit=100)
    hold(world, 500, 50, enforce=False)
    world.settle(T, 0, 500)
    hold(world, 500, enforce=False)


def cost_and_charge_apart() -> None:
    """A budget may count the cost; the credit pays the charge."""
    world = opened(credit=9_000, ppm=1_250_000)
    world.set_budget(T, ("key:a", "hour"), 1_000, None, "cost")
    hold(world, 900, scopes=("key:a",))
    hold(world, 101, scopes=("key:a",))
    world.settle(T, 0, 1_000)
    world.refund(T, 0, 100)
    hold(world, 1, scopes=("key:a",))


def clock_that_steps_back() -> None:
    """An earlier instant counts as the newest that was seen."""
    world = opened(limit=1_000)
    hold(world, 600)
    world.go_to_day_end(T, 5)
    hold(world, 800)
    hold(world, 300, skew_us=DAY_US)
    hold(world, 200, skew_us=DAY_US)


Scenario = Callable[[], None]
FAULTS: tuple[tuple[str, Any, str, str, str, Scenario], ...] = (
    ("admission ignores holds", ledger.budget.Meter, "fits", "+ held +", "+ 0 * held +",
     two_holds_beside_each_other),
    ("admission ignores the amount", ledger.budget.Meter, "fits", "+ amount <=", "<=",
     two_holds_beside_each_other),
    ("limit off by one", ledger.budget.Meter, "fits", "<= self.limit", "< self.limit", a_full_day),
    ("zero reads as no limit", ledger.budget.Meter, "fits", "self.limit is None", "not self.limit",
     nothing_may_be_spent),
    ("last offer first", ledger.admission, "select", "return index", "return len(offers) - 1",
     first_offer_that_fits),
    ("busy called exhausted", ledger.admission, "select", "cheapest.amount(meter), 0)",
     "cheapest.amount(meter), meter.held)", busy_or_exhausted),
    ("lot forfeited under holds", ledger.postings, "forfeit_due", "account.wallet - account.held",
     "lot.remaining", credit_that_ends_under_a_hold),
    ("overage takes money held by others", ledger.holds, "book_charge", "account.wallet - account.held",
     "account.wallet", cost_above_its_hold),
    ("debt not booked", ledger.holds, "book_short", "account_of(books).debt += short", "pass",
     cost_above_its_hold),
    ("debt admits", ledger.admission, "_in_debt", "account.debt == 0", "True", cost_above_its_hold),
    ("top-up forgets debt", ledger.postings, "_repay", "account.debt -= repaid", "pass",
     cost_above_its_hold),
    ("absorbed is debt", ledger.holds, "book_short", "hold.overage == ABSORB", "False", absorbed_overage),
    ("a hold settles twice", ledger.holds, "settled_before", "hold.state != SETTLED", "hold.state != 99",
     settled_twice),
    ("settled hold stays held", ledger.holds, "settle", "if hold.state == OPEN", "if hold.state == 99",
     settled_twice),
    ("late settlement charges again", ledger.holds, "book_charge", "charge - hold.captured", "charge",
     late_truth),
    ("settled on top of the capture", ledger.holds, "_count_settled", "window.spent += truth - counted",
     "window.spent += truth", late_truth),
    ("expiry releases", ledger.holds, "_capture", "window.spent += part.amount", "window.spent += 0",
     late_truth),
    ("expired holds stay open", ledger.books.Books, "take_due", "self.due[0][0] <= now_us",
     "self.due[0][0] < now_us", renewed_while_it_streams),
    ("renewed holds never expire", ledger.holds, "renew", "books.watch(hold)", "pass",
     renewed_while_it_streams),
    ("renewal shortens", ledger.holds, "renew", "max(hold.expires_at, now_us + op.ttl_us)",
     "now_us + op.ttl_us", renewed_while_it_streams),
    ("release of a capture keeps the day spent", ledger.holds, "_uncapture", "-= part.amount", "-= 0",
     captured_and_not_billed),
    ("refund above the charge", ledger.holds, "refund", "amount > left or amount == 0", "amount == 0",
     refunds),
    ("refund of yesterday raises a day", ledger.holds, "_refund_windows", "now_us < window.ends_at", "True",
     refunds),
    ("refund to the oldest draw first", ledger.postings, "_refill", "reversed(", "iter(",
     refund_to_several_lots),
    ("refund into an expired lot", ledger.postings, "_refill", "lot.expires_at <= now_us", "False",
     refund_to_several_lots),
    ("refund forgets older draws", ledger.postings, "_owed", "return owed[::-1]", "return owed[:1]",
     lot_drawn_twice),
    ("adjustment takes held money", ledger.corrections, "_take", "account.wallet - account.held",
     "account.wallet", corrected_by_hand),
    ("adjustment forgets debt", ledger.corrections, "_owe", "account_of(books).debt += short", "pass",
     corrected_by_hand),
    ("chargeback takes held money", ledger.corrections, "_take_back", "account.wallet - account.held",
     "account.wallet", charged_back),
    ("chargeback does not freeze", ledger.corrections, "reverse", "account.frozen = 1", "pass",
     charged_back),
    ("lot taken back twice", ledger.corrections, "_take_back", "lot.reversed += amount", "pass",
     charged_back),
    ("expired credit is owed", ledger.corrections, "_take_back", "min(amount - taken, lot.forfeited)", "0",
     expired_and_taken_back),
    ("expired credit taken back twice", ledger.corrections, "_take_back", "lot.forfeited -= forfeited",
     "pass", expired_and_taken_back),
    ("forfeited credit forgotten", ledger.postings, "forfeit_due", "lot.forfeited += amount", "pass",
     expired_and_taken_back),
    ("scheduled credit with another", ledger.postings, "activate_due", "lot.effective_at <= now_us", "True",
     credit_of_next_hour),
    ("scheduled credit forgotten", ledger.books.Books, "add_lot", "lot.due_us)", "self.lots_due_us)",
     credit_of_next_hour),
    ("later dates of lots forgotten", ledger.postings, "forfeit_due", "if _matters(lot, now_us)", "if False",
     refilled_lot_ends),
    ("date of an empty lot forgotten", ledger.postings, "_matters", "or now_us < lot.due_us", "",
     refilled_lot_ends),
    ("scheduled credit forgets debt", ledger.postings, "activate_due", "lot.remaining -= repaid", "pass",
     credit_of_next_hour),
    ("paid before promotional", ledger.postings, "lot_order", "lot.kind != PROMO", "lot.kind == PROMO",
     order_of_lots),
    ("priority ignored", ledger.postings, "lot_order", "lot.priority,", "0,", order_of_lots),
    ("charge rounded down", ledger.holds, "settle", "scale_ceil(op.cost_nanos, hold.multiplier_ppm)",
     "op.cost_nanos * hold.multiplier_ppm // 1_000_000", broken_prices),
    ("repetition acts again", ledger.rules, "_known", "if row is None or", "if True or", same_key_again),
    ("key with another body accepted", ledger.rules, "_same_order", "row.req_hash == body", "True",
     same_key_again),
    ("another reason is another order", ledger.rules, "_same_order", "_has_reason(op)", "False",
     same_order_for_another_reason),
    ("refund given back twice", ledger.truths, "_lower", "less - again + taken", "less + taken",
     truth_after_a_refund),
    ("truth without a line", ledger.truths, "_lower", "back == 0 and", "False and",
     truth_after_all_was_refunded_and_spent),
    ("truth that leaves a debt", ledger.truths, "_lower", "back = again", "pass",
     truth_after_all_was_refunded_and_spent),
    ("refund forgotten by no truth", ledger.truths, "_lower", "hold.refunded -= again", "pass",
     truth_after_a_refund),
    ("refund counted twice in its window", ledger.truths, "_recount", "+ part.refunded - refunded", "",
     truth_after_a_refund),
    ("operator's part given to the tenant", ledger.truths, "_lower",
     "min(hold.captured - charge, hold.absorbed)", "0", truths_of_an_absorbed_call),
    ("operator's loss stays", ledger.truths, "_lower", "hold.absorbed -= borne", "pass",
     truths_of_an_absorbed_call),
    ("old truth stays in the window", ledger.truths, "_recount", "truth - before", "truth",
     truth_after_a_refund),
    ("overage of the old truth stays", ledger.truths, "_recount", "- max(0, before - authorized)", "",
     truth_after_a_refund),
    ("debt of the old truth stays", ledger.truths, "_lower",
     "min(hold.debt, charge - hold.absorbed)", "hold.debt", truths_of_an_owed_call),
    ("refusal sticks for ever", ledger.rules, "_stale", ">= STICKY_US", "< 0", refusal_that_sticks),
    ("transfer skips a number", ledger.postings, "post", "account.seq += 1", "account.seq += 2",
     two_holds_beside_each_other),
    ("chain starts anew", ledger.postings, "post", "account.head_hash = head", "pass", order_of_lots),
    ("zone change overlaps", ledger.accounts, "_move_to_zone", "bounds_from(kind, zone, current.ends_at)",
     "bounds_from(kind, zone, current.starts_at)", new_zone),
    ("short day after a zone change", ledger.budget, "bounds_from",
     "natural.ends_us - starts_us < _SHORTEST_US[kind]", "False", new_zone),
    ("raise never ends", ledger.rows.Budget, "limit_at", "and now_us < self.valid_until", "",
     raised_for_an_hour),
    ("budget of cost counts the charge", ledger.admission.Price, "amount", "if meter.counts_cost",
     "if False", cost_and_charge_apart),
    ("clock steps back", ledger.rules, "apply", "max(op.now_us, books.account.last_at)", "op.now_us",
     clock_that_steps_back),
    ("observed hold takes held money", ledger.admission, "_open",
     "min(worst.charge, account.wallet - account.held)", "worst.charge", observed_only),
    ("freeze told to nobody", ledger.corrections, "reverse", "note_account(books, op, account, now_us)",
     "pass", charged_back),
    ("new zone of a budget untold", ledger.accounts, "_move_to_zone",
     "note_budget(books, op, budget, now_us)", "pass", new_zone),
    ("limit told before it is set", ledger.accounts, "set_budget",
     "_limit(budget, op)\n    note_budget(books, op, budget, now_us)",
     "note_budget(books, op, budget, now_us)\n    _limit(budget, op)", raised_for_an_hour),
    ("everybody is the system", ledger.journal, "_write", "op.actor", "'system'", corrected_by_hand),
    ("settings in no chain", ledger.journal, "_write",
     "books.settings_n, books.settings_head = body[1], head", "books.settings_n = body[1]",
     raised_for_an_hour),
    ("hold counts on the day of settlement", ledger.holds, "_unhold", "window.held -= part.amount", "pass",
     hold_over_midnight),
)  # fmt: skip


def plant(monkeypatch: pytest.MonkeyPatch, home: Any, name: str, old: str, new: str) -> None:
    """Replace a piece of a function's text, wherever the function is used."""
    original = getattr(home, name)
    source = textwrap.dedent(inspect.getsource(original))
    assert source.count(old) >= 1, "the fault does not fit the code any more"
    scope = sys.modules[original.__module__].__dict__
    local: dict[str, Any] = {}
    exec(source.replace(old, new), scope, local)  # planted on purpose
    monkeypatch.setattr(home, name, local[name])
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("ledger.") and getattr(module, name, None) is original:
            monkeypatch.setattr(module, name, local[name])
    for kind, found in list(ledger.rules._RULES.items()):
        if found is original:
            monkeypatch.setitem(ledger.rules._RULES, kind, local[name])


SCENARIOS = sorted({fault[5] for fault in FAULTS}, key=lambda scenario: scenario.__name__)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario_is_as_audited(scenario: Scenario) -> None:
    """Without a fault every scenario gets the auditor's answers and rows."""
    scenario()


@pytest.mark.parametrize(
    ("home", "name", "old", "new", "scenario"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_planted_fault_is_noticed(
    monkeypatch: pytest.MonkeyPatch, home: Any, name: str, old: str, new: str, scenario: Scenario
) -> None:
    """
    With the fault planted, the scenario that is named beside it fails.
    """
    plant(monkeypatch, home, name, old, new)
    with pytest.raises((AssertionError, KeyError)):
        scenario()
