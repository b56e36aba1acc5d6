"""
Warnings about an LLM classifier that eats up what it is there to save.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pricing.facts import model_facts
from pricing.money import ceil_div, format_usd
from pricing.table import PriceTable
from router.lint_degradation import plain_cost

if TYPE_CHECKING:
    from router.policy_model import Policy

SHARE_MAX_PERCENT: Final = 10
"""Largest share of a mean call that its classification may cost without a warning."""
PROMPT_BYTES: Final = 8_000
OUTPUT_TOKENS: Final = 500
"""A call of middling size, served by the default tier."""
ASKED_BYTES: Final = 700
"""What the question says beside the prompt and the policy's own guidance."""


def classifier_findings(policy: "Policy", prices: PriceTable, at_us: int) -> Iterator[str]:
    """
    Compare what a classification costs with the call that it is made for.
    """
    if policy.routing.classifier != "llm":
        return
    rule = policy.routing.llm
    asked = policy.tiers[policy.tier_names[-1]].facts[0] if rule.model is None else model_facts(rule.model)
    shown = ASKED_BYTES + len(rule.guidance.encode()) + min(PROMPT_BYTES, rule.prompt_chars)
    question = plain_cost(asked, prices, at_us, shown, rule.max_tokens)
    served = policy.tiers[policy.routing.default_tier].facts[0]
    call = plain_cost(served, prices, at_us, PROMPT_BYTES, OUTPUT_TOKENS)
    if question is None or call is None:
        return
    if question * 100 > call * SHARE_MAX_PERCENT:
        share = ceil_div(question * 100, max(1, call))
        yield (
            f"routing.llm: a classification by {asked.id} costs about {format_usd(question)} USD, {share} %"
            f" of a call of middling size at {served.id}; over {SHARE_MAX_PERCENT} % it hardly pays"
        )
    if question > rule.max_nanos:
        yield f"routing.llm.max_usd: a classification costs about {format_usd(question)} USD, so none is made"
