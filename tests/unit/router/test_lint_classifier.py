"""
The warning about a classification that costs too much of what it decides on.
"""

import pytest

from pricing.load import load_prices
from router.lint import lint
from router.policy import load_policy

AT_US = 1_763_700_000_000_000
TEXT = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "{default}"
classifier = "{kind}"
[routing.llm]
{rule}
"""


@pytest.mark.parametrize(
    ("kind", "default", "rule", "told"),
    [
        ("llm", "large", "", None),
        ("llm", "large", 'model = "claude-opus-5-5"', "routing.llm: a classification by claude-opus-5-5"),
        ("llm", "small", "max_tokens = 1024", "routing.llm: a classification by claude-haiku-5-5"),
        ("llm", "large", 'max_usd = "0.000001"', "routing.llm.max_usd"),
        ("table", "large", 'model = "claude-opus-5-5"', None),
    ],
    ids=["cheap", "dear model", "dear answer", "never made", "not used"],
)
def test_a_classification_over_a_tenth_of_a_call_is_warned_about(
    kind: str, default: str, rule: str, told: str | None
) -> None:
    """At the prices of the day, for a call of middling size at the default tier."""
    policy = load_policy(TEXT.format(kind=kind, default=default, rule=rule))
    found = [text for text in lint(policy, (), load_prices(), AT_US) if text.startswith("routing.llm")]
    assert len(found) == (0 if told is None else 1), found
    assert all(told is not None and text.startswith(told) for text in found)


def test_without_prices_nothing_is_said() -> None:
    """What cannot be compared is not warned about."""
    policy = load_policy(TEXT.format(kind="llm", default="small", rule="max_tokens = 1024"))
    assert not [text for text in lint(policy) if text.startswith("routing.llm")]
