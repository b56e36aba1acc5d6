"""
Calls whose cost an operator told after their end: the record keeps what it said, the ledger has the truth.

They are found by the operators' orders, which stay in the books for ever, and which are few beside the calls.
"""

from typing import Final

from sqlalchemy import Connection, text

from ledger.codec import result_from_json
from ledger.types import Correct, Corrected

ORDER_KEY: Final = "admin:"
"""Begins the ledger's key of each order of an operator; no key of a call begins so."""
_AMONG: Final = "admin", "admio"
"""Every collation has the keys of orders between these two, where it may have `;` before `:`."""
# CROSS JOIN tells SQLite to look each tenant up in the keys; it would read all of them, those of calls too
_ORDERS: Final = """SELECT o.result FROM ledger_account AS a CROSS JOIN ledger_op AS o
 WHERE o.tenant = a.tenant AND o.key >= :first AND o.key < :last AND o.kind = :kind
 AND o.at >= :since_us"""
_OF_TENANT: Final = " AND a.tenant = :tenant"


def corrected(
    connection: Connection, tenant: str | None = None, *, since_us: int = 0
) -> frozenset[tuple[str, int]]:
    """
    Return the costs that operators told of calls, of one tenant or of all, each with its hold.

    Args:
        since_us: Only what was told since then; of a call since then that is all, as none is told before.
    """
    given = {"first": _AMONG[0], "last": _AMONG[1], "kind": Correct.__name__, "since_us": since_us}
    query = text(_ORDERS if tenant is None else _ORDERS + _OF_TENANT)
    found = connection.execute(query, given if tenant is None else {**given, "tenant": tenant})
    answers = (result_from_json(answer) for answer in found.scalars())
    return frozenset((one.hold_id, one.cost_nanos) for one in answers if isinstance(one, Corrected))
