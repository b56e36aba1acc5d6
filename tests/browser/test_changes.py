"""
The changes of a tenant's settings on its page: who set what, from what to what, when and why.
"""

from collections.abc import Callable
from types import ModuleType

import pandas as pd
import pytest
from dashboard_books import NOON, USD
from streamlit.testing.v1 import AppTest

from dashboard import changes
from ledger.types import SetAccount, SetBudget
from outlay.wiring import App

Page = Callable[..., AppTest]


def table(test: AppTest) -> pd.DataFrame:
    """The table of changes, as it is read: its cells are Markdown."""
    shown = next(one.value for one in test.table if "From" in one.value.columns)
    return shown.replace(r"\\(.)", r"\1", regex=True)


def captions(test: AppTest) -> str:
    """What stands below the tables."""
    return "\n".join(str(one.value) for one in test.caption)


def test_a_change_says_who_set_what_from_what_to_what_and_why(
    page: Page, app: App, books: ModuleType
) -> None:
    """The newest first, on the clock of the tenant's zone, which is named."""
    books.tenant(app, "acme", NOON, zone="Asia/Kolkata")
    order = SetBudget("acme", "k1", NOON + 1_000_000, None, actor="ben", reason="a campaign")
    app.ledger.do(order)
    app.ledger.do(SetAccount("acme", "k2", NOON + 2_000_000, frozen=True, actor="eve", reason="unpaid"))
    test = page("tenants", "acme")
    assert not test.exception
    lines = table(test)
    assert list(lines.iloc[0]) == [
        "21 Nov 2026 17:30:02", "eve", "account", "frozen", "no", "yes", "unpaid"
    ]  # fmt: skip
    assert list(lines.iloc[1]) == [
        "21 Nov 2026 17:30:01", "ben", "budget tenant/day", "limit", "$5.00", "no limit", "a campaign"
    ]  # fmt: skip
    assert "Times are in Asia/Kolkata" in captions(test)


def test_an_order_that_changed_nothing_says_so(page: Page, app: App, books: ModuleType) -> None:
    """It has a line, as somebody gave it."""
    books.tenant(app, "acme", NOON)
    app.ledger.do(SetBudget("acme", "same", NOON + 1, 5 * USD, actor="ben"))
    assert table(page("tenants", "acme"))["Setting"][0] == "nothing, it was so already"


def test_what_was_never_set_is_explained(page: Page, app: App, books: ModuleType) -> None:
    """A tenant without any credit has no terms of credit; the page says what would stand there."""
    books.tenant(app, "acme", NOON, credit_nanos=0)
    test = page("tenants", "acme")
    test.segmented_control(key="changes_of").set_value("lot").run()
    assert "None is on record" in captions(test)
    assert not test.table


@pytest.mark.parametrize("extra", [0, 3])
def test_changes_are_shown_in_pages(page: Page, app: App, books: ModuleType, extra: int) -> None:
    """Each page has the next older ones, the last what is left; one page needs no buttons."""
    books.tenant(app, "acme", NOON)
    count = changes.PAGE - 3 + extra  # the budget was opened with a limit, what it counts, and a zone
    for turn in range(count):
        app.ledger.do(SetBudget("acme", f"k{turn}", NOON + turn + 1, turn * USD, actor="ben"))
    test = page("tenants", "acme")
    test.segmented_control(key="changes_of").set_value("budget").run()
    assert table(test)["To"][0] == f"${count - 1}.00"
    buttons = [one for one in test.button if one.key == "changes_older"]
    if not extra:
        assert buttons == []
        return
    buttons[0].click().run()
    left = table(test)
    assert list(left["To"]) == ["UTC", "charge", "$5.00"]
    next(one for one in test.button if one.key == "changes_newer").click().run()
    assert table(test)["To"][0] == f"${count - 1}.00"
