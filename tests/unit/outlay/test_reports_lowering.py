"""
Which reasons explain that a call was served by another tier than asked for.
"""

from outlay.reports_calls import LOWERING, LOWERING_ALONE
from router.types import ReasonCode

NEVER = {
    "asked_model", "asked_tier", "unrouted_task", "classifier_asked", "role_tier", "unlisted_model",
    "hint_not_allowed", "pinned", "unbounded_ceiling", "worth_it", "exempt", "downgrade_not_cheaper",
    "downgrade_not_possible", "downgrade_not_proven", "escalated", "strategy", "observed",
}  # fmt: skip


def test_every_reason_is_classed_as_lowering_or_not() -> None:
    """A new reason has to be put on one side, so that no chart forgets it; nothing stands on two."""
    sides = [*LOWERING, *LOWERING_ALONE, *NEVER]
    assert sorted(sides) == sorted(ReasonCode)
