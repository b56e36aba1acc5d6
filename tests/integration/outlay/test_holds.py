"""
Holds for callers that talk to a provider themselves, blocking and asynchronous, on both engines.
"""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from held import Holds
from hello import BODY, OPUS, USAGE, Select

from ledger.types import Correct
from outlay.admin.money import set_budget
from outlay.admin.policies import apply_policy
from outlay.admin.tenants import create_tenant
from outlay.aio import AsyncCalls
from outlay.calls import CallRequest, Completed, Refused
from outlay.client import Calls
from outlay.errors import BadInput
from outlay.wiring import App
from pricing.cost import cost_nanos
from pricing.money import parse_usd
from pricing.usage import Usage
from router.policy import default_policy_text
from router.types import Rights

HAIKU = "claude-haiku-5-5"
OFFERS = [{"name": "big", "cost_usd": "2", "expected_usd": "1"}, {"name": "small", "cost_usd": "0.02"}]
WALLET = 20 * 10**9

pytestmark = pytest.mark.usefixtures("acme", "books_are_right")


@pytest.fixture
def holds(calls: Calls) -> Holds:
    """The blocking holds of the app."""
    return Holds(calls)


def answer(made: dict[str, Any] | Refused) -> dict[str, Any]:
    """The answer; the test fails over a refusal."""
    assert isinstance(made, dict), made
    return made


def refusal(made: dict[str, Any] | Refused) -> Refused:
    """The refusal; the test fails over an answer."""
    assert isinstance(made, Refused), made
    return made


def authorize(holds: Holds, **body: Any) -> dict[str, Any]:
    """A hold for own offers, or for what the body says."""
    return answer(holds.authorize("acme", body or {"offers": OFFERS}))


def wallet(select: Select) -> tuple[int, int]:
    """Posted and held credit of acme."""
    (row,) = select("SELECT wallet, held FROM ledger_account WHERE tenant = 'acme'")
    return row["wallet"], row["held"]


# authorize


def test_the_first_offer_that_fits_is_held(app: App, holds: Holds, select: Select) -> None:
    """With room the best offer is taken; with less the next; with none the call is refused."""
    made = authorize(holds)
    assert (made["offer"], made["model"], made["held_usd"]) == (0, "big", "2.00")
    assert "request" not in made
    assert made["max_tokens"] is None
    assert wallet(select) == (WALLET, 2 * 10**9)
    set_budget(app, "acme", "2.5", actor="t")
    assert authorize(holds)["model"] == "small"
    set_budget(app, "acme", "0.01", actor="t")
    refused = refusal(holds.authorize("acme", {"offers": OFFERS}))
    assert (refused.status, refused.details["needed_usd"]) == (429, "0.02")


def test_a_request_is_routed_and_translated(app: App, holds: Holds) -> None:
    """For a request the answer is the body to send, for the model and the tokens that the policy allows."""
    made = authorize(holds, request=BODY, hints={"task": "crm/x", "priority": "low"})
    assert (made["model"], made["tier"], made["max_tokens"]) == (OPUS, "large", 1_000)
    assert made["request"]["model"] == OPUS
    set_budget(app, "acme", "0.10", actor="t")
    assert refusal(holds.authorize("acme", {"request": {**BODY, "model": "gpt"}})).status == 404
    rights = Rights(loosen=True)
    pinned = holds.authorize("acme", {"request": BODY, "hints": {"pin": True}}, rights=rights)
    assert isinstance(pinned, dict | Refused)


def test_a_budget_of_a_tag_binds_a_hold(app: App, holds: Holds) -> None:
    """Tags come as an object, and count as those of the gateway's header do."""
    set_budget(app, "acme", "0", scope="tag:team=a", actor="t")
    refused = refusal(holds.authorize("acme", {"request": BODY, "hints": {"tags": {"team": "a"}}}))
    assert (refused.code, refused.details["budget_scope"]) == ("outlay_daily_budget_reached", "tag:team=a")
    assert authorize(holds, request=BODY, hints={"tags": {"team": "b"}})["model"] == OPUS


