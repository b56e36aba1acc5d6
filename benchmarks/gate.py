"""
Does the gate keep its promise: of the calls that it lets go to the small tier, at most alpha fail?

A call fails where the small model was wrong and the large one right. Per dataset a classifier is trained on
the rows of `--train`; the rows of `--eval` are halved at random, again and again: on one half the threshold
is chosen (`router/threshold.py`), on the other it is judged. Beside it stands what most do, a threshold tuned
on the first half, and what training itself proposed, held against all rows of `--eval`. Then the classifier
and the threshold of one dataset meet the traffic of another.

    python -m benchmarks.gate --train routellm_outcomes.csv.gz --eval routellm_outcomes.csv.gz --json

Asked are the rows of split `eval`, all where the file has none of it; the classifiers are trained on every
row of the other file whose prompt is not among them.
"""

import argparse
import json
import os
import platform
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.inputs import Outcome, asked, count, read_outcomes, refusals, share, shares, trainable
from outlay.errors import BadInput
from outlay.learned.train import ROWS_MIN, Model, train
from router.gate import GateStatus, gate
from router.learned import LearnedModel, risk
from router.learned_read import read_model
from router.threshold import choose_threshold
from router.types import Counts

FOREIGN = float("inf")
HOME = "mmlu"
Rated = tuple[float, bool]


@dataclass(frozen=True, slots=True)
class Half:
    """What one threshold did on the other half."""

    share_small: float
    failed_ratio: float


@dataclass(frozen=True, slots=True)
class Judged:
    """
    What came of all resamplings.

    Attributes:
        broken: Share of the resamplings in which more than alpha of the calls to the small tier failed.
        share_small: Calls that went to the small tier, on the mean.
        infeasible: Share of the resamplings in which no threshold was proven, so that nothing went there.
        state: What the gate says when it knows all rows.
    """

    alpha: float
    broken: float
    share_small: float
    failed_ratio: float
    infeasible: float
    state: str
    tuned_broken: float
    tuned_share_small: float


def rating(model: LearnedModel, row: Outcome, task_class: str) -> Rated:
    """
    Estimate P(small wrong, large right); a prompt that is foreign to the model is the worst of all.
    """
    found = model.score(row.example.prompt, task_class).risk
    return (FOREIGN if found is None else found), row.failed


def judge(rated: Sequence[Rated], alpha: float, confidence: float, times: int) -> Judged:
    """Halve the rows at random, choose on one half, look at the other."""
    chance = random.Random(20261121)
    proven, tuned = [], []
    for _ in range(times):
        mixed = chance.sample(rated, len(rated))
        first, second = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]
        proven.append(_apply(choose_threshold(_familiar(first), alpha, confidence).score, second))
        tuned.append(_apply(_tuned(_familiar(first), alpha), second))
    return Judged(
        alpha=alpha,
        broken=_mean([half.failed_ratio > alpha for half in proven]),
        share_small=_mean([half.share_small for half in proven]),
        failed_ratio=_mean([half.failed_ratio for half in proven if half.share_small > 0]),
        infeasible=_mean([half.share_small == 0 for half in proven]),
        state=str(choose_threshold(_familiar(rated), alpha, confidence).status),
        tuned_broken=_mean([half.failed_ratio > alpha for half in tuned]),
        tuned_share_small=_mean([half.share_small for half in tuned]),
    )


def _familiar(rated: Sequence[Rated]) -> list[Rated]:
    return [one for one in rated if one[0] < FOREIGN]


def _apply(threshold: float | None, rated: Sequence[Rated]) -> Half:
    if threshold is None:
        return Half(0.0, 0.0)
    small = [bad for score, bad in rated if score <= threshold]
    return Half(len(small) / len(rated), _mean(small))


def _tuned(rated: Sequence[Rated], alpha: float) -> float | None:
    """The highest threshold that would have kept the promise on these rows."""
    ordered = sorted(rated)
    failures = accumulate(bad for _, bad in ordered)
    good = [place for place, bad in enumerate(failures) if bad / (place + 1) <= alpha]
    return ordered[good[-1]][0] if good else None


def proposed(trained: Model, rated: Sequence[Rated]) -> list[dict[str, Any]]:
    """Hold what training proposed, without these rows, against what became of them."""
    return [
        {**one, "on_eval": None if one["max_risk"] is None else asdict(_apply(one["max_risk"], rated))}
        for one in trained.quality["proposals"]
    ]


