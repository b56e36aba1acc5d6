"""
The writer's own connection to whichever database an engine is for.
"""

from sqlalchemy import Engine

from ledger.drivers import Driver


def connect(engine: Engine) -> Driver:
    """
    Open the writer's own connection; only the database that is used is loaded.
    """
    if engine.dialect.name == "sqlite":
        from ledger.driver_sqlite import SqliteDriver

        return SqliteDriver(engine)
    from ledger.driver_postgres import PostgresDriver

    return PostgresDriver(engine)
