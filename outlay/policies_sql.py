"""
Policy versions: appended, never changed; the newest one of a tenant, else of everybody, is in force.

Version 0 is the packaged default policy, which holds until one is applied. A tenant's version with an empty
text ends its own policy: the one for everybody holds again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, Row, func, select

from ledger import reading
from outlay.errors import BooksUnavailable, translated
from outlay.statements import append, marked
from outlay.tables import EVERYBODY
from outlay.tables import policy as table

if TYPE_CHECKING:
    from router.policy_model import Policy

_ATTEMPTS_MAX: Final = 20
_PARSED_MAX: Final = 1_000
_NEWEST: Final = "SELECT tenant, max(version) FROM outlay_policy WHERE tenant IN (?, '*') GROUP BY tenant"


@dataclass(frozen=True, slots=True)
class Applied:
    """
    The policy in force for a tenant; `tenant` is EVERYBODY where it has none of its own.
    """

    tenant: str
    version: int
    policy: "Policy"


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """
    One version as it was applied.
    """

    tenant: str
    version: int
    text: str
    actor: str
    note: str
    at_us: int


class Policies:
    """
    The policy versions of one database. Parsed policies are kept; versions never change.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._newest = marked(_NEWEST, engine.dialect.name)
        self._parsed: dict[tuple[str, int], Policy | None] = {}

    def applied(self, connection: Connection, tenant: str) -> Applied:
        """
        Return the policy in force for a tenant: one cheap query, unless a version is new to this process.
        """
        rows = connection.exec_driver_sql(self._newest, (tenant,)).all()
        newest = {str(row[0]): int(row[1]) for row in rows}
        for owner in (tenant, EVERYBODY):
            version = newest.get(owner)
            policy = None if version is None else self.policy(connection, owner, version)
            if version is not None and policy is not None:
                return Applied(owner, version, policy)
        default = self.policy(connection, EVERYBODY, 0)
        assert default is not None
        return Applied(EVERYBODY, 0, default)

    def policy(self, connection: Connection, tenant: str, version: int) -> "Policy | None":
        """
        Return a version, parsed; None where it does not exist or ended the tenant's own policy.
        """
        key = (tenant, version)
        if key in self._parsed:
            return self._parsed[key]
        text = self.text(connection, tenant, version)
        if text is None:
            return None  # not kept: the version may come to be
        return self._keep(key, text)

    def _keep(self, key: tuple[str, int], text: str) -> "Policy | None":
        from router.policy import load_policy

        parsed = None if text == "" else load_policy(text)
        if len(self._parsed) >= _PARSED_MAX:
            self._parsed.clear()
        self._parsed[key] = parsed
        return parsed

    def text(self, connection: Connection, tenant: str, version: int) -> str | None:
        """
        Return the text of a version; None where it does not exist.
        """
        found = self.row(connection, tenant, version)
        return None if found is None else found.text

    def row(self, connection: Connection, tenant: str, version: int | None = None) -> PolicyRow | None:
        """
        Return a version, or the newest one, with who applied it; None where there is none.
        """
        if version == 0 and tenant == EVERYBODY:
            return default_row()
        query = select(table).where(table.c.tenant == tenant)
        query = query.order_by(table.c.version.desc()).limit(1)
        if version is not None:
            query = query.where(table.c.version == version)
        found = connection.execute(query).one_or_none()
        return None if found is None else _row(found)

    def history(self, connection: Connection, tenant: str) -> tuple[PolicyRow, ...]:
        """
        Return every version, the newest first.
        """
        query = select(table).where(table.c.tenant == tenant).order_by(table.c.version.desc())
        return tuple(_row(row) for row in connection.execute(query))

    def apply(self, text: str, *, tenant: str = EVERYBODY, actor: str, note: str = "", now_us: int) -> int:
        """
        Append a version, in force at once; returns its number. The text is not checked here.
        """
        write = partial(append, self._engine, table)
        return self.append(text, write, tenant=tenant, actor=actor, note=note, now_us=now_us)

    def append(
        self,
        text: str,
        write: Callable[[Mapping[str, object]], bool],
        *,
        tenant: str,
        actor: str,
        note: str,
        now_us: int,
    ) -> int:
        """
        Append a version by a write of the caller's, who may have it in one transaction with more.

        Args:
            write: Inserts the row; false where somebody else took the number meanwhile.
        """
        for _ in range(_ATTEMPTS_MAX):
            with translated(), reading(self._engine) as connection:
                query = select(func.coalesce(func.max(table.c.version), 0)).where(table.c.tenant == tenant)
                version = int(connection.execute(query).scalar_one()) + 1
            row = PolicyRow(tenant, version, text, actor, note, now_us)
            with translated():
                if write({name: getattr(row, name) for name in PolicyRow.__slots__}):
                    return version
        raise BooksUnavailable("others applied policies at the same moment, again and again; try again")


def default_row() -> PolicyRow:
    """
    Return the packaged default policy as version 0.
    """
    from router.policy import default_policy_text

    return PolicyRow(EVERYBODY, 0, default_policy_text(), "outlay", "packaged default", 0)


def _row(row: Row[Any]) -> PolicyRow:
    return PolicyRow(row.tenant, row.version, row.text, row.actor, row.note, row.at_us)
