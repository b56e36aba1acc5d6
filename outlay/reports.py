"""
The overview of spending, of one tenant or of all: what the first page of the dashboard shows.

Read models only: one consistent reading of ledger, decision log, policy and circuit, as plain values.
Money stays integer nano-USD and instants microseconds; formatting is the edge's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from circuit.breaker import shown_state
from circuit.types import GLOBAL, BreakerState, State, Switch, is_model_scope, tenant_scope
from ledger import reads
from outlay import reports_calls, reports_money, tallies
from outlay.clock import now_us as clock_us
from outlay.errors import translated
from outlay.reports_budgets import BudgetLine, all_budgets
from outlay.reports_calls import Count, Savings, TierSpend
from outlay.reports_money import BurnPoint, Credits, TenantRow
from outlay.reports_observed import Observed, observed
from outlay.reports_pace import PaceReport, pace_report
from outlay.reports_periods import Period, Span
from outlay.reports_standing import STOPS_OBSERVED, Guards, guards
from outlay.tables import EVERYBODY, degradation

if TYPE_CHECKING:
    from outlay.wiring import App
    from router.policy_model import Policy, Step

ALL_ZONE: Final = "UTC"
"""Zone of reports about all tenants, whose days differ."""


@dataclass(frozen=True, slots=True)
class Band:
    """
    A stretch of the remaining share in which the same degradation holds.

    Attributes:
        level: Number of active steps; 0 serves what is asked.
        low_ratio, high_ratio: From (included) and to (excluded).
        text: What the band changes, in a few words.
    """

    level: int
    low_ratio: float
    high_ratio: float
    text: str


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """
    The policy that holds for a tenant, as far as the overview shows it.
    """

    tenant: str
    version: int
    enforcement: str
    tiers: tuple[str, ...]
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """
    Everything that the overview shows, as of one instant.

    Attributes:
        tenant: None means all tenants together.
        tenants: The tenant itself, or every tenant.
        credits: Sum over `tenants`.
        spent_today_nanos: Sum over `tenants`, each in its own day.
        low_budgets: Budgets on all calls of a tenant with less than `LOW_RATIO` left.
        level: Degradation steps active at the tenant's last call; None for all tenants and before one.
        pace: The tenant's day against its usual curve.
        budgets: Every budget of the tenant; empty for all tenants.
        observed: What enforcement would have done; None where the policy enforces.
        burn: Burn-down of the tenant's day; empty without a limit and for all tenants.
        switches: Kill switches that are halted now.
        breakers: Breakers that are not closed, expired cooldowns included until the next call.
    """

    tenant: str | None
    now_us: int
    period: Period
    tenants: tuple[TenantRow, ...]
    credits: Credits
    spent_today_nanos: int
    low_budgets: int
    policy: PolicyInForce
    level: int | None
    burn: tuple[BurnPoint, ...]
    spend: tuple[TierSpend, ...]
    outcomes: tuple[Count, ...]
    refusals: tuple[Count, ...]
    savings: Savings
    downgrades: tuple[Count, ...]
    switches: tuple[Switch, ...]
    breakers: tuple[BreakerState, ...]
    pace: PaceReport | None = None
    budgets: tuple[BudgetLine, ...] = ()
    observed: Observed | None = None


def tenant_zones(app: "App") -> Mapping[str, str]:
    """
    Return the time zone of each tenant, by its name; the names are sorted.
    """
    with translated(), app.reading() as conn:
        return {row.tenant: row.timezone for row in reads.tenants(conn)}


def overview(
    app: "App", tenant: str | None = None, *, span: Span | None = None, now_us: int | None = None
) -> Overview | None:
    """
    Return the overview of a tenant, or of all tenants; None where the tenant does not exist.

    Args:
        span: How far back it looks; None chooses what shows the traffic best.
    """
    now = clock_us() if now_us is None else now_us
    switches, breakers = _standing(app, tenant, now)
    with translated(), app.reading() as conn:
        rows = _rows(app, conn, tenant, now, guards(switches, breakers))
        if tenant is not None and not rows:
            return None
        zone = rows[0].timezone if tenant is not None else ALL_ZONE
        seen = reports_calls.seen_period(conn, tenant, span, zone, now)
        force = _policy(app, conn, tenant)
        counted = tallies.of_period(conn, seen, tenant)
        return Overview(
            tenant=tenant,
            now_us=now,
            period=seen,
            tenants=rows,
            credits=_credits(rows),
            spent_today_nanos=sum(row.day.spent_nanos for row in rows if row.day is not None),
            low_budgets=sum(row.low_budgets for row in rows),
            policy=force,
            level=_level(conn, tenant),
            burn=_burn(conn, rows[0], seen, now) if tenant is not None else (),
            spend=reports_calls.tier_spend(counted),
            outcomes=reports_calls.outcomes(counted),
            refusals=reports_calls.refusals(conn, seen, tenant),
            savings=reports_calls.savings(counted, force.tiers),
            downgrades=reports_calls.downgrades(counted, force.tiers),
            switches=switches,
            breakers=breakers,
            pace=_pace(app, conn, rows[0], now) if tenant is not None else None,
            budgets=_budgets(app, conn, tenant, now) if tenant is not None else (),
            observed=observed(conn, seen, tenant) if force.enforcement == "observe" else None,
        )


def halted(app: "App", tenant: str | None) -> Switch | None:
    """
    Return the kill switch of a tenant, or of all, where it is thrown now; None where it is not.
    """
    scope = GLOBAL if tenant is None else tenant_scope(tenant)
    with translated():
        switches = app.circuit.standing((scope,)).switches
    return next((switch for switch in switches if switch.halted), None)


def tenants(app: "App", *, now_us: int | None = None) -> tuple[TenantRow, ...]:
    """
    Return every tenant with credits and day, by name.
    """
    now = clock_us() if now_us is None else now_us
    switches, breakers = _standing(app, None, now)
    with translated(), app.reading() as conn:
        return _rows(app, conn, None, now, guards(switches, breakers))


def budgets(app: "App", tenant: str, *, now_us: int | None = None) -> tuple[BudgetLine, ...]:
    """
    Return every budget of a tenant: on all its calls, then on those of a key, a task, a user or a tag.
    """
    now = clock_us() if now_us is None else now_us
    with translated(), app.reading() as conn:
        return _budgets(app, conn, tenant, now)


def statement(
    app: "App", tenant: str, *, limit: int = 100, before_seq: int | None = None, calls: bool = True
) -> tuple[reports_money.Line, ...]:
    """
    Return the latest lines of a tenant's statement, newest first (see `reports_money.statement_lines`).
    """
    with translated(), app.reading() as conn:
        return reports_money.statement_lines(conn, tenant, limit=limit, before_seq=before_seq, calls=calls)


def bands(policy: "Policy") -> tuple[Band, ...]:
    """
    Return the bands of the remaining share that the steps of a policy make, the fullest first.
    """
    steps = policy.degradation.steps if policy.degradation.mode != "off" else ()
    found = []
    high, text = 1.0, "as asked"
    for level, step in enumerate(steps):
        found.append(Band(level, step.below, high, text))
        high, text = step.below, step_text(step)
    return (*found, Band(len(steps), 0.0, high, text))


def step_text(step: "Step") -> str:
    """
    Say in a few words what a degradation step changes.
    """
    parts = [f"{source} → {target}" for source, target in step.map.items()]
    if step.max_tier is not None:
        parts.append(f"{step.max_tier} at most")
    if step.effort is not None:
        parts.append(f"effort {step.effort}")
    if step.max_tokens is not None:
        parts.append(f"{step.max_tokens} tokens")
    if step.only is not None:
        parts.append(f"only {', '.join(step.only)}")
    return ", ".join(parts)


def _standing(
    app: "App", tenant: str | None, now_us: int
) -> tuple[tuple[Switch, ...], tuple[BreakerState, ...]]:
    """Read what is halted or not closed, and has to do with the tenant; models concern everybody."""

    def concerns(scope: str) -> bool:
        return tenant is None or scope in (GLOBAL, tenant_scope(tenant)) or is_model_scope(scope)

    with translated():
        standing = app.circuit.standing()
    thrown = tuple(switch for switch in standing.switches if switch.halted and concerns(switch.scope))
    shown = (replace(b, state=shown_state(b, now_us)) for b in standing.breakers if concerns(b.scope))
    return thrown, tuple(breaker for breaker in shown if breaker.state is not State.CLOSED)


def _rows(
    app: "App", conn: Connection, tenant: str | None, now_us: int, seen: Guards
) -> tuple[TenantRow, ...]:
    if tenant is None:
        rows = reports_money.tenant_rows(conn, now_us, seen)
    else:
        row = reports_money.tenant_row(conn, tenant, now_us, seen)
        rows = () if row is None else (row,)
    return tuple(_observed(app, conn, row) for row in rows)


def _observed(app: "App", conn: Connection, row: TenantRow) -> TenantRow:
    """Tell apart what stops no call of a tenant that is only observed: money and its spend breaker."""
    standing = tuple(stop for stop in row.stops if stop.obstacle in STOPS_OBSERVED)
    if standing == row.stops and row.tight is None:
        return row
    mode = app.policies.applied(conn, row.tenant).policy.enforcement.mode
    if mode != "observe":
        return row
    observed = tuple(stop for stop in row.stops if stop not in standing)
    return replace(row, stops=standing, tight=None, observed=observed)


def _credits(rows: Sequence[TenantRow]) -> Credits:
    return Credits(
        credit_nanos=sum(row.credits.credit_nanos for row in rows),
        held_nanos=sum(row.credits.held_nanos for row in rows),
        available_nanos=sum(row.credits.available_nanos for row in rows),
        debt_nanos=sum(row.credits.debt_nanos for row in rows),
    )


def _policy(app: "App", conn: Connection, tenant: str | None) -> PolicyInForce:
    applied = app.policies.applied(conn, tenant or EVERYBODY)
    policy = applied.policy
    return PolicyInForce(
        applied.tenant, applied.version, policy.enforcement.mode, policy.tier_names, bands(policy)
    )


def _level(conn: Connection, tenant: str | None) -> int | None:
    query = sa.select(degradation.c.level).where(degradation.c.tenant == tenant)
    return conn.execute(query).scalar() if tenant is not None else None


def _pace(app: "App", conn: Connection, row: TenantRow, now_us: int) -> PaceReport | None:
    account = reads.standing(conn, row.tenant, (), now_us)[0]
    policy = app.policies.applied(conn, row.tenant).policy
    return None if account is None else pace_report(conn, row, policy, account.multiplier_ppm, now_us)


def _budgets(app: "App", conn: Connection, tenant: str, now_us: int) -> tuple[BudgetLine, ...]:
    return all_budgets(conn, tenant, now_us, {key.id: key.name for key in app.keys.list(conn, tenant)})


def _burn(conn: Connection, row: TenantRow, seen: Period, now_us: int) -> tuple[BurnPoint, ...]:
    if row.day is None:
        return ()
    from_us = row.day.starts_us if seen.grain != "step" else seen.from_us
    return reports_money.burn_down(conn, row.tenant, row.day, from_us, now_us)
