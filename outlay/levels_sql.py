"""
The degradation steps in force for each tenant: what hysteresis has to remember between calls.
"""

from sqlalchemy import Connection, Engine, insert, select, update

from outlay.tables import degradation as table


def read_level(connection: Connection, tenant: str) -> int:
    """
    Return the number of steps in force; 0 where none ever was.
    """
    found = connection.execute(select(table.c.level).where(table.c.tenant == tenant)).scalar_one_or_none()
    return 0 if found is None else int(found)


def write_level(engine: Engine, tenant: str, level: int, now_us: int) -> None:
    """
    Remember the steps in force. The last writer wins: every call works the level out anew.
    """
    values = {"level": level, "since_us": now_us}
    with engine.begin() as connection:
        changed = connection.execute(update(table).where(table.c.tenant == tenant).values(**values))
        if changed.rowcount == 0:
            connection.execute(insert(table).values(tenant=tenant, **values))
