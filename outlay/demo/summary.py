"""
What the demo showed, and whether Outlay's books equal the provider's bill. Pure.

The bill knows messages, not tenants: who pays for a message is what the clients saw in their answers. So
each tenant's sum is made of what the provider wrote and what the client saw, without Outlay's help.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from outlay.demo.books import Books, TenantBooks
from outlay.demo.plan import Plan, TenantPlan
from outlay.demo.player import Played
from pricing.money import NANOS_PER_USD, format_usd
from router.types import ReasonCode

_SHORT_OF_MONEY = (ReasonCode.AFFORDABILITY, ReasonCode.ONLY_AFFORDABLE)


@dataclass(frozen=True, slots=True)
class Line:
    """
    One tenant of the summary; counts are calls of the clients, so that retries count once.

    Attributes:
        saved_nanos: What calls of a lower tier would have cost more at the models asked for.
    """

    tenant: str
    timezone: str
    story: str
    calls: int
    served: int
    refused: int
    failed: int
    downgraded: int
    booked_nanos: int
    billed_nanos: int
    saved_nanos: int
    budget_usd: str | None
    credit_nanos: int


@dataclass(frozen=True, slots=True)
class Check:
    """
    Two numbers that have to be the same; money in USD as text.
    """

    name: str
    books: str
    bill: str

    @property
    def equal(self) -> bool:
        """
        Tell whether they are, to the last digit.
        """
        return self.books == self.bill


@dataclass(frozen=True, slots=True)
class Summary:
    """
    The outcome of a demo.

    Attributes:
        detours: Calls served by another model of the tier that was asked for, by reason.
        detour_nanos: What those cost more than at the models asked for.
        refusals: Calls that ended refused, by code.
        refusals_served: Refused attempts of calls that were tried again and then served, by code.
        refusals_repeated: Other refused attempts that were made again, by code.
        failures: Errors that clients saw, retried ones included, by code; refusals are none.
        retried: Attempts that were made again.
        would: What enforcement would have done in observe mode.
        trips: How often breakers opened, by scope.
        situations: How often each thing happened that the demo is there to show.
    """

    lines: tuple[Line, ...]
    checks: tuple[Check, ...]
    downgrades: Mapping[str, int]
    detours: Mapping[str, int]
    detour_nanos: int
    refusals: Mapping[str, int]
    refusals_served: Mapping[str, int]
    refusals_repeated: Mapping[str, int]
    failures: Mapping[str, int]
    would: Mapping[str, int]
    trips: Mapping[str, int]
    situations: Mapping[str, int]
    retried: int

    @property
    def equal(self) -> bool:
        """
        Tell whether all checks hold.
        """
        return all(check.equal for check in self.checks)


def summarise(plan: Plan, played: Sequence[Played], books: Books, bill: Mapping[str, int]) -> Summary:
    """
    Put together what clients saw, what the books say and what the provider billed.
    """
    lines = tuple(_line(tenant, played, books.tenants[tenant.name], bill) for tenant in plan.tenants)
    tenants = list(books.tenants.values())
    refusals = Counter(attempt.code for attempt in played if attempt.ours and attempt.last)
    served = {id(attempt.call) for attempt in played if not attempt.code}
    again = [attempt for attempt in played if attempt.ours and not attempt.last]
    failures = Counter(attempt.code for attempt in played if _provider_failed(attempt))
    return Summary(
        lines=lines,
        checks=_checks(lines, played, books, bill),
        downgrades=_ordered(_sum(tenant.downgrades for tenant in tenants)),
        detours=_ordered(_sum(tenant.detours for tenant in tenants)),
        detour_nanos=sum(tenant.detour_nanos for tenant in tenants),
        refusals=_ordered(refusals),
        refusals_served=_ordered(Counter(one.code for one in again if id(one.call) in served)),
        refusals_repeated=_ordered(Counter(one.code for one in again if id(one.call) not in served)),
        failures=_ordered(failures),
        would=_ordered(_sum(tenant.would for tenant in tenants)),
        trips=books.trips,
        situations=_situations(books, refusals, failures, played),
        retried=sum(not attempt.last for attempt in played),
    )


def as_dict(summary: Summary) -> dict[str, object]:
    """
    Write a summary as JSON-ready values; money as decimal text in USD.
    """
    return {
        "equal": summary.equal,
        "checks": [
            {"name": check.name, "books": check.books, "bill": check.bill, "equal": check.equal}
            for check in summary.checks
        ],
        "tenants": [_line_dict(line) for line in summary.lines],
        "downgrades": dict(summary.downgrades),
        "saved_usd": format_usd(sum(line.saved_nanos for line in summary.lines)),
        "detours": dict(summary.detours),
        "detours_usd": format_usd(summary.detour_nanos),
        "refusals": dict(summary.refusals),
        "refusals_retried_then_served": dict(summary.refusals_served),
        "refusals_retried_not_served": dict(summary.refusals_repeated),
        "provider_failures": dict(summary.failures),
        "observed": dict(summary.would),
        "breaker_trips": dict(summary.trips),
        "situations": dict(summary.situations),
        "retried": summary.retried,
    }


def _line_dict(line: Line) -> dict[str, object]:
    return {
        "tenant": line.tenant,
        "timezone": line.timezone,
        "story": line.story,
        "calls": line.calls,
        "served": line.served,
        "refused": line.refused,
        "failed": line.failed,
        "downgraded": line.downgraded,
        "spent_usd": format_usd(line.booked_nanos),
        "billed_usd": format_usd(line.billed_nanos),
        "saved_usd": format_usd(line.saved_nanos),
        "daily_budget_usd": line.budget_usd,
        "credit_usd": format_usd(line.credit_nanos),
    }


def _line(tenant: TenantPlan, played: Sequence[Played], books: TenantBooks, bill: Mapping[str, int]) -> Line:
    own = [attempt for attempt in played if attempt.call.tenant == tenant.name]
    ended = [attempt for attempt in own if attempt.last]
    served = sum(not attempt.code for attempt in ended)
    refused = sum(attempt.ours for attempt in ended)
    return Line(
        tenant=tenant.name,
        timezone=tenant.timezone,
        story=tenant.story,
        calls=len(ended),
        served=served,
        refused=refused,
        failed=len(ended) - served - refused,
        downgraded=books.downgrades.total(),
        booked_nanos=books.cost_nanos,
        billed_nanos=sum(bill.get(attempt.message_id, 0) for attempt in own),
        saved_nanos=books.lowered_asked_nanos - books.lowered_nanos,
        budget_usd=tenant.budget_usd,
        credit_nanos=books.credit_nanos,
    )


def _checks(
    lines: Sequence[Line], played: Sequence[Played], books: Books, bill: Mapping[str, int]
) -> tuple[Check, ...]:
    tenants = list(books.tenants.values())
    booked = _exact(sum(tenant.cost_nanos for tenant in tenants))
    total = _exact(sum(bill.values()))
    logged = _exact(sum(tenant.logged_nanos for tenant in tenants))
    calls = {decision: cost for tenant in tenants for decision, cost in tenant.calls.items()}
    seen = {attempt.decision_id: attempt.message_id for attempt in played if attempt.message_id}
    alike = sum(bill.get(seen.get(decision, "")) == cost for decision, cost in calls.items())
    unsettled = sum(tenant.open_holds + tenant.estimated for tenant in tenants)
    return (
        *(
            Check(f"spend of {line.tenant}", _exact(line.booked_nanos), _exact(line.billed_nanos))
            for line in lines
        ),
        Check("spend of all tenants", booked, total),
        Check("the same by the decision log", logged, total),
        Check("calls that cost the same on both sides", str(alike), str(len(bill))),
        Check("calls not settled, or settled by estimate", str(unsettled), "0"),
    )


def _exact(nanos: int) -> str:
    """Write money with all nine decimals, so that people see what is compared."""
    return f"{nanos // NANOS_PER_USD}.{nanos % NANOS_PER_USD:09d}"


def _situations(
    books: Books, refusals: Mapping[str, int], failures: Mapping[str, int], played: Sequence[Played]
) -> dict[str, int]:
    kept = _sum(tenant.kept for tenant in books.tenants.values())
    detours = _sum(tenant.detours for tenant in books.tenants.values())
    downgrades = _sum(tenant.downgrades for tenant in books.tenants.values())
    return {
        "downgraded as money ran low": sum(
            count for name, count in downgrades.items() if " below " in name or name in _SHORT_OF_MONEY
        ),
        "daily budget reached": refusals.get("outlay_daily_budget_reached", 0),
        "only important calls served": refusals.get("outlay_priority_refused", 0),
        "credits exhausted": refusals.get("outlay_credit_exhausted", 0),
        "runaway halted": refusals.get("outlay_runaway_halt", 0),
        "critical calls kept their model": kept["exempt"],
        "provider failures": sum(failures.values()),
        "provider breaker opened": sum(
            count for scope, count in books.trips.items() if scope.startswith("model:")
        ),
        "served by another model meanwhile": detours["provider_unhealthy"],
        "observed only": sum(tenant.would.total() for tenant in books.tenants.values()),
        "clients left mid-answer": sum(attempt.left for attempt in played),
    }


def _provider_failed(attempt: Played) -> bool:
    return bool(attempt.code) and not attempt.ours


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    return sum(counters, Counter[str]())


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
