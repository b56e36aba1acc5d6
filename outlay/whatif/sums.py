"""
What a preview adds up: calls, spending, downgrades, raised calls, refusals; now and then, by tenant and task.

Bounded: names of tasks come from callers, so beyond a number of them the rest is one line. Of calls that are
changed the ids are kept, as their attempts are counted once: at most as many as decisions are looked at.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from outlay.whatif.recorded import Recorded, Served, Then

TASKS_MAX: Final = 200
OTHERS: Final = "(others)"

Ranks = Mapping[str, int]
"""The place of each tier of a policy, 0 for the highest."""


@dataclass(slots=True)
class Sum:
    """
    One line, now and then; money as cost in nano-USD.

    Attributes:
        calls: Without the further attempts of the same call, whose money counts all the same.
        raised_now, raised_then: Calls that were served above the tier asked for, as by their session's.
        changed: Calls of which an attempt goes otherwise.
        estimated_nanos: Part of the spending then that no recorded usage backs.
        over: Calls that would have cost more than their bound.
    """

    calls: int = 0
    spend_now: int = 0
    spend_then: int = 0
    downgrades_now: int = 0
    downgrades_then: int = 0
    raised_now: int = 0
    raised_then: int = 0
    refusals_now: int = 0
    refusals_then: int = 0
    changed: int = 0
    estimated_nanos: int = 0
    over: int = 0

    def add(self, past: Recorded, then: Then, ranks_now: Ranks, ranks_then: Ranks) -> None:
        """
        Add one decision; its caller counts what is changed.
        """
        first = past.is_first
        below_now, above_now = _moved(past.served, past.row["asked_tier"], ranks_now)
        below_then, above_then = _moved(then.served, then.asked_tier, ranks_then)
        self.calls += first
        self.spend_now += past.booked_nanos
        self.spend_then += then.cost_nanos
        self.estimated_nanos += then.cost_nanos if then.estimated else 0
        self.downgrades_now += first and below_now
        self.downgrades_then += first and below_then
        self.raised_now += first and above_now
        self.raised_then += first and above_then
        self.refusals_now += first and past.served is None
        self.refusals_then += first and then.served is None
        self.over += then.over


@dataclass(slots=True)
class Sums:
    """
    All lines of a preview.

    Attributes:
        codes_now, codes_then: Refused calls by tenant and code.
        kinds: Changed calls by what changed first.
    """

    total: Sum = field(default_factory=Sum)
    tenants: dict[str, Sum] = field(default_factory=dict)
    tasks: dict[str, dict[str, Sum]] = field(default_factory=dict)
    codes_now: "dict[str, Counter[str]]" = field(default_factory=dict)
    codes_then: "dict[str, Counter[str]]" = field(default_factory=dict)
    kinds: "Counter[str]" = field(default_factory=Counter)
    _changed: set[str] = field(default_factory=set)

    def add(self, past: Recorded, then: Then, ranks_now: Ranks, ranks_then: Ranks) -> bool:
        """
        Add one decision to every line that it belongs to.

        Args:
            ranks_now, ranks_then: Of the policy that it was made by, and of the one that is previewed.
        Returns:
            Whether its call goes otherwise, and did not by an earlier attempt.
        """
        tenant, kind = past.tenant, kind_of(past, then)
        changed = kind is not None and past.call not in self._changed
        for one in (self.total, self.tenants.setdefault(tenant, Sum()), self._task(past)):
            one.add(past, then, ranks_now, ranks_then)
            one.changed += changed
        if past.is_first and past.served is None:
            self.codes_now.setdefault(tenant, Counter())[str(past.row["code"])] += 1
        if past.is_first and then.served is None:
            self.codes_then.setdefault(tenant, Counter())[str(then.code)] += 1
        if kind is not None and changed:
            self.kinds[kind] += 1
            self._changed.add(past.call)
        return changed

    def _task(self, past: Recorded) -> Sum:
        tasks, task = self.tasks.setdefault(past.tenant, {}), past.row["task"] or ""
        name = task if task in tasks or len(tasks) < TASKS_MAX else OTHERS
        return tasks.setdefault(name, Sum())


def kind_of(past: Recorded, then: Then) -> str | None:
    """
    Name what another policy changes in a call; None where it changes nothing.
    """
    now = past.served
    if now is None or then.served is None:
        if (now is None) == (then.served is None):
            return None
        return "served" if now is None else "refused"
    if now.sent == then.served.sent:
        return None
    if now.model != then.served.model:
        return "model"
    return "effort" if now.effort != then.served.effort else "max_tokens"


def _moved(served: Served | None, asked_tier: str | None, ranks: Ranks) -> tuple[bool, bool]:
    """Tell whether a call was served below the tier asked for, or above; a tier without a place is below."""
    if served is None or served.tier is None or asked_tier is None or served.tier == asked_tier:
        return False, False
    above = ranks.get(served.tier, len(ranks)) < ranks.get(asked_tier, -1)
    return not above, above
