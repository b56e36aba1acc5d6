"""
The official Anthropic client with Outlay's middleware in process, blocking and asynchronous, in the words of
the tests; and the simulated provider that it calls.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import pytest
from simulated import simulated

import outlay
from outlay.api import Outlay
from outlay.api_async import AsyncOutlay
from simulator import bill
from simulator.provider import key_hash

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
CREDIT = Decimal("20")


def says(text: str = "[[sim input_tokens=100 output_tokens=40]]") -> list[Any]:
    """One message of the user."""
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def bill_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bill of the provider of this module."""
    return tmp_path_factory.mktemp("simulator") / "bill.jsonl"


@pytest.fixture(scope="module")
def url(bill_file: Path) -> Iterator[str]:
    """The address of one provider for this module."""
    with simulated(bill_file) as address:
        yield address


class Attempts:
    """Counts what goes out, as a middleware behind ours, and remembers the last request."""

    def __init__(self) -> None:
        self.count = 0
        self.last: Any = None

    def saw(self, request: Any) -> None:
        """Count one."""
        self.count += 1
        self.last = request


class Watch(anthropic.Middleware):
    """Sees every attempt that is really made."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def handle(self, request: Any, call_next: Any) -> Any:
        """Count and pass."""
        self._attempts.saw(request)
        return call_next(request)

    async def handle_async(self, request: Any, call_next: Any) -> Any:
        """Count and pass."""
        self._attempts.saw(request)
        return await call_next(request)


class Blocking:
    """The blocking client, in the words of the tests."""

    def __init__(self, url: str, books_url: str, policy: str | None, key: str, **options: Any) -> None:
        self.books: Outlay = outlay.open(books_url, policy=policy)
        self.books.create_tenant("acme", credit=str(CREDIT))
        self.sent, self.tried = Attempts(), Attempts()
        controlled = outlay.middleware(self.books, tenant="acme", **options.pop("middleware", {}))
        self.client = anthropic.Anthropic(
            base_url=url,
            api_key=key,
            middleware=[Watch(self.tried), controlled, Watch(self.sent)],
            max_retries=options.pop("max_retries", 0),
            **options,
        )

    def create(self, **body: Any) -> Any:
        """One plain call."""
        return self.client.messages.create(**body)

    def raw(self, **body: Any) -> tuple[Any, Any]:
        """One plain call; headers and message."""
        response = self.client.messages.with_raw_response.create(**body)
        return response.headers, response.parse()

    def read_stream(self, **body: Any) -> tuple[Any, Any]:
        """One stream, read to its end; headers and message."""
        with self.client.messages.stream(**body) as stream:
            message = stream.get_final_message()
            return stream.response.headers, message

    def events(self, most: int | None = None, **body: Any) -> list[Any]:
        """Events of create(stream=True); closed after *most* of them."""
        seen = []
        with self.client.messages.create(stream=True, **body) as stream:
            for event in stream:
                seen.append(event)
                if len(seen) == most:
                    break
        return seen

    def do(self, name: str, *args: Any, **named: Any) -> Any:
        """One method of the books."""
        return getattr(self.books, name)(*args, **named)

    def call(self, work: Callable[[Any], Any]) -> Any:
        """Anything else of the client."""
        return work(self.client)

    def close(self) -> None:
        """Close client and books."""
        self.client.close()
        self.books.close()


class Asynchronous:
    """The asynchronous client, in the words of the tests."""

    def __init__(self, url: str, books_url: str, policy: str | None, key: str, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.sent, self.tried = Attempts(), Attempts()
        self.runner.run(self._open(url, books_url, policy, key, options))

    async def _open(
        self, url: str, books_url: str, policy: str | None, key: str, options: dict[str, Any]
    ) -> None:
        self.books: AsyncOutlay = await outlay.open_async(books_url, policy=policy)
        await self.books.create_tenant("acme", credit=str(CREDIT))
        controlled = outlay.middleware(self.books, tenant="acme", **options.pop("middleware", {}))
        self.client = anthropic.AsyncAnthropic(
            base_url=url,
            api_key=key,
            middleware=[Watch(self.tried), controlled, Watch(self.sent)],
            max_retries=options.pop("max_retries", 0),
            **options,
        )

    def create(self, **body: Any) -> Any:
        """One plain call."""
        return self.runner.run(self.client.messages.create(**body))

    def raw(self, **body: Any) -> tuple[Any, Any]:
        """One plain call; headers and message."""
        response = self.runner.run(self.client.messages.with_raw_response.create(**body))
        return response.headers, self.runner.run(response.parse())

    def read_stream(self, **body: Any) -> tuple[Any, Any]:
        """One stream, read to its end; headers and message."""

        async def read() -> tuple[Any, Any]:
            async with self.client.messages.stream(**body) as stream:
                message = await stream.get_final_message()
                return stream.response.headers, message

        return self.runner.run(read())

    def events(self, most: int | None = None, **body: Any) -> list[Any]:
        """Events of create(stream=True); closed after *most* of them."""

        async def read() -> list[Any]:
            seen = []
            async with await self.client.messages.create(stream=True, **body) as stream:
                async for event in stream:
                    seen.append(event)
                    if len(seen) == most:
                        break
            return seen

        return self.runner.run(read())

    def do(self, name: str, *args: Any, **named: Any) -> Any:
        """One method of the books."""
        return self.runner.run(getattr(self.books, name)(*args, **named))

    def call(self, work: Callable[[Any], Any]) -> Any:
        """Anything else of the client."""

        async def carry_out() -> Any:
            return await work(self.client)

        return self.runner.run(carry_out())

    def close(self) -> None:
        """Close client and books."""
        self.runner.run(self.client.close())
        self.runner.run(self.books.close())
        self.runner.close()


@pytest.fixture(params=[Blocking, Asynchronous])
def make(
    request: pytest.FixtureRequest, url: str, sqlite_url: str, bill_file: Path
) -> Iterator[Callable[..., Any]]:
    """Make the client under test: the tenant acme has 20 USD of credits."""
    made: list[Any] = []
    key = f"sk-{request.node.name}"

    def one(policy: str | None = None, base_url: str = url, **options: Any) -> Any:
        sdk = request.param(base_url, sqlite_url, policy, key, **options)
        sdk.billed = lambda: bill.by_key(bill_file).get(key_hash(key), Decimal(0))
        made.append(sdk)
        return sdk

    yield one
    for sdk in made:
        sdk.close()
    gc.collect()


def booked(sdk: Any) -> Decimal:
    """What the ledger took from the tenant, and nothing is held any more."""
    balance = sdk.do("balance", "acme")
    assert balance["held_usd"] == "0.00"
    return CREDIT - Decimal(balance["credit_usd"])


def decided(sdk: Any, decision_id: str) -> Any:
    """The decision record."""
    return sdk.do("explain", decision_id)
