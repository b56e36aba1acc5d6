"""
The operator's own prices.
"""

from collections.abc import Mapping

import pytest

from pricing.load import load_prices
from pricing.overrides import OverridesError
from pricing.table import PriceTable, Rates, UnknownPrice

RATES = {
    "input_usd_per_mtok": '"3.60"',
    "output_usd_per_mtok": '"18"',
    "cache_read_usd_per_mtok": '"0.18"',
    "cache_write_5m_usd_per_mtok": '"4.50"',
    "cache_write_1h_usd_per_mtok": '"7.20"',
}
OPUS = Rates(3_600_000, 18_000_000, 180_000, 4_500_000, 7_200_000)


def toml(model: str = "claude-opus-5-5", rates: Mapping[str, str] = RATES, **more: str) -> str:
    """One model's overrides as TOML text."""
    lines = [f"{name} = {value}" for name, value in {**rates, **more}.items()]
    return "\n".join([f'[models."{model}"]', *lines])


def inline(**changed: str) -> str:
    """Five rates as an inline table."""
    return "{" + ", ".join(f"{name} = {value}" for name, value in {**RATES, **changed}.items()) + "}"


def test_an_override_replaces_the_packaged_price(prices: PriceTable, now_us: int) -> None:
    """The new rates hold, the search price stays, fast has no price any more, the version says so."""
    table = load_prices(toml())
    price = table.price("claude-opus-5-5", now_us)
    assert price.tiers == ((0, OPUS),)
    assert price.web_search_nanos == 10_000_000
    assert price.version == table.version != prices.version
    assert table.price("claude-opus-5-5", now_us, batch=True) == price
    with pytest.raises(UnknownPrice):
        table.price("claude-opus-5-5", now_us, speed="fast")
    assert table.price("claude-haiku-5-5", now_us).tiers == prices.price("claude-haiku-5-5", now_us).tiers


def test_an_override_holds_for_the_aliases_too(now_us: int) -> None:
    """Both names of a model cost the same, whichever one the operator wrote."""
    rates = dict.fromkeys(RATES, '"1.5"')
    for written in ("claude-haiku-4-5", "claude-haiku-4-5-20251001"):
        table = load_prices(toml(written, rates))
        for asked in ("claude-haiku-4-5", "claude-haiku-4-5-20251001"):
            assert table.price(asked, now_us).rates(1).input == 1_500_000


def test_an_override_adds_a_model(now_us: int) -> None:
    """A model without a packaged price gets one, with its own batch, fast, tier and search price."""
    tiers = "[{above = 1000, " + inline()[1:] + "]"
    text = toml("claude-new", web_search_usd='"0.02"', batch=inline(), fast=inline(), tiers=tiers)
    price = load_prices(text).price("claude-new", now_us)
    assert price.tiers == ((0, OPUS), (1000, OPUS))
    assert price.web_search_nanos == 20_000_000
    assert load_prices(text).price("claude-new", now_us, speed="fast").rates(1) == OPUS


def test_an_override_starts_at_its_date(prices: PriceTable, now_us: int) -> None:
    """Before its first day, in UTC, the packaged price holds."""
    table = load_prices(toml(**{"from": "2026-11-22"}))
    midnight = now_us + 12 * 3_600_000_000
    packaged = prices.price("claude-opus-5-5", now_us).tiers
    assert table.price("claude-opus-5-5", midnight - 1).tiers == packaged
    assert table.price("claude-opus-5-5", midnight).tiers == ((0, OPUS),)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (toml(input_usd_per_mtok='"0.0000036"'), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_usd_per_mtok='"3600000"'), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_usd_per_mtok='"0.0036"'), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(cache_read_usd_per_mtok='"30"'), "models.claude-opus-5-5.cache_read_usd_per_mtok"),
        (toml(input_usd_per_mtok='"0"'), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_usd_per_mtok='"-3"'), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_usd_per_mtok='"nan"'), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_usd_per_mtok="true"), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_usd_per_mtok="[]"), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_usd_per_mtok='"three"'), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_usd_per_mtok='"3.1234567"'), "models.claude-opus-5-5.input_usd_per_mtok"),
        (toml(input_price='"3"'), "models.claude-opus-5-5.input_price"),
        (toml(web_search_usd='"10.01"'), "models.claude-opus-5-5.web_search_usd"),
        (toml(batch='"half"'), "models.claude-opus-5-5.batch"),
        (toml(batch="{discount = 2}"), "models.claude-opus-5-5.batch.discount"),
        (toml(fast=inline(output_usd_per_mtok='"0.018"')), "models.claude-opus-5-5.fast.output_usd_per_mtok"),
        (toml(tiers="[{above = 0}]"), "models.claude-opus-5-5.tiers[0].above"),
        (toml(tiers='"no"'), "models.claude-opus-5-5.tiers"),
        (toml("new", **{"from": "2026-12-01"}), "models.new.from"),
        (toml(**{"from": '"2026-12-01"'}), "models.claude-opus-5-5.from"),
        ('[models."new"]\ninput_usd_per_mtok = "3"', "models.new.output_usd_per_mtok"),
        ("[model.x]", "model"),
        ("models = 3", "models"),
        ("[models]\nx = 3", "models.x"),
        ("not toml", "(file)"),
    ],
)
def test_a_wrong_override_names_field_value_and_fix(text: str, field: str) -> None:
    """USD per token typed as USD per million, typos, missing rates and wrong types are refused, not used."""
    with pytest.raises(OverridesError) as caught:
        load_prices(text)
    assert caught.value.field == field
    assert field in str(caught.value)
    assert caught.value.fix in str(caught.value)
