"""
Every reason not to let a call through, as callers see it: one table of status, type and code.

Source: facts measured against the official SDK; `x-should-retry` decides whether it tries again, before any
rule about the status. A long `retry-after` is only ever sent together with `x-should-retry: false`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import ledger.types as ledger
from circuit.types import HaltCode, Halted
from outlay.calls import Refused
from outlay.fields import instant_text
from outlay.views import View
from pricing.money import format_usd
from router.types import Refusal, RefusalCode

BUSY_RETRY_S: Final = 1


@dataclass(frozen=True, slots=True)
class Shape:
    """How one refusal leaves the house."""

    code: str
    status: int
    error_type: str
    retry: bool = False


_BUSY: Final = Shape("outlay_budget_busy", 429, "rate_limit_error", retry=True)
_INTERNAL: Final = Shape("outlay_internal_error", 500, "api_error")

LEDGER: Final[Mapping[ledger.Reason, Shape]] = {
    ledger.Reason.QUEUE_FULL: _BUSY,
    ledger.Reason.UNKNOWN_TENANT: Shape("outlay_unknown_tenant", 403, "permission_error"),
    ledger.Reason.TENANT_EXISTS: _INTERNAL,
    ledger.Reason.KEY_CONFLICT: Shape("outlay_duplicate_request", 409, "conflict_error"),
    ledger.Reason.AMOUNT_INVALID: Shape("outlay_invalid_request", 400, "invalid_request_error"),
    ledger.Reason.FIELD_INVALID: Shape("outlay_invalid_request", 400, "invalid_request_error"),
    ledger.Reason.UNKNOWN_TIMEZONE: _INTERNAL,
    ledger.Reason.UNKNOWN_HOLD: Shape("outlay_unknown_hold", 404, "not_found_error"),
    ledger.Reason.HOLD_CLOSED: Shape("outlay_hold_closed", 409, "conflict_error"),
    ledger.Reason.REFUND_EXCEEDS_CHARGE: Shape("outlay_refund_exceeds_charge", 409, "conflict_error"),
    ledger.Reason.UNKNOWN_LOT: Shape("outlay_unknown_lot", 404, "not_found_error"),
    ledger.Reason.REVERSAL_EXCEEDS_GRANT: Shape("outlay_reversal_exceeds_grant", 409, "conflict_error"),
    ledger.Reason.FROZEN: Shape("outlay_tenant_frozen", 403, "permission_error"),
    ledger.Reason.IN_DEBT: Shape("outlay_credit_exhausted", 402, "billing_error"),
    ledger.Reason.CREDIT_EXHAUSTED: Shape("outlay_credit_exhausted", 402, "billing_error"),
    ledger.Reason.BUDGET_EXHAUSTED: Shape("outlay_daily_budget_reached", 429, "rate_limit_error"),
    ledger.Reason.CREDIT_BUSY: _BUSY,
    ledger.Reason.BUDGET_BUSY: _BUSY,
}

ROUTER: Final[Mapping[RefusalCode, Shape]] = {
    RefusalCode.INVALID_REQUEST: Shape(RefusalCode.INVALID_REQUEST, 400, "invalid_request_error"),
    RefusalCode.INVALID_HINT: Shape(RefusalCode.INVALID_HINT, 400, "invalid_request_error"),
    RefusalCode.UNKNOWN_MODEL: Shape(RefusalCode.UNKNOWN_MODEL, 404, "not_found_error"),
    RefusalCode.MODEL_NOT_ALLOWED: Shape(RefusalCode.MODEL_NOT_ALLOWED, 403, "permission_error"),
    RefusalCode.NO_MODEL_FITS: Shape(RefusalCode.NO_MODEL_FITS, 400, "invalid_request_error"),
    RefusalCode.UNBOUNDED_REQUEST: Shape(RefusalCode.UNBOUNDED_REQUEST, 400, "invalid_request_error"),
    RefusalCode.PRIORITY_REFUSED: Shape(RefusalCode.PRIORITY_REFUSED, 429, "rate_limit_error"),
    RefusalCode.BREAKER_OPEN: Shape(RefusalCode.BREAKER_OPEN, 529, "overloaded_error", retry=True),
}

CIRCUIT: Final[Mapping[HaltCode, Shape]] = {
    HaltCode.KILL_SWITCH: Shape(HaltCode.KILL_SWITCH, 503, "api_error"),
    HaltCode.RUNAWAY: Shape(HaltCode.RUNAWAY, 429, "rate_limit_error"),
}

_BARRED: Final = frozenset(LEDGER[one].code for one in (ledger.Reason.FROZEN, ledger.Reason.IN_DEBT))
_WORKFLOW: Final = Shape("outlay_workflow_budget_reached", 429, "rate_limit_error")
SHAPES: Final = (*CIRCUIT.values(), *ROUTER.values(), *LEDGER.values(), _WORKFLOW)
"""Of every refusal; some share one."""

BREAKER_RETRY_S_MAX: Final = 30
"""The SDK sleeps for the whole retry-after, so a retried refusal never names a long one."""


def from_ledger(
    decision_id: str,
    tenant: str,
    refused: ledger.Refused,
    now_us: int,
    zone: str = "UTC",
    *,
    own: bool = False,
) -> Refused:
    """
    Put a refusal of the ledger in words, its instants with the offset of the tenant's zone.

    Args:
        own: The caller brought offers of its own: what makes a call of a model cheaper is no advice for it.
    """
    shape = LEDGER[refused.reason]
    retry_after_s = BUSY_RETRY_S if shape.retry else _until_s(refused.numbers.get("resets_us"), now_us)
    message = _said(refused.reason, refused.numbers, zone, tenant, _CHEAPER if own else _LESS)
    return _refused(decision_id, shape, message, retry_after_s, refused.numbers, zone)


def unknown_tenant(decision_id: str, tenant: str, now_us: int) -> Refused:
    """
    Refuse a call of a tenant without an account.
    """
    return from_ledger(decision_id, tenant, ledger.Refused(ledger.Reason.UNKNOWN_TENANT), now_us)


def over_share(decision_id: str, cost_nanos: int, most_nanos: int | None) -> Refused | None:
    """
    Refuse a call that may cost more than what is left of the budget of its own workflow.
    """
    if most_nanos is None or cost_nanos <= most_nanos:
        return None
    message = "the call may cost {needed_usd} USD, and {left_usd} USD are left of its workflow's budget"
    numbers = {"needed_nanos": cost_nanos, "left_nanos": most_nanos}
    return _refused(decision_id, _WORKFLOW, message.format_map(Words(shown(numbers))), None, numbers)


def from_router(decision_id: str, refusal: Refusal, now_us: int | None = None, zone: str = "UTC") -> Refused:
    """
    Put a refusal of the router in words; with the instant also how long the budget behind it takes to reset.

    A budget that is spent to the last is called so, although a step had refused the call before the ledger
    was asked: its caller need not know the steps.
    """
    numbers = {**refusal.numbers, **_budget_of(refusal.numbers.get("gauge"))}
    shape, message, retry_after_s = ROUTER[refusal.code], refusal.message, refusal.retry_after_s
    if refusal.code is RefusalCode.PRIORITY_REFUSED and _reaches(numbers, "spent_nanos"):
        shape = LEDGER[ledger.Reason.BUDGET_EXHAUSTED]
        message = _said(ledger.Reason.BUDGET_EXHAUSTED, numbers, zone)
    if retry_after_s is None and now_us is not None:
        retry_after_s = _until_s(numbers.get("resets_us"), now_us)
    if shape.retry and retry_after_s is not None:
        retry_after_s = min(retry_after_s, BREAKER_RETRY_S_MAX)
    return _refused(decision_id, shape, message, retry_after_s, numbers, zone)


def not_served(decision_id: str, tenant: str, refusal: Refusal, view: View, now_us: int) -> Refused:
    """
    Put a refusal of the router in words. Where the ledger would refuse every call of the account, the caller
    hears that instead of a priority that is not served: no reset of a budget, and no raise, would help it.
    """
    barred = view.barred if refusal.code is RefusalCode.PRIORITY_REFUSED else None
    if barred is not None:
        return from_ledger(decision_id, tenant, barred, now_us, view.timezone)
    return from_router(decision_id, refusal, now_us, view.timezone)


def told_as(decision_id: str, refusal: Refusal) -> frozenset[str]:
    """
    Name the codes that a caller may have been given for a refusal of the router.
    """
    barred = _BARRED if refusal.code is RefusalCode.PRIORITY_REFUSED else frozenset()
    return barred | {from_router(decision_id, refusal).code}


def _budget_of(gauge: object) -> Mapping[str, str]:
    """Name scope and window of a gauge as the ledger's refusals do; credit has none."""
    scope, apart, window = str(gauge).rpartition("/")
    return {"budget_scope": scope, "budget_window": window} if apart else {}


