"""
What usage costs.
"""

import pytest

from pricing.cost import bill_nanos, cost_nanos
from pricing.facts import UnknownModel
from pricing.table import PriceTable, UnknownPrice
from pricing.usage import Billed, Usage


def test_staying_on_a_warm_opus_costs_less_than_a_cold_sonnet(prices: PriceTable, now_us: int) -> None:
    """80k read at 0.20 and 1k out at 20 is 0.036; a cold 5-minute write at 2.50 and 1k out at 10 is 0.210."""
    opus = Usage(cache_read_input_tokens=80_000, output_tokens=1_000)
    sonnet = Usage(cache_write_5m_tokens=80_000, output_tokens=1_000)
    assert cost_nanos(opus, prices.price("claude-opus-5-5", now_us)) == 36_000_000
    assert cost_nanos(sonnet, prices.price("claude-sonnet-5-5", now_us)) == 210_000_000


@pytest.mark.parametrize(("prompt", "nanos"), [(100_000, 10_500_000), (100_001, 52_500_500)])
def test_the_cliff_counts_every_kind_of_prompt_token(
    prompt: int, nanos: int, prices: PriceTable, now_us: int
) -> None:
    """Uncached, read and written tokens together decide the tier of all tokens, output included."""
    price = prices.price("claude-haiku-5-5", now_us)
    assert cost_nanos(Usage(input_tokens=prompt, output_tokens=1_000), price) == nanos
    mixed = Usage(input_tokens=prompt - 99_000, cache_read_input_tokens=90_000, cache_write_1h_tokens=9_000)
    dear = prompt > 100_000
    assert cost_nanos(mixed, price) == ((prompt - 99_000) * 100 + 90_000 * 10 + 9_000 * 200) * (
        5 if dear else 1
    )


def test_the_total_is_rounded_up_once(prices: PriceTable, now_us: int) -> None:
    """Two batch tokens at 62.5 nano each are 125; one is 63, not 62; three are 188, not 3 x 63."""
    price = prices.price("claude-haiku-5-5", now_us, batch=True)
    assert [cost_nanos(Usage(cache_write_5m_tokens=n), price) for n in (0, 1, 2, 3)] == [0, 63, 125, 188]


def test_the_geography_multiplies_tokens_and_not_searches(prices: PriceTable, now_us: int) -> None:
    """1,000 in at 4 is 0.004, times 1.1 is 0.0044; two searches stay 0.02."""
    usage = Usage(input_tokens=1_000, web_search_requests=2)
    price = prices.price("claude-opus-5-5", now_us)
    assert cost_nanos(usage, price, geo_ppm=1_100_000) == 4_400_000 + 20_000_000


def test_a_bill_sums_models_with_their_own_price_and_geography(prices: PriceTable, now_us: int) -> None:
    """Each part goes by its own model; a model without geographies is not multiplied."""
    parts = (
        Billed("claude-opus-5-5", Usage(input_tokens=1_000, geo="us")),
        Billed("claude-haiku-4-5-20251001", Usage(input_tokens=1_000, geo="us")),
        Billed("claude-opus-5-5", Usage(output_tokens=10, speed="fast")),
        Billed("claude-opus-5-5", Usage(output_tokens=10, batch=True, geo="global")),
    )
    assert bill_nanos(parts, prices, now_us) == 4_400_000 + 1_000_000 + 400_000 + 100_000
    assert bill_nanos((), prices, now_us) == 0


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (Billed("claude-unknown", Usage(input_tokens=1)), UnknownPrice),
        (Billed("claude-unknown", Usage()), UnknownPrice),
        (Billed("claude-haiku-5-5", Usage(speed="fast")), UnknownPrice),
        (Billed("claude-opus-5-5", Usage(geo="mars")), UnknownPrice),
        (Billed("claude-3-haiku", Usage(web_search_requests=1)), UnknownPrice),
        (Billed("claude-3-haiku", Usage(input_tokens=1, geo="us")), UnknownModel),
    ],
)
def test_what_has_no_price_is_never_zero(
    part: Billed, error: type[Exception], prices: PriceTable, now_us: int
) -> None:
    """Unknown models, speeds, geographies and searches raise, even where the counts are zero."""
    with pytest.raises(error):
        bill_nanos((part,), prices, now_us)
