"""
Money: `outlay topup`, `refund`, `settle`, `balance`, `statement`, `budget list|set|raise`.
"""

from decimal import Decimal
from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command, in_pairs
from outlay.cli.output import Pairs, describe, table, to_csv
from outlay.cli.params import Csv, Limit, Once, Reason, Since, Tenant, Until, Usd

group = typer.Typer(help="Budgets: limits per window, for a while or for good.")

Window = Annotated[str, typer.Option("--window", metavar="WINDOW", help="hour, day, week or month.")]
Scope = Annotated[str, typer.Option("--scope", metavar="SCOPE", help="tenant, or a part such as task:NAME.")]
_UNTIL = typer.Option("--until", metavar="DATE", help="When the old limit holds again.")
Kind = Annotated[str, typer.Option("--kind", metavar="KIND", help="paid or promo.")]
Expires = Annotated[str | None, typer.Option("--expires", metavar="DATE", help="When unused credit ends.")]
Effective = Annotated[
    str | None, typer.Option("--effective", metavar="DATE", help="No credit before this; now.")
]
Priority = Annotated[int, typer.Option("--priority", metavar="N", help="Lower is spent earlier.")]
NO_LIMIT = "none"
Counts = Annotated[
    str | None, typer.Option("--counts", metavar="WHAT", help="charge or cost; of a new budget.")
]
LimitUsd = Annotated[str, typer.Argument(metavar="USD", help='Limit in USD; "none" is no limit.')]

