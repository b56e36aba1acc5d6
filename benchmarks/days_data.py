"""
Days of requests for `benchmarks/budget_days.py`: who asked what at which size, who had been right, and for
how much.
"""

import csv
import gzip
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from outlay.learned.examples import Example
from outlay.learned.train import train
from pricing.money import ceil_div
from pricing.table import PICOS_PER_NANO, PriceTable
from router.learned_read import read_model

PRICE_SETS: Final[Mapping[str, tuple[str, str]]] = {
    "opus5": ("claude-opus-5", "claude-haiku-4-5"),
    "opus55": ("claude-opus-5-5", "claude-haiku-5-5"),
}
FIRST_DAY: Final = datetime(2026, 11, 16, tzinfo=UTC)
"""Day 0 of the data; a Monday."""

csv.field_size_limit(10_000_000)


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


def rows_of(path: Path) -> list[dict[str, str]]:
    """
    Read a CSV file, plain or gzip.
    """
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def day_start_us(day: int) -> int:
    """
    Give the first instant of a day of the data.
    """
    return int((FIRST_DAY + timedelta(days=day)).timestamp()) * 1_000_000


def gains(outcomes: Mapping[str, dict[str, str]], training: Sequence[dict[str, str]]) -> dict[str, float]:
    """
    Predict what the large model gains on each prompt, from prompts that none of the days asks.

    Rows of the split `train` count where the file has any.
    """
    own = [row for row in training if row["prompt_id"] not in outcomes]
    chosen = [row for row in own if row.get("split") == "train"] or own
    model = read_model(train([_example(row) for row in chosen]).weights)
    return {key: model.gain(row["prompt"], row["subject"]) for key, row in outcomes.items()}


def _example(row: dict[str, str]) -> Example:
    return Example(row["prompt"], row["subject"], float(row["weak_correct"]), float(row["strong_correct"]))


def read_days(
    requests: Path, outcomes: Path, training: Path, models: tuple[str, str], prices: PriceTable
) -> dict[int, list[Call]]:
    """
    Read the days, each in the order of time.
    """
    asked, answers = rows_of(requests), {row["prompt_id"]: row for row in rows_of(outcomes)}
    served = {row["prompt_id"]: answers[row["prompt_id"]] for row in asked}
    predicted = gains(served, rows_of(training))
    days: dict[int, list[Call]] = defaultdict(list)
    for row in asked:
        days[int(row["day"])].append(_call(row, served[row["prompt_id"]], predicted, models, prices))
    return {day: sorted(calls, key=lambda call: call.at_us) for day, calls in sorted(days.items())}


def _call(
    row: dict[str, str],
    answer: dict[str, str],
    predicted: Mapping[str, float],
    models: tuple[str, str],
    prices: PriceTable,
) -> Call:
    at_us = day_start_us(int(row["day"])) + int(float(row["t_s"]) * 1_000_000)
    tokens = int(row["input_tokens"]), int(row["output_tokens"])
    return Call(
        at_us=at_us,
        tenant=row["tenant"],
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        gain=predicted[row["prompt_id"]],
        right=(int(answer["strong_correct"]), int(answer["weak_correct"])),
        nanos=tuple(cost_nanos(model, prices, at_us, *tokens) for model in models),
    )


def cost_nanos(model: str, prices: PriceTable, at_us: int, input_tokens: int, output_tokens: int) -> int:
    """
    Price a call.
    """
    rates = prices.price(model, at_us).rates(input_tokens)
    return ceil_div(input_tokens * rates.input + output_tokens * rates.output, PICOS_PER_NANO)
