"""
What the classifier is trained on, and how good its ranking is. Pure, without a library.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise


@dataclass(frozen=True, slots=True)
class Example:
    """
    A prompt that both tiers have answered.

    Attributes:
        weak, strong: How good the small and the large tier's answers were, 0 wrong to 1 right.
    """

    prompt: str
    task_class: str
    weak: float
    strong: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """
    How well predicted gains put prompts in order.

    Attributes:
        apgr: Area under quality gained over share of calls to the large tier; 0.5 is random.
        cpt50, cpt80: Share of calls to the large tier that gains 50 and 80 % of the difference.
        saved_at_95: Share of the large tier's cost saved at 95 % of its quality, the small one at a fifth.
    """

    apgr: float
    cpt50: float
    cpt80: float
    saved_at_95: float

    def table(self) -> Mapping[str, float]:
        """
        Give the measures by name, rounded.
        """
        names = ("apgr", "cpt50", "cpt80", "saved_at_95")
        return {name: round(getattr(self, name), 4) for name in names}


SMALL_PRICE = 0.2
"""Price of the small tier in `saved_at_95`, the large one being 1."""


def data_hash(rows: Sequence[Example]) -> str:
    """
    Recognise a set of examples, in whatever order they come.
    """
    texts = sorted(json.dumps([one.prompt, one.task_class, one.weak, one.strong]) for one in rows)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def ranking(gains: Sequence[float], rows: Sequence[Example]) -> Ranking | None:
    """
    Measure an order of prompts by what sending the first k of them to the large tier would have given.

    Returns:
        None where the large tier is not better than the small one, so that there is nothing to gain.
    """
    small = sum(row.weak for row in rows)
    large = sum(row.strong for row in rows)
    if large <= small:
        return None
    quality = list(accumulate(_in_order(gains, rows), initial=small))
    gained = [(value - small) / (large - small) for value in quality]
    area = sum((one + two) / 2 for one, two in pairwise(gained)) / len(rows)
    to_large = _first(quality, 0.95 * large)
    return Ranking(
        apgr=area,
        cpt50=_first(gained, 0.5),
        cpt80=_first(gained, 0.8),
        saved_at_95=(1 - SMALL_PRICE) * (1 - to_large),
    )


def _in_order(gains: Sequence[float], rows: Sequence[Example]) -> Iterator[float]:
    """Give what each call adds, highest predicted gain first; equal ones share what they add together."""
    order = sorted(range(len(rows)), key=lambda place: -gains[place])
    for _, group in groupby(order, key=lambda place: gains[place]):
        added = [rows[place].strong - rows[place].weak for place in group]
        yield from [sum(added) / len(added)] * len(added)


def _first(values: Sequence[float], wanted: float) -> float:
    """Give the share of calls from which on a value is reached."""
    count = len(values) - 1
    return next((place / count for place, value in enumerate(values) if value >= wanted - 1e-9), 1.0)
