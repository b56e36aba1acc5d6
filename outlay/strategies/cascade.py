"""
Cascade: the cheap tier first, the next one only where a verifier finds its answer wanting.

Each attempt is a call of its own, with its own hold; the policy stays above it all: a tier that it lowers is
not climbed, and a model that was tried is not asked again.
"""

from dataclasses import dataclass

from outlay.strategies import checked
from outlay.strategies.course import Course, climb
from outlay.strategies.steps import Order, Steps
from outlay.strategies.verify import Verifier, check_verifier
from router.types import Reason, ReasonCode


@dataclass(frozen=True, slots=True)
class Cascade:
    """
    Ask tier after tier until an answer passes.

    Attributes:
        tiers: Tiers of the policy in the order in which they are asked, the cheapest first.
        verify: What says whether an answer passes.
    """

    tiers: tuple[str, ...]
    verify: Verifier

    def __post_init__(self) -> None:
        checked.tiers(self.tiers)
        check_verifier(self.verify)


def cascade(plan: Cascade, order: Order) -> Steps:
    """
    Carry out a cascade; returns a `RunResult`.
    """
    text = f"part of a cascade over {', '.join(plan.tiers)}"
    reason = Reason(ReasonCode.STRATEGY, text, {"tiers": len(plan.tiers)})
    return (yield from climb(Course("cascade", order, plan.verify), plan.tiers, reason))
