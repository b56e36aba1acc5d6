"""
Whether a decision has moved what degradation remembers of its tenant. Pure.
"""

from outlay.effects import SetLevel
from outlay.views import View
from router.demand import NOT_PACED
from router.types import Choice, Refusal


def moved_level(tenant: str, choice: Choice | Refusal, view: View, at_us: int) -> SetLevel | None:
    """
    Give what is to be remembered; None where nothing has moved.
    """
    before = NOT_PACED if view.measured.pace is None else view.measured.pace.state
    paced = choice.paced if isinstance(choice, Choice) else None
    pace = None if paced is None or paced.state == before else paced.state
    level = view.level if choice.level is None else choice.level
    if level == view.level and pace is None:
        return None
    return SetLevel(tenant, level, at_us, pace)
