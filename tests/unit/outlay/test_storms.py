"""
Storms of refusals are counted, not stored one by one.
"""

from concurrent.futures import ThreadPoolExecutor

from outlay.storms import Storms

MINUTE = 60_000_000


def test_the_first_of_a_minute_are_calm() -> None:
    """Exactly so many refusals of one kind may have a record of their own in each minute."""
    storms = Storms(calm=3)
    assert [storms.is_calm("acme", "x", 10) for _ in range(5)] == [True, True, True, False, False]
    assert storms.is_calm("acme", "x", MINUTE)


def test_other_tenants_and_codes_have_storms_of_their_own() -> None:
    """One tenant's storm hides nobody else's refusals, nor this tenant's of another kind."""
    storms = Storms(calm=1)
    assert storms.is_calm("acme", "x", 10)
    assert not storms.is_calm("acme", "x", 10)
    assert storms.is_calm("acme", "y", 10)
    assert storms.is_calm("zeta", "x", 10)


def test_threads_share_one_count() -> None:
    """From several threads, still exactly so many are calm."""
    storms = Storms(calm=50)
    with ThreadPoolExecutor(4) as pool:
        calm = list(pool.map(lambda _: storms.is_calm("acme", "x", 1), range(400)))
    assert calm.count(True) == 50


def test_counts_are_taken_once_a_second_and_once() -> None:
    """What is counted waits for the second to pass, or until all is asked for; nothing is told twice."""
    storms = Storms()

    def taken(at_us: int | None = None) -> list[tuple[object, ...]]:
        return [tuple(row.values.values()) for row in storms.take_counts(at_us)]

    for at_us in (MINUTE, MINUTE + 5, 2 * MINUTE):
        storms.count("acme", "x", at_us)
    assert taken(MINUTE) == [("acme", "x", MINUTE, 2), ("acme", "x", 2 * MINUTE, 1)]
    storms.count("zeta", "y", MINUTE)
    assert taken(MINUTE + 999_999) == taken(MINUTE - 999_999) == []
    assert taken(MINUTE + 1_000_000) == [("zeta", "y", MINUTE, 1)]
    storms.count("zeta", "y", MINUTE)
    assert taken() == [("zeta", "y", MINUTE, 1)]
    assert taken() == []
