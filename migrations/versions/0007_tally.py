"""
The roll-up of decisions that the dashboard reads, kept by triggers on the log; all that is in the log is counted.

Decisions get the columns that it sums. Those of the last 31 days are given their reasons, as no report looks back
further: on the log of a month with a million calls that rewrites all of them. Two indexes find what the roll-up
leaves to the log: refusals, and calls whose cost may still be told. The texts are a frozen copy of those in
`outlay/tally_sql.py`.
"""

# ruff: noqa: S608 - the texts are made of our own names

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

QUARTER_US = 900_000_000
DAY_US = 86_400_000_000
WIDTHS_US = (QUARTER_US, DAY_US)
LIKE = ("outcome", "asked_tier", "served_tier", "codes")
KEY = ("tenant", "width_us", "starts_us", *LIKE)
SUMS = (
    "calls", "costed", "cost_nanos", "priced", "priced_nanos", "asked_nanos",
    "spared", "spared_nanos", "spared_saving",
)  # fmt: skip
UNLISTED = "unlisted"
SERVED = (
    f"CASE WHEN d.served_model IS NULL THEN '' ELSE coalesce(d.served_tier, '{UNLISTED}') END AS served_tier"
)
_KNOWN = "d.cost_nanos IS NOT NULL AND d.outcome NOT IN ('uncertain', 'failed')"
_PRICED = f"{_KNOWN} AND d.asked_cost_nanos IS NOT NULL"


def counted(source: str) -> str:
    return f"""SELECT d.tenant, d.at_us, d.outcome, coalesce(d.asked_tier, '') AS asked_tier,
    {SERVED}, d.codes, 1 AS calls,
    CASE WHEN {_KNOWN} THEN 1 ELSE 0 END AS costed,
    CASE WHEN {_KNOWN} THEN d.cost_nanos ELSE 0 END AS cost_nanos,
    CASE WHEN {_PRICED} THEN 1 ELSE 0 END AS priced,
    CASE WHEN {_PRICED} THEN d.cost_nanos ELSE 0 END AS priced_nanos,
    CASE WHEN {_PRICED} THEN d.asked_cost_nanos ELSE 0 END AS asked_nanos,
    CASE WHEN d.spared_nanos >= 0 THEN 1 ELSE 0 END AS spared,
    CASE WHEN d.spared_nanos >= 0 THEN d.spared_nanos ELSE 0 END AS spared_nanos,
    CASE WHEN d.spared_nanos < 0 THEN 1 ELSE 0 END AS spared_saving
FROM {source} AS d"""


def summed(source: str, widths_us: tuple[int, ...] = WIDTHS_US, sign: str = "") -> str:
    widths = " UNION ALL SELECT ".join(f"{width} AS width_us" for width in widths_us)
    like = ", ".join(f"a.{name}" for name in LIKE)
    sums = ", ".join(f"CAST({sign}sum(a.{name}) AS bigint) AS {name}" for name in SUMS)
    return f"""SELECT a.tenant, w.width_us, a.at_us - a.at_us % w.width_us AS starts_us, {like}, {sums}
FROM ({counted(source)}) AS a CROSS JOIN (SELECT {widths}) AS w
GROUP BY a.tenant, w.width_us, a.at_us - a.at_us % w.width_us, {like}"""


def _added(rows: str) -> str:
    sets = ", ".join(f"{name} = outlay_tally.{name} + excluded.{name}" for name in SUMS)
    return f"""INSERT INTO outlay_tally ({", ".join((*KEY, *SUMS))})
{rows}
ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {sets};"""


_COLUMNS = (
    "tenant", "at_us", "outcome", "asked_tier", "served_tier", "served_model", "codes", "cost_nanos",
    "asked_cost_nanos", "spared_nanos",
)  # fmt: skip


