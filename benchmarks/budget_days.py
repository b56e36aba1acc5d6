"""
One shared budget per day, spent by the real router over the real core of the ledger, in virtual time.

    python -m benchmarks.budget_days --requests DAYS.csv.gz --outcomes OUTCOMES.csv.gz --train OUTCOMES.csv.gz
        --fractions 0.3,0.5,0.7 [--prices opus5|opus55] [--callers 64] [--json]

The budget of a day is a fraction of what the large model alone would have cost on it. The days before it are
only history; the first day of the file is nothing but history. Predictions come from a classifier trained on
prompts that neither the days ask nor split `eval` of the outcomes. Quality kept is the right answers per
right answer of the large model alone; a call that is refused is wrong. `concurrent` is the busiest day again,
with so many calls always in flight. The runs are shared among processes, which changes nothing but the time.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.days_baselines import BASELINES, Tally
from benchmarks.days_books import Sums
from benchmarks.days_data import Call, day_start_us, read_days
from benchmarks.days_router import Day, DayRun
from benchmarks.inputs import PRICE_SETS, count, refusals, shares
from outlay.demand import Past, WorthRow, past
from pricing.load import load_prices
from pricing.money import format_usd
from pricing.table import PriceTable
from router.policy import Policy, load_policy

POLICY: Final = """
[tiers.large]
models = ["{large}"]
[tiers.small]
models = ["{small}"]
[routing]
default_tier = "large"
[degradation]
mode = "pace"
"""


@dataclass(frozen=True, slots=True)
class Before:
    """
    What the days before a day say of it.
    """

    past: Past
    worth: Sequence[WorthRow]


def before(days: Mapping[int, Sequence[Call]], day: int) -> Before:
    """
    Sum up the days before a day as the shell's tables would have.
    """
    sums = Sums()
    for calls in (calls for other, calls in days.items() if other < day):
        for call in calls:
            sums.add(call.at_us, call.nanos[0], call.nanos[-1], call.nanos[0])
            sums.upgrade(call.at_us, call.gain, call.nanos[0] - call.nanos[-1])
    return Before(past(sums.demand(), "UTC", day_start_us(day)), sums.worth())


@dataclass(frozen=True, slots=True)
class Bench:
    """
    All that the runs share.
    """

    days: Mapping[int, Sequence[Call]]
    policy: Policy
    prices: PriceTable
    befores: Mapping[int, Before]

    def run(self, day: int, fraction: float, *, predicts: bool = True, callers: int | None = None) -> Day:
        """
        Spend a fraction of a day's cost through the router.
        """
        known = self.befores[day]
        run = DayRun(
            self.policy,
            self.prices,
            self.budget(day, fraction),
            day_start_us(day),
            known.past,
            known.worth if predicts else (),
            predicts=predicts,
            callers=callers,
        )
        return run.run(self.days[day])

    def budget(self, day: int, fraction: float) -> int:
        """
        Give the money of a day.
        """
        return int(fraction * sum(call.nanos[0] for call in self.days[day]))

    def measures(self, day: int, fraction: float, tally: Tally) -> dict[str, Any]:
        """
        Put what became of a day in relation to what was asked, and to its money.
        """
        calls, budget = self.days[day], self.budget(day, fraction)
        return {
            "quality_kept": round(tally.right / max(1, sum(call.right[0] for call in calls)), 4),
            "served": round(tally.served / len(calls), 5),
            "spent_usd": format_usd(tally.spent_nanos),
            "spent_ratio": round(tally.spent_nanos / max(1, budget), 4),
        }


@dataclass(frozen=True, slots=True)
class Run:
    """
    One day at one fraction of its cost, as `Bench.run` takes it.
    """

    day: int
    fraction: float
    predicts: bool = True
    callers: int | None = None


def measure(bench: Bench, fractions: Sequence[float], callers: int, workers: int = 1) -> dict[str, Any]:
    """
    Run every day at every fraction, and the rules beside it.
    """
    busiest = max(bench.befores, key=lambda day: len(bench.days[day]))
    pairs = [(day, fraction) for fraction in fractions for day in bench.befores]
    runs = [
        *(Run(busiest, fraction, callers=callers) for fraction in fractions),
        *(Run(*pair, predicts) for pair in pairs for predicts in (True, False)),
    ]
    made = {}
    with _shared(bench, workers) as share:
        for run, row in zip(runs, share(runs), strict=True):
            made[run] = row
            print(f"{len(made)} of {len(runs)}: {run} {row}", file=sys.stderr)
    rows = [{"fraction": fraction, "day": day, **made[Run(day, fraction)]} for day, fraction in pairs]
    beside = {name: [_beside(bench, name, *pair) for pair in pairs] for name in BASELINES}
    beside["blind_pacing"] = [
        {"fraction": fraction, "day": day, **made[Run(day, fraction, predicts=False)]}
        for day, fraction in pairs
    ]
    crowds = {
        fraction: {"callers": callers, **made[Run(busiest, fraction, callers=callers)]}
        for fraction in fractions
    }
    return {
        "overall": [
            {"fraction": fraction, **_overall(_at(fraction, rows)), "concurrent": crowds[fraction]}
            for fraction in fractions
        ],
        "days": rows,
        "baselines": {name: _by_fraction(found, fractions) for name, found in beside.items()},
        "baseline_days": beside,
    }


@contextmanager
def _shared(bench: Bench, workers: int) -> Iterator[Any]:
    """Give the function that carries out runs in their order, by this process or by several."""
    _hold(bench)
    if workers == 1:
        yield lambda runs: map(_carry_out, runs)
        return
    with ProcessPoolExecutor(workers, initializer=_hold, initargs=(bench,)) as pool:
        yield lambda runs: pool.map(_carry_out, runs)


_held: list[Bench] = []
"""The bench of this process: too large to be sent with every run."""


def _hold(bench: Bench) -> None:
    _held[:] = [bench]


def _carry_out(run: Run) -> dict[str, Any]:
    bench = _held[0]
    made = bench.run(run.day, run.fraction, predicts=run.predicts, callers=run.callers)
    return {
        **bench.measures(run.day, run.fraction, made.tally),
        "overspend_usd": format_usd(made.overspend_nanos),
        "tier_changes": made.changes,
        "decision_p99_ms": round(made.slowest_ms, 3),
    }


def _beside(bench: Bench, name: str, day: int, fraction: float) -> dict[str, Any]:
    tally = BASELINES[name](bench.days[day], bench.budget(day, fraction))
    return {"fraction": fraction, "day": day, **bench.measures(day, fraction, tally)}


def _at(fraction: float, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["fraction"] == fraction]


def _overall(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Take the mean day, and say how the worst one did."""
    return {
        "quality_kept": round(_mean(rows, "quality_kept"), 4),
        "served": round(_mean(rows, "served"), 5),
        "overspend_usd": max((row["overspend_usd"] for row in rows), key=float),
        "worst_day": min(row["quality_kept"] for row in rows),
        "worst_served": min(row["served"] for row in rows),
        "spent_ratio": round(_mean(rows, "spent_ratio"), 4),
        "tier_changes": max(row["tier_changes"] for row in rows),
        "decision_p99_ms": max(row["decision_p99_ms"] for row in rows),
    }


