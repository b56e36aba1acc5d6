"""
One plan for all tests of the demo: the packaged trace, priced at a fixed instant.
"""

import pytest

from outlay.demo.plan import Plan, make_plan
from outlay.demo.trace import load_trace
from pricing.load import load_prices

NOON_US = 1_795_262_400_000_000  # 2026-11-21 12:00 UTC


@pytest.fixture(scope="session")
def plan() -> Plan:
    """The demo at its full size."""
    return make_plan(load_trace(), 2_640, load_prices(), NOON_US)
