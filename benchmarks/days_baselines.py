"""
What a day's budget brings without Outlay, and at best with all of the day known beforehand.

Every rule gets the calls of a day and the money for it; it gives right answers, calls served and money spent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.days_data import Call


@dataclass(frozen=True, slots=True)
class Tally:
    """
    What became of a day.
    """

    right: int
    served: int
    spent_nanos: int


def hard_stop(calls: Sequence[Call], budget_nanos: int) -> Tally:
    """
    Serve all from the large model until the money is gone: what gateways do.
    """
    return _in_order(calls, budget_nanos, lambda _spent: True)


def steps(calls: Sequence[Call], budget_nanos: int) -> Tally:
    """
    Serve from the large model until a fifth of the money is left, from the small one after that.
    """
    return _in_order(calls, budget_nanos, lambda spent: 5 * spent < 4 * budget_nanos)


def always_small(calls: Sequence[Call], budget_nanos: int) -> Tally:
    """
    Serve all from the small model.
    """
    return _in_order(calls, budget_nanos, lambda _spent: False)


def _in_order(calls: Sequence[Call], budget_nanos: int, large: Callable[[int], bool]) -> Tally:
    right = served = spent = 0
    for call in calls:
        upper = large(spent)
        cost = call.nanos[0] if upper else call.nanos[-1]
        if spent + cost > budget_nanos:
            continue
        spent, served, right = spent + cost, served + 1, right + (call.right[0] if upper else call.right[-1])
    return Tally(right, served, spent)


def offline_predicted(calls: Sequence[Call], budget_nanos: int) -> Tally:
    """
    Buy the upgrades of the day in the order of predicted gain per extra dollar: the limit of the predictions.
    """
    return _knapsack(calls, budget_nanos, lambda call: call.gain)


def offline_true(calls: Sequence[Call], budget_nanos: int) -> Tally:
    """
    Buy the upgrades that will turn out right: the limit of everything.
    """
    return _knapsack(calls, budget_nanos, lambda call: float(call.right[0] - call.right[-1]), only_gains=True)


def _knapsack(
    calls: Sequence[Call], budget_nanos: int, gain: Callable[[Call], float], *, only_gains: bool = False
) -> Tally:
    def worth(call: Call) -> float:
        return gain(call) / max(1, call.nanos[0] - call.nanos[-1])

    spent = sum(call.nanos[-1] for call in calls)
    if spent > budget_nanos:
        return always_small(calls, budget_nanos)
    right = 0
    for call in sorted(calls, key=worth, reverse=True):
        extra = call.nanos[0] - call.nanos[-1]
        upper = spent + extra <= budget_nanos and (not only_gains or gain(call) > 0)
        spent, right = spent + (extra if upper else 0), right + (call.right[0] if upper else call.right[-1])
    return Tally(right, len(calls), spent)


BASELINES: Final[Mapping[str, Callable[[Sequence[Call], int], Tally]]] = {
    "hard_stop": hard_stop,
    "steps": steps,
    "always_small": always_small,
    "offline_predicted": offline_predicted,
    "offline_true": offline_true,
}
