"""
Tenants: created whole (account, budget, credit and key in one transaction), listed, shown, changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from circuit.types import GLOBAL, tenant_scope
from ledger import reads
from ledger.read_models import AccountRow
from ledger.rows import COUNTS_NAMES, OVERAGE_NAMES
from ledger.types import AccountOpened, AccountSet, Attachment, Gauge, OpenAccount, SetAccount
from outlay import fields
from outlay.admin.common import account, carry_out, known_tenant, order_key, unknown_tenant
from outlay.admin.keys import key_dict
from outlay.clock import now_us
from outlay.errors import BadInput, translated
from outlay.fields import instant_text, usd
from outlay.keys_sql import new_key
from outlay.tables import EVERYBODY, api_key
from outlay.wiring import App
from router.types import Rights


def create_tenant(
    app: App,
    tenant: str,
    *,
    credit: str = "0",
    daily_budget: str | None = None,
    timezone: str | None = None,
    multiplier: str = "1",
    actor: str,
) -> dict[str, Any]:
    """
    Create a tenant with its credit, its day budget and its first key.

    All of it is one transaction: after a crash there is either the whole tenant or none. Only the secret of
    the key is lost with an answer that never arrived: make another key then.

    Args:
        credit: Opening credit in USD.
        daily_budget: Limit of the day in USD, "none" for no limit; None takes the policy's `[budget]`.
        timezone: Zone whose midnight starts the day; None takes the policy's `[budget]`.
        multiplier: What the tenant pays per cost of the provider.
    Returns:
        tenant, key (the secret, shown once), key_id, credit_usd, daily_budget_usd, timezone, multiplier.
    """
    asked = new_tenant(
        tenant, credit=credit, daily_budget=daily_budget, timezone=timezone, multiplier=multiplier,
        actor=actor,
    )  # fmt: skip
    return open_tenant(app, asked)


@dataclass(frozen=True, slots=True)
class NewTenant:
    """
    A tenant that can be created, as far as that can be said without books.

    Attributes:
        limit_nanos: Of the day; None for no limit, counts only where `limited`.
        limited: The limit was given; else the policy's holds.
        zone: None takes the policy's.
    """

    name: str
    credit_nanos: int
    limit_nanos: int | None
    limited: bool
    zone: str | None
    multiplier_ppm: int
    actor: str


def new_tenant(
    tenant: str,
    *,
    credit: str,
    daily_budget: str | None,
    timezone: str | None,
    multiplier: str,
    actor: str,
) -> NewTenant:
    """
    Read what `create_tenant` is given, before any books are made for it.
    """
    return NewTenant(
        name=fields.tenant_name(tenant),
        actor=fields.word(actor, "actor"),
        credit_nanos=fields.money(credit, "credit"),
        multiplier_ppm=fields.multiplier_ppm(multiplier),
        limit_nanos=None if daily_budget is None else fields.limit(daily_budget, "daily_budget"),
        limited=daily_budget is not None,
        zone=None if timezone is None else fields.timezone(timezone),
    )


def open_tenant(app: App, asked: NewTenant) -> dict[str, Any]:
    """
    Create a tenant that was read.
    """
    name, actor, at_us = asked.name, asked.actor, now_us()
    limit_nanos, zone = _day_of(app, asked)
    key = new_key(tenant=name, role="tenant", name="first key", rights=Rights(), actor=actor, now_us=at_us)
    ppm, credit_nanos = asked.multiplier_ppm, asked.credit_nanos
    op = OpenAccount(name, order_key(None, at_us), at_us, zone, credit_nanos, limit_nanos, actor, ppm)
    carry_out(app, op, AccountOpened, [Attachment(api_key, key.values)])
    return {
        "tenant": name,
        "key": key.secret,
        "key_id": key.key.id,
        "credit_usd": usd(credit_nanos),
        "daily_budget_usd": usd(limit_nanos),
        "timezone": zone,
        "multiplier": fields.ppm_text(ppm),
    }


def _day_of(app: App, asked: NewTenant) -> tuple[int | None, str]:
    """
    Return the limit and the zone of a new tenant's day: as given, else as the policy for everybody says.
    """
    if asked.limited and asked.zone is not None:
        return asked.limit_nanos, asked.zone
    with translated(), app.reading() as connection:
        budget = app.policies.applied(connection, EVERYBODY).policy.budget
    limit_nanos = asked.limit_nanos if asked.limited else budget.daily_nanos
    return limit_nanos, budget.timezone if asked.zone is None else asked.zone


def list_tenants(app: App) -> dict[str, Any]:
    """
    Return every tenant with its balance, by name.
    """
    at_us, halts = now_us(), halted_by(app)
    with translated(), app.reading() as connection:
        rows = sorted(reads.tenants(connection), key=lambda row: row.tenant)  # alike on both engines
        return {"tenants": [_listed(connection, row, halts, at_us) for row in rows]}


def _listed(connection: Connection, row: AccountRow, halts: Mapping[str, str], at_us: int) -> dict[str, Any]:
    return {
        **balance_dict(connection, row.tenant, at_us),
        "timezone": row.timezone,
        "halted": is_halted(halts, row.tenant),
    }


def is_halted(halts: Mapping[str, str], tenant: str) -> bool:
    """
    Tell whether a kill switch stops a tenant: its own, or the one for everybody.
    """
    return GLOBAL in halts or tenant_scope(tenant) in halts


def halted_by(app: App) -> Mapping[str, str]:
    """
    Return the scopes whose kill switch is thrown, each with its reason.
    """
    with translated():
        return {switch.scope: switch.reason for switch in app.circuit.standing().switches if switch.halted}


def show_tenant(app: App, tenant: str) -> dict[str, Any]:
    """
    Return a tenant's balance, settings, the policy in force for it, and its keys.
    """
    at_us, halts = now_us(), halted_by(app)
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant)
        applied = app.policies.applied(connection, row.tenant)
        keys = app.keys.list(connection, row.tenant)
        shown = _listed(connection, row, halts, at_us)
    owner = None if applied.tenant == EVERYBODY else applied.tenant
    return {
        **shown,
        "multiplier": fields.ppm_text(row.multiplier_ppm),
        "overage": row.overage,
        "opened_at": instant_text(row.opened_us, row.timezone),
        "policy": {"tenant": owner, "version": applied.version},
        "keys": [key_dict(key, row.timezone) for key in keys],
    }


def set_tenant(
    app: App,
    tenant: str,
    *,
    timezone: str | None = None,
    multiplier: str | None = None,
    frozen: bool | None = None,
    overage: str | None = None,
    reason: str = "",
    actor: str,
) -> dict[str, Any]:
    """
    Change settings of a tenant; None leaves one as it is.

    Args:
        timezone: Applies from the next boundary of each budget, so that no day is given twice.
        frozen: Refuse every call of the tenant.
        overage: Who bears cost above a hold that credit cannot pay: "debt" (the tenant) or "absorb".
    Returns:
        The tenant as shown by `show_tenant`, and `timezone_from` where the zone changes later.
    """
    reason, actor = fields.reason(reason), fields.word(actor, "actor")
    if (timezone, multiplier, frozen, overage) == (None, None, None, None):
        fix = "Name at least one of timezone, multiplier, frozen, overage."
        raise BadInput("settings", None, "nothing to change", fix)
    zone = None if timezone is None else fields.timezone(timezone)
    ppm = None if multiplier is None else fields.multiplier_ppm(multiplier)
    freeze = None if frozen is None else fields.flag(frozen, "frozen")
    bears = None if overage is None else fields.choice(overage, "overage", OVERAGE_NAMES)
    row, at_us = account(app, tenant), now_us()
    op = SetAccount(row.tenant, order_key(None, at_us), at_us, freeze, zone, ppm, bears, actor, reason)
    result = carry_out(app, op, AccountSet)
    since = instant_text(result.timezone_from_us, result.timezone)
    return {**show_tenant(app, row.tenant), "timezone_from": since}


def balance_dict(connection: Connection, tenant: str, at_us: int) -> dict[str, Any]:
    """
    Return a tenant's money as of now: credit, day budget, every other budget.
    """
    found = reads.balance(connection, tenant, at_us)
    if found is None:
        raise unknown_tenant(tenant, [row.tenant for row in reads.tenants(connection)])
    row = found.account
    others = [gauge for gauge in found.gauges if gauge.window and gauge.name != "tenant/day"]
    return {
        "tenant": row.tenant,
        "credit_usd": usd(row.credit_nanos),
        "held_usd": usd(row.held_nanos),
        "available_usd": usd(row.available_nanos),
        "debt_usd": usd(row.debt_nanos),
        "frozen": row.frozen,
        "day": None if found.day is None else _gauge(found.day, row.timezone),
        "budgets": [{"scope": g.scope, "window": g.window, **_gauge(g, row.timezone)} for g in others],
    }


def _gauge(gauge: Gauge, zone: str) -> dict[str, Any]:
    return {
        "limit_usd": usd(gauge.limit_nanos),
        "spent_usd": usd(gauge.spent_nanos),
        "held_usd": usd(gauge.held_nanos),
        "overage_usd": usd(gauge.overage_nanos),
        "counts": COUNTS_NAMES[gauge.counts_cost],
        "remaining_ratio": remaining_ratio(gauge),
        "resets_at": instant_text(gauge.resets_us, zone),
    }


def remaining_ratio(gauge: Gauge) -> float | None:
    """
    Return the share of a limit that is neither spent nor held; None without a limit, 0 for a limit of 0.
    """
    if gauge.limit_nanos is None:
        return None
    left = max(0, gauge.limit_nanos - gauge.spent_nanos - gauge.held_nanos)
    return round(left / gauge.limit_nanos, 6) if gauge.limit_nanos > 0 else 0.0
