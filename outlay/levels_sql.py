"""
The degradation steps in force for each tenant: what hysteresis has to remember between calls.
"""

from typing import Final

from sqlalchemy import Connection, Engine, text

_READ: Final = "SELECT level FROM outlay_degradation WHERE tenant = "
_WRITE: Final = text(
    """
    INSERT INTO outlay_degradation (tenant, level, since_us) VALUES (:tenant, :level, :since_us)
    ON CONFLICT (tenant) DO UPDATE SET level = excluded.level, since_us = excluded.since_us
    """
)


def read_level(connection: Connection, tenant: str) -> int:
    """
    Return the number of steps in force; 0 where none ever was.
    """
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    found = connection.exec_driver_sql(_READ + mark, (tenant,)).scalar_one_or_none()
    return 0 if found is None else int(found)


def write_level(engine: Engine, tenant: str, level: int, now_us: int) -> None:
    """
    Remember the steps in force. The last writer wins: every call works the level out anew.
    """
    with engine.begin() as connection:
        connection.execute(_WRITE, {"tenant": tenant, "level": level, "since_us": now_us})
