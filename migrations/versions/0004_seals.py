"""
Scheduled and reversible lots, corrections, daily seals, the archive.

SQLite cannot change a CHECK: there the two tables are made anew and their rows copied, which no trigger sees.
The triggers are a frozen copy of those in `ledger/tables.py`. The table of seals held nothing before this
revision: nobody wrote it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OF_DEBT = "debit = 6 OR credit = 6"
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
CREATE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE ON {name}
FOR EACH ROW EXECUTE FUNCTION ledger_append_only()
;;
CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name}
FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()
"""
TRANSFER_KEY = ("tenant", "seq")
CODES = "kind BETWEEN 0 AND {} AND debit BETWEEN 0 AND {} AND credit BETWEEN 0 AND {}"
TAKEN = "repaid >= 0 AND reversed >= 0 AND repaid <= granted AND reversed <= granted"


def upgrade() -> None:
    """
    Widen transfers and lots, then add what is new.
    """
    if op.get_bind().dialect.name == "sqlite":
        rebuild_transfers(14, 8)
        rebuild_lots(new=True)
    else:
        change_codes(14, 8)
        for name, kind in (("repaid", sa.BigInteger()), ("reversed", sa.BigInteger()), ("scheduled", sa.SmallInteger())):
            op.add_column("ledger_grant_lot", sa.Column(name, kind, nullable=False, server_default=sa.text("0")))
        op.create_check_constraint(op.f("ck_ledger_grant_lot_taken"), "ledger_grant_lot", TAKEN)
        op.create_check_constraint(op.f("ck_ledger_grant_lot_scheduled"), "ledger_grant_lot", "scheduled IN (0, 1)")
    op.create_index(
        "ix_ledger_transfer_debt", "ledger_transfer", ["tenant", "at"], unique=False,
        sqlite_where=sa.text(OF_DEBT), postgresql_where=sa.text(OF_DEBT),
    )  # fmt: skip
    op.create_index(
        "ix_ledger_transfer_lot", "ledger_transfer", ["lot_id"], unique=False,
        sqlite_where=sa.text("lot_id IS NOT NULL"), postgresql_where=sa.text("lot_id IS NOT NULL"),
    )  # fmt: skip
    op.drop_table("ledger_seal")
    create_seal()
    create_archive()


def change_codes(kinds: int, parties: int) -> None:
    op.drop_constraint(op.f("ck_ledger_transfer_codes"), "ledger_transfer")
    op.create_check_constraint(
        op.f("ck_ledger_transfer_codes"), "ledger_transfer", CODES.format(kinds, parties, parties)
    )


def rebuild_transfers(kinds: int, parties: int) -> None:
    op.create_table(
        "ledger_transfer_new",
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
        sa.CheckConstraint(CODES.format(kinds, parties, parties), name=op.f("ck_ledger_transfer_codes")),
        sa.CheckConstraint("wallet_after >= 0 AND seq > 0", name=op.f("ck_ledger_transfer_position")),
        sa.PrimaryKeyConstraint("tenant", "seq", name=op.f("pk_ledger_transfer")),
        sqlite_with_rowid=False,
    )
    swap("ledger_transfer", "*")
    op.create_index("ix_ledger_transfer_at", "ledger_transfer", ["tenant", "at"], unique=False)
    guard("ledger_transfer", TRANSFER_KEY)


def rebuild_lots(*, new: bool) -> None:
    zero = sa.text("0")
    more = [
        sa.Column("repaid", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("reversed", sa.BigInteger(), server_default=zero, nullable=False),
        sa.Column("scheduled", sa.SmallInteger(), server_default=zero, nullable=False),
        sa.CheckConstraint(TAKEN, name=op.f("ck_ledger_grant_lot_taken")),
        sa.CheckConstraint("scheduled IN (0, 1)", name=op.f("ck_ledger_grant_lot_scheduled")),
    ]
    op.create_table(
        "ledger_grant_lot_new",
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
        *(more if new else []),
        sa.CheckConstraint("0 <= remaining AND remaining <= granted", name=op.f("ck_ledger_grant_lot_remaining")),
        sa.CheckConstraint("kind BETWEEN 0 AND 3", name=op.f("ck_ledger_grant_lot_codes")),
        sa.ForeignKeyConstraint(["tenant"], ["ledger_account.tenant"], name=op.f("fk_ledger_grant_lot_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_grant_lot")),
    )
    columns = (
        "id, tenant, kind, priority, granted, remaining, effective_at, expires_at, source_ref, created_at"
    )
    swap("ledger_grant_lot", columns)
    op.create_index(
        "ix_ledger_grant_lot_left", "ledger_grant_lot", ["tenant", "priority", "expires_at"], unique=False,
        sqlite_where=sa.text("remaining > 0"),
    )  # fmt: skip


def swap(name: str, columns: str) -> None:
    """
    Copy the rows of a table into its successor, which takes its name.
    """
    into = "" if columns == "*" else f" ({columns})"
    op.execute(f"INSERT INTO {name}_new{into} SELECT {columns} FROM {name}")
    op.drop_table(name)
    op.rename_table(f"{name}_new", name)


def create_seal() -> None:
    op.create_table(
        "ledger_seal",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("seq_from", sa.BigInteger(), nullable=False),
        sa.Column("seq_to", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", sa.Text(), nullable=False),
        sa.Column("wallet", sa.BigInteger(), nullable=False),
        sa.Column("debt", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("0 < seq_from AND seq_from <= seq_to", name=op.f("ck_ledger_seal_span")),
        sa.CheckConstraint("wallet >= 0 AND debt >= 0", name=op.f("ck_ledger_seal_balances")),
        sa.PrimaryKeyConstraint("tenant", "day", name=op.f("pk_ledger_seal")),
        sqlite_with_rowid=False,
    )
    guard("ledger_seal", ("tenant", "day"))


def create_archive() -> None:
    op.create_table(
        "ledger_archive",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("before_at", sa.BigInteger(), nullable=False),
        sa.Column("holds", sa.BigInteger(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("absorbed", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("holds > 0 AND absorbed >= 0", name=op.f("ck_ledger_archive_sums")),
        sa.PrimaryKeyConstraint("id", "tenant", name=op.f("pk_ledger_archive")),
    )
    guard("ledger_archive", ("id", "tenant"))
    op.create_table(
        "ledger_archived_window",
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("budget_id", "starts_at", name=op.f("pk_ledger_archived_window")),
        sqlite_with_rowid=False,
    )


def guard(name: str, key: tuple[str, ...]) -> None:
    """
    Refuse every change of a row once it is written.
    """
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    template = SQLITE_GUARD if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARD
    for statement in template.format(name=name, same=same).split(";;"):
        op.execute(sa.DDL(statement.strip().replace("%", "%%")))


def downgrade() -> None:
    """
    Go back to 0003; the CHECK on transfers refuses it where one of the new kinds is in the books.
    """
    for name in ("ledger_archived_window", "ledger_archive", "ledger_seal"):
        op.drop_table(name)
    op.drop_index("ix_ledger_transfer_debt", "ledger_transfer")
    op.drop_index("ix_ledger_transfer_lot", "ledger_transfer")
    if op.get_bind().dialect.name == "sqlite":
        rebuild_transfers(11, 6)
        rebuild_lots(new=False)
    else:
        change_codes(11, 6)
        for name in ("taken", "scheduled"):
            op.drop_constraint(op.f(f"ck_ledger_grant_lot_{name}"), "ledger_grant_lot")
        for name in ("repaid", "reversed", "scheduled"):
            op.drop_column("ledger_grant_lot", name)
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
    guard("ledger_seal", ("tenant", "seq_from"))
