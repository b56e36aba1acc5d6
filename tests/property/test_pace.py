"""
Pacing on any projection: more money never lowers more, levers stay on their ladder, and prices fall.
"""

import math

from hypothesis import given
from hypothesis import strategies as st

from router.demand import Outlook, Pace, PaceState
from router.pace import rungs, tide
from router.policy import default_policy_text, load_policy
from router.types import Budget, Headroom
from router.worth import NOTHING, bin_of, price_curve, price_of_money, worth

POLICY = load_policy(default_policy_text().replace('mode = "steps"', 'mode = "pace"'))
NOW_US = 1_795_000_000_000_000
HOUR_US = 3_600 * 1_000_000
RATIOS = (1.0, 0.6, 0.2)
LADDER = rungs(POLICY, RATIOS)

amounts = st.integers(0, 10**15)
states = st.builds(
    PaceState,
    st.integers(0, 9),
    st.integers(NOW_US - 3 * HOUR_US, NOW_US),
    st.lists(st.tuples(st.integers(NOW_US - 2 * HOUR_US, NOW_US), st.integers(0, 3)), max_size=6).map(tuple),
)
bins = st.dictionaries(st.integers(-20, 60) | st.just(NOTHING), st.integers(0, 10**12), max_size=20)


def pace(asked: int, state: PaceState, worths: dict[int, int], ends_us: int = 8 * HOUR_US) -> Pace:
    """A projection whose cheapest tier costs a fifth."""
    outlook = Outlook("tenant/day", 0.5, asked, asked // 5, asked // 4, 0, NOW_US + ends_us, True)
    return Pace(7, (outlook,), RATIOS, price_curve(worths), state)


def money(left: int) -> Headroom:
    """A budget with so much left."""
    return Headroom((Budget("tenant/day", 10**15, 10**15 - left),))


@given(asked=amounts, left=amounts, more=amounts, state=states, worths=bins)
def test_more_money_never_pulls_more_levers_nor_asks_a_higher_price(
    asked: int, left: int, more: int, state: PaceState, worths: dict[int, int]
) -> None:
    """With the same demand and the same past, who has more left is lowered no further."""
    rich = min(10**15, left + more)
    poor_tide = tide(pace(asked, state, worths), POLICY, money(left), NOW_US)
    rich_tide = tide(pace(asked, state, worths), POLICY, money(rich), NOW_US)
    assert poor_tide is not None
    assert rich_tide is not None
    assert rich_tide.state.rung <= poor_tide.state.rung
    if poor_tide.price is not None and rich_tide.price is not None:
        assert rich_tide.price <= poor_tide.price


@given(asked=amounts, left=amounts, state=states, ends_us=st.integers(0, 9 * HOUR_US))
def test_the_rung_is_on_the_ladder_and_a_move_is_remembered(
    asked: int, left: int, state: PaceState, ends_us: int
) -> None:
    """Whatever is stored, the new state can be gone on from; a second look at once changes nothing more."""
    found = tide(pace(asked, state, {}, ends_us), POLICY, money(left), NOW_US)
    assert found is not None
    assert 0 <= found.state.rung < len(LADDER)
    if found.state.rung != min(state.rung, len(LADDER) - 1):
        assert found.state.since_us == NOW_US
        assert found.state.moves[-1] == (NOW_US, min(state.rung, len(LADDER) - 1))
    again = tide(pace(asked, found.state, {}, ends_us), POLICY, money(left), NOW_US)
    assert again is not None
    assert again.state.rung >= found.state.rung


@given(asked=amounts, left=amounts, state=states)
def test_nothing_climbs_in_the_last_half_hour(asked: int, left: int, state: PaceState) -> None:
    """Before the window ends a lever is pulled if need be, and none is let go."""
    found = tide(pace(asked, state, {}, HOUR_US // 2 - 1), POLICY, money(left), NOW_US)
    assert found is not None
    assert found.state.rung >= min(state.rung, len(LADDER) - 1)


@given(worths=bins)
def test_prices_fall_with_the_money(worths: dict[int, int]) -> None:
    """The more of the upgrades can be bought, the less the last one has to be worth."""
    curve = price_curve(worths)
    prices = [price_of_money(curve, share / 50) for share in range(1, 51)]
    known = [price for price in prices if price is not None]
    assert known == sorted(known, reverse=True)
    assert all(math.isfinite(price) and price >= 0 for price in known)


@given(gain=st.floats(-1, 1), extra=st.integers(1, 10**12), more=st.floats(0, 1))
def test_more_gain_is_never_worth_less(gain: float, extra: int, more: float) -> None:
    """For the same extra money a larger gain is in the same bin or a higher one."""
    assert bin_of(worth(min(1.0, gain + more), extra)) >= bin_of(worth(gain, extra))
