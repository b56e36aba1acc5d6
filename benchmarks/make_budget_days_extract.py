"""
Cut the small sample of budget days that the tests run from the full data.

    python -m benchmarks.make_budget_days_extract --requests DAYS.csv.gz --outcomes OUTCOMES.csv.gz

Whole prompts are drawn, by a digest of their id, with all of their requests on the first days.
"""

import argparse
import csv
import gzip
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.inputs import Row, read_table

FOLDER: Final = Path(__file__).parent / "data"
DAYS: Final = ("0", "1", "2")
ASKED_PART: Final = 10
TRAINED_PART: Final = 12


def drawn(prompt_id: str, part: int) -> bool:
    """
    Draw one prompt in so many.
    """
    return int(hashlib.sha256(prompt_id.encode()).hexdigest(), 16) % part == 0


def write(name: str, rows: Sequence[Row]) -> None:
    """
    Write a gzip file that is the same each time.
    """
    text = io.StringIO()
    made = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    made.writeheader()
    made.writerows(rows)
    (FOLDER / name).write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def main() -> None:
    """
    Write the two files.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--outcomes", type=Path, required=True)
    told = parser.parse_args()
    asked = [
        row
        for _, row in read_table(told.requests, ("day", "prompt_id"))
        if row["day"] in DAYS and drawn(row["prompt_id"], ASKED_PART)
    ]
    prompts = {row["prompt_id"] for row in asked}
    kept = [
        row
        for _, row in read_table(told.outcomes, ("prompt_id", "split"))
        if row["prompt_id"] in prompts or (row["split"] == "train" and drawn(row["prompt_id"], TRAINED_PART))
    ]
    write("budget_days_requests.csv.gz", asked)
    write("budget_days_outcomes.csv.gz", kept)


if __name__ == "__main__":
    main()
