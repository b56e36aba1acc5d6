"""
Warnings about what a policy asks of classifiers before they may downgrade.
"""

from collections.abc import Iterator
from typing import Final

from router.gate import least_calls
from router.policy_model import Policy

MUCH: Final = 0.5
MANY_CALLS: Final = 1_000


def calibration_findings(policy: Policy) -> Iterator[str]:
    """
    Find promises that prove nothing, or that hardly anybody can prove.
    """
    asked, kind = policy.routing.calibration, policy.routing.classifier
    where = "routing.calibration"
    if kind in ("learned", "llm") and kind not in asked.required:
        yield f"{where}.required: without {kind}, calls are downgraded for quality that nobody has measured"
    if asked.max_failed_ratio >= MUCH:
        yield f"{where}.max_failed_ratio: {asked.max_failed_ratio} lets half of the downgraded calls fail"
    least = least_calls(asked.max_failed_ratio, asked.confidence)
    if least > MANY_CALLS:
        yield f"{where}: it takes {least} scored calls without a failure to prove this of one task class"
