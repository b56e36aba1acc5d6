"""
Who judges a clock, and what passes: pure but for the fakes.
"""

import dataclasses
from typing import Any, cast

import pytest
from sqlalchemy import Engine

from ledger.clocks import AHEAD_MAX_US, READ_EVERY_US, ClockCheck, passed_us
from ledger.errors import ClockAhead
from ledger.tickets import Item
from ledger.types import Note, Operation, Release, Renew, Reserve, Settle, Sweep, TopUp

NOW = 1_790_000_000_000_000
DAY = 86_400_000_000


@dataclasses.dataclass
class Fake:
    """A machine and a database with a clock each, and what passes for both."""

    name: str
    machine_us: int = NOW
    database_us: int = NOW
    passed: int = 5_000_000
    asked: int = 0

    @property
    def dialect(self) -> "Fake":
        """An engine's dialect has a name."""
        return self

    def check(self) -> ClockCheck:
        """Begin to check."""
        return ClockCheck(cast("Engine", self), lambda: self.machine_us, lambda: self.passed)

    def ask(self, _text: str) -> int:
        """Read the database's clock."""
        self.asked += 1
        return self.database_us

    def wait(self, us: int) -> None:
        """Let time pass for all."""
        self.machine_us, self.database_us, self.passed = (
            self.machine_us + us,
            self.database_us + us,
            self.passed + us,
        )


@pytest.fixture(params=["postgresql", "sqlite"])
def world(request: pytest.FixtureRequest) -> Fake:
    """Once with a database that has a clock, once without."""
    return Fake(request.param)


@pytest.mark.parametrize(("ahead_us", "leaps"), [(AHEAD_MAX_US, False), (AHEAD_MAX_US + 1, True)])
def test_an_instant_may_be_a_minute_ahead(world: Fake, ahead_us: int, leaps: bool) -> None:
    """
    A skew of seconds between machines passes; more than a minute does not.
    """
    check = world.check()
    assert check.leaps(NOW + ahead_us, world.ask) is leaps
    assert not check.leaps(NOW - DAY, world.ask)


def test_time_that_passes_is_no_leap(world: Fake) -> None:
    """
    After a night without a call, sleep included, the morning's instants pass.
    """
    check = world.check()
    assert not check.leaps(NOW, world.ask)
    world.wait(DAY)
    assert not check.leaps(world.machine_us, world.ask)
    assert check.true_us() == NOW + DAY


def test_the_database_is_asked_once_a_minute() -> None:
    """
    A hundred looks in a minute cost one question; a leap is never said without asking.
    """
    world = Fake("postgresql")
    check = world.check()
    for _ in range(100):
        world.wait(READ_EVERY_US // 101)
        assert not check.leaps(world.machine_us, world.ask)
    assert world.asked == 1
    assert check.leaps(world.machine_us + DAY, world.ask)
    assert world.asked == 2
    world.wait(READ_EVERY_US)
    assert not check.leaps(world.machine_us, world.ask)
    assert world.asked == 3


def test_a_machine_that_was_paused_is_believed_by_the_database() -> None:
    """
    A paused virtual machine counts no time, so that its clock seems to leap: the database knows better.
    """
    world = Fake("postgresql")
    check = world.check()
    assert not check.leaps(NOW, world.ask)
    world.machine_us = world.database_us = NOW + DAY
    assert not check.leaps(NOW + DAY, world.ask)


def test_a_leap_on_one_machine_lasts_until_the_clock_is_back_or_a_restart() -> None:
    """
    Without another clock, the one that leapt is believed by nobody but a new process.
    """
    world = Fake("sqlite")
    check = world.check()
    world.machine_us += DAY
    for _ in range(3):
        world.wait(READ_EVERY_US)
        assert check.leaps(world.machine_us, world.ask)
    assert not world.check().leaps(world.machine_us, world.ask)
    world.machine_us -= DAY
    assert not check.leaps(world.machine_us, world.ask)


def test_small_steps_of_the_machine_are_followed() -> None:
    """
    A clock that is set right by some seconds every minute is never off, though the steps add up to hours.
    """
    world = Fake("sqlite")
    check = world.check()
    for _ in range(200):
        world.wait(READ_EVERY_US)
        world.machine_us += 30_000_000
        assert not check.leaps(world.machine_us, world.ask)


def test_a_step_back_and_forth_is_no_leap() -> None:
    """
    A clock that was an hour behind for a while and comes back is right again.
    """
    world = Fake("sqlite")
    check = world.check()
    for step_us in (-3_600_000_000, 3_600_000_000):
        world.machine_us += step_us
        world.wait(READ_EVERY_US)
        assert not check.leaps(world.machine_us, world.ask)


def _operations(now_us: int) -> list[Operation]:
    head: dict[str, Any] = {"tenant": "acme", "now_us": now_us}
    return [
        Settle(**head, key="1", hold_id="h", cost_nanos=5),
        Release(**head, key="2", hold_id="h", why="not sent"),
        Renew(**head, key="3", hold_id="h", ttl_us=9),
        TopUp(**head, key="4", amount_nanos=5),
        Sweep(**head, key="5"),
        Note(**head, key="6"),
        Reserve(**head, key="7", hold_id="i", offers=(), ttl_us=9),
    ]


def test_a_true_cost_is_never_refused(world: Fake) -> None:
    """
    What closes or renews a hold goes on at the judge's instant; the rest has an error that names both clocks;
    an operation of another machine in the same batch passes as it is.
    """
    honest = Item(_operations(NOW)[-1], ())
    leaping = [Item(op, ()) for op in _operations(NOW + DAY)]
    kept = world.check().timely([*leaping, honest], world.ask)
    assert [(type(item.op), item.op.now_us) for item in kept] == [
        (Settle, NOW), (Release, NOW), (Renew, NOW), (Reserve, NOW),
    ]  # fmt: skip
    errors = [item.error for item in leaping[3:]]
    assert all(isinstance(error, ClockAhead) for error in errors)
    assert all(item.error is None for item in kept)
    assert "2026-09-22T14:13:20+00:00" in str(errors[0])
    assert "2026-09-21T14:13:20+00:00" in str(errors[0])


def test_what_may_be_written_already_is_not_refused(world: Fake) -> None:
    """
    An operation whose COMMIT went unanswered is looked up by its key, whatever the clocks say now.
    """
    item = Item(_operations(NOW + DAY)[-1], (), ambiguous=True)
    assert list(world.check().timely([item], world.ask)) == [item]


def test_what_passed_is_counted_in_microseconds() -> None:
    """
    The clock between readings only goes forwards.
    """
    first = passed_us()
    assert 0 <= passed_us() - first < 10_000_000
