"""
The writer's own connection to whichever database an engine is for.
"""

import threading

from sqlalchemy import Engine

from ledger.connect import SQLITE_CONNECTIONS
from ledger.drivers import Driver
from ledger.sqlite_fork import Disconnects


def connect(engine: Engine) -> Driver:
    """
    Open the writer's own connection; only the database that is used is loaded.
    """
    if engine.dialect.name == "sqlite":
        from ledger.driver_sqlite import SqliteDriver

        return SqliteDriver(engine)
    from ledger.driver_postgres import PostgresDriver

    return PostgresDriver(engine)


def rest_at_forks(engine: Engine, writer: Disconnects, lock: threading.Lock) -> None:
    """
    Have a writer's connection closed under its lock before this process forks, where its database needs that.
    """
    connections = engine.get_execution_options().get(SQLITE_CONNECTIONS)
    if connections is not None:
        connections.add(writer, lock)
