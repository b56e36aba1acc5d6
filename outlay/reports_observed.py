"""
Read model about observe mode: what enforcement would have done with calls that went out as they were asked.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from outlay.reports_calls import within
from outlay.reports_periods import Period
from outlay.tables import decision

BOOKED: Final = (
    "nothing is refused or degraded, and calls are booked as always: each counts as spent, also above a "
    "limit, and credit pays it; what credit does not cover is absorbed, so that less is charged than is spent"
)
"""What observe mode means for the books, for the middle of a sentence."""
NEWEST: Final = 2_000
"""So many of a period's newest calls are looked at: verdicts are no part of the roll-up."""
REFUSED: Final = "refused"
DOWNGRADED: Final = "downgraded"


@dataclass(frozen=True, slots=True)
class Observed:
    """
    The newest observed calls of a period, and those of them that enforcement would have refused or lowered.

    Attributes:
        calls: Served ones: what failed cost nothing, and is mostly asked again, as one more call.
        lowered: Served by another model than the one that enforcement would have chosen.
        more: Whether the period has older calls, which were not looked at.
    """

    calls: int = 0
    refused: int = 0
    lowered: int = 0
    more: bool = False


def observed(conn: Connection, period: Period, tenant: str | None) -> Observed:
    """
    Count what enforcement would have done with the newest calls of a period, of one tenant or of all.
    """
    columns = (decision.c.would, decision.c.served_model, decision.c.outcome)
    newest = sa.select(*columns).where(*within(period, tenant))
    rows = conn.execute(newest.order_by(decision.c.at_us.desc()).limit(NEWEST + 1)).all()
    seen = [row for row in rows[:NEWEST] if row.would is not None and row.outcome == "served"]
    verdicts = Counter(verdict(json.loads(row.would), row.served_model) for row in seen)
    return Observed(len(seen), verdicts[REFUSED], verdicts[DOWNGRADED], len(rows) > NEWEST)


def verdict(would: Mapping[str, Any], served_model: str | None) -> str | None:
    """
    Say what enforcement would have done otherwise: refused, or served by another model; None for the same.
    """
    router, money = would.get("router") or {}, would.get("ledger") or {}
    if router.get("refusal") is not None or money.get("refuse") is not None:
        return REFUSED
    offer = router.get("offer") or {}
    return DOWNGRADED if offer.get("model", served_model) != served_model else None
