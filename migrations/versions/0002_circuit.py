"""
The circuit: breakers and switches, their journal, buckets of spending and of calls.

The triggers are a frozen copy of those in `circuit/tables.py`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQLITE_GUARD = (
    """CREATE TRIGGER circuit_event_no_update BEFORE UPDATE ON circuit_event
BEGIN SELECT RAISE(ABORT, 'circuit_event is append-only'); END""",
    """CREATE TRIGGER circuit_event_no_delete BEFORE DELETE ON circuit_event
BEGIN SELECT RAISE(ABORT, 'circuit_event is append-only'); END""",
    """CREATE TRIGGER circuit_event_no_replace BEFORE INSERT ON circuit_event
WHEN EXISTS (SELECT 1 FROM circuit_event WHERE seq = NEW.seq
  OR (scope = NEW.scope AND subject = NEW.subject AND version = NEW.version))
BEGIN SELECT RAISE(ABORT, 'circuit_event is append-only'); END""",
)
POSTGRESQL_GUARD = (
    """CREATE OR REPLACE FUNCTION circuit_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'circuit_event is append-only'; END $$""",
    """CREATE TRIGGER circuit_event_no_change BEFORE UPDATE OR DELETE ON circuit_event
FOR EACH ROW EXECUTE FUNCTION circuit_append_only()""",
    """CREATE TRIGGER circuit_event_no_truncate BEFORE TRUNCATE ON circuit_event
FOR EACH STATEMENT EXECUTE FUNCTION circuit_append_only()""",
)


def upgrade() -> None:
    """
    Create the tables, then the triggers that make the journal append-only.
    """
    create_state()
    create_event()
    create_buckets()
    guard = SQLITE_GUARD if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARD
    for statement in guard:
        op.execute(statement)


def create_state() -> None:
    op.create_table(
        "circuit_state",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=True),
        sa.Column("trips", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name="pk_circuit_state"),
        sa.CheckConstraint(
            "(subject = 'breaker' AND state IN ('closed', 'open', 'half_open', 'forced_open', 'disabled'))"
            " OR (subject = 'switch' AND state IN ('running', 'halted'))",
            name=op.f("ck_circuit_state_state"),
        ),
        sa.CheckConstraint("version > 0", name=op.f("ck_circuit_state_version")),
        sa.CheckConstraint("trips >= 0", name=op.f("ck_circuit_state_trips")),
        sqlite_with_rowid=False,
    )


def create_event() -> None:
    op.create_table(
        "circuit_event",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=True),
        sa.Column("trips", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_circuit_event"),
        sa.UniqueConstraint("scope", "subject", "version", name="uq_circuit_event_scope_subject_version"),
        sa.CheckConstraint("subject IN ('breaker', 'switch')", name=op.f("ck_circuit_event_subject")),
        sa.CheckConstraint("version > 0", name=op.f("ck_circuit_event_version")),
    )


def create_buckets() -> None:
    op.create_table(
        "circuit_spend_bucket",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("starts_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "starts_us", "writer", name="pk_circuit_spend_bucket"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_circuit_spend_bucket_starts_us", "circuit_spend_bucket", ["starts_us"])
    op.create_table(
        "circuit_call_bucket",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("starts_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "starts_us", "writer", "generation", name="pk_circuit_call_bucket"),
        sa.CheckConstraint(
            "calls >= 0 AND failures >= 0 AND failures <= calls", name=op.f("ck_circuit_call_bucket_counts")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_circuit_call_bucket_starts_us", "circuit_call_bucket", ["starts_us"])


def downgrade() -> None:
    """
    Drop everything; the triggers go with their table, the function after it.
    """
    op.drop_table("circuit_call_bucket")
    op.drop_table("circuit_spend_bucket")
    op.drop_table("circuit_event")
    op.drop_table("circuit_state")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION circuit_append_only()")
