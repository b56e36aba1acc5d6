"""
How the books would differ: what another policy would have spent and held by an instant, less what was.

Only differences are kept. What is recorded with a decision holds everything else that happened (top-ups,
expired credits, raised budgets, calls of other processes), so books that do not differ are the recorded ones
to the last nano-USD, however many calls were in flight.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from router.types import Budget, Headroom

DAY: Final = "tenant/day"
_CREDIT: Final = "credit"
_TIDY_EVERY: Final = 4_096
_Key = tuple[str, str, int | None]


@dataclass(slots=True)
class Gap:
    """
    The difference in one window or in the credits, as charge: then less now.
    """

    spent: int = 0
    held: int = 0
    expected: int = 0

    def add(self, spent: int, held: int, expected: int) -> None:
        """
        Widen or narrow the gap.
        """
        self.spent += spent
        self.held += held
        self.expected += expected

    @property
    def is_none(self) -> bool:
        """
        Tell whether both books agree.
        """
        return self.spent == 0 and self.held == 0 and self.expected == 0


@dataclass(frozen=True, slots=True)
class Move:
    """
    What a call does to the books, then less now: held while it runs, spent once it has ended.
    """

    held: int
    expected: int
    spent: int


class Books:
    """
    The differences of all tenants.
    """

    def __init__(self) -> None:
        self._gaps: dict[_Key, Gap] = {}
        self._running: list[tuple[int, int, tuple[_Key, ...], Move]] = []
        self._count = 0

    def advance(self, at_us: int) -> None:
        """
        Let time pass: calls that have ended are settled, windows that have ended are forgotten.
        """
        while self._running and self._running[0][0] <= at_us:
            _, _, keys, move = heapq.heappop(self._running)
            self._widen(keys, move.spent, -move.held, -move.expected)
        self._count += 1
        if self._count % _TIDY_EVERY == 0:
            ended = [key for key in self._gaps if key[2] is not None and key[2] <= at_us]
            for key in ended:
                del self._gaps[key]

    def run(self, tenant: str, headroom: Headroom, move: Move, until_us: int) -> None:
        """
        Let a call run that differs, until it ends.
        """
        keys = tuple(_keys(tenant, headroom))
        self._widen(keys, 0, move.held, move.expected)
        self._count += 1
        heapq.heappush(self._running, (until_us, self._count, keys, move))

    def headroom(self, tenant: str, now: Headroom) -> Headroom:
        """
        Give the money around a call as it would be; the very same value where nothing differs.
        """
        gaps = [self._gaps.get(key) for key in _keys(tenant, now)]
        if all(gap is None or gap.is_none for gap in gaps):
            return now
        credit, *others = gaps
        budgets = tuple(_moved(budget, gap) for budget, gap in zip(now.budgets, others, strict=True))
        if credit is None:
            return replace(now, budgets=budgets)
        return replace(
            now,
            budgets=budgets,
            credit_available_nanos=_less(now.credit_available_nanos, credit.spent + credit.held),
            credit_expected_nanos=_less(now.credit_expected_nanos, credit.spent + credit.expected),
        )

    def _widen(self, keys: tuple[_Key, ...], spent: int, held: int, expected: int) -> None:
        for key in keys:
            self._gaps.setdefault(key, Gap()).add(spent, held, expected)


def with_day_limit(headroom: Headroom, limit_nanos: int | None) -> Headroom:
    """
    Set the limit of the tenant's day; the very same value where it is that already.
    """
    if all(one.limit_nanos == limit_nanos for one in headroom.budgets if one.name == DAY):
        return headroom
    budgets = (replace(one, limit_nanos=limit_nanos) if one.name == DAY else one for one in headroom.budgets)
    return replace(headroom, budgets=tuple(budgets))


def _keys(tenant: str, headroom: Headroom) -> Iterator[_Key]:
    """Name the credits, then every window that a call counts in; a window is known by its end."""
    yield tenant, _CREDIT, None
    for budget in headroom.budgets:
        yield tenant, budget.name, budget.resets_us


def _moved(budget: Budget, gap: Gap | None) -> Budget:
    if gap is None or gap.is_none:
        return budget
    return replace(
        budget,
        spent_nanos=max(0, budget.spent_nanos + gap.spent),
        held_nanos=max(0, budget.held_nanos + gap.held),
        expected_held_nanos=max(0, budget.expected_held_nanos + gap.expected),
    )


def _less(nanos: int | None, taken: int) -> int | None:
    return None if nanos is None else nanos - taken
