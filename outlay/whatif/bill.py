"""
What a recorded call would have cost at another model: its own usage at that model's prices.

Output keeps its length, cut where the new max_tokens is shorter. A prompt cache does not follow to another
model: what was read from it in a known conversation is written anew there.
"""

from dataclasses import dataclass, replace
from typing import Final

from outlay.whatif.recorded import Recorded, Served, Then
from pricing.cost import bill_nanos
from pricing.facts import UnknownModel, model_facts
from pricing.table import PriceTable, UnknownPrice
from pricing.usage import Billed, Usage, UsageError, billed_from_api

_UNPRICED: Final = (UsageError, UnknownModel, UnknownPrice)


@dataclass(frozen=True, slots=True)
class Asked:
    """
    How fast a call was asked to run, and where, for usage that does not say: the body's, else the upstream's.
    """

    speed: str = "standard"
    geo: str | None = None


def cost_then(
    past: Recorded, then: Served, expected_nanos: int, prices: PriceTable, *, cold: bool, asked: Asked
) -> tuple[int, bool]:
    """
    Price a call that was served at what would have served it.

    Args:
        expected_nanos: Cost that the router expects there, for calls without usage that can be priced.
        cold: The conversation's prompt cache would not be at this model.
    Returns:
        The cost, and whether it is an estimate that no usage backs.
    """
    if past.usage is not None and past.served is not None:
        try:
            billed = billed_from_api(past.served.model, past.usage, default_geo=asked.geo)
            parts = tuple(Billed(then.model, _usage(one.usage, then, asked, cold=cold)) for one in billed)
            return bill_nanos(parts, prices, past.at_us), False
        except _UNPRICED:
            pass  # estimated below
    if past.expected_nanos == 0:
        return expected_nanos, True
    return past.cost_nanos * expected_nanos // past.expected_nanos, True


def as_booked(past: Recorded, then: Then) -> Then:
    """
    Correct what a call would have cost as its own cost was corrected since, in the same proportion.

    All else of a preview is as recorded: the money that later calls found is that of their time.
    """
    recorded, booked = past.cost_nanos, past.booked_nanos
    if booked == recorded or then.served is None:
        return then
    if then.cost_nanos == recorded:
        return replace(then, cost_nanos=booked)
    cost_nanos = then.cost_nanos * booked // recorded if recorded > 0 else then.cost_nanos
    return replace(then, cost_nanos=cost_nanos, estimated=True)


def _usage(usage: Usage, then: Served, asked: Asked, *, cold: bool) -> Usage:
    speed = asked.speed if model_facts(then.model).fast else "standard"
    usage = replace(usage, speed=speed, output_tokens=min(usage.output_tokens, then.max_tokens))
    if not cold:
        return usage
    written = usage.cache_write_5m_tokens + usage.cache_read_input_tokens
    return replace(usage, cache_read_input_tokens=0, cache_write_5m_tokens=written)
