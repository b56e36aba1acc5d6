"""
Bodies and queries of the control plane. Unknown fields are errors, and money is decimal text, never a number.

A body that cannot be read raises `BadInput` with field, value and fix; what its values mean is judged by
`outlay.admin`.
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from outlay.errors import BadInput
from outlay.fields import close_name

Usd = Annotated[str, Field(description="US dollars as decimal text", examples=["10.00"])]
Limit = Annotated[str, Field(description='US dollars as decimal text, or "none"', examples=["5.00", "none"])]
Reason = Annotated[str, Field(description="Why; recorded with the change")]
_FIXES = {
    "missing": "Add this field.",
    "string_type": 'Write it as text, in quotes, as in "10.00".',
    "bool_type": "Write true or false, without quotes.",
    "float_type": "Write a number, without quotes.",
    "int_type": "Write a whole number, without quotes.",
    "int_parsing": "Write a whole number.",
    "dict_type": "Write a JSON object.",
}


class Body(BaseModel):
    """
    A closed shape.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Turn the first problem into an error that names the fix."""
        if not isinstance(data, dict):
            raise BadInput("body", data, "not an object", "Write a JSON object.")
        try:
            return handler(data)
        except ValidationError as error:
            raise _bad_input(error, tuple(cls.model_fields)) from error


class Query(Body):
    """
    Filters in a query string: text that is read as what it stands for.
    """

    model_config = ConfigDict(extra="forbid", strict=False)


def _bad_input(error: ValidationError, known: tuple[str, ...]) -> BadInput:
    found = error.errors(include_url=False)
    unknown = (one for one in found if one["type"] == "extra_forbidden")  # a misspelt name explains the rest
    first = next(unknown, found[0])
    field = ".".join(str(part) for part in first["loc"]) or "body"
    if first["type"] == "extra_forbidden":
        fix = close_name(field, known) or f"Known fields: {', '.join(known)}."
        return BadInput(field, first["input"], "unknown field", fix)
    value = None if first["type"] == "missing" else first["input"]
    text = first["msg"][:1].lower() + first["msg"][1:]
    return BadInput(field, value, text, _FIXES.get(first["type"], ""))


class NewTenant(Body):
    """A tenant to create; what is left out comes from the policy's `[budget]`."""

    tenant: str
    credit: Usd = "0"
    daily_budget: Limit | None = None
    timezone: str | None = None
    multiplier: str = "1"


class TenantChange(Body):
    """What to change of a tenant; what is left out stays."""

    timezone: str | None = None
    multiplier: str | None = None
    frozen: bool | None = None
    overage: str | None = None
    reason: Reason = ""


class TopUp(Body):
    """Credits to add."""

    amount: Usd
    kind: str = "paid"
    expires: str | None = None
    effective: str | None = None
    priority: int = 0
    reason: Reason = ""
    idempotency_key: str | None = None


class Refund(Body):
    """A charge to give back, whole or in part."""

    hold: str
    amount: Usd | None = None
    reason: Reason = ""
    idempotency_key: str | None = None


class Settlement(Body):
    """What the provider billed for a call that has ended; `confirmed` also far above what it could cost."""

    hold: str
    cost: Usd
    confirmed: bool = False
    reason: Reason
    idempotency_key: str | None = None


class Adjustment(Body):
    """A correction of the credit by hand; `take` takes the amount, `confirmed` also where that makes debt."""

    amount: Usd
    take: bool = False
    confirmed: bool = False
    reason: Reason
    idempotency_key: str | None = None


class Reversal(Body):
    """A lot to take back: as a mistake ("reversal"), or because the bank did ("chargeback")."""

    kind: str = "reversal"
    amount: Usd | None = None
    freeze: bool | None = None
    reason: Reason
    idempotency_key: str | None = None


class Budget(Body):
    """A limit for a window; `until` makes it temporary."""

    limit: Limit
    window: str = "day"
    scope: str = "tenant"
    until: str | None = None
    counts: str | None = None
    reason: Reason = ""
    idempotency_key: str | None = None


class Raise(Body):
    """A higher limit for some time."""

    limit: Limit
    until: str
    window: str = "day"
    scope: str = "tenant"
    reason: Reason = ""
    idempotency_key: str | None = None


class NewKey(Body):
    """A key to make: of a tenant, or with the role viewer, operator or admin."""

    tenant: str | None = None
    role: str = "tenant"
    name: str = ""
    loosen: bool = False
    privacy: str | None = None


class PolicyText(Body):
    """A policy in TOML, for everybody or for one tenant."""

    text: str
    tenant: str | None = None


class PolicyPreview(Body):
    """A policy in TOML to try on the traffic of the last days, of everybody or of one tenant."""

    text: str
    days: int = 7
    tenant: str | None = None


class NewPolicy(Body):
    """A policy in TOML to apply, for everybody or for one tenant."""

    text: str
    tenant: str | None = None
    note: str = ""


class Rollback(Body):
    """The version to apply again."""

    version: int
    tenant: str | None = None


class Switch(Body):
    """Whom to halt or resume (everybody, or one tenant), and why."""

    reason: Reason
    tenant: str | None = None


class Reset(Body):
    """A breaker to close: `global`, `tenant:NAME` or `model:ID`."""

    scope: str
    reason: Reason


class OfTenant(Query):
    """Of one tenant, or of all."""

    tenant: str | None = None


class PolicyAt(Query):
    """Which policy; the one in force unless a version is named."""

    tenant: str | None = None
    version: int | None = None


class RouteOf(Query):
    """What would happen to a call of a task."""

    task: str
    role: str | None = None
    tenant: str | None = None


class Period(Query):
    """A part of a statement, by dates or instants."""

    since: str | None = None
    until: str | None = None
    limit: int | None = None


class Changes(Period):
    """Which changes of settings: of the account, of budgets or of lots, or all."""

    of: str | None = None


class AtInstant(Query):
    """As of a past instant; now if it is left out."""

    at: str | None = None


class HoldFilter(Query):
    """Which open holds, the next to expire first."""

    tenant: str | None = None
    limit: int = 1_000


class DecisionFilter(Query):
    """Which decisions, newest first."""

    tenant: str | None = None
    outcome: str | None = None
    before: str | None = None
    limit: int = 50
