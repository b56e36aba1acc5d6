"""
Holds for callers that talk to a provider themselves: authorize, then settle, release or renew.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from gateway.control.access import Caller, tenant_only
from gateway.control.orders import IdempotencyKey
from gateway.errors import refusal
from gateway.house import House
from outlay import holds
from outlay.calls import Refused

OfTenant = Annotated[Caller, Depends(tenant_only)]
Order = Annotated[dict[str, Any], Body()]
Answer = dict[str, Any]


def routes(house: House) -> APIRouter:
    """
    Return the routes of holds; their bodies are read by `outlay.holds`.
    """
    router = APIRouter(tags=["holds"])

    @router.post("/holds", status_code=201)
    async def authorize(body: Order, caller: OfTenant, idempotency_key: IdempotencyKey = None) -> Answer:
        """Hold money for the first of some offers that fits, or for a request, which is routed."""
        order = holds.order(
            caller.paying, body, key_id=caller.key_id, rights=caller.rights, idempotency_key=idempotency_key
        )
        return await _carried_out(house, holds.authorize(order, house.calls.engine.tools))

    @router.post("/holds/{hold_id}/settle")
    async def settle(hold_id: str, body: Order, caller: OfTenant) -> Answer:
        """Report what the call cost, or its model and usage."""
        steps = holds.settle(caller.paying, hold_id, body, house.calls.engine.tools)
        return await _carried_out(house, steps)

    @router.post("/holds/{hold_id}/release")
    async def release(hold_id: str, body: Order, caller: OfTenant) -> Answer:
        """Give the money back: the call was not made, or is not billed."""
        steps = holds.release(caller.paying, hold_id, body, house.calls.engine.tools)
        return await _carried_out(house, steps)

    @router.post("/holds/{hold_id}/renew")
    async def renew(hold_id: str, body: Order, caller: OfTenant) -> Answer:
        """Keep the money held for longer."""
        steps = holds.renew(caller.paying, hold_id, body, house.calls.engine.tools)
        return await _carried_out(house, steps)

    return router


async def _carried_out(house: House, steps: holds.Steps) -> Answer:
    answer = await house.calls.carry_out(steps)
    if isinstance(answer, Refused):
        raise refusal(answer)
    return answer
