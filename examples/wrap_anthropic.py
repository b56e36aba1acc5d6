"""
An application keeps its Anthropic client, and Outlay controls it in process: one argument more.

The scripted provider stands in for Anthropic, so that this runs offline; leave `http_client` out to go live.
"""

import tempfile

import anthropic

import outlay
from outlay.testing import Reply, ScriptedProvider

SCRIPT = [Reply("Paris.", input_tokens=1_000, output_tokens=200), Reply("One two three.", 1_000, 300)]


def main() -> None:
    """Make one plain call and one stream, and look at the books."""
    with tempfile.TemporaryDirectory() as folder, outlay.open(f"sqlite:///{folder}/books.db") as books:
        books.create_tenant("acme", credit="5.00", daily_budget="1.00")
        client = anthropic.Anthropic(
            api_key="none",
            http_client=anthropic.DefaultHttpxClient(transport=ScriptedProvider(SCRIPT)),
            middleware=[outlay.middleware(books, tenant="acme", task="content/answer")],
        )

        raw = client.messages.with_raw_response.create(
            model="claude-sonnet-5-5",
            max_tokens=500,
            messages=[{"role": "user", "content": "What is the capital of France?"}],
        )
        print(raw.parse().content[0].text)
        for name in ("outlay-model-served", "outlay-reason", "outlay-cost-usd"):
            print(f"  {name}: {raw.headers[name]}")

        with client.messages.stream(
            model="outlay/auto",  # the policy decides
            max_tokens=500,
            messages=[{"role": "user", "content": "Count to three."}],
        ) as stream:
            print("".join(stream.text_stream).strip())

        # 2 x 1,000 tokens at 2 USD a million and 500 tokens at 10
        print(f"spent {books.balance('acme')['day']['spent_usd']} USD")


if __name__ == "__main__":
    main()
