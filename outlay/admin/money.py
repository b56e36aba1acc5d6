"""
Money in and out: top-ups, refunds, budgets, balances. Amounts are decimal text in USD.

An order with an idempotency key is carried out once: the same order again gets the same answer (`replayed`),
another order under that key is refused as `key_conflict`. Keys of orders and of calls never meet.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from ledger import reads
from ledger.accounts import PRIORITY_MAX
from ledger.history import balance_at
from ledger.journal import budget_subject
from ledger.journal_reads import budgets_since
from ledger.read_models import AccountRow, HoldRow
from ledger.rows import COUNTS_NAMES, WINDOW_NAMES
from ledger.types import BudgetSet, Gauge, Refund, Refunded, SetBudget, ToppedUp, TopUp
from outlay import fields
from outlay.admin.common import (
    account,
    carry_out_dated,
    carry_out_on_hold,
    known_hold,
    known_tenant,
    order_key,
)
from outlay.admin.conflicts import first_order
from outlay.admin.tenants import balance_dict, halted_by, is_halted
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected, translated
from outlay.fields import instant_text, usd
from outlay.reports_budgets import counts_from_us
from outlay.wiring import App
from router.hints import canonical

KINDS: Final = ("paid", "promo")
SCOPE_RULE: Final = "Use tenant, key:ID, task:NAME, user:ID or tag:NAME=VALUE."
_SCOPES: Final = ("key:", "task:", "user:", "tag:")


def top_up(
    app: App,
    tenant: str,
    amount: str,
    *,
    kind: str = "paid",
    expires: str | None = None,
    effective: str | None = None,
    priority: int = 0,
    idempotency_key: str | None = None,
    reason: str = "",
    actor: str,
) -> dict[str, Any]:
    """
    Add credit; what the tenant owes is repaid first.

    Args:
        kind: "paid", or "promo" for a grant.
        expires: Date or time at which what is left of it ends, in the tenant's zone.
        effective: Date or time before which it is no credit yet; None is now.
        priority: Credit of a lower priority is drawn earlier; 0 to 1,000,000.
    Returns:
        transfer, credit_usd (afterwards), repaid_usd, effective_at (null: it is credit at once), replayed.
    """
    amount_nanos, kind = fields.positive(amount, "amount"), fields.choice(kind, "kind", KINDS)
    reason, actor = fields.reason(reason), fields.word(actor, "actor")
    row, at_us = account(app, tenant), now_us()
    rank, key = fields.whole(priority, "priority", 0, PRIORITY_MAX), order_key(idempotency_key, at_us)

    def order(zone: str) -> TopUp:
        ends_us = None if expires is None else fields.instant_us(expires, "expires", zone)
        starts_us = None if effective is None else fields.instant_us(effective, "effective", zone)
        return TopUp(
            row.tenant, key, at_us, amount_nanos, kind, ends_us, actor=actor, reason=reason, priority=rank,
            effective_us=starts_us,
        )  # fmt: skip

    with _future("expires", expires, effective):
        op, result = carry_out_dated(app, row, order, ToppedUp)
    starts_us = op.effective_us or at_us
    return {
        "transfer": result.transfer,
        "credit_usd": usd(result.credit_nanos),
        "repaid_usd": usd(result.repaid_nanos),
        "effective_at": instant_text(starts_us if starts_us > at_us else None, row.timezone),
        "replayed": result.replayed,
    }


def refund(
    app: App,
    hold_id: str,
    *,
    amount: str | None = None,
    reason: str = "",
    idempotency_key: str | None = None,
    actor: str,
) -> dict[str, Any]:
    """
    Give money of a settled call back; without an amount all that is left of its charge.

    Returns:
        transfer, amount_usd, credit_usd (afterwards), repaid_usd (went to debt), replayed.
    Raises:
        Rejected: `unknown_hold`, `hold_closed`, `refund_exceeds_charge`, `key_conflict`.
    """
    hold_id, actor = fields.word(hold_id, "hold"), fields.word(actor, "actor")
    amount_nanos = None if amount is None else fields.positive(amount, "amount")
    reason, at_us = fields.reason(reason), now_us()
    key = order_key(idempotency_key, at_us)
    tenant, hold = known_hold(app, hold_id)
    if hold is not None and hold.state != "settled":
        raise _not_settled(hold)
    op = Refund(tenant, key, at_us, hold_id, amount_nanos, actor, reason)
    result = carry_out_on_hold(app, op, Refunded)
    return {
        "transfer": result.transfer,
        "amount_usd": usd(result.amount_nanos),
        "credit_usd": usd(result.credit_nanos),
        "repaid_usd": usd(result.repaid_nanos),
        "replayed": result.replayed,
    }


def _not_settled(hold: HoldRow) -> Rejected:
    """
    Say of a call that is not settled why there is nothing to refund, and what to do instead.
    """
    text, fix = _NOT_SETTLED[hold.state]
    details = {"hold_id": hold.id, "state": hold.state, "fix": fix.format(hold.id)}
    return Rejected("hold_closed", text, details)


_SETTLE_IT: Final = "outlay settle {} USD --reason TEXT"
_NOT_SETTLED: Final[Mapping[str, tuple[str, str]]] = {
    "open": ("the call is in flight: what it costs is not known yet", "refund it when it has ended"),
    "expired": (
        "what the call cost is not known: its hold expired and is booked at the most that it could cost",
        f"book what the provider billed, 0 for nothing, which gives the rest back: {_SETTLE_IT}",
    ),
    "released": (
        "nothing was charged: the hold was given back",
        f"nothing is left to do; if the provider did bill it: {_SETTLE_IT}",
    ),
}


def set_budget(
    app: App,
    tenant: str,
    limit: str,
    *,
    window: str = "day",
    scope: str = "tenant",
    until: str | None = None,
    counts: str | None = None,
    reason: str = "",
    idempotency_key: str | None = None,
    actor: str,
) -> dict[str, Any]:
    """
    Set the limit of a scope and window, at once; lowered below what is spent it only refuses new work.

    Args:
        limit: USD; "none" is no limit, "0" lets nothing be spent.
        until: Date or time at which the standing limit returns, in the tenant's zone; None sets that one.
        counts: "charge" (what the tenant pays) or "cost" (what the provider bills); a budget keeps it.
    Returns:
        tenant, window, scope, limit_usd, limit_before_usd, until, replayed; and `counts_from`, where the
        budget was set within the window that runs: what was held before in it does not count.
    """
    order = _BudgetOrder(app, tenant, limit, window, scope, until, reason, idempotency_key, actor)
    order.counts = None if counts is None else fields.choice(counts, "counts", COUNTS_NAMES)
    with translated(), app.reading() as connection:
        _check_scope(app, connection, order)
    return order.carry_out()


def raise_budget(
    app: App,
    tenant: str,
    limit: str,
    *,
    until: str,
    window: str = "day",
    scope: str = "tenant",
    reason: str = "",
    idempotency_key: str | None = None,
    actor: str,
) -> dict[str, Any]:
    """
    Set a higher limit until an instant, after which the standing one returns.

    Raises:
        BadInput: The limit is not above the one in force, or there is none to raise.
    """
    if until is None:
        raise BadInput("until", None, "missing", "Say when the standing limit returns.")
    order = _BudgetOrder(app, tenant, limit, window, scope, until, reason, idempotency_key, actor)
    with translated(), app.reading() as connection:
        _check_scope(app, connection, order)
        if first_order(connection, order.row.tenant, order.key) is None:  # else the answer is as it was
            _check_higher(connection, order, limit)
    return order.carry_out()


class _BudgetOrder:
    """
    The fields of a budget order, read and checked; nothing is written before `carry_out`.
    """

    def __init__(
        self,
        app: App,
        tenant: str,
        limit: str,
        window: str,
        scope: str,
        until: str | None,
        reason: str,
        idempotency_key: str | None,
        actor: str,
    ) -> None:
        self.app, self.until, self.at_us = app, until, now_us()
        self.limit_nanos = fields.limit(limit, "limit")
        self.window = fields.choice(window, "window", WINDOW_NAMES)
        self.scope = _scope(scope)
        self.reason, self.actor = fields.reason(reason), fields.word(actor, "actor")
        self.row = account(app, tenant)
        self.key = order_key(idempotency_key, self.at_us)
        self.counts: str | None = None
        self._order(self.row.timezone)  # a date that cannot be read is told before anything else

    def carry_out(self) -> dict[str, Any]:
        """
        Set the budget.
        """
        with _future("until", self.until):
            _, result = carry_out_dated(self.app, self.row, self._order, BudgetSet)
        return {
            "tenant": self.row.tenant,
            "window": result.window,
            "scope": result.scope,
            "limit_usd": usd(result.limit_nanos),
            "limit_before_usd": usd(result.limit_before_nanos),
            "until": instant_text(result.valid_until_us, self.row.timezone),
            "counts_from": instant_text(self._counts_from_us(), self.row.timezone),
            "replayed": result.replayed,
        }

    def _counts_from_us(self) -> int | None:
        subject = budget_subject(self.scope, WINDOW_NAMES.index(self.window))
        with translated(), self.app.reading() as connection:
            since, gauge = budgets_since(connection, self.row.tenant, subject), _gauge(connection, self)
        assert gauge is not None, "it was set"
        starts_us = max(gauge.starts_us, self.row.opened_us)
        return counts_from_us(since, self.scope, self.window, starts_us)

    def _order(self, zone: str) -> SetBudget:
        until_us = None if self.until is None else fields.instant_us(self.until, "until", zone)
        return SetBudget(
            self.row.tenant, self.key, self.at_us, self.limit_nanos, self.scope, self.window, until_us,
            self.actor, self.reason, self.counts,
        )  # fmt: skip


def _scope(value: object) -> str:
    if value == "tenant":
        return "tenant"
    found = fields.word(value, "scope")
    if not found.startswith(_SCOPES) or found.endswith(":"):
        raise BadInput("scope", value, "not a scope", SCOPE_RULE)
    if found.startswith("tag:") and "=" not in found:
        raise BadInput("scope", value, "names no value of the tag, so it would limit nothing", SCOPE_RULE)
    return canonical(found)


def _check_scope(app: App, connection: Connection, order: _BudgetOrder) -> None:
    """
    Refuse a budget for a key that the tenant does not have: it would limit nothing.
    """
    kind, _, key_id = order.scope.partition(":")
    if kind != "key":
        return
    key = app.keys.get(connection, key_id)
    if key is None or key.tenant != order.row.tenant:
        fix = f"Use the id of a key: outlay key list --tenant {order.row.tenant}."
        raise BadInput("scope", order.scope, "the tenant has no such key", fix)


def _check_higher(connection: Connection, order: _BudgetOrder, limit: str) -> None:
    now = _gauge(connection, order)
    if now is None or now.limit_nanos is None:
        raise BadInput("limit", limit, "there is no limit to raise", "Set one with: outlay budget set.")
    if order.limit_nanos is not None and order.limit_nanos <= now.limit_nanos:
        fix = f"The limit in force is {usd(now.limit_nanos)} USD; lower it with: outlay budget set."
        raise BadInput("limit", limit, "not above the limit in force", fix)


def _gauge(connection: Connection, order: _BudgetOrder) -> Gauge | None:
    gauges = reads.gauges(connection, order.row.tenant, (order.scope,), order.at_us)
    wanted = (order.scope, order.window)
    return next((gauge for gauge in gauges if (gauge.scope, gauge.window) == wanted), None)


class _future:  # noqa: N801 - reads as the word it is in a with statement
    """
    Name the operator's own field where the ledger refuses an instant that has passed.

    The ledger decides, not this module: a repeated order keeps its answer also after that instant.
    """

    def __init__(self, field: str, value: str | None, effective: str | None = None) -> None:
        self._field, self._value, self._effective = field, value, effective

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, Rejected) or error.details.get("field") not in (
            "expires_us",
            "valid_until_us",
        ):
            return
        if self._effective is None or int(str(error.details["value"])) <= now_us():
            raise fields.passed(self._field, self._value) from error
        said = f"is not after effective ({self._effective}): the credit would end before it begins"
        fix = f"Give expires after {self._effective}, or leave effective out: it is credit at once then."
        raise BadInput(self._field, self._value, said, fix) from error


def balance(app: App, tenant: str, *, at: str | None = None) -> dict[str, Any]:
    """
    Return a tenant's credit, what is held of it, its debt, its budgets, and whether it is halted; with `at`
    its money as of a past instant.
    """
    halts = halted_by(app)
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant)
        if at is not None:
            return _past(connection, row, at)
        mode = app.policies.applied(connection, row.tenant).policy.enforcement.mode
        found = balance_dict(connection, row.tenant, now_us())
    return {**found, "halted": is_halted(halts, row.tenant), "enforcement": mode}


def _past(connection: Connection, row: AccountRow, at: str) -> dict[str, Any]:
    """
    Return a balance of the past; what was held is not known (null) where holds of that time are archived.
    """
    at_us = fields.instant_us(at, "at", row.timezone)
    if at_us > now_us():
        raise BadInput("at", at, "is in the future", "Give an instant that has passed.")
    found = balance_at(connection, row.tenant, at_us)
    free = None if found.held_nanos is None else found.credit_nanos - found.held_nanos
    return {
        "tenant": row.tenant,
        "at": instant_text(at_us, row.timezone),
        "credit_usd": usd(found.credit_nanos),
        "held_usd": usd(found.held_nanos),
        "available_usd": usd(free),
        "debt_usd": usd(found.debt_nanos),
    }
