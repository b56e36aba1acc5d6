"""
Builders of requests, money and policies for the tests of the router; prices and facts are the real ones.
"""

from collections.abc import Callable
from typing import Any

import pytest

from pricing.load import load_prices
from pricing.table import PriceTable
from router.choose import choose
from router.classify import profile_request
from router.policy import Policy, default_policy_text, load_policy
from router.types import Budget, Cache, Choice, Headroom, Hints, Profile, Refusal, Rights

NOW_US = 1_795_000_000_000_000
USD = 1_000_000_000

POLICY = """
[tiers.large]
models = ["claude-opus-5-5", "claude-opus-5"]
[tiers.medium]
models = ["claude-sonnet-5-5", "claude-sonnet-4-5"]
[tiers.small]
models = ["claude-haiku-5-5", "claude-haiku-4-5"]

[routing]
default_tier = "medium"
[routing.tasks]
"content/blog-post" = { tier = "large" }
"crm/*" = { tier = "small" }
"crm/mail/*" = { tier = "medium" }
"crm/mail/legal" = { tier = "large", floor = "large" }
"safety-check" = { tier = "medium", floor = "medium", priority = "critical" }
"patients" = { tier = "small", privacy = "health" }
"research" = { tier = "large", unbounded_usd = "2.00" }

[privacy.health]
models = ["claude-opus-5-5", "claude-sonnet-5-5"]
[privacy.law]
models = ["claude-sonnet-5-5", "claude-haiku-5-5"]

[degradation]
hysteresis = 0.03
[[degradation.steps]]
below = 0.50
effort = "medium"
map = { large = "medium", medium = "small" }
[[degradation.steps]]
below = 0.20
max_tier = "small"
max_tokens = 2048
[[degradation.steps]]
below = 0.05
only = ["critical", "high"]
"""


@pytest.fixture(scope="session")
def prices() -> PriceTable:
    """The real prices, compiled once."""
    return load_prices()


@pytest.fixture(scope="session")
def policy() -> Policy:
    """A policy with a route of every kind."""
    return load_policy(POLICY)


@pytest.fixture(scope="session")
def policy_with() -> Callable[[str, str], Policy]:
    """The same policy with one piece of its text replaced."""

    def build(old: str, new: str) -> Policy:
        assert old in POLICY
        return load_policy(POLICY.replace(old, new))

    return build


@pytest.fixture(scope="session")
def default_policy() -> Policy:
    """The policy that ships."""
    return load_policy(default_policy_text())


@pytest.fixture
def body() -> Callable[..., dict[str, Any]]:
    """Build a plain request body."""

    def build(model: str = "claude-opus-5-5", **fields: Any) -> dict[str, Any]:
        plain = {
            "model": model,
            "max_tokens": 4096,
            "messages": [{"role": "user", "content": "Hello there."}],
        }
        return plain | fields

    return build


@pytest.fixture
def profile(policy: Policy) -> Callable[..., Profile]:
    """Build the profile of a body, which must not be refused."""

    def build(
        body: dict[str, Any],
        *,
        hints: Hints = Hints(),
        rights: Rights = Rights(),
        expected: int = 500,
        cache: Cache | None = None,
        under: Policy | None = None,
    ) -> Profile:
        result = profile_request(
            body, hints, rights, under or policy, expected_output_tokens=expected, cache=cache
        )
        assert isinstance(result, Profile), result
        return result

    return build


def headroom(spent_ratio: float = 0.0, limit: int | None = 100 * USD, **credit: Any) -> Headroom:
    """Give a day's budget of which a share is spent."""
    spent = 0 if limit is None else round(limit * spent_ratio)
    return Headroom((Budget("tenant/day", limit, spent),), **credit)


@pytest.fixture
def money() -> Callable[..., Headroom]:
    """Build the money around a call."""
    return headroom


@pytest.fixture
def decide(policy: Policy, prices: PriceTable) -> Callable[..., Choice | Refusal]:
    """Run `choose` with plain defaults."""

    def run(
        profile: Profile,
        headroom_: Headroom = headroom(),
        *,
        under: Policy | None = None,
        level: int = 0,
        unhealthy: dict[str, int] | None = None,
    ) -> Choice | Refusal:
        return choose(
            profile, headroom_, under or policy, prices, level=level, unhealthy=unhealthy or {}, now_us=NOW_US
        )

    return run
