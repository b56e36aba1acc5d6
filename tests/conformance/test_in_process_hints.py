"""
Headers of Outlay with the official Anthropic client in process: heard wherever the SDK lets them be set, as
behind the gateway, and never shown to the provider. Blocking and asynchronous.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anthropic
import pytest
from sdk_in_process import HAIKU, SONNET, Blocking, booked, decided, says

import outlay
from outlay.admin.keys import create_key

KEY = "outlay-idempotency-key"
ONE_MODEL = '[tiers.only]\nmodels = ["claude-sonnet-5-5"]\n[routing]\ndefault_tier = "only"\n'


def body(words: str = "hello [[sim output_tokens=20]]", **more: Any) -> dict[str, Any]:
    """A call."""
    return {"model": SONNET, "max_tokens": 100, "messages": says(words), **more}


class Wire:
    """Sees every request as it leaves the SDK."""

    def __init__(self) -> None:
        self.headers: list[Any] = []

    def saw(self, request: Any) -> None:
        """Keep its headers."""
        self.headers.append(request.headers)

    async def saw_async(self, request: Any) -> None:
        """Keep its headers."""
        self.saw(request)

    @property
    def ours(self) -> list[str]:
        """Names of Outlay's that a provider was shown."""
        return [name for headers in self.headers for name in headers if name.lower().startswith("outlay-")]


@pytest.fixture
def wired(request: pytest.FixtureRequest, make: Any) -> Callable[..., tuple[Any, Wire]]:
    """Make the client under test, and watch what it sends."""

    def one(policy: str | None = None, **options: Any) -> tuple[Any, Wire]:
        wire = Wire()
        if request.node.callspec.params["make"] is Blocking:
            http: Any = anthropic.DefaultHttpxClient(event_hooks={"request": [wire.saw]})
        else:
            http = anthropic.DefaultAsyncHttpxClient(event_hooks={"request": [wire.saw_async]})
        return make(policy, http_client=http, **options), wire

    return one


def test_hints_of_a_client_are_heard_in_every_kind_of_call(wired: Any) -> None:
    """A plain call, a stream, its raw events, a beta call: the client's task, and no trace of it outside."""
    sdk, wire = wired(default_headers={"Outlay-Task": "crm/mail", "outlay-tags": "team=a"})
    plain, _ = sdk.raw(**body())
    stream, _ = sdk.read_stream(**body())
    beta = sdk.call(lambda client: client.beta.messages.with_raw_response.create(**body()))
    for headers in (plain, stream, beta.headers):
        stored = decided(sdk, headers["outlay-decision-id"])
        assert (stored["task"], stored["tags"]) == ("crm/mail", {"team": "a"})
    sdk.do("set_budget", "acme", "0", scope="tag:team=a")
    with pytest.raises(anthropic.RateLimitError) as caught:
        sdk.events(**body())
    assert caught.value.error_code == "outlay_daily_budget_reached"
    assert len(wire.headers) == 3
    assert wire.ours == []
    assert booked(sdk) == sdk.billed() > 0


def test_the_nearest_word_counts(wired: Any) -> None:
    """Middleware, client, with_options, call: each goes before the one before it, or takes it back."""
    sdk, wire = wired(middleware={"task": "m", "role": "m"}, default_headers={"outlay-task": "c"})

    def task_of(headers: dict[str, Any] | None = None, **options: Any) -> tuple[str, str]:
        made = sdk.call(
            lambda client: client.with_options(**options).messages.with_raw_response.create(
                **body(extra_headers=headers)
            )
        )
        stored = decided(sdk, made.headers["outlay-decision-id"])
        return stored["task"], stored["role"]

    assert task_of() == ("c", "m")
    assert task_of(default_headers={"OUTLAY-TASK": "o", "outlay-role": "o"}) == ("o", "o")
    assert task_of({"Outlay-Task": "e"}, default_headers={"outlay-task": "o"}) == ("e", "m")
    assert task_of({"outlay-task": anthropic.omit}) == ("m", "m")
    assert task_of(default_headers={"outlay-task": anthropic.omit}) == ("m", "m")
    assert task_of(set_default_headers={}) == ("m", "m")
    assert wire.ours == []


