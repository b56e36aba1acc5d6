"""
What the decisions of a period come to, counted by what they have in common: outcome, tiers, reasons.

Whole days and quarters of an hour are read from the roll-up, what is left at the edges from the log itself,
by the same rule. What calls cost whose end nobody saw, and those that an operator corrected, is what the
books say now.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from ledger.tables import hold
from outlay.corrected import corrected
from outlay.decisions_sql import UNSEEN, cost, of_tenant
from outlay.reports_periods import Period
from outlay.tables import decision, tally
from outlay.tally_sql import KEY, LIKE, SUMS, UNLISTED, WIDTHS_US, counted, summed

_LIKE: Final = len(LIKE)
_ASKED: Final = sa.func.coalesce(decision.c.asked_tier, "").label("asked")
_SERVED: Final = sa.case(
    (decision.c.served_model.is_(None), ""), else_=sa.func.coalesce(decision.c.served_tier, UNLISTED)
).label("served")
_IDS: Final = 500
"""Calls that are asked for at once."""
_SUMS: Final = tuple(sa.cast(sa.func.sum(tally.c[name]), sa.BigInteger) for name in SUMS)


class Tally(NamedTuple):
    """
    Decisions of one bucket of time that have the same outcome, tiers and reasons.

    Attributes:
        asked: Empty where the call was refused before it was routed.
        served: Of the model that was to serve; empty where there was none.
        codes: Reasons that each of them names, with a blank between.
        costed: Those whose cost is known, and `cost_nanos` its sum.
        priced: Those that have a price at the model asked for too, `asked_nanos`; they cost `priced_nanos`.
        spared: Changes of model or effort that were not made, and would have cost `spared_nanos` more.
        spared_saving: Those that would have saved something.
    """

    starts_us: int
    ends_us: int
    outcome: str
    asked: str
    served: str
    codes: str
    calls: int
    costed: int
    cost_nanos: int
    priced: int
    priced_nanos: int
    asked_nanos: int
    spared: int
    spared_nanos: int
    spared_saving: int


def of_period(
    conn: Connection, period: Period, tenant: str | None, *, rolled: bool = True
) -> tuple[Tally, ...]:
    """
    Count the decisions of a period, of one tenant or of all, the oldest bucket first.

    Args:
        rolled: False reads all of it from the log: the same, slower.
    """
    found, corrections = [], _corrections(conn, period, tenant)
    for starts_us, ends_us in period.buckets():
        within = max(starts_us, period.from_us), min(ends_us, period.to_us)
        sums: dict[tuple[str, ...], Sequence[int]] = {}
        later = (row for at_us, row in corrections if within[0] <= at_us < within[1])
        for row in (*_rows(conn, *within, tenant, rolled=rolled), *later):
            like, amounts = tuple(row[:_LIKE]), row[_LIKE:]
            before = sums.get(like)
            sums[like] = (
                amounts if before is None else [sum(both) for both in zip(before, amounts, strict=True)]
            )
        found += [Tally._make((starts_us, ends_us, *like, *sums[like])) for like in sorted(sums)]
    return tuple(found)


def _rows(
    conn: Connection, from_us: int, to_us: int, tenant: str | None, *, rolled: bool
) -> Iterator[Sequence[Any]]:
    """Yield what calls have in common and their sums, from wherever they are read fastest."""
    for width_us, starts_us, ends_us in parts(from_us, to_us, WIDTHS_US[::-1] if rolled else ()):
        if width_us == 0:
            yield from _logged(conn, starts_us, ends_us, tenant)
            continue
        among = [tally.c.width_us == width_us, tally.c.starts_us >= starts_us, tally.c.starts_us < ends_us]
        like = [tally.c[name] for name in LIKE]
        if tenant is not None:
            among.append(tally.c.tenant == tenant)
        yield from conn.execute(sa.select(*like, *_SUMS).where(*among).group_by(*like)).all()
    yield from _told_later(conn, from_us, to_us, tenant)


def parts(from_us: int, to_us: int, widths_us: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """
    Divide a stretch of time into the widest whole steps, and what is left around them.

    Args:
        widths_us: From the widest; each divides the one before.
    Returns:
        Width, start and end of each part, in order; width 0 is what no step covers.
    """
    if from_us >= to_us:
        return ()
    if not widths_us:
        return ((0, from_us, to_us),)
    width_us, finer = widths_us[0], widths_us[1:]
    first_us, last_us = from_us + -from_us % width_us, to_us - to_us % width_us
    if first_us >= last_us:
        return parts(from_us, to_us, finer)
    before, after = parts(from_us, first_us, finer), parts(last_us, to_us, finer)
    return (*before, (width_us, first_us, last_us), *after)


def _logged(conn: Connection, from_us: int, to_us: int, tenant: str | None) -> Iterator[Sequence[Any]]:
    which = "at_us >= :from_us AND at_us < :to_us" + ("" if tenant is None else " AND tenant = :tenant")
    source = f"(SELECT * FROM {decision.name} WHERE {which})"  # noqa: S608 - our own names
    like = ", ".join(LIKE)
    sums = ", ".join(f"CAST(sum({name}) AS bigint)" for name in SUMS)
    text = f"SELECT {like}, {sums} FROM ({counted(source)}) AS one GROUP BY {like}"  # noqa: S608 - our own names
    given = {"from_us": from_us, "to_us": to_us, **({} if tenant is None else {"tenant": tenant})}
    yield from conn.execute(sa.text(text), given)


def _told_later(conn: Connection, from_us: int, to_us: int, tenant: str | None) -> Iterator[Sequence[Any]]:
    """Yield what calls cost whose record does not say it: they are few, and an index has all of them."""
    each = sa.select(decision.c.outcome, _ASKED, _SERVED, cost().label("nanos")).where(
        UNSEEN, decision.c.at_us >= from_us, decision.c.at_us < to_us
    )
    if tenant is not None:
        each = each.where(of_tenant(tenant))
    one = each.subquery()
    like = (one.c.outcome, one.c.asked, one.c.served)
    known = sa.select(*like, sa.func.count(), sa.func.sum(one.c.nanos)).where(one.c.nanos.is_not(None))
    nothing = [0] * (len(SUMS) - 3)
    for *values, costed, nanos in conn.execute(known.group_by(*like)).all():
        yield [*values, "", 0, costed, int(nanos), *nothing]


def _corrections(
    conn: Connection, period: Period, tenant: str | None
) -> tuple[tuple[int, Sequence[Any]], ...]:
    """
    Return the instants of corrected calls, and what is to be added to what was counted of each.

    What it would have cost at the model asked for goes: that was of its usage, which is not what was billed.
    """
    told, found = corrected(conn, tenant, since_us=period.from_us), []
    ids = sorted({hold_id for hold_id, _ in told})
    among = [~UNSEEN, hold.c.actual != decision.c.cost_nanos, decision.c.at_us >= period.from_us]
    among.append(decision.c.at_us < period.to_us)
    more = (hold.c.actual - decision.c.cost_nanos).label("more")
    row = decision.c
    query = sa.select(
        row.at_us, row.outcome, _ASKED, _SERVED, row.codes, more, row.cost_nanos, row.asked_cost_nanos
    ).join_from(decision, hold, hold.c.id == row.hold_id)
    for start in range(0, len(ids), _IDS):
        these = query.where(row.id.in_(ids[start : start + _IDS]), *among)
        for at_us, *like, nanos, recorded, asked in conn.execute(these).all():
            priced = (0, 0, 0) if asked is None else (-1, -recorded, -asked)
            found.append((at_us, [*like, 0, 0, nanos, *priced, 0, 0, 0]))
    return tuple(found)


def differing(conn: Connection, most: int) -> tuple[tuple[str, int], ...]:
    """
    Compare the whole roll-up with the log; return the tenant and the start of what is not counted alike.
    """
    key = ", ".join(KEY)
    both = (summed(decision.name, sign="-"), f"SELECT {key}, {', '.join(SUMS)} FROM {tally.name}")  # noqa: S608 - our own names
    alike = " AND ".join(f"sum({name}) = 0" for name in SUMS)
    text = f"""SELECT DISTINCT tenant, starts_us FROM (
    SELECT {key} FROM ({both[0]} UNION ALL {both[1]}) AS one GROUP BY {key} HAVING NOT ({alike})
    ) AS other ORDER BY tenant, starts_us LIMIT :most"""  # noqa: S608 - our own names
    return tuple((str(tenant), int(at_us)) for tenant, at_us in conn.execute(sa.text(text), {"most": most}))
