"""
Read models about routing: asked against served, and why one call went as it did.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ledger import reads
from ledger.read_models import HoldRow
from outlay import reports_calls, tallies
from outlay.clock import now_us as clock_us
from outlay.decisions_sql import role
from outlay.errors import translated
from outlay.reports import ALL_ZONE
from outlay.reports_calls import Count, Refusals, Savings, within
from outlay.reports_periods import Period, Span
from outlay.reports_sessions import Suppressed, suppressed
from outlay.scores_sql import Score, counting
from outlay.tables import EVERYBODY, decision
from outlay.tallies import Tally
from outlay.tally_sql import UNLISTED
from outlay.traffic_sql import CALLS_MAX

if TYPE_CHECKING:
    from outlay.wiring import App

_ANSWERED: Final = ("served", "broken", "uncertain")
TASKS: Final = 100


@dataclass(frozen=True, slots=True)
class Cell:
    """
    Calls that asked for one tier and were served by another; where `served` is None they were refused, or
    failed at the provider.
    """

    asked: str
    served: str | None
    calls: int
    cost_nanos: int
    asked_cost_nanos: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Routing:
    """
    How calls of a period were routed.

    Attributes:
        tiers: Tiers of the policy in force, the highest first; cells may name others, of older policies.
        tasks: Tasks of the period's newest calls, the most frequent first.
        suppressed: Changes of model or effort that conversations were spared.
        refusals: By tenant and code, the latest first.
    """

    tenant: str | None
    zone: str
    period: Period
    tiers: tuple[str, ...]
    cells: tuple[Cell, ...]
    reasons: tuple[Count, ...]
    outcomes: tuple[Count, ...]
    savings: Savings
    tasks: tuple[Count, ...]
    suppressed: Suppressed
    refusals: tuple[Refusals, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """
    One reason in order, with the numbers that decided it.
    """

    code: str
    text: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OfferLine:
    """
    One way in which the call could have been served; `taken` is the one that was.
    """

    model: str
    tier: str | None
    effort: str | None
    max_tokens: int | None
    cost_bound_nanos: int | None
    expected_cost_nanos: int | None
    taken: bool


@dataclass(frozen=True, slots=True)
class Why:
    """
    One decision with everything that explains it.

    Attributes:
        record: The decision as stored, JSON columns decoded.
        reasons: Those of the choice, then those of the offer that was served.
        offers: Best first.
        road_not_taken: The call as asked, at full quality; None for calls that were never routed.
        hold: The hold and what became of it; None where nothing was held.
        attempts: Records of all attempts of the same call, this one included; empty where there was only one.
        scores: What was said of the answer, the oldest first; `counted` has the ids of those that count.
        role: The role that the call named.
    """

    record: Mapping[str, Any]
    reasons: tuple[ReasonLine, ...]
    offers: tuple[OfferLine, ...]
    road_not_taken: OfferLine | None
    hold: HoldRow | None
    attempts: tuple[Mapping[str, Any], ...] = ()
    scores: tuple[Score, ...] = ()
    counted: frozenset[str] = frozenset()
    role: str | None = None


def routing(
    app: "App", tenant: str | None = None, *, span: Span | None = None, now_us: int | None = None
) -> Routing | None:
    """
    Return how calls of a period were routed, for a tenant or for all; None where the tenant does not exist.
    """
    now = clock_us() if now_us is None else now_us
    with translated(), app.reading() as conn:
        account = None if tenant is None else reads.account(conn, tenant)
        if tenant is not None and account is None:
            return None
        zone = ALL_ZONE if account is None else account.timezone
        seen = reports_calls.seen_period(conn, tenant, span, zone, now)
        tiers = _tiers(app, conn, tenant)
        counted = tallies.of_period(conn, seen, tenant)
        refusals = reports_calls.refusal_groups(conn, seen, tenant)
        return Routing(
            tenant=tenant,
            zone=zone,
            period=seen,
            tiers=tiers,
            cells=_cells(counted, refusals),
            reasons=reports_calls.reasons(counted, refusals),
            outcomes=reports_calls.outcomes(counted),
            savings=reports_calls.savings(counted, tiers),
            tasks=_tasks(conn, seen, tenant),
            suppressed=suppressed(counted),
            refusals=refusals,
        )


def why(app: "App", decision_id: str) -> Why | None:
    """
    Return a decision with everything that explains it; None where there is none of this id.
    """
    with translated(), app.reading() as conn:
        record = app.decisions.find(conn, decision_id)
        if record is None:
            return None
        hold = None if record["hold_id"] is None else reads.hold(conn, record["hold_id"])
        attempts = app.decisions.attempts(conn, record["parent"] or record["id"])
        scores = app.scores.of_decision(conn, record["id"])
    offers = _maps(record["offers"])
    taken = _taken(record, offers, hold)
    own = _maps(offers[taken].get("reasons")) if taken is not None else []
    told = _maps(record["reasons"])
    asked = record["counterfactual"]
    return Why(
        record=record,
        reasons=tuple(_reason(item) for item in [*told, *(item for item in own if item not in told)]),
        offers=tuple(_offer(item, taken=place == taken) for place, item in enumerate(offers)),
        road_not_taken=_offer(asked, taken=False) if isinstance(asked, Mapping) else None,
        hold=hold,
        attempts=attempts if len(attempts) > 1 else (),
        scores=scores,
        counted=frozenset(score.id for score in counting(scores)),
        role=role(record),
    )


def _cells(counted: Iterable[Tally], refusals: Iterable[Refusals]) -> tuple[Cell, ...]:
    sums: dict[tuple[str, str | None, bool], tuple[int, int, int]] = {}
    if unrecorded := reports_calls.only_counted(refusals):
        sums[reports_calls.ONLY_COUNTED, None, True] = (unrecorded, 0, 0)
    for one in counted:
        served = one.served if one.served and one.outcome in _ANSWERED else None
        key = (_asked(one.asked, served), served, one.outcome == "refused")
        calls, nanos, priced_nanos = sums.get(key, (0, 0, 0))
        as_asked = one.asked_nanos + one.cost_nanos - one.priced_nanos
        sums[key] = (calls + one.calls, nanos + one.cost_nanos, priced_nanos + as_asked)
    found = (Cell(*key[:2], *amounts, refused=key[2]) for key, amounts in sums.items())
    return tuple(sorted(found, key=lambda cell: (cell.asked, cell.served or "", cell.refused)))


def _asked(asked: str, served: str | None) -> str:
    """Name the tier asked for; a call that nobody served may have been refused before it was routed."""
    return asked or (reports_calls.NOT_ROUTED if served is None else UNLISTED)


def _tasks(conn: Connection, seen: Period, tenant: str | None) -> tuple[Count, ...]:
    """Count the tasks of the period's newest calls: of busy books enough of them to choose one from."""
    newest = sa.select(decision.c.task).where(*within(seen, tenant))
    among = newest.order_by(decision.c.at_us.desc()).limit(CALLS_MAX).subquery()
    calls = sa.func.count().label("calls")
    query = sa.select(among.c.task, calls).where(among.c.task.is_not(None)).group_by(among.c.task)
    rows = conn.execute(query.order_by(calls.desc(), among.c.task).limit(TASKS))
    return tuple(Count(str(task), int(count)) for task, count in rows)


