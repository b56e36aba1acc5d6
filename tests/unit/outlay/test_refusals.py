"""
The table of refusals: every reason of every part has its status, type and code, and a text without gaps.
"""

from typing import Any

import pytest

import ledger.types as ledger
from circuit.types import HaltCode, Halted
from outlay import refusals
from outlay.calls import Refused
from outlay.refusals import CIRCUIT, LEDGER, ROUTER, Shape
from router.types import Refusal, RefusalCode

USD = 1_000_000_000
T0 = 1_763_700_000_000_000
STATUS_OF_TYPE = {
    "invalid_request_error": {400},
    "billing_error": {402},
    "permission_error": {403},
    "not_found_error": {404},
    "conflict_error": {409},
    "rate_limit_error": {429},
    "api_error": {500, 503},
    "overloaded_error": {529},
}
LIMIT, INVALID = "rate_limit_error", "invalid_request_error"
EVERY: list[Shape] = [*LEDGER.values(), *ROUTER.values(), *CIRCUIT.values()]


def test_every_reason_of_every_part_is_in_the_table() -> None:
    """A reason that a part learns to give without a shape here fails this test, not a caller."""
    assert set(LEDGER) == set(ledger.Reason)
    assert set(ROUTER) == set(RefusalCode)
    assert set(CIRCUIT) == set(HaltCode)


def test_status_and_type_belong_together() -> None:
    """The SDK picks its error class by status; the type must be the one Anthropic gives with it."""
    for shape in EVERY:
        assert shape.status in STATUS_OF_TYPE[shape.error_type], shape
        assert shape.code.startswith("outlay_"), shape


@pytest.mark.parametrize(
    ("shape", "status", "error_type", "code", "retry"),
    [
        (LEDGER[ledger.Reason.CREDIT_EXHAUSTED], 402, "billing_error", "outlay_credit_exhausted", False),
        (LEDGER[ledger.Reason.IN_DEBT], 402, "billing_error", "outlay_credit_exhausted", False),
        (LEDGER[ledger.Reason.BUDGET_EXHAUSTED], 429, LIMIT, "outlay_daily_budget_reached", False),
        (CIRCUIT[HaltCode.RUNAWAY], 429, LIMIT, "outlay_runaway_halt", False),
        (CIRCUIT[HaltCode.KILL_SWITCH], 503, "api_error", "outlay_kill_switch", False),
        (LEDGER[ledger.Reason.CREDIT_BUSY], 429, LIMIT, "outlay_budget_busy", True),
        (LEDGER[ledger.Reason.BUDGET_BUSY], 429, LIMIT, "outlay_budget_busy", True),
        (LEDGER[ledger.Reason.QUEUE_FULL], 429, LIMIT, "outlay_budget_busy", True),
        (ROUTER[RefusalCode.UNBOUNDED_REQUEST], 400, INVALID, "outlay_unbounded_request", False),
        (ROUTER[RefusalCode.BREAKER_OPEN], 529, "overloaded_error", "outlay_breaker_open", True),
    ],
)  # fmt: skip
def test_refusals_as_measured_against_the_sdk(
    shape: Shape, status: int, error_type: str, code: str, retry: bool
) -> None:
    """The rows that an unmodified client depends on, word by word."""
    assert shape == Shape(code, status, error_type, retry)


def test_only_what_may_pass_shortly_is_retried() -> None:
    """Money that is spent is final; only what is busy, or a breaker that reopens, asks the SDK to retry."""
    retried = {reason for reason, shape in LEDGER.items() if shape.retry}
    assert retried == ledger.BUSY
    assert {code for code, shape in ROUTER.items() if shape.retry} == {RefusalCode.BREAKER_OPEN}
    assert not any(shape.retry for shape in CIRCUIT.values())


NUMBERS: dict[str, Any] = {
    "needed_nanos": 2_000_000_000, "available_nanos": 1, "limit_nanos": 5_000_000_000, "spent_nanos": 4,
    "held_nanos": 3, "budget_scope": "tenant", "budget_window": "day", "resets_us": T0 + 90_000_000,
    "debt_nanos": 7, "wallet_nanos": 0, "key": "k", "hold_id": "h", "field": "f", "value": "v", "fix": "x",
    "queue_max": 5, "state": "settled",
}  # fmt: skip


@pytest.mark.parametrize("reason", ledger.Reason)
def test_a_text_has_no_gap(reason: ledger.Reason) -> None:
    """Given the numbers of its reason no text has a dash for a missing one, and none is a bare code."""
    refused = refusals.from_ledger("d1", "acme", ledger.Refused(reason, NUMBERS), T0)
    assert "—" not in refused.message
    assert "{" not in refused.message
    assert refused.details["error_code"] == refused.code
    assert refused.details["decision_id"] == refused.decision_id == "d1"


@pytest.mark.parametrize("reason", ledger.Reason)
def test_a_text_never_fails_over_its_numbers(reason: ledger.Reason) -> None:
    """A refusal without numbers is still a refusal."""
    assert refusals.from_ledger("d1", "acme", ledger.Refused(reason), T0).message


