"""
Money text in, money text out.
"""

import pytest

from pricing.money import MAX_NANOS, MoneyError, ceil_div, format_usd, parse_usd, scale_ceil


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0", 0),
        ("20", 20_000_000_000),
        ("20.00", 20_000_000_000),
        ("0.000000001", 1),
        ("12.345678901", 12_345_678_901),
        ("1000000000", 10**18),
    ],
)
def test_decimal_text_is_parsed_exactly(text: str, nanos: int) -> None:
    """Every accepted text is its exact amount in nano-USD."""
    assert parse_usd(text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "+1",
        "1e3",
        "inf",
        "nan",
        "1,000",
        "1_000",
        ".5",
        "5.",
        "1.0000000001",
        "0x10",
        " 1",
        "1 ",
        "1\n",
        "١٢",
        "1000000000.000000001",
        "99999999999",
        "1.2.3",
        "$5",
        "5\x00",
    ],
)
def test_anything_but_plain_decimal_text_is_refused(text: str) -> None:
    """Signs, exponents, separators, blanks, other digits, too many decimals and huge amounts are refused."""
    with pytest.raises(MoneyError):
        parse_usd(text)


@pytest.mark.parametrize("value", [1.5, 5, True, None, b"5", float("nan")])
def test_a_value_that_is_not_text_is_refused(value: object) -> None:
    """A float has already lost the exact amount, so only text is money."""
    with pytest.raises(MoneyError, match="decimal text"):
        parse_usd(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "fix"),
    [("-3", "never negative"), ("0.12345678901", "9 decimals"), ("99999999999", "1000000000 USD")],
)
def test_a_refusal_names_the_value_and_the_fix(text: str, fix: str) -> None:
    """The message shows what was typed and what to write instead."""
    with pytest.raises(MoneyError) as caught:
        parse_usd(text)
    assert text in str(caught.value)
    assert fix in str(caught.value)


def test_a_refusal_of_a_huge_text_is_short() -> None:
    """A message never repeats megabytes of input, nor control characters."""
    with pytest.raises(MoneyError) as caught:
        parse_usd("9" * 1_000_000 + "\x1b[31m")
    assert len(str(caught.value)) < 200
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.00"),
        (20000000000, "20.00"),
        (123456, "0.000123456"),
        (-1500000000, "-1.50"),
        (1, "0.000000001"),
        (1230000000, "1.23"),
        (MAX_NANOS, "9223372036.854775807"),
    ],
)
def test_amounts_are_formatted_exactly(nanos: int, text: str) -> None:
    """At least two decimals, and as many as the amount has."""
    assert format_usd(nanos) == text


def test_rounding_goes_up() -> None:
    """A remainder costs one more, an exact quotient does not."""
    assert ceil_div(10, 5) == 2
    assert ceil_div(11, 5) == 3
    assert ceil_div(-11, 5) == -2
    assert scale_ceil(10, 1_100_000) == 11
    assert scale_ceil(1, 1_100_000) == 2
    assert scale_ceil(0, 1_100_000) == 0
