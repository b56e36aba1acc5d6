"""
Which budgets a batch needs of tenants that have too many of them to be loaded whole (pure).

Those of the tenant itself, of the scopes that its operations name, and of the scopes of every hold that is
loaded. Only a change of time zone needs them all.
"""

import json
from collections.abc import Collection, Mapping, Sequence

from ledger.accounts import valid_name
from ledger.books import Books
from ledger.budget import budget_id
from ledger.rows import WINDOW_NAMES, Hold
from ledger.types import Operation, Reserve, SetAccount, SetBudget

Scopes = dict[str, set[str]]
"""Names of scopes, by tenant."""


def named_scopes(ops: Sequence[Operation], among: Collection[str]) -> Scopes:
    """
    Return the scopes that operations name, of those of these tenants that need not have all.
    """
    found: Scopes = {}
    theirs = [op for op in ops if op.tenant in among] if among else []
    for op in theirs:
        found.setdefault(op.tenant, {"tenant"}).update(_named(op))
    for op in theirs:
        if moves_budgets(op):
            found.pop(op.tenant, None)
    return found


def moves_budgets(op: Operation) -> bool:
    """
    Tell whether an operation needs all budgets of its tenant, however many there are.
    """
    return isinstance(op, SetAccount) and op.timezone is not None


def _named(op: Operation) -> tuple[str, ...]:
    if isinstance(op, Reserve):
        return op.scopes
    return (op.scope,) if isinstance(op, SetBudget) and valid_name(op.scope) else ()


def held_scopes(books: Mapping[str, Books], holds: Sequence[Hold]) -> Scopes:
    """
    Return the scopes of holds: a repetition of their reservation shows all that limits them.
    """
    found: Scopes = {}
    for hold in holds:
        if books[hold.tenant].scopes is not None:
            found.setdefault(hold.tenant, set()).update(json.loads(hold.scopes))
    return found


def all_known(books: Books, scopes: Collection[str]) -> bool:
    """
    Tell whether the budgets of all these scopes are loaded.
    """
    return books.scopes is None or books.scopes.issuperset(scopes)


def take_unknown(books: Mapping[str, Books], named: Scopes) -> list[str]:
    """
    Return the ids that budgets of scopes have which are not loaded; they count as loaded from here.
    """
    ids: list[str] = []
    for tenant, scopes in named.items():
        known = books[tenant].scopes
        if known is not None:
            ids += [
                budget_id(tenant, scope, kind)
                for scope in sorted(scopes - known)
                if valid_name(scope)  # no budget has another one
                for kind in range(len(WINDOW_NAMES))
            ]
            known |= scopes
    return ids
