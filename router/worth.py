"""
What upgrades are worth: predicted gain per extra dollar, the tenant's recent calls put in order by it.

A share of the extra money that all upgrades together would cost buys those that are worth most; the worth of
the last one bought is the price of money. The order is kept as sums in bins of a fixed grid, so that it is
plain data and sums of several processes add up. Pure.
"""

from collections.abc import Mapping
from math import exp, floor, log
from typing import Final

_FACTOR: Final = log(1.15)
NOTHING: Final = -1_000
"""Bin of upgrades that gain nothing."""
BIN_MAX: Final = 200
STEPS: Final = 32
USD_NANOS: Final = 1_000_000_000


def worth(gain: float, extra_nanos: int) -> float:
    """
    Give the gain per extra dollar of an upgrade.
    """
    return gain * USD_NANOS / max(1, extra_nanos)


def bin_of(value: float) -> int:
    """
    Give the bin of a worth; bins are 15 % wide.
    """
    if value <= 0:
        return NOTHING
    return max(-BIN_MAX, min(BIN_MAX, floor(log(value) / _FACTOR)))


def price_curve(bins: Mapping[int, int]) -> tuple[float, ...]:
    """
    Give the worth of the last upgrade that each 32nd of the extra money buys, from nothing to all of it.

    Args:
        bins: Extra money of recent calls, by the bin of what their upgrade is worth.
    Returns:
        33 falling numbers; empty where nothing is known.
    """
    total = sum(bins.values())
    if total <= 0:
        return ()
    order = sorted(((at, money) for at, money in bins.items() if money > 0), reverse=True)
    curve, spent, place = [], 0, 0
    for step in range(STEPS + 1):
        wanted = total * step / STEPS
        while place < len(order) - 1 and spent + order[place][1] < wanted:
            spent += order[place][1]
            place += 1
        at, money = order[place]
        within = min(1.0, (wanted - spent) / money)
        curve.append(0.0 if at == NOTHING else float(f"{exp((at + 1 - within) * _FACTOR):.5g}"))
    return tuple(curve)


def price_of_money(curve: tuple[float, ...], share: float) -> float | None:
    """
    Find what an upgrade must be worth when a share of the extra money is there.

    Returns:
        None where nothing is known of recent calls; infinity where there is no money for upgrades at all.
    """
    if not curve:
        return None
    if share <= 0:
        return float("inf")
    place = min(share, 1.0) * STEPS
    whole = min(int(place), STEPS - 1)
    high, low, part = curve[whole], curve[whole + 1], place - whole
    if low <= 0:
        return high * (1 - part)
    return high * exp(part * log(low / high))
