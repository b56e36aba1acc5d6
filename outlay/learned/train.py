"""
Trains the classifier: from prompts that both tiers have answered to the text of a model.

Three parts, weighed against each other on prompts that they were not trained on: a table of task classes,
two logistic regressions over terms, and a forest over the shape of a prompt. Why these:
docs/decisions/0019-learned-classifier.md. Needs the extra `learned`; scoring needs nothing
(`router/learned.py`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from outlay.errors import Rejected
from outlay.learned.examples import Example, data_hash, ranking
from outlay.learned.familiar import OPEN_GUARD, Trial, guard_of
from outlay.learned.mixing import as_gains, blend, honest
from outlay.learned.parts import Seen, fit, look, need_library
from outlay.learned.proposals import proposals, rated
from outlay.words import plural
from router.learned import LearnedModel
from router.learned_read import CLASSES_MAX, FORMAT, read_model, version_of
from router.prompt_shape import SHAPE

ROWS_MIN: Final = 50
"""Rows, and different prompts among them."""
ROWS_MAX: Final = 200_000
FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class Model:
    """
    A trained classifier.

    Attributes:
        weights: Its text, as `read_model` takes it.
        quality: How it ranks prompts that it was not trained on, and what it was trained on.
    """

    weights: str
    version: str
    data_hash: str
    quality: Mapping[str, Any]


def train(rows: Sequence[Example], seed: int = 0) -> Model:
    """
    Train a classifier; the same rows and seed give the same text.

    Raises:
        Rejected: `examples_refused`: too few or too many rows, or a score outside of 0 to 1;
            `extra_missing`: scikit-learn is not installed.
    """
    _checked(rows)
    need_library()
    seen = [look(row) for row in sorted(rows, key=_order)]
    trials = _held_back(seen, seed)
    rows = [one.row for one in seen]
    text = _text(fit(seen, seed), blend(trials, rows), guard_of(seen, trials))
    predicted = honest(trials, rows)
    calls = rated(read_model(text), seen, trials, as_gains(predicted, rows))  # what is stored can be read
    quality = {**_quality(rows, predicted), "proposals": proposals(calls)}
    return Model(text, version_of(text), data_hash(rows), quality)


def _order(row: Example) -> tuple[str, str, float, float]:
    return row.task_class, row.prompt, row.weak, row.strong


def _checked(rows: Sequence[Example]) -> None:
    if not ROWS_MIN <= len(rows) <= ROWS_MAX:
        fix = "Give --file more rows, or fewer."
        said = f"{plural(len(rows), 'example')}; a model is trained on {ROWS_MIN} to {ROWS_MAX}"
        raise _refused(f"{said}. {fix}")
    prompts = len({row.prompt for row in rows})
    if prompts < ROWS_MIN:
        fix = "Give --file rows of other prompts."
        raise _refused(f"too few different prompts: {prompts} in column prompt; at least {ROWS_MIN}. {fix}")
    for place, row in enumerate(rows):
        if not (0 <= row.weak <= 1 and 0 <= row.strong <= 1):
            raise _refused(f"example {place + 1}: scores are 0 to 1, not {row.weak} and {row.strong}")
    if len({row.task_class for row in rows}) > CLASSES_MAX:
        raise _refused(f"more than {CLASSES_MAX} task classes")


def _refused(text: str) -> Rejected:
    return Rejected("examples_refused", text)


def _held_back(seen: Sequence[Seen], seed: int) -> list[Trial]:
    """Score every row by parts that were trained without its fold; equal prompts share a fold."""
    import numpy as np

    prompts = {prompt: place for place, prompt in enumerate(dict.fromkeys(one.row.prompt for one in seen))}
    order = np.random.default_rng(seed).permutation(len(prompts))
    folds = [int(order[prompts[one.row.prompt]]) % FOLDS for one in seen]
    models = [
        read_model(_text(fit([one for one, of in zip(seen, folds, strict=True) if of != fold], seed)))
        for fold in range(FOLDS)
    ]
    return [_trial(models[fold], one, fold) for one, fold in zip(seen, folds, strict=True)]


def _trial(model: LearnedModel, one: Seen, fold: int) -> Trial:
    prompt, task_class = one.row.prompt, one.row.task_class
    return Trial(fold, model.parts(prompt, task_class), model.coverage(prompt), model.lost(task_class))


def _text(
    parts: Mapping[str, Any],
    weights: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    guard: Mapping[str, Any] = OPEN_GUARD,
) -> str:
    table = {"format": FORMAT, "shape": list(SHAPE), "blend": list(weights), "guard": guard, **parts}
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _quality(rows: Sequence[Example], predicted: Sequence[float]) -> Mapping[str, Any]:
    found = ranking(predicted, rows)
    return {
        "examples": len(rows),
        "classes": len({row.task_class for row in rows}),
        "weak": round(sum(row.weak for row in rows) / len(rows), 4),
        "strong": round(sum(row.strong for row in rows) / len(rows), 4),
        "folds": FOLDS,
        "ranking": None if found is None else found.table(),
    }
