"""
The table `[routing.fallback]`: which failures of the provider let another model serve a call.

Which model that is, `router/choose.py` decides without the one that failed; when it is tried is decided in
`outlay/strategies/fallback.py`.
"""

from typing import Annotated, Literal

from pydantic import Field

from router.policy_fields import Table

Failure = Literal["overload", "server_error", "rate_limit", "unreachable"]


class Fallback(Table):
    """
    Which failures of the provider let another model of the tier, or of a lower one, serve a call.
    """

    on: Annotated[tuple[Failure, ...], Field(strict=False)] = ("overload", "server_error")
    """Failures that another model may mend; none turns fallbacks off."""
    attempts: Annotated[int, Field(ge=1, le=5)] = 3
    """Models that a call may be sent to, one after the other, the first included."""
