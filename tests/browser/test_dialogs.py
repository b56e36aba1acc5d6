"""
Dialogs and forms with several wrong fields: each is told at once with its fix, and what was typed stays.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ledger import reads
from outlay.fields import REASON_MAX
from outlay.wiring import App

Page = Callable[..., AppTest]


def press(test: AppTest, label: str) -> None:
    """Press the button of this name."""
    next(button for button in test.button if button.label == label).click().run()


def errors(test: AppTest) -> list[str]:
    """What the page tells to be wrong, as it is read."""
    assert not test.exception
    return [str(error.value).replace("\\", "") for error in test.error]


def fill(test: AppTest, **fields: str) -> None:
    """Type into fields, by their keys."""
    for key, typed in fields.items():
        test.text_input(key=key).input(typed)
    test.run()


def typed(test: AppTest, *keys: str) -> list[Any]:
    """What stands in fields."""
    return [test.text_input(key=key).value for key in keys]


@pytest.fixture
def acme(page: Page, app: App, books: ModuleType, now_us: int) -> AppTest:
    """The page of a tenant with 20 USD."""
    books.tenant(app, "acme", now_us, zone="Asia/Kolkata")
    return page("tenants", "acme")


@pytest.mark.parametrize(
    ("expires", "why"), [("soon", "Expires: not a date"), ("2020-01-31", "Expires: has passed")]
)
def test_all_that_is_wrong_with_a_top_up_is_told_at_once(
    acme: AppTest, app: App, expires: str, why: str
) -> None:
    """Amount, end and reason, each with its fix; what was typed stays until it is right."""
    press(acme, "Top up")
    acme.segmented_control(key="top_up_kind").set_value("promo").run()
    long = "x" * (REASON_MAX + 1)
    fill(acme, top_up_amount="five", top_up_expires=expires, top_up_reason=long)
    press(acme, "Add credit")
    amount, end, reason = errors(acme)
    assert amount.startswith("Amount in USD: not an amount in USD. Write digits")
    assert end.startswith(why)
    assert (end + reason).count(". ") == 2
    assert reason == f"Reason: too long. Use at most {REASON_MAX} characters."
    assert typed(acme, "top_up_amount", "top_up_expires", "top_up_reason") == ["five", expires, long]
    fill(acme, top_up_amount="5", top_up_expires="2090-01-01", top_up_reason="a gift")
    press(acme, "Add credit")
    assert errors(acme) == []
    with app.reading() as conn:
        assert reads.statement(conn, "acme")[-1].reason == "a gift"


def test_the_end_of_promo_credit_outlives_a_look_at_the_other_kind(acme: AppTest, app: App) -> None:
    """Paid credit has none, so a wrong one does not stand in its way; chosen again, promo still has it."""
    press(acme, "Top up")
    kind = "top_up_kind"
    acme.segmented_control(key=kind).set_value("promo").run()
    fill(acme, top_up_amount="5", top_up_expires="soon")
    acme.segmented_control(key=kind).set_value("paid").run()
    acme.segmented_control(key=kind).set_value("promo").run()
    assert typed(acme, "top_up_expires") == ["soon"]
    acme.segmented_control(key=kind).set_value("paid").run()
    press(acme, "Add credit")
    assert errors(acme) == []
    with app.reading() as conn:
        found = reads.account(conn, "acme")
    assert found is not None
    assert found.credit_nanos == 25_000_000_000


def test_all_that_is_wrong_with_a_budget_is_told_at_once(acme: AppTest, app: App, now_us: int) -> None:
    """Limit and reason; the old limit holds."""
    press(acme, "Set daily budget")
    fill(acme, budget_limit="-1", budget_reason="x" * (REASON_MAX + 1))
    press(acme, "Set budget")
    assert [told.partition(":")[0] for told in errors(acme)] == ["Limit in USD", "Reason"]
    with app.reading() as conn:
        found = reads.balance(conn, "acme", now_us)
    assert found is not None
    assert found.day is not None
    assert found.day.limit_nanos == 5_000_000_000


def test_all_that_is_wrong_with_a_new_tenant_is_told_at_once(page: Page, app: App) -> None:
    """Name, credit, budget and zone, with their fixes; without its mistakes the same form creates it."""
    test = page("tenants")
    press(test, "New tenant")
    wrong = {
        "new_name": "acme & sons",
        "new_credit": "5 USD",
        "new_budget": "lots",
        "new_zone": "Europe/Berln",
    }
    fill(test, **wrong)
    press(test, "Create tenant")
    told = errors(test)
    fields = ["Name", "Opening credit in USD", "Daily budget in USD", "Time zone"]
    assert [one.partition(":")[0] for one in told] == fields
    assert told[3].endswith('Did you mean "Europe/Berlin"?')
    assert typed(test, *wrong) == list(wrong.values())
    with app.reading() as conn:
        assert reads.tenants(conn) == ()
    fill(test, new_name="acme", new_credit="5", new_budget="none", new_zone="Europe/Berlin")
    press(test, "Create tenant")
    assert errors(test) == []
    with app.reading() as conn:
        assert [row.timezone for row in reads.tenants(conn)] == ["Europe/Berlin"]


def test_all_wrong_thresholds_are_told_at_once(page: Page) -> None:
    """Of two steps and of what concerns all; the numbers stay in their fields."""
    test = page("policy")
    wrong = {"step 0/below": 150.0, "step 1/max_tokens": -1, "step 2/below": 30.0, "hysteresis": 100.0}
    for name, number in wrong.items():
        next(field for field in test.number_input if field.key.endswith(name)).set_value(number)
    test.run()
    told = errors(test)
    assert sorted(one.partition(":")[0] for one in told) == [
        "Below", "Below", "Hysteresis", "max_tokens at most"
    ]  # fmt: skip
    shown = {field.key: field.value for field in test.number_input}
    assert {name: value for name in wrong for key, value in shown.items() if key.endswith(name)} == wrong
