"""
Makes `benchmarks/data/ranking_extract.csv.gz`: a small part of the public routing outcomes, for tests.

    python -m benchmarks.make_ranking_extract ROUTELLM_OUTCOMES.csv.gz

Every tenth prompt of split `train`, every twentieth of split `eval`, in the order of the file.
"""

import csv
import gzip
import io
import sys
from pathlib import Path

from benchmarks.inputs import COLUMNS, read_table

OUT = Path(__file__).parent / "data" / "ranking_extract.csv.gz"
WRITTEN = ("prompt_id", "dataset", "subject", "split", "prompt", "weak_correct", "strong_correct")


def main(source: Path) -> None:
    """
    Write the extract; the same source gives the same bytes.
    """
    found = [row for _, row in read_table(source, (*COLUMNS, "split"))]
    splits = {name: [row for row in found if row["split"] == name] for name in ("train", "eval")}
    rows = [*splits["train"][::10], *splits["eval"][::20]]
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, WRITTEN, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    OUT.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))
    print(f"{len(rows)} rows, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
