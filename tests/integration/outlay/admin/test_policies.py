"""
Policies: checked before they are applied, in force at once, never changed, rolled back by a new version.
"""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from outlay.admin import books, policies, tenants
from outlay.errors import BadInput, PolicyInvalid, Rejected
from outlay.policies_sql import Policies
from outlay.tables import EVERYBODY
from outlay.wiring import App

Rows = Callable[[], object]
SMALL = """
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "small"
"""
LARGE = SMALL.replace("small", "large").replace("haiku", "opus")


def tier(app: App, tenant: str = "acme") -> tuple[str, int, str]:
    """Whose policy is in force, its version, and its first tier."""
    with app.reading() as connection:
        applied = app.policies.applied(connection, tenant)
    return applied.tenant, applied.version, applied.policy.tier_names[0]


def test_the_packaged_policy_holds_until_one_is_applied(app: App, acme: dict[str, Any]) -> None:
    """
    Version 0 is the default; the first one applied is version 1 and holds at once.
    """
    assert tier(app) == (EVERYBODY, 0, "large")
    shown = policies.show_policy(app)
    assert (shown["tenant"], shown["version"], shown["at"]) == (None, 0, None)
    assert "[tiers.large]" in shown["text"]
    made = policies.apply_policy(app, SMALL, actor="anna", note="cheap")
    assert (made["version"], made["tenant"]) == (1, None)
    assert tier(app) == (EVERYBODY, 1, "small")
    shown = policies.show_policy(app)
    assert (shown["version"], shown["text"], shown["actor"], shown["note"]) == (1, SMALL, "anna", "cheap")


def test_a_tenants_own_policy_wins_until_it_is_ended(app: App, acme: dict[str, Any]) -> None:
    """
    A tenant's policy beats that of everybody, for this tenant only; rolled back to 0 it is gone.
    """
    tenants.create_tenant(app, "beta", actor="t")
    policies.apply_policy(app, SMALL, actor="t")
    assert policies.apply_policy(app, LARGE, tenant="acme", actor="t")["version"] == 1
    assert tier(app) == ("acme", 1, "large")
    assert tier(app, "beta") == (EVERYBODY, 1, "small")
    assert tenants.show_tenant(app, "acme")["policy"] == {"tenant": "acme", "version": 1}
    ended = policies.rollback_policy(app, 0, tenant="acme", actor="t")
    told = policies.policy_history(app, "acme")["versions"][0]["note"]
    assert told == "back to the policy for everybody"
    assert (ended["version"], ended["restored"]) == (2, 0)
    assert tier(app) == (EVERYBODY, 1, "small")
    assert policies.show_policy(app, tenant="acme")["tenant"] is None
    policies.rollback_policy(app, 1, tenant="acme", actor="t")
    assert tier(app) == ("acme", 3, "large")


def test_another_process_sees_a_new_version_at_its_next_look(app: App, acme: dict[str, Any]) -> None:
    """
    Parsed policies are kept, but which one is in force is read each time.
    """
    other = Policies(app.engine)
    with app.reading() as connection:
        assert other.applied(connection, "acme").version == 0
    policies.apply_policy(app, SMALL, actor="t")
    with app.reading() as connection:
        assert other.applied(connection, "acme").version == 1


def test_a_rollback_is_a_new_version(app: App) -> None:
    """
    History keeps every step, the newest first, and says what a rollback restored.
    """
    policies.apply_policy(app, SMALL, actor="anna")
    policies.apply_policy(app, LARGE, actor="bert")
    made = policies.rollback_policy(app, 1, actor="carl")
    assert (made["version"], made["restored"], made["tenant"]) == (3, 1, None)
    history = policies.policy_history(app)
    assert [(v["version"], v["actor"]) for v in history["versions"]] == [
        (3, "carl"),
        (2, "bert"),
        (1, "anna"),
    ]
    assert history["versions"][0]["note"] == "rollback to version 1"
    assert policies.show_policy(app, version=3)["text"] == policies.show_policy(app, version=1)["text"]
    assert policies.rollback_policy(app, 0, actor="t")["version"] == 4
    assert "packaged" not in policies.show_policy(app)["note"]
    assert tier(app, "anybody")[2] == "large"


def test_validation_reports_every_problem_and_writes_nothing(app: App, rows: Rows) -> None:
    """
    All problems come at once with field and fix, by validation and by application alike.
    """
    before = rows()
    bad = (
        SMALL.replace('default_tier = "small"', 'default_tier = "smal"')
        + '[budget]\ndaily_usd = "-1"\nx = 1\n'
    )
    for attempt in (
        lambda: policies.validate_policy(bad),
        lambda: policies.apply_policy(app, bad, actor="t"),
    ):
        with pytest.raises(PolicyInvalid) as caught:
            attempt()
        assert {p.field for p in caught.value.problems} == {
            "routing.default_tier", "budget.daily_usd", "budget.x"
        }  # fmt: skip
        assert "Did you mean 'small'" in str(caught.value)
    assert rows() == before
    assert policies.validate_policy(SMALL)["ok"] is True