@pytest.mark.parametrize("header", ["outlay-tsk", "outlay-privacy"])
def test_what_a_client_says_wrongly_is_refused(wired: Any, header: str) -> None:
    """A name that is none, a class that nobody knows: neither the call nor its count shows a prompt."""
    sdk, wire = wired(default_headers={header: "nobody"})
    counting = {"model": HAIKU, "messages": says("a secret")}
    for work in (
        lambda: sdk.create(**body()),
        lambda: sdk.call(lambda client: client.messages.count_tokens(**counting)),
    ):
        with pytest.raises(anthropic.BadRequestError) as caught:
            work()
        assert caught.value.error_code == "outlay_invalid_hint"
    assert (wire.headers, booked(sdk)) == ([], 0)


def test_what_is_free_says_nothing_to_the_provider(wired: Any) -> None:
    """Models and counts go out without headers of Outlay's, of the client or of the call."""
    sdk, wire = wired(default_headers={"outlay-task": "c", KEY: "k", "x-own": "stays"})
    own = {"outlay-session": "s", "anthropic-beta": "b-1"}
    sdk.call(lambda client: client.models.retrieve(SONNET, extra_headers=own))
    own[KEY] = "own"
    sdk.call(lambda client: client.messages.count_tokens(model=SONNET, messages=says("x"), extra_headers=own))
    assert wire.ours == []
    assert [(sent["x-own"], sent["anthropic-beta"]) for sent in wire.headers] == [("stays", "b-1")] * 2


def test_a_key_is_paid_for_once(wired: Any) -> None:
    """The second call under its key is refused, plain or streamed, with the first one's decision."""
    sdk, wire = wired(max_retries=2)
    headers, _ = sdk.raw(**body(extra_headers={KEY: "k-1"}))
    spent = booked(sdk)
    for again in (sdk.create, sdk.events, sdk.read_stream):
        with pytest.raises(anthropic.ConflictError) as caught:
            again(**body(extra_headers={KEY: "k-1"}))
        assert caught.value.error_code == "outlay_duplicate_request"
        assert caught.value.body["error"]["details"]["first_decision"] == headers["outlay-decision-id"]
    assert (len(wire.headers), booked(sdk)) == (1, spent)
    sdk.read_stream(**body(extra_headers={KEY: "k-2"}))
    with pytest.raises(anthropic.ConflictError):
        sdk.create(**body("something else", extra_headers={KEY: "k-2"}))
    assert booked(sdk) == sdk.billed() == 2 * spent
    assert wire.ours == []


def test_a_key_may_be_tried_again_where_nothing_was_billed(wired: Any) -> None:
    """The SDK's own retries of an overloaded provider go under the call's key, and so does a call after."""
    sdk, wire = wired(ONE_MODEL, max_retries=1)
    with pytest.raises(anthropic.OverloadedError):
        sdk.create(**body("[[sim fault=overload_529]]", extra_headers={KEY: "k"}))
    assert (len(wire.headers), booked(sdk)) == (2, 0)
    with pytest.raises(anthropic.OverloadedError):
        sdk.create(**body("[[sim fault=overload_529]]", extra_headers={KEY: "k"}))
    assert len(wire.headers) == 4


def test_a_lost_answer_has_used_its_key(wired: Any) -> None:
    """Nobody knows whether it was billed: the SDK's retry is refused instead of paid twice."""
    sdk, wire = wired(max_retries=2)
    with pytest.raises(anthropic.ConflictError):
        sdk.create(**body("[[sim output_tokens=20 fault=lost_answer]]", extra_headers={KEY: "k"}))
    assert len(wire.headers) == 1


def test_one_of_many_calls_at_once_gets_its_key(wired: Any) -> None:
    """Eight calls under one key at once: one is served and paid."""
    sdk, wire = wired()
    call = body(extra_headers={KEY: "k"})
    if isinstance(sdk, Blocking):

        def attempt(_: int) -> object:
            try:
                return sdk.create(**call)
            except anthropic.APIStatusError as error:
                return error

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(attempt, range(8)))
    else:

        async def all_at_once(client: Any) -> Any:
            made = (client.messages.create(**call) for _ in range(8))
            return await asyncio.gather(*made, return_exceptions=True)

        answers = sdk.call(all_at_once)
    refused = [one.error_code for one in answers if isinstance(one, anthropic.ConflictError)]
    assert refused == ["outlay_duplicate_request"] * 7
    assert len(wire.headers) == 1
    assert booked(sdk) == sdk.billed() > 0


