"""
The working copy on which the rules compute: one tenant's rows, and what was changed.

A batch loads these rows under the lock of the account (or has them from the batch before: `ledger.kept`), the
rules change them in place, and the store writes what `Changes` names; nothing here is shared between threads.
"""

from dataclasses import dataclass, field, fields
from heapq import heappop, heappush
from typing import Final

from ledger.rows import (
    NEVER_US,
    OPEN,
    Account,
    Budget,
    Draw,
    Hold,
    HoldWindow,
    Lot,
    Op,
    Setting,
    Transfer,
    Window,
)
from ledger.types import HoldEvent


@dataclass(slots=True)
class Changes:
    """
    Rows that the rules made or changed, by primary key, for the store to write.
    """

    account: bool = False
    lots: dict[str, Lot] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    windows: dict[tuple[str, int], Window] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    hold_windows: dict[tuple[str, str, int], HoldWindow] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    ops: dict[str, Op] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)
    events: list[HoldEvent] = field(default_factory=list)

    def clear(self) -> None:
        """
        Forget all: it was written.
        """
        self.account = False
        for name in _CONTAINERS:
            rows = getattr(self, name)
            if rows:
                rows.clear()


_DUE_SPARE: Final = 64
_PART_CHARS: Final = 256
_CONTAINERS: Final = tuple(one.name for one in fields(Changes) if one.name != "account")


def _chars(hold: Hold) -> int:
    """
    Count what an open hold has in texts of any length.
    """
    return len(hold.plan) + len(hold.scopes)


@dataclass(slots=True)
class Books:
    """
    One tenant's rows as far as a batch needs them, and what was changed.

    `windows` has, by budget, the rows that have not ended and those of the loaded holds. `due` is a heap of
    the instants at which loaded holds expire, with some that no longer matter; before `others_due_us` no hold
    expires that is not loaded, before `lots_due_us` no loaded lot takes effect or ends, before
    `windows_due_us` no loaded window ends. The end of the journal of settings is loaded for orders, which may
    write to it, and for nothing else. `scopes` are those of which the budgets are loaded, with those of every
    loaded hold; None is all. `chars` is about what the loaded holds take beside their rows: texts of any
    length, and parts.
    """

    tenant: str
    account: Account | None = None
    lots: dict[str, Lot] = field(default_factory=dict)
    budgets: dict[tuple[str, int], Budget] = field(default_factory=dict)
    windows: dict[str, dict[int, Window]] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    holds_by_key: dict[str, Hold] = field(default_factory=dict)
    hold_windows: dict[str, list[HoldWindow]] = field(default_factory=dict)
    draws: dict[str, list[Draw]] = field(default_factory=dict)
    ops: dict[str, Op] = field(default_factory=dict)
    due: list[tuple[int, str]] = field(default_factory=list)
    others_due_us: int = NEVER_US
    lots_due_us: int = NEVER_US
    windows_due_us: int = NEVER_US
    settings_n: int = 0
    settings_head: str = ""
    scopes: set[str] | None = None
    chars: int = 0
    changes: Changes = field(default_factory=Changes)

    def add_lot(self, lot: Lot) -> None:
        """
        Make a lot known.
        """
        self.lots[lot.id] = lot
        self.lots_due_us = min(self.lots_due_us, lot.due_us)

    def add_window(self, window: Window) -> None:
        """
        Make a window known; one that is already stays as it is.
        """
        self.windows.setdefault(window.budget_id, {}).setdefault(window.starts_at, window)
        self.windows_due_us = min(self.windows_due_us, window.ends_at)

    def add_hold(self, hold: Hold) -> None:
        """
        Make a hold known by id and by key.
        """
        self.holds[hold.id] = hold
        self.holds_by_key[hold.op_key] = hold
        self.hold_windows[hold.id] = []
        self.chars += _chars(hold)
        if hold.state == OPEN:
            self.watch(hold)

    def add_part(self, part: HoldWindow) -> None:
        """
        Make a part of a known hold known.
        """
        self.hold_windows[part.hold_id].append(part)
        self.chars += _PART_CHARS

    def watch(self, hold: Hold) -> None:
        """
        Note when an open hold expires, also when that has changed.
        """
        if len(self.due) > 2 * len(self.holds) + _DUE_SPARE:
            still_open = (one for one in self.holds.values() if one.state == OPEN)
            self.due = sorted((one.expires_at, one.id) for one in still_open)
        heappush(self.due, (hold.expires_at, hold.id))

    def take_due(self, now_us: int) -> list[Hold]:
        """
        Return the loaded holds that have expired, the first to expire first; they are noted no more.
        """
        found: dict[str, Hold] = {}
        while self.due and self.due[0][0] <= now_us:
            hold = self._expiring(*heappop(self.due))
            if hold is not None:
                found[hold.id] = hold
        return list(found.values())

    def _expiring(self, at_us: int, hold_id: str) -> Hold | None:
        """
        Return the hold that a note is about, unless it was closed, renewed or dropped since.
        """
        hold = self.holds.get(hold_id)
        return hold if hold is not None and hold.state == OPEN and hold.expires_at == at_us else None

    def drop_hold(self, hold: Hold) -> None:
        """
        Make a hold unknown.
        """
        if self.holds.pop(hold.id, None) is None:
            return
        self.holds_by_key.pop(hold.op_key, None)
        self.chars -= _chars(hold) + _PART_CHARS * len(self.hold_windows.pop(hold.id))

    def none_due(self, now_us: int) -> bool:
        """
        Tell whether no hold, loaded or not, expires until an instant.
        """
        while self.due and self.due[0][0] <= now_us:
            if self._expiring(*self.due[0]) is not None:
                return False
            heappop(self.due)
        return now_us < self.others_due_us

    def knows(self, scope: str) -> bool:
        """
        Tell whether all budgets of a scope are loaded, if it has any.
        """
        return self.scopes is None or scope in self.scopes

    def window(self, budget_id: str, starts_at: int) -> Window:
        """
        Return a window that a loaded hold counts in.
        """
        return self.windows[budget_id][starts_at]
