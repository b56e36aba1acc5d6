"""
What importing the package costs.
"""

import subprocess
import sys

PROGRAM = """
import sys
import pricing.bound, pricing.cost, pricing.facts, pricing.load, pricing.money, pricing.table, pricing.usage
pricing.bound.bound_request({"messages": []})
pricing.facts.model_facts("claude-opus-5-5")
loaded = {"genai_prices", "pydantic", "httpx2", "httpx", "sqlalchemy", "anthropic", "streamlit", "redis"}
print(sorted(loaded & set(sys.modules)))
"""


def test_importing_pricing_loads_no_price_library_and_no_network_library() -> None:
    """The library of prices takes 0.4 s and a network stack; only `load_prices` loads it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
