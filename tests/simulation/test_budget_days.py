"""
Whole days in virtual time: a small sample of the budget days, and simulated traffic at three loads.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import budget_days
from benchmarks.budget_days import Bench, made_bench
from benchmarks.days_baselines import BASELINES
from benchmarks.pacing import measure

DATA = Path(__file__).parents[2] / "benchmarks" / "data"


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Three days of a tenth of the prompts; the first is history."""
    outcomes = DATA / "budget_days_outcomes.csv.gz"
    return made_bench(DATA / "budget_days_requests.csv.gz", outcomes, outcomes, "opus5")


def kept(bench: Bench, day: int, right: int) -> float:
    """Right answers per right answer of the large model alone."""
    return right / sum(call.right[0] for call in bench.days[day])


@pytest.mark.parametrize(("fraction", "quality"), [(0.3, 0.92), (0.5, 0.95), (0.7, 0.965)])
def test_a_budget_day_keeps_its_quality_and_its_money(bench: Bench, fraction: float, quality: float) -> None:
    """Everything is served, nothing is overspent, and more is right than from the small model alone."""
    for day in bench.befores:
        made = bench.run(day, fraction)
        small = BASELINES["always_small"](bench.days[day], bench.budget(day, fraction))
        assert made.overspend_nanos == 0
        assert made.tally.served >= 0.995 * len(bench.days[day])
        assert made.tally.right >= small.right
        assert kept(bench, day, made.tally.right) >= quality
        assert made.changes <= 20


def test_sixty_four_callers_at_once_do_not_overspend(bench: Bench) -> None:
    """With holds of 64 calls always outstanding, the day still ends within its money, and all are served."""
    made = bench.run(1, 0.3, callers=64)
    assert made.overspend_nanos == 0
    assert made.tally.served >= 0.995 * len(bench.days[1])


def test_predictions_are_worth_at_least_half_of_what_they_could_be(bench: Bench) -> None:
    """At half of the money the router is nearer to the limit of its predictions than to blind pacing."""
    for day in bench.befores:
        budget = bench.budget(day, 0.5)
        blind = bench.run(day, 0.5, predicts=False).tally.right
        limit = BASELINES["offline_predicted"](bench.days[day], budget).right
        assert bench.run(day, 0.5).tally.right >= (blind + limit) / 2


def test_processes_change_nothing_but_the_time(bench: Bench) -> None:
    """One process and two print the same, but for how long decisions took."""

    one_day = replace(bench, befores={1: bench.befores[1]})

    def told(workers: int) -> str:
        found = json.dumps(budget_days.measure(one_day, [0.5], 8, workers))
        return re.sub(r'"decision_p99_ms": [0-9.]+', "", found)

    assert told(1) == told(2)


@pytest.mark.parametrize("load", [1.0, 2.5])
def test_simulated_days_reach_the_goals_of_pacing(load: float) -> None:
    """With history and without: none refused, few changes, no overspend, the top tier where money lasts."""
    assert measure(1, (load,))["ok"]
