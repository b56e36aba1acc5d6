"""
The rules one by one: refusals, offers, settlement in every state, refunds, keys.
"""

import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import pytest

from ledger.store_memory import MemoryLedger
from ledger.types import (
    AccountOpened,
    AccountSet,
    Held,
    HoldEvent,
    Note,
    Noted,
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
    Renewed,
    Reserve,
    SetAccount,
    SetBudget,
    Settle,
    Settled,
    Sweep,
    Swept,
    ToppedUp,
    TopUp,
    settle_key,
)

NOW = 1_763_700_000 * 1_000_000
DAY_US = 86_400 * 1_000_000


@pytest.fixture
def events() -> list[HoldEvent]:
    """What the tap has seen."""
    return []


@pytest.fixture
def ledger(events: list[HoldEvent]) -> MemoryLedger:
    """A ledger with the tenant `acme`: 1,000 of credit, 600 a day."""

    def tap(seen: Any) -> list[Any]:
        events.extend(seen)
        return []

    made = MemoryLedger(tap=tap)
    made.do(OpenAccount("acme", "open", NOW, "UTC", 1_000, 600))
    return made


def reserve(name: str, *costs: int, now: int = NOW, **more: Any) -> Reserve:
    """Return a reservation of one or more offers, expected at a tenth."""
    offers = tuple(Offer(cost, cost // 10) for cost in costs)
    return Reserve("acme", name, now, f"h-{name}", offers, **more)


def wallet(ledger: MemoryLedger) -> tuple[int, int, int]:
    """Return wallet, held and debt."""
    account = ledger.books("acme").account
    assert account is not None
    return account.wallet, account.held, account.debt


BAD: tuple[tuple[Operation, Reason], ...] = (
    (TopUp("nobody", "k", NOW, 5), Reason.UNKNOWN_TENANT),
    (OpenAccount("acme", "k", NOW, "UTC", 5, None), Reason.TENANT_EXISTS),
    (OpenAccount("acme", "open", NOW, "UTC", 5, None), Reason.KEY_CONFLICT),
    (OpenAccount("", "k", NOW, "UTC", 5, None), Reason.FIELD_INVALID),
    (OpenAccount("new", "k", NOW, "UTC", -5, None), Reason.AMOUNT_INVALID),
    (OpenAccount("new", "k", NOW, "UTC", 5, -1), Reason.AMOUNT_INVALID),
    (OpenAccount("new", "k", NOW, "UTC", 5, None, multiplier_ppm=-1), Reason.FIELD_INVALID),
    (OpenAccount("new", "k", NOW, "Mars/Olympus", 5, None), Reason.UNKNOWN_TIMEZONE),
    (TopUp("acme", "k", NOW, 0), Reason.AMOUNT_INVALID),
    (TopUp("acme", "k", NOW, -1), Reason.AMOUNT_INVALID),
    (TopUp("acme", "k", NOW, True), Reason.AMOUNT_INVALID),
    (TopUp("acme", "k", NOW, 1.5), Reason.AMOUNT_INVALID),  # type: ignore[arg-type]
    (TopUp("acme", "k", NOW, 10**18 + 1), Reason.AMOUNT_INVALID),
    (TopUp("acme", "k", NOW, 5, "gift"), Reason.FIELD_INVALID),
    (TopUp("acme", "k", NOW, 5, expires_us=NOW), Reason.FIELD_INVALID),
    (SetBudget("acme", "k", NOW, -1), Reason.AMOUNT_INVALID),
    (SetBudget("acme", "k", NOW, 1, scope="everything"), Reason.FIELD_INVALID),
    (SetBudget("acme", "k", NOW, 1, scope="key:"), Reason.FIELD_INVALID),
    (SetBudget("acme", "k", NOW, 1, window="year"), Reason.FIELD_INVALID),
    (SetBudget("acme", "k", NOW, 1, counts="cost"), Reason.FIELD_INVALID),
    (SetBudget("acme", "k", NOW, 1, valid_until_us=NOW), Reason.FIELD_INVALID),
    (SetAccount("acme", "k", NOW, timezone="Mars/Olympus"), Reason.UNKNOWN_TIMEZONE),
    (SetAccount("acme", "k", NOW, overage="shrug"), Reason.FIELD_INVALID),
    (Settle("acme", "k", NOW, "none", 5), Reason.UNKNOWN_HOLD),
    (Release("acme", "k", NOW, "none"), Reason.UNKNOWN_HOLD),
    (Renew("acme", "k", NOW, "none", 5), Reason.UNKNOWN_HOLD),
    (Refund("acme", "k", NOW, "none"), Reason.UNKNOWN_HOLD),
    (reserve("k"), Reason.FIELD_INVALID),
    (reserve("k", 5, ttl_us=0), Reason.FIELD_INVALID),
    (reserve("k", -5), Reason.AMOUNT_INVALID),
    (reserve("k", 1_001), Reason.CREDIT_EXHAUSTED),
    (reserve("k", 601), Reason.BUDGET_EXHAUSTED),
)


@pytest.mark.parametrize(
    ("op", "reason"), BAD, ids=[f"{type(op).__name__}-{n}" for n, (op, _) in enumerate(BAD)]
)
def test_refusals_change_nothing(ledger: MemoryLedger, op: Operation, reason: Reason) -> None:
    """
    Each wrong operation gets its own code and leaves every row as it was.
    """
    before = [ledger.rows(f"ledger_{name}") for name in ("account", "transfer", "hold", "op", "budget")]
    answer = ledger.do(op)
    assert isinstance(answer, Refused), answer
    assert answer.reason is reason
    assert before == [
        ledger.rows(f"ledger_{name}") for name in ("account", "transfer", "hold", "op", "budget")
    ]


def test_reasons_are_in_documented_order() -> None:
    """
    Codes are lower-case and their order is the order of precedence.
    """
    assert [reason.value for reason in Reason] == [reason.name.lower() for reason in Reason]
    assert list(Reason)[-4:] == [
        Reason.CREDIT_EXHAUSTED, Reason.BUDGET_EXHAUSTED, Reason.CREDIT_BUSY, Reason.BUDGET_BUSY
    ]  # fmt: skip


def test_refusal_explains_itself(ledger: MemoryLedger) -> None:
    """
    The numbers say what was needed, what was there, and what could still be afforded.
    """
    ledger.do(reserve("a", 250))
    refused = ledger.do(reserve("b", 400))
    assert isinstance(refused, Refused)
    assert refused == Refused(
        Reason.BUDGET_BUSY,
        {
            "needed_nanos": 400, "needed_cost_nanos": 400, "available_nanos": 350, "limit_nanos": 600,
            "spent_nanos": 0, "held_nanos": 250, "expected_held_nanos": 25, "max_affordable_nanos": 350,
            "budget_scope": "tenant", "budget_window": "day", "resets_us": 1_763_769_600 * 1_000_000,
        },
    )  # fmt: skip
    assert refused.busy
    affordable = ledger.do(reserve("c", 350))
    assert isinstance(affordable, Held), "what the refusal called affordable is"


def test_first_offer_that_fits_is_taken(ledger: MemoryLedger) -> None:
    """
    Offers are tried in order; the answer says which one, with its plan's cost.
    """
    held = ledger.do(reserve("a", 2_000, 700, 500, 100))
    assert isinstance(held, Held)
    assert (held.offer_index, held.amount_nanos) == (2, 500)
    assert [gauge.name for gauge in held.gauges] == ["credit", "tenant/day"]
    assert [gauge.held_nanos for gauge in held.gauges] == [500, 500]


def test_offer_that_waits_is_busy_rather_than_worse(ledger: MemoryLedger) -> None:
    """
    An offer that would fit at the expected cost of the open holds waits; one that would not gives way.
    """
    ledger.do(reserve("a", 300))  # expected 30
    waits = Offer(540, 1, waits=True)
    cheap = Offer(10, 1)
    busy = ledger.do(Reserve("acme", "b", NOW, "h-b", (waits, cheap)))
    assert isinstance(busy, Refused)
    assert busy.reason is Reason.BUDGET_BUSY
    dear = Offer(571, 1, waits=True)
    held = ledger.do(Reserve("acme", "c", NOW, "h-c", (dear, cheap)))
    assert isinstance(held, Held)
    assert held.offer_index == 1


def test_busy_only_if_releasing_every_hold_would_help(ledger: MemoryLedger) -> None:
    """
    Credit held by others is busy; credit that is not there is exhausted.
    """
    ledger.do(SetBudget("acme", "limit", NOW, None))
    ledger.do(reserve("a", 900))
    reasons = [ledger.do(reserve(f"r{cost}", cost)) for cost in (101, 1_000, 1_001)]
    assert [answer.reason for answer in reasons if isinstance(answer, Refused)] == [
        Reason.CREDIT_BUSY, Reason.CREDIT_BUSY, Reason.CREDIT_EXHAUSTED
    ]  # fmt: skip


def test_observe_mode_never_refuses_for_money(ledger: MemoryLedger, events: list[HoldEvent]) -> None:
    """
    Observation holds what there is, says what enforcement would have done, and absorbs what is short.
    """
    held = ledger.do(reserve("a", 1_500, 300, enforce=False))
    assert isinstance(held, Held)
    assert (held.offer_index, held.amount_nanos, held.would_offer, held.would_refuse) == (0, 1_000, 1, None)
    again = ledger.do(reserve("b", 5, enforce=False))
    assert isinstance(again, Held)
    assert again.amount_nanos == 0
    assert again.would_refuse is not None
    assert again.would_refuse.reason is Reason.CREDIT_BUSY
    settled = ledger.do(Settle("acme", "s", NOW, "h-a", 1_400))
    assert settled == Settled("h-a", 1_400, 1_400, 1_000, 0, 0, 400, 3)
    assert wallet(ledger) == (0, 0, 0)
    assert [event.delta_nanos for event in events] == [1_500, 5, -100]


def test_settlement_takes_hold_then_free_credit_then_debt(ledger: MemoryLedger) -> None:
    """
    A cost above hold and credit is booked whole: hold, free credit that no other hold needs, debt.
    """
    ledger.do(reserve("a", 300))
    ledger.do(reserve("b", 200))
    assert ledger.do(Settle("acme", "s", NOW, "h-a", 1_100)) == Settled(
        "h-a", 1_100, 1_100, 300, 500, 300, 0, 3
    )
    assert wallet(ledger) == (200, 200, 300)
    refused = ledger.do(reserve("c", 1))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.IN_DEBT
    assert ledger.do(TopUp("acme", "t1", NOW, 250)) == ToppedUp("acme-4", 200, 250)
    assert ledger.do(TopUp("acme", "t2", NOW, 250)) == ToppedUp("acme-6", 400, 50)
    assert wallet(ledger) == (400, 200, 0)


def test_absorbed_overage_makes_no_debt(ledger: MemoryLedger) -> None:
    """
    By policy the operator bears what is short.
    """
    assert isinstance(ledger.do(SetAccount("acme", "o", NOW, overage="absorb")), AccountSet)
    ledger.do(reserve("a", 600))
    settled = ledger.do(Settle("acme", "s", NOW, "h-a", 1_700))
    assert settled == Settled("h-a", 1_700, 1_700, 600, 400, 0, 700, 3)
    assert wallet(ledger) == (0, 0, 0)


@pytest.mark.parametrize(("cost", "left"), [(0, 1_000), (100, 900), (600, 400), (700, 300)])
def test_late_settlement_corrects_the_capture(ledger: MemoryLedger, cost: int, left: int) -> None:
    """
    An expired hold is captured in full; the truth, when it comes, gives back or charges the difference.
    """
    ledger.do(reserve("a", 600, ttl_us=10))
    assert ledger.do(Sweep("acme", "", NOW + 9)) == Swept(())
    assert ledger.do(Sweep("acme", "", NOW + 10)) == Swept(("h-a",))
    assert wallet(ledger) == (400, 0, 0)
    settled = ledger.do(Settle("acme", "s", NOW + 11, "h-a", cost))
    assert isinstance(settled, Settled)
    assert settled.late
    assert wallet(ledger) == (left, 0, 0)
    window = ledger.rows("ledger_budget_window")[0]
    assert (window[6], window[9]) == (cost, max(0, cost - 600))
    again = ledger.do(Settle("acme", "s2", NOW + 12, "h-a", cost))
    assert isinstance(again, Settled)
    assert again.replayed


def test_released_hold_that_was_billed_after_all(ledger: MemoryLedger) -> None:
    """
    A settlement after a release is accepted, as pure overage.
    """
    ledger.do(reserve("a", 600))
    assert ledger.do(Release("acme", "r", NOW, "h-a", "no answer")) == Released("h-a", 0)
    assert wallet(ledger) == (1_000, 0, 0)
    settled = ledger.do(Settle("acme", "s", NOW, "h-a", 50))
    assert settled == Settled("h-a", 50, 50, 0, 50, 0, 0, 2, late=True)
    assert ledger.rows("ledger_budget_window")[0][6:10] == (50, 0, 0, 50)


def test_release_of_a_captured_hold_gives_the_money_back(ledger: MemoryLedger) -> None:
    """
    If it turns out that the provider did not bill, credit and day are as before.
    """
    ledger.do(reserve("a", 600, ttl_us=10))
    ledger.do(Sweep("acme", "", NOW + 10))
    assert ledger.do(Release("acme", "r", NOW + 11, "h-a")) == Released("h-a", 600, late=True)
    assert wallet(ledger) == (1_000, 0, 0)
    assert ledger.rows("ledger_budget_window")[0][6:8] == (0, 0)


def test_closed_holds_say_so(ledger: MemoryLedger) -> None:
    """
    A settled hold is not released, renewed or settled otherwise.
    """
    ledger.do(reserve("a", 100))
    ledger.do(Settle("acme", "s", NOW, "h-a", 60))
    asked = (
        Release("acme", "1", NOW, "h-a"), Renew("acme", "2", NOW, "h-a", 5),
        Settle("acme", "3", NOW, "h-a", 61), Settle("acme", "s", NOW, "h-a", 61),
    )  # fmt: skip
    reasons = [answer.reason for answer in map(ledger.do, asked) if isinstance(answer, Refused)]
    assert reasons == [Reason.HOLD_CLOSED, Reason.HOLD_CLOSED, Reason.HOLD_CLOSED, Reason.KEY_CONFLICT]


def test_a_settlement_under_its_holds_own_key_is_recorded_by_the_hold(ledger: MemoryLedger) -> None:
    """
    Its repetition gets the same answer, also after a refund; another cost is a conflict; no answer is stored.
    """
    ledger.do(reserve("a", 100))
    stored = len(ledger.rows("ledger_op"))
    op = Settle("acme", settle_key("h-a"), NOW, "h-a", 120, "{}")
    settled = ledger.do(op)
    ledger.do(Refund("acme", "back", NOW, "h-a", 30))
    again = ledger.do(replace(op, now_us=NOW + DAY_US))
    assert isinstance(settled, Settled)
    assert again == replace(settled, replayed=True)
    other = ledger.do(replace(op, cost_nanos=121))
    assert other == Refused(Reason.KEY_CONFLICT, {"key": "settle:h-a", "made": "Settle", "cost_nanos": 120})
    assert len(ledger.rows("ledger_op")) == stored + 1


def test_renewal_only_extends(ledger: MemoryLedger) -> None:
    """
    A renewed hold outlives its first expiry; a shorter renewal changes nothing.
    """
    ledger.do(reserve("a", 100, ttl_us=100))
    assert ledger.do(Renew("acme", "1", NOW + 50, "h-a", 200)) == Renewed("h-a", NOW + 250)
    assert ledger.do(Renew("acme", "2", NOW + 60, "h-a", 5)) == Renewed("h-a", NOW + 250)
    assert ledger.do(Sweep("acme", "", NOW + 249)) == Swept(())
    assert ledger.do(Sweep("acme", "", NOW + 250)) == Swept(("h-a",))


def test_refund_goes_back_to_the_lots_and_never_above_the_charge(ledger: MemoryLedger) -> None:
    """
    Promotional credit is drawn first and refunded last; the sum of refunds is bounded by the charge.
    """
    ledger.do(TopUp("acme", "p", NOW, 100, "promo"))
    ledger.do(reserve("a", 300))
    ledger.do(Settle("acme", "s", NOW, "h-a", 300))
    assert ledger.do(Refund("acme", "1", NOW, "h-a", 150)) == Refunded("acme-4", 150, 950)
    lots = {row[0]: row[5] for row in ledger.rows("ledger_grant_lot")}
    assert lots == {"acme-1": 950, "acme-2": 0}
    assert ledger.do(Refund("acme", "2", NOW, "h-a", 151)) == Refused(
        Reason.REFUND_EXCEEDS_CHARGE, {"refundable_nanos": 150, "needed_nanos": 151}
    )
    assert ledger.do(Refund("acme", "3", NOW, "h-a")) == Refunded("acme-5", 150, 1_100)
    assert ledger.rows("ledger_budget_window")[0][6] == 0
    assert isinstance(ledger.do(Refund("acme", "4", NOW, "h-a")), Refused)


def test_refund_to_an_expired_lot_gets_a_grace_period(ledger: MemoryLedger) -> None:
    """
    Money whose lot has ended comes back as a refund lot of thirty days; yesterday's budget stays spent.
    """
    ledger.do(TopUp("acme", "p", NOW, 100, "promo", NOW + DAY_US))
    ledger.do(reserve("a", 80))
    ledger.do(Settle("acme", "s", NOW, "h-a", 80))
    later = NOW + 2 * DAY_US
    assert ledger.do(Refund("acme", "1", later, "h-a")) == Refunded("acme-5", 80, 1_080)
    assert [row[2:6] + row[7:8] for row in ledger.rows("ledger_grant_lot") if row[2] == 2] == [
        (2, 0, 80, 80, later + 30 * DAY_US)
    ]
    assert ledger.rows("ledger_budget_window")[0][6] == 80


def test_refund_of_what_repaid_debt_never_ends(ledger: MemoryLedger) -> None:
    """
    A call that went into debt, and was paid for by a top-up without an end, gives back money without an end.
    """
    ledger.do(reserve("a", 100))
    ledger.do(Settle("acme", "s", NOW, "h-a", 1_500))
    assert wallet(ledger) == (0, 0, 500)
    ledger.do(TopUp("acme", "t", NOW, 600))
    assert ledger.do(Refund("acme", "1", NOW, "h-a", 1_500)) == Refunded("acme-6", 1_500, 1_600)
    assert ledger.do(Sweep("acme", "", NOW + 31 * DAY_US)) == Swept((), 0)
    assert wallet(ledger) == (1_600, 0, 0)


def test_lot_is_not_forfeited_under_a_hold(ledger: MemoryLedger) -> None:
    """
    Expired credit that an open hold may need stays until the hold closes.
    """
    ledger.do(TopUp("acme", "p", NOW, 500, "promo", NOW + 10))
    ledger.do(SetBudget("acme", "limit", NOW, None))
    ledger.do(reserve("a", 1_200))
    assert ledger.do(Sweep("acme", "", NOW + 10)) == Swept((), 300)
    assert wallet(ledger) == (1_200, 1_200, 0)
    ledger.do(Release("acme", "r", NOW + 11, "h-a"))
    assert ledger.do(Sweep("acme", "", NOW + 12)) == Swept((), 200)


@pytest.mark.parametrize(("ppm", "charge"), [(1_000_000, 101), (1_500_000, 152), (1, 1), (0, 0)])
def test_charge_is_cost_times_multiplier_rounded_up(ledger: MemoryLedger, ppm: int, charge: int) -> None:
    """
    Credits pay the charge; the cost is kept beside it. 101 x 1.5 = 151.5, rounded up once: 152.
    """
    ledger.do(SetAccount("acme", "m", NOW, multiplier_ppm=ppm))
    ledger.do(reserve("a", 101))
    settled = ledger.do(Settle("acme", "s", NOW, "h-a", 101))
    assert isinstance(settled, Settled)
    assert (settled.cost_nanos, settled.charge_nanos) == (101, charge)
    assert wallet(ledger)[0] == 1_000 - charge


def test_budget_may_count_cost_instead_of_charge(ledger: MemoryLedger) -> None:
    """
    With a multiplier of 2 a budget of cost admits by what the provider bills.
    """
    ledger.do(SetAccount("acme", "m", NOW, multiplier_ppm=2_000_000))
    ledger.do(SetBudget("acme", "limit", NOW, None))
    ledger.do(SetBudget("acme", "c", NOW, 100, "key:a", "day", counts="cost"))
    assert isinstance(ledger.do(reserve("a", 100, scopes=("key:a",))), Held)
    ledger.do(Settle("acme", "s", NOW, "h-a", 60))
    assert wallet(ledger)[0] == 880
    refused = ledger.do(reserve("b", 41, scopes=("key:a",)))
    assert isinstance(refused, Refused)
    assert (refused.numbers["spent_nanos"], refused.numbers["max_affordable_nanos"]) == (60, 40)


def test_final_refusal_sticks_to_a_clients_key(ledger: MemoryLedger) -> None:
    """
    The same key gets the same refusal for 24 hours even if there is money by then; a busy one does not stick.
    """
    asked = reserve("a", 5_000, sticky=True, request_hash="body")
    refused = ledger.do(asked)
    ledger.do(TopUp("acme", "t", NOW, 10**6))
    ledger.do(SetBudget("acme", "limit", NOW, None))
    assert ledger.do(asked) == refused
    ledger.do(reserve("big", 10**6))
    busy = reserve("b", 10**6, sticky=True)
    answer = ledger.do(busy)
    assert isinstance(answer, Refused)
    assert answer.busy
    ledger.do(Release("acme", "r", NOW, "h-big"))
    assert isinstance(ledger.do(busy), Held)
    ledger.do(TopUp("acme", "t2", NOW, 10**6))
    later = reserve("a", 5_000, sticky=True, request_hash="body", now=NOW + DAY_US)
    assert isinstance(ledger.do(later), Held)


def test_same_key_other_body_is_a_conflict(ledger: MemoryLedger) -> None:
    """
    A key stands for one body of one kind; its offers and hold id may differ on a retry.
    """
    first = ledger.do(reserve("a", 100, request_hash="one"))
    retry = ledger.do(Reserve("acme", "a", NOW, "other", (Offer(7, 1),), request_hash="one"))
    assert isinstance(first, Held)
    assert isinstance(retry, Held)
    assert (retry.hold_id, retry.amount_nanos, retry.replayed) == ("h-a", 100, True)
    for op in (reserve("a", 100, request_hash="two"), TopUp("acme", "a", NOW, 5), Note("acme", "a", NOW)):
        answer = ledger.do(op)
        assert isinstance(answer, Refused)
        assert answer.reason is Reason.KEY_CONFLICT


def test_clock_that_steps_back_is_clamped(ledger: MemoryLedger) -> None:
    """
    The account's time never runs backwards.
    """
    ledger.do(TopUp("acme", "t", NOW + 100, 5))
    held = ledger.do(reserve("a", 10, now=NOW - DAY_US))
    assert isinstance(held, Held)
    assert held.opened_us == NOW + 100


def test_frozen_account_admits_nothing_even_observed(ledger: MemoryLedger) -> None:
    """
    Freezing stops new holds; settlements still come in.
    """
    ledger.do(reserve("a", 100))
    ledger.do(SetAccount("acme", "f", NOW, frozen=True))
    for enforce in (True, False):
        answer = ledger.do(reserve(f"b{enforce}", 1, enforce=enforce))
        assert isinstance(answer, Refused)
        assert answer.reason is Reason.FROZEN
    assert isinstance(ledger.do(Settle("acme", "s", NOW, "h-a", 60)), Settled)


def test_note_needs_no_account() -> None:
    """
    A note is accepted for any tenant, once.
    """
    ledger = MemoryLedger()
    assert ledger.do(Note("ghost", "n", NOW)) == Noted()
    assert ledger.do(Note("ghost", "n", NOW)) == Noted(replayed=True)
    assert ledger.do(OpenAccount("ghost", "o", NOW, "UTC", 0, None)) == AccountOpened("ghost", 0, None)


def test_tap_follows_the_exposure(ledger: MemoryLedger, events: list[HoldEvent]) -> None:
    """
    Whatever becomes of a hold, its deltas add up to what it was charged in the end.
    """
    ledger.do(reserve("a", 100, ttl_us=10))
    ledger.do(reserve("b", 200))
    ledger.do(Release("acme", "r", NOW, "h-b"))
    ledger.do(Settle("acme", "s2", NOW, "h-b", 30))
    ledger.do(Settle("acme", "s1", NOW + 20, "h-a", 70))
    assert [(event.kind, event.delta_nanos) for event in events] == [
        ("held", 100), ("held", 200), ("released", -200), ("settled", 30), ("captured", 0), ("settled", -30)
    ]  # fmt: skip


def test_importing_types_and_rules_loads_no_database() -> None:
    """
    The pure parts can be imported without SQLAlchemy.
    """
    code = (
        "import sys, ledger, ledger.types, ledger.rules, ledger.store_memory\n"
        "print([name for name in ('sqlalchemy', 'psycopg', 'sqlite3', 'alembic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_results_are_plain_values() -> None:
    """
    Money fields end in `_nanos`, instants in `_us`: no other number but counts and flags.
    """
    for kind in (Held, Settled, Refunded, ToppedUp, Released, Renewed):
        for one in fields(kind):
            if one.type in (int, "int"):
                assert one.name.endswith(("_nanos", "_us", "_index")), one.name


def test_a_budget_says_what_it_counts_where_it_was_to_count_something_else(ledger: MemoryLedger) -> None:
    """
    What it counts is kept, and the refusal says what that is and what to do; a new one counts either.
    """
    for counts, kept, other in (("charge", "the charge", "cost"), ("cost", "the cost", "charge")):
        scope = f"task:{counts}"
        ledger.do(SetBudget("acme", scope, NOW, 5, scope, counts=counts))
        refused = ledger.do(SetBudget("acme", f"{scope}-2", NOW, 5, scope, counts=other))
        assert isinstance(refused, Refused)
        assert f"this budget counts {kept}, and keeps that: leave counts out" in str(refused.numbers["fix"])
    refused = ledger.do(SetBudget("acme", "new", NOW, 5, "task:new", counts="calls"))
    assert isinstance(refused, Refused)
    assert refused.numbers["fix"] == "use one of: charge, cost"
