"""
Tables of the shell: keys, policies, the decision log and its roll-up, refusal counts, degradation levels.

Money is BIGINT nano-USD, instants are BIGINT microseconds UTC, JSON is text. The decision log and
the policy versions are append-only; triggers in the migration see to that.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import ExecutableDDLElement

from outlay import tally_sql

metadata = sa.MetaData()

EVERYBODY = "*"
"""Stands in `tenant` columns for what holds for every tenant, as no tenant may be called so."""


def _column(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


api_key = sa.Table(
    "outlay_api_key",
    metadata,
    _column("id", sa.Text, primary_key=True),
    _column("tenant", sa.Text),  # EVERYBODY for keys of operators
    _column("role", sa.Text),  # tenant | viewer | operator | admin
    _column("hash", sa.Text, unique=True),  # sha256 of the secret; the secret is shown once
    _column("name", sa.Text),
    _column("rights", sa.Text),  # JSON: what hints of this key may loosen
    _column("created_us", sa.BigInteger),
    _column("created_by", sa.Text),
    _column("revoked_us", sa.BigInteger, nullable=True),
    _column("revoked_by", sa.Text, nullable=True),
    sa.CheckConstraint("role IN ('tenant', 'viewer', 'operator', 'admin')", name="outlay_api_key_role"),
    sa.Index("outlay_api_key_tenant", "tenant"),
)

policy = sa.Table(
    "outlay_policy",
    metadata,
    _column("tenant", sa.Text, primary_key=True),  # EVERYBODY, or the tenant it is made for
    _column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    _column("text", sa.Text),  # TOML as it was applied; empty: the tenant's own policy ended here
    _column("actor", sa.Text),
    _column("note", sa.Text),
    _column("at_us", sa.BigInteger),
)

decision = sa.Table(
    "outlay_decision",
    metadata,
    _column("id", sa.Text, primary_key=True),  # also the id of the hold
    _column("tenant", sa.Text),
    _column("key_id", sa.Text),
    _column("at_us", sa.BigInteger),
    _column("finished_us", sa.BigInteger),
    _column("outcome", sa.Text),  # served | refused | failed | broken | uncertain
    _column("code", sa.Text, nullable=True),  # of the refusal or of the provider's error
    _column("mode", sa.Text),  # enforce | observe
    _column("would", sa.Text, nullable=True),  # JSON: what enforcement would have done, in observe mode
    _column("surface", sa.Text),  # gateway | python | holds
    _column("stream", sa.Boolean),
    _column("task", sa.Text, nullable=True),
    _column("priority", sa.Text),
    _column("session", sa.Text, nullable=True),
    _column("asked_model", sa.Text),
    _column("asked_tier", sa.Text, nullable=True),
    _column("served_model", sa.Text, nullable=True),
    _column("served_tier", sa.Text, nullable=True),
    _column("effort", sa.Text, nullable=True),
    _column("max_tokens", sa.BigInteger, nullable=True),
    _column("level", sa.Integer),  # number of degradation steps in force
    _column("reasons", sa.Text),  # JSON list of {code, text, numbers}
    _column("ratio", sa.Float, nullable=True),  # remaining share that decided the level
    _column("gauge", sa.Text, nullable=True),  # the budget, or "credit", which that share belongs to
    _column("offers", sa.Text),  # JSON list, best first
    _column("counterfactual", sa.Text, nullable=True),  # JSON: the road not taken, at full quality
    _column("inputs", sa.Text),  # JSON: all that `choose` was given, for replay
    _column("policy_tenant", sa.Text),
    _column("policy_version", sa.BigInteger),
    _column("hold_id", sa.Text, nullable=True),
    _column("held_nanos", sa.BigInteger, nullable=True),
    _column("cost_nanos", sa.BigInteger, nullable=True),  # what the provider bills
    _column("asked_cost_nanos", sa.BigInteger, nullable=True),  # the same usage at the asked model's price
    _column("usage", sa.Text, nullable=True),  # JSON as the provider reported it
    _column("tags", sa.Text),  # JSON object
    _column(
        "parent", sa.Text, nullable=True
    ),  # the decision that this attempt belongs to; null for the first
    _column("attempt", sa.Integer, server_default="0"),
    _column("strategy", sa.Text, nullable=True),  # fallback | cascade | speculative | workflow | classifier
    # digest of the prices that it was made with; empty where none were kept
    _column("prices", sa.Text, server_default=sa.text("''")),
    _column("turn", sa.Text, nullable=True),  # recognises a turn of a session that is asked again
    # codes of the reasons, of the choice and of the offer held: each once, in order, with a blank between
    _column("codes", sa.Text, server_default=sa.text("''")),
    # what a change of model or effort that was not made would have cost more; below 0 it would have saved
    _column("spared_nanos", sa.BigInteger, nullable=True),
    sa.Index("outlay_decision_tenant_at", "tenant", "at_us"),
    sa.Index("outlay_decision_at", "at_us"),
    sa.Index("outlay_decision_session", "tenant", "session", "at_us"),
    sa.Index("outlay_decision_parent", "parent"),
    sa.Index("outlay_decision_session_model", "tenant", "session", "served_model"),
    *(
        sa.Index(name, *columns.split(), sqlite_where=sa.text(which), postgresql_where=sa.text(which))
        for name, which, columns in (
            ("outlay_decision_refused", "outcome = 'refused'", "at_us tenant code"),
            (
                "outlay_decision_unseen",
                "outcome IN ('uncertain', 'failed')",
                "at_us tenant outcome asked_tier served_tier served_model hold_id cost_nanos",
            ),
        )
    ),
)

tally = sa.Table(
    "outlay_tally",
    metadata,
    _column("tenant", sa.Text, primary_key=True),
    _column(
        "width_us", sa.BigInteger, primary_key=True, autoincrement=False
    ),  # a quarter of an hour, or a day
    _column("starts_us", sa.BigInteger, primary_key=True, autoincrement=False),
    _column("outcome", sa.Text, primary_key=True),
    _column("asked_tier", sa.Text, primary_key=True),  # empty: none
    _column("served_tier", sa.Text, primary_key=True),  # empty: no model was to serve it
    _column("codes", sa.Text, primary_key=True),  # as the decisions have them
    _column("calls", sa.BigInteger),
    _column("costed", sa.BigInteger),  # those whose record says what they cost, and nothing can change it
    _column("cost_nanos", sa.BigInteger),
    _column("priced", sa.BigInteger),  # those of them that have a price at the model asked for
    _column("priced_nanos", sa.BigInteger),  # what these cost
    _column("asked_nanos", sa.BigInteger),  # what they would have cost at the model asked for
    _column("spared", sa.BigInteger),  # changes not made that would have cost more than staying
    _column("spared_nanos", sa.BigInteger),  # how much more
    _column("spared_saving", sa.BigInteger),  # changes not made though they would have saved something
    sa.Index("outlay_tally_starts", "width_us", "starts_us"),
    sqlite_with_rowid=False,
)

score = sa.Table(
    "outlay_score",
    metadata,
    _column("id", sa.Text, primary_key=True),
    _column("decision_id", sa.Text),
    _column("tenant", sa.Text),
    _column("task_class", sa.Text),  # of the decision: what calls are counted together
    _column("served_tier", sa.Text, nullable=True),
    _column("asked_tier", sa.Text, nullable=True),
    _column("served_model", sa.Text, nullable=True),
    _column("downgraded", sa.Boolean),  # served below the tier that was asked for
    _column("score_ppm", sa.BigInteger),  # 0 wrong .. 1,000,000 right
    _column("weight_ppm", sa.BigInteger),  # 1,000,000 counts as one observation
    _column("source", sa.Text),  # who judged: user, check, judge model, retry ...
    _column("comment", sa.Text),
    _column("actor", sa.Text),
    _column("at_us", sa.BigInteger),
    sa.CheckConstraint("score_ppm BETWEEN 0 AND 1000000 AND weight_ppm > 0", name="outlay_score_range"),
    sa.Index("outlay_score_decision", "decision_id"),
    sa.Index("outlay_score_tenant_at", "tenant", "at_us"),
    sa.Index("outlay_score_at", "at_us"),
)

classifier = sa.Table(
    "outlay_classifier",
    metadata,
    _column("version", sa.Text, primary_key=True),
    _column("tenant", sa.Text),  # EVERYBODY, or the tenant it was trained for
    _column("data_hash", sa.Text),  # sha256 of the rows that it was trained on
    _column("quality", sa.Text),  # JSON: measured on rows that it was not trained on
    _column("weights", sa.Text),  # JSON: read as numbers, never run
    _column("automatic", sa.Boolean),  # may be the newest; else it serves only where a policy names it
    _column("actor", sa.Text),
    _column("at_us", sa.BigInteger),
    sa.Index("outlay_classifier_tenant", "tenant", "at_us"),
)

demand = sa.Table(
    "outlay_demand",
    metadata,
    _column("tenant", sa.Text, primary_key=True),
    _column(
        "quarter_us", sa.BigInteger, primary_key=True, autoincrement=False
    ),  # start of a quarter of an hour
    _column("tier", sa.Text, primary_key=True),  # that the calls start from, with money to spare
    _column("calls", sa.BigInteger),
    _column("asked_nanos", sa.BigInteger),  # what they would have cost there
    _column("least_nanos", sa.BigInteger),  # what they would have cost on the cheapest tier allowed
    _column("cost_nanos", sa.BigInteger),  # what they did cost
)

upgrade_worth = sa.Table(
    "outlay_worth",
    metadata,
    _column("tenant", sa.Text, primary_key=True),
    _column("day_us", sa.BigInteger, primary_key=True, autoincrement=False),  # start of a day in UTC
    _column("bin", sa.Integer, primary_key=True, autoincrement=False),  # gain per extra USD, router/worth.py
    _column("extra_nanos", sa.BigInteger),  # extra money of the upgrades of this worth
)

prices = sa.Table(
    "outlay_prices",
    metadata,
    _column("digest", sa.Text, primary_key=True),  # of the text; decisions name it
    _column("version", sa.Text),
    _column("facts", sa.Text),  # date of the packaged facts of the process that kept it
    _column("text", sa.Text),  # JSON: every price of every model
    _column("at_us", sa.BigInteger),
)

refusal_count = sa.Table(
    "outlay_refusal_count",
    metadata,
    _column("tenant", sa.Text, primary_key=True),
    _column("code", sa.Text, primary_key=True),
    _column("minute_us", sa.BigInteger, primary_key=True, autoincrement=False),
    _column("count", sa.BigInteger),
    sa.Index("outlay_refusal_count_minute", "minute_us"),
)

degradation = sa.Table(
    "outlay_degradation",
    metadata,
    _column("tenant", sa.Text, primary_key=True),
    _column("level", sa.Integer),
    _column("since_us", sa.BigInteger),
    _column("pace", sa.Text, nullable=True),  # JSON: where pacing stands
)


def _sqlite_append_only(name: str, same: str) -> tuple[str, ...]:
    abort = f"SELECT RAISE(ABORT, '{name} is append-only'); END"
    exists = f"WHEN EXISTS (SELECT 1 FROM {name} WHERE {same})"  # noqa: S608 - our own names
    return (
        f"CREATE TRIGGER {name}_no_update BEFORE UPDATE ON {name}\nBEGIN {abort}",
        f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name}\nBEGIN {abort}",
        f"CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {name}\n{exists}\nBEGIN {abort}",
    )


SQLITE_TRIGGERS = {
    "outlay_score": _sqlite_append_only("outlay_score", "id = NEW.id"),
    "outlay_classifier": _sqlite_append_only("outlay_classifier", "version = NEW.version"),
    "outlay_prices": _sqlite_append_only("outlay_prices", "digest = NEW.digest"),
    "outlay_policy": (
        """CREATE TRIGGER outlay_policy_no_update BEFORE UPDATE ON outlay_policy