def from_circuit(decision_id: str, halted: Halted) -> Refused:
    """
    Put a halt in words.
    """
    what = "spending is halted" if halted.code is HaltCode.KILL_SWITCH else "the spend breaker is open"
    message = f"{what} ({halted.scope}): {halted.reason or 'no reason given'}"
    numbers = {**halted.numbers, "scope": halted.scope}
    return _refused(decision_id, CIRCUIT[halted.code], message, halted.retry_after_s, numbers)


def duplicate(decision_id: str, first_id: str) -> Refused:
    """
    Refuse a call whose idempotency key has been used: its answer is not kept, its money is.
    """
    message = (
        f"this idempotency key has made call {first_id} already, which is accounted for; its answer is not "
        "kept, and another key makes and pays a new call"
    )
    return _refused(
        decision_id, LEDGER[ledger.Reason.KEY_CONFLICT], message, None, {"first_decision": first_id}
    )


def shown(numbers: Mapping[str, object], zone: str = "UTC") -> dict[str, object]:
    """
    Write numbers for people and JSON: money as decimal text in USD, instants as ISO 8601 text with the offset
    of a zone.
    """
    out: dict[str, object] = {}
    for name, value in numbers.items():
        if name.endswith("_nanos") and isinstance(value, int):
            out[name.removesuffix("_nanos") + "_usd"] = format_usd(value)
        elif name.endswith("_us") and isinstance(value, int):
            out[name.removesuffix("_us") + "_at"] = instant_text(value, zone)
        elif value is not None:
            out[name] = value
    return out


