"""
A call that was captured at its hold, and the truth about it.
"""

from collections.abc import Callable

import pytest

from ledger import reads
from outlay.admin.books import verify
from outlay.admin.captured import settle_captured
from outlay.admin.money import balance
from outlay.calls import Completed, Uncertain
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected
from outlay.wiring import App

MakeCall = Callable[..., str]

pytestmark = pytest.mark.usefixtures("acme")


def expired(app: App, make_call: MakeCall) -> str:
    """Make a call that nobody saw the end of, and let its hold expire."""
    hold_id = make_call(outcome=Uncertain("no_answer"))
    app.ledger.sweep(now_us() + 3_600 * 1_000_000)
    return hold_id


@pytest.mark.parametrize(("cost", "left"), [("0.001248", "19.998752"), ("0", "20.00")])
def test_the_truth_corrects_a_capture(app: App, make_call: MakeCall, cost: str, left: str) -> None:
    """The tenant gets back what was captured above the true cost; telling it twice changes nothing."""
    hold_id = expired(app, make_call)
    told = settle_captured(app, hold_id, cost, reason="the provider's bill of May", actor="fin")
    assert told["replayed"] is False
    assert balance(app, "acme")["credit_usd"] == left
    again = settle_captured(app, hold_id, cost, reason="told by somebody else, too", actor="ann")
    assert again["replayed"] is True
    assert balance(app, "acme")["credit_usd"] == left
    assert verify(app)["ok"]


def test_only_what_expired_is_corrected_by_hand(app: App, make_call: MakeCall) -> None:
    """A settled call is corrected by a refund, one in flight is closed by who sent it; nothing is written."""
    hold_id = make_call(outcome=Completed("claude-opus-5-5", {"input_tokens": 5, "output_tokens": 5}))
    with pytest.raises(Rejected, match="settled"):
        settle_captured(app, hold_id, "1", reason="r", actor="fin")
    with pytest.raises(Rejected, match="no hold"):
        settle_captured(app, "nothing", "1", reason="r", actor="fin")
    with pytest.raises(BadInput, match="reason"):
        settle_captured(app, hold_id, "1", reason="", actor="fin")
    with app.reading() as connection:
        hold = reads.hold(connection, hold_id)
    assert hold is not None
    assert hold.cost_nanos == 5 * 4_000 + 5 * 20_000
