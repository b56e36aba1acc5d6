"""
The decision record: from a plan to a row, and back from a hold whose owner died.
"""

import json
from dataclasses import replace

import pytest

from ledger.types import HoldEvent
from outlay import records
from outlay.tables import decision
from router.codec import to_json
from router.types import Choice, Counterfactual, Offer, Priority, Reason

T0 = 1_763_700_000_000_000
OFFERS = (
    Offer("claude-opus-5-5", "large", "high", 500, 20, 10),
    Offer("claude-haiku-5-5", "small", None, 250, 2, 1),
)
CHOICE = Choice(
    asked_model="claude-opus-5-5",
    asked_tier="large",
    priority=Priority.HIGH,
    level=1,
    ratio=0.4,
    gauge="tenant/day",
    offers=OFFERS,
    reasons=(Reason("below_step", "below half", {"ratio": 0.4}),),
    counterfactual=Counterfactual("claude-opus-5-5", "large", "high", 500, 20, 10),
)


def opened() -> dict[str, object]:
    """A record as a call begins it."""
    return records.opened(id="d1", tenant="acme", at_us=T0, surface="gateway", asked_model="claude-opus-5-5")


def test_a_row_has_every_column_of_its_table() -> None:
    """Whatever was known when the call ended, its row fits `outlay_decision` exactly."""
    columns = {column.name for column in decision.columns}
    assert set(records.row(opened(), outcome="refused", finished_us=T0)) == columns
    plan = {**records.decided(opened(), CHOICE), "offer": 1}
    assert set(records.row(plan, outcome="served", finished_us=T0, cost_nanos=1)) == columns


def test_each_plan_names_its_own_offer() -> None:
    """The plan kept with a hold says which of the offers it was held for."""
    texts = records.plans(records.decided(opened(), CHOICE), OFFERS)
    for index, text in enumerate(texts):
        plan = records.read_plan(text)
        assert plan is not None
        assert records.offer_of(plan)["model"] == OFFERS[index].model
        row = records.row(plan, outcome="served", finished_us=T0)
        assert (row["served_model"], row["max_tokens"]) == (OFFERS[index].model, OFFERS[index].max_tokens)
        assert (row["priority"], row["level"], row["gauge"]) == ("high", 1, "tenant/day")
        assert row["hold_id"] == "d1"


def test_reasons_from_before_the_choice_come_first() -> None:
    """An open breaker that was only observed is told before the router's own reasons."""
    before = Reason("outlay_runaway_halt", "observed only")
    record = records.decided(opened(), CHOICE, (before,))
    assert [one["code"] for one in json.loads(record["reasons"])] == ["outlay_runaway_halt", "below_step"]


def test_a_row_names_the_reasons_of_its_choice_and_of_its_offer_once() -> None:
    """In order, with a blank between; other offers' reasons are none of the call's."""
    own = Reason("affordability", "max_tokens fits the money"), Reason("below_step", "named twice")
    offers = (
        replace(OFFERS[0], reasons=(Reason("other", "of the offer not held"),)),
        replace(OFFERS[1], reasons=own),
    )
    plan = {**records.decided(opened(), replace(CHOICE, offers=offers)), "offer": 1}
    row = records.row(plan, outcome="served", finished_us=T0)
    assert (row["codes"], row["spared_nanos"]) == ("affordability below_step", None)
    assert records.row(opened(), outcome="refused", finished_us=T0)["codes"] == ""


@pytest.mark.parametrize("nanos", [-3, 0, 7])
def test_a_row_says_what_the_change_that_was_not_made_would_have_cost(nanos: int) -> None:
    """As its reason tells it, also where it would have saved something, or nothing."""
    told = Reason("switch_suppressed_cache", "the cache would be lost", {"cost_nanos": nanos})
    record = records.decided(opened(), replace(CHOICE, reasons=(told,)))
    row = records.row(record, outcome="refused", finished_us=T0)
    assert (row["codes"], row["spared_nanos"]) == ("switch_suppressed_cache", nanos)


@pytest.mark.parametrize("text", ["", "{", "7", "[]", "{}", '{"id": "d1"}', "null"])
def test_a_plan_of_another_making_is_no_plan(text: str) -> None:
    """A hold that the ledger's own users made has no plan, and its capture writes no record."""
    assert records.read_plan(text) is None
    assert records.captured_row(HoldEvent("captured", "acme", "d1", 0, T0, T0 + 1, text)) is None


@pytest.mark.parametrize(
    "odd", [{"offers": 7}, {"offers": "x"}, {"offer": "a"}, {"offer": None}, {"usage": 1}]
)
def test_a_capture_never_fails_over_its_plan(odd: dict[str, object]) -> None:
    """A plan that reads oddly makes no record, or a plain one; the capture of its money goes on."""
    text = json.dumps({**records.decided(opened(), CHOICE), "offer": 0, **odd})
    row = records.captured_row(HoldEvent("captured", "acme", "d1", 0, T0, T0 + 1, text))
    assert row is None or row["code"] == "captured"


def test_a_plan_of_an_older_version_lacks_nothing() -> None:
    """A hold that was open while Outlay was upgraded is closed and captured: newer columns are blank."""
    plan = {**records.decided(opened(), CHOICE), "offer": 0}
    for name in ("ratio", "gauge", "counterfactual", "would", "geo", "tags"):
        del plan[name]
    read = records.read_plan(json.dumps(plan))
    assert read is not None
    assert (read["ratio"], read["tags"], read["geo"]) == (None, "{}", None)
    assert records.captured_row(HoldEvent("captured", "acme", "d1", 0, T0, T0 + 1, json.dumps(plan)))


def test_a_captured_hold_becomes_a_record() -> None:
    """The record of a captured hold says that nobody knows what was billed."""
    text = records.plans(records.decided(opened(), CHOICE), OFFERS)[0]
    row = records.captured_row(HoldEvent("captured", "acme", "d1", 0, T0, T0 + 9, text))
    assert row is not None
    assert (row["outcome"], row["code"], row["finished_us"]) == ("uncertain", "captured", T0 + 9)
    assert row["cost_nanos"] is None


def test_text_that_no_database_takes_is_escaped() -> None:
    """A NUL or a lone surrogate from a caller cannot keep a hold or a refusal from being written."""
    record = opened() | {"asked_model": "a\x00b", "task": "\ud800", "inputs": to_json({"t": "\ud800\x00ä"})}
    row = records.row(record, outcome="refused", finished_us=T0)
    for value in row.values():
        if isinstance(value, str):
            assert "\x00" not in value
            value.encode("utf-8")
    assert json.loads(str(row["inputs"])) == {"t": "\ud800\x00ä"}
    (text,) = records.plans(record, OFFERS[:1])
    assert "\x00" not in text
    text.encode("utf-8")
    assert records.read_plan(text) is not None


def test_ordinary_text_is_stored_as_it_is() -> None:
    """Only what cannot be stored is escaped: other alphabets, lines and tabs stay."""
    record = opened() | {"task": "übersetzen/日本\n\t"}
    assert records.row(record, outcome="refused", finished_us=T0)["task"] == "übersetzen/日本\n\t"
