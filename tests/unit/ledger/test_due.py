"""
Which holds have expired is known without looking at each of them.
"""

from hypothesis import given
from hypothesis import strategies as st

from ledger import books as books_
from ledger.books import Books
from ledger.rows import OPEN, SETTLED, Hold, HoldWindow, columns

STEPS = st.lists(st.tuples(st.sampled_from(["open", "renew", "close", "drop", "due"]), st.integers(0, 9)))


def made(name: str, expires_us: int) -> Hold:
    """Make an open hold of which only id, key and expiry matter."""
    hold = Hold(*(0 for _ in columns(Hold)))  # type: ignore[arg-type]
    hold.id, hold.op_key, hold.state, hold.expires_at = name, name, OPEN, expires_us
    hold.plan = hold.scopes = ""
    return hold


@given(STEPS)
def test_the_holds_that_have_expired_are_found_in_order(steps: list[tuple[str, int]]) -> None:
    """
    Opened, renewed, closed and forgotten in any order: what is due is what a look at every hold finds.
    """
    books, now_us = Books("acme"), 0
    for number, (step, amount) in enumerate(steps):
        known = list(books.holds.values())
        chosen = known[amount % len(known)] if known else None
        if step == "open":
            books.add_hold(made(f"h{number}", now_us + amount))
        elif step == "due":
            now_us += amount
            still_open = [hold for hold in known if hold.state == OPEN]
            wanted = sorted((hold.expires_at, hold.id) for hold in still_open if hold.expires_at <= now_us)
            assert books.none_due(now_us) == (not wanted)
            found = books.take_due(now_us)
            assert [(hold.expires_at, hold.id) for hold in found] == wanted
            assert books.none_due(now_us)
            for hold in found:
                hold.state = SETTLED
        elif chosen is not None and chosen.state == OPEN and step == "renew":
            chosen.expires_at = max(chosen.expires_at, now_us + amount)
            books.watch(chosen)
        elif chosen is not None and step in ("close", "drop"):
            chosen.state = SETTLED
            if step == "drop":
                books.drop_hold(chosen)


def test_holds_that_are_closed_are_not_noted_for_ever() -> None:
    """
    A tenant with one open hold at a time notes a bounded number of instants, however many calls it makes, and
    nothing of their plans and parts.
    """
    books = Books("acme")
    for number in range(1_000):
        hold = made(f"h{number}", 10**9 + number)
        hold.plan = "p" * 100
        books.add_hold(hold)
        books.add_part(HoldWindow(hold.id, "budget", 0, 0, 5, 5, 0))
        assert 100 < books.chars < 1_000
        hold.state = SETTLED
        books.drop_hold(hold)
        books.drop_hold(hold)
    assert books.chars == 0
    assert len(books.due) <= books_._DUE_SPARE + 1
