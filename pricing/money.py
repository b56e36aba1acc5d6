"""
Money is an `int` of nano-USD; this module alone turns decimal text into it and back.

It decides what money text is acceptable and how rounding is spelled; it knows no prices and no models.
"""

import re

NANOS_PER_USD = 1_000_000_000
MAX_NANOS = 2**63 - 1
PPM = 1_000_000

_USD_MAX = 1_000_000_000
_DECIMALS_MAX = 9
_DECIMAL_TEXT = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?", re.ASCII)
_SHOWN_MAX = 40


class MoneyError(ValueError):
    """
    Text is not an amount of money that Outlay accepts; the message names the value and the fix.
    """


def parse_usd(text: str) -> int:
    """
    Parse decimal USD text into nano-USD, exactly.

    Args:
        text: Plain decimal text such as "20" or "0.000123456": no sign, exponent, separator or blank.
    Returns:
        Amount >= 0.
    Raises:
        MoneyError: anything else, floats included, as a float has already lost the exact amount.
    """
    if not isinstance(text, str):
        raise MoneyError(f'{_shown(text)} is not decimal text; write the amount in quotes, as in "12.50"')
    match = _DECIMAL_TEXT.fullmatch(text)
    if match is None:
        raise MoneyError(f'"{_shown(text)}" is not an amount in USD; {_fix(text)}')
    whole, fraction = match.group(1), match.group(2) or ""
    nanos = int(whole) * NANOS_PER_USD + int(fraction.ljust(_DECIMALS_MAX, "0"))
    if nanos > _USD_MAX * NANOS_PER_USD:
        raise MoneyError(f'"{text}" is too much; the largest amount is {_USD_MAX} USD')
    return nanos


def format_usd(nanos: int) -> str:
    """
    Format nano-USD as exact decimal text with at least two decimals.
    """
    sign = "-" if nanos < 0 else ""
    whole, rest = divmod(abs(nanos), NANOS_PER_USD)
    fraction = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{fraction}"


def ceil_div(numerator: int, denominator: int) -> int:
    """
    Divide and round up (towards plus infinity); the denominator is positive.
    """
    return -(-numerator // denominator)


def scale_ceil(nanos: int, ppm: int) -> int:
    """
    Multiply an amount by parts per million, rounded up once.
    """
    return ceil_div(nanos * ppm, PPM)


def _fix(text: str) -> str:
    """Say what to change, for the mistakes that people make."""
    stripped = text.strip()
    if stripped.startswith("-"):
        return "an amount is never negative"
    if re.fullmatch(r"[0-9]+\.[0-9]{10,}", stripped):
        return f"at most {_DECIMALS_MAX} decimals (nano-USD) are kept"
    if re.fullmatch(r"[0-9]{11,}(\.[0-9]*)?", stripped):
        return f"the largest amount is {_USD_MAX} USD"
    return 'write digits with an optional point, as in "12.50"'


def _shown(value: object) -> str:
    """Show a refused value, cut to a sane length and without control characters."""
    text = value if isinstance(value, str) else repr(value)
    shown = text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
    return shown.encode("unicode_escape").decode("ascii") if not shown.isprintable() else shown
