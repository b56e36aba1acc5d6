"""
A refusal, and how it looks: from the Anthropic client, and from Outlay itself. Nothing was sent for either.
"""

import tempfile

import anthropic

import outlay
from outlay.testing import ScriptedProvider

BODY = {
    "model": "claude-opus-5-5",
    "max_tokens": 4_000,
    "messages": [{"role": "user", "content": "Write a long story."}],
}


def main() -> None:
    """Ask for more than the tenant has."""
    with tempfile.TemporaryDirectory() as folder, outlay.open(f"sqlite:///{folder}/books.db") as books:
        books.create_tenant("acme", credit="0.00001")
        provider = ScriptedProvider()
        client = anthropic.Anthropic(
            api_key="none",
            http_client=anthropic.DefaultHttpxClient(transport=provider),
            middleware=[outlay.middleware(books, tenant="acme")],
        )
        try:
            client.messages.create(**BODY)
        except anthropic.PaymentRequiredError as error:
            print(f"{type(error).__name__}: {error.status_code} {error.type} {error.error_code}")
            print(error.api_message)

        try:
            books.hold("acme", BODY)
        except outlay.CallRefused as error:
            print(f"CallRefused: {error.refused.code}, worth a retry: {error.refused.retry}")
        print(f"requests sent: {len(provider.bodies)}")

        books.top_up("acme", "5.00", idempotency_key="invoice-1")
        decision = books.decide("acme", BODY)
        print(f"after a top-up: {decision.model}, may spend: {decision.may_spend}")


if __name__ == "__main__":
    main()
