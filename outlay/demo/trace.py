"""
The packaged trace: when six real callers asked, and how long prompts and answers were.
"""

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class TraceRow:
    """
    One call of the trace; `caller` is the name in the source.
    """

    at_s: float
    caller: str
    input_tokens: int
    output_tokens: int


def load_trace() -> tuple[TraceRow, ...]:
    """
    Read the packaged day, in order of time.
    """
    packed = files("outlay.demo").joinpath("data/trace.csv.gz").read_bytes()
    table = csv.DictReader(io.StringIO(gzip.decompress(packed).decode()))
    return tuple(
        TraceRow(float(row["t_s"]), row["tenant"], int(row["input_tokens"]), int(row["output_tokens"]))
        for row in table
    )


def thinned(rows: Sequence[TraceRow], count: int) -> tuple[TraceRow, ...]:
    """
    Leave about *count* rows, of every caller the same share and spread evenly over its day.
    """
    if count >= len(rows):
        return tuple(rows)
    kept: list[TraceRow] = []
    for caller in dict.fromkeys(row.caller for row in rows):
        own = [row for row in rows if row.caller == caller]
        share = max(1, len(own) * count // len(rows))
        kept += [own[place * len(own) // share] for place in range(share)]
    return tuple(sorted(kept, key=lambda row: (row.at_s, row.caller)))
