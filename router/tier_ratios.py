"""
What a tenant's calls cost with each tier as the highest one served: how much a lower tier would save. Pure.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pricing.table import PriceTable

if TYPE_CHECKING:
    from router.policy_model import Policy, Tier


def tier_ratios(
    policy: "Policy",
    asked_nanos: Mapping[str, int],
    least_ratio: float | None,
    prices: PriceTable,
    at_us: int,
) -> tuple[float, ...]:
    """
    Estimate what a tenant's calls cost with each tier as the highest one, per cost as asked.

    Args:
        asked_nanos: What recent calls cost as asked, by the tier that they start from.
        least_ratio: What all of them cost on the cheapest tier, as measured; None while nothing is known.
    """
    index = _price_index(policy, prices, at_us)
    ranks = {policy.tier_ranks.get(name, 0): nanos for name, nanos in asked_nanos.items() if nanos > 0}
    ranks = ranks or {0: 1}
    total = sum(ranks.values())
    ratios = [
        sum(nanos * _capped(index, rank, cap) for rank, nanos in ranks.items()) / total
        for cap in range(len(index))
    ]
    if least_ratio is not None and ratios[-1] < 1.0:
        stretch = (1 - least_ratio) / (1 - ratios[-1])
        ratios = [1 - (1 - ratio) * stretch for ratio in ratios]
    return tuple(round(max(0.0, ratio), 6) for ratio in ratios)


def _capped(index: list[float], rank: int, cap: int) -> float:
    return min(1.0, index[cap] / index[rank]) if rank < cap else 1.0


def _price_index(policy: "Policy", prices: PriceTable, at_us: int) -> list[float]:
    """Price of a typical call of each tier; a tier without a price saves nothing over the one above it."""
    index: list[float] = []
    for tier in policy.tiers.values():
        found = _tier_price(tier, prices, at_us)
        index.append(found if found is not None else index[-1] if index else 1.0)
    return index


def _tier_price(tier: "Tier", prices: PriceTable, at_us: int) -> float | None:
    """Take four tokens read for each one written."""
    for facts in tier.facts:
        try:
            rates = prices.price(facts.id, at_us).rates(0)
        except LookupError:
            continue
        return float(4 * rates.input + rates.output)
    return None
