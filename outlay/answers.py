"""
What an answer says about its own call, as `outlay-*` headers: known before its first byte, and at its end.
"""

from collections.abc import Mapping

from ledger.types import Gauge, Held, Released, Result, Settled
from outlay.closing import Closing
from pricing.money import format_usd
from router.types import Choice, Offer, Reason


def before(
    decision_id: str, choice: Choice, offer: Offer, held: Held, reasons: tuple[Reason, ...]
) -> dict[str, str]:
    """
    Write the headers that are known once the money is held.

    Args:
        reasons: All of the decision, in order; each code is told once, so that the header stays short.
    """
    codes = dict.fromkeys(str(reason.code) for reason in reasons)
    headers = {
        "outlay-decision-id": decision_id,
        "outlay-model-asked": choice.asked_model,
        "outlay-model-served": offer.model,
        "outlay-tier-asked": choice.asked_tier or "",
        "outlay-tier-served": offer.tier or "",
        "outlay-reason": ",".join(codes),
        "outlay-hold-usd": format_usd(held.amount_nanos),
        "outlay-hold-cost-usd": format_usd(held.cost_nanos),
    }
    ratio = remaining_ratio(held.gauges)
    if ratio is not None:
        headers["outlay-budget-remaining-ratio"] = f"{ratio:.4f}"
    credit = next((gauge for gauge in held.gauges if gauge.name == "credit"), None)
    if credit is not None and credit.limit_nanos is not None:
        headers["outlay-credit-usd"] = format_usd(credit.limit_nanos - credit.held_nanos)
    return headers


def attempts(tried: int) -> dict[str, str]:
    """
    Write the header that counts the attempts of a call, given how many ended before this one.
    """
    return {"outlay-attempts": str(tried + 1)}


def after(closing: Closing, booked: Result | None) -> Mapping[str, str]:
    """
    Write the headers that are known once the call is closed; one that may have been billed is not repeated.

    Args:
        booked: The ledger's answer; without one the charge is not known yet.
    """
    if closing.outcome == "uncertain":
        return {"x-should-retry": "false"}
    known = {} if closing.cost_nanos is None else {"outlay-cost-usd": format_usd(closing.cost_nanos)}
    if isinstance(booked, Settled | Released):
        charge_nanos = booked.charge_nanos if isinstance(booked, Settled) else 0
        known["outlay-charge-usd"] = format_usd(charge_nanos)
    return known


def remaining_ratio(gauges: tuple[Gauge, ...]) -> float | None:
    """
    Give the smallest share left over all budgets, holds counted at expected cost; None without a budget.
    """
    shares = [
        (gauge.limit_nanos - gauge.spent_nanos - gauge.expected_held_nanos) / gauge.limit_nanos
        if gauge.limit_nanos
        else 0.0
        for gauge in gauges
        if gauge.name != "credit" and gauge.limit_nanos is not None
    ]
    return None if not shares else max(0.0, min(shares))
