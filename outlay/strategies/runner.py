"""
Carries out strategies, blocking: holds, sends through the caller's client, settles, keeps scores.
"""

import logging
from typing import Any

from outlay.admin import quality
from outlay.calls import final
from outlay.client import Calls
from outlay.effects import Ended, fail, feed
from outlay.errors import OutlayError
from outlay.strategies import sender
from outlay.strategies.steps import Do, Mark, Steps, Tried, Try, Verdict
from outlay.wiring import App

_log = logging.getLogger("outlay")


class Runner:
    """
    Runs the strategies of one caller.
    """

    def __init__(self, app: App, calls: Calls, send: object, actor: str) -> None:
        self._app = app
        self._calls = calls
        self._send = sender.check_send(send)
        self._actor = actor

    def run(self, steps: Steps) -> Any:
        """
        Carry out a strategy to its end.
        """
        effect = feed(steps, None)
        while not isinstance(effect, Ended):
            try:
                reply = self._perform(effect)
            except BaseException as error:  # noqa: BLE001 - an interrupt, too: the strategy ends with it
                effect = fail(steps, error)
            else:
                effect = feed(steps, reply)
        return effect.value

    def _perform(self, effect: Any) -> Any:
        match effect:
            case Try():
                return self._try(effect)
            case Do(work):
                return work()
            case Mark(decision_id, verdict):
                return mark(self._app, decision_id, verdict, self._actor)
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    def _try(self, effect: Try) -> Tried:
        call = self._calls.start(effect.request)
        if call.sending is None:
            return sender.refused(call.following, effect.request.link.attempt)
        message, skipped, asked_nanos = None, False, 0
        error: Exception | None = None
        while (wanted := call.sending) is not None:
            sending, skipped = wanted, not wanted.link.inner and wanted.model in effect.unless
            asked_nanos += sending.asked_nanos
            if skipped:
                call.resume(sender.SKIPPED)
                break
            try:
                message = sender.blocking(sender.begin(self._send, sending))
                outcome = sender.outcome_of(message, sending)
                error = sender.unread(outcome)
            except Exception as raised:  # noqa: BLE001 - whatever the client raises, its hold is closed
                outcome, error = sender.outcome_of_failure(raised, self._send), raised
            except BaseException as raised:
                call.abandon(final(sender.outcome_of_failure(raised, self._send)))
                raise
            call.resume(outcome)
        assert call.result is not None
        return sender.tried(call.result, sending, message, error, skipped=skipped, asked_nanos=asked_nanos)


def mark(app: App, decision_id: str, verdict: Verdict, actor: str) -> None:
    """
    Keep a verdict as a score; an answer is not withheld because its score could not be written.
    """
    assert verdict.score is not None
    try:
        quality.score(
            app,
            decision_id,
            verdict.score,
            source=verdict.source,
            weight=verdict.weight,
            comment=verdict.told,
            actor=actor,
        )
    except OutlayError as error:
        _log.warning("the score of decision %s was not kept: %s", decision_id, error)
