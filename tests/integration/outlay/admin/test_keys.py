"""
Keys: the secret is shown once, the right tenant pays, a revocation bites.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from outlay.admin import keys, policies, tenants
from outlay.errors import BadInput, Rejected
from outlay.keys_sql import Keys, secret_hash
from outlay.wiring import App
from router.types import Rights

CLASSES = """
[tiers.only]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "only"
[privacy.eu-only]
models = ["claude-haiku-5-5"]
"""


def test_a_secret_is_shown_once_and_stored_nowhere(app: App, acme: dict[str, Any]) -> None:
    """
    No list, no row and no representation has the secret; the hash is in no list.
    """
    made = keys.create_key(app, tenant="acme", name="ci", actor="t")
    assert set(made) == {"id", "key", "role", "tenant", "name"}
    listed = json.dumps(keys.list_keys(app)) + json.dumps(keys.list_keys(app, "acme"))
    assert made["id"] in listed
    assert made["key"] not in listed
    assert secret_hash(made["key"]) not in listed
    with app.reading() as connection:
        stored = repr(connection.execute(text("SELECT * FROM outlay_api_key")).all())
    assert made["key"] not in stored
    assert len(made["key"]) > 40


def test_a_key_is_found_by_its_secret_only(app: App, acme: dict[str, Any]) -> None:
    """
    The secret finds the key with its rights; anything else finds nothing.
    """
    policies.apply_policy(app, CLASSES, actor="t")
    made = keys.create_key(app, tenant="acme", loosen=True, privacy="eu-only", actor="anna")
    found = app.keys.find(made["key"])
    assert found is not None
    assert (found.id, found.tenant, found.role, found.created_by) == (made["id"], "acme", "tenant", "anna")
    assert found.rights == Rights(loosen=True, privacy="eu-only")
    for wrong in ("", made["id"], made["key"][:-1], made["key"] + "x", made["key"].upper(), "\ud800", "ä"):
        assert app.keys.find(wrong) is None


def test_keys_of_operators_belong_to_no_tenant(app: App) -> None:
    """
    Each role of operators makes a key without a tenant.
    """
    for role in ("viewer", "operator", "admin"):
        made = keys.create_key(app, role=role, actor="t")
        found = app.keys.find(made["key"])
        assert found is not None
        assert (found.role, found.tenant) == (role, None)
    assert {key["role"] for key in keys.list_keys(app)["keys"]} == {"viewer", "operator", "admin"}


def test_a_revoked_key_is_refused_at_once_here_and_soon_elsewhere(app: App, acme: dict[str, Any]) -> None:
    """
    The process that revokes takes the key no longer; another one within a second of its last look.
    """
    other = Keys(app.engine)
    assert other.find(acme["key"]) is not None
    assert app.keys.find(acme["key"]) is not None
    gone = keys.revoke_key(app, acme["key_id"], actor="anna")
    assert (gone["changed"], gone["revoked_by"]) == (True, "anna")
    assert app.keys.find(acme["key"]) is None
    deadline = time.monotonic() + 1.5
    while other.find(acme["key"]) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    again = keys.revoke_key(app, acme["key_id"], actor="bert")
    assert (again["changed"], again["revoked_by"]) == (False, "anna")


def test_keys_that_are_not_there(app: App, acme: dict[str, Any]) -> None:
    """
    An unknown id is refused; a secret given as an id is not repeated in the answer.
    """
    with pytest.raises(Rejected) as caught:
        keys.revoke_key(app, "nothing", actor="t")
    assert caught.value.code == "unknown_key"
    with pytest.raises(Rejected) as caught:
        keys.revoke_key(app, acme["key"], actor="t")
    assert acme["key"] not in f"{caught.value} {caught.value.details}"
    assert app.keys.find(acme["key"]) is not None
    with pytest.raises(Rejected, match="acme"):
        keys.list_keys(app, "acne")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("role", {"role": "root"}),
        ("role", {"role": "Admin"}),
        ("tenant", {"tenant": None}),
        ("tenant", {"role": "admin"}),
        ("tenant", {"tenant": "*"}),
        ("name", {"name": "a\nb"}),
        ("name", {"name": "x" * 201}),
        ("loosen", {"loosen": "yes"}),
        ("loosen", {"role": "viewer", "tenant": None, "loosen": True}),
        ("privacy", {"privacy": "eu-only"}),
        ("privacy", {"role": "viewer", "tenant": None, "privacy": "eu-only"}),
        ("actor", {"actor": ""}),
    ],
)
def test_bad_keys_are_not_made(
    app: App, acme: dict[str, Any], rows: Callable[[], object], field: str, change: dict[str, Any]
) -> None:
    """
    Each wrong field is named and no key is made.
    """
    before = rows()
    with pytest.raises(BadInput) as caught:
        keys.create_key(app, **{"tenant": "acme", "actor": "t", **change})
    assert caught.value.field == field
    assert rows() == before


def test_a_key_for_nobody_is_not_made(app: App, acme: dict[str, Any], rows: Callable[[], object]) -> None:
    """
    A key for a tenant that does not exist is refused with the close name.
    """
    tenants.create_tenant(app, "beta", actor="t")
    before = rows()
    with pytest.raises(Rejected, match='Did you mean "beta"') as caught:
        keys.create_key(app, tenant="betta", actor="t")
    assert caught.value.code == "unknown_tenant"
    assert rows() == before