def _sqlite(row: str, event: str, name: str, sign: str, after: str = "") -> str:
    source = f"(SELECT {', '.join(f'{row}.{column} AS {column}' for column in _COLUMNS)})"
    widths = " UNION ALL SELECT ".join(f"{width} AS width_us" for width in WIDTHS_US)
    like, sums = ", ".join(f"a.{one}" for one in LIKE), ", ".join(f"{sign}a.{one}" for one in SUMS)
    rows = f"""SELECT a.tenant, w.width_us, a.at_us - a.at_us % w.width_us, {like}, {sums}
FROM ({counted(source)}) AS a CROSS JOIN (SELECT {widths}) AS w WHERE true"""
    return f"""CREATE TRIGGER outlay_decision_{name} AFTER {event} ON outlay_decision
BEGIN
{_added(rows)}{after}
END"""


_STARTS = ", ".join(f"OLD.at_us - OLD.at_us % {width}" for width in WIDTHS_US)
SQLITE_TRIGGERS = (
    _sqlite("NEW", "INSERT", "tallied", ""),
    _sqlite("OLD", "DELETE", "untallied", "-", f"""
DELETE FROM outlay_tally WHERE tenant = OLD.tenant AND starts_us IN ({_STARTS}) AND calls = 0;"""),
)  # fmt: skip


def _postgresql(event: str, changed: str, name: str, sign: str, after: str = "") -> tuple[str, str]:
    rows = f"{summed('changed', sign=sign)}\nORDER BY 1, 2, 3, 4, 5, 6, 7"
    return (
        f"""CREATE OR REPLACE FUNCTION outlay_decision_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
{_added(rows)}{after}
RETURN NULL;
END $$""",
        f"""CREATE TRIGGER outlay_decision_{name} AFTER {event} ON outlay_decision
REFERENCING {changed} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION outlay_decision_{name}()""",
    )


POSTGRESQL_TRIGGERS = (
    *_postgresql("INSERT", "NEW", "tallied", ""),
    *_postgresql("DELETE", "OLD", "untallied", "-", """
DELETE FROM outlay_tally AS t USING changed AS d
WHERE t.tenant = d.tenant AND t.starts_us = d.at_us - d.at_us % t.width_us AND t.calls = 0;"""),
)  # fmt: skip
INDEXES = (
    ("outlay_decision_refused", "outcome = 'refused'", ["at_us", "tenant", "code"]),
    (
        "outlay_decision_unseen",
        "outcome IN ('uncertain', 'failed')",
        ["at_us", "tenant", "outcome", "asked_tier", "served_tier", "served_model", "hold_id", "cost_nanos"],
    ),
)
BATCH = 2_000
NO_UPDATE = """CREATE TRIGGER outlay_decision_no_update BEFORE UPDATE ON outlay_decision
BEGIN SELECT RAISE(ABORT, 'outlay_decision is append-only'); END"""
SPARED = "switch_suppressed_cache"


