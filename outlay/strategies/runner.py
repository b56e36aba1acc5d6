"""
Carries out strategies, blocking: holds, sends through the caller's client, settles, keeps scores.
"""

import logging
from typing import Any

from outlay.admin import quality
from outlay.client import Calls
from outlay.effects import Ended, fail, feed
from outlay.errors import OutlayError
from outlay.strategies import sender
from outlay.strategies.steps import Do, Mark, Steps, Try, Verdict
from outlay.strategies.trying import Trying
from outlay.wiring import App

_log = logging.getLogger("outlay")


class Runner:
    """
    Runs the strategies of one caller.
    """

    def __init__(self, app: App, calls: Calls, send: object, actor: str) -> None:
        self._app = app
        self._trying = Trying(calls, sender.check_send(send), sender.deliver)
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
            case Try(request, unless):
                return self.run(self._trying.attempt(request, unless))
            case Do(work):
                return work()
            case Mark(decision_id, verdict):
                return mark(self._app, decision_id, verdict, self._actor)
            case _:
                raise AssertionError(f"no such effect: {effect!r}")


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
