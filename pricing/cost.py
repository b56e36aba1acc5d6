"""
What usage costs, exactly: integer arithmetic with one rounding, up, on the total.

It decides nothing about which price holds (`table.py`) or which counts are billed (`usage.py`).
"""

from collections.abc import Sequence

from pricing.facts import UnknownGeo, geo_ppm
from pricing.money import PPM, ceil_div
from pricing.table import PICOS_PER_NANO, Price, PriceTable, UnknownPrice
from pricing.usage import Billed, Usage


def cost_nanos(usage: Usage, price: Price, *, geo_ppm: int = PPM) -> int:
    """
    Price the usage of one model in nano-USD.

    The tier goes by the total prompt and holds for all tokens, output included. The geographic multiplier
    holds
    for all token categories and not for web searches.

    Returns:
        Cost >= 0; exact, or rounded up once on the total.
    Raises:
        UnknownPrice: web searches were made and this model has no price for them.
    """
    rates = price.rates(usage.prompt_tokens)
    picos = (
        usage.input_tokens * rates.input
        + usage.output_tokens * rates.output
        + usage.cache_read_input_tokens * rates.cache_read
        + usage.cache_write_5m_tokens * rates.cache_write_5m
        + usage.cache_write_1h_tokens * rates.cache_write_1h
    )
    searches_nanos = search_nanos(price, usage.web_search_requests)
    return ceil_div(picos * geo_ppm + searches_nanos * PICOS_PER_NANO * PPM, PICOS_PER_NANO * PPM)


def search_nanos(price: Price, searches: int) -> int:
    """
    Price a number of web searches.

    Raises:
        UnknownPrice: there are some, and this model has no price for them.
    """
    if searches == 0:
        return 0
    if price.web_search_nanos is None:
        raise UnknownPrice(f'web searches of model "{price.model}" have no known price')
    return searches * price.web_search_nanos


def bill_nanos(billed: Sequence[Billed], prices: PriceTable, at_us: int) -> int:
    """
    Sum what the parts of one call cost, each at its model's price at the time of the call.

    Raises:
        UnknownPrice: a model, speed, or geography without a known price. Never counted as zero.
        UnknownModel: a geography is multiplied and the model's facts are unknown.
    """
    return sum(_part_nanos(part, prices, at_us) for part in billed)


def multiplier_ppm(model: str, geo: str | None) -> int:
    """
    Return the geographic multiplier of a model, as a matter of price.

    Raises:
        UnknownPrice: the geography has no known multiplier.
    """
    try:
        return geo_ppm(model, geo)
    except UnknownGeo as error:
        raise UnknownPrice(str(error)) from error


def _part_nanos(part: Billed, prices: PriceTable, at_us: int) -> int:
    usage = part.usage
    price = prices.price(part.model, at_us, speed=usage.speed, batch=usage.batch)
    return cost_nanos(usage, price, geo_ppm=multiplier_ppm(part.model, usage.geo))
