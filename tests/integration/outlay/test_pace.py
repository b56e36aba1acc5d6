"""
Pacing over real books: demand is kept with each settlement, projected on the tenant's day, and replayed.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from outlay.admin.money import set_budget
from outlay.admin.policies import apply_policy
from outlay.calls import CallRequest, Completed
from outlay.client import Calls
from outlay.levels_sql import read_standing
from outlay.tables import decision
from outlay.wiring import App
from router.codec import Inputs, from_json, replay

POLICY = """
[tiers.large]
models = ["claude-opus-5"]
[tiers.small]
models = ["claude-haiku-4-5"]
[routing]
default_tier = "large"
[degradation]
mode = "pace"
"""
Select = Callable[..., list[dict[str, Any]]]

pytestmark = pytest.mark.usefixtures("acme", "books_are_right")


@pytest.fixture
def paced(app: App, calls: Calls, clock: Any) -> Calls:
    """A tenant with 10 USD a day under a policy that paces, at 1 o'clock of a day to come."""
    apply_policy(app, POLICY, actor="t")
    set_budget(app, "acme", "10.00", actor="t")
    morning = datetime.fromtimestamp(clock() / 1e6, UTC).replace(hour=1, minute=0, second=0, microsecond=0)
    clock.us = int((morning + timedelta(days=1)).timestamp()) * 1_000_000
    return calls


def served(calls: Calls, output_tokens: int) -> str:
    """One call carried to its end; returns the model that served."""
    body = {
        "model": "outlay/auto",
        "max_tokens": 20_000,
        "messages": [{"role": "user", "content": "Hello there."}],
    }
    call = calls.start(CallRequest("acme", body))
    assert call.sending is not None, call.result
    model = call.sending.model
    call.resume(Completed(model, {"input_tokens": 10, "output_tokens": output_tokens}))
    return model


def stored(app: App) -> list[dict[str, Any]]:
    """Decisions in their order."""
    with app.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(select(decision).order_by(decision.c.id))]


def demand(app: App) -> list[tuple[Any, ...]]:
    """Sums of calls and money over all quarter-hours."""
    query = "SELECT tier, SUM(calls), SUM(asked_nanos), SUM(cost_nanos) FROM outlay_demand GROUP BY tier"
    with app.reading() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_every_settlement_adds_to_the_demand(app: App, paced: Calls) -> None:
    """Three calls of a thousand tokens at opus are three calls at their true price."""
    for _ in range(3):
        assert served(paced, 1_000) == "claude-opus-5"
    tier, calls, asked, cost = demand(app)[0]
    assert (tier, int(calls)) == ("large", 3)
    assert int(cost) == 3 * (10 * 5_000 + 1_000 * 25_000)
    assert int(asked) == int(cost)


def test_a_morning_that_spends_too_fast_is_lowered_and_remembered(app: App, paced: Calls, clock: Any) -> None:
    """With half of the day's money gone in two hours no more calls go to opus; the reason says why."""
    models = []
    for _ in range(14):
        models.append(served(paced, 15_000))
        clock.sleep(500)
    assert models[0] == "claude-opus-5"
    assert models[-1] == "claude-haiku-4-5"
    reasons = json.loads(stored(app)[-1]["reasons"])
    told = next(reason for reason in reasons if reason["code"] == "paced")
    assert told["numbers"]["mode"] == "pace"
    assert told["numbers"]["demand_nanos"] > told["numbers"]["left_nanos"]
    with app.reading() as connection:
        assert read_standing(connection, "acme").pace.rung == 1


def test_paced_decisions_replay(app: App, paced: Calls, clock: Any) -> None:
    """Every stored decision, lowered or not, is made again from its stored inputs."""
    for _ in range(10):
        served(paced, 15_000)
        clock.sleep(500)
    with app.reading() as connection:
        in_force = app.policies.applied(connection, "acme").policy
    made = [(row, replay(from_json(Inputs, row["inputs"]), in_force, app.prices)) for row in stored(app)]
    assert len(made) == 10
    for row, choice in made:
        assert [r.code for r in choice.reasons] == [r["code"] for r in json.loads(row["reasons"])]  # type: ignore[union-attr]
        assert from_json(Inputs, row["inputs"]).known.pace is not None


def test_a_new_day_begins_with_its_own_money(app: App, paced: Calls, clock: Any) -> None:
    """The day after a lowered one starts as asked: pacing looks at the new window."""
    while served(paced, 15_000) == "claude-opus-5":
        clock.sleep(500)
    clock.sleep(86_400)
    set_budget(app, "acme", "100.00", actor="t")
    assert served(paced, 100) == "claude-opus-5"
