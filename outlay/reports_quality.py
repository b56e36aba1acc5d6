"""
Read model about quality: what scores prove of each task class, by the policy in force.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from outlay.clock import now_us as clock_us
from outlay.errors import translated
from outlay.evidence import evidence
from outlay.scores_sql import ByClass
from outlay.tables import EVERYBODY
from router.gate import GateState, counts_of, estimated_rate, explained, state_of
from router.policy_calibration import DAY_US

if TYPE_CHECKING:
    from outlay.wiring import App
    from router.policy import Policy
    from router.types import Evidence


@dataclass(frozen=True, slots=True)
class ClassRow:
    """
    What scores say of a tenant's downgraded calls of one task class, served by one tier.

    Attributes:
        estimated_ratio: Share that fails, shrunk to what other tenants saw.
        max_failed_ratio, confidence: What the policy asks for.
        text: The state in a sentence.
    """

    tenant: str
    task_class: str
    tier: str
    state: GateState
    estimated_ratio: float | None
    max_failed_ratio: float
    confidence: float
    text: str


def calibration(app: "App", tenant: str | None = None) -> tuple[ClassRow, ...]:
    """
    Return what is proven of each task class that has scores, of one tenant or of all.
    """
    now = clock_us()
    with translated(), app.reading() as conn:
        shared = app.policies.applied(conn, EVERYBODY).policy
        everybody = app.scores.counted_of_all(conn, _since_us(shared, now))
        names = app.scores.tenants(conn) if tenant is None else (tenant,)
        return tuple(row for name in names for row in _rows(app, conn, name, everybody, now))


def _rows(
    app: "App", conn: Connection, tenant: str, everybody: Mapping[str, ByClass], now_us: int
) -> Iterator[ClassRow]:
    policy = app.policies.applied(conn, tenant).policy
    own = app.scores.counted(conn, tenant, _since_us(policy, now_us))
    found = evidence(own, [one for name, one in everybody.items() if name != tenant])
    for name in sorted(own):
        for tier in policy.tier_names:
            row = _row(tenant, tier, found[name], policy)
            if row.state.n > 0:
                yield row


def _row(tenant: str, tier: str, seen: "Evidence", policy: "Policy") -> ClassRow:
    asked = policy.routing.calibration
    models = [model.id for model in policy.tiers[tier].facts]
    state = state_of(seen, asked, models)
    others = counts_of(seen.others, models)
    return ClassRow(
        tenant=tenant,
        task_class=seen.task_class,
        tier=tier,
        state=state,
        estimated_ratio=estimated_rate(counts_of(seen.models, models), others, asked.shrinkage),
        max_failed_ratio=asked.max_failed_ratio,
        confidence=asked.confidence,
        text=explained(state, asked.max_failed_ratio, asked.confidence),
    )


def _since_us(policy: "Policy", now_us: int) -> int:
    return now_us - policy.routing.calibration.window_days * DAY_US
