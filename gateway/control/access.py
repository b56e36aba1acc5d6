"""
Who may do what on the control plane.

Roles of operators: viewer (read) < operator (daily work: tenants, money, policies, halts) < admin (keys of
operators as well). A tenant's own key reaches its balance, its statement, its lots and its holds, and nothing
else.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastapi import Request

from gateway.house import House
from gateway.intake import find_key, forbidden, secret_of
from router.types import Rights

RANKS: Mapping[str, int] = {"viewer": 1, "operator": 2, "admin": 3}
ADMIN_ACTOR = "admin-key"


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Whose key a request showed.

    Attributes:
        actor: Recorded with every change.
        rank: Of an operator's role; 0 for a tenant's key.
        tenant: Of a tenant's key; None for operators.
    """

    actor: str
    rank: int
    tenant: str | None = None
    key_id: str = ""
    rights: Rights = field(default_factory=Rights)

    @property
    def paying(self) -> str:
        """
        The tenant that pays; only where `tenant_only` has let the caller pass.
        """
        assert self.tenant is not None
        return self.tenant


async def identify(house: House, headers: Mapping[str, str]) -> Caller:
    """
    Find out who calls. The key of `OUTLAY_ADMIN_KEY` needs no row in the database.

    Raises:
        ApiError: 401.
    """
    secret = secret_of(headers)
    admin_key = house.app.settings.admin_key
    if admin_key is not None and hmac.compare_digest(_raw(secret), _raw(admin_key)):
        return Caller(ADMIN_ACTOR, RANKS["admin"])
    key = await find_key(house.app.keys, secret)
    rank = 0 if key.tenant is not None else RANKS.get(key.role, 0)
    return Caller(f"key:{key.id}", rank, key.tenant, key.id, key.rights)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def at_least(role: str) -> Callable[[Request], Caller]:
    """
    Return a dependency that lets operators of a role, or of a higher one, pass.
    """

    def check(request: Request) -> Caller:
        caller = caller_of(request)
        if caller.rank < RANKS[role]:
            raise forbidden(f"this needs a key with the role {role}")
        return caller

    return check


def admin_only(caller: Caller) -> None:
    """
    Let only the role admin pass.
    """
    if caller.rank < RANKS["admin"]:
        raise forbidden("this needs a key with the role admin: it sends the provider's key elsewhere")


def own_or_viewer(request: Request) -> Caller:
    """
    Let operators pass, and a tenant's key for the tenant that the path names.
    """
    caller = caller_of(request)
    if caller.rank < RANKS["viewer"] and caller.tenant != request.path_params.get("tenant"):
        raise forbidden("a tenant's key reaches its own balance, statement, lots and holds only")
    return caller


def tenant_only(request: Request) -> Caller:
    """
    Let tenants' keys pass: holds are paid by the tenant of the key.
    """
    caller = caller_of(request)
    if caller.tenant is None:
        raise forbidden("holds are made with a tenant's key, whose tenant pays")
    return caller


def caller_of(request: Request) -> Caller:
    """
    Return who calls, as the front of the control plane found out.
    """
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller
