"""
The parts of the classifier, fitted with scikit-learn and written down as plain numbers.

The library is loaded at the first training only; it is the extra `learned`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final, TypeAlias

from outlay.errors import Rejected
from outlay.learned.examples import Example
from router.learned import NORMAL_MAX
from router.learned_read import NODES_MAX, TERMS_MAX
from router.prompt_shape import PLAIN, excerpt, shape, terms

PRIOR_ROWS: Final = 20
"""Rows that the mean of all classes counts as in the table of a class."""
CLASS_WEIGHT: Final = 0.5
"""Size of a task class beside the terms of a prompt, which have length 1 together."""
SHAPE_WEIGHT: Final = 0.2
"""Size of a measure of the shape at one standard deviation, likewise."""
WORDS_ROWS_MIN: Final = 200
TREES_ROWS_MIN: Final = 400
MANY_ROWS: Final = 2_000
TREES: Final = 300
LEAF_ROWS: Final = 8

Shares: TypeAlias = dict[str, tuple[float, float, int]]
"""By task class how often each tier is right, shrunk, and the number of rows."""


@dataclass(frozen=True, slots=True)
class Seen:
    """
    An example as the parts see it.
    """

    row: Example
    terms: tuple[str, ...]
    shape: tuple[float, ...]


def need_library() -> None:
    """
    Check that scikit-learn can be imported.

    Raises:
        Rejected: `extra_missing`, it is not installed.
    """
    try:
        import sklearn
    except ImportError as error:
        text = "training needs scikit-learn; in the clone of Outlay run: python -m pip install '.[learned]'"
        raise Rejected("extra_missing", text) from error
    assert sklearn is not None


def look(row: Example) -> Seen:
    """
    Read the prompt of an example once.
    """
    cut = excerpt(row.prompt).encode("utf-16", "surrogatepass")
    text = cut.decode("utf-16", "replace")  # half of a character could not be stored
    return Seen(row, tuple(terms(text)), shape(text))


def fit(rows: Sequence[Seen], seed: int) -> dict[str, Any]:
    """
    Fit all parts; those that so few rows cannot teach are absent.
    """
    weak, strong = [one.row.weak for one in rows], [one.row.strong for one in rows]
    base = (sum(weak) / len(rows), sum(strong) / len(rows))
    shares = _shares(rows, base)
    words, margins = _words(rows, weak, strong, shares) if len(rows) >= WORDS_ROWS_MIN else (None, {})
    trees = _forest(rows, shares, seed) if len(rows) >= TREES_ROWS_MIN else None
    classes = {name: _rounded((*share, *margins.get(name, (0.0, 0.0)))) for name, share in shares.items()}
    return {"base": _rounded(base), "classes": classes, "words": words, "trees": trees}


def _shares(rows: Sequence[Seen], base: tuple[float, float]) -> Shares:
    """Count how often each tier is right in a class, shrunk to the mean of all."""
    grouped: dict[str, list[Example]] = defaultdict(list)
    for one in rows:
        grouped[one.row.task_class].append(one.row)
    return {
        name: (
            (sum(one.weak for one in group) + PRIOR_ROWS * base[0]) / (len(group) + PRIOR_ROWS),
            (sum(one.strong for one in group) + PRIOR_ROWS * base[1]) / (len(group) + PRIOR_ROWS),
            len(group),
        )
        for name, group in sorted(grouped.items())
    }


def _words(
    rows: Sequence[Seen], weak: list[float], strong: list[float], shares: Shares
) -> tuple[dict[str, Any] | None, dict[str, tuple[float, float]]]:
    """Fit the two regressions over terms and shape, and what a class adds; none where no term is common."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    common = _common(rows, 5 if len(rows) >= MANY_ROWS else 2)
    if not common:
        return None, {}
    vectorizer = TfidfVectorizer(
        analyzer=lambda one: [term for term in one.terms if term in common],
        sublinear_tf=True,
        max_features=TERMS_MAX,
    )
    told = vectorizer.fit_transform(rows)
    mean, scale, normal = _normal(rows)
    columns = {name: place for place, name in enumerate(shares)}
    marks = [CLASS_WEIGHT] * len(rows), (range(len(rows)), [columns[one.row.task_class] for one in rows])
    known = csr_matrix(marks, shape=(len(rows), len(columns)))
    told = hstack([told, csr_matrix(SHAPE_WEIGHT * normal), known]).tocsr()
    (weak_bias, weak_to), (strong_bias, strong_to) = (_regress(told, y) for y in (weak, strong))
    places = sorted(vectorizer.vocabulary_.items())
    listed = {term: _rounded((vectorizer.idf_[at], weak_to[at], strong_to[at])) for term, at in places}
    measured = slice(len(listed), len(listed) + PLAIN)
    weights = zip(
        mean, scale, SHAPE_WEIGHT * weak_to[measured], SHAPE_WEIGHT * strong_to[measured], strict=True
    )
    of_class = zip(weak_to[measured.stop :], strong_to[measured.stop :], strict=True)
    margins = {
        name: (float(CLASS_WEIGHT * one), float(CLASS_WEIGHT * two))
        for name, (one, two) in zip(shares, of_class, strict=True)
    }
    bias = _rounded((weak_bias, strong_bias))
    return {"bias": bias, "terms": listed, "shape": [_rounded(row) for row in weights]}, margins