_NEEDED: Final = "this call may cost up to {needed_usd} USD"
_HELD: Final = "{held_usd} held by calls in flight, {available_usd} left"
_DOES_NOT_FIT: Final = (
    f"{_NEEDED} and does not fit {{budget}} ({{limit_usd}} USD: {{spent_usd}} spent, {_HELD})"
)
_RETRY: Final = "before calls in flight end; retry shortly"
_LESS: Final = "ask for less (fewer max_tokens, a shorter prompt, a smaller model)"
_CHEAPER: Final = "bring a cheaper offer"
_MONEY_TEXT: Final[Mapping[ledger.Reason, str]] = {
    ledger.Reason.QUEUE_FULL: "too many calls are waiting for the books; retry shortly",
    ledger.Reason.UNKNOWN_TENANT: "tenant {tenant} has no account",
    ledger.Reason.KEY_CONFLICT: "this idempotency key was used for another request; give this one its own",
    ledger.Reason.FROZEN: "tenant {tenant} is frozen by an operator",
    ledger.Reason.IN_DEBT: "tenant {tenant} owes {debt_usd} USD; a top-up repays it",
    ledger.Reason.CREDIT_EXHAUSTED: (
        f"tenant {{tenant}} has {{available_usd}} USD of credits left, and {_NEEDED}; "
        "top up the tenant, or {less}"
    ),
    ledger.Reason.BUDGET_EXHAUSTED: (
        f"{_DOES_NOT_FIT}; {{less}}, have the budget raised, or wait until {{resets_at}}"
    ),
    ledger.Reason.CREDIT_BUSY: (
        f"{_NEEDED} and does not fit {{tenant}}'s credits ({{limit_usd}} USD: {_HELD}) {_RETRY}"
    ),
    ledger.Reason.BUDGET_BUSY: f"{_DOES_NOT_FIT} {_RETRY}",
    ledger.Reason.FIELD_INVALID: "{field}: {value} cannot be used; {fix}",
    ledger.Reason.AMOUNT_INVALID: "{field}: {value} is no amount of money; {fix}",
    ledger.Reason.UNKNOWN_HOLD: "there is no such hold",
    ledger.Reason.HOLD_CLOSED: "this hold is {state} already",
}
_SETTLED: Final = (
    "this hold is settled already, at {cost_usd} USD; an operator corrects that with: outlay settle"
)
_NO_CREDIT: Final = f"tenant {{tenant}} has no credits left, and {_NEEDED}; top up the tenant"
_NO_BUDGET: Final = "{budget} is {limit_usd} USD: nothing may be spent until it is raised"
_SPENT: Final = (
    "{budget} is spent: {spent_usd} of {limit_usd} USD; it resets at {resets_at}, unless it is raised before"
)
_ABOVE_LIMIT: Final = (
    f"{_NEEDED}, more than the whole of {{budget}}, {{limit_usd}} USD; {{less}}, or have the budget raised"
)
_OF_WINDOW: Final = {"hour": "hourly", "day": "daily", "week": "weekly", "month": "monthly"}


