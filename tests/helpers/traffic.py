"""
Recorded traffic for previews: real calls through the flow, some days ago, on a clock that tests move.
"""

import time
from typing import Any

from ledger.types import OpenAccount
from outlay.calls import CallRequest, Completed, Failed
from outlay.client import Calls
from outlay.wiring import App
from router.types import Hints

STEPS = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.medium]
models = ["claude-sonnet-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "medium"
[routing.tasks]
"blog" = { tier = "large" }
"crm/*" = { tier = "small" }
[degradation]
[[degradation.steps]]
below = 0.50
map = { large = "medium", medium = "small" }
[[degradation.steps]]
below = 0.20
max_tier = "medium"
max_tokens = 400
[[degradation.steps]]
below = 0.05
only = ["critical", "high"]
"""
CHEAP = STEPS.replace('"blog" = { tier = "large" }', '"blog" = { tier = "small" }')
MINUTE_US = 60_000_000
DAY_US = 1_440 * MINUTE_US


class Clock:
    """A clock that only the test moves; it begins three days ago."""

    def __init__(self) -> None:
        self.us = time.time_ns() // 1_000 - 3 * DAY_US

    def __call__(self) -> int:
        """Tell the time."""
        return self.us


class Traffic:
    """
    Calls of tenants with 20 USD each, in Berlin.
    """

    def __init__(self, app: App, clock: Clock) -> None:
        self._app, self._clock = app, clock
        self.calls = Calls(app, clock)

    def account(self, name: str, daily_nanos: int | None) -> None:
        """Open an account at the clock's time."""
        op = OpenAccount(name, f"open {name}", self._clock.us, "Europe/Berlin", 20 * 10**9, daily_nanos)
        self._app.ledger.do(op)

    def play(
        self, count: int, *, at_once: int = 1, tenant: str = "acme", model: str = "outlay/auto",
        task: str | None = "blog", tokens: int = 600, max_tokens: int = 1_000, every_us: int = MINUTE_US,
        fails: bool = False, **hints: Any,
    ) -> list[str]:  # fmt: skip
        """Carry calls out, one after the other or so many at a time; returns the ids of their decisions."""
        ids = []
        for _ in range(count):
            text = "Write about rivers. " * 40
            body = {
                "model": model,
                "max_tokens": max_tokens,
                "messages": [{"role": "user", "content": text}],
            }
            request = CallRequest(tenant, body, hints=Hints(task=task, **hints))
            started = [self.calls.start(request) for _ in range(at_once)]
            self._clock.us += 2_000_000
            for call in started:
                if call.sending is None:
                    assert call.result is not None
                    ids.append(call.result.decision_id)
                    continue
                ids.append(call.sending.decision_id)
                usage = {"input_tokens": 300, "output_tokens": min(tokens, call.sending.offer.max_tokens)}
                call.resume(Failed(400) if fails else Completed(call.sending.model, usage))
            self._clock.us += every_us
        return ids

    def overload(self, count: int) -> list[str]:
        """Make calls that no model has room for; returns the ids of their first attempts."""
        ids = []
        for _ in range(count):
            body = {
                "model": "outlay/auto",
                "max_tokens": 500,
                "messages": [{"role": "user", "content": "Hi"}],
            }
            call = self.calls.start(CallRequest("acme", body, hints=Hints(task="blog")))
            assert call.sending is not None
            ids.append(call.sending.decision_id)
            while call.sending is not None:
                self._clock.us += 1_000_000
                call.resume(Failed(529, "overloaded_error"))
        return ids

    def talk_above(self) -> None:
        """Play a conversation of two turns, whose second asks for small and is kept on large by its cache."""
        mark = {"type": "ephemeral"}
        text = {"type": "text", "text": "long " * 4_000, "cache_control": mark}
        talk: list[Any] = [{"role": "user", "content": [text]}]
        usage = {"input_tokens": 10, "output_tokens": 50, "cache_read_input_tokens": 4_000}
        for model, task in (("outlay/large", None), ("outlay/auto", "crm/mail")):
            body = {"model": model, "max_tokens": 500, "messages": talk}
            call = self.calls.start(CallRequest("acme", body, hints=Hints(task=task, session="s")))
            assert call.sending is not None
            assert call.sending.offer.tier == "large"
            self._clock.us += MINUTE_US
            call.resume(Completed(call.sending.model, usage))
            talk = [*talk, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "go on"}]
