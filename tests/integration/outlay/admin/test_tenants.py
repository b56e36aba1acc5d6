"""
Tenants are created whole or not at all, and shown in documented shapes.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event

from outlay.admin import breakers, keys, money, policies, tenants
from outlay.admin.breakers import halt
from outlay.errors import BadInput, OutlayError, Rejected
from outlay.wiring import App

BUDGET = """
[tiers.only]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "only"
[budget]
daily_usd = "7.50"
timezone = "Asia/Tokyo"
"""


def test_a_tenant_is_created_with_credit_budget_and_key(app: App, acme: dict[str, Any]) -> None:
    """
    The answer has the promised shape, its key works at once, and the balance agrees.
    """
    key = app.keys.find(acme["key"])
    assert key is not None
    assert (key.tenant, key.role, key.id) == ("acme", "tenant", acme["key_id"])
    assert acme["key"].startswith("olk_")
    assert {name: acme[name] for name in ("tenant", "credit_usd", "daily_budget_usd", "timezone")} == {
        "tenant": "acme", "credit_usd": "20.00", "daily_budget_usd": "5.00", "timezone": "Europe/Berlin"
    }  # fmt: skip
    shown = tenants.show_tenant(app, "acme")
    assert (shown["credit_usd"], shown["available_usd"], shown["debt_usd"]) == ("20.00", "20.00", "0.00")
    assert shown["day"]["limit_usd"] == "5.00"
    assert shown["day"]["remaining_ratio"] == 1.0
    assert shown["day"]["resets_at"][-6:] in ("+01:00", "+02:00")
    assert [key["id"] for key in shown["keys"]] == [acme["key_id"]]
    assert acme["key"] not in str(shown)


def test_the_policys_budget_is_the_default(app: App) -> None:
    """
    Limit and zone that are not given come from `[budget]` of the policy for everybody; "none" is no limit.
    """
    assert tenants.create_tenant(app, "before", actor="t")["daily_budget_usd"] is None
    policies.apply_policy(app, BUDGET, actor="t")
    made = tenants.create_tenant(app, "after", actor="t")
    assert (made["daily_budget_usd"], made["timezone"], made["credit_usd"]) == ("7.50", "Asia/Tokyo", "0.00")
    free = tenants.create_tenant(app, "free", daily_budget="none", timezone="UTC", actor="t")
    assert (free["daily_budget_usd"], free["timezone"]) == (None, "UTC")
    shut = tenants.create_tenant(app, "shut", daily_budget="0", actor="t")
    assert shut["daily_budget_usd"] == "0.00"
    assert tenants.show_tenant(app, "shut")["day"]["remaining_ratio"] == 0.0
    assert tenants.show_tenant(app, "free")["day"]["remaining_ratio"] is None


def test_a_tenant_is_not_created_twice(app: App, acme: dict[str, Any], rows: Callable[[], object]) -> None:
    """
    The second order is refused, makes no key and changes nothing, whatever it says.
    """
    before = rows()
    for credit in ("20", "21"):
        with pytest.raises(Rejected) as caught:
            tenants.create_tenant(app, "acme", credit=credit, actor="t")
        assert (caught.value.code, caught.value.details["tenant"]) == ("tenant_exists", "acme")
    assert rows() == before


def test_a_crash_while_creating_leaves_nothing(app: App, rows: Callable[[], object]) -> None:
    """
    Where the key cannot be written there is no account either: they are one transaction.
    """
    before = rows()
    with app.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outlay_api_key RENAME TO away")
    with pytest.raises(OutlayError):
        tenants.create_tenant(app, "acme", credit="20", actor="t")
    with app.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO outlay_api_key")
    assert rows() == before
    assert tenants.create_tenant(app, "acme", credit="20", actor="t")["credit_usd"] == "20.00"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("tenant", {"tenant": "*"}),
        ("tenant", {"tenant": "a b"}),
        ("tenant", {"tenant": None}),
        ("credit", {"credit": "-1"}),
        ("credit", {"credit": 5}),
        ("credit", {"credit": 5.0}),
        ("credit", {"credit": "1" * 30}),
        ("daily_budget", {"daily_budget": "-0.01"}),
        ("daily_budget", {"daily_budget": "lots"}),
        ("daily_budget", {"daily_budget": 5}),
        ("timezone", {"timezone": "Mars/Olympus"}),
        ("timezone", {"timezone": 1}),
        ("multiplier", {"multiplier": "-1"}),
        ("multiplier", {"multiplier": 1.5}),
        ("actor", {"actor": ""}),
        ("actor", {"actor": None}),
        ("actor", {"actor": "a\nb"}),
    ],
)
def test_bad_fields_write_nothing(
    app: App, rows: Callable[[], object], field: str, change: dict[str, Any]
) -> None:
    """
    Each wrong field is named, and neither account nor key is written.
    """
    before = rows()
    with pytest.raises(BadInput) as caught:
        tenants.create_tenant(app, **{"tenant": "acme", "actor": "t", **change})
    assert caught.value.field == field
    assert rows() == before


def test_an_unknown_tenant_names_the_one_that_was_meant(app: App, acme: dict[str, Any]) -> None:
    """
    A mistyped tenant is refused with the close name; without one, with where to look.
    """
    with pytest.raises(Rejected, match='Did you mean "acme"') as caught:
        tenants.show_tenant(app, "acne")
    assert caught.value.code == "unknown_tenant"
    with pytest.raises(Rejected, match="outlay tenant list"):
        tenants.set_tenant(app, "zzz", frozen=True, actor="t")


def test_the_list_shows_every_tenant(app: App, acme: dict[str, Any]) -> None:
    """
    Every tenant is listed with its balance, by name; a halt of one or of all shows.
    """
    tenants.create_tenant(app, "Beta", actor="t")
    listed = tenants.list_tenants(app)["tenants"]
    assert [(row["tenant"], row["halted"], row["frozen"]) for row in listed] == [
        ("Beta", False, False),
        ("acme", False, False),
    ]
    halt(app, tenant="acme", reason="test", actor="t")
    assert {row["tenant"]: row["halted"] for row in tenants.list_tenants(app)["tenants"]} == {
        "acme": True, "Beta": False
    }  # fmt: skip
    halt(app, reason="test", actor="t")
    assert all(row["halted"] for row in tenants.list_tenants(app)["tenants"])


def test_settings_are_changed_one_by_one(app: App, acme: dict[str, Any]) -> None:
    """
    What is not named stays; a new zone begins at the next midnight of the old one.
    """
    frozen = tenants.set_tenant(app, "acme", frozen=True, actor="t")
    assert (frozen["frozen"], frozen["multiplier"], frozen["overage"]) == (True, "1", "debt")
    priced = tenants.set_tenant(app, "acme", multiplier="1.25", overage="absorb", actor="t")
    assert (priced["frozen"], priced["multiplier"], priced["overage"]) == (True, "1.25", "absorb")
    before = tenants.show_tenant(app, "acme")["day"]["resets_at"]
    moved = tenants.set_tenant(app, "acme", timezone="UTC", frozen=False, actor="t")
    assert (moved["timezone"], moved["frozen"]) == ("UTC", False)
    assert moved["timezone_from"] is not None
    assert datetime.fromisoformat(moved["timezone_from"]) == datetime.fromisoformat(before)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("settings", {}),
        ("timezone", {"timezone": "Berlin"}),
        ("multiplier", {"multiplier": "x"}),
        ("frozen", {"frozen": "yes"}),
        ("frozen", {"frozen": 1}),
        ("overage", {"overage": "forgive"}),
        ("actor", {"frozen": True, "actor": " "}),
    ],
)
def test_bad_settings_change_nothing(
    app: App, acme: dict[str, Any], rows: Callable[[], object], field: str, change: dict[str, Any]
) -> None:
    """
    A wrong setting is named, also beside right ones, and none is changed.
    """
    before = (rows(), tenants.show_tenant(app, "acme"))
    with pytest.raises(BadInput) as caught:
        tenants.set_tenant(app, "acme", **{"actor": "t", **change})
    assert caught.value.field == field
    assert (rows(), tenants.show_tenant(app, "acme")) == before


def test_looking_writes_nothing(app: App, acme: dict[str, Any]) -> None:
    """
    Lists and balances send nothing but reads to the database.
    """
    sent: list[str] = []

    def listen(engine: Engine) -> None:
        event.listen(engine, "before_cursor_execute", lambda *args: sent.append(str(args[2])))

    listen(app.engine)
    tenants.list_tenants(app)
    tenants.show_tenant(app, "acme")
    assert sent
    assert [text for text in sent if not text.lstrip().upper().startswith(("SELECT", "BEGIN"))] == []


def test_all_times_of_a_tenant_are_in_its_zone(app: App) -> None:
    """
    What is shown of a tenant, of its keys, its halt and its breaker has one clock; what is of all is in UTC.
    """
    made = tenants.create_tenant(app, "dhaka", timezone="Asia/Dhaka", actor="t")
    halted = breakers.halt(app, tenant="dhaka", reason="odd calls", actor="t")
    breakers.halt(app, reason="odd calls", actor="t")
    shown, status = tenants.show_tenant(app, "dhaka"), breakers.breaker_status(app)
    revoked = keys.revoke_key(app, made["key_id"], actor="t")
    own = [row for part in ("switches", "events") for row in status[part] if row["scope"] == "tenant:dhaka"]
    times = [
        shown["opened_at"], shown["keys"][0]["created_at"], revoked["revoked_at"], halted["at"],
        keys.list_keys(app)["keys"][0]["revoked_at"], *(row["at"] for row in own),
    ]  # fmt: skip
    assert len(own) == 2
    assert {time[-6:] for time in times} == {"+06:00"}
    assert {row["at"][-6:] for row in status["switches"] if row["scope"] == "global"} == {"+00:00"}


@pytest.mark.parametrize("whose", ["dhaka", None])
def test_a_balance_says_that_a_tenant_is_halted(app: App, whose: str | None) -> None:
    """Whether by a switch of its own or by the one for everybody, as `tenant show` does."""
    tenants.create_tenant(app, "dhaka", actor="t")
    assert money.balance(app, "dhaka")["halted"] is False
    breakers.halt(app, tenant=whose, reason="odd calls", actor="t")
    assert money.balance(app, "dhaka")["halted"] is tenants.show_tenant(app, "dhaka")["halted"] is True
