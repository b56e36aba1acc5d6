"""
What is written about a call that ended: its cost, its record, and what stays held.
"""

import json
from typing import Any

import pytest

from ledger.types import Release, Settle
from outlay import closing, records
from outlay.calls import Broken, Completed, Failed, NotSent, Uncertain
from outlay.closing import Held
from pricing.cost import cost_nanos
from pricing.load import load_prices
from pricing.usage import Usage
from router.codec import to_json
from router.observe import counterfactual
from router.types import Offer

T0 = 1_763_700_000_000_000
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
OFFER = Offer(HAIKU, "small", None, 500, 2_000_000, 1_000_000)
ASKED = Offer(OPUS, "large", "high", 500, 20_000_000, 10_000_000)


def held(*, geo: str | None = None, speed: str = "standard", cost: int = 2_000_000) -> Held:
    """A hold for a call that asked for opus and is served by haiku."""
    plan = records.opened(id="d1", tenant="acme", at_us=T0, surface="gateway", asked_model=OPUS)
    plan |= {"geo": geo, "speed": speed}
    plan |= {"offers": to_json((OFFER,)), "counterfactual": to_json(counterfactual(ASKED)), "offer": 0}
    return Held("acme", "d1", cost, plan)


def priced(model: str, usage: Usage, ppm: int = 1_000_000) -> int:
    """The price that `pricing` gives for plain counts."""
    return cost_nanos(usage, load_prices().price(model, T0), geo_ppm=ppm)


USAGE = {"input_tokens": 1_000, "output_tokens": 300, "cache_read_input_tokens": 50}
COUNTS = Usage(input_tokens=1_000, output_tokens=300, cache_read_input_tokens=50)


def test_a_complete_answer_costs_what_pricing_says() -> None:
    """The settlement is the usage at the served model's price; the asked model's stands beside it."""
    done = closing.close(held(), Completed(HAIKU, USAGE), load_prices(), T0 + 5)
    assert isinstance(done.op, Settle)
    assert done.cost_nanos == done.op.cost_nanos == done.row["cost_nanos"] == priced(HAIKU, COUNTS)
    assert done.row["asked_cost_nanos"] == priced(OPUS, COUNTS)
    assert (done.outcome, done.output_tokens) == ("served", 300)
    assert json.loads(done.op.detail) == USAGE
    assert (done.op.key, done.op.now_us, done.row["finished_us"]) == ("settle:d1", T0 + 5, T0 + 5)


def test_the_model_that_answered_is_the_one_that_is_billed() -> None:
    """A server-side fallback answers with another model; its price counts, not that of the offer."""
    done = closing.close(held(), Completed(OPUS, USAGE), load_prices(), T0)
    assert done.cost_nanos == priced(OPUS, COUNTS)


def test_the_region_of_the_upstream_counts_where_the_answer_names_none() -> None:
    """An upstream with a dearer region is billed at its multiplier; an answer that names its own keeps it."""
    plain = closing.close(held(), Completed(OPUS, USAGE), load_prices(), T0)
    us = closing.close(held(geo="us"), Completed(OPUS, USAGE), load_prices(), T0)
    world = closing.close(
        held(geo="us"), Completed(OPUS, {**USAGE, "inference_geo": "global"}), load_prices(), T0
    )
    assert us.cost_nanos == priced(OPUS, COUNTS, 1_100_000)
    assert world.cost_nanos == plain.cost_nanos


def test_the_speed_that_was_asked_for_counts_where_the_answer_names_none() -> None:
    """A fast call is billed as fast where its model can be, unless the answer says that it was not."""
    fast = cost_nanos(COUNTS, load_prices().price(OPUS, T0, speed="fast"))
    for usage, model, cost in (
        (USAGE, OPUS, fast),
        ({**USAGE, "speed": "standard"}, OPUS, priced(OPUS, COUNTS)),
        (USAGE, HAIKU, priced(HAIKU, COUNTS)),
    ):
        done = closing.close(held(speed="fast"), Completed(model, usage), load_prices(), T0)
        assert done.cost_nanos == cost


