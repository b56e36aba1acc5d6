"""
Degradation at work: as the day's budget shrinks, the same request is served by cheaper tiers, then cut,
and in the end refused unless it is important. Each step says why.
"""

import tempfile

import outlay

POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.medium]
models = ["claude-sonnet-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
[degradation]
mode = "steps"
exempt = ["critical"]
[[degradation.steps]]
below = 0.50
map = { large = "medium" }
[[degradation.steps]]
below = 0.20
max_tier = "small"
max_tokens = 1000
[[degradation.steps]]
below = 0.05
only = ["critical"]
"""
BODY = {
    "model": "outlay/auto",
    "max_tokens": 2_000,
    "messages": [{"role": "user", "content": "Summarise."}],
}


def main() -> None:
    """Spend a budget of one dollar in steps, and ask for the same each time."""
    with tempfile.TemporaryDirectory() as folder:
        books = outlay.open(f"sqlite:///{folder}/books.db", policy=POLICY)
        books.create_tenant("acme", credit="100", daily_budget="1.00")
        for spend in ("0", "0.60", "0.25", "0.11"):
            books.hold("acme", offers=[{"name": "other", "cost_usd": spend}]).settle(cost_usd=spend)
            day = books.balance("acme")["day"]
            for priority in ("normal", "critical"):
                try:
                    found = books.decide("acme", BODY, priority=priority)
                    told = f"{found.model}, {found.max_tokens} tokens: {found.reasons[-1].text}"
                except outlay.CallRefused as error:
                    told = error.refused.message
                print(f"{day['remaining_ratio']:.0%} left, {priority}: {told}")
        books.close()


if __name__ == "__main__":
    main()
