"""
The router's words for what one reading of the database said.
"""

import pytest

from circuit.rules import Rules
from circuit.types import Snapshot
from ledger.types import Gauge
from outlay import views
from outlay.views import SessionMemory, View
from router.policy import default_policy_text, load_policy
from router.types import Cache

T0 = 1_763_700_000_000_000
CALM = Snapshot(breakers={}, spend={}, calls={}, switches={}, read_us=T0)


def gauge(name: str, limit: int | None, spent: int = 0, held: int = 0, expected: int = 0) -> Gauge:
    """A gauge with its numbers in the order limit, spent, held, expected."""
    return Gauge(name, name, "day", limit, spent, held, expected, 0, T0, T0 + 1)


def view(*gauges: Gauge, full: int | None = None, ppm: int = 1_000_000) -> View:
    """A view with gauges."""
    return View(
        policy=load_policy(default_policy_text()),
        policy_tenant="*",
        policy_version=0,
        rules=Rules(None, None, None),
        snapshot=CALM,
        known=True,
        gauges=gauges,
        credit_full_nanos=full,
        multiplier_ppm=ppm,
    )


def test_credit_and_budgets_become_headroom() -> None:
    """Credit counts what is held at its worst and at its expectation; a budget keeps its own numbers."""
    room = views.headroom(
        view(gauge("credit", 100, 0, 30, 10), gauge("tenant/day", 50, 5, 4, 3), full=300, ppm=2_000_000)
    )
    assert (room.credit_available_nanos, room.credit_expected_nanos) == (70, 90)
    assert (room.credit_full_nanos, room.multiplier_ppm) == (300, 2_000_000)
    (budget,) = room.budgets
    assert (budget.name, budget.limit_nanos, budget.spent_nanos) == ("tenant/day", 50, 5)
    assert (budget.held_nanos, budget.expected_held_nanos, budget.resets_us) == (4, 3, T0 + 1)


def test_no_limit_and_no_money_are_different_things() -> None:
    """None stays None and 0 stays 0: a budget of nothing is not a budget without a limit."""
    room = views.headroom(view(gauge("credit", 0), gauge("tenant/day", 0), gauge("key:k/day", None)))
    assert room.credit_available_nanos == 0
    assert [budget.limit_nanos for budget in room.budgets] == [0, None]
    assert views.headroom(view()).credit_available_nanos is None


@pytest.mark.parametrize(
    ("age_us", "age_s"), [(-1, 0), (0, 0), (1, 1), (300_000_000, 300), (300_000_001, 301)]
)
def test_the_age_of_a_prompt_cache_counts_from_the_last_answer(age_us: int, age_s: int) -> None:
    """Every second that has begun counts, so that a cache is never taken for younger than it is."""
    memory = SessionMemory("m", 900, frozenset({"m"}), T0)
    assert views.cache(memory, T0 + age_us) == Cache("m", 900, age_s)


def test_an_unknown_session_says_nothing_of_its_cache() -> None:
    """Where Outlay has not seen the session, the cache is unknown, not cold."""
    assert views.cache(None, T0) is None


@pytest.mark.parametrize(
    ("usual", "asked", "expected"),
    [
        (7, 1_000, 7),
        (0, 1_000, 0),
        (None, 1_000, 250),
        (None, 3, 0),
        (None, "9", 0),
        (None, True, 0),
        (None, None, 0),
    ],
)
def test_an_answer_is_expected_to_be_like_those_before(
    usual: int | None, asked: object, expected: int
) -> None:
    """History counts, a history of empty answers too; without it a quarter of max_tokens."""
    assert views.expected_output_tokens(usual, asked) == expected


def test_only_enforcement_takes_effect() -> None:
    """The mode of the policy in force decides."""
    assert view().enforced
