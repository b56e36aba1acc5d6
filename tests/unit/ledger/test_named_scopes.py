"""
Which budgets a batch needs of a tenant that has many.
"""

import pytest

from ledger.books import Books
from ledger.budget import budget_id, meters
from ledger.rows import WINDOW_NAMES, Account
from ledger.scopes import named_scopes, take_unknown
from ledger.types import Offer, Operation, Reserve, SetAccount, SetBudget, Settle

CALL = Reserve("acme", "hold:a", 1, "a", (Offer(1, 1),), scopes=("key:k", "user:u"))


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ((), {"acme": {"tenant", "key:k", "user:u"}}),
        ((Settle("acme", "settle:b", 1, "b", 1),), {"acme": {"tenant", "key:k", "user:u"}}),
        ((SetBudget("acme", "k", 1, 5, "tag:t"),), {"acme": {"tenant", "key:k", "user:u", "tag:t"}}),
        ((SetBudget("acme", "k", 1, 5, "a\nb"),), {"acme": {"tenant", "key:k", "user:u"}}),
        ((SetAccount("acme", "k", 1, frozen=True),), {"acme": {"tenant", "key:k", "user:u"}}),
        ((SetAccount("acme", "k", 1, timezone="UTC"),), {}),
        ((SetAccount("acme", "k", 1, timezone="UTC"), CALL), {}),
        ((SetAccount("few", "k", 1, timezone="UTC"),), {"acme": {"tenant", "key:k", "user:u"}}),
    ],
)
def test_the_scopes_that_a_batch_names(more: tuple[Operation, ...], wanted: dict[str, set[str]]) -> None:
    """
    Calls and limits name theirs, a new zone needs all; of a tenant with few budgets nothing is asked.
    """
    assert named_scopes((CALL, *more), {"acme"}) == wanted
    assert named_scopes((CALL, *more), ()) == {}


def test_each_scope_is_asked_for_once() -> None:
    """
    All windows of a scope that is not known, and then no more; a name that no budget has is only known.
    """
    books = {"acme": Books("acme", scopes={"tenant"}), "few": Books("few")}
    named = {"acme": {"tenant", "user:u", "user:\0", ""}, "few": {"user:u"}}
    assert take_unknown(books, named) == [
        budget_id("acme", "user:u", kind) for kind in range(len(WINDOW_NAMES))
    ]
    assert take_unknown(books, named) == []
    assert books["acme"].scopes == {"tenant", "user:u", "user:\0", ""}
    assert books["few"].scopes is None


def test_a_scope_that_is_not_loaded_is_no_scope_without_a_limit() -> None:
    """
    Where a budget was forgotten to be loaded the call fails; it is never let through.
    """
    account = Account("acme", 9, 0, 0, 0, 0, "", 1, 0, 0, 1_000_000, 0, "UTC", 1)
    books = Books("acme", account, scopes={"tenant"})
    assert [meter.scope for meter in meters(books, (), 1)] == ["credit"]
    with pytest.raises(AssertionError, match="not loaded"):
        meters(books, ("user:u",), 1)
