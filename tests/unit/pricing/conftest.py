"""
Shared by the pricing tests: the compiled prices, and an instant at which all current prices hold.
"""

import pytest

from pricing.load import load_prices
from pricing.table import PriceTable


@pytest.fixture(scope="session")
def prices() -> PriceTable:
    """The packaged prices."""
    return load_prices()


@pytest.fixture(scope="session")
def now_us() -> int:
    """2026-11-21T12:00:00Z."""
    return 1_795_262_400_000_000
