"""Kinds of requests and SDK values, as the in-process API reads them."""

from types import SimpleNamespace
from typing import Any

import pytest

from outlay.api import to_hold, to_settle
from outlay.errors import BadInput
from outlay.sdk_requests import Kind, Terms, body_of, kind_of


def request(method: str = "post", url: str = "/v1/messages", **more: Any) -> Any:
    """A request in the SDK's shape."""
    options = SimpleNamespace(files=None, content=None, extra_json=more.pop("extra_json", None))
    return SimpleNamespace(
        method=method,
        url=url,
        json=more.pop("json", {"model": "m"}),
        options=options,
    )


ROUTES = [
    ("post", "/v1/messages", Kind.CONTROLLED),
    ("post", "/v1/messages?beta=true", Kind.CONTROLLED),
    ("post", "/v1/messages/", Kind.CONTROLLED),
    ("post", "https://proxy.test/base/v1/messages", Kind.CONTROLLED),
    ("post", "/v1/messages/count_tokens?beta=true", Kind.COUNT),
    ("get", "/v1/models", Kind.FREE),
    ("get", "/v1/messages/batches/b_1/results", Kind.FREE),
    ("post", "/v1/messages/batches/b_1/cancel", Kind.FREE),
    ("delete", "/v1/files/f_1", Kind.FREE),
    ("post", "/v1/messages/batches", Kind.UNBOUNDED),
    ("post", "/v1/complete", Kind.UNBOUNDED),
    ("post", "/v1/sessions", Kind.UNBOUNDED),
    ("put", "/v1/anything", Kind.UNBOUNDED),
]


@pytest.mark.parametrize(("method", "url", "kind"), ROUTES)
def test_every_route_is_free_controlled_or_refused(method: str, url: str, kind: Kind) -> None:
    """What is not known to be free and is no message is refused, not passed."""
    assert kind_of(request(method, url)) is kind


def test_the_body_is_what_is_sent() -> None:
    """extra_body goes over the body, iterators and SDK objects become what they are on the wire."""
    block = SimpleNamespace(model_dump=lambda **_: {"type": "text", "text": "x"})
    found = body_of(request(json={"model": "a", "messages": iter([block])}, extra_json={"model": "b"}))
    assert found == {"model": "b", "messages": [{"type": "text", "text": "x"}]}


@pytest.mark.parametrize("body", ["text", [1], {"x": object()}, {"x": b"bytes"}])
def test_a_body_that_is_no_json_is_refused(body: Any) -> None:
    """It could not be bounded."""
    with pytest.raises(BadInput):
        body_of(request(json=body))


def test_headers_go_before_the_middlewares_own_hints() -> None:
    """The request knows its task better than the client."""
    terms = Terms("acme", frozenset({"b-1"}), {"task": "a", "priority": "low"})
    said = {
        "outlay-task": "b",
        "outlay-pin": "True",
        "outlay-tags": "x=1, y=2",
        "anthropic-beta": "b-2,b-3",
        "outlay-complexity": "complex",
        "outlay-output-words": "120",
        "outlay-idempotency-key": " k1 ",
    }
    order = terms.order(request(), said)
    assert (order.hints.task, order.hints.priority, order.hints.pin) == ("b", "low", True)
    assert order.hints.tags == (("x", "1"), ("y", "2"))
    assert (order.hints.complexity, order.hints.output_words) == ("complex", 120)
    assert order.betas == {"b-1", "b-2", "b-3"}
    assert order.idempotency_key == "k1"


def test_a_misspelt_header_is_refused_with_what_was_meant() -> None:
    """A header of Outlay's that there is none of would leave out a task or a tag in silence."""
    with pytest.raises(BadInput, match='Did you mean "outlay-task"') as caught:
        Terms("acme", frozenset(), {}).order(request(), {"outlay-tsk": "b"})
    assert (caught.value.field, caught.value.code) == ("outlay-tsk", "outlay_invalid_hint")


def test_a_tenant_can_be_asked_for_at_each_call() -> None:
    """One client serves many tenants."""
    names = iter(["a", "b"])
    terms = Terms(lambda: next(names), frozenset(), {})
    assert [terms.order(request(), {}).tenant for _ in range(2)] == ["a", "b"]


def test_a_hold_needs_a_request_or_offers() -> None:
    """Neither, or both, is refused."""
    for one, other in ((None, None), ({"model": "m"}, [{"name": "m", "cost_usd": "1"}])):
        with pytest.raises(BadInput, match="offers"):
            to_hold("acme", one, other, None, None, {})


def test_usage_may_be_the_sdk_s_own_object() -> None:
    """An answer's usage is settled as it is."""
    usage = SimpleNamespace(model_dump=lambda **_: {"input_tokens": 1})
    assert to_settle(None, usage, "m") == {"usage": {"input_tokens": 1}, "model": "m"}
    assert to_settle("0.5", None, None) == {"cost_usd": "0.5"}
