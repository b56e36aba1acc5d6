"""
Why one call went as it did: its reasons with their numbers, its money, its offers, attempts and scores.
"""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from dashboard import session
from dashboard.money_text import (
    NONE,
    OF_CALLS,
    amount,
    exact,
    moment,
    on_clock,
    percent,
    plain,
    times_of,
    words,
    zoned,
)
from ledger.read_models import HoldRow
from outlay import reports_routing
from outlay.reports_routing import Why
from pricing.money import PPM

_WITHOUT: Final[Mapping[str, str]] = {"refused": "was refused", "failed": "failed"}
_UNSEEN: Final[Mapping[str, str]] = {
    "open": "Nobody saw how it ended. Its hold stands until it expires, and is captured then.",
    "expired": "Nobody saw how it ended, so its hold was captured; `outlay settle` books what was billed.",
    "released": "Nobody saw how it ended; its hold was given back later.",
    "settled": "Nobody saw how it ended; what the provider billed was told later.",
}
"""What stands behind an uncertain call, by the state of its hold."""


def explain(decision_id: str, zone: str) -> None:
    """
    Show everything that explains a decision, on the clock of a zone.
    """
    found, error = session.attempt(lambda: reports_routing.why(session.books(), decision_id))
    if error is not None:
        session.show_error(error)
    elif found is None:
        st.error("No decision has this id. Copy it from the `outlay-decision-id` header of an answer.")
    else:
        with st.container(border=True):
            _why(found, zone)


