"""
Quality scores on the control plane: a tenant's key may judge its tenant's own calls, an operator's any.

Also what scores prove, and what is known of trained classifiers.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Query as InQuery
from pydantic import Field, SkipValidation

from gateway.control import bodies
from gateway.control.access import RANKS, Caller, caller_of
from gateway.control.orders import Answer, IdempotencyKey, Viewer, order_key
from gateway.house import House
from gateway.intake import forbidden
from outlay.admin import classifiers, quality


class NewScore(bodies.Body):
    """How good an answer was: 0 to 1, true or false, "pass" or "fail"."""

    score: Annotated[float | bool | str, SkipValidation, Field(examples=[0.8, True, "pass"])]
    source: str = quality.SOURCE
    weight: float = 1.0
    comment: str = ""
    model: str | None = None
    idempotency_key: str | None = None


def of_tenant_or(role: str, request: Request) -> Caller:
    """
    Let tenants' keys pass, and operators of a role or of a higher one.
    """
    caller = caller_of(request)
    if caller.tenant is None and caller.rank < RANKS[role]:
        raise forbidden(f"this needs a tenant's key, or one with the role {role}")
    return caller


def own_decision_or_operator(request: Request) -> Caller:
    """
    Let those pass who may judge.
    """
    return of_tenant_or("operator", request)


def own_decision_or_viewer(request: Request) -> Caller:
    """
    Let those pass who may read.
    """
    return of_tenant_or("viewer", request)


def routes(house: House) -> APIRouter:
    """
    Return the routes of scores.
    """
    router = APIRouter(tags=["decisions"])

    @router.post("/decisions/{decision_id}/scores", status_code=201)
    def score(
        decision_id: str,
        body: NewScore,
        caller: Annotated[Caller, Depends(own_decision_or_operator)],
        idempotency_key: IdempotencyKey = None,
    ) -> Answer:
        """Say how good the answer of a decision was."""
        return quality.score(
            house.app, decision_id, body.score, source=body.source, weight=body.weight, comment=body.comment,
            model=body.model, idempotency_key=order_key(idempotency_key, body.idempotency_key),
            actor=caller.actor, of_tenant=caller.tenant,
        )  # fmt: skip

    @router.get("/decisions/{decision_id}/scores")
    def list_scores(decision_id: str, caller: Annotated[Caller, Depends(own_decision_or_viewer)]) -> Answer:
        """List the scores of a decision, oldest first."""
        return quality.scores(house.app, decision_id, of_tenant=caller.tenant)

    @router.get("/calibration")
    def calibration(query: Annotated[bodies.OfTenant, InQuery()], _caller: Viewer) -> Answer:
        """Show what scores prove of each task class."""
        return quality.calibration(house.app, query.tenant)

    @router.get("/classifiers")
    def list_classifiers(query: Annotated[bodies.OfTenant, InQuery()], _caller: Viewer) -> Answer:
        """List the trained classifiers, the newest first, with their quality and what they may promise."""
        return classifiers.classifiers(house.app, query.tenant)

    @router.get("/classifiers/{version}")
    def show_classifier(version: str, _caller: Viewer) -> Answer:
        """Show a trained classifier and its task classes."""
        return classifiers.show_classifier(house.app, version)

    return router