_AGAIN = "A wrong cost is settled again, up or down: outlay settle {hold} USD --reason TEXT"
_USED = (
    "{refund_used_usd} USD of what was refunded count as given back by this; if the good will still "
    "holds: outlay refund {hold} --amount {refund_used_usd} --reason TEXT"
)
_BUDGETS = (
    "scope", "window", "limit_usd", "counts", "spent_usd", "held_usd", "left_usd", "raised_until", "timezone",
    "resets_at",
)  # fmt: skip
_SHOWN = ("at", "kind", "amount_usd", "change_usd", "balance_usd")
_OF_DEBT = ("debt_change_usd", "debt_usd")
_WHO = ("hold", "actor", "reason")
_ENDS = ("opening_usd", "closing_usd")
_COLUMNS = (
    "transfer", "at", "kind", "debit", "credit", "amount_usd", "change_usd", "balance_usd", "charge_usd",
    "cost_usd", "hold", "key", "actor", "reason", *_OF_DEBT,
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    for body in (topup, refund, settle, balance, statement):
        command(app, body.__name__)(body)
    app.add_typer(group, name="budget")


def topup(
    common: Common, tenant: Tenant, amount: Usd, kind: Kind = "paid", expires: Expires = None,
    effective: Effective = None, priority: Priority = 0, idempotency_key: Once = None, reason: Reason = "",
) -> Answer:  # fmt: skip
    """Add credit to a tenant."""
    from outlay.admin.common import account
    from outlay.admin.money import top_up

    with common.opened() as app:
        done = top_up(
            app, tenant, amount, kind=kind, expires=expires, effective=effective, priority=priority,
            idempotency_key=idempotency_key, reason=reason, actor=common.actor,
        )  # fmt: skip
        frozen = account(app, tenant).frozen
    later = done["effective_at"]
    said = f"{amount} USD is scheduled: it is credit from {later} on, and not in credit_usd before."
    stops = f"{tenant} is frozen: its calls are refused until: outlay tenant set {tenant} --active"
    return in_pairs(done, *([said] if later is not None else ()), *([stops] if frozen else ()))


def refund(
    common: Common,
    hold: Annotated[str, typer.Argument(metavar="HOLD_ID", help="Id of the hold; also of its decision.")],
    amount: Annotated[str | None, typer.Option("--amount", metavar="USD", help="Part of the charge.")] = None,
    idempotency_key: Once = None,
    reason: Reason = "",
) -> Answer:
    """Give back what a call was charged, or a part of it."""
    from outlay.admin.money import refund as give_back

    with common.opened() as app:
        result = give_back(
            app, hold, amount=amount, idempotency_key=idempotency_key, reason=reason, actor=common.actor
        )
    return in_pairs(result)


def settle(
    common: Common,
    hold: Annotated[str, typer.Argument(metavar="HOLD_ID", help="Id of the hold; also of its decision.")],
    cost: Annotated[str, typer.Argument(metavar="USD", help="What the provider billed; 0 for nothing.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Where the truth is from.")],
    yes: Annotated[bool, typer.Option("--yes", help="Also far above what it could cost.")] = False,
    idempotency_key: Once = None,
) -> Answer:
    """Book what the provider billed for a call that has ended, above or below what is booked."""
    from outlay.admin.captured import settle as tell

    with common.opened() as app:
        done = tell(
            app, hold, cost, reason=reason, confirmed=yes, idempotency_key=idempotency_key,
            actor=common.actor,
        )  # fmt: skip
    used = () if done["refund_used_usd"] == "0.00" else (_USED.format_map(done),)
    return in_pairs(done, *used, _AGAIN.format_map(done))


def balance(
    common: Common,
    tenant: Tenant,
    at: Annotated[str | None, typer.Option("--at", metavar="DATE", help="As it was then.")] = None,
) -> Answer:
    """Show a tenant's credit and what is left of its day, or what they were."""
    from outlay.admin.money import balance as read
    from outlay.reports_observed import BOOKED

    with common.opened() as app:
        found = read(app, tenant, at=at)
    observed = (f"Observe mode: {BOOKED}.",) if found.get("enforcement") == "observe" else ()
    return Answer(found, (*describe(found), *observed))


def statement(
    common: Common, tenant: Tenant, since: Since = None, until: Until = None, limit: Limit = None,
    as_csv: Csv = False,
) -> Answer:  # fmt: skip
    """List what moved a tenant's credit."""
    from outlay.admin.statements import statement as read

    with common.opened() as app:
        found = read(app, tenant, since=since, until=until, limit=limit)
    lines = found["lines"]
    owed = any(Decimal(line[name]) != 0 for line in lines for name in _OF_DEBT)
    names = (*_ENDS, "opening_debt_usd", "closing_debt_usd") if owed else _ENDS
    ends = Pairs(tuple((name, found[name]) for name in names))
    columns = (*_SHOWN, *(_OF_DEBT if owed else ()), *_WHO)
    shown = table(lines, columns, "Nothing moved in this time.")
    return Answer(found, (shown, ends), plain=to_csv(_COLUMNS, lines) if as_csv else None)


@command(group, "list")
def list_all(common: Common, tenant: Tenant) -> Answer:
    """List a tenant's budgets with what is spent, held and left of each."""
    from outlay.admin.budgets import list_budgets

    with common.opened() as app:
        found = list_budgets(app, tenant)
    rows = [_budget(row) for row in found["budgets"]]
    midway = any(row["counts_from"] is not None for row in rows)
    shown = table(
        rows,
        (*_BUDGETS, *(("counts_from",) if midway else ())),
        "No budgets: only the credit bounds what is spent.",
    )
    moves = any(row["next_timezone"] is not None for row in rows)
    said = f"A window ends in the zone in which it began; {found['timezone']} holds from resets at on."
    return Answer(found, (shown, *([said] if moves else ())))


def _budget(row: dict[str, Any]) -> dict[str, Any]:
    """Write no limit as the word that sets it, and the name of a key beside its id."""
    scope = row["scope"] if row["name"] is None else f'{row["scope"]} "{row["name"]}"'
    then = "" if row["next_timezone"] is None else f", then {row['next_timezone']}"
    return {
        **row,
        "scope": scope,
        "limit_usd": row["limit_usd"] or NO_LIMIT,
        "timezone": f"{row['timezone']}{then}",
    }


def _limited(done: dict[str, Any]) -> Answer:
    """Answer with no limit as the word that sets it, and with what a new budget does not count."""
    limits = {name: done[name] or NO_LIMIT for name in ("limit_usd", "limit_before_usd")}
    since = done["counts_from"]
    said = f"It counts from {since} on: what was held before in this {done['window']} is not in it."
    return Answer(done, (Pairs(tuple({**done, **limits}.items())), *([said] if since is not None else ())))


@command(group, "set")
def set_limit(
    common: Common, tenant: Tenant, limit: LimitUsd, window: Window = "day", scope: Scope = "tenant",
    until: Annotated[str | None, _UNTIL] = None, counts: Counts = None, idempotency_key: Once = None,
    reason: Reason = "",
) -> Answer:  # fmt: skip
    """Set the limit of a window, for good or until a date."""
    from outlay.admin.money import set_budget

    with common.opened() as app:
        result = set_budget(
            app, tenant, limit, window=window, scope=scope, until=until, counts=counts,
            idempotency_key=idempotency_key, reason=reason, actor=common.actor,
        )  # fmt: skip
    return _limited(result)


@command(group, "raise")
def raise_limit(
    common: Common, tenant: Tenant, limit: LimitUsd, until: Annotated[str, _UNTIL], window: Window = "day",
    scope: Scope = "tenant", idempotency_key: Once = None, reason: Reason = "",
) -> Answer:  # fmt: skip
    """Raise the limit of a window for a while."""
    from outlay.admin.money import raise_budget

    with common.opened() as app:
        result = raise_budget(
            app, tenant, limit, until=until, window=window, scope=scope,
            idempotency_key=idempotency_key, reason=reason, actor=common.actor,
        )  # fmt: skip
    return _limited(result)
