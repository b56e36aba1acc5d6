"""
Read model of the decision log: filtered, in pages, the newest first.

A filter may match hardly any call. What an index does not serve is looked for in stretches of the log, for
about as long as a reader waits; the page then says how far it looked.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Row, Select

from outlay import reports_calls
from outlay.decisions_sql import COLUMNS, REFUSED, of_tenant
from outlay.errors import translated
from outlay.reports_calls import downgraded
from outlay.tables import EVERYBODY, decision

if TYPE_CHECKING:
    from outlay.wiring import App

OUTCOMES: Final = ("served", "refused", "failed", "broken", "uncertain")
PAGE: Final = 50
STRETCH: Final = 2_000
"""Calls that are looked at between two looks at the clock."""
LOOK_S: Final = 0.5

Place = tuple[int, str]
"""Instant and id of a decision."""


@dataclass(frozen=True, slots=True)
class Filter:
    """
    What part of the decision log is wanted; None leaves a column open.

    Attributes:
        without_refused: Leave out what was refused, as grouped refusals are told apart.
    """

    tenant: str | None = None
    task: str | None = None
    outcome: str | None = None
    downgraded: bool = False
    code: str | None = None
    without_refused: bool = False


@dataclass(frozen=True, slots=True)
class LogRow:
    """
    One decision as the log lists it.
    """

    id: str
    at_us: int
    tenant: str
    task: str | None
    priority: str
    outcome: str
    code: str | None
    asked_model: str
    asked_tier: str | None
    served_model: str | None
    served_tier: str | None
    cost_nanos: int | None
    asked_cost_nanos: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """
    Decisions as stored, newest first, and where the look for them ended; as in `LogPage`.
    """

    rows: tuple[Row[Any], ...]
    next_place: Place | None
    looked_to_us: int | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """
    One page of the log, newest first.

    Attributes:
        next_place: Continues it; None at the end.
        looked_to_us: How far back it looked, where it ended before it was full; older calls may match, too.
    """

    rows: tuple[LogRow, ...]
    next_place: Place | None
    looked_to_us: int | None = None


def decisions(
    app: "App",
    wanted: Filter,
    *,
    limit: int = PAGE,
    before: Place | None = None,
    look_s: float = LOOK_S,
    stretch: int = STRETCH,
) -> LogPage:
    """
    Return a page of the decision log, newest first.

    Args:
        before: `next_place` of the page before; None begins with the newest.
        look_s: No further stretch is begun after so long.
    """
    with translated(), app.reading() as conn:
        tiers = app.policies.applied(conn, wanted.tenant or EVERYBODY).policy.tier_names
        found = look(conn, wanted, tiers, limit=limit, before=before, look_s=look_s, stretch=stretch)
    return LogPage(tuple(_log_row(row) for row in found.rows), found.next_place, found.looked_to_us)


def look(
    conn: Connection,
    wanted: Filter,
    tiers: Sequence[str],
    *,
    limit: int,
    before: Place | None,
    look_s: float,
    stretch: int,
) -> Found:
    """
    Look for decisions, the newest first, stretch by stretch until there are enough or the time is over.

    Args:
        tiers: Of the policy, best first, by which `downgraded` is judged.
    """
    ends_s = time.monotonic() + look_s
    query = _newest(wanted, tiers)
    found: list[Row[Any]] = []
    while True:
        stops_us = _stops_us(conn, wanted, before, stretch)
        since = sa.true() if stops_us is None else decision.c.at_us >= stops_us
        found += conn.execute(query.where(_older(before), since).limit(limit + 1 - len(found)))
        if stops_us is None or len(found) > limit:
            break
        before = (stops_us, "")  # no id is empty: all that is older
        if time.monotonic() >= ends_s:
            return Found(tuple(found), before, stops_us)
    rows = tuple(found[:limit])
    return Found(rows, (rows[-1].at_us, rows[-1].id) if len(found) > limit else None)


def id_at(conn: Connection, place: Place) -> str:
    """
    Return the id of the decision that a place follows: all older ones are still to be looked at.
    """
    at_us, found = place
    oldest = sa.select(sa.func.min(decision.c.id)).where(decision.c.at_us == at_us)
    return found or str(conn.execute(oldest).scalar_one())


def _newest(wanted: Filter, tiers: Sequence[str]) -> Select[Any]:
    conditions = _indexed(wanted)
    for column, value in (
        (decision.c.task, wanted.task),
        (decision.c.outcome, wanted.outcome),
        (sa.func.coalesce(decision.c.code, reports_calls.UNKNOWN), wanted.code),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.without_refused:
        conditions.append(decision.c.outcome != "refused")
    if wanted.downgraded:
        conditions.append(downgraded(tiers))
    return sa.select(*COLUMNS).where(*conditions).order_by(decision.c.at_us.desc(), decision.c.id.desc())


def _indexed(wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the conditions that an index serves: only calls that meet them are looked at."""
    if wanted.outcome == "refused":
        return [REFUSED] if wanted.tenant is None else [REFUSED, of_tenant(wanted.tenant)]
    return [] if wanted.tenant is None else [decision.c.tenant == wanted.tenant]


def _stops_us(conn: Connection, wanted: Filter, before: Place | None, stretch: int) -> int | None:
    """Return the instant at which the next stretch of the log ends; None where it reaches the log's end."""
    if wanted.outcome == "refused" and wanted.task is None and not wanted.downgraded:
        return None  # all that is asked stands in the index of refused calls
    at = sa.select(decision.c.at_us).where(*_indexed(wanted), _older(before))
    return conn.execute(at.order_by(decision.c.at_us.desc()).offset(stretch).limit(1)).scalar()


def _older(before: Place | None) -> ColumnElement[bool]:
    if before is None:
        return sa.true()
    return sa.tuple_(decision.c.at_us, decision.c.id) < sa.tuple_(*before)


def _log_row(row: Row[Any]) -> LogRow:
    reasons = json.loads(row.reasons or "[]")
    return LogRow(
        id=row.id, at_us=row.at_us, tenant=row.tenant, task=row.task, priority=row.priority,
        outcome=row.outcome, code=row.code, asked_model=row.asked_model, asked_tier=row.asked_tier,
        served_model=row.served_model, served_tier=row.served_tier, cost_nanos=row.cost_nanos,
        asked_cost_nanos=row.asked_cost_nanos, why=_deciding(reasons, refused=row.outcome == "refused"),
    )  # fmt: skip


def _deciding(reasons: Sequence[Mapping[str, Any]], *, refused: bool) -> str:
    """Pick the reason that says most: the refusal, the last that lowered the call, else the last one."""
    lowering = [] if refused else [item for item in reasons if item.get("code") in reports_calls.LOWERING]
    chosen = (lowering or list(reasons))[-1:]
    return str(chosen[0].get("text", "")) if chosen else ""
