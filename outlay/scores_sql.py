"""
Quality scores of decisions: appended, never changed, and counted into the evidence of a task class.

A model's answer to a call is one trial, however many judges it has: of each source its newest score counts,
their mean by weight says whether the answer failed, and the trial weighs what its judges weigh together, at
most 1.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select

from outlay.statements import append, marked
from outlay.tables import score as table
from router.types import Counts

FAILED_BELOW_PPM: Final = 500_000
ROWS_MAX: Final = 20_000
"""So many of the newest scores are counted; beyond them a class is known well enough."""

ByClass = Mapping[str, Mapping[str, Counts]]
"""Task class, then model that served: what was counted."""

_COUNT: Final = """
SELECT tenant, task_class, served_model,
 SUM(CASE WHEN weight > 1000000 THEN 1000000 ELSE weight END) AS n,
 SUM(CASE WHEN total >= {failed} * weight THEN 0 WHEN weight > 1000000 THEN 1000000 ELSE weight END) AS failed
FROM (
 SELECT tenant, task_class, served_model, SUM(weight_ppm) AS weight, SUM(score_ppm * weight_ppm) AS total
 FROM (
  SELECT tenant, task_class, served_model, decision_id, score_ppm, weight_ppm,
   ROW_NUMBER() OVER (PARTITION BY decision_id, served_model, source ORDER BY at_us DESC, id DESC) AS place
  FROM (
   SELECT * FROM outlay_score WHERE {of} at_us >= ? AND downgraded AND served_model IS NOT NULL
   ORDER BY at_us DESC LIMIT {most}
  ) AS newest
 ) AS scores
 WHERE place = 1
 GROUP BY tenant, task_class, served_model, decision_id
) AS trials
GROUP BY tenant, task_class, served_model
"""
# read while calls wait, so it goes to the driver as it is


@dataclass(frozen=True, slots=True)
class Score:
    """
    What one source says of one decision.

    Args:
        served_tier, served_model: Whose answer it is: what served the call, or what was tried beside it.
        downgraded: That is below the tier that the call asked for.
        score_ppm: 0 wrong .. 1,000,000 right.
        weight_ppm: 1,000,000 for a judge who is sure.
    """

    id: str
    decision_id: str
    tenant: str
    task_class: str
    served_tier: str | None
    asked_tier: str | None
    served_model: str | None
    downgraded: bool
    score_ppm: int
    weight_ppm: int
    source: str
    comment: str
    actor: str
    at_us: int


class Scores:
    """
    The scores of one database.
    """

    def __init__(self, engine: Engine, most: int = ROWS_MAX) -> None:
        """
        Count the newest `most` scores, no more.
        """
        self._engine = engine
        self._most = most
        self._of_one, self._of_all = (self._statement(of) for of in ("tenant = ? AND", ""))

    def _statement(self, of: str) -> str:
        text = _COUNT.format(of=of, failed=FAILED_BELOW_PPM, most=self._most)
        return marked(text, self._engine.dialect.name)

    def add(self, score: Score) -> bool:
        """
        Append a score; false where its id is taken.
        """
        return append(self._engine, table, asdict(score))

    def find(self, connection: Connection, score_id: str) -> Score | None:
        """
        Return a score by its id.
        """
        found = connection.execute(select(table).where(table.c.id == score_id)).one_or_none()
        return None if found is None else Score(**found._mapping)

    def of_decision(self, connection: Connection, decision_id: str) -> tuple[Score, ...]:
        """
        Return every score of a decision, the oldest first.
        """
        query = select(table).where(table.c.decision_id == decision_id).order_by(table.c.at_us, table.c.id)
        return tuple(Score(**row._mapping) for row in connection.execute(query))

    def counted(self, connection: Connection, tenant: str, since_us: int) -> ByClass:
        """
        Count a tenant's scored downgraded calls, and how many of them failed.
        """
        rows = connection.exec_driver_sql(self._of_one, (tenant, since_us)).all()
        return _by_tenant(rows).get(tenant, {})

    def newest_us(self, connection: Connection, tenant: str) -> int:
        """
        Return when a tenant's newest score was given; 0 where there is none.
        """
        query = select(func.max(table.c.at_us)).where(table.c.tenant == tenant)
        return int(connection.execute(query).scalar_one() or 0)

    def tenants(self, connection: Connection) -> tuple[str, ...]:
        """
        Return the tenants that have scores, by name.
        """
        return tuple(connection.execute(select(table.c.tenant).distinct().order_by(table.c.tenant)).scalars())

    def counted_of_all(self, connection: Connection, since_us: int) -> Mapping[str, ByClass]:
        """
        Count those of every tenant, by its name.
        """
        return _by_tenant(connection.exec_driver_sql(self._of_all, (since_us,)).all())


def counting(scores: tuple[Score, ...]) -> tuple[Score, ...]:
    """
    Keep of a decision's scores, the oldest first, those that count: the newest of each source and model.
    """
    return tuple({(score.source, score.served_model): score for score in scores}.values())


def _by_tenant(rows: Any) -> dict[str, dict[str, dict[str, Counts]]]:
    found: dict[str, dict[str, dict[str, Counts]]] = defaultdict(lambda: defaultdict(dict))
    for tenant, task_class, model, n, failed in rows:
        found[tenant][task_class][model] = Counts(int(n) / 1e6, int(failed) / 1e6)
    return found
