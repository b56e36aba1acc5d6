"""
Make the trace that `outlay up --demo` plays: one day of six callers, thinned evenly.

    python benchmarks/make_demo_extract.py tenant_days.csv.gz [outlay/demo/data/trace.csv.gz]

The input is the table described in `outlay/demo/data/LICENCE.md`. Nothing but rows and columns is left out:
times and token counts stay as they are. The same input gives the same bytes.
"""

import csv
import gzip
import io
import sys
from collections.abc import Sequence
from pathlib import Path

DAY = 2
ROWS = {"t005": 340, "t014": 400, "t030": 400, "t060": 500, "t066": 360, "t072": 400}
COLUMNS = ("t_s", "tenant", "input_tokens", "output_tokens")
TARGET = Path(__file__).parent.parent / "outlay" / "demo" / "data" / "trace.csv.gz"

Row = dict[str, str]


def thin(rows: Sequence[Row], count: int) -> list[Row]:
    """
    Take *count* rows at even distances, all where there are no more.
    """
    if len(rows) <= count:
        return list(rows)
    return [rows[place * len(rows) // count] for place in range(count)]


def extract(rows: Sequence[Row]) -> list[Row]:
    """
    Take the day and the callers, in order of time.
    """
    taken: list[Row] = []
    for tenant, count in ROWS.items():
        own = [row for row in rows if row["tenant"] == tenant and row["day"] == str(DAY)]
        taken += thin(sorted(own, key=lambda row: float(row["t_s"])), count)
    return sorted(taken, key=lambda row: (float(row["t_s"]), row["tenant"]))


def packed(rows: Sequence[Row]) -> bytes:
    """
    Give the table as gzip without a time stamp.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def main(arguments: Sequence[str]) -> int:
    """
    Read the table that is named first, write the extract.
    """
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    with gzip.open(arguments[0], "rt", newline="") as file:
        rows = extract(list(csv.DictReader(file)))
    target = Path(arguments[1]) if len(arguments) == 2 else TARGET
    target.write_bytes(packed(rows))
    print(f"{len(rows)} rows, {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