BEGIN SELECT RAISE(ABORT, 'outlay_policy is append-only'); END""",
        """CREATE TRIGGER outlay_policy_no_delete BEFORE DELETE ON outlay_policy
BEGIN SELECT RAISE(ABORT, 'outlay_policy is append-only'); END""",
        """CREATE TRIGGER outlay_policy_no_replace BEFORE INSERT ON outlay_policy
WHEN EXISTS (SELECT 1 FROM outlay_policy WHERE tenant = NEW.tenant AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'outlay_policy is append-only'); END""",
    ),
    "outlay_decision": (
        """CREATE TRIGGER outlay_decision_no_update BEFORE UPDATE ON outlay_decision
BEGIN SELECT RAISE(ABORT, 'outlay_decision is append-only'); END""",
        """CREATE TRIGGER outlay_decision_no_delete BEFORE DELETE ON outlay_decision
BEGIN SELECT RAISE(ABORT, 'outlay_decision is append-only'); END""",
        # a decision that is told twice stays as it was told first, whatever the insert says about conflicts
        """CREATE TRIGGER outlay_decision_no_replace BEFORE INSERT ON outlay_decision
WHEN EXISTS (SELECT 1 FROM outlay_decision WHERE id = NEW.id)
BEGIN SELECT RAISE(IGNORE); END""",
        *tally_sql.SQLITE_TRIGGERS,
    ),
}
"""SQLite guards inserts too: `INSERT OR REPLACE` deletes without a trigger unless a connection forbids it."""

_POSTGRESQL_FUNCTION = """CREATE OR REPLACE FUNCTION outlay_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"""
POSTGRESQL_TRIGGERS: dict[str, tuple[str, ...]] = {
    name: (
        _POSTGRESQL_FUNCTION,
        f"""CREATE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE ON {name}
FOR EACH ROW EXECUTE FUNCTION outlay_append_only()""",
        f"""CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name}
FOR EACH STATEMENT EXECUTE FUNCTION outlay_append_only()""",
    )
    for name in ("outlay_policy", "outlay_decision", "outlay_score", "outlay_classifier", "outlay_prices")
}
POSTGRESQL_TRIGGERS["outlay_decision"] += tally_sql.POSTGRESQL_TRIGGERS


def _guard(table: sa.Table) -> None:
    """
    Make `metadata.create_all` write the triggers too; the migration holds a frozen copy of them.
    """
    for dialect, triggers in (("sqlite", SQLITE_TRIGGERS), ("postgresql", POSTGRESQL_TRIGGERS)):
        for statement in triggers[table.name]:
            ddl: ExecutableDDLElement = sa.DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
            sa.event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


for _table in (policy, decision, score, classifier, prices):
    _guard(_table)
