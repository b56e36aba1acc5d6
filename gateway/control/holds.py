"""
Holds for callers that talk to a provider themselves: authorize, then settle, release or renew.
"""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Depends, Header

from gateway.control.access import Caller, tenant_only
from gateway.errors import refusal
from outlay.calls import Refused
from outlay.fields import idempotency_key as checked_key

if TYPE_CHECKING:
    from gateway.house import House

OfTenant = Annotated[Caller, Depends(tenant_only)]
Order = Annotated[dict[str, Any], Body()]


def routes(house: "House") -> APIRouter:
    """
    Return the routes of holds.
    """
    router = APIRouter(tags=["holds"])

    @router.post("/holds", status_code=201)
    async def authorize(
        body: Order, caller: OfTenant, idempotency_key: Annotated[str | None, Header()] = None
    ) -> dict[str, Any]:
        """Hold money for a call: for one of some offers, or for a request that is routed."""
        assert caller.tenant is not None
        key = checked_key(idempotency_key)
        made = await house.holds.authorize(caller.tenant, caller.key_id, body, idempotency_key=key)
        if isinstance(made, Refused):
            raise refusal(made)
        return made

    @router.post("/holds/{hold_id}/settle")
    async def settle(hold_id: str, body: Order, caller: OfTenant) -> dict[str, Any]:
        """Report what the call cost, or its usage."""
        assert caller.tenant is not None
        return await house.holds.settle(caller.tenant, hold_id, body)

    @router.post("/holds/{hold_id}/release")
    async def release(hold_id: str, body: Order, caller: OfTenant) -> dict[str, Any]:
        """Give the money back: the call was not made, or is not billed."""
        assert caller.tenant is not None
        return await house.holds.release(caller.tenant, hold_id, body)

    @router.post("/holds/{hold_id}/renew")
    async def renew(hold_id: str, body: Order, caller: OfTenant) -> dict[str, Any]:
        """Keep the money held for longer."""
        assert caller.tenant is not None
        return await house.holds.renew(caller.tenant, hold_id, body)

    return router
