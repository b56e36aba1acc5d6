"""
Sends a call through its caller's own client or function, and says what came of it.

The client's own repeats are off: each try is an attempt of the flow, with a hold of its own. This imports
nothing of the SDK; an error of the SDK is read by `outlay/provider.py`.
"""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outlay.calls import Completed, Done, Failed, NotSent, Outcome, Refused, Result, Sending, Uncertain
from outlay.errors import BadInput, CallRefused
from outlay.sdk_headers import says_to_outlay
from outlay.strategies.last_look import LastLook
from outlay.strategies.steps import Tried

SKIPPED = NotSent("not_sent: this model was asked before", given_up=True)
_OWN = "outlay.provider"


class Unsendable(BadInput):
    """
    The caller's client or function cannot send a call as the policy wants it sent; nothing was sent.
    """


def check_send(send: object) -> object:
    """
    See that something can send, and does not book its calls itself.

    Raises:
        BadInput: It cannot, its calls would be booked twice, or it says to the provider what is for Outlay.
    """
    if any(type(one).__module__ == _OWN for one in getattr(send, "middleware", ())):
        fix = "Give a client without outlay.middleware; each call is booked here."
        raise BadInput("send", "client", "books its calls itself", fix)
    if (header := says_to_outlay(send)) is not None:
        fix = "Take it out of the client, and give hints as arguments of this call."
        raise BadInput("send", header, "is in the client's default headers, where nobody hears it", fix)
    if hasattr(send, "messages") or callable(send):
        return send
    fix = "Give an Anthropic client, or a function from a request body to a message."
    raise BadInput("send", send, "can send nothing", fix)


def watched(send: object, look: LastLook) -> object:
    """
    Have a client of the SDK look at the kill switches once more when it has a connection.
    """
    if not _of_sdk(send):
        return send
    from outlay.provider import watched_client  # the SDK is loaded already

    return watched_client(send, look)


def begin(send: Any, sending: Sending) -> Any:
    """
    Send a call; gives the message, or for what is asynchronous an awaitable of it.
    """
    elsewhere = sending.upstream.name != "default"
    if not hasattr(send, "messages"):
        if elsewhere:
            fix = "Give a client: it is sent there by its address."
            raise Unsendable(
                "send", sending.upstream.name, "is an upstream that no function can send to", fix
            )
        return send(dict(sending.body))
    options: dict[str, Any] = {"max_retries": 0}
    if elsewhere:
        if sending.upstream.key is None:
            fix = "Set the variable that key_env names."
            raise Unsendable("upstream", sending.upstream.name, "has no key", fix)
        options |= {"base_url": sending.upstream.url, "api_key": sending.upstream.key}
    body = dict(sending.body)
    named = {name: body.pop(name) for name in ("model", "max_tokens", "messages")}
    client, patience_ms = send.with_options(**options), sending.link.timeout_ms
    timeout = client.timeout if patience_ms is None else patience_ms / 1_000
    return client.messages.create(**named, timeout=timeout, extra_body=body)


def deliver(send: Any, sending: Sending) -> Any:
    """
    Send a call, blocking.

    Raises:
        Unsendable: Its message is to be awaited; nothing was sent yet.
    """
    message = begin(send, sending)
    if not inspect.isawaitable(message):
        return message
    if inspect.iscoroutine(message):
        message.close()
    raise Unsendable("send", "awaitable", "is asynchronous", "Use the books of outlay.open_async.")


def unread(outcome: Outcome) -> BadInput | None:
    """
    Give the error for a message that cannot be booked: its hold is captured.
    """
    if isinstance(outcome, Completed):
        return None
    return BadInput("send", None, "gave no message with its usage", "Return the provider's message whole.")


def outcome_of(message: Any, sending: Sending) -> Outcome:
    """
    Say what came of a call by its message, a mapping or the SDK's.
    """
    dump = getattr(message, "model_dump", None)
    found = dump(mode="json") if callable(dump) else message
    if not isinstance(found, Mapping) or not isinstance(found.get("usage"), Mapping):
        return Uncertain("answer_unreadable: the client gave no message with its usage")
    served = found.get("model")
    served = served if isinstance(served, str) else sending.model
    return Completed(served, found["usage"], found if sending.link.inner else None)


def outcome_of_failure(error: BaseException, send: object, *, begun: bool = True) -> Outcome:
    """
    Say what came of a call for which what sends it raised; what may have been billed is uncertain.

    Args:
        begun: Whether its body may be on the wire.
    """
    if isinstance(error, Unsendable):
        return NotSent(f"not_sent: {error}", given_up=True)
    if begun and not isinstance(error, Exception):
        return Uncertain(f"caller_left: {type(error).__name__}", given_up=True)
    if _of_sdk(error) or _of_sdk(send):
        from outlay.provider import outcome_of_error  # the SDK is loaded already

        return _unbilled(outcome_of_error(error, begun=begun))
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        return _unbilled(Failed(status, str(getattr(error, "type", None) or "")))
    return Uncertain(f"no_answer: {type(error).__name__}")


def _of_sdk(one: object) -> bool:
    return any(kind.__module__.partition(".")[0] == "anthropic" for kind in type(one).__mro__)


def _unbilled(outcome: Outcome) -> Outcome:
    """A 5xx that no provider signed says nothing of the bill (`outlay/outcomes.py`)."""
    if isinstance(outcome, Failed) and outcome.status >= 500 and not outcome.error_type:
        return Uncertain(f"answer_unreadable: status {outcome.status} without an error of the provider")
    return outcome


def refused(refusal: Result | Sending, attempt: int) -> Tried:
    """
    Tell of a call that was not let through.
    """
    assert isinstance(refusal, Refused), "what was not sent was refused"
    asked_nanos = refusal.asked_nanos
    return Tried(refusal.decision_id, attempt, "refused", refused=refusal, asked_nanos=asked_nanos)


def tried(
    result: Result,
    sending: Sending,
    message: Any,
    error: Exception | None,
    *,
    skipped: bool = False,
    asked_nanos: int = 0,
) -> Tried:
    """
    Tell of a call that was sent, or that was not as its model had been asked before.

    Args:
        asked_nanos: What questions of the flow's own have cost for it.
    """
    attempt = sending.link.attempt
    if isinstance(result, Refused):
        return refused(result, attempt)
    assert isinstance(result, Done)
    if isinstance(error, CallRefused) and result.outcome == "failed":  # it was held back on its way out
        return refused(replace(error.refused, asked_nanos=asked_nanos), attempt)
    return Tried(
        decision_id=result.decision_id,
        attempt=attempt,
        outcome="skipped" if skipped else result.outcome,
        model=sending.model,
        tier=sending.offer.tier,
        message=message if result.outcome == "served" else None,
        cost_nanos=result.cost_nanos,
        bound_nanos=sending.offer.cost_bound_nanos,
        error=error,
        parent=sending.link.parent,
        asked_nanos=asked_nanos,
        tries=sending.link.tries,
    )
