"""
Days of simulated traffic under pacing without predictions: three tiers, three loads, curve known and not.

    python -m benchmarks.pacing [--seeds 12] [--json]

4,000 calls a day, most of them at 15 h (a sine), costs log-normal with sigma 1, tiers at 1 / 0.6 / 0.2 of the
largest one's price. Load is the day's cost on the largest tier, per budget. `known` has two weeks of
history with the same curve, `new` none at all. Goals: refused at most 0.5 %, at most 20 changes of tier a
day, never more than the budget spent, and at load 1.0 at least 70 % from the top tier. Through the real
router and the real core of the ledger.
"""

import argparse
import json
import random
from collections.abc import Sequence
from math import pi, sin
from typing import Any, Final

from benchmarks.days_books import Sums
from benchmarks.days_data import Call, cost_nanos, day_start_us
from benchmarks.days_router import Day, DayRun
from benchmarks.inputs import count
from outlay.demand import Past, past
from pricing.load import load_prices
from pricing.table import PriceTable
from router.policy import Policy, load_policy

MODELS: Final = ("claude-opus-5", "claude-sonnet-4-5", "claude-haiku-4-5")
POLICY: Final = f"""
[tiers.large]
models = ["{MODELS[0]}"]
[tiers.medium]
models = ["{MODELS[1]}"]
[tiers.small]
models = ["{MODELS[2]}"]
[routing]
default_tier = "large"
[degradation]
mode = "pace"
"""
LOADS: Final = (1.0, 1.5, 2.5)
CALLS: Final = 4_000
PEAK_H: Final = 15
HISTORY_DAYS: Final = 14
DAY_S: Final = 86_400


def day_of(number: int, seed: int, prices: PriceTable) -> list[Call]:
    """
    Draw the calls of a day.
    """
    draw = random.Random(seed * 1_000 + number)
    start_us = day_start_us(number)
    times: list[int] = []
    while len(times) < CALLS:
        at_s = draw.random() * DAY_S
        if draw.random() * 1.8 < 1 + 0.8 * sin(2 * pi * (at_s / 3_600 - PEAK_H + 6) / 24):
            times.append(start_us + int(at_s * 1_000_000))
    return [_call(at_us, draw, prices) for at_us in sorted(times)]


def _call(at_us: int, draw: random.Random, prices: PriceTable) -> Call:
    output_tokens = max(1, min(60_000, round(200 * draw.lognormvariate(0, 1))))
    tokens = 4 * output_tokens, output_tokens
    return Call(
        at_us=at_us,
        tenant="t",
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        gain=0.0,
        right=(1, 1, 1),
        nanos=tuple(cost_nanos(model, prices, at_us, *tokens) for model in MODELS),
    )


def history(seed: int, prices: PriceTable) -> Past:
    """
    Draw the two weeks before, and learn from them.
    """
    sums = Sums()
    for number in range(HISTORY_DAYS):
        for call in day_of(number, seed, prices):
            sums.add(call.at_us, call.nanos[0], call.nanos[-1], call.nanos[0])
    return past(sums.demand(), "UTC", day_start_us(HISTORY_DAYS))


def row(calls: Sequence[Call], budget: int, made: Day) -> dict[str, float]:
    """
    Say what became of a day.
    """
    return {
        "refused": 1 - made.tally.served / len(calls),
        "flips": made.changes,
        "spent": made.tally.spent_nanos / budget,
        "top_share": made.by_tier[0] / len(calls),
        "medium_share": made.by_tier[1] / len(calls),
        "small_share": made.by_tier[2] / len(calls),
    }


def measure(seeds: int, loads: Sequence[float] = LOADS) -> dict[str, Any]:
    """
    Run every load with and without history, over the seeds.
    """
    prices, policy = load_prices(), load_policy(POLICY)
    days = {seed: day_of(HISTORY_DAYS, seed, prices) for seed in range(seeds)}
    knowns = {seed: history(seed, prices) for seed in range(seeds)}
    blank = past((), "UTC", day_start_us(HISTORY_DAYS))
    rows = []
    for load in loads:
        for curve in ("known", "new"):
            befores = {seed: knowns[seed] if curve == "known" else blank for seed in days}
            made = [_one(days[seed], load, befores[seed], policy, prices) for seed in days]
            rows.append({"load": load, "curve": curve, **_summary(made)})
    return {"rows": rows, "seeds": seeds, "ok": all(_reached(found) for found in rows)}


def _one(
    calls: Sequence[Call], load: float, before: Past, policy: Policy, prices: PriceTable
) -> dict[str, float]:
    budget = int(sum(call.nanos[0] for call in calls) / load)
    run = DayRun(policy, prices, budget, day_start_us(HISTORY_DAYS), before, predicts=False)
    return row(calls, budget, run.run(calls))


def _summary(made: Sequence[dict[str, float]]) -> dict[str, float]:
    """Take the mean of the seeds, and of what has a limit the worst."""
    found = {name: round(sum(one[name] for one in made) / len(made), 4) for name in made[0]}
    return {
        **found,
        "worst_refused": round(max(one["refused"] for one in made), 4),
        "most_flips": max(one["flips"] for one in made),
        "most_spent": round(max(one["spent"] for one in made), 4),
    }


def _reached(found: dict[str, Any]) -> bool:
    fine = found["refused"] <= 0.005 and found["most_flips"] <= 20 and found["most_spent"] <= 1.0
    return bool(fine and (found["load"] > 1.0 or found["top_share"] >= 0.70))


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=count, default=12, help="days of each kind, 12 unless told")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args(arguments)
    found = measure(told.seeds)
    if told.json:
        print(json.dumps(found))
        return
    for line in found["rows"]:
        print(line)
    print("goals reached" if found["ok"] else "goals NOT reached")


if __name__ == "__main__":
    main()