def upgrade() -> None:
    """
    Add columns, table and indexes, tell what is in the log already, and let the triggers go on.
    """
    bind = op.get_bind()
    op.add_column(
        "outlay_decision", sa.Column("codes", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    op.add_column("outlay_decision", sa.Column("spared_nanos", sa.BigInteger(), nullable=True))
    create_tally()
    set_guard(bind, on=False)
    tell(bind)
    set_guard(bind, on=True)
    for name, which, columns in INDEXES:
        where = {"sqlite_where": sa.text(which), "postgresql_where": sa.text(which)}
        op.create_index(name, "outlay_decision", columns, **where)
    count(bind)
    for trigger in SQLITE_TRIGGERS if bind.dialect.name == "sqlite" else POSTGRESQL_TRIGGERS:
        run(bind, trigger)


def create_tally() -> None:
    op.create_table(
        "outlay_tally",
        *(
            sa.Column(
                name,
                sa.Text() if name == "tenant" or name in LIKE else sa.BigInteger(),
                autoincrement=False,
                nullable=False,
            )
            for name in (*KEY, *SUMS)
        ),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_outlay_tally")),
        sqlite_with_rowid=False,
    )
    op.create_index("outlay_tally_starts", "outlay_tally", ["width_us", "starts_us"])


def set_guard(bind: sa.Connection, *, on: bool) -> None:
    """
    Let the log be written to by nobody else, and changed by us; on PostgreSQL its lock keeps others waiting.
    """
    if bind.dialect.name == "sqlite":
        run(bind, NO_UPDATE if on else "DROP TRIGGER outlay_decision_no_update")
        return
    run(
        bind, f"ALTER TABLE outlay_decision {'ENABLE' if on else 'DISABLE'} TRIGGER outlay_decision_no_change"
    )


def tell(bind: sa.Connection) -> None:
    """
    Give the decisions of the last 31 days the codes of their reasons.
    """
    text = """SELECT id, at_us, reasons, offers, served_model, effort, max_tokens FROM outlay_decision
    WHERE (at_us, id) > (:at_us, :id) ORDER BY at_us, id LIMIT :most"""
    newest = bind.execute(sa.text("SELECT max(at_us) FROM outlay_decision")).scalar()
    place = {"at_us": (newest or 0) - 31 * DAY_US, "id": "", "most": BATCH}
    update = sa.text("UPDATE outlay_decision SET codes = :codes, spared_nanos = :spared_nanos WHERE id = :id")
    while rows := bind.execute(sa.text(text), place).all():
        bind.execute(update, [told(row) for row in rows])
        place |= {"at_us": rows[-1].at_us, "id": rows[-1].id}


def told(row: Any) -> dict[str, Any]:
    choice, offers = (maps(text) for text in (row.reasons, row.offers))
    served = (row.served_model, row.effort, row.max_tokens)
    held = next(
        (one for one in offers if tuple(map(one.get, ("model", "effort", "max_tokens"))) == served), {}
    )
    own = held.get("reasons") or []
    spared = [(one.get("numbers") or {}).get("cost_nanos") for one in choice if one.get("code") == SPARED]
    codes = {str(one["code"]) for one in (*choice, *own) if "code" in one}
    return {"id": row.id, "codes": " ".join(sorted(codes)), "spared_nanos": spared[0] if spared else None}


def maps(text: str) -> list[dict[str, Any]]:
    found = json.loads(text or "[]")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def count(bind: sa.Connection) -> None:
    """
    Count the log by quarters of an hour, then these by days.
    """
    insert = f"INSERT INTO outlay_tally ({', '.join((*KEY, *SUMS))})"
    sums = ", ".join(f"CAST(sum({name}) AS bigint)" for name in SUMS)
    days = f"""SELECT tenant, {DAY_US}, starts_us - starts_us % {DAY_US}, {", ".join(LIKE)}, {sums}
    FROM outlay_tally GROUP BY 1, 2, 3, 4, 5, 6, 7"""
    for text in (summed("outlay_decision", (QUARTER_US,)), days):
        run(bind, f"{insert} {text}")


def run(bind: sa.Connection, text: str) -> None:
    """
    Send a text as it is; the driver of PostgreSQL reads a percent sign as the mark of a parameter.
    """
    bind.exec_driver_sql(text if bind.dialect.name == "sqlite" else text.replace("%", "%%"))


def downgrade() -> None:
    """
    Drop it all; the log is as it was.
    """
    on = "" if op.get_bind().dialect.name == "sqlite" else " ON outlay_decision"
    for name in ("tallied", "untallied"):
        op.execute(f"DROP TRIGGER outlay_decision_{name}{on}")
        if on:
            op.execute(f"DROP FUNCTION outlay_decision_{name}()")
    for name, _, _ in INDEXES:
        op.drop_index(name, "outlay_decision")
    op.drop_table("outlay_tally")
    for name in ("spared_nanos", "codes"):
        op.drop_column("outlay_decision", name)
