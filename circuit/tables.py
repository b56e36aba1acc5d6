"""
The tables of the circuit (SQLAlchemy Core), the same on SQLite and PostgreSQL.

`circuit_state` has one row per breaker and per switch that ever moved; `circuit_event` every move,
append-only by triggers; the buckets are sharded by writer, so that processes do not wait for one row.
The triggers here serve `create_all`; the migration has its own frozen copy, and a test compares both.
"""

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
)
from sqlalchemy.schema import ExecutableDDLElement

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _word(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _number(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _key_word(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _key_number(name: str) -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


_SUBJECTS = "subject IN ('breaker', 'switch')"
_STATES = (
    "(subject = 'breaker' AND state IN ('closed', 'open', 'half_open', 'forced_open', 'disabled'))"
    " OR (subject = 'switch' AND state IN ('running', 'halted'))"
)

state = Table(
    "circuit_state",
    metadata,
    _key_word("scope"),
    _key_word("subject"),
    _word("state"),
    _number("version"),
    _number("changed_us"),
    _number("until_us", nullable=True),
    _number("trips"),
    _number("since_us"),
    _word("rule"),
    _word("actor"),
    _word("reason"),
    _word("hash"),
    CheckConstraint(_STATES, name="state"),
    CheckConstraint("version > 0", name="version"),
    CheckConstraint("trips >= 0", name="trips"),
    sqlite_with_rowid=False,
)

event_log = Table(
    "circuit_event",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    _word("subject"),
    _word("scope"),
    _number("version"),
    _number("at_us"),
    _word("from_state"),
    _word("to_state"),
    _number("until_us", nullable=True),
    _number("trips"),
    _number("since_us"),
    _word("rule"),
    _word("numbers"),
    _word("actor"),
    _word("reason"),
    _word("previous_hash"),
    _word("hash"),
    UniqueConstraint("scope", "subject", "version"),
    CheckConstraint(_SUBJECTS, name="subject"),
    CheckConstraint("version > 0", name="version"),
)

spend_bucket = Table(
    "circuit_spend_bucket",
    metadata,
    _key_word("scope"),
    _key_number("starts_us"),
    _key_word("writer"),
    _number("amount_nanos"),
    Index(None, "starts_us"),
    sqlite_with_rowid=False,
)

call_bucket = Table(
    "circuit_call_bucket",
    metadata,
    _key_word("scope"),
    _key_number("starts_us"),
    _key_word("writer"),
    _key_number("generation"),
    _number("calls"),
    _number("failures"),
    CheckConstraint("calls >= 0 AND failures >= 0 AND failures <= calls", name="counts"),
    Index(None, "starts_us"),
    sqlite_with_rowid=False,
)

SQLITE_TRIGGERS = (
    """CREATE TRIGGER circuit_event_no_update BEFORE UPDATE ON circuit_event
BEGIN SELECT RAISE(ABORT, 'circuit_event is append-only'); END""",
    """CREATE TRIGGER circuit_event_no_delete BEFORE DELETE ON circuit_event
BEGIN SELECT RAISE(ABORT, 'circuit_event is append-only'); END""",
    """CREATE TRIGGER circuit_event_no_replace BEFORE INSERT ON circuit_event
WHEN EXISTS (SELECT 1 FROM circuit_event WHERE seq = NEW.seq
  OR (scope = NEW.scope AND subject = NEW.subject AND version = NEW.version))
BEGIN SELECT RAISE(ABORT, 'circuit_event is append-only'); END""",
)
POSTGRES_TRIGGERS = (
    """CREATE OR REPLACE FUNCTION circuit_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'circuit_event is append-only'; END $$""",
    """CREATE TRIGGER circuit_event_no_change BEFORE UPDATE OR DELETE ON circuit_event
FOR EACH ROW EXECUTE FUNCTION circuit_append_only()""",
    """CREATE TRIGGER circuit_event_no_truncate BEFORE TRUNCATE ON circuit_event
FOR EACH STATEMENT EXECUTE FUNCTION circuit_append_only()""",
)

for _dialect, _statements in (("sqlite", SQLITE_TRIGGERS), ("postgresql", POSTGRES_TRIGGERS)):
    for _statement in _statements:
        _ddl: ExecutableDDLElement = DDL(_statement)  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
        event.listen(event_log, "after_create", _ddl.execute_if(dialect=_dialect))
