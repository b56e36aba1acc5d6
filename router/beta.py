"""
The regularised incomplete beta function, which the tails of the binomial distribution are made of.
"""

from math import exp, lgamma, log, log1p
from typing import Final

_TERMS_MAX: Final = 10_000
_SMALLEST: Final = 1e-300
_PRECISION: Final = 1e-13


def beta_cdf(x: float, a: float, b: float) -> float:
    """
    Return I_x(a, b) for a, b > 0: the chance that a Beta(a, b) variable is at most x.

    Source:
        Continued fraction of DLMF 8.17.22, on the side where it converges fast, by Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x <= (a + 1) / (a + b + 2):
        return _front(x, a, b) * _fraction(x, a, b) / a
    return 1 - _front(1 - x, b, a) * _fraction(1 - x, b, a) / b


def _front(x: float, a: float, b: float) -> float:
    return exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + ...)))."""
    c, d = 1.0, _inverse(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS_MAX):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = _inverse(1 + even * d), _away_from_0(1 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = _inverse(1 + odd * d), _away_from_0(1 + odd / c)
        value *= d * c
        if abs(d * c - 1) < _PRECISION:
            break
    return value


def _inverse(value: float) -> float:
    return 1 / _away_from_0(value)


def _away_from_0(value: float) -> float:
    return value if abs(value) > _SMALLEST else _SMALLEST
