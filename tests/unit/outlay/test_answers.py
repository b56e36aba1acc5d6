"""
What an answer says about its own call in its headers.
"""

import pytest

from circuit.types import HaltCode
from ledger.types import Gauge, Held, Released, Settled
from outlay import answers
from outlay.closing import Closing
from router.types import Choice, Counterfactual, Offer, Priority, Reason, ReasonCode

OFFER = Offer("claude-haiku-5-5", "small", None, 250, 2, 1, (Reason("shrunk", "less"), Reason("x", "again")))
CHOICE = Choice(
    asked_model="claude-opus-5-5",
    asked_tier=None,
    priority=Priority.NORMAL,
    level=0,
    ratio=1.0,
    gauge=None,
    offers=(OFFER,),
    reasons=(Reason("x", "first"),),
    counterfactual=Counterfactual("claude-opus-5-5", None, None, 1, 1, 1),
)


def gauge(name: str, limit: int | None, spent: int = 0, expected: int = 0, held: int = 0) -> Gauge:
    """A gauge with the numbers that matter here."""
    return Gauge(name, name, "day", limit, spent, held, expected, 0, 0, None)


def held(*gauges: Gauge) -> Held:
    """A hold of one and a half dollars, for a cost of one."""
    return Held("d1", 0, 1_500_000_000, 1_000_000_000, 0, 1, "open", gauges)


def test_headers_known_before_the_first_byte() -> None:
    """Ids, models, tiers, each reason once and in order, money as text; what is unknown is empty."""
    told = (*CHOICE.reasons, *OFFER.reasons)
    money = held(gauge("credit", 10_000_000_000, held=1_500_000_000))
    found = answers.before("d1", CHOICE, OFFER, money, told)
    assert found == {
        "outlay-decision-id": "d1",
        "outlay-model-asked": "claude-opus-5-5",
        "outlay-model-served": "claude-haiku-5-5",
        "outlay-tier-asked": "",
        "outlay-tier-served": "small",
        "outlay-reason": "x,shrunk",
        "outlay-hold-usd": "1.50",
        "outlay-hold-cost-usd": "1.00",
        "outlay-credit-usd": "8.50",
    }


def test_the_header_of_reasons_stays_short() -> None:
    """Each code stands there once, so that with every code there is it still passes any proxy."""
    told = tuple(Reason(code, "again") for code in (*ReasonCode, *HaltCode) * 9)
    header = answers.before("d1", CHOICE, OFFER, held(), told)["outlay-reason"]
    assert header.split(",") == [str(code) for code in (*ReasonCode, *HaltCode)]
    assert len(header) < 1_024


def test_headers_known_at_the_end() -> None:
    """
    Cost and charge are told where they are known, zero included; else the call may have been billed: no
    repeat. A closing that waits to be written has no charge yet.
    """
    assert answers.after(Closing(None, "uncertain", {}), None) == {"x-should-retry": "false"}
    failed, released = Closing(None, "failed", {}, cost_nanos=0), Released("d1", 5)
    assert answers.after(failed, released) == {"outlay-cost-usd": "0.00", "outlay-charge-usd": "0.00"}
    served, settled = Closing(None, "served", {}, cost_nanos=10), Settled("d1", 10, 15, 20, 0, 0, 0, None)
    costs = "0.00000001", "0.000000015"
    assert answers.after(served, settled) == {"outlay-cost-usd": costs[0], "outlay-charge-usd": costs[1]}
    assert answers.after(served, None) == {"outlay-cost-usd": costs[0]}


@pytest.mark.parametrize(
    ("gauges", "ratio"),
    [
        ((), None),
        ((gauge("credit", 100, 0, 50),), None),
        ((gauge("a", None),), None),
        ((gauge("a", 0),), 0.0),
        ((gauge("a", 100, 60, 50),), 0.0),
        ((gauge("a", 100, 20, 5), gauge("b", 10, 1), gauge("c", None, 99)), 0.75),
    ],
)
def test_the_smallest_share_left_is_told(gauges: tuple[Gauge, ...], ratio: float | None) -> None:
    """Over all budgets with a limit, holds at their expectation; a limit of nothing leaves nothing."""
    assert answers.remaining_ratio(gauges) == ratio