def test_a_request_is_classified_by_what_its_caller_says(app: App, holds: Holds) -> None:
    """Hints of complexity decide as the gateway's headers do."""
    mapped = 'classifier = "complexity"\n[routing.complexity]\ntrivial = { tier = "small" }\n[routing.tasks]'
    text = default_policy_text().replace('classifier = "table"', "").replace("[routing.tasks]", mapped)
    apply_policy(app, text, actor="t")
    auto = {**BODY, "model": "outlay/auto"}
    assert authorize(holds, request=auto)["tier"] == "medium"
    made = authorize(holds, request=auto, hints={"output_words": 20, "context": "low"})
    assert (made["tier"], made["reasons"][0]["numbers"]["class"]) == ("small", "trivial")


def test_a_hold_lasts_as_long_as_it_is_told(holds: Holds, clock: Any) -> None:
    """`ttl_s` counts from now; without it the policy's time holds."""
    for body, seconds in (({"offers": OFFERS, "ttl_s": 5}, 5), ({"offers": OFFERS}, 900)):
        until = datetime.fromisoformat(authorize(holds, **body)["expires_at"])
        assert abs(until.timestamp() - clock() / 1e6 - seconds) < 0.01


def test_the_same_key_makes_one_hold(holds: Holds, select: Select) -> None:
    """A repeated authorization gets its open hold again and is no refusal; closed or other, it is one."""
    first = answer(holds.authorize("acme", {"offers": OFFERS}, idempotency_key="k"))
    again = answer(holds.authorize("acme", {"offers": OFFERS}, idempotency_key="k"))
    other = refusal(holds.authorize("acme", {"offers": OFFERS[:1]}, idempotency_key="k"))
    assert again == {**first, "replayed": True}
    answer(holds.settle("acme", first["hold"], {"cost_usd": "0.01"}))
    closed = refusal(holds.authorize("acme", {"offers": OFFERS}, idempotency_key="k"))
    assert (closed.status, closed.details["first_decision"]) == (409, first["hold"])
    assert (other.status, other.details["first_decision"]) == (409, first["hold"])
    assert len(select("SELECT id FROM ledger_hold")) == 1
    refused = select("SELECT id FROM outlay_decision WHERE outcome = 'refused'")
    assert {row["id"] for row in refused} == {closed.decision_id, other.decision_id}


def test_the_same_request_under_a_key_is_answered_alike(holds: Holds) -> None:
    """A request that is authorized again is given the same hold, and is translated the same way."""
    order = {"request": {**BODY, "model": "outlay/small"}}
    first = answer(holds.authorize("acme", order, idempotency_key="k"))
    again = answer(holds.authorize("acme", order, idempotency_key="k"))
    assert again == {**first, "replayed": True}


def test_a_repeated_turn_of_a_conversation_is_sent_the_same_body(holds: Holds) -> None:
    """Thinking of the model that answered before is left out again: the model that serves now rejects it."""
    turn = authorize(holds, request={**BODY, "model": HAIKU}, hints={"session": "s"})
    answer(holds.settle("acme", turn["hold"], {"model": HAIKU, "usage": USAGE}))
    thought = {"type": "thinking", "thinking": "hm", "signature": "of haiku"}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "hello"}]}
    history = [*BODY["messages"], said, {"role": "user", "content": "go on"}]
    order = {"request": {**BODY, "messages": history}, "hints": {"session": "s"}}
    first = answer(holds.authorize("acme", order, idempotency_key="k"))
    again = answer(holds.authorize("acme", order, idempotency_key="k"))
    assert (first["model"], first["request"]["messages"][1]["content"]) == (OPUS, said["content"][1:])
    assert again == {**first, "replayed": True}


def test_an_offer_may_be_expected_to_cost_all_that_it_can(holds: Holds) -> None:
    """What is expected is at most what the offer can cost: all of it is taken, a nano more is refused."""
    holds.authorize("acme", {"offers": [{"name": "a", "cost_usd": "1", "expected_usd": "1"}]})
    with pytest.raises(BadInput, match=r'more than cost_usd.*found: "1\.000000001".*at most 1\.00'):
        holds.authorize("acme", {"offers": [{"name": "a", "cost_usd": "1", "expected_usd": "1.000000001"}]})


def test_an_offer_without_a_cost_is_told_that_it_is_missing(holds: Holds) -> None:
    """Left out or null, the cost is missing; it is not said to be wrong."""
    for offer in ({"name": "a"}, {"name": "a", "cost_usd": None}):
        with pytest.raises(BadInput, match=r"offers\[0\]\.cost_usd: is missing\. give the most"):
            holds.authorize("acme", {"offers": [offer]})


