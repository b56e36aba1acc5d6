"""
Days of requests for `benchmarks/budget_days.py`: who asked what at which size, who had been right, and for
how much.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.inputs import ASKED_SPLIT, Outcome, Row, number, read_outcomes, read_table, trainable
from outlay.errors import BadInput
from outlay.learned.train import train
from pricing.money import ceil_div
from pricing.table import PICOS_PER_NANO, PriceTable
from router.learned_read import read_model

FIRST_DAY: Final = datetime(2026, 11, 16, tzinfo=UTC)
"""Day 0 of the data; a Monday."""
COLUMNS: Final = ("day", "t_s", "input_tokens", "output_tokens", "tenant", "prompt_id")


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request of a day.

    Args:
        gain: Predicted P(large right) - P(small right).
        right: Whether each tier is right, 0 or 1, the largest first.
        nanos: What it costs on each tier, by the tokens of the data.
    """

    at_us: int
    tenant: str
    input_tokens: int
    output_tokens: int
    gain: float
    right: tuple[int, ...]
    nanos: tuple[int, ...]


def day_start_us(day: int) -> int:
    """
    Give the first instant of a day of the data.
    """
    return int((FIRST_DAY + timedelta(days=day)).timestamp()) * 1_000_000


def gains(served: Mapping[str, Outcome], outcomes: Sequence[Outcome], training: Path) -> dict[str, float]:
    """
    Predict what the large model gains on each prompt of the days, from prompts that nobody asks: neither the
    days nor split `eval` of their outcomes, so that one file for both teaches by its other splits.
    """
    asking = [*served.values(), *(row for row in outcomes if row.split == ASKED_SPLIT)]
    model = read_model(train([row.example for row in trainable(training, asking)]).weights)
    return {key: model.gain(row.example.prompt, row.example.task_class) for key, row in served.items()}


def read_days(
    requests: Path, outcomes: Path, training: Path, models: tuple[str, str], prices: PriceTable
) -> dict[int, list[Call]]:
    """
    Read the days, each in the order of time.

    Raises:
        BadInput: A file cannot be used, or a request asks a prompt of unknown outcome.
    """
    asked, answered = read_table(requests, COLUMNS), read_outcomes(outcomes, "prompt_id")
    answers = {row.prompt_id: row for row in answered}
    for where, row in asked:
        if row["prompt_id"] not in answers:
            fix = f"Give --outcomes a row of each prompt; {outcomes} has none of this one."
            raise BadInput(f"{where}: prompt_id", row["prompt_id"], "has no outcome", fix)
    served = {row["prompt_id"]: answers[row["prompt_id"]] for _, row in asked}
    predicted = gains(served, answered, training)
    days: dict[int, list[Call]] = defaultdict(list)
    for where, row in asked:
        call = _call(where, row, served[row["prompt_id"]], predicted, models, prices)
        days[int(number(row, "day", where))].append(call)
    return {day: sorted(calls, key=lambda call: call.at_us) for day, calls in sorted(days.items())}


def _call(
    where: str,
    row: Row,
    answer: Outcome,
    predicted: Mapping[str, float],
    models: tuple[str, str],
    prices: PriceTable,
) -> Call:
    day, at_s, *sizes = (number(row, name, where) for name in COLUMNS[:4])
    at_us, tokens = day_start_us(int(day)) + int(at_s * 1_000_000), (int(sizes[0]), int(sizes[1]))
    return Call(
        at_us=at_us,
        tenant=str(row["tenant"]),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        gain=predicted[row["prompt_id"]],
        right=(int(answer.example.strong), int(answer.example.weak)),
        nanos=tuple(cost_nanos(model, prices, at_us, *tokens) for model in models),
    )


def cost_nanos(model: str, prices: PriceTable, at_us: int, input_tokens: int, output_tokens: int) -> int:
    """
    Price a call.
    """
    rates = prices.price(model, at_us).rates(input_tokens)
    return ceil_div(input_tokens * rates.input + output_tokens * rates.output, PICOS_PER_NANO)
