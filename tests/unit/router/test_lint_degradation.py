"""
Warnings about degradation: steps that never act, tiers that save nothing, classes and floors that keep calls.
"""

from collections.abc import Callable

import pytest

from pricing.load import load_prices
from pricing.table import PriceTable
from router.policy import Policy, lint, load_policy

AT_US = 1_795_000_000_000_000
BASE = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
[degradation]
[[degradation.steps]]
below = 0.50
map = { large = "small" }
"""


@pytest.fixture
def told(prices: PriceTable) -> Callable[[str], list[str]]:
    """The warnings about a policy text."""
    return lambda text: list(lint(load_policy(text), (), prices, AT_US))


def test_a_sound_policy_has_no_warning(told: Callable[[str], list[str]]) -> None:
    """
    The policy that the others here are made from is fine.
    """
    assert told(BASE) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BASE.replace("[degradation]", '[degradation]\nmode = "off"'), "never act"),
        (BASE.replace("below = 0.50", "below = 0.98"), "hysteresis over 1"),
        (BASE + "max_tokens = 10000000\n", "no tier allows more than 10000000"),
        (BASE + 'effort = "max"\n', "no tier works at more than max"),
        (BASE + '[privacy.law]\nmodels = ["claude-opus-5-5"]\n', "privacy.law: no model of it in tier small"),
        (
            BASE + '[routing.tasks]\nlegal = { tier = "large", floor = "large" }\n',
            'keep "legal" at their tier',
        ),
    ],
)
def test_what_hardly_was_meant_is_named(told: Callable[[str], list[str]], text: str, said: str) -> None:
    """
    Each finding names the field and what follows from it.
    """
    assert any(said in warning for warning in told(text)), told(text)


def test_an_exempt_task_may_keep_its_floor(told: Callable[[str], list[str]]) -> None:
    """
    A floor of a task that no step touches anyway is no finding.
    """
    route = '[routing.tasks]\nlegal = { tier = "large", floor = "large", priority = "critical" }\n'
    assert told(BASE + route) == []


def test_a_step_to_a_dearer_tier_is_named_with_both_costs(told: Callable[[str], list[str]]) -> None:
    """
    Turned round, Haiku to Opus saves nothing: said for a short and for a long call, with both costs.
    """
    turned = BASE.replace("opus-5-5", "x").replace("haiku-5-5", "opus-5-5").replace("x", "haiku-5-5")
    warnings = [warning for warning in told(turned) if "saves nothing" in warning]
    assert len(warnings) == 2
    assert all(warning.startswith("degradation.steps[0].map: large to small") for warning in warnings)
    assert "8 kB of prompt and 500 tokens" in warnings[0]


CLIFF = """[models."claude-haiku-5-5"]
input_usd_per_mtok = "0.1"
output_usd_per_mtok = "0.5"
cache_read_usd_per_mtok = "0.01"
cache_write_5m_usd_per_mtok = "0.125"
cache_write_1h_usd_per_mtok = "0.2"
[[models."claude-haiku-5-5".tiers]]
above = 50000
input_usd_per_mtok = "9"
output_usd_per_mtok = "9"
cache_read_usd_per_mtok = "0.9"
cache_write_5m_usd_per_mtok = "9"
cache_write_1h_usd_per_mtok = "9"
"""


def test_a_long_prompt_alone_may_be_dearer() -> None:
    """
    A price that jumps with the prompt is found though the short call is cheaper.
    """
    (warning,) = lint(load_policy(BASE), (), load_prices(CLIFF), AT_US)
    assert "saves nothing for 400 kB of prompt" in warning


def test_a_model_without_a_price_is_named(policy: Policy) -> None:
    """
    A model that nobody knows the price of serves no call, which the warning says.
    """
    warnings = lint(policy, (), PriceTable("none", {}, {}), AT_US)
    assert sum("has no price" in warning for warning in warnings) == len(policy.model_ranks)


def test_without_prices_costs_are_left_out(policy: Policy) -> None:
    """
    Nothing is said about money where no prices are given.
    """
    assert not any("price" in warning or "saves nothing" in warning for warning in lint(policy))
