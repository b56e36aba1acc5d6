"""
Read model about what stands in the way of a tenant's calls: who or what lets none pass, and until when.

Of money it says what is certain: an empty purse, a window with nothing left. Whether a single call fits into
what is left is decided for each call.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from circuit.types import FOREVER_US, GLOBAL, BreakerState, State, Switch, tenant_scope
from ledger import tables
from ledger.rows import COUNTS_COST, COUNTS_NAMES
from outlay.reports_budgets import BudgetLine
from outlay.reports_periods import DAY_US, MINUTE_US
from outlay.tables import decision, refusal_count
from pricing.money import parse_usd


class Obstacle(StrEnum):
    """
    Why no call of a tenant passes, in the order in which a call meets it.
    """

    ALL_HALTED = "all_halted"
    HALTED = "halted"
    BREAKER_OPEN = "breaker_open"
    FROZEN = "frozen"
    IN_DEBT = "in_debt"
    NO_CREDIT = "no_credit"
    BUDGET_USED_UP = "budget_used_up"


_REFUSAL: Final = (decision.c.tenant, decision.c.at_us, decision.c.code, decision.c.reasons)
_MONEY_CODES: Final = ("outlay_credit_exhausted", "outlay_daily_budget_reached", "outlay_priority_refused")
USUAL_MAX: Final = 100
OFTEN: Final = 3
STOPS_OBSERVED: Final = frozenset({Obstacle.ALL_HALTED, Obstacle.HALTED, Obstacle.FROZEN})
"""What stops calls even in observe mode."""


@dataclass(frozen=True, slots=True)
class Stop:
    """
    One thing that lets no call pass.

    Attributes:
        until_us: When it ends by itself; None where somebody has to act.
        text: What was said of it: the reason of a halt or of a trip.
        nanos: The money that it is about: what is owed, or the limit that is used up.
        window: Of a budget that is used up.
    """

    obstacle: Obstacle
    until_us: int | None = None
    text: str = ""
    nanos: int | None = None
    window: str = ""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """
    Credit that comes later.
    """

    nanos: int
    effective_us: int


@dataclass(frozen=True, slots=True)
class Lots:
    """
    What lots change of a tenant's credit before its next operation books it.

    Attributes:
        due_nanos: Came into effect, less what has expired.
        scheduled: Still to come, the next first.
    """

    due_nanos: int = 0
    scheduled: tuple[Scheduled, ...] = ()


@dataclass(frozen=True, slots=True)
class Guards:
    """
    Switches that are thrown and breakers that are open, for everybody and by tenant.
    """

    switches: Mapping[str, Switch] = field(default_factory=dict)
    breakers: Mapping[str, BreakerState] = field(default_factory=dict)

    def stops(self, tenant: str) -> tuple[Stop, ...]:
        """
        Return those that stop a tenant.
        """
        own = tenant_scope(tenant)
        thrown = ((Obstacle.ALL_HALTED, GLOBAL), (Obstacle.HALTED, own))
        found = [Stop(what, None, self.switches[at].reason) for what, at in thrown if at in self.switches]
        opened = (self.breakers[at] for at in (GLOBAL, own) if at in self.breakers)
        return (*found, *(Stop(Obstacle.BREAKER_OPEN, _ends_us(one), one.reason) for one in opened))


def guards(switches: Sequence[Switch], breakers: Sequence[BreakerState]) -> Guards:
    """
    Sort what stands now by its scope; a breaker that lets probes through stops nobody.
    """
    stopping = (State.OPEN, State.FORCED_OPEN)
    return Guards(
        {switch.scope: switch for switch in switches if switch.halted},
        {breaker.scope: breaker for breaker in breakers if breaker.state in stopping},
    )


def _ends_us(breaker: BreakerState) -> int | None:
    forced = breaker.state is State.FORCED_OPEN or breaker.until_us == FOREVER_US
    return None if forced else breaker.until_us


def money_stops(
    credit_nanos: int, debt_nanos: int, lots: Lots, budgets: Sequence[BudgetLine]
) -> tuple[Stop, ...]:
    """
    Name the money that is missing: debt stops every call, and so does an empty purse or window.
    """
    found = [Stop(Obstacle.IN_DEBT, nanos=debt_nanos)] if debt_nanos > 0 else []
    if credit_nanos + lots.due_nanos <= 0:
        comes_us = lots.scheduled[0].effective_us if lots.scheduled else None
        found.append(Stop(Obstacle.NO_CREDIT, comes_us))
    for line in budgets:
        if line.now.limit_nanos is not None and line.now.spent_nanos >= line.now.limit_nanos:
            ends_us = line.now.resets_us if line.now.limit_nanos > 0 else line.raised_until_us
            found.append(Stop(Obstacle.BUDGET_USED_UP, ends_us, "", line.now.limit_nanos, line.window))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A tenant's latest decision, where it was a refusal for money.
    """

    at_us: int
    text: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tight:
    """
    A tenant's latest call was refused for money, and its usual calls would be as well: cheaper ones may pass.

    Attributes:
        gauge: What was too little: `credit`, or scope and window of a budget.
        text: The refusal in words.
    """

    gauge: str
    at_us: int
    text: str


