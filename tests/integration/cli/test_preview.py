"""
`outlay policy preview`, `policy validate --tenant` and `replay` as scripts and people see them.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

Outlay = Callable[..., Any]
ONLY_OPUS = '[tiers.top]\nmodels = ["claude-opus-5-5"]\n[routing]\ndefault_tier = "top"\n'
ONLY_OPUS += 'unlisted_models = "default_tier"\n'


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A policy that serves everything from Opus."""
    path = tmp_path / "policy.toml"
    path.write_text(ONLY_OPUS, encoding="utf-8")
    return str(path)


def test_a_preview_names_what_would_change(outlay: Outlay, file: str, template: tuple[Path, str]) -> None:
    """
    The recorded call for Haiku would be served by Opus, for more money; nothing is written.
    """
    found = outlay("policy", "preview", file, "--days", "30", "--json")
    assert found.status == 0
    (change,) = found.data["changes"]
    assert change["id"] == template[1]
    assert (change["served_now"]["model"], change["served_then"]["model"]) == (
        "claude-haiku-5-5", "claude-opus-5-5"
    )  # fmt: skip
    assert found.data["total"]["calls"] == 1
    assert outlay("policy", "history", "--json").data["versions"] == []
    told = outlay("policy", "preview", file)
    assert "1 of 1 call would change: 1 by another model." in told.out
    assert "risk  acme: spending would rise" in told.out
    assert outlay("policy", "preview", file, "--changes", "0", "--json").data["changes"] == []


def test_calls_above_the_tier_asked_for_have_a_column_of_their_own(
    outlay: Outlay, file: str, books: Path
) -> None:
    """
    They are no downgrades; where there are none, there is no column.
    """
    assert "raised" not in outlay("policy", "preview", file).out
    with closing(sqlite3.connect(books)) as connection:
        connection.execute("DROP TRIGGER outlay_decision_no_update")
        connection.execute("UPDATE outlay_decision SET asked_tier = 'small', served_tier = 'large'")
        connection.commit()
    total = outlay("policy", "preview", file, "--json").data["total"]
    assert (total["raised_now"], total["raised_then"], total["downgrades_now"]) == (1, 0, 0)
    told = outlay("policy", "preview", file).out
    assert "raised" in told
    assert "1 -> 0" in told


def test_a_preview_refuses_what_cannot_be(outlay: Outlay, file: str) -> None:
    """
    An unknown tenant is refused with status 1; a file that is no policy and days out of range with 2.
    """
    assert outlay("policy", "preview", file, "--tenant", "acne", "--json").error["code"] == "unknown_tenant"
    assert outlay("policy", "preview", "-", "--json", typed="[tiers]").status == 2
    assert outlay("policy", "preview", file, "--days", "0").status == 2


def test_a_policy_is_validated_beside_a_tenants_traffic(outlay: Outlay, file: str) -> None:
    """
    Without a tenant no books are needed; with one they are, and it has to be there.
    """
    assert outlay("policy", "validate", file, "--json").data["ok"] is True
    assert outlay("policy", "validate", file, "--tenant", "acme", "--json").data["ok"] is True
    refused = outlay("policy", "validate", file, "--tenant", "acne", "--json")
    assert (refused.status, refused.error["code"]) == (1, "unknown_tenant")


def test_replay_ends_with_status_1_where_something_differs(outlay: Outlay, books: Path) -> None:
    """
    A tampered record is found, named and counted.
    """
    assert outlay("replay").status == 0
    with closing(sqlite3.connect(books)) as connection:
        connection.execute("DROP TRIGGER outlay_decision_no_update")
        connection.execute("UPDATE outlay_decision SET level = 2")
        connection.commit()
    found = outlay("replay", "--json")
    assert (found.status, found.data["differing"], found.data["same"]) == (1, 1, 0)
    assert "0 came out the same, 1 did not" in outlay("replay").out


def test_a_list_of_decisions_says_its_own_bound(outlay: Outlay) -> None:
    """
    What `explain --list` takes at most is what it says.
    """
    assert outlay("explain", "--list", "--limit", "1000").status == 0
    assert outlay("explain", "--list", "--limit", "1001").status == 2
    assert "1<=x<=1000" in outlay("explain", "--help").out.replace(" ", "").replace("\n", "")
