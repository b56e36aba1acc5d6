"""
The routes of the control plane: each is one function of `outlay.admin`, for callers of a role.

Plain functions block, so that the server runs them in threads of its own.
"""

from threading import Lock
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as InQuery

from gateway.control import bodies, lots, quality
from gateway.control.access import RANKS, Caller, admin_only
from gateway.control.orders import Answer, IdempotencyKey, Operator, OwnOrViewer, Viewer, order
from gateway.house import House
from gateway.intake import forbidden
from outlay.admin import (
    breakers,
    captured,
    decisions,
    history,
    keys,
    money,
    policies,
    preview,
    statements,
    tenants,
)
from outlay.admin import routes as task_routes
from outlay.errors import Rejected


def routes(house: House) -> tuple[APIRouter, ...]:
    """
    Return all routes of operators.
    """
    books = _tenants(house), _money(house), lots.routes(house), _budgets(house), _keys(house)
    return *books, _policies(house), _previews(house), _watch(house), quality.routes(house), _switches(house)


def _tenants(house: House) -> APIRouter:
    router = APIRouter(tags=["tenants"])

    @router.post("/tenants", status_code=201)
    def create_tenant(body: bodies.NewTenant, caller: Operator) -> Answer:
        """Create a tenant; its key is shown in this answer only."""
        return tenants.create_tenant(house.app, actor=caller.actor, **body.model_dump())

    @router.get("/tenants")
    def list_tenants(_caller: Viewer) -> Answer:
        """List all tenants with their balances."""
        return tenants.list_tenants(house.app)

    @router.get("/tenants/{tenant}")
    def show_tenant(tenant: str, _caller: Viewer) -> Answer:
        """Show one tenant."""
        return tenants.show_tenant(house.app, tenant)

    @router.patch("/tenants/{tenant}")
    def set_tenant(tenant: str, body: bodies.TenantChange, caller: Operator) -> Answer:
        """Change a tenant."""
        return tenants.set_tenant(house.app, tenant, actor=caller.actor, **body.model_dump())

    @router.get("/tenants/{tenant}/history")
    def changes(tenant: str, query: Annotated[bodies.Changes, InQuery()], _caller: Viewer) -> Answer:
        """List who changed which setting, from what to what."""
        return history.history(house.app, tenant, **query.model_dump())

    return router


def _money(house: House) -> APIRouter:
    router = APIRouter(tags=["money"])

    @router.get("/tenants/{tenant}/balance")
    def balance(tenant: str, query: Annotated[bodies.AtInstant, InQuery()], _caller: OwnOrViewer) -> Answer:
        """Show credits, holds and budgets, or the balance at a past instant."""
        return money.balance(house.app, tenant, at=query.at)

    @router.get("/tenants/{tenant}/statement")
    def statement(tenant: str, query: Annotated[bodies.Period, InQuery()], _caller: OwnOrViewer) -> Answer:
        """List the movements of a period."""
        return statements.statement(house.app, tenant, **query.model_dump())

    @router.post("/tenants/{tenant}/top-ups")
    def top_up(
        tenant: str, body: bodies.TopUp, caller: Operator, idempotency_key: IdempotencyKey = None
    ) -> Answer:
        """Add credits."""
        return money.top_up(house.app, tenant, actor=caller.actor, **order(body, idempotency_key))

    @router.post("/refunds")
    def refund(body: bodies.Refund, caller: Operator, idempotency_key: IdempotencyKey = None) -> Answer:
        """Give back what a call was charged."""
        values = order(body, idempotency_key)
        return money.refund(house.app, values.pop("hold"), actor=caller.actor, **values)

    @router.post("/settlements")
    def settle(body: bodies.Settlement, caller: Operator, idempotency_key: IdempotencyKey = None) -> Answer:
        """Book what the provider billed for a call that has ended, above or below what is booked."""
        values = order(body, idempotency_key)
        return captured.settle(
            house.app, values.pop("hold"), values.pop("cost"), actor=caller.actor, **values
        )

    return router


def _budgets(house: House) -> APIRouter:
    router = APIRouter(tags=["money"])

    @router.post("/tenants/{tenant}/budgets")
    def set_budget(
        tenant: str, body: bodies.Budget, caller: Operator, idempotency_key: IdempotencyKey = None
    ) -> Answer:
        """Set a budget."""
        return money.set_budget(house.app, tenant, actor=caller.actor, **order(body, idempotency_key))

    @router.post("/tenants/{tenant}/budgets/raise")
    def raise_budget(
        tenant: str, body: bodies.Raise, caller: Operator, idempotency_key: IdempotencyKey = None
    ) -> Answer:
        """Raise a budget for some time."""
        return money.raise_budget(house.app, tenant, actor=caller.actor, **order(body, idempotency_key))

    return router


