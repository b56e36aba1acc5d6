"""
The summary as people see it: both numbers, and in words whether they are equal.
"""

import io
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from outlay.demo.summary import Check, Line, Summary
from outlay.demo.table import short_usd, show

LINE = Line(
    "harbor-support",
    "Europe/Berlin",
    "a story",
    10,
    7,
    2,
    1,
    3,
    1_234_567_890,
    1_234_567_890,
    -5_000_000,
    None,
    0,
)
SUMMARY = Summary(
    lines=(LINE,),
    checks=(Check("spend of acme", "1.234567890", "1.234567890"),),
    downgrades=Counter({"tenant/day below 50%": 3}),
    detours={},
    detour_nanos=0,
    refusals={"outlay_credit_exhausted": 2},
    refusals_served={"outlay_budget_busy": 20},
    refusals_repeated={},
    failures={},
    would={},
    trips={},
    situations={"credits exhausted": 2, "runaway halted": 0},
    retried=0,
)


def _text(summary: Summary, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_equal_books_are_called_equal() -> None:
    """Both numbers stand there with every digit."""
    text = _text(SUMMARY)
    assert text.count("1.234567890") == 2
    assert "equal" in text
    assert "NOT EQUAL" not in text


def test_a_difference_is_called_one() -> None:
    """A single nano-dollar is said in the line and once more at the end."""
    wrong = replace(SUMMARY, checks=(Check("spend of acme", "1.234567890", "1.234567891"),))
    text = _text(wrong)
    assert text.count("NOT EQUAL") == 2
    assert "1.234567891" in text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (1_019_696_000, "1.020"),
        (499_999, "0.000"),
        (500_000, "0.001"),
        (-499_999, "0.000"),
        (-500_000, "-0.001"),
        (999_500_000, "1.000"),
    ],
)
def test_the_table_rounds_half_up(nanos: int, text: str) -> None:
    """1.019696 is nearer to 1.020 than to 1.019; nothing is not less than nothing."""
    assert short_usd(nanos) == text


def test_refusals_that_were_retried_stand_below_those_that_were_final() -> None:
    """With both the dashboard's count of refused attempts is explained; where there are none, no line."""
    text = _text(SUMMARY)
    final = "Refusals by code: outlay_credit_exhausted 2\n"
    assert f"{final}  retried and then served: outlay_budget_busy 20\n" in text
    assert "not served" not in text
    again = _text(replace(SUMMARY, refusals_repeated={"outlay_budget_busy": 4}))
    assert "  retried and then not served: outlay_budget_busy 4" in again


def test_what_did_not_happen_is_not_passed_over() -> None:
    """A demo that missed one of its situations says which."""
    assert "Did not happen this time: runaway halted" in _text(SUMMARY)


@pytest.mark.parametrize("width", [80, 100, 170])
def test_the_table_fits_the_terminal(width: int) -> None:
    """No line is wider than the terminal, and the tenant's row stands on one line."""
    lines = _text(SUMMARY, width).splitlines()
    assert max(len(line) for line in lines) <= width
    row = next(line for line in lines if line.lstrip().startswith("harbor-support ") and "1.235" in line)
    assert row.split()[1:] == ["10", "7", "2", "1", "3", "1.235", "-0.005", "-", "0.000"]
