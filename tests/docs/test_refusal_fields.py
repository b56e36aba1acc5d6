"""
The reference says which numbers each refusal for money carries: no field too many, and none too few.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ledger.types as books
from ledger.store_memory import MemoryLedger
from outlay import refusals
from outlay.calls import Refused
from router.degrade import priority_refusal, smallest_share
from router.demand import Outlook, PaceState
from router.pace import Rung, Tide, refusal
from router.policy import load_policy
from router.types import Budget, Headroom, Priority, Refusal

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "gateway.md"
T0 = 1_763_700_000_000_000
CENT = 10_000_000
POLICY = load_policy("""
[tiers.large]
models = ["claude-opus-5-5"]
[routing]
default_tier = "large"
[degradation]
mode = "steps"
steps = [{ below = 0.5, only = ["high"] }]
""")


def documented() -> Iterator[tuple[str, str, set[str]]]:
    """Code, case and fields of each row."""
    text = PAGE.read_text("utf-8").partition("### What a refusal for money tells")[2].partition("\n###")[0]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0].startswith("`outlay_"):
            yield cells[0].strip("`"), cells[1], set(re.findall(r"`(\w+)`", cells[2]))


def of_ledger(*costs: int, budget: int | None = None, paid: int | None = None) -> Refused:
    """What the last of some calls is refused with; the first may be settled at another cost."""
    ledger = MemoryLedger()
    ledger.do(books.OpenAccount("acme", "open", T0, "UTC", 100 * CENT, None))
    if budget is not None:
        ledger.do(books.SetBudget("acme", "budget", T0, budget))
    for number, cost in enumerate(costs):
        offers = (books.Offer(cost, cost),)
        made = ledger.do(books.Reserve("acme", f"k{number}", T0, f"h{number}", offers))
        if paid is not None and number == 0:
            ledger.do(books.Settle("acme", "settle", T0, "h0", paid))
    assert isinstance(made, books.Refused), made
    return refusals.from_ledger("d", "acme", made, T0)


def of_step(headroom: Headroom) -> Refused:
    """What a step refuses a call of low priority with."""
    refused = priority_refusal(POLICY, Priority.LOW, 1, smallest_share(headroom))
    assert refused is not None
    return refusals.from_router("d", refused, T0)


def of_pace() -> Refused:
    """What pacing refuses a call of low priority with."""
    outlook = Outlook("tenant/day", 0.5, CENT, CENT, CENT, CENT, T0, within_day=True)
    rung = Rung(0, None, None, (Priority.LOW,), 1.0)
    refused = refusal(Tide(outlook, CENT, None, None, rung, PaceState(1, T0)), Priority.LOW, 0)
    assert isinstance(refused, Refusal)
    return refusals.from_router("d", refused, T0)


def over_its_share() -> Refused:
    """What a workflow refuses a step with."""
    refused = refusals.over_share("d", 2 * CENT, CENT)
    assert refused is not None
    return refused


def budget(spent: int) -> Headroom:
    """A budget of a dollar."""
    return Headroom((Budget("tenant/day", 100 * CENT, spent, resets_us=T0 + 1),))


CREDIT = Headroom(credit_available_nanos=CENT, credit_expected_nanos=CENT, credit_full_nanos=100 * CENT)
FULL = books.Refused(books.Reason.QUEUE_FULL, {"queue_max": 8})
CASES = {
    "too little credit for the call": of_ledger(101 * CENT),
    "the tenant owes money": of_ledger(100 * CENT, CENT, paid=150 * CENT),
    "too little of a budget for the call": of_ledger(2 * CENT, budget=CENT),
    "a budget is spent, and a step refuses": of_step(budget(100 * CENT)),
    "calls in flight hold the credit": of_ledger(60 * CENT, 60 * CENT),
    "calls in flight hold the budget": of_ledger(CENT, CENT, budget=CENT),
    "too many calls wait for the books": refusals.from_ledger("d", "acme", FULL, T0),
    "a step refuses, by a budget": of_step(budget(60 * CENT)),
    "a step refuses, by the credit": of_step(CREDIT),
    "pacing refuses": of_pace(),
    "a step of a workflow may cost too much": over_its_share(),
}


@pytest.mark.parametrize("case", CASES)
def test_the_fields_of_a_refusal_for_money_are_documented(case: str) -> None:
    """Every case has its row, with its code and exactly its fields."""
    rows = {told: (code, fields) for code, told, fields in documented()}
    assert set(rows) == set(CASES)
    details = CASES[case].details
    assert rows[case] == (details["error_code"], set(details) - {"error_code", "decision_id"})