def test_a_broken_stream_costs_at_most_what_was_seen() -> None:
    """A stream that broke is settled at one token per byte seen, and never above max_tokens."""
    for seen, tokens in ((40, 40), (10_000, 500), (0, 1)):
        usage = {"input_tokens": 1_000, "output_tokens": 1}
        done = closing.close(held(), Broken(HAIKU, usage, seen), load_prices(), T0)
        assert done.outcome == "broken"
        assert done.cost_nanos == priced(HAIKU, Usage(input_tokens=1_000, output_tokens=tokens))
        assert done.output_tokens is None  # an estimate teaches nothing about usual answers


def test_a_cost_above_the_bound_is_booked_and_told() -> None:
    """A true cost above what was held is settled in full, and the record holds both numbers."""
    cost = priced(HAIKU, COUNTS)
    done = closing.close(held(cost=cost - 7), Completed(HAIKU, USAGE), load_prices(), T0)
    assert (done.cost_nanos, done.row["cost_nanos"], done.row["held_nanos"]) == (cost, cost, cost - 7)


@pytest.mark.parametrize(
    "outcome",
    [
        Completed(HAIKU, {}),
        Completed(HAIKU, {"input_tokens": -1, "output_tokens": 1}),
        Completed(HAIKU, {"input_tokens": "many", "output_tokens": 1}),
        Completed(HAIKU, {"input_tokens": 1.5, "output_tokens": 1}),
        Completed(HAIKU, {**USAGE, "iterations": "none"}),
        Completed(HAIKU, {**USAGE, "inference_geo": "mars"}),
        Completed(HAIKU, {**USAGE, "speed": "warp"}),
        Completed("claude-nobody", USAGE),
        Broken(HAIKU, {}, 100),
        Broken(HAIKU, {"input_tokens": None}, 100),
        Uncertain("connection lost"),
    ],
)
def test_what_cannot_be_priced_leaves_the_hold(outcome: Any) -> None:
    """Usage that nobody can read or price is never booked as zero: the hold stays, to be captured."""
    done = closing.close(held(), outcome, load_prices(), T0)
    assert (done.op, done.outcome, done.cost_nanos) == (None, "uncertain", None)
    assert done.row["cost_nanos"] is None
    assert done.row["hold_id"] == "d1"
    assert len(str(done.row["code"])) <= 80


@pytest.mark.parametrize(
    ("outcome", "code", "why"),
    [
        (Failed(529, "overloaded_error", "busy"), "busy", "busy"),
        (Failed(529, "overloaded_error"), "overloaded_error", "overloaded_error"),
        (Failed(502), "provider_error", "provider_error"),
        (NotSent("no route to host"), "not_sent", "no route to host"),
        (NotSent(""), "not_sent", "not_sent"),
    ],
)
def test_what_the_provider_does_not_bill_is_released(outcome: Any, code: str, why: str) -> None:
    """An error answer, or a call that never got there, costs the tenant nothing and says so."""
    done = closing.close(held(), outcome, load_prices(), T0)
    assert isinstance(done.op, Release)
    assert (done.op.why, done.op.key) == (why, "release:d1")
    assert (done.row["outcome"], done.row["code"], done.row["cost_nanos"]) == ("failed", code, 0)


def test_usage_with_objects_of_a_caller_is_settled_all_the_same() -> None:
    """In process a usage may hold what JSON does not know; the call is closed, not lost over its record."""
    done = closing.close(held(), Completed(HAIKU, {**USAGE, "extra": {1, 2}}), load_prices(), T0)
    assert done.cost_nanos == priced(HAIKU, COUNTS)
    assert isinstance(done.op, Settle)
    assert json.loads(done.op.detail)["extra"] == "{1, 2}"


def test_a_caller_that_reports_a_cost_is_settled_at_it() -> None:
    """For calls that Outlay did not send the caller's own number counts, zero included."""
    for cost in (0, 5):
        done = closing.settled_at(held(), cost, None, T0)
        assert (done.cost_nanos, done.outcome, done.row["usage"]) == (cost, "served", None)


def test_a_withdrawn_call_is_a_refusal_with_its_hold() -> None:
    """A call that is refused after its hold is recorded as refused, and its hold is released."""
    done = closing.withdrawn(held(), "outlay_kill_switch", T0)
    assert isinstance(done.op, Release)
    assert (done.row["outcome"], done.row["code"]) == ("refused", "outlay_kill_switch")
    assert done.row["hold_id"] == "d1"
