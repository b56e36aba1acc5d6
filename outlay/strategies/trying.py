"""
How a strategy's call is carried out: started, sent through the caller's client, closed whatever happens.

Steps that ask for nothing but functions to be run (`Do`), so that both runners share them: what a function
gives is the reply itself, or within an event loop an awaitable of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from outlay.aio import AsyncCall, AsyncCalls
from outlay.calls import CallRequest, Sending
from outlay.client import Call, Calls
from outlay.strategies import sender
from outlay.strategies.last_look import LastLook
from outlay.strategies.steps import Do, Steps


@dataclass(frozen=True, slots=True)
class Trying:
    """
    Carries out the calls of one caller.

    Attributes:
        calls: Starts calls of the flow.
        send: The caller's client or function.
        deliver: Sends through it; gives the message, or an awaitable of it.
    """

    calls: Calls | AsyncCalls
    send: object
    deliver: Callable[[object, Sending], Any]

    def attempt(self, request: CallRequest, unless: frozenset[str]) -> Steps:
        """
        Carry out a call from its beginning; returns `Tried`.
        """
        call = yield Do(partial(self.calls.start, request))
        return (yield from self.finish(call, request, unless))

    def finish(
        self, call: Call | AsyncCall, request: CallRequest, unless: frozenset[str] = frozenset()
    ) -> Steps:
        """
        Send a call that was started, and close it; returns `Tried`. A model of `unless` is not asked again.
        """
        if call.sending is None:
            return sender.refused(call.following, request.link.attempt)
        message, error, asked_nanos, skipped = None, None, 0, False
        while (wanted := call.sending) is not None:
            sending, skipped = wanted, not wanted.link.inner and wanted.model in unless
            asked_nanos += sending.asked_nanos
            if skipped:
                yield Do(partial(call.resume, sender.SKIPPED))
                break
            message, error = yield from self.carry(call, sending)
        assert call.result is not None
        return sender.tried(call.result, sending, message, error, skipped=skipped, asked_nanos=asked_nanos)

    def carry(self, call: Call | AsyncCall, sending: Sending) -> Steps:
        """
        Send what a call wants sent, and say what came of it; returns the message, and what was raised.

        Who is told to stop meanwhile leaves the call closed: it may have been billed, and is captured then.
        """
        message: Any = None
        error: Exception | None
        look = LastLook(self.calls, call.tenant, sending.decision_id)
        send = sender.watched(self.send, look)
        try:
            message = yield Do(partial(self.deliver, send, sending))
            outcome = sender.outcome_of(message, sending)
            error = sender.unread(outcome)
        except GeneratorExit:
            raise
        except BaseException as raised:
            outcome = sender.outcome_of_failure(raised, send, begun=look.begun)
            if not isinstance(raised, Exception):
                yield Do(partial(call.abandon, outcome))
                raise
            error = look.error or raised
        yield Do(partial(call.resume, outcome))
        return message, error