def _why(found: Why, zone: str) -> None:
    record = found.record
    st.markdown(f"#### {_title(record)}")
    st.caption(
        plain(f"{record['tenant']}, {zoned(record['at_us'], zone, seconds=True)}, ")
        + plain(f"role {found.role}, " if found.role else "")
        + f"{record['priority']} priority, policy version {record['policy_version']}"
        + f" {'for everybody' if record['policy_tenant'] == '*' else 'of the tenant'}, `{record['id']}`"
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        _reasons(found, zone)
    with right:
        _money(found, zone)
    _offers(found)
    _attempts(found)
    _scores(found, zone)


def _title(record: Mapping[str, Any]) -> str:
    asked, outcome = plain(str(record["asked_model"])), record["outcome"]
    if outcome in _WITHOUT:
        return f"Why the call of {asked} {_WITHOUT[outcome]}"
    return f"Why {asked} was served by {plain(str(record['served_model']))}"


def _reasons(found: Why, zone: str) -> None:
    st.markdown("**Reasons, in order**")
    if not found.reasons:
        st.caption(
            "None: nothing stood in the way of what was asked."
            if found.hold
            else "The call was refused first."
        )
    for place, reason in enumerate(found.reasons, start=1):
        numbers = ", ".join(
            f"{_name(name)} {_number(name, value, zone)}" for name, value in reason.numbers.items()
        )
        told = f"{reason.code}: {numbers}" if numbers else reason.code
        st.markdown(f"{place}. {plain(on_clock(reason.text, zone))}  \n:small[:gray[{plain(told)}]]")
    if found.record["outcome"] != "served":
        code = f": {words(found.record['code'])}" if found.record["code"] else ""
        st.markdown(f"**Ended as {found.record['outcome']}{plain(code)}.**")


def _attempts(found: Why) -> None:
    if not found.attempts:
        return
    st.markdown("**Attempts of this call**")
    st.dataframe(
        {
            "": ["this one" if one["id"] == found.record["id"] else "" for one in found.attempts],
            "Strategy": [words(one["strategy"]) if one["strategy"] else "first" for one in found.attempts],
            "Model": [one["served_model"] for one in found.attempts],
            "Tier": [one["served_tier"] for one in found.attempts],
            "Ended": [one["outcome"] for one in found.attempts],
            "Cost": [
                NONE if one["cost_nanos"] is None else exact(one["cost_nanos"]) for one in found.attempts
            ],
            "Decision": [one["id"] for one in found.attempts],
        },
        hide_index=True,
        width="stretch",
    )


def _scores(found: Why, zone: str) -> None:
    if found.record["outcome"] in _WITHOUT and not found.scores:
        return  # there is no answer to be judged
    st.markdown("**Scores of the answer**")
    if not found.scores:
        st.caption(f"Nobody has judged it yet: `outlay score {found.record['id']} pass`.")
        return
    st.dataframe(
        {
            "Score": [percent(score.score_ppm / PPM) for score in found.scores],
            "Source": [score.source for score in found.scores],
            "Weight": [percent(score.weight_ppm / PPM) for score in found.scores],
            "Model": [score.served_model for score in found.scores],
            "Who": [score.actor for score in found.scores],
            "When": [moment(score.at_us, zone, seconds=True) for score in found.scores],
            "Counts": [score.id in found.counted for score in found.scores],
            "Comment": [score.comment for score in found.scores],
        },
        column_config={
            "Score": st.column_config.NumberColumn(format="%d %%", help="0 % is wrong, 100 % is right"),
            "Weight": st.column_config.NumberColumn(format="%d %%", help="How sure the judge is"),
            "Counts": st.column_config.CheckboxColumn(help="Of each source and model the newest counts"),
        },
        hide_index=True,
        placeholder=NONE,
    )
    st.caption(times_of(zone))


def _name(name: str) -> str:
    """Leave out the unit, which the number itself is written in."""
    return words(name.removesuffix("_nanos").removesuffix("_us").removesuffix("_usd"))


def _number(name: str, value: Any, zone: str) -> str:
    """Write a number of a reason in its unit, which the end of its name tells."""
    if isinstance(value, int) and name.endswith("_nanos"):
        return exact(value)
    if isinstance(value, int) and name.endswith("_us"):
        return zoned(value, zone, seconds=True)
    if isinstance(value, str):
        return f"${value}" if name.endswith("_usd") else on_clock(value, zone)
    if isinstance(value, float):
        return f"{value:.4g}"
    return NONE if value is None else str(value)


def _offers(found: Why) -> None:
    rows = [
        ("served" if offer.taken else f"offer {place}", offer)
        for place, offer in enumerate(found.offers, start=1)
    ]
    if found.road_not_taken is not None:
        rows.append(("as asked, at full quality", found.road_not_taken))
    if not rows:
        return
    st.markdown("**Offers, best first, and the road not taken**")
    st.dataframe(
        {
            "": [name for name, _ in rows],
            "Model": [offer.model for _, offer in rows],
            "Tier": [offer.tier for _, offer in rows],
            "Effort": [offer.effort for _, offer in rows],
            "max_tokens": [offer.max_tokens for _, offer in rows],
            "Expected": [amount(offer.expected_cost_nanos) for _, offer in rows],
            "At most": [amount(offer.cost_bound_nanos) for _, offer in rows],
        },
        column_config={
            "Expected": st.column_config.NumberColumn(format=OF_CALLS),
            "At most": st.column_config.NumberColumn(format=OF_CALLS),
        },
        hide_index=True,
        placeholder=NONE,
    )


def _money(found: Why, zone: str) -> None:
    st.markdown("**Hold and settlement**")
    record, hold = found.record, found.hold
    if hold is None:
        st.caption("Nothing was held, nothing was spent.")
        return
    lines = {
        "Held of the credit": exact(hold.amount_nanos),
        "At most, as billed": exact(hold.cost_bound_nanos),
        "Cost, as billed": exact(hold.cost_nanos),
        "Cost, as recorded at first": _recorded(record, hold),
        "Charged to the tenant": exact(hold.charge_nanos),
        "Cost as asked": exact(record["asked_cost_nanos"]),
        "Refunded": exact(hold.refunded_nanos) if hold.refunded_nanos else None,
        "Owed": exact(hold.debt_nanos) if hold.debt_nanos else None,
        "Borne by the operator": exact(hold.absorbed_nanos) if hold.absorbed_nanos else None,
        "State": hold.state,
        "Opened": moment(hold.opened_us, zone, seconds=True),
        "Closed": moment(hold.closed_us, zone, seconds=True),
        **_usage(record["usage"]),
    }
    shown = {name: text for name, text in lines.items() if text is not None}
    st.dataframe({"": list(shown), "Value": list(shown.values())}, hide_index=True)
    st.caption(times_of(zone))
    if record["outcome"] == "uncertain":
        st.caption(_UNSEEN[hold.state])


def _recorded(record: Mapping[str, Any], hold: HoldRow) -> str | None:
    """Write the cost that was recorded, where the books have another one since."""
    first = record["recorded_nanos"]
    return None if first is None or first == hold.cost_nanos else exact(first)


def _usage(usage: object) -> dict[str, str]:
    counts = usage if isinstance(usage, Mapping) else {}
    return {words(str(name)): f"{value:,}" for name, value in counts.items() if isinstance(value, int)}
