"""
A halt stops calls in process as it does in the gateway: also those that wait for a connection of the client's
HTTP library. With the real client, blocking and asynchronous, against the simulated provider.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import pytest
from sdk_in_process import SONNET, Asynchronous, Blocking, Watch, booked, decided, says
from sqlalchemy import text

import outlay
from outlay import Cascade
from outlay.admin import breakers
from outlay.admin.tenants import set_tenant
from outlay.engine import SWITCH_FRESH_S

BODY: dict[str, Any] = {"model": SONNET, "max_tokens": 500, "messages": says()}
LONG = {**BODY, "messages": says("[[sim input_tokens=100 output_tokens=300]]")}
ONE_MODEL = '[tiers.only]\nmodels = ["claude-sonnet-5-5"]\n[routing]\ndefault_tier = "only"\n'
ONE = httpx2.Limits(max_connections=1)
PATIENCE_S = 5.0


@pytest.fixture
def crowded(make: Any, request: pytest.FixtureRequest) -> Any:
    """A client whose pool has one connection."""
    blocking = request.node.callspec.params["make"] is Blocking
    http = anthropic.DefaultHttpxClient if blocking else anthropic.DefaultAsyncHttpxClient
    return make(http_client=http(limits=ONE))


def call(sdk: Any) -> Any:
    """Make a call."""
    return sdk.client.messages.create(**BODY)


def count(sdk: Any) -> Any:
    """Count tokens."""
    return sdk.client.messages.count_tokens(model=SONNET, messages=says())


def cascade(sdk: Any) -> Any:
    """Have a strategy make a call on the same connections; its client books nothing itself."""
    send = sdk.client.with_options(middleware=[Watch(sdk.sent)])
    return sdk.books.run("acme", BODY, strategy=Cascade(("medium",), lambda message: True), send=send)


def behind_a_stream(
    sdk: Any, meanwhile: Callable[[], object], ask: Callable[[Any], Any] = call
) -> BaseException | None:
    """Have a call wait for the connection that a stream has; returns what it raised."""
    way = _threads if isinstance(sdk, Blocking) else _tasks
    return way(sdk, meanwhile, ask)


def _threads(
    sdk: Blocking, meanwhile: Callable[[], object], ask: Callable[[Any], Any]
) -> BaseException | None:
    raised: list[BaseException | None] = []

    def second() -> None:
        try:
            ask(sdk)
        except (anthropic.AnthropicError, outlay.OutlayError) as error:
            raised.append(error)

    with sdk.client.messages.create(stream=True, **LONG) as stream:
        next(iter(stream))
        thread = threading.Thread(target=second)
        thread.start()
        until = time.monotonic() + PATIENCE_S
        while sdk.sent.count < 2 and time.monotonic() < until:
            time.sleep(0.01)
        meanwhile()
        for _ in stream:
            pass
    thread.join()
    return raised[0] if raised else None


def _tasks(
    sdk: Asynchronous, meanwhile: Callable[[], object], ask: Callable[[Any], Any]
) -> BaseException | None:
    async def both() -> BaseException | None:
        async with await sdk.client.messages.create(stream=True, **LONG) as stream:
            await anext(aiter(stream))
            task = asyncio.ensure_future(ask(sdk))
            while sdk.sent.count < 2 and not task.done():
                await asyncio.sleep(0.01)
            await asyncio.to_thread(meanwhile)
            async for _ in stream:
                pass
        done, _ = await asyncio.wait([task])
        return done.pop().exception()

    return sdk.runner.run(both())


def halt(sdk: Any) -> Callable[[], object]:
    """Halt as another process does."""
    return lambda: breakers.halt(sdk.books.app, reason="stop it", actor="test")


def test_a_call_that_waits_for_a_connection_is_not_sent_after_a_halt(crowded: Any) -> None:
    """The caller gets the stable code, nothing was sent, and the money is back for certain."""
    error = behind_a_stream(crowded, halt(crowded))
    assert isinstance(error, anthropic.ServiceUnavailableError)
    assert error.error_code == "outlay_kill_switch"
    assert error.response.headers["x-should-retry"] == "false"
    assert booked(crowded) == crowded.billed() > 0  # the stream's cost, and no other
    stored = decided(crowded, str(error.body["error"]["details"]["decision_id"]))  # type: ignore[index]
    assert (stored["outcome"], stored["code"], stored["cost_usd"]) == ("failed", "not_sent", "0.00")


def test_a_call_that_waited_for_a_connection_is_sent_else(crowded: Any) -> None:
    """Waiting alone refuses nothing, and both calls are settled."""
    assert behind_a_stream(crowded, lambda: None) is None
    assert booked(crowded) == crowded.billed() > 0


def test_a_strategy_that_waits_for_a_connection_sends_nothing_after_a_halt(crowded: Any) -> None:
    """Its caller is told of the halt, and its money is back for certain."""
    error = behind_a_stream(crowded, halt(crowded), cascade)
    assert isinstance(error, outlay.CallRefused)
    assert error.refused.code == "outlay_kill_switch"
    assert booked(crowded) == crowded.billed() > 0  # the stream's cost, and no other
    stored = decided(crowded, error.refused.decision_id)
    assert (stored["outcome"], stored["code"], stored["cost_usd"]) == ("failed", "not_sent", "0.00")


def test_a_strategy_whose_books_are_lost_while_it_waits_says_so(crowded: Any) -> None:
    """What cannot be read does not let a call out, and its caller hears of the books, not of a connection."""

    def rename(old: str, new: str) -> None:
        with crowded.books.app.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    def lose() -> None:
        rename("circuit_state", "lost")
        time.sleep(2 * SWITCH_FRESH_S)  # as whoever halts does: what was read before is good for so long

    error = behind_a_stream(crowded, lose, cascade)
    assert isinstance(error, outlay.BooksUnavailable)
    rename("lost", "circuit_state")
    assert booked(crowded) == crowded.billed() > 0  # the stream's cost, and no other


def test_a_strategy_that_waited_for_a_connection_is_sent_else(crowded: Any) -> None:
    """Waiting alone refuses nothing, and both calls are settled."""
    assert behind_a_stream(crowded, lambda: None, cascade) is None
    assert booked(crowded) == crowded.billed() > 0
    assert crowded.sent.count == 2


@pytest.mark.parametrize("make", [Asynchronous], indirect=True)
def test_a_strategy_that_is_given_up_before_it_has_a_connection_costs_nothing(crowded: Any) -> None:
    """Its body never went out, so that its money is back at once, not when the hold expires."""
    error = behind_a_stream(
        crowded, lambda: time.sleep(1), lambda sdk: asyncio.wait_for(cascade(sdk), timeout=0.3)
    )
    assert isinstance(error, TimeoutError)
    assert booked(crowded) == crowded.billed() > 0  # the stream's cost, and no other


def test_a_call_that_never_gets_a_connection_costs_nothing(make: Any, request: pytest.FixtureRequest) -> None:
    """A full pool is the client's own: the money is back at once, and no model is thought ill of."""
    blocking = request.node.callspec.params["make"] is Blocking
    http = anthropic.DefaultHttpxClient if blocking else anthropic.DefaultAsyncHttpxClient
    sdk = make(http_client=http(limits=ONE), timeout=httpx2.Timeout(30, pool=0.3))
    error = behind_a_stream(sdk, lambda: time.sleep(1))
    assert isinstance(error, anthropic.APITimeoutError)
    assert booked(sdk) == sdk.billed() > 0  # the stream's cost, and no other
    with sdk.books.app.reading() as conn:
        failures = conn.execute(text("SELECT sum(failures) FROM circuit_call_bucket")).scalar()
    assert failures == 0


