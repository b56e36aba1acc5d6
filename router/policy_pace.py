"""
The table `[degradation.pace]`: how pacing holds the money to the end of the window.

The rule itself is in `router/pace.py`.
"""

from typing import Annotated, Literal

from pydantic import Field

from router.policy_fields import Priorities, Table, Tokens
from router.types import Priority

Band = Annotated[float, Field(ge=0, lt=0.5, allow_inf_nan=False)]


class PaceRule(Table):
    """
    How pacing holds the money to the end of the window.
    """

    band: Band = 0.06
    """Share by which the expected demand may miss what is left before anything changes."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    """Highest effort once money is short: the first lever; absent leaves the effort alone."""
    max_tokens: Tokens | None = None
    """Largest max_tokens once that is not enough, in tokens: the second lever; absent leaves it alone."""
    refuse: Priorities = (Priority.LOW,)
    """Priorities refused once not even the lowest tier lasts: the last lever; empty refuses none."""
