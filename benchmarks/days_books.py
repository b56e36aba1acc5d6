"""
Books for days in virtual time: the ledger's pure core without a database, and the sums that pacing lives on.
"""

from dataclasses import dataclass, field
from typing import Final

from ledger import rules
from ledger.books import Books
from ledger.budget import meters
from ledger.rows import OPEN
from ledger.types import Gauge, OpenAccount, Operation, Result
from outlay.demand import DAY_US, DemandRow, WorthRow, quarter_start
from router.worth import bin_of, worth

TENANT: Final = "day"
AMPLE_NANOS: Final = 10**15


@dataclass(slots=True)
class Sums:
    """
    Demand by quarter-hour and worth of upgrades by bin, as the tables of the shell keep them.
    """

    quarters: dict[int, list[int]] = field(default_factory=dict)
    bins: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, at_us: int, asked: int, least: int, cost: int) -> None:
        """
        Count a finished call.
        """
        row = self.quarters.setdefault(quarter_start(at_us), [0, 0, 0, 0])
        for place, amount in enumerate((1, asked, least, cost)):
            row[place] += amount

    def upgrade(self, at_us: int, gain: float, extra: int) -> None:
        """
        Count what the upgrade of a call is worth.
        """
        if extra > 0:
            key = at_us - at_us % DAY_US, bin_of(worth(gain, extra))
            self.bins[key] = self.bins.get(key, 0) + extra

    def demand(self) -> list[DemandRow]:
        """
        Give the rows of the quarter-hours.
        """
        return [DemandRow(start, "large", *row) for start, row in self.quarters.items()]

    def worth(self) -> list[WorthRow]:
        """
        Give the rows of the bins.
        """
        return [WorthRow(day, at, money) for (day, at), money in self.bins.items()]


class BookKeeper:
    """
    One account with one daily budget over the ledger's pure core; closed holds are forgotten, as the writer
    does.
    """

    def __init__(self, budget_nanos: int, now_us: int) -> None:
        """
        Open the account.
        """
        self.books = Books(TENANT)
        self.do(OpenAccount(TENANT, "open", now_us, "UTC", AMPLE_NANOS, budget_nanos))

    def do(self, op: Operation) -> Result:
        """
        Carry out an operation and check what must hold at every commit.
        """
        books = self.books
        outcome = rules.apply(books, op)
        rules.check_books(books)
        for hold in books.changes.holds.values():
            if hold.state != OPEN:
                books.drop_hold(hold)
        books.draws.clear()
        books.ops.clear()
        books.changes.clear()
        return outcome.result

    def gauge(self, now_us: int) -> Gauge:
        """
        Read the budget of the day.
        """
        return next(one.gauge() for one in meters(self.books, (), now_us) if one.window is not None)