BAD_ORDERS: list[tuple[Any, str]] = [
    ({}, "offers"),
    ({"offers": OFFERS, "request": BODY}, "offers"),
    ({"offers": []}, "offers"),
    ({"offers": "x"}, "offers"),
    ({"offers": OFFERS * 11}, "offers"),
    ({"offers": [7]}, "offers[0]"),
    ({"offers": [{"cost_usd": "1"}]}, "offers[0].name"),
    ({"offers": [{"name": "a"}]}, "offers[0].cost_usd"),
    ({"offers": [{"name": "a", "cost_usd": 0.1}]}, "offers[0].cost_usd"),
    ({"offers": [{"name": "a", "cost_usd": "-1"}]}, "offers[0].cost_usd"),
    ({"offers": [{"name": "a", "cost_usd": "1e3"}]}, "offers[0].cost_usd"),
    ({"offers": [{"name": "a", "cost_usd": "99999999999999"}]}, "offers[0].cost_usd"),
    ({"offers": [{"name": "a", "cost_usd": "1", "expected_usd": "x"}]}, "offers[0].expected_usd"),
    ({"offers": [{"name": "a", "cost_usd": "1", "expected_usd": "1.000000001"}]}, "offers[0].expected_usd"),
    ({"offers": [{"name": "a", "cost_us": "1"}]}, "offers[0].cost_us"),
    ({"offer": OFFERS}, "offer"),
    ({"offers": OFFERS, "ttl_s": 0}, "ttl_s"),
    ({"offers": OFFERS, "ttl_s": "5"}, "ttl_s"),
    ({"offers": OFFERS, "ttl_s": True}, "ttl_s"),
    ({"offers": OFFERS, "ttl_s": 10**9}, "ttl_s"),
    ({"request": 7}, "request"),
    ({"request": BODY, "hints": 7}, "hints"),
    ({"request": BODY, "hints": {"tusk": "x"}}, "hints.tusk"),
    ({"request": BODY, "hints": {"task": 7}}, "hints.task"),
    ({"request": BODY, "hints": {"pin": "yes"}}, "hints.pin"),
    ({"request": BODY, "hints": {"output_words": "5"}}, "hints.output_words"),
    ({"request": BODY, "hints": {"revision": -1}}, "hints.revision"),
    ({"request": BODY, "hints": {"tags": "team=a"}}, "hints.tags"),
]


def test_a_bad_order_names_its_field(holds: Holds, select: Select) -> None:
    """Every mistake is told with its field, and nothing is held."""
    for body, field in BAD_ORDERS:
        with pytest.raises(BadInput) as caught:
            holds.authorize("acme", body)
        assert caught.value.field == field, body
        code = "outlay_invalid_hint" if field.startswith("hints.") else "outlay_invalid_request"
        assert caught.value.code == code, body
        assert caught.value.fix, body
    assert wallet(select) == (WALLET, 0)


# settle


def test_a_reported_cost_is_booked(holds: Holds, select: Select) -> None:
    """The caller's own number is the cost, and the record of the decision comes with it."""
    hold = authorize(holds)["hold"]
    done = answer(holds.settle("acme", hold, {"cost_usd": "0.75"}))
    assert done == {
        "hold": hold,
        "cost_usd": "0.75",
        "charge_usd": "0.75",
        "late": False,
        "replayed": False,
    }
    assert wallet(select) == (WALLET - 750_000_000, 0)
    (row,) = select("SELECT id, surface, outcome, cost_nanos, served_model FROM outlay_decision")
    assert (row["id"], row["surface"], row["outcome"]) == (hold, "holds", "served")
    assert (row["cost_nanos"], row["served_model"]) == (750_000_000, "big")


def test_reported_usage_is_priced(app: App, holds: Holds, clock: Any) -> None:
    """From model and usage Outlay works the cost out itself."""
    hold = authorize(holds, request=BODY)["hold"]
    usage = {"input_tokens": 1_000, "output_tokens": 200}
    done = answer(holds.settle("acme", hold, {"model": OPUS, "usage": usage}))
    price = app.prices.price(OPUS, clock())
    assert parse_usd(done["cost_usd"]) == cost_nanos(Usage(input_tokens=1_000, output_tokens=200), price)


