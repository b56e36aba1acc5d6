"""
A call that tells its own end after an operator has told its cost, on both engines: its money stays as the
operator said, and what it says of itself is recorded once.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from ledger import Ledger, reads
from ledger.types import Settle
from outlay import closing, records
from outlay.admin.books import verify
from outlay.admin.captured import settle
from outlay.admin.decisions import explain, list_decisions
from outlay.admin.money import balance
from outlay.calls import CallRequest, Completed, Done
from outlay.client import Call, Calls
from outlay.clock import now_us
from outlay.effects import CloseHold
from outlay.wiring import App

pytestmark = pytest.mark.usefixtures("acme")
BODY = {"model": "claude-opus-5-5", "max_tokens": 1_000, "messages": [{"role": "user", "content": "hello"}]}
ANSWER = Completed("claude-opus-5-5", {"input_tokens": 100, "output_tokens": 50})
COST = "0.0014"
"""100 tokens at 4 USD and 50 at 20 USD per million."""
HOUR_US = 3_600 * 1_000_000


@pytest.fixture
def calls(app: App) -> Iterator[Calls]:
    """The driver of calls."""
    made = Calls(app)
    yield made
    made.close()


def begun(calls: Calls) -> tuple[Call, str]:
    """Send a call, and return it with its hold."""
    call = calls.start(CallRequest("acme", BODY))
    assert call.sending is not None
    return call, call.sending.decision_id


def sums(app: App) -> dict[str, Any]:
    """Return the money of the books, and what pacing and the breakers have counted of calls."""
    counted = {
        "transfers": "SELECT count(*) FROM ledger_transfer",
        "decisions": "SELECT count(*) FROM outlay_decision",
        "demand": "SELECT sum(calls) FROM outlay_demand",
        "health": "SELECT sum(calls) FROM circuit_call_bucket",
    }
    with app.reading() as connection:
        found = {name: connection.execute(text(query)).scalar_one() for name, query in counted.items()}
    return {**found, "balance": balance(app, "acme")}


def repeat(app: App, calls: Calls, hold_id: str) -> None:
    """Tell the call's end again, as another process would from the plan that is kept with the hold."""
    with app.reading() as connection:
        hold = reads.hold(connection, hold_id)
    assert hold is not None
    plan = records.read_plan(hold.plan)
    assert plan is not None
    held = closing.Held("acme", hold_id, hold.cost_bound_nanos, plan)
    done = closing.close(held, ANSWER, app.prices, now_us())
    assert isinstance(done.op, Settle)
    calls.engine.perform(CloseHold(done.op, done.row))


@pytest.mark.parametrize("told", [COST, "0.002", "0"])
@pytest.mark.parametrize("tapped", [True, False])
def test_a_call_that_tells_its_end_after_an_operator_is_recorded_once(
    app: App, calls: Calls, told: str, tapped: bool
) -> None:
    """
    Its hold expired and was settled by hand, at the very cost or at another: no money moves, the tokens are
    in the log, pacing and breakers count the call once, however often it is told, and the books agree.

    Untapped, the capture left no record, so that of the call itself is written, with the cost that it names.
    """
    call, hold_id = begun(calls)
    if tapped:
        app.ledger.sweep(now_us() + HOUR_US)
    else:
        bare = Ledger(app.engine)
        bare.sweep(now_us() + HOUR_US)
        bare.close()
    settle(app, hold_id, told, reason="invoice", actor="fin")
    before = sums(app)
    assert isinstance(call.resume(ANSWER), Done)
    after = sums(app)
    assert after == {**before, "decisions": 1, "demand": 1, "health": 1}
    shown = explain(app, hold_id)
    assert (shown["usage"], shown["reasons"][0]["code"]) == (ANSWER.usage, "asked_model")
    assert shown["cost_usd"] == {"0": "0.00"}.get(told, told)
    assert (shown["outcome"], shown["recorded_cost_usd"]) == (
        ("uncertain", None) if tapped else ("served", COST)
    )
    assert list_decisions(app)["decisions"][0]["cost_usd"] == shown["cost_usd"]
    repeat(app, calls, hold_id)
    assert sums(app) == after
    assert explain(app, hold_id) == shown
    assert verify(app)["problems"] == []
