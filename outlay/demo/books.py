"""
What Outlay's books say after the play: money from the ledger, what was decided from the decision log.

Reads only, and adds up row by row, so that it shares no sum with the reports that the dashboard shows.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from circuit.types import State
from ledger import reads
from ledger import tables as ledger_tables
from outlay.reports_calls import LOWERING
from outlay.reports_observed import verdict
from outlay.tables import decision, refusal_count
from outlay.wiring import App
from router.types import ReasonCode

_OTHER: Final = "other"
_BOOKED: Final = sa.func.coalesce(sa.func.sum(ledger_tables.hold.c.actual), 0)
_COLUMNS: Final = (
    "id", "tenant", "outcome", "code", "would", "asked_model", "asked_tier", "served_model", "served_tier",
    "reasons", "cost_nanos", "asked_cost_nanos",
)  # fmt: skip


@dataclass(slots=True)
class TenantBooks:
    """
    One tenant's side of the books.

    Attributes:
        cost_nanos: What the ledger has booked as the provider's cost.
        logged_nanos: The same, added up over the decision log.
        lowered_nanos: What calls of a lower tier than asked cost, and in `lowered_asked_nanos` what the same
            tokens would have cost at the models asked for.
        detour_nanos: What calls cost more, or less, at another model of the tier that was asked for.
        open_holds: Calls that nobody has settled yet.
        estimated: Calls whose final count nobody saw; their cost is an upper bound.
        calls: Cost of each served call, by the decision's id.
        downgrades, refusals, failures: How often, by reason or code.
        detours: Calls served by another model of the tier that was asked for, by reason.
        kept: Reasons of calls that were served as asked.
        would: What enforcement would have done with calls that were only observed.
    """

    cost_nanos: int = 0
    logged_nanos: int = 0
    lowered_nanos: int = 0
    lowered_asked_nanos: int = 0
    detour_nanos: int = 0
    credit_nanos: int = 0
    open_holds: int = 0
    estimated: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    downgrades: Counter[str] = field(default_factory=Counter)
    detours: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    would: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Books:
    """
    The books of all tenants, and which breakers opened, by scope.
    """

    tenants: Mapping[str, TenantBooks]
    trips: Mapping[str, int]


def read_books(app: App) -> Books:
    """
    Read the books as they stand now.
    """
    with app.reading() as connection:
        accounts = reads.tenants(connection)
        tenants = {row.tenant: TenantBooks(credit_nanos=row.credit_nanos) for row in accounts}
        _add_holds(tenants, connection)
        _add_decisions(tenants, connection)
        _add_counted_refusals(tenants, connection)
    moves = [event.transition for event in app.circuit.events(limit=None)]
    trips = Counter(move.scope for move in moves if move.to_state == State.OPEN != move.from_state)
    return Books(tenants, trips)


def open_holds(app: App) -> int:
    """
    Count the calls that are still in flight.
    """
    with app.reading() as connection:
        return len(reads.open_holds(connection))


def spent_nanos(app: App) -> int:
    """
    Add up what has been booked so far.
    """
    with app.reading() as connection:
        return int(connection.execute(sa.select(_BOOKED)).scalar_one())


def _add_holds(tenants: Mapping[str, TenantBooks], connection: sa.Connection) -> None:
    hold = ledger_tables.hold
    for tenant, total in connection.execute(sa.select(hold.c.tenant, _BOOKED).group_by(hold.c.tenant)):
        tenants[tenant].cost_nanos = int(total)
    for row in reads.open_holds(connection):
        tenants[row.tenant].open_holds += 1


def _add_decisions(tenants: Mapping[str, TenantBooks], connection: sa.Connection) -> None:
    for row in connection.execute(sa.select(*(decision.c[name] for name in _COLUMNS))):
        books = tenants.get(row.tenant)
        if books is None:
            continue
        books.logged_nanos += row.cost_nanos or 0
        if row.outcome == "refused":
            books.refusals[row.code or _OTHER] += 1
        elif row.outcome == "failed":
            books.failures[row.code or _OTHER] += 1
        elif row.outcome == "served":
            _add_served(books, row)
        else:
            books.estimated += 1


def _add_served(books: TenantBooks, row: sa.Row[Any]) -> None:
    cost = row.cost_nanos or 0
    asked = cost if row.asked_cost_nanos is None else row.asked_cost_nanos
    books.calls[row.id] = cost
    reasons: Sequence[Mapping[str, Any]] = json.loads(row.reasons)
    would = None if row.would is None else verdict(json.loads(row.would), row.served_model)
    if would is not None:
        books.would[would] += 1
    if row.served_tier != row.asked_tier:
        books.downgrades[next(_lowering(reasons), _OTHER)] += 1
        books.lowered_nanos += cost
        books.lowered_asked_nanos += asked
    elif row.served_model != row.asked_model and not row.asked_model.startswith("outlay/"):
        books.detours[next(_lowering(reasons), _OTHER)] += 1
        books.detour_nanos += cost - asked
    else:
        books.kept.update({reason["code"] for reason in reasons})


def _lowering(reasons: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Name the reasons that lowered a call, the deepest first; a step is named by its threshold."""
    for reason in reversed(reasons):
        if reason["code"] == ReasonCode.DEGRADED:
            numbers = reason["numbers"]
            yield f"{numbers['gauge']} below {numbers['below']:.0%}"
        elif reason["code"] in LOWERING:
            yield str(reason["code"])


def _add_counted_refusals(tenants: Mapping[str, TenantBooks], connection: sa.Connection) -> None:
    """Add the refusals of a storm, which are counted and not logged."""
    table = refusal_count.c
    for tenant, code, count in connection.execute(sa.select(table.tenant, table.code, table.count)):
        if tenant in tenants:
            tenants[tenant].refusals[code] += count
