"""
Read model about conversations: changes of model or effort that were not made, and what they would have cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from outlay.tallies import Tally


@dataclass(frozen=True, slots=True)
class Suppressed:
    """
    Changes that conversations were spared.

    Attributes:
        calls: Changes that would have cost more than staying.
        cost_nanos: How much more, over the turns expected at the time.
        saving_calls: Changes that would have saved something, but too little for the cache they threw away.
    """

    calls: int = 0
    cost_nanos: int = 0
    saving_calls: int = 0


def suppressed(tallies: Sequence[Tally]) -> Suppressed:
    """
    Count the changes that were not made, as a prompt cache would have been lost.
    """
    return Suppressed(
        calls=sum(one.spared for one in tallies),
        cost_nanos=sum(one.spared_nanos for one in tallies),
        saving_calls=sum(one.spared_saving for one in tallies),
    )
