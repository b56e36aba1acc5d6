"""
Money first, then the call: hold, call whichever provider you like, settle what it cost.

No server and no Anthropic client: Outlay is asked "may I spend, and on what?", and told the cost afterwards.
"""

import tempfile

import outlay


def main() -> None:
    """Hold for the better of two offers, settle one call, give one back."""
    with tempfile.TemporaryDirectory() as folder, outlay.open(f"sqlite:///{folder}/books.db") as books:
        books.create_tenant("acme", credit="1.00", daily_budget="0.50")

        # Offers of your own, best first; the first that credits and budgets bear is taken.
        offers = [{"name": "large-model", "cost_usd": "0.60"}, {"name": "small-model", "cost_usd": "0.04"}]
        with books.hold("acme", offers=offers, idempotency_key="order-17") as hold:
            print(f"call {hold.model}, at most {hold.held_usd} USD are held for it")
            settled = hold.settle(cost_usd="0.0231")  # what the provider's answer says
            print(f"settled at {settled['cost_usd']} USD")

        # Nothing was called after all: give the money back.
        hold = books.hold("acme", offers=[{"name": "small-model", "cost_usd": "0.04"}])
        hold.release("the user cancelled")

        balance = books.balance("acme")
        print(f"credit {balance['credit_usd']} USD, held {balance['held_usd']} USD")
        print(f"spent today {balance['day']['spent_usd']} of {balance['day']['limit_usd']} USD")


if __name__ == "__main__":
    main()