def test_a_spent_budget_says_when_it_resets_and_is_not_retried() -> None:
    """The long wait of a spent budget comes only with retry false, rounded up to whole seconds."""
    numbers = {**NUMBERS, "resets_us": T0 + 90_000_001}
    refused = refusals.from_ledger("d", "acme", ledger.Refused(ledger.Reason.BUDGET_EXHAUSTED, numbers), T0)
    assert (refused.retry, refused.retry_after_s) == (False, 91)
    assert refused.details["resets_at"] == "2025-11-21T04:41:30.000001+00:00"
    assert refused.details["needed_usd"] == "2.00"
    assert "5.00" in refused.message


def test_a_budget_resets_on_the_tenants_clock() -> None:
    """In the details and in the words, with the offset of the tenant's zone, as a balance has it."""
    numbers = {**NUMBERS, "spent_nanos": NUMBERS["limit_nanos"]}
    told = ledger.Refused(ledger.Reason.BUDGET_EXHAUSTED, numbers)
    refused = refusals.from_ledger("d", "acme", told, T0, "Asia/Kolkata")
    assert refused.details["resets_at"] == "2025-11-21T10:11:30+05:30"
    assert "resets at 2025-11-21T10:11:30+05:30" in refused.message
    step = Refusal(RefusalCode.PRIORITY_REFUSED, "no", {"gauge": "tenant/day", "resets_us": T0 + 90_000_000})
    assert (
        refusals.from_router("d", step, T0, "Asia/Kolkata").details["resets_at"]
        == "2025-11-21T10:11:30+05:30"
    )


def _of_budget(window: str = "day", scope: str = "tenant", **nanos: int) -> Refused:
    """Refuse a call over a budget of 5 USD."""
    numbers = {**NUMBERS, "limit_nanos": 5 * USD, "budget_window": window, "budget_scope": scope}
    numbers |= {f"{name}_nanos": amount for name, amount in nanos.items()}
    return refusals.from_ledger("d", "acme", ledger.Refused(ledger.Reason.BUDGET_EXHAUSTED, numbers), T0)


