"""
Loads the price table: the prices of the installed genai-prices, with the operator's overrides on top.

The library takes 0.4 s to import, so it is read only when `load_prices` runs.
"""

from functools import lru_cache

from pricing.table import PriceTable


@lru_cache(maxsize=8)
def load_prices(overrides: str | None = None) -> PriceTable:
    """
    Compile the prices of the installed genai-prices, with the operator's overrides on top; cached.

    Args:
        overrides: TOML text, see `overrides.py`.
    Raises:
        OverridesError: the overrides are malformed or implausible; names field, value and fix.
    """
    from pricing.compile import compile_prices
    from pricing.overrides import apply_overrides

    table = compile_prices()
    return table if overrides is None else apply_overrides(table, overrides)
