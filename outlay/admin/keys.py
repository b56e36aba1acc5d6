"""
API keys: tenants' keys for calls, operators' keys with a role. A secret is in one answer and nowhere else.
"""

from typing import Any, Final

from sqlalchemy import Connection

from outlay import fields
from outlay.admin.common import known_tenant, zone_of
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected, translated
from outlay.fields import instant_text
from outlay.keys_sql import PREFIX, KeyRow
from outlay.wiring import App
from router.types import Rights

ROLES: Final = ("tenant", "viewer", "operator", "admin")


def create_key(
    app: App,
    *,
    tenant: str | None = None,
    role: str = "tenant",
    name: str = "",
    loosen: bool = False,
    privacy: str | None = None,
    actor: str,
) -> dict[str, Any]:
    """
    Make a key.

    Args:
        tenant: Who pays for the calls of the key; keys of operators have none.
        role: "tenant", or for operators "viewer" (reads), "operator" (moves money, halts), "admin" (all).
        loosen: Hints of the key's calls may also loosen: raise the priority, set a floor, pin a model.
        privacy: Class of the policy that every call of the key belongs to.
    Returns:
        id, key (the secret, shown once), role, tenant, name.
    """
    actor, role = fields.word(actor, "actor"), fields.choice(role, "role", ROLES)
    name = "" if name == "" else fields.word(name, "name")
    rights = Rights(
        fields.flag(loosen, "loosen"), None if privacy is None else fields.word(privacy, "privacy")
    )
    if role == "tenant":
        _check_tenants_key(app, tenant, rights)
    else:
        _check_operators_key(role, tenant, rights)
    with translated():
        made = app.keys.create(
            tenant=tenant, role=role, name=name, rights=rights, actor=actor, now_us=now_us()
        )
    return {"id": made.key.id, "key": made.secret, "role": role, "tenant": tenant, "name": name}


def _check_tenants_key(app: App, tenant: str | None, rights: Rights) -> None:
    if tenant is None:
        raise BadInput("tenant", None, "a key for calls needs a tenant", "Name one, or a role of operators.")
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant)
        classes = app.policies.applied(connection, row.tenant).policy.privacy
    if rights.privacy is not None and rights.privacy not in classes:
        known = f"The policy has: {', '.join(classes)}." if classes else "The policy has none."
        fix = fields.close_name(rights.privacy, classes) or known
        raise BadInput("privacy", rights.privacy, "no privacy class of the policy in force", fix)


def _check_operators_key(role: str, tenant: str | None, rights: Rights) -> None:
    if tenant is not None:
        fix = "Leave the tenant out, or take the role tenant."
        raise BadInput("tenant", tenant, f"a key of the role {role} belongs to no tenant", fix)
    if rights != Rights():
        field, value = ("loosen", rights.loosen) if rights.loosen else ("privacy", rights.privacy)
        raise BadInput(field, value, f"a key of the role {role} makes no calls", "Leave it out.")


def revoke_key(app: App, key_id: str, *, actor: str) -> dict[str, Any]:
    """
    Revoke a key for good, within a second everywhere; `changed` is false where it was revoked before.

    Raises:
        Rejected: `unknown_key`.
    """
    key_id, actor = fields.word(key_id, "key"), fields.word(actor, "actor")
    with translated(), app.reading() as connection:
        if app.keys.get(connection, key_id) is None:
            raise _unknown(key_id)
    with translated():
        changed = app.keys.revoke(key_id, actor=actor, now_us=now_us())
    with translated(), app.reading() as connection:
        key = app.keys.get(connection, key_id)
        assert key is not None, "keys are never deleted"
        zone = _zone(connection, key)
    return {**key_dict(key, zone), "changed": changed}


def _unknown(key_id: str) -> Rejected:
    """Name the id, but never repeat what may be a secret."""
    if key_id.startswith(PREFIX):
        text = "this is the secret of a key, not its id; the ids are in: outlay key list"
        return Rejected("unknown_key", text)
    text = f"there is no key {key_id}; the ids are in: outlay key list"
    return Rejected("unknown_key", text, {"key": key_id})


def list_keys(app: App, tenant: str | None = None) -> dict[str, Any]:
    """
    Return the keys of a tenant, or all of them, revoked ones too; never a secret or its hash.
    """
    with translated(), app.reading() as connection:
        name = None if tenant is None else known_tenant(connection, tenant).tenant
        return {"keys": [key_dict(key, _zone(connection, key)) for key in app.keys.list(connection, name)]}


def _zone(connection: Connection, key: KeyRow) -> str:
    return "UTC" if key.tenant is None else zone_of(connection, key.tenant)


def key_dict(key: KeyRow, zone: str) -> dict[str, Any]:
    """
    Return a key as people may see it, its times in a zone.
    """
    return {
        "id": key.id,
        "tenant": key.tenant,
        "role": key.role,
        "name": key.name,
        "loosen": key.rights.loosen,
        "privacy": key.rights.privacy,
        "created_at": instant_text(key.created_us, zone),
        "created_by": key.created_by,
        "revoked_at": instant_text(key.revoked_us, zone),
        "revoked_by": key.revoked_by,
    }
