"""
How well the learned classifier puts prompts in order, per data set, and how long it takes to score one.

    python -m benchmarks.ranking --train FILE --eval FILE [--json]

Files are CSV, plain or gzip, with the columns of `routellm_outcomes`: dataset, subject, prompt, weak_correct,
strong_correct, and perhaps prompt_id and split. Ranked are the rows of split `eval`, all where the file has
none of it; the classifier is trained on every row of the other file whose prompt is not among them. The
subject stands for the caller's task class.
"""

import argparse
import json
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.inputs import Outcome, asked, read_outcomes, refusals, trainable
from outlay.learned.examples import Example, ranking
from outlay.learned.train import train
from router.learned import LearnedModel
from router.learned_read import read_model

RUNS = 3
"""Runs of which the quickest counts; time of the processor, so that what other processes take is left out."""


def measure(model: LearnedModel, rows: Sequence[Outcome]) -> tuple[dict[str, Any], list[float]]:
    """
    Rank each data set by itself; also the milliseconds of processor time that each prompt took.
    """
    grouped: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        grouped[row.dataset].append(row.example)
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


def judge(training: Path, evaluation: Path, seed: int) -> dict[str, Any]:
    """
    Train on one file, judge on the other.

    Raises:
        BadInput, Rejected: A file cannot be used.
    """
    asking = asked(read_outcomes(evaluation))
    rows = [row.example for row in trainable(training, asking)]
    began, used = time.perf_counter(), time.process_time()
    trained = train(rows, seed)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    found, took = measure(read_model(trained.weights), asking)
    took.sort()
    found["scoring_ms"] = {
        "p50": round(took[len(took) // 2], 3), "p99": round(took[int(len(took) * 0.99)], 3),
    }  # fmt: skip
    found["training"] = {
        "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "version": trained.version,
        **trained.quality, "characters": len(trained.weights), "python": platform.python_version(),
    }  # fmt: skip
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="outcomes to train on")
    parser.add_argument("--eval", type=Path, required=True, help="outcomes to rank; may be the same file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    with refusals(parser):
        found = judge(args.train, args.eval, args.seed)
    if args.json:
        json.dump(found, sys.stdout, indent=1)
        return
    for name, measures in found.items():
        print(name, json.dumps(measures))


if __name__ == "__main__":
    main()
