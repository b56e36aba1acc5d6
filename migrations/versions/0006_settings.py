"""
The journal of settings, with a first entry for what exists, seals that name its end, and what of a lot was forfeited.

SQLite cannot change a CHECK: there the seals are copied into a table made anew, and a lot's CHECK comes with its
column. Triggers, hash and settings are a frozen copy of those in `ledger`. Entries are written as of the newest instant in the tenant's books.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

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
SPAN = "0 < seq_from AND seq_from <= seq_to"
SPAN_NEW = "0 < seq_from AND seq_from <= seq_to + 1 AND settings_n >= 0"
SEAL = "tenant, day, seq_from, seq_to, head_hash, wallet, debt, at, prev_hash, hash"
COLUMNS = "tenant", "n", "subject", "value", "op_key", "actor", "reason", "at", "prev_hash", "hash"
ACCOUNT = "frozen", "multiplier_ppm", "overage", "timezone", "policy_version", "opened_at"
BUDGET = "limit_amt", "raised_amt", "valid_until", "counts", "timezone"
LOT = "kind", "granted", "priority", "effective_at", "expires_at", "source_ref"
WINDOWS = "hour", "day", "week", "month"
REFUND = 2
FORFEITED = "forfeited BETWEEN 0 AND granted"
FORFEITS = """
UPDATE ledger_grant_lot SET forfeited = (
    SELECT coalesce(sum(amount), 0) FROM ledger_transfer AS t WHERE t.lot_id = ledger_grant_lot.id AND t.credit = 4
)
"""


def upgrade() -> None:
    """
    Add the journal, write what is set into it, then widen the seals and the lots.
    """
    create_setting()
    bind = op.get_bind()
    insert = sa.text(
        f"INSERT INTO ledger_setting ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})"
    )
    for account in bind.execute(sa.text("SELECT * FROM ledger_account ORDER BY tenant")).all():
        bind.execute(insert, [dict(zip(COLUMNS, row, strict=True)) for row in entries(bind, account)])
    widen_seals()
    widen_lots()


def create_setting() -> None:
    op.create_table(
        "ledger_setting",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in COLUMNS[2:7]),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("n > 0", name=op.f("ck_ledger_setting_position")),
        sa.PrimaryKeyConstraint("tenant", "n", name=op.f("pk_ledger_setting")),
        sqlite_with_rowid=False,
    )
    guard("ledger_setting", ("tenant", "n"))


def entries(bind: sa.Connection, account: Any) -> Iterator[tuple[Any, ...]]:
    """
    Return the first entries of a tenant: its account, its budgets, its lots but those of refunds.
    """
    head = ""
    for n, (subject, names, row) in enumerate(subjects(bind, account), 1):
        value = compact({name: getattr(row, name) for name in names})
        reason = "as found by revision 0006"
        body = (account.tenant, n, subject, value, "", "migration", reason, account.last_at)
        previous, head = head, sha256(compact([head, *body]).encode()).hexdigest()
        yield *body, previous, head


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def subjects(bind: sa.Connection, account: Any) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    yield "account", ACCOUNT, account
    of = {"tenant": account.tenant}
    budgets = bind.execute(sa.text("SELECT * FROM ledger_budget WHERE tenant = :tenant"), of).all()
    for budget in sorted(budgets, key=lambda row: (row.scope, row.window_kind)):
        yield f"budget:{budget.scope}/{WINDOWS[budget.window_kind]}", BUDGET, budget
    lots = bind.execute(sa.text("SELECT * FROM ledger_grant_lot WHERE tenant = :tenant"), of).all()
    for lot in sorted(lots, key=lambda row: (row.created_at, row.id)):
        if lot.kind != REFUND:
            yield f"lot:{lot.id}", LOT, lot


def widen_seals() -> None:
    if op.get_bind().dialect.name == "sqlite":
        rebuild_seals(SPAN_NEW, new=True)
        return
    op.add_column("ledger_seal", sa.Column("settings_n", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.add_column("ledger_seal", sa.Column("settings_hash", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.drop_constraint(op.f("ck_ledger_seal_span"), "ledger_seal")
    op.create_check_constraint(op.f("ck_ledger_seal_span"), "ledger_seal", SPAN_NEW)


def widen_lots() -> None:
    name = op.f("ck_ledger_grant_lot_forfeited")
    if op.get_bind().dialect.name == "sqlite":
        column = f"forfeited BIGINT DEFAULT 0 NOT NULL CONSTRAINT {name} CHECK ({FORFEITED})"
        op.execute(f"ALTER TABLE ledger_grant_lot ADD COLUMN {column}")
    else:
        op.add_column("ledger_grant_lot", sa.Column("forfeited", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
        op.create_check_constraint(name, "ledger_grant_lot", FORFEITED)
    op.execute(FORFEITS)


def rebuild_seals(span: str, *, new: bool) -> None:
    more = [
        sa.Column("settings_n", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("settings_hash", sa.Text(), nullable=False, server_default=sa.text("''")),
    ]
    op.create_table(
        "ledger_seal_new",
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
        *(more if new else []),
        sa.CheckConstraint(span, name=op.f("ck_ledger_seal_span")),
        sa.CheckConstraint("wallet >= 0 AND debt >= 0", name=op.f("ck_ledger_seal_balances")),
        sa.PrimaryKeyConstraint("tenant", "day", name=op.f("pk_ledger_seal")),
        sqlite_with_rowid=False,
    )
    kept = "" if new else " WHERE settings_n = 0"
    op.execute(f"INSERT INTO ledger_seal_new ({SEAL}) SELECT {SEAL} FROM ledger_seal{kept}")
    op.drop_table("ledger_seal")
    op.rename_table("ledger_seal_new", "ledger_seal")
    guard("ledger_seal", ("tenant", "day"))


def guard(name: str, key: tuple[str, ...]) -> None:
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    template = SQLITE_GUARD if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARD
    for part in template.format(name=name, same=same).split(";;"):
        op.execute(sa.DDL(part.strip().replace("%", "%%")))


def downgrade() -> None:
    """
    Drop the journal and the seals that name it, which an earlier version could not prove; it makes them anew.
    """
    if op.get_bind().dialect.name == "sqlite":
        rebuild_seals(SPAN, new=False)
    else:
        op.execute("ALTER TABLE ledger_seal DISABLE TRIGGER USER")
        op.execute("DELETE FROM ledger_seal WHERE settings_n > 0")
        op.execute("ALTER TABLE ledger_seal ENABLE TRIGGER USER")
        op.drop_constraint(op.f("ck_ledger_seal_span"), "ledger_seal")
        op.create_check_constraint(op.f("ck_ledger_seal_span"), "ledger_seal", SPAN)
        op.drop_column("ledger_seal", "settings_hash")
        op.drop_column("ledger_seal", "settings_n")
    op.drop_table("ledger_setting")
    op.drop_column("ledger_grant_lot", "forfeited")
