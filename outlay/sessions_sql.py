"""
Conversations in the decision log: what the newest calls of one were served with, and how long a tenant's
conversations usually are.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Engine

from outlay.statements import marked
from outlay.views import SessionMemory

NEWEST: Final = 20
"""Calls of a conversation in which a signal that raised it is looked for."""
RECENT: Final = 2_000
"""Answers of a tenant from which the length of its conversations is measured."""
TURNS_MAX: Final = 32
KEPT_S: Final = 600.0
_TENANTS_MAX: Final = 10_000
_ESCALATED: Final = '%"code":"session_escalated"%'

# read before every call of a conversation that goes on, so it goes to the driver as it is
# and in one round: its newest calls, and every model that ever answered it (without an instant), found by one
# look into the index for each, as a session may be as long as its caller likes
_NEWEST: Final = f"""WITH RECURSIVE answered(model) AS (SELECT MIN(served_model) FROM outlay_decision
 WHERE tenant = ? AND session = ? AND outcome IN ('served', 'broken')
 UNION ALL SELECT (SELECT MIN(d.served_model) FROM outlay_decision d WHERE d.tenant = ? AND d.session = ?
 AND d.outcome IN ('served', 'broken') AND d.served_model > answered.model)
 FROM answered WHERE answered.model IS NOT NULL)
 SELECT * FROM (SELECT d.at_us, d.served_model, d.usage, d.finished_us, d.served_tier,
 d.effort, d.asked_model, d.task, d.counterfactual,
 CASE WHEN d.outcome = 'served' THEN d.turn END AS turn,
 CASE WHEN d.reasons LIKE ? THEN 1 ELSE 0 END AS escalated,
 (SELECT s.score_ppm FROM outlay_score s WHERE s.decision_id = d.id AND s.served_model = d.served_model
 ORDER BY s.at_us DESC, s.id DESC LIMIT 1) AS score_ppm
 FROM outlay_decision d
 WHERE d.tenant = ? AND d.session = ? AND d.outcome IN ('served', 'broken') AND d.served_model IS NOT NULL
 ORDER BY d.at_us DESC LIMIT {NEWEST}) AS newest
 UNION ALL
 SELECT NULL, model, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL
 FROM answered WHERE model IS NOT NULL"""  # noqa: S608 - our own number

_LENGTHS: Final = f"""SELECT COUNT(*) FROM (SELECT session FROM outlay_decision WHERE tenant = ?
 AND session IS NOT NULL AND parent IS NULL AND outcome IN ('served', 'broken')
 ORDER BY at_us DESC LIMIT {RECENT}) AS recent GROUP BY session"""  # noqa: S608 - our own number

_CACHED_PARTS: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")


class Sessions:
    """
    Conversations in the decision log of one database.
    """

    def __init__(self, engine: Engine) -> None:
        self._newest, self._lengths = (marked(text, engine.dialect.name) for text in (_NEWEST, _LENGTHS))
        self._kept: dict[str, tuple[float, tuple[int, ...]]] = {}

    def memory(self, connection: Connection, tenant: str, session: str) -> SessionMemory | None:
        """
        Return what a conversation of a tenant was served with; None where nothing of it was served yet.
        """
        named = (tenant, session)
        rows = connection.exec_driver_sql(self._newest, (*named, *named, _ESCALATED, *named)).all()
        newest = sorted((row for row in rows if row.at_us is not None), key=lambda row: -row.at_us)
        if not newest:
            return None
        last = newest[0]
        return SessionMemory(
            last_model=str(last.served_model),
            cached_tokens=_cached_tokens(last.usage),
            models=frozenset(str(row.served_model) for row in rows),
            last_us=int(last.finished_us),
            tier=last.served_tier,
            effort=last.effort,
            asked_model=str(last.asked_model),
            task=last.task,
            turn=last.turn,
            wanted_effort=_wanted(last.counterfactual, "effort"),
            escalated=any(row.escalated for row in newest),
            score_ppm=last.score_ppm,
            turns_of_others=self.turns(connection, tenant),
            routed_tier=_wanted(last.counterfactual, "routed_tier"),
        )

    def turns(self, connection: Connection, tenant: str) -> tuple[int, ...]:
        """
        Count how many of a tenant's recent conversations had a first answer, a second and so on.

        Counted anew every few minutes.
        """
        until, counts = self._kept.get(tenant, (0.0, ()))
        if time.monotonic() < until:
            return counts
        if len(self._kept) >= _TENANTS_MAX:
            self._kept.clear()
        lengths = [int(row[0]) for row in connection.exec_driver_sql(self._lengths, (tenant,))]
        counts = survivors(lengths)
        self._kept[tenant] = (time.monotonic() + KEPT_S, counts)
        return counts


def survivors(lengths: list[int]) -> tuple[int, ...]:
    """
    Count the conversations that had at least one answer, at least two and so on.
    """
    longest = min(max(lengths, default=0), TURNS_MAX)
    return tuple(sum(length >= turn for length in lengths) for turn in range(1, longest + 1))


def _wanted(counterfactual: str | None, name: str) -> str | None:
    wanted = json.loads(counterfactual) if counterfactual else {}
    value = wanted.get(name)
    return value if isinstance(value, str) else None


def _cached_tokens(usage: str | None) -> int:
    """
    Return the prompt tokens that the provider has in its cache since a call; 0 where that is not known.
    """
    counts: Any = json.loads(usage) if usage else None
    if not isinstance(counts, Mapping):
        return 0
    parts = (counts.get(name) for name in _CACHED_PARTS)
    return sum(part for part in parts if isinstance(part, int) and not isinstance(part, bool))
