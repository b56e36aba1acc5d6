"""
Triggers that make a table append-only, on SQLite and PostgreSQL. They keep mistakes out; whoever owns the
database can take them away, which is what chains and seals are for.
"""

from sqlalchemy import DDL, Table, event
from sqlalchemy.schema import ExecutableDDLElement

_SQLITE = """
CREATE TRIGGER {name}_no_update BEFORE UPDATE ON {name}
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END
;;
CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name}
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END
;;
CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {name} WHEN EXISTS (SELECT 1 FROM {name} WHERE {same})
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END
"""

_POSTGRESQL = """
CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
;;
CREATE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE ON {name}
FOR EACH ROW EXECUTE FUNCTION ledger_append_only()
;;
CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name}
FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()
"""


def append_only_ddl(name: str, key: tuple[str, ...], dialect: str) -> tuple[str, ...]:
    """
    Return the statements that make a table append-only (the migrations hold a frozen copy).

    SQLite also refuses an insert over an existing key, since `INSERT OR REPLACE` deletes without a trigger
    where a connection has `recursive_triggers` off.
    """
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    template = _SQLITE if dialect == "sqlite" else _POSTGRESQL
    return tuple(part.strip() for part in template.format(name=name, same=same).split(";;"))


def guard(table: Table) -> None:
    """
    Make `metadata.create_all` write the triggers too, as the migration does.
    """
    key = tuple(column.name for column in table.primary_key)
    for dialect in ("sqlite", "postgresql"):
        for statement in append_only_ddl(table.name, key, dialect):
            ddl: ExecutableDDLElement = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
            ddl = ddl.execute_if(dialect=dialect)
            event.listen(table, "after_create", ddl)
