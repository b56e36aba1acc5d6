"""
Calls and runs that come again under their caller's key, also from another process: nothing is paid twice.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from answering import USAGE, Answering

import outlay
from outlay import Cascade, JsonSchema, Judge, Speculative, Step, Tool, Workflow
from outlay.admin.policies import apply_policy
from outlay.calls import CallRequest, Completed, Failed
from outlay.client import Calls

POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
[routing.calibration]
required = []
[routing.fallback]
attempts = 1
"""
ASKING = POLICY.replace("[routing.calibration]", 'classifier = "llm"\n[routing.calibration]')
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
BODY: dict[str, Any] = {
    "model": "outlay/auto",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Say it in JSON."}],
}
UP = Cascade(("small", "large"), JsonSchema({"type": "object"}))
COST = {OPUS: Decimal("0.00014"), HAIKU: Decimal("0.0000035")}


class TurnedAwayError(Exception):
    """The provider's error as another make of client raises it."""

    status_code = 400
    type = "invalid_request_error"


class Provider(Answering):
    """The large model passes unless told otherwise; a classifier's question is answered, too."""

    def __init__(self, **answers: Any) -> None:
        super().__init__({OPUS: "{}", HAIKU: "no", **answers}, {"You choose the tier": "small"})


@pytest.fixture
def books(url: str) -> Iterator[outlay.Outlay]:
    """Books with one tenant of 5 USD."""
    with outlay.open(url, policy=POLICY) as opened:
        opened.create_tenant("acme", credit="5")
        yield opened


def paid(books: Any) -> Decimal:
    """What the tenant paid so far."""
    return Decimal("5") - Decimal(books.balance("acme")["credit_usd"])


def refusal(run: Callable[[], Any]) -> Any:
    """The refusal that a run is raised with."""
    with pytest.raises(outlay.CallRefused) as caught:
        run()
    return caught.value.refused


# runs


def test_a_run_that_comes_again_is_refused_unpaid(books: outlay.Outlay) -> None:
    """The second run sends nothing and names the call that its key was used by."""
    provider = Provider()
    first = books.run("acme", BODY, strategy=UP, send=provider, idempotency_key="q")
    assert (first.passed, provider.models) == (True, [HAIKU, OPUS])
    before = paid(books)
    again = refusal(lambda: books.run("acme", BODY, strategy=UP, send=provider, idempotency_key="q"))
    assert (again.code, again.status, again.retry) == ("outlay_duplicate_request", 409, False)
    assert again.details["first_decision"] == first.decision_id
    assert (len(provider.models), paid(books)) == (2, before)
    assert books.run("acme", BODY, strategy=UP, send=provider, idempotency_key="r").passed


def test_a_run_whose_second_call_was_billed_is_not_tried_again(books: outlay.Outlay) -> None:
    """The first call failed unbilled, so its number is free; the key is used by the one after it."""
    provider = Provider(**{HAIKU: TurnedAwayError()})
    first = books.run("acme", BODY, strategy=UP, send=provider, idempotency_key="q")
    assert first.passed
    well = Provider()
    again = refusal(lambda: books.run("acme", BODY, strategy=UP, send=well, idempotency_key="q"))
    assert again.details["first_decision"] == first.served_by
    assert (well.models, paid(books)) == ([], COST[OPUS])


@pytest.mark.parametrize("failing", [HAIKU, OPUS])
def test_a_run_that_may_have_been_billed_is_not_tried_again(books: outlay.Outlay, failing: str) -> None:
    """Told to stop amid its first or second call, nobody knows what it cost."""
    with pytest.raises(KeyboardInterrupt):
        books.run(
            "acme", BODY, strategy=UP, send=Provider(**{failing: KeyboardInterrupt()}), idempotency_key="q"
        )
    provider = Provider()
    again = refusal(lambda: books.run("acme", BODY, strategy=UP, send=provider, idempotency_key="q"))
    assert (again.code, provider.models) == ("outlay_duplicate_request", [])