def test_a_settlement_is_repeated_or_refused(holds: Holds, select: Select, clock: Any) -> None:
    """The same report again is the same settlement; another one is refused, and the money stays as it was."""
    hold = authorize(holds)["hold"]
    answer(holds.settle("acme", hold, {"cost_usd": "1"}))
    clock.sleep(5)
    assert answer(holds.settle("acme", hold, {"cost_usd": "1"}))["replayed"] is True
    other = refusal(holds.settle("acme", hold, {"cost_usd": "2"}))
    assert (other.status, other.code) == (409, "outlay_hold_closed")
    assert (other.details["state"], "cost_usd" in other.details) == ("settled", True)
    assert refusal(holds.release("acme", hold, {})).status == 409
    assert wallet(select) == (WALLET - 10**9, 0)


def test_a_cost_above_the_hold_is_booked(holds: Holds, select: Select) -> None:
    """The truth is never refused: what the hold does not cover comes from the credit."""
    hold = authorize(holds)["hold"]
    assert answer(holds.settle("acme", hold, {"cost_usd": "3"}))["charge_usd"] == "3.00"
    assert wallet(select) == (WALLET - 3 * 10**9, 0)


def test_a_late_settlement_corrects_the_capture(app: App, holds: Holds, select: Select, clock: Any) -> None:
    """A hold that ran out is captured; the report that comes later puts it right."""
    hold = authorize(holds)["hold"]
    clock.sleep(901)
    app.ledger.sweep(clock())
    assert wallet(select) == (WALLET - 2 * 10**9, 0)
    assert answer(holds.settle("acme", hold, {"cost_usd": "0.5"}))["late"] is True
    assert wallet(select) == (WALLET - 5 * 10**8, 0)


@pytest.mark.parametrize(
    ("report", "known"),
    [
        ({"model": OPUS, "usage": USAGE}, True),
        ({"cost_usd": "0.0014"}, True),
        ({"model": OPUS, "usage": {**USAGE, "output_tokens": 51}}, False),
        ({"cost_usd": "0.0015"}, False),
    ],
)
def test_a_report_after_an_operators_word_moves_no_money(
    app: App, holds: Holds, select: Select, clock: Any, report: dict[str, Any], known: bool
) -> None:
    """
    The operator said what an expired hold has cost: a report of that very cost is a repetition, another one
    is refused, again and again; the call is counted once.
    """
    hold = authorize(holds, request=BODY)["hold"]
    clock.sleep(901)
    app.ledger.sweep(clock())
    app.ledger.do(Correct("acme", "admin:1", clock(), hold, 1_400_000, actor="fin", reason="invoice"))
    left = wallet(select)
    for _ in range(2):
        made = holds.settle("acme", hold, report)
        if known:
            assert answer(made)["replayed"] is True
        else:
            assert (refusal(made).code, refusal(made).details["cost_usd"]) == ("outlay_hold_closed", "0.0014")
        assert wallet(select) == left
        assert select("SELECT calls FROM outlay_demand") == [{"calls": 1}]


BAD_REPORTS: list[tuple[Any, str]] = [
    ({}, "cost_usd"),
    ({"cost_usd": "x"}, "cost_usd"),
    ({"cost_usd": "-0.01"}, "cost_usd"),
    ({"cost_usd": None}, "cost_usd"),
    ({"cost_usd": "1", "usage": {}}, "usage"),
    ({"usage": {"input_tokens": 1}}, "model"),
    ({"model": OPUS, "usage": 7}, "cost_usd"),
    ({"model": OPUS, "usage": {}}, "usage"),
    ({"model": "claude-nobody", "usage": {"input_tokens": 1, "output_tokens": 1}}, "usage"),
    ({"cost": "1"}, "cost"),
]


def test_a_bad_report_names_its_field(holds: Holds, select: Select) -> None:
    """Every mistake is told with its field, and the hold stands as it stood."""
    hold = authorize(holds)["hold"]
    for body, field in BAD_REPORTS:
        with pytest.raises(BadInput) as caught:
            holds.settle("acme", hold, body)
        assert caught.value.field == field, body
    assert wallet(select) == (WALLET, 2 * 10**9)


# release and renew