@pytest.mark.parametrize("text", [None, 5, b"x", "\x00", "\ud800"])
def test_what_is_no_text_of_a_policy(app: App, text: object) -> None:
    """
    Only text can be a policy.
    """
    with pytest.raises(BadInput, match="policy"):
        policies.validate_policy(text)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="policy"):
        policies.apply_policy(app, text, actor="t")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "not toml", "[tiers]", "a = 1"])
def test_texts_that_are_no_policy(app: App, text: str) -> None:
    """
    Empty, broken and incomplete files are refused as policies.
    """
    with pytest.raises(PolicyInvalid):
        policies.apply_policy(app, text, actor="t")


def test_what_is_not_there(app: App, acme: dict[str, Any], rows: Rows) -> None:
    """
    Unknown tenants and versions are refused by name, and nothing is written.
    """
    policies.apply_policy(app, SMALL, actor="t")
    before = rows()
    with pytest.raises(Rejected) as caught:
        policies.show_policy(app, version=9)
    assert caught.value.code == "unknown_version"
    with pytest.raises(Rejected) as caught:
        policies.rollback_policy(app, 1, tenant="acme", actor="t")
    assert (caught.value.code, caught.value.details["tenant"]) == ("unknown_version", "acme")
    for attempt in (
        lambda: policies.apply_policy(app, SMALL, tenant="acne", actor="t"),
        lambda: policies.policy_history(app, "acne"),
        lambda: policies.show_policy(app, tenant="acne"),
        lambda: policies.rollback_policy(app, 0, tenant="acne", actor="t"),
    ):
        with pytest.raises(Rejected, match="Did you mean"):
            attempt()
    for version in (-1, "1", True, 1.0):
        with pytest.raises(BadInput, match="version"):
            policies.show_policy(app, version=version)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="actor"):
        policies.apply_policy(app, SMALL, actor="")
    assert rows() == before


def test_a_tenants_policy_sets_its_day(app: App, acme: dict[str, Any]) -> None:
    """
    Fields of `[budget]` that stand in a tenant's policy set limit and zone; those left out change nothing.
    """
    policies.apply_policy(app, SMALL, tenant="acme", actor="t")
    shown = tenants.show_tenant(app, "acme")
    assert (shown["day"]["limit_usd"], shown["timezone"]) == ("5.00", "Europe/Berlin")
    budget = '[budget]\ndaily_usd = "2.50"\ntimezone = "Asia/Tokyo"\n'
    policies.apply_policy(app, SMALL + budget, tenant="acme", actor="t")
    shown = tenants.show_tenant(app, "acme")
    assert (shown["day"]["limit_usd"], shown["timezone"]) == ("2.50", "Asia/Tokyo")
    policies.apply_policy(app, SMALL + '[budget]\ntimezone = "UTC"\n', tenant="acme", actor="t")
    shown = tenants.show_tenant(app, "acme")
    assert (shown["day"]["limit_usd"], shown["timezone"]) == ("2.50", "UTC")
    assert [v["version"] for v in policies.policy_history(app, "acme")["versions"]] == [3, 2, 1]


def test_the_policy_for_everybody_moves_no_budget(app: App, acme: dict[str, Any]) -> None:
    """
    `[budget]` of the policy for everybody is for tenants to come.
    """
    policies.apply_policy(app, SMALL + '[budget]\ndaily_usd = "1"\ntimezone = "UTC"\n', actor="t")
    shown = tenants.show_tenant(app, "acme")
    assert (shown["day"]["limit_usd"], shown["timezone"]) == ("5.00", "Europe/Berlin")


@pytest.mark.parametrize("budget", ["", '[budget]\ndaily_usd = "2"\n'])
def test_policies_applied_at_once_get_numbers_of_their_own(
    app: App, acme: dict[str, Any], budget: str
) -> None:
    """
    Nobody's version is lost in a race: every order gets a number, and there is no gap.
    """
    made: list[object] = []

    def apply() -> None:
        try:
            made.append(policies.apply_policy(app, SMALL + budget, tenant="acme", actor="t")["version"])
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            made.append(error)

    threads = [threading.Thread(target=apply) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, made)) == ["1", "2", "3", "4", "5", "6"]
    assert books.verify(app)["ok"]
