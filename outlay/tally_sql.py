"""
What the roll-up of decisions is made of, in the SQL of both databases: sums over columns, nothing is decided.

Triggers on the log keep it, in the transaction that writes or archives a decision. An attachment could not: a
decision that is told twice (a call whose end nobody saw, then its capture) is one row, and counts once.
"""

# ruff: noqa: S608 - the texts are made of our own names

from typing import Final

QUARTER_US: Final = 900_000_000
DAY_US: Final = 86_400_000_000
WIDTHS_US: Final = (QUARTER_US, DAY_US)
"""Every zone's midnight begins a quarter of an hour; days are those of UTC."""
LIKE: Final = ("outcome", "asked_tier", "served_tier", "codes")
"""What calls of one row have in common, besides whose they are and when they were decided."""
KEY: Final = ("tenant", "width_us", "starts_us", *LIKE)
SUMS: Final = (
    "calls", "costed", "cost_nanos", "priced", "priced_nanos", "asked_nanos",
    "spared", "spared_nanos", "spared_saving",
)  # fmt: skip
UNLISTED: Final = "unlisted"
"""Stands for the tier of a model that no tier lists."""
_SERVED: Final = (
    f"CASE WHEN d.served_model IS NULL THEN '' ELSE coalesce(d.served_tier, '{UNLISTED}') END AS served_tier"
)
_KNOWN: Final = "d.cost_nanos IS NOT NULL AND d.outcome NOT IN ('uncertain', 'failed')"
_PRICED: Final = f"{_KNOWN} AND d.asked_cost_nanos IS NOT NULL"
_WIDTHS: Final = " UNION ALL SELECT ".join(f"{width} AS width_us" for width in WIDTHS_US)
_START: Final = "a.at_us - a.at_us % w.width_us"


def counted(source: str) -> str:
    """
    Return a query that says of each decision of a source what it adds to the roll-up.
    """
    return f"""SELECT d.tenant, d.at_us, d.outcome, coalesce(d.asked_tier, '') AS asked_tier,
    {_SERVED}, d.codes, 1 AS calls,
    CASE WHEN {_KNOWN} THEN 1 ELSE 0 END AS costed,
    CASE WHEN {_KNOWN} THEN d.cost_nanos ELSE 0 END AS cost_nanos,
    CASE WHEN {_PRICED} THEN 1 ELSE 0 END AS priced,
    CASE WHEN {_PRICED} THEN d.cost_nanos ELSE 0 END AS priced_nanos,
    CASE WHEN {_PRICED} THEN d.asked_cost_nanos ELSE 0 END AS asked_nanos,
    CASE WHEN d.spared_nanos >= 0 THEN 1 ELSE 0 END AS spared,
    CASE WHEN d.spared_nanos >= 0 THEN d.spared_nanos ELSE 0 END AS spared_nanos,
    CASE WHEN d.spared_nanos < 0 THEN 1 ELSE 0 END AS spared_saving
FROM {source} AS d"""


def summed(source: str, sign: str = "") -> str:
    """
    Return a query for the rows of the roll-up that the decisions of a source make.
    """
    like = ", ".join(f"a.{name}" for name in LIKE)
    sums = ", ".join(f"CAST({sign}sum(a.{name}) AS bigint) AS {name}" for name in SUMS)
    return f"""SELECT a.tenant, w.width_us, {_START} AS starts_us, {like}, {sums}
FROM ({counted(source)}) AS a CROSS JOIN (SELECT {_WIDTHS}) AS w
GROUP BY a.tenant, w.width_us, {_START}, {like}"""


def _added(rows: str) -> str:
    sets = ", ".join(f"{name} = outlay_tally.{name} + excluded.{name}" for name in SUMS)
    return f"""INSERT INTO outlay_tally ({", ".join((*KEY, *SUMS))})
{rows}
ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {sets};"""


_COLUMNS: Final = (
    "tenant", "at_us", "outcome", "asked_tier", "served_tier", "served_model", "codes", "cost_nanos",
    "asked_cost_nanos", "spared_nanos",
)  # fmt: skip


def _sqlite(row: str, event: str, name: str, sign: str, after: str = "") -> str:
    """Add the one row without grouping: SQLite would sort for it, 25 instead of 16 µs a decision."""
    source = f"(SELECT {', '.join(f'{row}.{column} AS {column}' for column in _COLUMNS)})"
    like, sums = ", ".join(f"a.{one}" for one in LIKE), ", ".join(f"{sign}a.{one}" for one in SUMS)
    rows = f"""SELECT a.tenant, w.width_us, {_START}, {like}, {sums}
FROM ({counted(source)}) AS a CROSS JOIN (SELECT {_WIDTHS}) AS w WHERE true"""
    return f"""CREATE TRIGGER outlay_decision_{name} AFTER {event} ON outlay_decision
BEGIN
{_added(rows)}{after}
END"""


_STARTS: Final = ", ".join(f"OLD.at_us - OLD.at_us % {width}" for width in WIDTHS_US)
SQLITE_TRIGGERS: Final = (
    _sqlite("NEW", "INSERT", "tallied", ""),
    _sqlite("OLD", "DELETE", "untallied", "-", f"""
DELETE FROM outlay_tally WHERE tenant = OLD.tenant AND starts_us IN ({_STARTS}) AND calls = 0;"""),
)  # fmt: skip


def _postgresql(event: str, changed: str, name: str, sign: str, after: str = "") -> tuple[str, str]:
    """Count all rows of a statement at once, in the key's order: two writers never wait in a circle."""
    rows = f"{summed('changed', sign)}\nORDER BY 1, 2, 3, 4, 5, 6, 7"
    return (
        f"""CREATE OR REPLACE FUNCTION outlay_decision_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
{_added(rows)}{after}
RETURN NULL;
END $$""",
        f"""CREATE TRIGGER outlay_decision_{name} AFTER {event} ON outlay_decision
REFERENCING {changed} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION outlay_decision_{name}()""",
    )


POSTGRESQL_TRIGGERS: Final = (
    *_postgresql("INSERT", "NEW", "tallied", ""),
    *_postgresql("DELETE", "OLD", "untallied", "-", """
DELETE FROM outlay_tally AS t USING changed AS d
WHERE t.tenant = d.tenant AND t.starts_us = d.at_us - d.at_us % t.width_us AND t.calls = 0;"""),
)  # fmt: skip
