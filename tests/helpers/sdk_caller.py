"""
The unmodified SDK as a caller of the gateway, and a judge with the provider's own bill.
"""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from outlay.admin import money, policies
from outlay.admin.decisions import list_decisions
from simulator import bill

HELLO: list[Any] = [{"role": "user", "content": "hello [[sim output_tokens=20]]"}]
MODEL = "claude-sonnet-5-5"
UNKNOWN_COST = 5.0  # seconds that a settlement in the background may take


def says(directives: str) -> list[Any]:
    """A message that tells the simulated provider what to do."""
    return [{"role": "user", "content": f"hello [[sim {directives}]]"}]


class Caller:
    """An SDK client that counts its attempts."""

    def __init__(self, url: str, **key: Any) -> None:
        self.attempts = 0
        http = anthropic.DefaultHttpxClient(event_hooks={"request": [self._count]})
        self.sdk = anthropic.Anthropic(base_url=url, http_client=http, **key)

    def _count(self, _request: httpx2.Request) -> None:
        self.attempts += 1


@pytest.fixture
def caller(gateway: Any, tenant: Any) -> Iterator[Caller]:
    """The SDK with a tenant's key."""
    made = Caller(gateway.url, api_key=tenant[1])
    yield made
    made.sdk.close()


@pytest.fixture
def open_caller(gateway: Any) -> Iterator[Callable[..., Caller]]:
    """Make SDK clients with other keys."""
    made: list[Caller] = []

    def make(url: str | None = None, **key: Any) -> Caller:
        made.append(Caller(gateway.url if url is None else url, **key))
        return made[-1]

    yield make
    for one in made:
        one.sdk.close()


class Judge:
    """Compares a tenant's books with what the provider billed since the test began."""

    def __init__(self, app: Any, tenant: str, bill_file: Path) -> None:
        self._app, self._tenant, self._bill = app, tenant, bill_file
        self._seen = len(self._lines())

    def _lines(self) -> list[Any]:
        return list(bill.lines(self._bill)) if self._bill.exists() else []

    @property
    def billed(self) -> Decimal:
        """What the provider billed since then."""
        return sum((line.cost_usd for line in self._lines()[self._seen :]), Decimal(0))

    @property
    def balance(self) -> Any:
        """The tenant's balance."""
        return money.balance(self._app, self._tenant)

    @property
    def spent(self) -> Decimal:
        """What the tenant was charged today."""
        return Decimal(self.balance["day"]["spent_usd"])

    @property
    def decision(self) -> Any:
        """The newest decision."""
        return list_decisions(self._app, tenant=self._tenant)["decisions"][0]

    def wait(self) -> None:
        """Wait until no call is in flight."""
        until = time.monotonic() + UNKNOWN_COST
        while self.balance["held_usd"] != "0.00":
            assert time.monotonic() < until, self.balance
            time.sleep(0.02)


@pytest.fixture
def judge(gateway: Any, provider: Any, tenant: Any) -> Judge:
    """The judge of this test's tenant."""
    return Judge(gateway.app, tenant[0], provider[1])


def own_policy(app: Any, tenant: str, text: str) -> None:
    """Give a tenant a policy of its own."""
    tiers = '[tiers.only]\nmodels = ["MODEL"]\n[routing]\ndefault_tier = "only"\n'
    model, _, rest = text.partition("\n")
    policies.apply_policy(app, tiers.replace("MODEL", model) + rest, tenant=tenant, actor="test")
