"""
The part of the policy that says how conversations are kept together.
"""

from typing import Annotated, Literal

from pydantic import Field

from router.policy_fields import Share, Table

Signal = Literal["failed_check", "retry", "tool_errors"]


class Sessions(Table):
    """
    When a conversation may change its model or effort.
    """

    sticky: bool = True
    """A conversation whose prompt cache is warm changes model or effort only where that pays; false routes
    every call on its own."""
    expected_turns: Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)] = 4.0
    """Turns that are expected to follow a turn, as long as the tenant's own conversations say little."""
    follow_harder: bool = True
    """A turn that routing starts at a higher tier than the turn before it is served there, although the cache
    is warm; false lets it wait for a cold cache."""
    escalate_on: Annotated[tuple[Signal, ...], Field(strict=False)] = ("failed_check", "retry", "tool_errors")
    """Signals that raise a conversation by one tier, once and for good; an empty list never does."""
    escalate_to: str | None = None
    """Highest tier that a signal may lead to; absent is the tier that the call asks for."""
    failed_below: Share = 0.5
    """Quality score (0 to 1) under which the last answer counts as failed."""
    tool_errors: Annotated[int, Field(ge=1, le=1_000)] = 3
    """Failed tool calls among the newest ten messages that count as a signal."""