def test_a_run_of_which_nothing_was_billed_may_be_tried_again(books: outlay.Outlay) -> None:
    """The provider turned both calls away: the key is still good."""
    with pytest.raises(TurnedAwayError):
        books.run(
            "acme",
            BODY,
            strategy=UP,
            send=Provider(**{HAIKU: TurnedAwayError(), OPUS: TurnedAwayError()}),
            idempotency_key="q",
        )
    result = books.run("acme", BODY, strategy=UP, send=Provider(), idempotency_key="q")
    assert result.passed
    assert Decimal(result.cost_usd) == paid(books)


@pytest.mark.parametrize(
    ("body", "strategy"),
    [({**BODY, "max_tokens": 100}, UP), (BODY, Cascade(("large",), JsonSchema({"type": "object"})))],
)
def test_another_request_under_the_key_is_told_so(books: outlay.Outlay, body: Any, strategy: Any) -> None:
    """Another body, or the same one asked otherwise, is not what the key stands for."""
    books.run("acme", BODY, strategy=UP, send=Provider(), idempotency_key="q")
    provider = Provider()
    other = refusal(lambda: books.run("acme", body, strategy=strategy, send=provider, idempotency_key="q"))
    assert other.code == "outlay_duplicate_request"
    assert "another request" in other.message
    assert provider.models == []


def test_runs_at_the_same_time_are_paid_once(books: outlay.Outlay) -> None:
    """Of many threads with one key one pays; the first call fails unbilled, so that all may try to go on."""
    failing = threading.local()

    def send(body: dict[str, Any]) -> Any:
        failing.count = getattr(failing, "count", 0) + 1
        if body["model"] == HAIKU:
            raise TurnedAwayError
        sent.append(body["model"])
        return Provider()(body)

    def run(_: int) -> Any:
        try:
            return books.run("acme", BODY, strategy=UP, send=send, idempotency_key="q").text
        except (outlay.CallRefused, TurnedAwayError):
            return None

    sent: list[str] = []
    with ThreadPoolExecutor(6) as pool:
        answers = [one for one in pool.map(run, range(6)) if one is not None]
    assert (answers, sent) == (["{}"], [OPUS])
    assert paid(books) == COST[OPUS]


def test_judges_need_no_number_of_the_key(books: outlay.Outlay) -> None:
    """A judged run is refused at its first call when it comes again."""
    plan = Cascade(("small", "large"), Judge("outlay/small"))
    provider = Provider(**{HAIKU: "9"})
    assert books.run("acme", BODY, strategy=plan, send=provider, idempotency_key="q").passed
    refusal(lambda: books.run("acme", BODY, strategy=plan, send=provider, idempotency_key="q"))
    assert provider.models == [HAIKU, HAIKU]


def test_a_workflow_that_comes_again_is_refused_at_its_first_call(books: outlay.Outlay) -> None:
    """All its calls share the key, more of them than a plain call may try."""
    ran: list[str] = []
    steps = (Tool("read", lambda values: ran.append("read")), *(Step(f"s{n}", BODY) for n in range(35)))
    provider = Provider()
    plan = Workflow("w", steps)
    assert books.run_workflow("acme", plan, send=provider, idempotency_key="q").complete
    again = books.run_workflow("acme", plan, send=provider, idempotency_key="q")
    assert (again.complete, again.why, again.cost_usd) == (False, "refused", "0.00")
    assert isinstance(again.error, outlay.CallRefused)
    assert again.error.refused.code == "outlay_duplicate_request"
    assert (len(provider.models), ran) == (35, ["read", "read"])


