"""
What stands in for the bound of a request whose cost has none. Pure.
"""

from typing import TYPE_CHECKING

from router.types import Profile, Reason, ReasonCode

if TYPE_CHECKING:
    from router.policy_model import Policy
    from router.policy_routes import TaskRoute


def ceiling_of(profile: Profile, route: "TaskRoute | None", policy: "Policy") -> int | None:
    """
    Give the ceiling of a request without a bound: its task's own, else the policy's; None if nothing does.
    """
    if not profile.bound.unbounded:
        return None
    own = route.unbounded_nanos if route is not None else None
    return own if own is not None else policy.limits.unbounded_nanos


def ceiling_reason(profile: Profile, ceiling: int | None) -> tuple[Reason, ...]:
    """
    Say that a ceiling is held for what has no bound.
    """
    if ceiling is None:
        return ()
    fields = ", ".join(part.field for part in profile.bound.unbounded)
    text = f"the cost of {fields} has no bound; the policy's ceiling is held"
    return (Reason(ReasonCode.UNBOUNDED_CEILING, text, {"ceiling_nanos": ceiling}),)