def _tiers(app: "App", conn: Connection, tenant: str | None) -> tuple[str, ...]:
    return app.policies.applied(conn, tenant or EVERYBODY).policy.tier_names


def _taken(
    record: Mapping[str, Any], offers: Sequence[Mapping[str, Any]], hold: HoldRow | None
) -> int | None:
    """Find the offer that was held: the ledger knows it; without a hold it is the served model's first."""
    if hold is not None and hold.offer_index < len(offers):
        return hold.offer_index
    models = [offer.get("model") for offer in offers]
    return models.index(record["served_model"]) if record["served_model"] in models else None


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _reason(item: Mapping[str, Any]) -> ReasonLine:
    numbers = item.get("numbers")
    return ReasonLine(
        str(item.get("code", "")), str(item.get("text", "")), numbers if isinstance(numbers, Mapping) else {}
    )


def _offer(item: Mapping[str, Any], *, taken: bool) -> OfferLine:
    return OfferLine(
        model=str(item.get("model") or item.get("name") or ""),
        tier=item.get("tier"),
        effort=item.get("effort"),
        max_tokens=item.get("max_tokens"),
        cost_bound_nanos=item.get("cost_bound_nanos"),
        expected_cost_nanos=item.get("expected_cost_nanos"),
        taken=taken,
    )