def test_runs_in_a_loop_have_keys_as_well(url: str) -> None:
    """Cascades, speculative calls and workflows of asynchronous books are paid once."""
    provider = Provider()

    async def work() -> None:
        async with outlay.open_async(url, policy=POLICY) as books:
            await books.create_tenant("acme", credit="5")
            for number, strategy in enumerate((UP, Speculative(("small", "large"), UP.verify))):
                terms: Any = {"strategy": strategy, "send": provider.in_loop, "idempotency_key": f"q{number}"}
                assert (await books.run("acme", BODY, **terms)).passed
                sent = len(provider.models)
                with pytest.raises(outlay.CallRefused, match="idempotency key"):
                    await books.run("acme", BODY, **terms)
                assert len(provider.models) == sent
            flow = Workflow("w", (Step("one", BODY),))
            for complete in (True, False):
                done = await books.run_workflow("acme", flow, send=provider.in_loop, idempotency_key="w")
                assert done.complete is complete
            assert len(provider.models) == sent + 1

    asyncio.run(work())


@pytest.mark.parametrize("key", ["", "two\nlines", 7])
def test_a_key_that_cannot_be_used_is_named(books: outlay.Outlay, key: Any) -> None:
    """As for a hold, before anything is sent."""
    with pytest.raises(outlay.BadInput, match="idempotency_key"):
        books.run("acme", BODY, strategy=UP, send=Provider(), idempotency_key=key)


# questions


KEYED = CallRequest("acme", BODY, idempotency_key="k")
SMALL = Completed(HAIKU, USAGE, {"content": [{"type": "text", "text": "small"}]})


def begun(calls: Calls, request: CallRequest = KEYED) -> Any:
    """A call whose small model is to be asked."""
    apply_policy(calls.engine._app, ASKING, actor="t")
    call = calls.start(request)
    assert call.sending is not None
    assert call.sending.link.inner
    return call


def test_a_repeated_key_pays_for_no_question(books: outlay.Outlay, url: str) -> None:
    """Another process finds the key used, so that the small model is not asked for a call that is refused."""
    call = begun(Calls(books.app))
    call.resume(SMALL)
    with outlay.open(url) as elsewhere:
        for request in (KEYED, CallRequest("acme", {**BODY, "max_tokens": 9}, idempotency_key="k")):
            again = elsewhere.calls.start(request)
            assert again.sending is None
            assert again.result.code == "outlay_duplicate_request"  # type: ignore[union-attr]
        call.resume(Completed(HAIKU, USAGE))
        assert elsewhere.calls.start(KEYED).sending is None
    assert paid(books) == 2 * COST[HAIKU]


def test_a_question_is_asked_once_for_each_try_of_a_key(books: outlay.Outlay, url: str) -> None:
    """Who comes while it is asked goes without; after a failure unbilled another process asks anew."""
    call = begun(Calls(books.app))
    with outlay.open(url) as elsewhere:
        at_once = elsewhere.calls.start(KEYED)
        assert at_once.sending is not None
        assert (at_once.sending.link.inner, at_once.sending.model) == (False, OPUS)
        call.resume(SMALL)
        assert call.result.code == "outlay_duplicate_request"
        assert call.result.asked_nanos == 3_500
        at_once.resume(Failed(400, "invalid_request_error"))
    with outlay.open(url) as third:
        other = third.calls.start(CallRequest("acme", {**BODY, "max_tokens": 9}, idempotency_key="k"))
        assert other.sending is None  # the key stands for another body, so nothing is asked
        later = third.calls.start(KEYED)
        assert later.sending is not None
        assert later.sending.link.inner
        later.resume(SMALL)
        assert later.sending is not None
        later.resume(Completed(HAIKU, USAGE))
    assert paid(books) == 3 * COST[HAIKU]


def test_what_was_asked_for_a_refused_call_is_in_the_sum(books: outlay.Outlay) -> None:
    """The question was paid for, and then there was no money for the call: the sum is what the books say."""
    apply_policy(books.app, ASKING, actor="t")
    provider = Provider()

    def send(body: dict[str, Any]) -> Any:
        books.set_budget("acme", "0.0000036")
        return provider(body)

    done = books.run_workflow("acme", Workflow("w", (Step("one", BODY),)), send=send)
    assert (done.complete, done.why, provider.models) == (False, "budget", [HAIKU])
    assert Decimal(done.cost_usd) == paid(books) == COST[HAIKU]