def _keys(house: House) -> APIRouter:
    router = APIRouter(tags=["keys"])

    def check_granting(caller: Caller, of_operator: bool) -> None:
        if of_operator and caller.rank < RANKS["admin"]:
            raise forbidden("keys of operators are made and revoked by keys with the role admin")

    @router.get("/keys")
    def list_keys(query: Annotated[bodies.OfTenant, InQuery()], _caller: Operator) -> Answer:
        """List keys, without their secrets."""
        return keys.list_keys(house.app, query.tenant)

    @router.post("/keys", status_code=201)
    def create_key(body: bodies.NewKey, caller: Operator) -> Answer:
        """Make a key; its secret is shown in this answer only."""
        check_granting(caller, body.role != "tenant")
        return keys.create_key(house.app, actor=caller.actor, **body.model_dump())

    @router.post("/keys/{key_id}/revoke")
    def revoke_key(key_id: str, caller: Operator) -> Answer:
        """Revoke a key for good."""
        with house.app.reading() as connection:
            found = house.app.keys.get(connection, key_id)
        check_granting(caller, found is not None and found.tenant is None)
        return keys.revoke_key(house.app, key_id, actor=caller.actor)

    return router


def _policies(house: House) -> APIRouter:
    router = APIRouter(tags=["policies"])

    @router.get("/policy")
    def show_policy(query: Annotated[bodies.PolicyAt, InQuery()], _caller: Viewer) -> Answer:
        """Show the policy in force, or an earlier version."""
        return policies.show_policy(house.app, tenant=query.tenant, version=query.version)

    @router.get("/policy/versions")
    def policy_history(query: Annotated[bodies.OfTenant, InQuery()], _caller: Viewer) -> Answer:
        """List the versions."""
        return policies.policy_history(house.app, query.tenant)

    @router.get("/routes")
    def list_routes(query: Annotated[bodies.OfTenant, InQuery()], _caller: Viewer) -> Answer:
        """List the task table beside recent calls."""
        return task_routes.list_routes(house.app, tenant=query.tenant)

    @router.get("/routes/task")
    def show_route(query: Annotated[bodies.RouteOf, InQuery()], _caller: Viewer) -> Answer:
        """Say what happens to a short call of a task now, and at each degradation step."""
        return task_routes.show_route(house.app, query.task, role=query.role, tenant=query.tenant)

    @router.post("/policy/validate")
    def validate_policy(body: bodies.PolicyText, _caller: Viewer) -> Answer:
        """Check a policy, also beside recent traffic; nothing is written."""
        return policies.validate_policy(body.text, app=house.app, tenant=body.tenant)

    @router.post("/policy", status_code=201)
    def apply_policy(body: bodies.NewPolicy, caller: Operator) -> Answer:
        """Apply a policy as a new version; another upstream needs the role admin."""
        if policies.changes_upstreams(house.app, tenant=body.tenant, text=body.text):
            admin_only(caller)
        return policies.apply_policy(house.app, actor=caller.actor, **body.model_dump())

    @router.post("/policy/rollback", status_code=201)
    def rollback_policy(body: bodies.Rollback, caller: Operator) -> Answer:
        """Apply an earlier version again, as a new one."""
        if policies.changes_upstreams(house.app, tenant=body.tenant, version=body.version):
            admin_only(caller)
        return policies.rollback_policy(house.app, body.version, tenant=body.tenant, actor=caller.actor)

    return router


def _previews(house: House) -> APIRouter:
    router = APIRouter(tags=["policies"])
    previewing = Lock()

    @router.post("/policy/preview")
    def preview_policy(body: bodies.PolicyPreview, _caller: Viewer) -> Answer:
        """Say what a policy would have done to recent traffic; nothing is written."""
        if not previewing.acquire(blocking=False):
            raise Rejected("preview_busy", "another preview is being made; ask again when it is done")
        try:
            return preview.preview_apart(house.app, body.text, days=body.days, tenant=body.tenant)
        finally:
            previewing.release()

    return router


def _watch(house: House) -> APIRouter:
    router = APIRouter(tags=["decisions"])

    @router.get("/decisions")
    def list_decisions(query: Annotated[bodies.DecisionFilter, InQuery()], _caller: Viewer) -> Answer:
        """List decisions, newest first; `next` continues, also where the look for a rare outcome ended."""
        return decisions.list_decisions(house.app, **query.model_dump())

    @router.get("/decisions/{decision_id}")
    def explain(decision_id: str, _caller: Viewer) -> Answer:
        """Explain one decision: what was asked and served, why, and what it cost."""
        return decisions.explain(house.app, decision_id)

    return router


def _switches(house: House) -> APIRouter:
    router = APIRouter(tags=["breakers"])

    @router.get("/breakers")
    def breaker_status(_caller: Viewer) -> Answer:
        """Show kill switches, breakers and their latest events."""
        return breakers.breaker_status(house.app)

    @router.post("/breakers/reset")
    def reset_breaker(body: bodies.Reset, caller: Operator) -> Answer:
        """Close a breaker."""
        return breakers.reset_breaker(house.app, body.scope, reason=body.reason, actor=caller.actor)

    @router.post("/halt")
    def halt(body: bodies.Switch, caller: Operator) -> Answer:
        """Stop spending: once this is answered, no process starts a new call."""
        return breakers.halt(house.app, tenant=body.tenant, reason=body.reason, actor=caller.actor)

    @router.post("/resume")
    def resume(body: bodies.Switch, caller: Operator) -> Answer:
        """Let spending go on."""
        return breakers.resume(house.app, tenant=body.tenant, reason=body.reason, actor=caller.actor)

    return router
