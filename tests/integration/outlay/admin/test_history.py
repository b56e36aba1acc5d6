"""
Who changed which setting, as operators see it.
"""

from typing import Any

import pytest

from outlay.admin import books, history, lots, money, tenants
from outlay.errors import BadInput, Rejected
from outlay.wiring import App

BUDGET = "budget:tenant/day"


def lines(app: App, **which: Any) -> list[tuple[Any, ...]]:
    """Return who set what, from what to what, and why."""
    words = "actor", "subject", "setting", "from", "to", "reason"
    return [tuple(line[word] for word in words) for line in history.history(app, "acme", **which)["changes"]]


def test_a_limit_tells_who_lowered_it_and_why(app: App, acme: dict[str, Any]) -> None:
    """
    A line is a setting that changed; no limit reads "none", an order without an effect has one line.
    """
    money.set_budget(app, "acme", "3", reason="too much", actor="ann", idempotency_key="k-1")
    money.raise_budget(app, "acme", "9", until="2999-01-01", reason="launch", actor="ben")
    money.set_budget(app, "acme", "none", actor="cleo")
    money.set_budget(app, "acme", "none", actor="cleo")
    until = "2999-01-01T00:00:00+01:00"
    assert lines(app, of="budget") == [
        ("tester", BUDGET, "limit_usd", None, "5.00", ""),
        ("tester", BUDGET, "counts", None, "charge", ""),
        ("tester", BUDGET, "timezone", None, "Europe/Berlin", ""),
        ("ann", BUDGET, "limit_usd", "5.00", "3.00", "too much"),
        ("ben", BUDGET, "raised_usd", None, "9.00", "launch"),
        ("ben", BUDGET, "raised_until", None, until, "launch"),
        ("cleo", BUDGET, "limit_usd", "3.00", "none", ""),
        ("cleo", BUDGET, "raised_usd", "9.00", None, ""),
        ("cleo", BUDGET, "raised_until", until, None, ""),
        ("cleo", BUDGET, None, None, None, ""),
    ]
    assert history.history(app, "acme", of="budget")["changes"][3]["key"] == "k-1"


def test_settings_of_a_tenant_and_the_terms_of_its_credit_are_told(app: App, acme: dict[str, Any]) -> None:
    """
    A freeze, a price, a zone for account and budget, and what a grant was given with.
    """
    tenants.set_tenant(app, "acme", frozen=True, multiplier="1.2", reason="unpaid", actor="ann")
    tenants.set_tenant(app, "acme", timezone="UTC", overage="absorb", actor="ben")
    money.top_up(
        app, "acme", "7", kind="promo", priority=4, expires="2999-01-01", reason="gift", actor="cleo"
    )
    lots.adjust(app, "acme", "1", reason="goodwill", actor="dora")
    assert lines(app, of="account")[3:] == [
        ("ann", "account", "frozen", False, True, "unpaid"),
        ("ann", "account", "multiplier", "1", "1.2", "unpaid"),
        ("ben", "account", "overage", "debt", "absorb", ""),
        ("ben", "account", "timezone", "Europe/Berlin", "UTC", ""),
    ]
    assert ("ben", BUDGET, "timezone", "Europe/Berlin", "UTC", "") in lines(app)
    found = [(line[0], *line[2:]) for line in lines(app, of="lot") if line[1] == "lot:acme-2"]
    assert ("cleo", "granted_usd", None, "7.00", "gift") in found
    assert ("cleo", "kind", None, "promo", "gift") in found
    assert ("cleo", "priority", None, 4, "gift") in found
    assert ("cleo", "expires_at", None, "2999-01-01T00:00:00+00:00", "gift") in found
    assert ("dora", "lot:acme-3", "kind", None, "adjust", "goodwill") in lines(app)
    assert books.verify(app)["problems"] == []


def test_a_period_and_a_number_narrow_it_down(app: App, acme: dict[str, Any]) -> None:
    """
    What was before the period still says from what the first change was; a limit keeps the newest lines.
    """
    since = tenants.show_tenant(app, "acme")["opened_at"]
    money.set_budget(app, "acme", "3", actor="ann")
    assert lines(app, limit=1) == [("ann", BUDGET, "limit_usd", "5.00", "3.00", "")]
    assert len(lines(app, since=since)) == len(lines(app)) > 1
    assert lines(app, until=since) == []
    assert lines(app, since="2999-01-01") == []
    for wrong, field in (
        ({"of": "key"}, "of"), ({"since": "soon"}, "since"), ({"limit": 0}, "limit"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "until"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as caught:
            lines(app, **wrong)
        assert caught.value.field == field
    with pytest.raises(Rejected) as refused:
        history.history(app, "nobody")
    assert refused.value.code == "unknown_tenant"
