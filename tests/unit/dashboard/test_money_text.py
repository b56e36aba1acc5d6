"""Amounts are read as they are: no digit invented, no sign lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.money_text import (
    cells,
    dated,
    dollars,
    exact,
    on_clock,
    percent,
    plain,
    rough,
    share,
    usd,
    words,
    zoned,
)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (None, "—"),
        (0, "$0.00"),
        (1, "$0.000000001"),
        (9_999_999, "$0.009999999"),
        (10_000_000, "$0.01"),
        (1_234_995_000_000, "$1,235.00"),
        (1_234_994_999_999, "$1,234.99"),
        (-5_000_000_000, "−$5.00"),
    ],
)
def test_totals_are_whole_cents(nanos: int | None, text: str) -> None:
    """Totals round to cents, half up; what is under a cent keeps its digits: it never reads as nothing."""
    assert usd(nanos) == text


@given(st.integers(min_value=-(10**17), max_value=10**17))
def test_exact_text_keeps_every_digit(nanos: int) -> None:
    """The exact text is the amount again once its signs are taken away."""
    text = exact(nanos).replace("−", "-").replace("$", "").replace(",", "")
    whole, _, rest = text.lstrip("-").partition(".")
    assert int(whole) * 10**9 + int(rest.ljust(9, "0")) == abs(nanos)
    assert text.startswith("-") == (nanos < 0)


@pytest.mark.parametrize(("ratio", "text"), [(None, "—"), (0.0, "0 %"), (0.999, "99 %"), (1.0, "100 %")])
def test_shares_round_down(ratio: float | None, text: str) -> None:
    """A share reads as all only where it is all."""
    assert share(ratio) == text
    assert percent(ratio) == (None if ratio is None else int(text.split(" ")[0]))


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (8_618_100, "$0.0086"),
        (8_650_000, "$0.0087"),
        (9_949_999, "$0.0099"),
        (9_950_000, "$0.01"),
        (123_456, "$0.00012"),
        (10, "$0.00000001"),
        (1, "$0.000000001"),
        (0, "$0.00"),
        (630_000_000, "$0.63"),
    ],
)
def test_amounts_under_a_cent_have_two_digits_where_room_is_little(nanos: int, text: str) -> None:
    """Beside whole cents they are rounded half up to the digits that say something, and never to nothing."""
    assert rough(nanos) == text


def test_names_are_not_read_as_markdown() -> None:
    """A tenant's name or a reason cannot become a link, an image, HTML or a formula."""
    assert plain("[x](http://e) $1 $2 <b> `c`") == "\\[x\\](http\\://e) \\$1 \\$2 \\<b> \\`c\\`"


def test_codes_are_words() -> None:
    """Stable codes lose their prefix and underscores."""
    assert words("outlay_budget_exhausted") == "budget exhausted"


@pytest.mark.parametrize(
    ("amounts", "written"),
    [
        ([], "$%,.2f"),
        ([None, 0, 0], "$%,.2f"),
        ([None, 9_999_999_999], "$%,.4f"),
        ([10_000_000, 10_000_000_000], "$%,.2f"),
        ([4_233_000, 0, 10_000_000_000], "$%,.4f"),
        ([120_000], "$%,.5f"),
        ([-1, 10**12], "$%,.9f"),
        ([-(10**11)], "$%,.2f"),
    ],
)
def test_columns_of_small_amounts_show_more_digits(amounts: list[int | None], written: str) -> None:
    """Under ten dollars cents would hide what is left, under a cent all of it, whatever stands beside it."""
    assert cells(amounts) == written


def test_thousands_are_apart_wherever_money_is_written() -> None:
    """In whole cents, with all digits, and as decimal text of an answer."""
    assert (usd(1_234_567 * 10**9), exact(-1_234_567_000_000_001)) == (
        "$1,234,567.00",
        "−$1,234,567.000000001",
    )
    assert [dollars(text) for text in ("1234567.50", "0.000000001", "-5000.00", "0.00")] == [
        "$1,234,567.50", "$0.000000001", "−$5,000.00", "$0.00",
    ]  # fmt: skip


NIGHT_US = 1_795_302_000_250_000  # 2026-11-21 23:00:00.25 UTC


def test_an_instant_is_told_with_its_zone() -> None:
    """Also where the day is another one there; what never was has no zone."""
    assert zoned(NIGHT_US, "Asia/Tokyo") == "22 Nov 08:00 Asia/Tokyo"
    assert zoned(NIGHT_US, "UTC", seconds=True) == "21 Nov 23:00:00 UTC"
    assert zoned(NIGHT_US, "Asia/Tokyo", year=True) == "22 Nov 2026 08:00 Asia/Tokyo"
    assert zoned(None, "UTC") == "—"


@pytest.mark.parametrize(
    "text", ["2026-11-21T23:00:00+00:00", "2026-11-21T23:00:00.25Z", "2026-11-22T00:00:00+01:00"]
)
def test_an_instant_in_a_text_is_told_on_one_clock(text: str) -> None:
    """However its offset is written; what is no instant stays as it is."""
    assert dated(text, "Asia/Tokyo") == "22 Nov 2026 08:00:00"
    assert on_clock(f"spent 2.5 of 3, until {text}; 2026-11-21", "Asia/Tokyo") == (
        "spent 2.5 of 3, until 22 Nov 08:00 Asia/Tokyo; 2026-11-21"
    )