def _normal(rows: Sequence[Seen]) -> tuple[Any, Any, Any]:
    """Bring measures to mean 0 and deviation 1, as scoring does; one that never varies counts nothing."""
    import numpy as np

    measures = np.asarray([one.shape[:PLAIN] for one in rows])
    mean, deviation = measures.mean(axis=0), measures.std(axis=0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9)
    return mean, scale, np.clip((measures - mean) * scale, -NORMAL_MAX, NORMAL_MAX)


def _common(rows: Sequence[Seen], least: int) -> frozenset[str]:
    """
    Name the terms of so many prompts: one that is repeated counts once, as a model keeps nothing of a single
    prompt.
    """
    prompts = {one.row.prompt: one.terms for one in rows}
    counts = Counter(term for terms in prompts.values() for term in set(terms))
    return frozenset(term for term, count in counts.items() if count >= least)


def _regress(told: Any, shares: list[float]) -> tuple[float, Any]:
    """Regress a share of right answers: a row of share s counts as s right ones and 1 - s wrong ones."""
    import numpy as np
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    right = np.asarray(shares)
    some, none = np.flatnonzero(right > 0), np.flatnonzero(right < 1)
    if len(some) == 0 or len(none) == 0:
        return _logit(float(right.mean())), np.zeros(told.shape[1])
    weights = np.concatenate([right[some], 1 - right[none]])
    labels = np.concatenate([np.ones(len(some)), np.zeros(len(none))])
    model = LogisticRegression(C=0.5, max_iter=200)
    with threadpool_limits(1):  # steps so small take longer when shared among threads
        model.fit(vstack([told[some], told[none]]), labels, sample_weight=weights)
    return float(model.intercept_[0]), model.coef_[0]


def _forest(rows: Sequence[Seen], shares: Shares, seed: int) -> list[list[list[float]]]:
    """
    Grow trees whose splits are drawn at random: their mean follows the noise of single rows least.

    A split serves both tiers' answers at once, which tells prompts apart better than their difference does.
    """
    import numpy as np
    from sklearn.ensemble import ExtraTreesRegressor

    measures = np.asarray([(*one.shape, *_class_measures(shares[one.row.task_class])) for one in rows])
    model = ExtraTreesRegressor(
        n_estimators=TREES,
        min_samples_leaf=LEAF_ROWS,
        max_leaf_nodes=(NODES_MAX + 1) // 2,
        max_features=0.25,
        random_state=seed,
    )
    model.fit(measures, np.asarray([(one.row.weak, one.row.strong) for one in rows]))
    return [_nodes(one.tree_, TREES) for one in model.estimators_]


def _class_measures(share: tuple[float, float, int]) -> tuple[float, float, float]:
    return share[0], share[1], share[1] - share[0]


def _nodes(tree: Any, count: int) -> list[list[float]]:
    """
    Write one tree of so many down; a leaf holds its part of the gain.

    The library numbers children behind their parents, as the reader wants them.
    """
    assert tree.node_count <= NODES_MAX
    (weak, strong), left, right = tree.value[:, :, 0].T, tree.children_left, tree.children_right
    return [
        [round(float(strong[place] - weak[place]) / count, 6)]
        if left[place] < 0
        else [
            int(tree.feature[place]), round(float(tree.threshold[place]), 6),
            int(left[place]), int(right[place]),
        ]
        for place in range(tree.node_count)
    ]  # fmt: skip


def _logit(share: float) -> float:
    within = max(0.001, min(0.999, share))
    return log(within / (1 - within))


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), 5) for value in values]
