"""
The schema (SQLAlchemy Core), the same on SQLite and PostgreSQL.

Money and instants are BIGINT, ids TEXT, enumerations SMALLINT with a CHECK, JSON TEXT. No sequence and no
foreign key on the hot tables: one writer makes every row, `verify` compares them. The order of columns is
the order of fields in `ledger.rows`. CHECK constraints and triggers are the last guard: with
`wallet >= held` an overspend cannot be committed, not even by a bug.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from ledger.guards import guard

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _money(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _counter(name: str) -> Column[int]:
    """An amount that rows older than the column do not have: it is 0 there."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _code(name: str) -> Column[int]:
    return Column(name, SmallInteger, nullable=False)


def _words(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _instant_key(name: str) -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


account = Table(
    "ledger_account",
    metadata,
    _key("tenant"),
    _money("wallet"),
    _money("held"),
    _money("held_expected"),
    _money("debt"),
    _money("seq"),
    _words("head_hash"),
    _money("last_at"),
    _money("policy_version"),
    _code("frozen"),
    _money("multiplier_ppm"),
    _code("overage"),
    _words("timezone"),
    _money("opened_at"),
    CheckConstraint("held >= 0 AND wallet >= held AND debt >= 0", name="never_overspent"),
    CheckConstraint("held_expected >= 0 AND held_expected <= held", name="expected_within_held"),
    CheckConstraint("seq >= 0 AND multiplier_ppm >= 0", name="counters"),
    CheckConstraint("frozen IN (0, 1) AND overage IN (0, 1)", name="codes"),
)

UNSPENT = text("unspent")
"""The index is used where a query says exactly this. It does not say `remaining > 0`: on PostgreSQL an update
of a column that an index names, also in its condition, writes to every index of the row."""

grant_lot = Table(
    "ledger_grant_lot",
    metadata,
    _key("id"),
    Column("tenant", Text, ForeignKey("ledger_account.tenant"), nullable=False),
    _code("kind"),
    _money("priority"),
    _money("granted"),
    _money("remaining"),
    _money("effective_at"),
    _money("expires_at", nullable=True),
    _words("source_ref"),
    _money("created_at"),
    _counter("repaid"),
    _counter("reversed"),
    Column("scheduled", SmallInteger, nullable=False, server_default=text("0")),
    _counter("forfeited"),
    Column("unspent", Boolean, Computed("remaining > 0", persisted=True)),
    CheckConstraint("0 <= remaining AND remaining <= granted", name="remaining"),
    CheckConstraint("kind BETWEEN 0 AND 3", name="codes"),
    CheckConstraint(
        "repaid >= 0 AND reversed >= 0 AND repaid <= granted AND reversed <= granted", name="taken"
    ),
    CheckConstraint("scheduled IN (0, 1)", name="scheduled"),
    CheckConstraint("forfeited BETWEEN 0 AND granted", name="forfeited"),
)
Index(
    "ix_ledger_grant_lot_left",
    grant_lot.c.tenant,
    grant_lot.c.priority,
    grant_lot.c.expires_at,
    sqlite_where=UNSPENT,
    postgresql_where=UNSPENT,
)

budget = Table(
    "ledger_budget",
    metadata,
    _key("id"),
    Column("tenant", Text, ForeignKey("ledger_account.tenant"), nullable=False),
    _words("scope"),
    _code("window_kind"),
    _money("limit_amt", nullable=True),
    _money("raised_amt", nullable=True),
    _money("valid_until", nullable=True),
    _code("counts"),
    _words("timezone"),
    _money("tiled_until"),
    UniqueConstraint("tenant", "scope", "window_kind"),
    CheckConstraint("window_kind BETWEEN 0 AND 3 AND counts IN (0, 1)", name="codes"),
    CheckConstraint("limit_amt >= 0 AND raised_amt >= 0", name="limits"),
)

budget_window = Table(
    "ledger_budget_window",
    metadata,
    _key("budget_id"),
    _instant_key("starts_at"),
    _words("tenant"),
    _words("local_date"),
    _money("ends_at"),
    _money("limit_amt", nullable=True),
    _money("spent"),
    _money("held"),
    _money("held_expected"),
    _money("overage"),
    CheckConstraint("spent >= 0 AND held >= 0 AND starts_at < ends_at", name="amounts"),
    CheckConstraint("held_expected >= 0 AND held_expected <= held AND overage >= 0", name="more_amounts"),
    sqlite_with_rowid=False,
)
Index("ix_ledger_budget_window_tenant", budget_window.c.tenant, budget_window.c.ends_at)

hold = Table(
    "ledger_hold",
    metadata,
    _key("id"),
    _words("tenant"),
    _words("op_key"),
    _words("req_hash"),
    _code("state"),
    _code("enforced"),
    _code("overage"),
    _money("multiplier_ppm"),
    _money("offer_index"),
    _money("amount"),
    _money("expected"),
    _money("cost_bound"),
    _money("captured"),
    _money("actual", nullable=True),
    _money("charged"),
    _money("debt"),
    _money("absorbed"),
    _money("refunded"),
    _code("late"),
    _words("settle_hash", nullable=True),
    _money("settle_seq", nullable=True),
    _words("detail", nullable=True),
    _words("scopes"),
    _words("plan"),
    _words("owner"),
    _money("opened_at"),
    _money("expires_at"),
    _money("closed_at", nullable=True),
    CheckConstraint(
        "state BETWEEN 0 AND 3 AND enforced IN (0, 1) AND overage IN (0, 1) AND late BETWEEN 0 AND 2",
        name="codes",
    ),
    CheckConstraint("expected >= 0 AND expected <= amount AND cost_bound >= 0", name="amounts"),
    CheckConstraint("charged >= 0 AND debt >= 0 AND absorbed >= 0", name="parts"),
    CheckConstraint("captured = charged + debt + absorbed", name="captured"),
    CheckConstraint("refunded >= 0 AND refunded <= charged + debt", name="refunded"),
)
Index(
    "ix_ledger_hold_due",
    hold.c.tenant,
    hold.c.expires_at,
    sqlite_where=text("state = 0"),
    postgresql_where=text("state = 0"),
)
CALLERS_KEY = text("op_key <> 'hold:' || id")
"""A key that is not the hold's own; those are found, and are unique, by the id. The index is used where a
query says exactly this."""
Index(
    "ix_ledger_hold_op_key",
    hold.c.tenant,
    hold.c.op_key,
    unique=True,
    sqlite_where=CALLERS_KEY,
    postgresql_where=CALLERS_KEY,
)
Index("ix_ledger_hold_opened", hold.c.tenant, hold.c.opened_at)

hold_window = Table(
    "ledger_hold_window",
    metadata,
    _key("hold_id"),
    _key("budget_id"),
    _instant_key("starts_at"),
    _code("counts"),
    _money("amount"),
    _money("expected"),
    _money("refunded"),
    CheckConstraint("amount >= 0 AND expected >= 0 AND expected <= amount AND refunded >= 0", name="amounts"),
    CheckConstraint("counts IN (0, 1)", name="codes"),
    sqlite_with_rowid=False,
)

transfer = Table(
    "ledger_transfer",
    metadata,
    _key("tenant"),
    _instant_key("seq"),
    _code("kind"),
    _code("debit"),
    _code("credit"),
    _money("amount"),
    _money("cost", nullable=True),
    _words("hold_id", nullable=True),
    _words("lot_id", nullable=True),
    _words("op_key"),
    _money("at"),
    _money("effective_at"),
    _money("wallet_after"),
    _words("prev_hash"),
    _words("hash"),
    CheckConstraint("amount > 0 AND debit <> credit", name="one_row"),
    CheckConstraint("wallet_after >= 0 AND seq > 0", name="position"),
    CheckConstraint(
        "kind BETWEEN 0 AND 14 AND debit BETWEEN 0 AND 8 AND credit BETWEEN 0 AND 8", name="codes"
    ),
    sqlite_with_rowid=False,
)
Index("ix_ledger_transfer_at", transfer.c.tenant, transfer.c.at)
Index(
    "ix_ledger_transfer_lot",
    transfer.c.lot_id,
    sqlite_where=text("lot_id IS NOT NULL"),
    postgresql_where=text("lot_id IS NOT NULL"),
)
OF_DEBT = "debit = 6 OR credit = 6"  # the index is used where a query says exactly this
Index(
    "ix_ledger_transfer_debt",
    transfer.c.tenant,
    transfer.c.at,
    sqlite_where=text(OF_DEBT),
    postgresql_where=text(OF_DEBT),
)

draw = Table(
    "ledger_draw",
    metadata,
    _key("tenant"),
    _instant_key("seq"),
    _key("lot_id"),
    _words("hold_id"),
    _money("place"),
    _money("amount"),
    CheckConstraint("amount <> 0", name="amount"),
    sqlite_with_rowid=False,
)
Index("ix_ledger_draw_hold_id", draw.c.hold_id)

op = Table(
    "ledger_op",
    metadata,
    _key("tenant"),
    _key("key"),
    _words("kind"),
    _words("req_hash"),
    _words("result"),
    _words("actor"),
    _words("reason"),
    _money("at"),
    sqlite_with_rowid=False,
)
Index("ix_ledger_op_at", op.c.at)

setting = Table(
    "ledger_setting",
    metadata,
    _key("tenant"),
    _instant_key("n"),
    _words("subject"),  # account, budget:SCOPE/WINDOW or lot:ID
    _words("value"),  # JSON: its settings as they were left
    _words("op_key"),
    _words("actor"),
    _words("reason"),
    _money("at"),
    _words("prev_hash"),
    _words("hash"),
    CheckConstraint("n > 0", name="position"),
    sqlite_with_rowid=False,
)

seal = Table(
    "ledger_seal",
    metadata,
    _key("tenant"),
    _key("day"),  # UTC, ISO 8601: sorts by time
    _money("seq_from"),
    _money("seq_to"),
    _words("head_hash"),  # of the last transfer of the day
    _money("wallet"),
    _money("debt"),
    _money("at"),
    _words("prev_hash"),
    _words("hash"),
    _counter("settings_n"),  # the last entry of the journal of settings until then
    Column("settings_hash", Text, nullable=False, server_default=text("''")),
    CheckConstraint("0 < seq_from AND seq_from <= seq_to + 1 AND settings_n >= 0", name="span"),
    CheckConstraint("wallet >= 0 AND debt >= 0", name="balances"),
    sqlite_with_rowid=False,
)

archive = Table(
    "ledger_archive",
    metadata,
    _key("id"),
    _key("tenant"),
    _money("before_at"),
    _money("holds"),
    _money("charged"),  # moved by the transfers of the archived holds, less refunds
    _money("absorbed"),
    _words("digest"),  # of the archived rows as they stand in the file
    _money("at"),
    CheckConstraint("holds > 0 AND absorbed >= 0", name="sums"),
)

archived_window = Table(
    "ledger_archived_window",
    metadata,
    _key("budget_id"),
    _instant_key("starts_at"),
    _money("spent"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "ledger_outbox",
    metadata,
    _key("id"),
    _words("topic"),
    _words("payload"),
    _money("at"),
)
Index("ix_ledger_outbox_at", outbox.c.at)

APPEND_ONLY = (transfer, draw, setting, seal, archive)

for _table in APPEND_ONLY:
    guard(_table)
