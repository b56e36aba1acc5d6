"""
Price tables as text: whole, the same for equal tables, and named by a digest of what is in them.
"""

import json
from dataclasses import replace

import pytest

from pricing.load import load_prices
from pricing.stored import StoredPricesError, digest, from_text, to_text
from pricing.table import PriceTable

OWN = """[models.mine]
input_usd_per_mtok = "1"
output_usd_per_mtok = "2"
cache_read_usd_per_mtok = "0.1"
cache_write_5m_usd_per_mtok = "1.25"
cache_write_1h_usd_per_mtok = "2"
[[models.mine.tiers]]
above = 1000
input_usd_per_mtok = "3"
output_usd_per_mtok = "4"
cache_read_usd_per_mtok = "0.3"
cache_write_5m_usd_per_mtok = "3.75"
cache_write_1h_usd_per_mtok = "6"
"""


@pytest.mark.parametrize("table", [load_prices(), load_prices(OWN), PriceTable("empty", {}, {"m": "why"})])
def test_a_table_reads_back_equal(table: PriceTable) -> None:
    """
    Every price, period, tier and refusal survives the text, and equal tables have equal texts.
    """
    read = from_text(to_text(table))
    assert read == table
    assert to_text(read) == to_text(table)
    assert digest(read) == digest(table)


def test_a_digest_names_what_is_in_the_table() -> None:
    """
    Another price or another version is another digest; the order of models is none.
    """
    packaged, own = load_prices(), load_prices(OWN)
    turned = replace(packaged, periods=dict(reversed(list(packaged.periods.items()))))
    assert digest(turned) == digest(packaged)
    assert len({digest(packaged), digest(own), digest(replace(packaged, version="other"))}) == 3


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version":"1","models":[[["m"],[[0]]]],"refused":{}}'])
def test_other_text_is_refused(text: str) -> None:
    """
    Text that is no price table raises, and is never read as an empty one.
    """
    with pytest.raises(StoredPricesError, match="not a stored price table"):
        from_text(text)


def test_models_of_one_price_share_an_entry() -> None:
    """
    Aliases do not repeat their prices.
    """
    entries = json.loads(to_text(load_prices()))["models"]
    assert sum(len(names) for names, _ in entries) == len(load_prices().periods)
    assert len(entries) < len(load_prices().periods)
