"""
The table `[routing.calibration]`: what it takes, what it refuses, and what is probably not meant.
"""

import pytest

from router.policy import PolicyError, lint, load_policy

TEXT = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
classifier = "KIND"
[routing.calibration]
"""


def text(more: str = "", kind: str = "learned") -> str:
    """A policy with more in its table of calibration."""
    return TEXT.replace("KIND", kind) + more


def test_what_is_left_out_is_10_percent_at_95() -> None:
    """The defaults are those of the reference."""
    asked = load_policy(text()).routing.calibration
    assert (asked.max_failed_ratio, asked.confidence, asked.required) == (0.10, 0.95, ("learned", "llm"))
    assert (asked.shrinkage, asked.window_days) == (20, 90)


@pytest.mark.parametrize(
    "line",
    [
        "max_failed_ratio = 0.0", "max_failed_ratio = 1.0", "max_failed_ratio = nan", "confidence = 0.4",
        "confidence = 1.0", 'required = ["table"]', "shrinkage = -1.0", "shrinkage = inf", "window_days = 0",
        'confidence = "0.95"', "max_failed = 0.1",
    ],
)  # fmt: skip
def test_a_promise_that_means_nothing_is_refused(line: str) -> None:
    """The problem names the field."""
    with pytest.raises(PolicyError) as refused:
        load_policy(text(line))
    (problem,) = refused.value.problems
    assert problem.field.startswith(f"routing.calibration.{line.split()[0]}")


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ("required = []", "learned", "nobody has measured"),
        ('required = ["learned"]', "llm", "nobody has measured"),
        ("max_failed_ratio = 0.5", "learned", "lets half"),
        ("max_failed_ratio = 0.002", "learned", "1497 scored calls"),
    ],
)
def test_a_promise_that_is_probably_not_meant_is_told(line: str, kind: str, told: str) -> None:
    """A warning with the field; the policy holds all the same."""
    assert any(told in finding for finding in lint(load_policy(text(line, kind))))


def test_a_usual_promise_is_no_finding() -> None:
    """Neither the defaults, nor a table without a classifier."""
    for policy in (text(), text("required = []", "table"), text("max_failed_ratio = 0.05")):
        assert not [finding for finding in lint(load_policy(policy)) if "calibration" in finding]
