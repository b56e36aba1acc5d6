"""
The threshold on a score: exact in its parts, kept where it is tried again, and honest where there is none.
"""

import random
from collections.abc import Callable
from math import comb

import pytest

from router.gate import GateStatus
from router.threshold import choose_threshold, few_by_chance, kept_ahead


@pytest.mark.parametrize(("seen", "total", "n"), [(0, 3, 5), (2, 7, 6), (4, 4, 4), (5, 11, 8)])
def test_the_chance_is_counted_exactly(seen: int, total: int, n: int) -> None:
    """Counting halves one by one gives the same."""
    ways = sum(comb(n, k) * comb(n, total - k) for k in range(max(0, total - n), seen + 1))
    assert few_by_chance(seen, total, n) == pytest.approx(ways / comb(2 * n, total))


def test_more_failures_than_calls_cannot_be() -> None:
    """Then chance has no part in it."""
    assert few_by_chance(1, 9, 4) == 0


def test_few_calls_promise_nothing() -> None:
    """With 5 calls a share of 30 % is broken by 2 failures, which 5 passes do not rule out."""
    assert not kept_ahead(5, 0, 0.3, 0.025)
    assert choose_threshold([(0.1, False)] * 5, 0.3, 0.95).status is GateStatus.NOT_ENOUGH
    assert choose_threshold([], 0.3, 0.95).status is GateStatus.NOT_ENOUGH


def test_where_every_score_fails_as_often_it_is_infeasible() -> None:
    """A fifth fails whatever the score, so no threshold keeps to a tenth."""
    chosen = choose_threshold(calls(2_000, lambda _score: 0.2), 0.1, 0.95)
    assert (chosen.status, chosen.score) == (GateStatus.INFEASIBLE, None)


def test_what_few_calls_cannot_prove_is_not_called_infeasible() -> None:
    """3 of the 150 of the lowest scores fail, which keeps 5 % but proves it of no call; more calls would."""
    seen = [(n / 200, n in (5, 50, 80) or n >= 150) for n in range(200)]
    assert choose_threshold(seen, 0.05, 0.95).status is GateStatus.NOT_ENOUGH
    many = [(score, bad) for score, bad in seen for _ in range(20)]
    assert choose_threshold(many, 0.05, 0.95).status is GateStatus.PROVEN


def test_where_nothing_fails_everything_goes_to_the_small_tier() -> None:
    """The last candidate is the highest score."""
    chosen = choose_threshold([(place / 500, False) for place in range(500)], 0.1, 0.95)
    assert (chosen.status, chosen.share, chosen.score) == (GateStatus.PROVEN, 1.0, 499 / 500)


def test_equal_scores_go_the_same_way() -> None:
    """A threshold takes in all that score as much, so those are counted in its proof."""
    rated = [(0.0, False)] * 300 + [(1.0, True)] * 300
    chosen = choose_threshold(rated, 0.1, 0.95)
    assert (chosen.score, chosen.n, chosen.failed) == (0.0, 300, 0)
    alike = [(0.5, False)] * 300 + [(0.5, True)] * 300
    assert choose_threshold(alike, 0.1, 0.95).status is GateStatus.INFEASIBLE


def test_a_walk_ends_where_the_promise_breaks() -> None:
    """What comes after would do, but to look on until something does is what breaks promises."""
    rated = [(float(place), 100 <= place < 400 and place % 5 < 2) for place in range(1_000)]
    assert kept_ahead(1_000, 120, 0.2, 0.025)
    chosen = choose_threshold(rated, 0.2, 0.95)
    assert chosen.status is GateStatus.PROVEN
    assert 0.1 <= chosen.share < 0.4


@pytest.mark.parametrize("alpha", [0.10, 0.13, 0.17])
def test_the_promise_is_kept_on_calls_that_were_not_looked_at(alpha: float) -> None:
    """Of 300 worlds, in which failures grow with the score, at most 7 % break it; a tuned one breaks half."""
    broken = served = 0
    for world in range(300):
        first, second = (calls(400, lambda score: 0.3 * score, seed) for seed in (world, 1_000 + world))
        chosen = choose_threshold(first, alpha, 0.95).score
        small = [] if chosen is None else [bad for score, bad in second if score <= chosen]
        broken += bool(small) and sum(small) / len(small) > alpha
        served += len(small)
    assert broken <= 0.07 * 300
    assert served > 0


def calls(count: int, fails: Callable[[float], float], seed: int = 0) -> list[tuple[float, bool]]:
    """Calls with even scores, which fail as often as said."""
    chance = random.Random(seed)
    scores = [chance.random() for _ in range(count)]
    return [(score, chance.random() < fails(score)) for score in scores]