def test_a_count_that_waits_for_a_connection_is_not_sent_after_a_halt(crowded: Any) -> None:
    """A count shows its prompt to a provider: not after a halt, as in the gateway."""
    error = behind_a_stream(crowded, halt(crowded), count)
    assert isinstance(error, anthropic.ServiceUnavailableError)
    assert error.error_code == "outlay_kill_switch"


@pytest.mark.parametrize("state", ["frozen", "halted"])
def test_a_count_of_a_stopped_tenant_is_refused(make: Any, state: str) -> None:
    """Frozen or halted: its prompt is not shown to the provider either."""
    sdk = make()
    if state == "frozen":
        set_tenant(sdk.books.app, "acme", frozen=True, actor="test")
    else:
        sdk.do("halt", reason="stop it", tenant="acme")
    code = {"frozen": "outlay_tenant_frozen", "halted": "outlay_kill_switch"}[state]
    with pytest.raises(anthropic.APIStatusError) as caught:
        sdk.call(lambda client: client.messages.count_tokens(model=SONNET, messages=says()))
    assert caught.value.error_code == code
    assert sdk.sent.count == 0


class Halts(anthropic.Middleware):
    """Halts spending once an attempt has come back."""

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop

    def handle(self, request: Any, call_next: Any) -> Any:
        """Pass, then halt."""
        try:
            return call_next(request)
        finally:
            self._stop()

    async def handle_async(self, request: Any, call_next: Any) -> Any:
        """Pass, then halt."""
        try:
            return await call_next(request)
        finally:
            await asyncio.to_thread(self._stop)


def test_a_retry_of_the_sdk_is_not_sent_after_a_halt(make: Any) -> None:
    """The provider was overloaded, spending is halted while the SDK waits: its next attempt is refused."""
    sdk = make(ONE_MODEL, max_retries=2)
    body = {**BODY, "messages": says("[[sim fault=overload_529]]")}
    chain = [Halts(halt(sdk)), *sdk.client.middleware]
    with pytest.raises(anthropic.ServiceUnavailableError) as caught:
        sdk.call(lambda client: client.with_options(middleware=chain).messages.create(**body))
    assert caught.value.error_code == "outlay_kill_switch"
    assert (sdk.tried.count, sdk.sent.count) == (2, 1)
    assert booked(sdk) == 0
