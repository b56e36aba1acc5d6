"""
A classifier from scored decisions alone: how often each tier was right, by task class.

Outlay keeps no prompts, and a decision was served by one tier only. So the small tier is judged by the calls
that it served in place of the tier they asked for, the large one by those that got what they asked for.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from outlay.errors import Rejected
from outlay.learned.familiar import CLASS_COUNT_MIN, OPEN_GUARD
from outlay.learned.parts import PRIOR_ROWS
from outlay.learned.train import Model
from outlay.tables import score as table
from outlay.words import plural
from pricing.money import PPM
from router.learned_read import CLASSES_MAX, FORMAT, read_model, version_of
from router.prompt_shape import SHAPE

SCORES_MAX: Final = 500_000
SIDE_MIN: Final = 10
"""Scores that each tier needs, over all classes, for there to be anything to compare."""


@dataclass(frozen=True, slots=True)
class Judged:
    """
    One decision's newest score of a source, 0 to 1, and whether the call was downgraded.
    """

    task_class: str
    downgraded: bool
    value: float


def read_scores(connection: Connection, tenant: str) -> list[Judged]:
    """
    Read a tenant's scores; of each decision, model that answered and source the newest counts.
    """
    trial = table.c.decision_id, table.c.served_model, table.c.source
    query = select(*trial, table.c.task_class, table.c.downgraded, table.c.score_ppm).where(
        table.c.tenant == tenant
    )
    newest_first = query.order_by(table.c.at_us.desc(), table.c.id.desc()).limit(SCORES_MAX)
    newest: dict[tuple[str, str, str], Judged] = {}
    for decision, model, source, task_class, downgraded, ppm in connection.execute(newest_first):
        newest.setdefault((decision, model or "", source), Judged(task_class, bool(downgraded), ppm / PPM))
    return [newest[key] for key in sorted(newest)]


def table_model(scores: Sequence[Judged]) -> Model:
    """
    Make the classifier that such scores can teach.

    Raises:
        Rejected: `examples_refused`: too few scores of either kind.
    """
    sides = [[one for one in scores if one.downgraded is side] for side in (True, False)]
    counts = [len(side) for side in sides]
    if min(counts) < SIDE_MIN:
        lowered = plural(counts[0], "score")
        said = f"{lowered} of downgraded calls and {counts[1]} of others; each needs {SIDE_MIN}"
        raise Rejected("examples_refused", f"{said}. Score calls with: outlay score")
    weak, strong = (_mean(side) for side in sides)
    classes = _classes(sides, (weak, strong))
    if len(classes) > CLASSES_MAX:
        raise Rejected("examples_refused", f"{len(classes)} task classes, more than {CLASSES_MAX}")
    content = {
        "format": FORMAT, "shape": list(SHAPE), "base": [round(weak, 5), round(strong, 5)],
        "classes": classes, "blend": [0.0, 1.0, 0.0, 0.0], "words": None, "trees": None,
        "guard": {**OPEN_GUARD, "class_count_min": CLASS_COUNT_MIN},
    }  # fmt: skip
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    read_model(text)
    told = [[one.task_class, one.downgraded, one.value] for one in scores]
    data_hash = hashlib.sha256(json.dumps(sorted(told)).encode()).hexdigest()
    return Model(text, version_of(text), data_hash, _quality(counts, classes, (weak, strong)))


def _classes(
    sides: Sequence[Sequence[Judged]], base: tuple[float, float]
) -> dict[str, tuple[float, float, int, float, float]]:
    """Shrink each class to the mean of all; it counts as well known as its less known tier."""
    grouped: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for side, judged in enumerate(sides):
        for one in judged:
            grouped[one.task_class][side].append(one.value)
    return {
        name: (*_shrunk(values, base), min(map(len, values)), 0.0, 0.0)
        for name, values in sorted(grouped.items())
    }


def _shrunk(values: tuple[list[float], list[float]], base: tuple[float, float]) -> tuple[float, float]:
    weak, strong = (
        round((sum(own) + PRIOR_ROWS * mean) / (len(own) + PRIOR_ROWS), 5)
        for own, mean in zip(values, base, strict=True)
    )
    return weak, strong


def _mean(side: Sequence[Judged]) -> float:
    return sum(one.value for one in side) / len(side)


def _quality(counts: Sequence[int], classes: Mapping[str, Any], base: tuple[float, float]) -> dict[str, Any]:
    """Say what it rests on; a ranking or a promise needs both tiers' answers to the same prompt."""
    return {
        "examples": sum(counts),
        "downgraded": counts[0],
        "classes": len(classes),
        "weak": round(base[0], 4),
        "strong": round(base[1], 4),
        "folds": 0,
        "ranking": None,
        "proposals": [],
    }
