"""
P1 under load: many callers, several gateway processes, one tenant, worst cases far above the truth.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from outlay.admin.books import verify
from outlay.admin.money import balance
from pricing.money import format_usd

CALLERS = 128
MEAN_CALLS = 300
OUTPUT_TOKENS = 250
INPUT_TOKENS = 100
CALL_NANOS = INPUT_TOKENS * 4_000 + OUTPUT_TOKENS * 20_000  # Opus 5.5: 4 and 20 USD per million tokens
LIMIT_NANOS = MEAN_CALLS * CALL_NANOS
SCENARIO = "latency_ms = 20\n"
ONE_TIER = """
[tiers.large]
models = ["claude-opus-5-5"]
[routing]
default_tier = "large"
[degradation]
mode = "off"
"""


def body() -> dict[str, Any]:
    """A call whose worst case is four times its true output."""
    directive = f"[[sim input_tokens={INPUT_TOKENS} output_tokens={OUTPUT_TOKENS} thinking_tokens=0]]"
    text = directive + "x" * (4 * INPUT_TOKENS - len(directive))
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 4 * OUTPUT_TOKENS,
        "messages": [{"role": "user", "content": text}],
    }


async def caller(http: aiohttp.ClientSession, url: str, key: str, seen: Counter[str]) -> None:
    """Call until the money is spent for good; only a busy budget is worth another try."""
    headers = {"x-api-key": key, "anthropic-version": "2026-10-21"}
    while True:
        async with http.post(f"{url}/v1/messages", json=body(), headers=headers) as answer:
            said = await answer.json()
            if answer.status == 200:
                seen["served"] += 1
                continue
            code = said["error"].get("details", {}).get("error_code", str(said))
            seen[code] += 1
            if code != "outlay_budget_busy":
                return
            assert answer.headers["x-should-retry"] == "true"
            await asyncio.sleep(float(answer.headers["retry-after"]))


async def storm(urls: list[str], key: str) -> Counter[str]:
    """Let all callers loose over all gateways."""
    seen: Counter[str] = Counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        async with asyncio.timeout(240):
            await asyncio.gather(*(caller(http, urls[n % len(urls)], key, seen) for n in range(CALLERS)))
    return seen


@pytest.mark.parametrize("limited_by", ["budget", "credit"])
def test_the_provider_never_bills_more_than_the_limit(
    make_fleet: Callable[..., Any], limited_by: str
) -> None:
    """128 callers in 3 processes stay inside one budget or credit, and use at least 95 % of it."""
    fleet = make_fleet(gateways=3, scenario=SCENARIO)
    fleet.policy(ONE_TIER)
    limit = format_usd(LIMIT_NANOS)
    key = fleet.tenant(
        "acme",
        credit=limit if limited_by == "credit" else "1000",
        daily_budget=limit if limited_by == "budget" else None,
    )
    seen = asyncio.run(storm(fleet.urls, key))

    final = "outlay_daily_budget_reached" if limited_by == "budget" else "outlay_credit_exhausted"
    assert set(seen) <= {"served", "outlay_budget_busy", final}
    assert seen[final] == CALLERS
    billed = fleet.billed_nanos()
    assert billed <= LIMIT_NANOS
    assert billed * 100 >= LIMIT_NANOS * 95
    books = balance(fleet.app, "acme")
    spent = Decimal(books["day"]["spent_usd"]) if limited_by == "budget" else None
    assert Decimal(books["held_usd"]) == 0
    assert spent is None or spent == Decimal(billed) / 10**9
    assert verify(fleet.app)["ok"]
    print(f"{limited_by}: {dict(seen)}, billed {billed / LIMIT_NANOS:.4f} of the limit")
