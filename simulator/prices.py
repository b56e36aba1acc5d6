"""
What a call costs, from genai-prices' Decimals and the geographic factors below.

The rates of a model are looked up once a day and mode; the sum is made per call, in Decimal. Amounts finer
than a nano-dollar are rounded up, once per call, so that a ledger in whole nano-dollars can equal the bill.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices, calc_unit_price

NANO_USD = Decimal("0.000000001")
# "Data residency": in the US, tokens of every kind cost 1.1 times as much; web searches do not
GEO_FACTORS = {"us": Decimal("1.1"), "global": Decimal(1), "not_available": Decimal(1)}
_MILLION = 1_000_000
_THOUSAND = 1_000

Rate = Decimal | TieredPrices


@dataclass(frozen=True, slots=True)
class Usage:
    """
    The billed counts of one call; input_tokens are the uncached ones.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    thinking_tokens: int = 0
    geo: str = "global"
    speed: str = "standard"

    @property
    def prompt_tokens(self) -> int:
        """
        The whole prompt, by which long prompts are told from short ones.
        """
        cached = self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return self.input_tokens + cached


@dataclass(frozen=True, slots=True)
class _Rates:
    input: Rate
    output: Rate
    cache_read: Rate
    cache_write_5m: Rate
    cache_write_1h: Rate
    web_search: Rate


@lru_cache(maxsize=1024)
def _rates(model: str, speed: str, day: date) -> _Rates:
    _, info = get_snapshot().find_provider_model(model, None, "anthropic", None)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    price = info.get_prices(noon, {"speed": "fast"} if speed == "fast" else None)
    names = (
        "input_mtok",
        "output_mtok",
        "cache_read_mtok",
        "cache_write_mtok",
        "cache_write_1h_mtok",
        "web_searches_kcount",
    )
    rates = [getattr(price, name) for name in names]
    if None in rates:
        raise LookupError(f"genai-prices has no complete price for {model}")
    return _Rates(*rates)


def cost_usd(model: str, usage: Usage, at_s: float) -> Decimal:
    """
    Return what *usage* of *model* costs, in whole nano-dollars.

    Args:
        at_s: When the call was made, in seconds since the epoch.
    Raises:
        LookupError: genai-prices has no price for the model, or the place has no factor.
    """
    rates = _rates(model, usage.speed, datetime.fromtimestamp(at_s, UTC).date())
    prompt = usage.prompt_tokens
    counts = (
        (rates.input, usage.input_tokens),
        (rates.output, usage.output_tokens),
        (rates.cache_read, usage.cache_read_tokens),
        (rates.cache_write_5m, usage.cache_write_5m_tokens),
        (rates.cache_write_1h, usage.cache_write_1h_tokens),
    )
    tokens = sum(
        (calc_unit_price(rate, count, prompt, _MILLION) for rate, count in counts if count), Decimal(0)
    )
    searches = calc_unit_price(rates.web_search, usage.web_searches, prompt, _THOUSAND)
    return (tokens * GEO_FACTORS[usage.geo] + searches).quantize(NANO_USD, rounding=ROUND_CEILING)
