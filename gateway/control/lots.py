"""
The routes of lots, corrections, open holds and seals: each is one function of `outlay.admin.lots`.
"""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery

from gateway.control import bodies
from gateway.control.orders import Answer, IdempotencyKey, Operator, OwnOrViewer, Viewer, order
from gateway.house import House
from outlay.admin import lots


def routes(house: House) -> APIRouter:
    """
    Return the routes.
    """
    router = APIRouter(tags=["money"])

    @router.post("/tenants/{tenant}/adjustments")
    def adjust(
        tenant: str, body: bodies.Adjustment, caller: Operator, idempotency_key: IdempotencyKey = None
    ) -> Answer:
        """Correct the credit by hand."""
        return lots.adjust(house.app, tenant, actor=caller.actor, **order(body, idempotency_key))

    @router.get("/tenants/{tenant}/lots")
    def list_lots(tenant: str, _caller: OwnOrViewer) -> Answer:
        """List the lots of credit."""
        return lots.list_lots(house.app, tenant)

    @router.get("/lots/{lot}")
    def show_lot(lot: str, _caller: Viewer) -> Answer:
        """Show a lot and everything that happened to it."""
        return lots.show_lot(house.app, lot)

    @router.post("/lots/{lot}/reverse")
    def reverse(
        lot: str, body: bodies.Reversal, caller: Operator, idempotency_key: IdempotencyKey = None
    ) -> Answer:
        """Take a lot back; what is spent of it becomes debt."""
        return lots.reverse(house.app, lot, actor=caller.actor, **order(body, idempotency_key))

    @router.get("/open-holds")
    def list_holds(query: Annotated[bodies.HoldFilter, InQuery()], _caller: Viewer) -> Answer:
        """List open holds, the next to expire first."""
        return lots.list_holds(house.app, query.tenant, limit=query.limit)

    @router.post("/seals")
    def seal(_caller: Operator) -> Answer:
        """Seal every day that has ended and is not sealed yet."""
        return lots.seal(house.app)

    return router
