"""
What the properties of the router share: tiers, models, prices, and a budget of which so much is left.
"""

from functools import cache

from pricing.load import load_prices
from pricing.table import PriceTable
from router.types import Budget, Headroom

NOW_US = 1_795_000_000_000_000
USD = 1_000_000_000
LIMIT = 20 * USD
TIERS = ("large", "medium", "small")
MODELS = (
    "claude-opus-5-5",
    "claude-opus-4-5",
    "claude-sonnet-5-5",
    "claude-sonnet-4-5",
    "claude-haiku-5-5",
    "claude-haiku-4-5",
)


@cache
def prices() -> PriceTable:
    """The real prices, compiled once."""
    return load_prices()


def left(nanos: int) -> Headroom:
    """Give a budget of which so much is left."""
    return Headroom((Budget("tenant/day", LIMIT, LIMIT - nanos),))


def rank(tier: str | None) -> int:
    """Order the tiers, 0 for the highest."""
    assert tier is not None
    return TIERS.index(tier)
