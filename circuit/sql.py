"""
The statements of the SQL store that are on the path of every call, as text for the bare driver.

One statement reads all that admission needs. It is one UNION, so that PostgreSQL is asked once; its
columns are those of `circuit_state`, which the sums borrow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from circuit.rules import Rules
from circuit.spend import window
from circuit.types import (
    BUCKET_US,
    HALTED,
    SKEW_US,
    BreakerState,
    CallWindow,
    Snapshot,
    SpendWindow,
    State,
    Subject,
    Switch,
    is_model_scope,
)

Row = Sequence[str | int | None]
Parameters = tuple[str | int, ...]

# The scopes are named once: psycopg keeps the plan of a statement only up to fifty parameters.
_ASKED = "WITH asked (scope) AS (VALUES VALUES_OF_SCOPES) "
_STATE_ARM = """SELECT 0,
 scope, subject, state, version, changed_us, until_us, trips, since_us, rule, actor, reason
 FROM circuit_state WHERE scope IN (SELECT scope FROM asked)"""
# A reset's `since_us` lies within a bucket that counts whole (see spend.counted_from_us).
_SPEND_ARM = """SELECT 1, CAST(? AS TEXT), '', '', CAST(COALESCE(SUM(amount_nanos), 0) AS BIGINT), 0,
 CAST(NULL AS BIGINT), 0, 0, '', '', '' FROM circuit_spend_bucket
 WHERE scope = ? AND starts_us > ? AND starts_us <= ? AND starts_us > COALESCE(
 (SELECT since_us FROM circuit_state WHERE scope = ? AND subject = 'breaker' AND since_us <= ?), 0)
 - BUCKET_US"""
_CALL_ARM = """SELECT 2, scope, '', '', CAST(SUM(calls) AS BIGINT),
 CAST(SUM(failures) AS BIGINT), CAST(NULL AS BIGINT), 0, 0, '', '', '' FROM circuit_call_bucket
 WHERE scope IN (SELECT scope FROM asked) AND starts_us > ? AND starts_us <= ? AND generation = COALESCE(
 (SELECT version FROM circuit_state WHERE circuit_state.scope = circuit_call_bucket.scope
 AND subject = 'breaker'), 0) GROUP BY scope"""
_SWITCHES = """SELECT scope, state, version, changed_us, reason, actor
 FROM circuit_state WHERE subject = 'switch' AND scope IN (MARKS)"""

UPSERT_SPEND = """INSERT INTO circuit_spend_bucket (scope, starts_us, writer, amount_nanos)
 VALUES (:scope, :starts_us, :writer, :amount_nanos) ON CONFLICT (scope, starts_us, writer)
 DO UPDATE SET amount_nanos = circuit_spend_bucket.amount_nanos + excluded.amount_nanos"""
UPSERT_CALLS = """INSERT INTO circuit_call_bucket (scope, starts_us, writer, generation, calls, failures)
 VALUES (:scope, :starts_us, :writer, :generation, :calls, :failures)
 ON CONFLICT (scope, starts_us, writer, generation)
 DO UPDATE SET calls = circuit_call_bucket.calls + excluded.calls,
 failures = circuit_call_bucket.failures + excluded.failures"""
FIRST_STATE = """INSERT INTO circuit_state
 (scope, subject, state, version, changed_us, until_us, trips, since_us, rule, actor, reason, hash) VALUES
 (:scope, :subject, :state, :version, :changed_us, :until_us, :trips, :since_us,
 :rule, :actor, :reason, :hash) ON CONFLICT (scope, subject) DO NOTHING"""


@dataclass(frozen=True, slots=True)
class Query:
    """
    A statement for the bare driver, with its parameters in order.
    """

    text: str
    parameters: Parameters


def read_query(mark: str, scopes: Sequence[str], now_us: int, rules: Rules) -> Query:
    """
    The statement that reads states, spend sums and call sums of the scopes.

    Args:
        mark: The driver's parameter mark, `?` or `%s`.
    """
    parameters: list[str | int] = list(scopes)
    spends = 0
    for scope in scopes:
        if is_model_scope(scope):
            continue
        rule = rules.spend_rule(scope)
        if rule is not None:
            spends += 1
            buckets = window(rule.window_s, now_us)
            parameters += (scope, scope, buckets.after_us, buckets.last_us, scope, now_us + SKEW_US)
    if rules.provider is not None:
        buckets = window(rules.provider.window_s, now_us)
        parameters += (buckets.after_us, buckets.last_us)
    text = _read_text(mark, len(scopes), spends, rules.provider is not None)
    return Query(text, tuple(parameters))


@lru_cache(maxsize=256)
def _read_text(mark: str, scopes: int, spends: int, counts_calls: bool) -> str:
    asked = _ASKED.replace("VALUES_OF_SCOPES", ", ".join(["(CAST(? AS TEXT))"] * scopes or ["(NULL)"]))
    spend_arm = _SPEND_ARM.replace("BUCKET_US", str(BUCKET_US))
    arms = [_STATE_ARM, *[spend_arm] * spends, *[_CALL_ARM] * counts_calls]
    return (asked + " UNION ALL ".join(arms)).replace("?", mark)


def switch_query(mark: str, scopes: Sequence[str]) -> Query:
    """
    The statement that reads only the switches of the scopes.
    """
    return Query(_switch_text(mark, len(scopes)), tuple(scopes))


@lru_cache(maxsize=64)
def _switch_text(mark: str, scopes: int) -> str:
    return _marked(_SWITCHES, scopes).replace("?", mark)


def _marked(statement: str, count: int) -> str:
    """
    Put in the parameter marks of a list; an empty one matches nothing.
    """
    return statement.replace("MARKS", ", ".join(["?"] * count) or "NULL")


def switch_from(row: Row) -> Switch:
    """
    Read a row of `switch_query`.
    """
    scope, state, version, changed_us, reason, actor = row
    return Switch(str(scope), state == HALTED, _int(version), _int(changed_us), str(reason), str(actor))


def breaker_from(row: Row) -> BreakerState:
    """
    Read a breaker from the columns of `circuit_state`.
    """
    scope, _, state, version, changed_us, until_us, trips, since_us, rule, actor, reason = row
    until = None if until_us is None else _int(until_us)
    return BreakerState(
        str(scope), State(str(state)), _int(version), _int(changed_us), until,
        _int(trips), _int(since_us), str(rule), str(actor), str(reason),
    )  # fmt: skip


def switch_from_state(row: Row) -> Switch:
    """
    Read a switch from the columns of `circuit_state`.
    """
    scope, _, state, version, changed_us, _, _, _, _, actor, reason = row
    return Switch(str(scope), state == HALTED, _int(version), _int(changed_us), str(reason), str(actor))


def snapshot_from(rows: Iterable[Row], scopes: Sequence[str], now_us: int) -> Snapshot:
    """
    Sort the rows of `read_query` into a snapshot.
    """
    breakers: dict[str, BreakerState] = {}
    switches: dict[str, Switch] = {}
    spend: dict[str, SpendWindow] = {}
    calls = {scope: CallWindow() for scope in scopes if is_model_scope(scope)}
    for row in rows:
        scope = str(row[1])
        if row[0] == 1:
            spend[scope] = SpendWindow(_int(row[4]))
        elif row[0] == 2:
            calls[scope] = CallWindow(_int(row[4]), _int(row[5]))
        elif row[2] == Subject.BREAKER:
            breakers[scope] = breaker_from(row[1:])
        else:
            switches[scope] = switch_from_state(row[1:])
    return Snapshot(breakers, spend, calls, switches, now_us)


def _int(value: str | int | None) -> int:
    assert isinstance(value, int)
    return value
