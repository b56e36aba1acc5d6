"""
What upgrades are worth, and the price that a share of the money buys at.
"""

import pytest

from router.worth import BIN_MAX, NOTHING, bin_of, price_curve, price_of_money, worth


def test_worth_is_gain_per_extra_dollar() -> None:
    """A gain of 0.2 for half a cent is 40 per dollar; for nothing it is as for one nano."""
    assert worth(0.2, 5_000_000) == pytest.approx(40)
    assert worth(0.2, 0) == worth(0.2, 1)


def test_bins_keep_the_order_and_have_ends() -> None:
    """More worth is never in a lower bin; what gains nothing has a bin of its own under all others."""
    values = [1e-30, 0.01, 1, 1.1, 1.2, 40, 1e9, 1e30]
    bins = [bin_of(value) for value in values]
    assert bins == sorted(bins)
    assert (bins[0], bins[-1]) == (-BIN_MAX, BIN_MAX)
    assert bin_of(0) == bin_of(-3) == NOTHING < -BIN_MAX


def test_the_curve_falls_and_names_the_last_upgrade_bought() -> None:
    """A quarter of the money is in upgrades worth about 100, the rest about 1: a fifth of it buys at 100."""
    curve = price_curve({bin_of(100): 250, bin_of(1): 750})
    assert list(curve) == sorted(curve, reverse=True)
    assert price_of_money(curve, 0.2) == pytest.approx(100, rel=0.2)
    assert price_of_money(curve, 0.9) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize(("share", "price"), [(0.0, float("inf")), (-1.0, float("inf"))])
def test_without_money_no_upgrade_is_bought(share: float, price: float) -> None:
    """Nothing is worth more than infinity."""
    assert price_of_money(price_curve({0: 10}), share) == price


def test_nothing_known_gives_no_price() -> None:
    """Without recent calls there is no curve, and so no price."""
    assert price_curve({}) == price_curve({3: 0}) == ()
    assert price_of_money((), 0.5) is None


def test_upgrades_that_gain_nothing_are_bought_last() -> None:
    """With money for all but a tenth, the price has come down to almost nothing."""
    curve = price_curve({NOTHING: 500, bin_of(10): 500})
    assert curve[-1] == 0.0
    assert price_of_money(curve, 0.9) == 0.0
    assert (price_of_money(curve, 0.4) or 0) > 5
