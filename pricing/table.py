"""
Prices as integers: the tables of the library genai-prices, compiled once into pico-USD per token.

It decides which price holds for a model at an instant. Arithmetic is in `cost.py`; `load.py` makes the table.
A price that is not in it is unknown: it is never zero.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

PICOS_PER_NANO = 1_000

_SNAPSHOT = re.compile(r"(.+)-20[0-9]{6}")
_FAST_ALONE = "speed fast has no price for this model at this time"


class UnknownPrice(LookupError):  # noqa: N818 reads better without a suffix
    """
    No price is known for this model, at this time, in this way of processing.
    """


@dataclass(frozen=True, slots=True)
class Rates:
    """
    Prices of one tier in pico-USD per token: whole numbers for every published price, batch included.
    """

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int


@dataclass(frozen=True, slots=True)
class Price:
    """
    The price of one model, valid for one stretch of time and one way of processing.

    Args:
        tiers: (threshold, rates), ascending, first threshold 0: the last tier whose threshold the total
            prompt exceeds gives the rates of ALL tokens of the request.
        web_search_nanos: Price of one web search; None where none is published.
    """

    model: str
    version: str
    tiers: tuple[tuple[int, Rates], ...]
    web_search_nanos: int | None

    def rates(self, prompt_tokens: int) -> Rates:
        """
        Return the rates for a request with this total prompt (uncached, read and written tokens together).
        """
        for threshold, rates in reversed(self.tiers):
            if prompt_tokens > threshold:
                return rates
        return self.tiers[0][1]


@dataclass(frozen=True, slots=True)
class Period:
    """
    A stretch of time that starts at an instant, with the prices that hold in it; None is not on offer.
    """

    starts_us: int
    standard: Price
    batch: Price
    fast: Price | None


@dataclass(frozen=True, slots=True)
class PriceTable:
    """
    All prices of one version; immutable and picklable.

    Args:
        version: Names the data behind it; stored with each settlement.
        refused: Models that the source prices in a way that this table cannot hold exactly, and why.
    """

    version: str
    periods: Mapping[str, tuple[Period, ...]] = field(repr=False, hash=False)
    refused: Mapping[str, str] = field(repr=False, hash=False)

    def price(self, model: str, at_us: int, *, speed: str = "standard", batch: bool = False) -> Price:
        """
        Return the price of a model at an instant. A dictionary look-up and a short scan: well under 2 µs.

        Batch falls back to the standard price where no batch price is published (never cheaper than billed);
        fast does not, as fast is dearer.

        Raises:
            UnknownPrice: the model, the speed, or the combination has no price.
        """
        for period in reversed(self._of(model)):
            if at_us >= period.starts_us:
                break
        if speed == "standard":
            return period.batch if batch else period.standard
        if speed != "fast":
            raise UnknownPrice(f'speed "{speed}" of model "{model}" has no known price')
        if batch or period.fast is None:
            raise UnknownPrice(f'model "{model}": {"fast batches have no price" if batch else _FAST_ALONE}')
        return period.fast

    def models(self) -> tuple[str, ...]:
        """
        Return the names that have a price.
        """
        return tuple(self.periods)

    def _of(self, model: str) -> tuple[Period, ...]:
        periods = self.periods.get(model)
        if periods is not None:
            return periods
        snapshot = _SNAPSHOT.fullmatch(model)
        periods = self.periods.get(snapshot.group(1)) if snapshot is not None else None
        if periods is None:
            why = self.refused.get(model, "no price is known; add one to the price overrides")
            raise UnknownPrice(f'model "{model}": {why}')
        return periods
