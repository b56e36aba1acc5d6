"""
Measured latencies on both engines: counted from the decision log, kept a while, heeded by tasks in a hurry.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from outlay.admin.policies import apply_policy
from outlay.calls import CallRequest, Completed, Failed
from outlay.client import Calls
from outlay.latencies_sql import CALLS_MIN, KEPT_S, WINDOW_US, Latencies, read_latencies
from outlay.wiring import App
from router.policy import default_policy_text, load_policy
from router.types import Hints

SONNET, HAIKU = "claude-sonnet-5-5", "claude-haiku-5-5"
USAGE = {"input_tokens": 10, "output_tokens": 5}
QUICK = default_policy_text().replace(
    "[routing.tasks]", '[routing.tasks]\n"quick" = { tier = "medium", max_latency_ms = 2000 }'
)
Take = Callable[..., None]

pytestmark = pytest.mark.usefixtures("acme", "books_are_right")


@pytest.fixture
def take(calls: Calls, clock: Any) -> Take:
    """Have calls of a model take some time each."""

    def run(model: str, *times_ms: float, outcome: Any = None) -> None:
        for taken_ms in times_ms:
            body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
            call = calls.start(CallRequest("acme", body))
            assert call.sending is not None, call.result
            clock.sleep(taken_ms / 1_000)
            call.resume(outcome or Completed(call.sending.model, USAGE))

    return run


def measured(app: App, now_us: int) -> Any:
    """What the log says."""
    with app.reading() as connection:
        return read_latencies(connection, now_us)


def test_the_95th_percentile_of_served_calls_is_counted(app: App, take: Take, clock: Any) -> None:
    """One of twenty may be slow; failures and too few calls say nothing; old calls are forgotten."""
    take(HAIKU, *([500] * (CALLS_MIN - 1)), 60_000)
    take(SONNET, *([700] * (CALLS_MIN - 1)))
    take(SONNET, 9_000, outcome=Failed(500))
    assert measured(app, clock()) == {HAIKU: 500}
    clock.sleep(WINDOW_US / 1_000_000)
    assert measured(app, clock()) == {}


def test_two_slow_calls_of_twenty_count(app: App, take: Take, clock: Any) -> None:
    """The 19th of 20 is the 95th percentile, rounded up to whole milliseconds."""
    take(HAIKU, *([500] * (CALLS_MIN - 2)), 3_000.5, 4_000)
    assert measured(app, clock()) == {HAIKU: 3_001}


def test_a_slow_model_does_not_serve_a_task_in_a_hurry(
    app: App, take: Take, calls: Calls, select: Callable[..., list[dict[str, Any]]]
) -> None:
    """The next model serves, and the decision keeps what it was made by."""
    apply_policy(app, QUICK, actor="tester")
    take(SONNET, *([2_500] * CALLS_MIN))
    fresh = Calls(app, calls.engine.tools.now_us)
    body = {"model": "outlay/auto", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    call = fresh.start(CallRequest("acme", body, hints=Hints(task="quick")))
    assert call.sending is not None
    assert call.sending.model == "claude-sonnet-5"
    call.resume(Completed(call.sending.model, USAGE))
    fresh.close()
    (row,) = select("SELECT reasons, inputs FROM outlay_decision WHERE task = 'quick'")
    assert "too_slow" in [reason["code"] for reason in json.loads(row["reasons"])]
    assert json.loads(row["inputs"])["known"]["latencies_ms"] == {SONNET: 2_500}


def test_latencies_are_read_rarely_and_only_where_asked_for(app: App, take: Take, clock: Any) -> None:
    """A policy without limits costs no query; with one the log is read once in half a minute."""
    seconds = [1_000.0]
    known = Latencies(lambda: seconds[0])
    plain, quick = load_policy(default_policy_text()), load_policy(QUICK)
    with app.reading() as connection:
        assert known.of(connection, quick, clock()) == {}
    take(HAIKU, *([500] * CALLS_MIN))
    with app.reading() as connection:
        assert known.of(connection, quick, clock()) == {}
        seconds[0] += KEPT_S
        assert known.of(connection, plain, clock()) == {}
        assert known.of(connection, quick, clock()) == {HAIKU: 500}