def _by_fraction(rows: Sequence[Mapping[str, Any]], fractions: Sequence[float]) -> list[dict[str, Any]]:
    found = []
    for fraction in fractions:
        same = _at(fraction, rows)
        found.append(
            {
                "fraction": fraction,
                "quality_kept": round(_mean(same, "quality_kept"), 4),
                "served": round(_mean(same, "served"), 5),
                "worst_day": min(row["quality_kept"] for row in same),
                "spent_ratio": round(_mean(same, "spent_ratio"), 4),
            }
        )
    return found


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return sum(float(row[name]) for row in rows) / len(rows)


def made_bench(requests: Path, outcomes: Path, training: Path, prices_name: str) -> Bench:
    """
    Read the data; every day but the first is run, or the only one.
    """
    prices, models = load_prices(), PRICE_SETS[prices_name]
    days = read_days(requests, outcomes, training, models, prices)
    policy = load_policy(POLICY.format(large=models[0], small=models[1]))
    chosen = list(days)[1:] or list(days)
    return Bench(days, policy, prices, {day: before(days, day) for day in chosen})


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=Path, required=True, help="columns of tenant_days.csv.gz")
    parser.add_argument("--outcomes", type=Path, required=True, help="columns of routellm_outcomes.csv.gz")
    parser.add_argument("--train", type=Path, required=True, help="likewise; may be the same file")
    parser.add_argument("--fractions", type=shares, default=[0.3, 0.5, 0.7], help="0.3,0.5,0.7 unless told")
    parser.add_argument("--prices", choices=sorted(PRICE_SETS), default="opus5")
    parser.add_argument("--callers", type=count, default=64, help="64 unless told")
    parser.add_argument("--workers", type=count, default=os.cpu_count() or 1, help="one per core unless told")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args(arguments)
    with refusals(parser):
        bench = made_bench(told.requests, told.outcomes, told.train, told.prices)
    found = {
        "prices": told.prices,
        "models": PRICE_SETS[told.prices],
        **measure(bench, told.fractions, told.callers, told.workers),
    }
    if told.json:
        print(json.dumps(found))
        return
    print(f"{platform.machine()}, Python {platform.python_version()}, prices {told.prices}")
    for row in found["overall"]:
        print(row)
    for name, rows in found["baselines"].items():
        for row in rows:
            print(f"{name:18}", row)


if __name__ == "__main__":
    main()
