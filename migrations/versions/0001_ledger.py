"""
The credit ledger: accounts, lots, budgets, holds, transfers, keys.

The triggers are a frozen copy of those in `ledger/tables.py`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = {
    "ledger_transfer": ("tenant", "seq"),
    "ledger_draw": ("tenant", "seq", "lot_id"),
    "ledger_seal": ("tenant", "seq_from"),
}

SQLITE_GUARD = """
CREATE TRIGGER {name}_no_update BEFORE UPDATE ON {name}
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END
;;
CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name}
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END
;;
CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {name} WHEN EXISTS (SELECT 1 FROM {name} WHERE {same})
BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END
"""

POSTGRESQL_GUARD = """
CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
;;
CREATE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE ON {name}
FOR EACH ROW EXECUTE FUNCTION ledger_append_only()
;;
CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name}
FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()
"""


def upgrade() -> None:
    """
    Create the tables, then the triggers that make history append-only.
    """
    op.create_table(
        "ledger_account",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("wallet", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("held_expected", sa.BigInteger(), nullable=False),
        sa.Column("debt", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", sa.Text(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("frozen", sa.SmallInteger(), nullable=False),
        sa.Column("multiplier_ppm", sa.BigInteger(), nullable=False),
        sa.Column("overage", sa.SmallInteger(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("frozen IN (0, 1) AND overage IN (0, 1)", name=op.f("ck_ledger_account_codes")),
        sa.CheckConstraint(
            "held >= 0 AND wallet >= held AND debt >= 0", name=op.f("ck_ledger_account_never_overspent")
        ),
        sa.CheckConstraint(
            "held_expected >= 0 AND held_expected <= held",
            name=op.f("ck_ledger_account_expected_within_held"),
        ),
        sa.CheckConstraint("seq >= 0 AND multiplier_ppm >= 0", name=op.f("ck_ledger_account_counters")),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_ledger_account")),
    )
    op.create_table(
        "ledger_budget_window",
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("local_date", sa.Text(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("limit_amt", sa.BigInteger(), nullable=True),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("held_expected", sa.BigInteger(), nullable=False),
        sa.Column("overage", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "held_expected >= 0 AND held_expected <= held AND overage >= 0",
            name=op.f("ck_ledger_budget_window_more_amounts"),
        ),
        sa.CheckConstraint(
            "spent >= 0 AND held >= 0 AND starts_at < ends_at", name=op.f("ck_ledger_budget_window_amounts")
        ),
        sa.PrimaryKeyConstraint("budget_id", "starts_at", name=op.f("pk_ledger_budget_window")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_ledger_budget_window_tenant", "ledger_budget_window", ["tenant", "ends_at"], unique=False
    )
    op.create_table(
        "ledger_draw",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lot_id", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_ledger_draw_amount")),
        sa.PrimaryKeyConstraint("tenant", "seq", "lot_id", name=op.f("pk_ledger_draw")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ledger_draw_hold_id", "ledger_draw", ["hold_id"], unique=False)
    op.create_table(
        "ledger_hold",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("op_key", sa.Text(), nullable=False),
        sa.Column("req_hash", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("enforced", sa.SmallInteger(), nullable=False),
        sa.Column("overage", sa.SmallInteger(), nullable=False),
        sa.Column("multiplier_ppm", sa.BigInteger(), nullable=False),
        sa.Column("offer_index", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False),
        sa.Column("cost_bound", sa.BigInteger(), nullable=False),
        sa.Column("captured", sa.BigInteger(), nullable=False),
        sa.Column("actual", sa.BigInteger(), nullable=True),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("debt", sa.BigInteger(), nullable=False),
        sa.Column("absorbed", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.SmallInteger(), nullable=False),
        sa.Column("settle_hash", sa.Text(), nullable=True),
        sa.Column("settle_seq", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("captured = charged + debt + absorbed", name=op.f("ck_ledger_hold_captured")),
        sa.CheckConstraint("charged >= 0 AND debt >= 0 AND absorbed >= 0", name=op.f("ck_ledger_hold_parts")),
        sa.CheckConstraint(
            "expected >= 0 AND expected <= amount AND cost_bound >= 0", name=op.f("ck_ledger_hold_amounts")
        ),
        sa.CheckConstraint(
            "refunded >= 0 AND refunded <= charged + debt", name=op.f("ck_ledger_hold_refunded")
        ),
        sa.CheckConstraint(
            "state BETWEEN 0 AND 3 AND enforced IN (0, 1) AND overage IN (0, 1) AND late BETWEEN 0 AND 2",
            name=op.f("ck_ledger_hold_codes"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_hold")),
        sa.UniqueConstraint("tenant", "op_key", name=op.f("uq_ledger_hold_tenant_op_key")),
    )
    op.create_index(
        "ix_ledger_hold_due",
        "ledger_hold",
        ["tenant", "expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 0"),
        postgresql_where=sa.text("state = 0"),
    )
    op.create_index("ix_ledger_hold_opened", "ledger_hold", ["tenant", "opened_at"], unique=False)
    op.create_table(
        "ledger_hold_window",
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("counts", sa.SmallInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "amount >= 0 AND expected >= 0 AND expected <= amount AND refunded >= 0",
            name=op.f("ck_ledger_hold_window_amounts"),
        ),
        sa.CheckConstraint("counts IN (0, 1)", name=op.f("ck_ledger_hold_window_codes")),
        sa.PrimaryKeyConstraint("hold_id", "budget_id", "starts_at", name=op.f("pk_ledger_hold_window")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_op",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("req_hash", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_ledger_op")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ledger_op_at", "ledger_op", ["at"], unique=False)
    op.create_table(
        "ledger_outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_outbox")),
    )
    op.create_index("ix_ledger_outbox_at", "ledger_outbox", ["at"], unique=False)
    op.create_table(
        "ledger_seal",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("seq_from", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq_to", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("seq_from <= seq_to", name=op.f("ck_ledger_seal_span")),
        sa.PrimaryKeyConstraint("tenant", "seq_from", name=op.f("pk_ledger_seal")),
    )
    op.create_table(
        "ledger_transfer",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("debit", sa.SmallInteger(), nullable=False),
        sa.Column("credit", sa.SmallInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=True),
        sa.Column("hold_id", sa.Text(), nullable=True),
        sa.Column("lot_id", sa.Text(), nullable=True),
        sa.Column("op_key", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("wallet_after", sa.BigInteger(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("amount > 0 AND debit <> credit", name=op.f("ck_ledger_transfer_one_row")),
        sa.CheckConstraint(
            "kind BETWEEN 0 AND 11 AND debit BETWEEN 0 AND 6 AND credit BETWEEN 0 AND 6",
            name=op.f("ck_ledger_transfer_codes"),
        ),
        sa.CheckConstraint("wallet_after >= 0 AND seq > 0", name=op.f("ck_ledger_transfer_position")),
        sa.PrimaryKeyConstraint("tenant", "seq", name=op.f("pk_ledger_transfer")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ledger_transfer_at", "ledger_transfer", ["tenant", "at"], unique=False)
    op.create_table(
        "ledger_budget",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("window_kind", sa.SmallInteger(), nullable=False),
        sa.Column("limit_amt", sa.BigInteger(), nullable=True),
        sa.Column("raised_amt", sa.BigInteger(), nullable=True),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("counts", sa.SmallInteger(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("tiled_until", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("limit_amt >= 0 AND raised_amt >= 0", name=op.f("ck_ledger_budget_limits")),
        sa.CheckConstraint(
            "window_kind BETWEEN 0 AND 3 AND counts IN (0, 1)", name=op.f("ck_ledger_budget_codes")
        ),
        sa.ForeignKeyConstraint(["tenant"], ["ledger_account.tenant"], name=op.f("fk_ledger_budget_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_budget")),
        sa.UniqueConstraint(
            "tenant", "scope", "window_kind", name=op.f("uq_ledger_budget_tenant_scope_window_kind")
        ),
    )
    op.create_table(
        "ledger_grant_lot",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("source_ref", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "0 <= remaining AND remaining <= granted", name=op.f("ck_ledger_grant_lot_remaining")
        ),
        sa.CheckConstraint("kind BETWEEN 0 AND 3", name=op.f("ck_ledger_grant_lot_codes")),
        sa.ForeignKeyConstraint(
            ["tenant"], ["ledger_account.tenant"], name=op.f("fk_ledger_grant_lot_tenant")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_grant_lot")),
    )
    op.create_index(
        "ix_ledger_grant_lot_left",
        "ledger_grant_lot",
        ["tenant", "priority", "expires_at"],
        unique=False,
        sqlite_where=sa.text("remaining > 0"),
        postgresql_where=sa.text("remaining > 0"),
    )
    for name, key in APPEND_ONLY.items():
        guard(name, key)


def guard(name: str, key: tuple[str, ...]) -> None:
    """
    Refuse every change of a row once it is written.
    """
    bind = op.get_bind()
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    template = SQLITE_GUARD if bind.dialect.name == "sqlite" else POSTGRESQL_GUARD
    for statement in template.format(name=name, same=same).split(";;"):
        op.execute(sa.DDL(statement.strip().replace("%", "%%")))


def downgrade() -> None:
    """
    Drop everything; the triggers go with their tables.
    """
    for name in (
        "ledger_grant_lot",
        "ledger_budget",
        "ledger_transfer",
        "ledger_seal",
        "ledger_outbox",
        "ledger_op",
        "ledger_hold_window",
        "ledger_hold",
        "ledger_draw",
        "ledger_budget_window",
        "ledger_account",
    ):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_append_only()")
