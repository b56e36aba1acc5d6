"""
The shell: keys, policy versions, the decision log, refusal counts, degradation levels.

The triggers are a frozen copy of those in `outlay/tables.py`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQLITE_GUARD = (
    """CREATE TRIGGER outlay_policy_no_update BEFORE UPDATE ON outlay_policy
BEGIN SELECT RAISE(ABORT, 'outlay_policy is append-only'); END""",
    """CREATE TRIGGER outlay_policy_no_delete BEFORE DELETE ON outlay_policy
BEGIN SELECT RAISE(ABORT, 'outlay_policy is append-only'); END""",
    """CREATE TRIGGER outlay_policy_no_replace BEFORE INSERT ON outlay_policy
WHEN EXISTS (SELECT 1 FROM outlay_policy WHERE tenant = NEW.tenant AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'outlay_policy is append-only'); END""",
    """CREATE TRIGGER outlay_decision_no_update BEFORE UPDATE ON outlay_decision
BEGIN SELECT RAISE(ABORT, 'outlay_decision is append-only'); END""",
    """CREATE TRIGGER outlay_decision_no_delete BEFORE DELETE ON outlay_decision
BEGIN SELECT RAISE(ABORT, 'outlay_decision is append-only'); END""",
    """CREATE TRIGGER outlay_decision_no_replace BEFORE INSERT ON outlay_decision
WHEN EXISTS (SELECT 1 FROM outlay_decision WHERE id = NEW.id)
BEGIN SELECT RAISE(IGNORE); END""",
)
POSTGRESQL_FUNCTION = """CREATE OR REPLACE FUNCTION outlay_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"""
POSTGRESQL_GUARD = (
    """CREATE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE ON {name}
FOR EACH ROW EXECUTE FUNCTION outlay_append_only()""",
    """CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name}
FOR EACH STATEMENT EXECUTE FUNCTION outlay_append_only()""",
)


def upgrade() -> None:
    """
    Create the tables, then the triggers that make policies and decisions append-only.
    """
    create_api_key()
    create_policy()
    create_decision()
    create_counts()
    for statement in guard():
        op.execute(sa.DDL(statement.replace("%", "%%")))


def guard() -> tuple[str, ...]:
    """
    Return the triggers for this engine.
    """
    if op.get_bind().dialect.name == "sqlite":
        return SQLITE_GUARD
    named = [part.format(name=name) for name in ("outlay_policy", "outlay_decision") for part in POSTGRESQL_GUARD]
    return (POSTGRESQL_FUNCTION, *named)


def create_api_key() -> None:
    op.create_table(
        "outlay_api_key",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rights", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.CheckConstraint("role IN ('tenant', 'viewer', 'operator', 'admin')", name="outlay_api_key_role"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_index("outlay_api_key_tenant", "outlay_api_key", ["tenant"], unique=False)


def create_policy() -> None:
    op.create_table(
        "outlay_policy",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "version"),
    )


def create_decision() -> None:
    op.create_table(
        "outlay_decision",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("finished_us", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("would", sa.Text(), nullable=True),
        sa.Column("surface", sa.Text(), nullable=False),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("asked_model", sa.Text(), nullable=False),
        sa.Column("asked_tier", sa.Text(), nullable=True),
        sa.Column("served_model", sa.Text(), nullable=True),
        sa.Column("served_tier", sa.Text(), nullable=True),
        sa.Column("effort", sa.Text(), nullable=True),
        sa.Column("max_tokens", sa.BigInteger(), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("ratio", sa.Float(), nullable=True),
        sa.Column("gauge", sa.Text(), nullable=True),
        sa.Column("offers", sa.Text(), nullable=False),
        sa.Column("counterfactual", sa.Text(), nullable=True),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("policy_tenant", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("hold_id", sa.Text(), nullable=True),
        sa.Column("held_nanos", sa.BigInteger(), nullable=True),
        sa.Column("cost_nanos", sa.BigInteger(), nullable=True),
        sa.Column("asked_cost_nanos", sa.BigInteger(), nullable=True),
        sa.Column("usage", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("outlay_decision_tenant_at", "outlay_decision", ["tenant", "at_us"], unique=False)
    op.create_index("outlay_decision_at", "outlay_decision", ["at_us"], unique=False)
    op.create_index(
        "outlay_decision_session", "outlay_decision", ["tenant", "session", "at_us"], unique=False
    )


def create_counts() -> None:
    op.create_table(
        "outlay_refusal_count",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("minute_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "code", "minute_us"),
    )
    op.create_index("outlay_refusal_count_minute", "outlay_refusal_count", ["minute_us"], unique=False)
    op.create_table(
        "outlay_degradation",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )


def downgrade() -> None:
    """
    Drop everything; the triggers go with their tables, the function after them.
    """
    op.drop_table("outlay_degradation")
    op.drop_table("outlay_refusal_count")
    op.drop_table("outlay_decision")
    op.drop_table("outlay_policy")
    op.drop_table("outlay_api_key")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION outlay_append_only()")