def test_a_call_that_does_not_fit_what_is_left_is_not_told_that_all_is_spent() -> None:
    """With 0.50 USD left a call of 0.80 USD hears what is left, what it needs, and what to do."""
    refused = _of_budget(spent=4 * USD, held=USD // 2, available=USD // 2, needed=8 * USD // 10)
    assert "is spent" not in refused.message
    assert refused.message == (
        "this call may cost up to 0.80 USD and does not fit the tenant's daily budget (5.00 USD: 4.00 spent, "
        "0.50 held by calls in flight, 0.50 left); ask for less (fewer max_tokens, a shorter prompt, a "
        "smaller model), have the budget raised, or wait until 2025-11-21T04:41:30+00:00"
    )


def test_a_call_above_the_whole_limit_is_not_told_to_wait() -> None:
    """No reset ever makes room for it; a budget of 0 has no room for any call."""
    refused = _of_budget(spent=0, held=0, available=5 * USD, needed=8 * USD)
    assert "more than the whole of the tenant's daily budget, 5.00 USD" in refused.message
    assert "wait" not in refused.message
    nothing = _of_budget(limit=0, spent=0, held=0, available=0, needed=USD)
    assert nothing.message == "the tenant's daily budget is 0.00 USD: nothing may be spent until it is raised"


@pytest.mark.parametrize(
    ("window", "scope", "named"),
    [
        ("hour", "tenant", "the tenant's hourly budget is spent: 5.00 of 5.00 USD; it resets at"),
        ("week", "task:content/blog", "the weekly budget of task content/blog is spent"),
        ("month", "key:k-1", "the monthly budget of key k-1 is spent"),
    ],
)
def test_one_code_for_all_windows_and_its_details_say_which(window: str, scope: str, named: str) -> None:
    """A client reads window and scope from the details; the text says them in words."""
    refused = _of_budget(window, scope, spent=5 * USD)
    assert refused.message.startswith(named)
    assert refused.code == "outlay_daily_budget_reached"
    assert (refused.details["budget_window"], refused.details["budget_scope"]) == (window, scope)


def test_credits_that_bear_smaller_calls_are_not_called_gone() -> None:
    """Who has some left is told that a smaller call may pass; who has none is only told to top up."""
    numbers = {**NUMBERS, "available_nanos": USD // 2, "needed_nanos": USD}
    some = refusals.from_ledger("d", "acme", ledger.Refused(ledger.Reason.CREDIT_EXHAUSTED, numbers), T0)
    assert some.message.startswith("tenant acme has 0.50 USD of credits left, and this call may cost up to 1")
    assert "ask for less" in some.message
    gone = {**numbers, "limit_nanos": 0, "spent_nanos": 0, "available_nanos": 0}
    none = ledger.Refused(ledger.Reason.CREDIT_EXHAUSTED, gone)
    assert refusals.from_ledger("d", "acme", none, T0).message == (
        "tenant acme has no credits left, and this call may cost up to 1.00 USD; top up the tenant"
    )


def test_busy_money_says_how_much_is_left() -> None:
    """Who is told to retry sees what the budget allows, what is held of it and what the call needs."""
    numbers = {**NUMBERS, "held_nanos": USD, "available_nanos": USD // 2, "needed_nanos": USD}
    busy = refusals.from_ledger("d", "acme", ledger.Refused(ledger.Reason.BUDGET_BUSY, numbers), T0)
    assert busy.message == (
        "this call may cost up to 1.00 USD and does not fit the tenant's daily budget (5.00 USD: 0.000000004 "
        "spent, 1.00 held by calls in flight, 0.50 left) before calls in flight end; retry shortly"
    )


def test_busy_money_is_retried_after_a_second_whatever_the_window_says() -> None:
    """Money held by calls in flight comes back within seconds, not at the end of the day."""
    busy = refusals.from_ledger("d", "acme", ledger.Refused(ledger.Reason.BUDGET_BUSY, NUMBERS), T0)
    assert (busy.retry, busy.retry_after_s) == (True, 1)


def test_no_long_wait_is_ever_sent_with_a_retry() -> None:
    """The SDK sleeps for the whole retry-after, so a retried refusal never names more than half a minute."""
    for code in RefusalCode:
        refused = refusals.from_router("d", Refusal(code, "text", {}, retry_after_s=86_400))
        assert not refused.retry or (refused.retry_after_s or 0) <= 30
    for reason in ledger.Reason:
        refused = refusals.from_ledger("d", "acme", ledger.Refused(reason, NUMBERS), T0)
        assert not refused.retry or (refused.retry_after_s or 0) <= 30


def test_a_router_refusal_over_a_budget_says_when_that_resets() -> None:
    """A priority that a spent budget no longer serves waits for the reset, like the budget's own refusal."""
    refusal = Refusal(RefusalCode.PRIORITY_REFUSED, "text", {"resets_us": T0 + 5_000_000})
    assert refusals.from_router("d", refusal, T0).retry_after_s == 5
    assert refusals.from_router("d", Refusal(RefusalCode.UNKNOWN_MODEL, "x"), T0).retry_after_s is None


def test_a_budget_that_is_spent_is_called_so() -> None:
    """A step refuses before the ledger is asked; with nothing left the caller still hears of the budget."""
    numbers = {"limit_nanos": 5, "spent_nanos": 5, "resets_us": T0 + 5_000_000}
    refused = refusals.from_router("d", Refusal(RefusalCode.PRIORITY_REFUSED, "text", numbers), T0)
    assert (refused.code, refused.retry_after_s) == ("outlay_daily_budget_reached", 5)
    left = Refusal(RefusalCode.PRIORITY_REFUSED, "text", {**numbers, "spent_nanos": 4})
    assert refusals.from_router("d", left, T0).code == "outlay_priority_refused"


def test_a_budget_that_a_step_guards_is_named_like_the_ledger_names_it() -> None:
    """A client finds window and scope under the same names, whoever refused it."""
    numbers = {"gauge": "task:a/b/week", "limit_nanos": USD, "spent_nanos": USD, "resets_us": T0 + 5_000_000}
    refused = refusals.from_router("d", Refusal(RefusalCode.PRIORITY_REFUSED, "text", numbers), T0)
    assert refused.message.startswith("the weekly budget of task a/b is spent: 1.00 of 1.00 USD")
    assert (refused.details["budget_scope"], refused.details["budget_window"]) == ("task:a/b", "week")
    credit = Refusal(RefusalCode.PRIORITY_REFUSED, "text", {"gauge": "credit", "credit_nanos": 1})
    assert "budget_scope" not in refusals.from_router("d", credit, T0).details


def test_a_halt_names_its_scope_and_reason() -> None:
    """A halted caller hears which scope halts and why; a runaway also when it ends."""
    numbers = {"spent_nanos": 6_000_000_000, "until_us": T0 + 60_000_000}
    halted = Halted(HaltCode.RUNAWAY, "tenant:acme", "too fast", T0 + 60_000_000, 60, numbers)
    refused = refusals.from_circuit("d", halted)
    assert "tenant:acme" in refused.message
    assert "too fast" in refused.message
    assert (refused.retry, refused.retry_after_s) == (False, 60)
    assert refused.details["spent_usd"] == "6.00"
    assert refused.details["scope"] == "tenant:acme"
    switched = Halted(HaltCode.KILL_SWITCH, "global", "", None, None, {})
    assert "no reason given" in refusals.from_circuit("d", switched).message


def test_numbers_are_written_for_people() -> None:
    """Money is decimal text, instants are ISO text, what is unknown is left out, counts stay numbers."""
    shown = refusals.shown({"a_nanos": 1, "b_us": 0, "c": None, "d": 3, "e_nanos": None, "f": "x"})
    assert shown == {"a_usd": "0.000000001", "b_at": "1970-01-01T00:00:00+00:00", "d": 3, "f": "x"}
