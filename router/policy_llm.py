"""
The table `[routing.llm]`: which model is asked where a call goes, and what that may cost.
"""

from functools import cached_property
from typing import Annotated

from pydantic import Field

from pricing.money import parse_usd
from router.policy_fields import Table, Usd


class LlmRule(Table):
    """
    The small model that the LLM classifier asks.
    """

    model: str | None = None
    """Model that is asked, of any tier; absent: the first of the lowest tier."""
    max_tokens: Annotated[int, Field(ge=1, le=1_024)] = 16
    """Longest answer of the model, in tokens; it only names a tier."""
    prompt_chars: Annotated[int, Field(ge=100, le=20_000)] = 2_000
    """How much of a prompt the model is shown, in characters from its beginning and its end."""
    max_usd: Usd = "0.01"
    """Most that one classification may cost in USD; one that could cost more is not made."""
    timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 3_000
    """How long the call waits for its classification, in milliseconds; then the larger tier serves."""
    guidance: Annotated[str, Field(max_length=1_000)] = ""
    """What the model is told beside the tiers' names, such as what belongs in which tier."""

    @cached_property
    def max_nanos(self) -> int:
        """
        Give the most that one classification may cost.
        """
        return parse_usd(self.max_usd)
