"""
Where degradation stands for each tenant: what hysteresis, dwell and pacing have to remember between calls.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from outlay.statements import marked
from router.codec import CodecError, from_json, to_json
from router.demand import NOT_PACED, PaceState

_READ: Final = "SELECT level, since_us, pace FROM outlay_degradation WHERE tenant = ?"
_WRITE: Final = text(
    """
    INSERT INTO outlay_degradation (tenant, level, since_us, pace) VALUES (:tenant, :level, :since_us, :pace)
    ON CONFLICT (tenant) DO UPDATE SET level = excluded.level,
        pace = COALESCE(excluded.pace, outlay_degradation.pace),
        since_us = CASE WHEN outlay_degradation.level = excluded.level THEN outlay_degradation.since_us
            ELSE excluded.since_us END
    """
)


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where degradation stands for a tenant.

    Attributes:
        level: Number of steps in force, `since_us` when it last changed; None where none ever was.
        pace: Where pacing stands.
    """

    level: int = 0
    since_us: int | None = None
    pace: PaceState = NOT_PACED


def read_standing(connection: Connection, tenant: str) -> Standing:
    """
    Return where degradation stands; nothing in force where nothing ever was.
    """
    statement = marked(_READ, connection.dialect.name)
    found = connection.exec_driver_sql(statement, (tenant,)).one_or_none()
    if found is None:
        return Standing()
    return Standing(int(found[0]), int(found[1]), _state(found[2]))


def _state(stored: str | None) -> PaceState:
    """Read where pacing stands; what another version has written counts as nothing."""
    try:
        return NOT_PACED if not stored else from_json(PaceState, stored)
    except CodecError:
        return NOT_PACED


def write_level(engine: Engine, tenant: str, level: int, now_us: int, pace: PaceState | None = None) -> None:
    """
    Remember where degradation stands. The last writer wins: every call works it out anew.

    Args:
        pace: None leaves it as it was.
    """
    stored = None if pace is None else to_json(pace)
    with engine.begin() as connection:
        values = {"tenant": tenant, "level": level, "since_us": now_us, "pace": stored}
        connection.execute(_WRITE, values)
