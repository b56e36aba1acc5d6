"""
Quality scores, trained classifiers, demand by quarter-hours, and attempts that belong to one decision.

The triggers are a frozen copy of those in `outlay/tables.py`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPEND_ONLY = (
    ("outlay_score", "id = NEW.id"),
    ("outlay_classifier", "version = NEW.version"),
    ("outlay_prices", "digest = NEW.digest"),
)
SQLITE_GUARD = (
    """CREATE TRIGGER {name}_no_update BEFORE UPDATE ON {name}
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END""",
    """CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name}
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END""",
    """CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {name}
WHEN EXISTS (SELECT 1 FROM {name} WHERE {same})
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END""",
)
POSTGRESQL_GUARD = (
    """CREATE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE ON {name}
FOR EACH ROW EXECUTE FUNCTION outlay_append_only()""",
    """CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name}
FOR EACH STATEMENT EXECUTE FUNCTION outlay_append_only()""",
)


def upgrade() -> None:
    """
    Add the columns, then the tables, then their triggers.
    """
    op.add_column("outlay_decision", sa.Column("parent", sa.Text(), nullable=True))
    op.add_column("outlay_decision", sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outlay_decision", sa.Column("strategy", sa.Text(), nullable=True))
    op.add_column(
        "outlay_decision", sa.Column("prices", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    op.add_column("outlay_decision", sa.Column("turn", sa.Text(), nullable=True))
    op.create_index("outlay_decision_parent", "outlay_decision", ["parent"], unique=False)
    session_model = ["tenant", "session", "served_model"]
    op.create_index("outlay_decision_session_model", "outlay_decision", session_model, unique=False)
    create_score()
    create_classifier()
    create_demand()
    create_prices()
    guard = SQLITE_GUARD if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARD
    for name, same in APPEND_ONLY:
        for statement in guard:
            op.execute(sa.DDL(statement.format(name=name, same=same).replace("%", "%%")))


def create_score() -> None:
    op.create_table(
        "outlay_score",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("task_class", sa.Text(), nullable=False),
        sa.Column("served_tier", sa.Text(), nullable=True),
        sa.Column("asked_tier", sa.Text(), nullable=True),
        sa.Column("served_model", sa.Text(), nullable=True),
        sa.Column("downgraded", sa.Boolean(), nullable=False),
        sa.Column("score_ppm", sa.BigInteger(), nullable=False),
        sa.Column("weight_ppm", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("score_ppm BETWEEN 0 AND 1000000 AND weight_ppm > 0", name="outlay_score_range"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("outlay_score_decision", "outlay_score", ["decision_id"], unique=False)
    op.create_index("outlay_score_tenant_at", "outlay_score", ["tenant", "at_us"], unique=False)
    op.create_index("outlay_score_at", "outlay_score", ["at_us"], unique=False)


def create_classifier() -> None:
    op.create_table(
        "outlay_classifier",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("data_hash", sa.Text(), nullable=False),
        sa.Column("quality", sa.Text(), nullable=False),
        sa.Column("weights", sa.Text(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_index("outlay_classifier_tenant", "outlay_classifier", ["tenant", "at_us"], unique=False)


def create_demand() -> None:
    op.create_table(
        "outlay_demand",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("quarter_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("asked_nanos", sa.BigInteger(), nullable=False),
        sa.Column("least_nanos", sa.BigInteger(), nullable=False),
        sa.Column("cost_nanos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "quarter_us", "tier"),
    )
    op.create_table(
        "outlay_worth",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("day_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bin", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("extra_nanos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "day_us", "bin"),
    )
    op.add_column("outlay_degradation", sa.Column("pace", sa.Text(), nullable=True))


def create_prices() -> None:
    op.create_table(
        "outlay_prices",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )


def downgrade() -> None:
    """
    Drop the tables, which takes their triggers along, then the columns.
    """
    op.drop_table("outlay_prices")
    op.drop_column("outlay_degradation", "pace")
    op.drop_table("outlay_worth")
    op.drop_table("outlay_demand")
    op.drop_table("outlay_classifier")
    op.drop_table("outlay_score")
    op.drop_index("outlay_decision_session_model", "outlay_decision")
    op.drop_index("outlay_decision_parent", "outlay_decision")
    for name in ("turn", "prices", "strategy", "attempt", "parent"):
        op.drop_column("outlay_decision", name)