def tight(
    refused: Refused | None, available_nanos: int, budgets: Sequence[BudgetLine], usual: "Usual"
) -> Tight | None:
    """
    Tell whether what a call was refused for still holds, and holds for the tenant's usual calls too.

    None where it does not, or nobody can say.
    """
    if refused is None:
        return None
    numbers = refused.numbers
    scope, window = numbers.get("budget_scope"), numbers.get("budget_window")
    named = numbers.get("gauge", "credit" if scope is None else f"{scope}/{window}")
    line = next((line for line in budgets if f"{line.scope}/{line.window}" == named), None)
    if line is None and (named != "credit" or "below" in numbers):
        return None
    left = available_nanos if line is None else line.now.remaining_nanos
    ratio = None if line is None else line.now.remaining_ratio
    needed, below = numbers.get("needed_usd"), numbers.get("below")
    short = isinstance(needed, str) and left is not None and left < parse_usd(needed)
    low = isinstance(below, float) and ratio is not None and ratio < below
    counts_cost = line is not None and line.counts == COUNTS_NAMES[COUNTS_COST]
    if low or (short and left is not None and usual.exceeds(left, counts_cost=counts_cost)):
        return Tight(str(named), refused.at_us, refused.text)
    return None


class Usual:
    """
    What a tenant's calls usually need, read only where that is asked for.

    Usual is the middle one of the newest calls that were let through in the last day, at what was held for
    them. Of a tenant without any, nothing is usual but to be refused, from the third time on: one ask,
    however large, says nothing of the money.
    """

    def __init__(self, conn: Connection, tenant: str, now_us: int) -> None:
        self._conn, self._tenant, self._since_us = conn, tenant, now_us - DAY_US

    def exceeds(self, left_nanos: int, *, counts_cost: bool) -> bool:
        """
        Tell whether a usual call needs more than is left.

        Args:
            counts_cost: What is left is what the provider bills, not what the tenant pays.
        """
        hold = tables.hold
        needed = hold.c.cost_bound if counts_cost else hold.c.amount
        query = sa.select(needed).where(hold.c.tenant == self._tenant, hold.c.opened_at > self._since_us)
        found = sorted(self._conn.execute(query.order_by(hold.c.opened_at.desc()).limit(USUAL_MAX)).scalars())
        return found[(len(found) - 1) // 2] > left_nanos if found else self._often_refused()

    def _often_refused(self) -> bool:
        query = sa.select(decision.c.id).where(
            decision.c.tenant == self._tenant,
            decision.c.at_us > self._since_us,
            decision.c.code.in_(_MONEY_CODES),
        )
        return len(self._conn.execute(query.limit(OFTEN)).all()) == OFTEN


def refused_last(conn: Connection, now_us: int, tenant: str | None = None) -> Mapping[str, Refused]:
    """
    Return what the latest call of each tenant, or of one, was refused for, where that was money.

    Of a storm only the first refusals of a minute are in the log: what was counted in the minute of the
    newest record came after it.
    """
    found = {row.tenant: row for row in conn.execute(_newest(tenant))}
    for name, code, minute_us in conn.execute(_storms(now_us, tenant)):
        newest = found.get(name)
        if newest is None or newest.code in _MONEY_CODES or newest.at_us >= minute_us + MINUTE_US:
            continue
        logged = sa.select(*_REFUSAL).where(
            decision.c.tenant == name, decision.c.code == code,
            decision.c.at_us >= minute_us, decision.c.at_us < minute_us + MINUTE_US,
        )  # fmt: skip
        found[name] = conn.execute(logged.order_by(decision.c.at_us.desc()).limit(1)).first() or newest
    return {name: _refused(row) for name, row in found.items() if row.code in _MONEY_CODES}


def _refused(row: sa.Row[Any]) -> Refused:
    told = (json.loads(row.reasons) or [{}])[-1]
    return Refused(row.at_us, str(told.get("text", "")), told.get("numbers") or {})


def _newest(tenant: str | None) -> sa.Select[Any]:
    """Select the newest record of each tenant, each by one look into the index."""
    newest, account = decision.alias("newest"), tables.account
    last = sa.select(newest.c.id).where(newest.c.tenant == account.c.tenant)
    last = last.order_by(newest.c.at_us.desc()).limit(1).correlate(account)
    query = sa.select(*_REFUSAL).select_from(account.join(decision, decision.c.id == last.scalar_subquery()))
    return query if tenant is None else query.where(account.c.tenant == tenant)


def _storms(now_us: int, tenant: str | None) -> sa.Select[Any]:
    """Select in which minute of the last hour refusals for money were counted last."""
    seen = refusal_count.c
    query = sa.select(seen.tenant, seen.code, sa.func.max(seen.minute_us)).where(
        seen.code.in_(_MONEY_CODES), seen.minute_us > now_us - 60 * MINUTE_US
    )
    query = query.group_by(seen.tenant, seen.code)
    return query if tenant is None else query.where(seen.tenant == tenant)


def lots_of(conn: Connection, now_us: int, tenant: str | None = None) -> Mapping[str, Lots]:
    """
    Return what lots change of the credit of each tenant, or of one; tenants without such lots are left out.
    """
    lot = tables.grant_lot
    query = sa.select(lot.c.tenant, lot.c.remaining, lot.c.scheduled, lot.c.effective_at, lot.c.expires_at)
    query = query.where(tables.UNSPENT, (lot.c.scheduled == 1) | (lot.c.expires_at <= now_us))
    if tenant is not None:
        query = query.where(lot.c.tenant == tenant)
    found: dict[str, Lots] = {}
    for row in conn.execute(query.order_by(lot.c.effective_at)):
        before = found.get(row.tenant, Lots())
        if row.scheduled and row.effective_at > now_us:
            later = (*before.scheduled, Scheduled(row.remaining, row.effective_at))
            found[row.tenant] = Lots(before.due_nanos, later)
            continue
        ended = row.expires_at is not None and row.expires_at <= now_us
        change = row.remaining * ((not ended) - (not row.scheduled))
        found[row.tenant] = Lots(before.due_nanos + change, before.scheduled)
    return found
