"""
Begins a strategy for the in-process API: reads what it is to serve, and who asks.
"""

from collections.abc import Mapping

from outlay import fields, repeats
from outlay.calls import TRUSTED, CallRequest
from outlay.errors import BadInput
from outlay.hint_words import hints_of
from outlay.strategies.cascade import Cascade, cascade
from outlay.strategies.names import asked_of
from outlay.strategies.steps import Order, Steps, checked_body


def to_run(
    tenant: str,
    request: Mapping[str, object],
    hints: Mapping[str, object],
    plan: object,
    idempotency_key: str | None,
) -> CallRequest:
    """
    Read what a strategy is to serve; its key stands for the request and what the strategy asks.
    """
    name, key = fields.tenant_name(tenant), fields.idempotency_key(idempotency_key)
    try:
        asked = "" if key is None else repeats.digest([asked_of(plan), request])
    except (RecursionError, TypeError, ValueError) as error:
        raise BadInput("request", "…", "is no JSON", "Give the body of a Messages API call.") from error
    return CallRequest(
        name,
        request,
        rights=TRUSTED,
        hints=hints_of(hints),
        surface="python",
        idempotency_key=key,
        request_hash=asked,
    )


def steps_of(strategy: object, order: CallRequest) -> Steps:
    """
    Begin a strategy that asks one call after the other.

    Raises:
        BadInput: It is none, or the request is not one that can be judged.
    """
    checked_body(order.body)
    if not isinstance(strategy, Cascade):
        fix = "Give a Cascade; Speculative needs the books of outlay.open_async."
        raise BadInput("strategy", type(strategy).__name__, "cannot be run here", fix)
    return cascade(strategy, Order(order))