def transfer(
    model: LearnedModel, home: Sequence[Rated], rows: Sequence[Outcome], alpha: float, confidence: float
) -> dict[str, Any]:
    """
    Serve foreign traffic with the classifier and the threshold of another: it must refuse to downgrade.

    The gate knows nothing of the foreign task classes, and the classifier finds the prompts foreign. For
    comparison: what the bare threshold had let pass, were the traffic not known to be foreign (each prompt
    under the most frequent class of the training), with the classifier's own look at prompts and without.
    """
    threshold = choose_threshold(_familiar(home), alpha, confidence).score
    state = gate(Counts(), alpha, confidence).status
    own = [rating(model, row, row.example.task_class) for row in rows]
    served = _apply(threshold if state is GateStatus.PROVEN else None, own)
    disguise = max(model.classes, key=lambda name: model.classes[name].count)
    disguised = [rating(model, row, disguise) for row in rows]
    lost = model.lost(disguise)
    bare = [(risk(model.gain(row.example.prompt, disguise), lost), row.failed) for row in rows]
    return {
        "alpha": alpha,
        "state": str(state),
        "share_small": served.share_small,
        "foreign_to_the_classifier": _mean([score == FOREIGN for score, _ in own]),
        "under_a_known_class": asdict(_apply(threshold, disguised)),
        "without_gate_and_guard": asdict(_apply(threshold, bare)),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Judge every dataset of the files, and the way from one to the others."""
    eval_rows = asked(read_outcomes(options.eval))
    train_rows = trainable(options.train, eval_rows)
    taught = Counter(row.dataset for row in train_rows)
    found = {row.dataset for row in eval_rows}
    names = sorted(name for name in found if taught[name] >= ROWS_MIN)
    if not names:
        fix = f"Give {ROWS_MIN} rows of a data set to train on, and others of it to judge."
        raise BadInput(f"{options.train}: dataset", dict(taught), f"too few rows of {sorted(found)}", fix)
    trained = {name: train([row.example for row in train_rows if row.dataset == name]) for name in names}
    models = {name: read_model(made.weights) for name, made in trained.items()}
    rows = {name: [row for row in eval_rows if row.dataset == name] for name in names}
    rated = {
        name: [rating(models[name], row, row.example.task_class) for row in rows[name]] for name in names
    }
    home = HOME if HOME in names else names[0]
    foreign = sorted(found - {home})
    return {
        "resamplings": options.times,
        "confidence": options.confidence,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "datasets": {
            name: {
                "calls": len(rated[name]),
                "failed_ratio": _mean([bad for _, bad in rated[name]]),
                "alphas": [
                    asdict(judge(rated[name], alpha, options.confidence, options.times))
                    for alpha in options.alpha
                ],
                "proposed": proposed(trained[name], rated[name]),
            }
            for name in names
        },
        "transfer": [
            {
                "trained_on": home,
                "served": name,
                "alphas": [
                    transfer(
                        models[home], rated[home], [row for row in eval_rows if row.dataset == name],
                        alpha, options.confidence,
                    )
                    for alpha in options.alpha
                ],
            }
            for name in foreign
        ],
    }  # fmt: skip


def show(found: Mapping[str, Any]) -> None:
    """Print the figures as a table."""
    print(f"{found['resamplings']} resamplings, confidence {found['confidence']}, {found['machine']}")
    print(f"{'dataset':10} {'alpha':>6} {'broken':>7} {'small':>6} {'failed':>7} {'infeasible':>10}  state")
    for name, of in found["datasets"].items():
        for one in of["alphas"]:
            print(
                f"{name:10} {one['alpha']:6.2f} {one['broken']:7.3f} {one['share_small']:6.1%} "
                f"{one['failed_ratio']:7.1%} {one['infeasible']:10.1%}  {one['state']}"
                f" (tuned: broken {one['tuned_broken']:.3f}, small {one['tuned_share_small']:.1%})"
            )
        for one in of["proposed"]:
            seen = one["on_eval"] or {"share_small": 0.0, "failed_ratio": 0.0}
            print(
                f"{name:10} {one['promise']:6.2f} proposed by training: {one['state']}, "
                f"small {one['share']:.1%}; seen: small {seen['share_small']:.1%}, "
                f"of which {seen['failed_ratio']:.1%} failed"
            )
    for way in found["transfer"]:
        for one in way["alphas"]:
            bare = one["without_gate_and_guard"]
            print(
                f"{way['trained_on']} -> {way['served']}, {one['alpha']:.2f}: {one['state']}, small "
                f"{one['share_small']:.1%} (bare threshold: small {bare['share_small']:.1%}, of which "
                f"{bare['failed_ratio']:.1%} failed)"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="outcomes to train on")
    parser.add_argument("--eval", type=Path, required=True, help="outcomes to judge; may be the same file")
    parser.add_argument("--alpha", type=shares, default=[0.10, 0.15, 0.20, 0.30], help="e.g. 0.1,0.15")
    parser.add_argument("--confidence", type=share, default=0.95)
    parser.add_argument("--times", type=count, default=200, help="random halves, 200 unless told")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with refusals(parser):
        found = measure(options)
    if options.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
