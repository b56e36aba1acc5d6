"""
What keeps a tenant's calls from passing, in words.
"""

from dataclasses import replace

import pytest
from dashboard_books import NOON

from dashboard.standing import state_text, why_text
from outlay.reports_money import Credits, TenantRow
from outlay.reports_standing import Obstacle, Stop, Tight


@pytest.mark.parametrize(
    ("zone", "refused", "resets"),
    [("America/New_York", "21 Nov 07:00", "22 Nov 00:00"), ("UTC", "21 Nov 12:00", "22 Nov 05:00")],
)
def test_instants_of_a_refusal_are_told_on_the_clock_of_the_page(
    zone: str, refused: str, resets: str
) -> None:
    """A refusal names them for programs; on a page that is on another clock they would be read wrong."""
    text = (
        "the day budget is spent; it resets at 2026-11-22T05:00:00+00:00 or 2026-11-22T05:00:00.250000+00:00"
    )
    row = TenantRow(
        tenant="acme", timezone="America/New_York", opened_us=0, credits=Credits(1, 0, 1, 0), day=None,
        frozen=False, multiplier_ppm=1_000_000, tight=Tight("tenant/day", NOON, text),
    )  # fmt: skip
    at = f"{resets} {zone}"
    assert why_text(row, zone) == (
        f"A cheaper call may pass; the latest one was refused, {refused} {zone}: "
        f"the day budget is spent; it resets at {at} or {at}."
    )


def test_a_tenant_that_is_only_observed_says_what_would_stop_it() -> None:
    """Its calls pass with nothing left; a halt stops it all the same, and then that is what is told."""
    row = TenantRow(
        tenant="acme", timezone="UTC", opened_us=0, credits=Credits(0, 0, 0, 0), day=None, frozen=False,
        multiplier_ppm=1_000_000, observed=(Stop(Obstacle.NO_CREDIT),),
    )  # fmt: skip
    assert (state_text(row), why_text(row, "UTC")) == (
        "observed",
        "Observe mode lets its calls pass all the same. No credit is left: top up.",
    )
    halted = replace(row, stops=(Stop(Obstacle.HALTED, text="loop"),))
    assert (state_text(halted), why_text(halted, "UTC")) == ("halted", "Its spending is halted: loop.")