def test_a_key_of_a_client_is_refused(wired: Any) -> None:
    """It would make all calls of the client one; a call that has its own, or takes it back, is served."""
    sdk, wire = wired(default_headers={KEY: "k"}, max_retries=2)
    with pytest.raises(anthropic.BadRequestError, match="default headers, which would make all") as caught:
        sdk.create(**body())
    assert caught.value.error_code == "outlay_invalid_hint"
    assert caught.value.body["error"]["details"]["field"] == KEY
    assert (sdk.tried.count, wire.headers) == (1, [])
    sdk.create(**body(extra_headers={KEY: "own"}))
    sdk.create(**body(extra_headers={"Outlay-Idempotency-Key": anthropic.omit}))
    assert len(wire.headers) == 2


class Around(anthropic.Middleware):
    """A middleware that carries ours inside, and hands it another function than the SDK's."""

    def __init__(self, inner: Any, wrapped: Callable[[Any], Any]) -> None:
        self._inner = inner
        self._wrapped = wrapped

    def handle(self, request: Any, call_next: Any) -> Any:
        """Call ours."""
        return self._inner.handle(request, self._wrapped(call_next))

    async def handle_async(self, request: Any, call_next: Any) -> Any:
        """Call ours."""
        return await self._inner.handle_async(request, self._wrapped(call_next))


def passing(call_next: Any) -> Any:
    """A function of one's own before the SDK's."""

    def call(request: Any) -> Any:
        return call_next(request)

    return call


@pytest.mark.parametrize("wrapped", [lambda call_next: call_next, passing])
def test_a_client_is_seen_through_functions(wired: Any, wrapped: Any) -> None:
    """Ours may be carried by another middleware."""
    sdk, wire = wired(default_headers={"outlay-task": "c"})
    around = Around(outlay.middleware(sdk.books, tenant="acme"), wrapped)
    made = sdk.call(
        lambda client: client.with_options(middleware=[around]).messages.with_raw_response.create(**body())
    )
    assert decided(sdk, made.headers["outlay-decision-id"])["task"] == "c"
    assert wire.ours == []


def test_a_client_that_cannot_be_seen_is_not_served(wired: Any) -> None:
    """What stands in its headers would be lost: nothing is held or sent."""
    sdk, wire = wired()
    around = Around(outlay.middleware(sdk.books, tenant="acme"), partial)
    with pytest.raises(anthropic.BadRequestError, match="default headers cannot be seen"):
        sdk.call(lambda client: client.with_options(middleware=[around]).messages.create(**body()))
    assert (wire.headers, booked(sdk)) == ([], 0)


MALFORMED = [
    ("outlay-priorty", "low"),
    ("outlay-priority", "urgent"),
    ("outlay-complexity", "hard"),
    ("outlay-reasoning", "lots"),
    ("outlay-context", "lots"),
    ("outlay-floor", "nobody"),
    ("outlay-privacy", "nobody"),
    ("outlay-task", "x" * 201),
    ("outlay-role", "a\u200bb"),
    ("outlay-session", "x" * 201),
    ("outlay-output-words", "many"),
    ("outlay-output-words", "\u0663"),
    ("outlay-revision", "1000001"),
    ("outlay-pin", "yes"),
    ("outlay-tags", "team"),
    ("outlay-tags", "a=" + "b" * 201),
    ("outlay-tags", ",".join(f"a{number}=b" for number in range(21))),
    (KEY, "k" * 201),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_malformed_headers_are_refused_as_behind_the_gateway(
    make: Any, gateway: Any, tenant: Any, open_caller: Any, name: str, value: str
) -> None:
    """Status, class, code, words and details are those of the gateway."""
    key = create_key(gateway.app, tenant=tenant[0], loosen=True, actor="test")["key"]
    sdk = make()
    said = {name: value}
    told = []
    for work in (
        lambda more: open_caller(api_key=key).sdk.messages.create(**body(), **more),
        lambda more: sdk.create(**body(), **more),
    ):
        with pytest.raises(anthropic.BadRequestError) as caught:
            work({"extra_headers": said})
        error = caught.value.body["error"]
        error["details"].pop("decision_id", None)
        told.append((caught.value.response.headers["x-should-retry"], error))
    assert told[0] == told[1]
    assert told[0][1]["details"]["error_code"] == "outlay_invalid_hint"
    assert told[0][1]["details"]["field"] == name
    assert (sdk.sent.count, booked(sdk)) == (0, 0)
