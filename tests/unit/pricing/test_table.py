"""
The compiled price table.
"""

import pickle
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pricing.compile import CompileError, picos_per_token
from pricing.facts import known_models
from pricing.load import load_prices
from pricing.table import PriceTable, Rates, UnknownPrice


def us(*when: int) -> int:
    """Microseconds of a UTC instant."""
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type,misc]


def test_rates_are_whole_pico_usd_per_token(prices: PriceTable, now_us: int) -> None:
    """Opus 5.5 costs 4 in, 20 out, 0.20 read, 5 and 8 written, USD per million tokens."""
    price = prices.price("claude-opus-5-5", now_us)
    assert price.tiers == ((0, Rates(4_000_000, 20_000_000, 200_000, 5_000_000, 8_000_000)),)
    assert price.web_search_nanos == 10_000_000
    assert price.version == prices.version == "genai-prices 0.2.3"


def test_the_finest_published_rate_is_kept_exactly(prices: PriceTable, now_us: int) -> None:
    """A batch cache write on Haiku 5.5 is 62.5 nano-USD a token: half a nano more than fits in nano-USD."""
    batch = prices.price("claude-haiku-5-5", now_us, batch=True)
    assert batch.rates(1).cache_write_5m == 62_500
    assert batch.rates(100_001).cache_write_5m == 312_500


def test_the_long_prompt_tier_starts_one_above_its_threshold(prices: PriceTable, now_us: int) -> None:
    """100,000 tokens are cheap, one more makes every token five times as dear."""
    price = prices.price("claude-haiku-5-5", now_us)
    assert price.rates(0).input == price.rates(100_000).input == 100_000
    assert price.rates(100_001).input == 500_000
    assert price.rates(100_001).output == 5 * price.rates(100_000).output


def test_prices_follow_their_dates(prices: PriceTable) -> None:
    """Opus 4.6 lost its long-prompt tier at midnight UTC of 2026-03-13."""
    before = prices.price("claude-opus-4-6", us(2026, 3, 13) - 1)
    after = prices.price("claude-opus-4-6", us(2026, 3, 13))
    assert before.rates(200_001).input == 10_000_000
    assert after.rates(200_001).input == 5_000_000
    assert prices.price("claude-opus-4-6", 0) is prices.price("claude-opus-4-6", -5) is not after


def test_batch_is_half_price_once_published_and_never_dearer_before(prices: PriceTable, now_us: int) -> None:
    """Before the first published batch price the standard price is used: never less than what is billed."""
    standard = prices.price("claude-opus-5-5", now_us).rates(1)
    assert prices.price("claude-opus-5-5", now_us, batch=True).rates(1).input * 2 == standard.input
    assert prices.price("claude-opus-5-5", us(2026, 10, 13), batch=True).rates(1) == standard


def test_fast_without_a_price_is_refused(prices: PriceTable, now_us: int) -> None:
    """Fast is dearer, so the standard price must not stand in for it; fast batches have no price."""
    assert prices.price("claude-opus-5-5", now_us, speed="fast").rates(1).output == 40_000_000
    for asked in ({"speed": "fast"}, {"speed": "warp"}, {"speed": ""}):
        with pytest.raises(UnknownPrice):
            prices.price("claude-haiku-5-5", now_us, **asked)
    with pytest.raises(UnknownPrice, match="batch"):
        prices.price("claude-opus-5-5", now_us, speed="fast", batch=True)


@pytest.mark.parametrize(
    "name", ["", "gpt-5", "claude-mythos-5-1", "claude-opus-5-5-preview", "claude-opus-4-7-foo", "claude"]
)
def test_an_unknown_model_has_no_price(name: str, prices: PriceTable, now_us: int) -> None:
    """Unknown is refused, never zero, and never matched by its prefix."""
    with pytest.raises(UnknownPrice, match="no price is known"):
        prices.price(name, now_us)


def test_a_rate_finer_than_pico_is_refused() -> None:
    """What does not fit exactly is not rounded in silence."""
    assert picos_per_token(Decimal("0.3125")) == 312_500
    for bad in ("0.0000001", "-1", "NaN", "Infinity"):
        with pytest.raises(CompileError):
            picos_per_token(Decimal(bad))


def test_all_published_models_compile(prices: PriceTable) -> None:
    """Nothing that genai-prices prices for Anthropic is beyond the integer table."""
    assert prices.refused == {}
    assert set(known_models()) <= set(prices.models())


def test_the_table_is_cached_and_picklable(prices: PriceTable) -> None:
    """Loading again costs nothing, and workers of other processes get the same table."""
    assert load_prices() is prices
    assert pickle.loads(pickle.dumps(prices)) == prices


def test_a_lookup_takes_microseconds(prices: PriceTable, now_us: int) -> None:
    """The hot path asks several times a call; 20 µs is many times what it takes, for slow machines."""
    started = time.perf_counter()
    for _ in range(1_000):
        prices.price("claude-opus-5-5", now_us)
    assert (time.perf_counter() - started) / 1_000 < 20e-6
