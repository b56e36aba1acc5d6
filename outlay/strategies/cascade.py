"""
Cascade: the cheap tier first, the next one only where a verifier finds its answer wanting.

Each attempt is a call of its own, with its own hold; the policy stays above it all: a tier that it lowers is
not climbed, and a model that was tried is not asked again.
"""

from dataclasses import dataclass
from typing import Final

from outlay.errors import BadInput
from outlay.strategies.course import Course, climb
from outlay.strategies.steps import Order, Steps
from outlay.strategies.verify import Verifier
from router.types import Reason, ReasonCode

TIERS_MAX: Final = 5


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
        check_tiers(self.tiers)


def check_tiers(tiers: object) -> None:
    """
    See that there are tiers, and not too many.

    Raises:
        BadInput: There are none, too many, or one twice.
    """
    if not isinstance(tiers, tuple) or not 0 < len(tiers) <= TIERS_MAX or len(set(tiers)) < len(tiers):
        raise BadInput("tiers", tiers, "are no tiers to try", f"Name 1 to {TIERS_MAX} tiers, each once.")


def cascade(plan: Cascade, order: Order) -> Steps:
    """
    Carry out a cascade; returns a `RunResult`.
    """
    text = f"part of a cascade over {', '.join(plan.tiers)}"
    reason = Reason(ReasonCode.STRATEGY, text, {"tiers": len(plan.tiers)})
    return (yield from climb(Course("cascade", order, plan.verify), plan.tiers, reason))