def _said(
    reason: ledger.Reason, numbers: Mapping[str, object], zone: str, tenant: str = "", less: str = _LESS
) -> str:
    """Word a refusal of the ledger; also whether the money is spent, or only too little for this call."""
    text = _MONEY_TEXT.get(reason, "{reason}")
    if reason is ledger.Reason.CREDIT_EXHAUSTED and _reaches(numbers, "spent_nanos"):
        text = _NO_CREDIT
    if reason is ledger.Reason.HOLD_CLOSED and numbers.get("cost_nanos") is not None:
        text = _SETTLED
    if reason is ledger.Reason.BUDGET_EXHAUSTED:
        if numbers.get("limit_nanos") == 0:
            text = _NO_BUDGET
        elif _reaches(numbers, "spent_nanos"):
            text = _SPENT
        elif _reaches(numbers, "needed_nanos", above=True):
            text = _ABOVE_LIMIT
    budget = budget_name(str(numbers.get("budget_scope")), str(numbers.get("budget_window")))
    words = Words(shown(numbers, zone), reason=reason, tenant=tenant, budget=budget, less=less)
    return text.format_map(words)


def _reaches(numbers: Mapping[str, object], name: str, *, above: bool = False) -> bool:
    """Tell whether an amount is as large as the limit, or larger than it."""
    limit, amount = numbers.get("limit_nanos"), numbers.get(name)
    return isinstance(limit, int) and isinstance(amount, int) and amount >= limit + above


def budget_name(scope: str, window: str) -> str:
    """
    Name a budget by its window and by whose calls it limits.
    """
    kind, _, name = scope.partition(":")
    named = f"{_OF_WINDOW.get(window, window)} budget"
    return f"the {named} of {kind} {name}" if name else f"the tenant's {named}"


class Words(dict[str, object]):
    """
    Numbers for a text; one that is missing reads as a dash, as no text may fail over its numbers.
    """

    def __missing__(self, _name: str) -> str:
        return "—"


def _until_s(resets_us: object, now_us: int) -> int | None:
    return max(1, -((now_us - resets_us) // 1_000_000)) if isinstance(resets_us, int) else None


def _refused(
    decision_id: str,
    shape: Shape,
    message: str,
    retry_after_s: int | None,
    numbers: Mapping[str, object],
    zone: str = "UTC",
) -> Refused:
    return Refused(
        decision_id=decision_id,
        code=str(shape.code),
        status=shape.status,
        error_type=shape.error_type,
        message=message,
        retry=shape.retry,
        retry_after_s=retry_after_s,
        details={"error_code": str(shape.code), "decision_id": decision_id, **shown(numbers, zone)},
    )
