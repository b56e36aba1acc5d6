"""
What the routes of operators share: who may call them, and the key under which an order is carried out once.
"""

from typing import Annotated, Any

from fastapi import Depends, Header
from pydantic import AfterValidator

from gateway.control import bodies
from gateway.control.access import Caller, at_least, own_or_viewer
from gateway.exchange import header_text
from outlay.errors import BadInput

Viewer = Annotated[Caller, Depends(at_least("viewer"))]
Operator = Annotated[Caller, Depends(at_least("operator"))]
OwnOrViewer = Annotated[Caller, Depends(own_or_viewer)]
IdempotencyKey = Annotated[
    str | None,
    Header(description="Same key and same body: same answer, done once"),
    AfterValidator(lambda text: None if text is None else header_text(text.encode("latin-1"))),
]
Answer = dict[str, Any]


def order_key(header: str | None, body: str | None) -> str | None:
    """
    Return the idempotency key, which may stand in a header or in the body.

    Raises:
        BadInput: both are given, and differ.
    """
    if header is not None and body is not None and header != body:
        raise BadInput(
            "idempotency_key", body, "differs from the Idempotency-Key header", "Give one of them."
        )
    return body if header is None else header


Keyed = (
    bodies.TopUp
    | bodies.Refund
    | bodies.Settlement
    | bodies.Adjustment
    | bodies.Reversal
    | bodies.Budget
    | bodies.Raise
)


def order(body: Keyed, header: str | None) -> Answer:
    """
    Return the fields of an order with its idempotency key.
    """
    return {**body.model_dump(), "idempotency_key": order_key(header, body.idempotency_key)}
