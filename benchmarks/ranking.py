"""
How well the learned classifier puts prompts in order, per data set, and how long it takes to score one.

    python -m benchmarks.ranking --train FILE --eval FILE [--json]

Files are CSV, plain or gzip, with the columns of `routellm_outcomes`: dataset, subject, prompt, weak_correct,
strong_correct, and perhaps split. Of the file to train on the rows of split `train` count, of the other those
of split `eval`, all rows where a file has none of its split. The subject stands for the caller's task class.
"""

import argparse
import csv
import gzip
import io
import json
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from outlay.learned.examples import Example, ranking
from outlay.learned.train import train
from router.learned import LearnedModel
from router.learned_read import read_model

csv.field_size_limit(10_000_000)
RUNS = 3
"""Runs of which the quickest counts; time of the processor, so that what other processes take is left out."""


def rows_of(path: Path, split: str) -> list[dict[str, str]]:
    """
    Read the rows of a split, or all where the file has none of it.
    """
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    chosen = [row for row in rows if row.get("split") == split]
    return chosen or rows


def example(row: dict[str, str]) -> Example:
    """
    Take what the classifier needs from a row.
    """
    return Example(row["prompt"], row["subject"], float(row["weak_correct"]), float(row["strong_correct"]))


def measure(model: LearnedModel, rows: Sequence[dict[str, str]]) -> tuple[dict[str, Any], list[float]]:
    """
    Rank each data set by itself; also the milliseconds of processor time that each prompt took.
    """
    grouped: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        grouped[row["dataset"]].append(example(row))
    found: dict[str, Any] = {}
    took: list[float] = []
    for name, examples in sorted(grouped.items()):
        gains, foreign = [], 0
        for one in examples:
            runs, scored = [], model.score(one.prompt, one.task_class)
            for _ in range(RUNS):
                began = time.process_time()
                model.score(one.prompt, one.task_class)
                runs.append((time.process_time() - began) * 1_000)
            took.append(min(runs))
            foreign += scored.gain is None
            gains.append(model.gain(one.prompt, one.task_class))
        ranked = ranking(gains, examples)
        measures = {} if ranked is None else dict(ranked.table())
        found[name] = {**measures, "prompts": len(examples), "unfamiliar": round(foreign / len(examples), 4)}
    return found, took


def main() -> None:
    """
    Train on one file, judge on the other.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--eval", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    began = time.perf_counter()
    trained = train([example(row) for row in rows_of(args.train, "train")], args.seed)
    trained_s = time.perf_counter() - began
    found, took = measure(read_model(trained.weights), rows_of(args.eval, "eval"))
    took.sort()
    found["scoring_ms"] = {
        "p50": round(took[len(took) // 2], 3), "p99": round(took[int(len(took) * 0.99)], 3),
    }  # fmt: skip
    found["training"] = {
        "seconds": round(trained_s, 1), "version": trained.version, **trained.quality,
        "characters": len(trained.weights), "python": platform.python_version(),
    }  # fmt: skip
    if args.json:
        json.dump(found, sys.stdout, indent=1)
        return
    for name, measures in found.items():
        print(name, json.dumps(measures))


if __name__ == "__main__":
    main()