def test_a_release_gives_the_money_back(holds: Holds, select: Select) -> None:
    """Nothing was billed: the money returns, and the record keeps the caller's reason with the hold."""
    hold = authorize(holds)["hold"]
    done = answer(holds.release("acme", hold, {"reason": "our user left"}))
    assert (done["hold"], done["late"], done["replayed"]) == (hold, False, False)
    assert answer(holds.release("acme", hold, {"reason": "our user left"}))["replayed"] is True
    other = refusal(holds.release("acme", hold, {"reason": "other"}))
    assert (other.code, other.details["state"]) == ("outlay_hold_closed", "released")
    assert wallet(select) == (WALLET, 0)
    assert select("SELECT outcome, code FROM outlay_decision") == [{"outcome": "failed", "code": "released"}]
    assert select("SELECT detail FROM ledger_hold") == [{"detail": "our user left"}]


def test_a_renewed_hold_lives_on(app: App, holds: Holds, select: Select, clock: Any) -> None:
    """Renewed before its end a hold stays open past it; a closed one cannot be renewed."""
    hold = authorize(holds)["hold"]
    clock.sleep(800)
    answer(holds.renew("acme", hold, {"ttl_s": 900}))
    clock.sleep(800)
    app.ledger.sweep(clock())
    assert wallet(select) == (WALLET, 2 * 10**9)
    clock.sleep(101)
    app.ledger.sweep(clock())
    assert wallet(select) == (WALLET - 2 * 10**9, 0)
    assert refusal(holds.renew("acme", hold, {"ttl_s": 900})).code == "outlay_hold_closed"


def test_a_bad_renewal_names_its_field(holds: Holds) -> None:
    """Without a time, or with one that is none, nothing changes."""
    hold = authorize(holds)["hold"]
    bad: list[dict[str, Any]] = [{}, {"ttl_s": 0}, {"ttl_s": -1}, {"ttl_s": "9"}, {"ttl_s": 5.0}]
    for body in bad:
        with pytest.raises(BadInput, match="ttl_s"):
            holds.renew("acme", hold, body)


# whose hold it is


def test_anothers_hold_does_not_exist(app: App, holds: Holds, select: Select) -> None:
    """A tenant can neither settle nor release nor renew another's hold, nor learn that there is one."""
    create_tenant(app, "thief", credit="1", timezone="UTC", actor="t")
    hold = authorize(holds)["hold"]
    for made in (
        holds.settle("thief", hold, {"cost_usd": "0"}),
        holds.release("thief", hold, {}),
        holds.renew("thief", hold, {"ttl_s": 9}),
        holds.settle("acme", "nothing", {"cost_usd": "0"}),
    ):
        assert (refusal(made).code, refusal(made).status) == ("outlay_unknown_hold", 404)
    assert wallet(select) == (WALLET, 2 * 10**9)


def test_nobody_settles_a_call_that_outlay_sends(calls: Calls, holds: Holds, select: Select) -> None:
    """A caller knows the id of its call from the answer's headers; it cannot settle it at nothing."""
    call = calls.start(CallRequest("acme", BODY))
    assert call.sending is not None
    hold = call.sending.decision_id
    assert refusal(holds.settle("acme", hold, {"cost_usd": "0"})).code == "outlay_unknown_hold"
    assert refusal(holds.release("acme", hold, {})).code == "outlay_unknown_hold"
    call.resume(Completed(OPUS, {"input_tokens": 100, "output_tokens": 50}))
    assert wallet(select)[0] < WALLET


# asynchronous


def test_the_asynchronous_holds_do_the_same(app: App, select: Select) -> None:
    """The steps are written once; a caller that is cancelled leaves its order carried out."""

    async def story() -> None:
        calls = AsyncCalls(app)
        holds = Holds(calls)
        first = answer(await holds.authorize("acme", {"offers": OFFERS}))
        answer(await holds.renew("acme", first["hold"], {"ttl_s": 60}))
        settling = asyncio.ensure_future(holds.settle("acme", first["hold"], {"cost_usd": "1"}))
        await asyncio.sleep(0)
        settling.cancel()
        second = answer(await holds.authorize("acme", {"offers": OFFERS}))
        answer(await holds.release("acme", second["hold"], {}))
        with pytest.raises(BadInput):
            await holds.authorize("acme", {"offers": []})
        await calls.close()

    asyncio.run(story())
    assert wallet(select) == (WALLET - 10**9, 0)
