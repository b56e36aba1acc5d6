"""
API keys: made, looked up by the hash of their secret, revoked. A secret is shown once and never stored.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, insert, select, update

from ledger import reading
from outlay.errors import translated
from outlay.ids import new_id
from outlay.tables import EVERYBODY, api_key
from router.types import Rights

PREFIX: Final = "olk_"
_CACHE_S: Final = 1.0  # a revoked key may still be taken for this long
_CACHE_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class KeyRow:
    """
    A key, without its secret.

    Attributes:
        tenant: Who pays for its calls; None for keys of operators.
        role: tenant, viewer, operator or admin.
        rights: What the hints of its calls may do.
    """

    id: str
    tenant: str | None
    role: str
    rights: Rights
    name: str
    created_us: int
    created_by: str
    revoked_us: int | None = None
    revoked_by: str | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """
    A key that is not stored yet: its secret, and the row to store (or to attach to another write).
    """

    key: KeyRow
    secret: str = field(repr=False)
    values: Mapping[str, object] = field(repr=False)


def secret_hash(secret: str) -> str:
    """
    Return what is stored of a secret. It has 256 random bits, so that a plain hash cannot be guessed back.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_key(*, tenant: str | None, role: str, name: str, rights: Rights, actor: str, now_us: int) -> NewKey:
    """
    Make a key and its secret; nothing is stored.
    """
    key = KeyRow(new_id(now_us), tenant, role, rights, name, now_us, actor)
    secret = PREFIX + secrets.token_urlsafe(32)
    values = {
        "id": key.id,
        "tenant": EVERYBODY if tenant is None else tenant,
        "role": role,
        "hash": secret_hash(secret),
        "name": name,
        "rights": json.dumps(
            {"loosen": rights.loosen, "privacy": rights.privacy}, sort_keys=True, separators=(",", ":")
        ),
        "created_us": now_us,
        "created_by": actor,
        "revoked_us": None,
        "revoked_by": None,
    }
    return NewKey(key, secret, values)


class Keys:
    """
    The keys of one database. `find` is on the path of every call, and keeps what it found for a second.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._found: dict[str, tuple[float, KeyRow]] = {}

    def peek(self, secret: str) -> KeyRow | None:
        """
        Return a key that was found a moment ago, without asking the database; None says nothing.
        """
        return self._kept(secret_hash(secret), time.monotonic())

    def _kept(self, digest: str, now_s: float) -> KeyRow | None:
        at_s, found = self._found.get(digest, (0.0, None))
        return found if now_s - at_s < _CACHE_S else None

    def find(self, secret: str) -> KeyRow | None:
        """
        Return the key that a secret belongs to; None for an unknown or a revoked one.
        """
        digest = secret_hash(secret)
        now_s = time.monotonic()
        kept = self._kept(digest, now_s)
        if kept is not None:
            return kept
        found = self._look(digest)
        if found is None:
            self._found.pop(digest, None)
            return None
        if len(self._found) >= _CACHE_MAX:
            self._found.clear()
        self._found[digest] = (now_s, found)
        return found

    def _look(self, digest: str) -> KeyRow | None:
        query = select(api_key).where(api_key.c.hash == digest, api_key.c.revoked_us.is_(None))
        with translated(), reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _key(row)

    def store(self, key: NewKey) -> None:
        """
        Store a new key.
        """
        with translated(), self._engine.begin() as connection:
            connection.execute(insert(api_key).values(**key.values))

    def create(
        self, *, tenant: str | None, role: str, name: str, rights: Rights, actor: str, now_us: int
    ) -> NewKey:
        """
        Make and store a key; its secret is in the answer and nowhere else.
        """
        made = new_key(tenant=tenant, role=role, name=name, rights=rights, actor=actor, now_us=now_us)
        self.store(made)
        return made

    def revoke(self, key_id: str, *, actor: str, now_us: int) -> bool:
        """
        Revoke a key for good; False where it was revoked before (or never was).

        This process takes it no longer at once, others within a second.
        """
        live = (api_key.c.id == key_id, api_key.c.revoked_us.is_(None))
        change = update(api_key).where(*live).values(revoked_us=now_us, revoked_by=actor)
        with translated(), self._engine.begin() as connection:
            changed = connection.execute(change).rowcount == 1
        self._found.clear()
        return changed

    def get(self, connection: Connection, key_id: str) -> KeyRow | None:
        """
        Return one key by its id, revoked or not.
        """
        row = connection.execute(select(api_key).where(api_key.c.id == key_id)).one_or_none()
        return None if row is None else _key(row)

    def list(self, connection: Connection, tenant: str | None = None) -> tuple[KeyRow, ...]:
        """
        Return the keys of a tenant, or all, the oldest first; `EVERYBODY` gives those of operators.
        """
        query = select(api_key).order_by(api_key.c.created_us, api_key.c.id)
        if tenant is not None:
            query = query.where(api_key.c.tenant == tenant)
        return tuple(_key(row) for row in connection.execute(query))


def _key(row: Row[Any]) -> KeyRow:
    rights = json.loads(row.rights)
    return KeyRow(
        id=row.id,
        tenant=None if row.tenant == EVERYBODY else row.tenant,
        role=row.role,
        rights=Rights(loosen=rights["loosen"], privacy=rights["privacy"]),
        name=row.name,
        created_us=row.created_us,
        created_by=row.created_by,
        revoked_us=row.revoked_us,
        revoked_by=row.revoked_by,
    )
