"""
The spend rule: buckets, windows, tripping and closing.
"""

from types import SimpleNamespace

import pytest

from circuit import BucketDelta, SpendRule, spend_deltas
from circuit.spend import BUCKET_US, bucket_start_us, spend_due, window


def test_deltas_are_added_per_bucket_for_tenant_and_all() -> None:
    """
    Two holds of one bucket are one row per scope; another bucket and another tenant have their own.
    """
    events = [("a", 5, 100), ("a", BUCKET_US - 1, 20), ("b", 7, 3), ("a", BUCKET_US, 1)]
    assert spend_deltas(events, "w") == (
        BucketDelta("global", 0, "w", 123),
        BucketDelta("global", BUCKET_US, "w", 1),
        BucketDelta("tenant:a", 0, "w", 120),
        BucketDelta("tenant:a", BUCKET_US, "w", 1),
        BucketDelta("tenant:b", 0, "w", 3),
    )


def test_settling_lowers_the_bucket_of_the_hold() -> None:
    """
    A change carries the opening of its hold, so money given back leaves the bucket it entered.
    """
    assert spend_deltas([("a", 5, 100), ("a", 5, -100)], "w") == ()
    assert {delta.delta_nanos for delta in spend_deltas([("a", 5, -40)], "w")} == {-40}


def test_row_names_the_columns_of_the_table() -> None:
    """
    The row of a delta fits the table that the ledger's writer adds it to.
    """
    assert BucketDelta("global", 0, "w", 9).row == {
        "scope": "global", "starts_us": 0, "writer": "w", "amount_nanos": 9,
    }  # fmt: skip


def test_a_window_is_rounded_out_to_whole_buckets(given: SimpleNamespace) -> None:
    """
    Every bucket that overlaps the last 60 s counts, the one before does not; far future does not.
    """
    now_us = bucket_start_us(given.now_us) + 3
    buckets = window(60, now_us)
    start_us = bucket_start_us(now_us)
    inside = [start_us, start_us - 6 * BUCKET_US, start_us + BUCKET_US, start_us + 6 * BUCKET_US]
    outside = [start_us - 7 * BUCKET_US, start_us + 7 * BUCKET_US]
    assert [buckets.holds(at_us) for at_us in (*inside, *outside)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(("spent", "trips"), [(0, False), (4_999, False), (5_000, True), (5_001, True)])
def test_trips_at_the_threshold(given: SimpleNamespace, spent: int, trips: bool) -> None:
    """
    Exactly the threshold trips, a nano-dollar less does not, and the numbers say both.
    """
    due = spend_due(given.closed, spent, given.spend, given.now_us)
    assert trips is (due is not None)
    if due is not None:
        assert (spent, 5_000, 3_500, 300) == tuple(due.numbers.values())
        assert given.now_us + 600 * given.s == due.until_us


def test_a_threshold_of_zero_lets_nothing_be_spent(given: SimpleNamespace) -> None:
    """
    Zero is a number, not "no limit": it trips with nothing spent and never closes by itself.
    """
    rule = SpendRule(window_s=60, max_nanos=0, cooldown_s=10)
    assert spend_due(given.closed, 0, rule, given.now_us) is not None
    due = spend_due(given.breaker("open", until_us=given.now_us, trips=1), 0, rule, given.now_us)
    assert given.kind(due)[1:] == ("open", "open")


def test_no_rule_never_trips(given: SimpleNamespace) -> None:
    """
    None means that there is no such breaker.
    """
    assert spend_due(given.closed, 2**62, None, given.now_us) is None


@pytest.mark.parametrize(
    ("spent", "to"), [(3_499, "closed"), (3_500, "open"), (9_000, "open"), (-5, "closed")]
)
def test_after_the_cooldown_it_closes_below_seventy_percent(
    given: SimpleNamespace, spent: int, to: str
) -> None:
    """
    70 % of 5,000 is 3,500: below it closes, at it stays open for another cooldown of the same length.
    """
    state = given.breaker("open", until_us=given.now_us, trips=2)
    assert spend_due(state, spent, given.spend, given.now_us - 1) is None
    due = spend_due(state, spent, given.spend, given.now_us)
    assert due is not None
    until_us = None if to == "closed" else given.now_us + 1_200 * given.s
    assert (to, until_us, 2) == (due.to_state, due.until_us, due.trips)


def test_a_rule_that_was_taken_away_lets_the_breaker_close(given: SimpleNamespace) -> None:
    """
    The cooldown is kept, then the breaker closes whatever was spent.
    """
    state = given.breaker("open", until_us=given.now_us, trips=1)
    assert spend_due(state, 10**9, None, given.now_us - 1) is None
    assert given.kind(spend_due(state, 10**9, None, given.now_us))[1:] == ("open", "closed")


@pytest.mark.parametrize("state", ["forced_open", "disabled", "half_open"])
def test_manual_states_do_not_move_by_themselves(given: SimpleNamespace, state: str) -> None:
    """
    What a person set stays whatever is spent.
    """
    assert spend_due(given.breaker(state), 10**9, given.spend, given.now_us) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window_s", 0),
        ("window_s", 3_601),
        ("max_nanos", -1),
        ("cooldown_s", 0),
        ("cooldown_s_max", 86_401),
        ("quiet_s", -1),
    ],
)
def test_senseless_rules_are_refused(field: str, value: int) -> None:
    """
    A rule outside its range names the field, the value and the range.
    """
    fields = {"window_s": 60, "max_nanos": 1, "cooldown_s": 1, field: value}
    with pytest.raises(ValueError, match=f"{field} is {value}; it must be from"):
        SpendRule(**fields)
