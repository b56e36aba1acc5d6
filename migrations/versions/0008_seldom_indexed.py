"""
Less to write for each call: no index names, also not in its condition, what each call changes and nobody looks for.

On PostgreSQL an update of a column that an index names writes to every index of the row. So a lot says in a column of
its own, which seldom changes, whether something of it is left. Keys of holds are indexed only where they do not follow
from the hold's id. SQLite cannot drop a constraint: there the holds are copied into a table made anew.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

LEFT = "ix_ledger_grant_lot_left"
KEY = "ix_ledger_hold_op_key"
KEYS = "uq_ledger_hold_tenant_op_key"
KEYS_SQL = f"CONSTRAINT {KEYS} UNIQUE (tenant, op_key)"
CALLERS_KEY = sa.text("op_key <> 'hold:' || id")


def upgrade() -> None:
    """
    Say of lots whether they are spent, and index only callers' keys.
    """
    lite = op.get_bind().dialect.name == "sqlite"
    op.drop_index(LEFT, "ledger_grant_lot")
    kind = "VIRTUAL" if lite else "STORED"  # SQLite adds no stored column
    op.execute(f"ALTER TABLE ledger_grant_lot ADD COLUMN unspent BOOLEAN GENERATED ALWAYS AS (remaining > 0) {kind}")
    index_lots("unspent")
    if lite:
        remake_holds(re.sub(rf",\s*{re.escape(KEYS_SQL)}", "", body_of_holds()))
    else:
        op.drop_constraint(KEYS, "ledger_hold")
    op.create_index(
        KEY, "ledger_hold", ["tenant", "op_key"], unique=True, sqlite_where=CALLERS_KEY, postgresql_where=CALLERS_KEY
    )


def downgrade() -> None:
    """
    Undo it.
    """
    op.drop_index(KEY, "ledger_hold")
    if op.get_bind().dialect.name == "sqlite":
        remake_holds(f"{body_of_holds().rstrip().removesuffix(')')}, {KEYS_SQL})")
    else:
        op.create_unique_constraint(KEYS, "ledger_hold", ["tenant", "op_key"])
    op.drop_index(LEFT, "ledger_grant_lot")
    op.drop_column("ledger_grant_lot", "unspent")
    index_lots("remaining > 0")


def index_lots(where: str) -> None:
    columns = ["tenant", "priority", "expires_at"]
    op.create_index(LEFT, "ledger_grant_lot", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def body_of_holds() -> str:
    made = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'ledger_hold'"
    text = str(op.get_bind().execute(sa.text(made)).scalar_one())
    return text[text.index("(") :]


def remake_holds(body: str) -> None:
    bind = op.get_bind()
    made = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'ledger_hold' AND sql IS NOT NULL"
    indexes = bind.execute(sa.text(made)).scalars().all()
    bind.exec_driver_sql(f"CREATE TABLE ledger_hold_new {body}")
    bind.exec_driver_sql("INSERT INTO ledger_hold_new SELECT * FROM ledger_hold")  # the columns are the same
    op.drop_table("ledger_hold")
    op.rename_table("ledger_hold_new", "ledger_hold")
    for index in indexes:
        bind.exec_driver_sql(index)
