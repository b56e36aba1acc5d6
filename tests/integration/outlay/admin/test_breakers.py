"""
Halting, resuming and resetting: who, why, and when it holds.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from circuit.types import State
from ledger import reads
from outlay.admin import books, breakers
from outlay.errors import BadInput, Rejected
from outlay.wiring import App


def was_held(app: App, decision_id: str) -> bool:
    """Whether money was held for a call."""
    with app.reading() as connection:
        return reads.hold(connection, decision_id) is not None


def test_a_halt_holds_when_it_returns(app: App, acme: dict[str, Any], make_call: Callable[..., str]) -> None:
    """
    After `halt` no call is let through, after `resume` they are; both tell whether they changed anything.
    """
    started = time.monotonic()
    made = breakers.halt(app, reason="too dear", actor="anna")
    assert time.monotonic() - started >= 0.025
    assert (made["scope"], made["tenant"], made["halted"], made["changed"]) == ("global", None, True, True)
    again = breakers.halt(app, reason="me too", actor="bert")
    assert (again["changed"], again["reason"], again["actor"]) == (False, "too dear", "anna")
    assert not was_held(app, make_call())
    assert breakers.resume(app, reason="fine", actor="anna")["changed"] is True
    assert breakers.resume(app, reason="fine", actor="anna")["changed"] is False
    assert was_held(app, make_call())


def test_a_halt_of_all_survives_the_resumption_of_one(app: App, acme: dict[str, Any]) -> None:
    """
    Resuming a tenant under a global halt says that it is still halted.
    """
    breakers.halt(app, reason="all", actor="t")
    breakers.halt(app, tenant="acme", reason="one", actor="t")
    told = breakers.resume(app, tenant="acme", reason="one", actor="t")
    assert (told["changed"], told["still_halted_by"]) == (True, "global")
    assert breakers.resume(app, reason="all", actor="t")["still_halted_by"] is None


def test_the_status_shows_switches_breakers_and_events(app: App, acme: dict[str, Any]) -> None:
    """
    Everything that ever moved is shown, with actor and reason, the newest event first.
    """
    assert breakers.breaker_status(app) == {"switches": [], "breakers": [], "events": []}
    breakers.halt(app, tenant="acme", reason="stop", actor="anna")
    breakers.resume(app, tenant="acme", reason="go", actor="bert")
    status = breakers.breaker_status(app)
    assert [(s["scope"], s["halted"], s["actor"]) for s in status["switches"]] == [
        ("tenant:acme", False, "bert")
    ]
    assert [(e["from"], e["to"], e["reason"]) for e in status["events"]] == [
        ("halted", "running", "go"), ("running", "halted", "stop")
    ]  # fmt: skip


def test_the_status_reads_all_time_zones_at_once(app: App, acme: dict[str, Any]) -> None:
    """
    However many scopes ever moved, it asks the books the same number of questions.
    """
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    counts = []
    for names in (["acme"], ["ann", "bob", "eve"]):
        for name in names:
            app.circuit.halt(f"tenant:{name}", "stop", "t", 1_763_700_000_000_000)
        asked.clear()
        event.listen(app.engine, "before_cursor_execute", note)
        status = breakers.breaker_status(app)
        event.remove(app.engine, "before_cursor_execute", note)
        counts.append(len(asked))
    assert [switch["at"][-6:] for switch in status["switches"]] == ["+01:00", "+00:00", "+00:00", "+00:00"]
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(
    "order",
    [
        lambda app: breakers.halt(app, reason="r", actor="t"),
        lambda app: breakers.halt(app, tenant="acme", reason="r", actor="t"),
        lambda app: breakers.resume(app, tenant="acme", reason="r", actor="t"),
        lambda app: breakers.reset_breaker(app, "tenant:acme", reason="r", actor="t"),
    ],
    ids=["halt all", "halt", "resume", "reset"],
)
def test_an_order_that_was_made_is_told_as_made(
    app: App, acme: dict[str, Any], order: Callable[[App], dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    """
    Books that are lost right after the switch was turned do not let it look as if it had not been.
    """
    if request.node.callspec.id.endswith("resume"):
        breakers.halt(app, tenant="acme", reason="r", actor="t")
    app.circuit.force("tenant:acme", State.FORCED_OPEN, "test", "t", 1)
    turned = False

    def lose(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal turned
        if turned:
            raise OperationalError(statement, None, Exception("lost"))
        turned = statement.startswith("INSERT INTO circuit_event")

    event.listen(app.engine, "before_cursor_execute", lose)
    try:
        assert order(app)["changed"] is True
    finally:
        event.remove(app.engine, "before_cursor_execute", lose)
    assert turned


def test_a_breaker_is_closed_by_hand(app: App, acme: dict[str, Any]) -> None:
    """
    A forced breaker is closed by a reset; a closed one stays as it is.
    """
    app.circuit.force("model:claude-opus-5-5", State.FORCED_OPEN, "test", "t", 1)
    assert breakers.breaker_status(app)["breakers"][0]["state"] == "forced_open"
    made = breakers.reset_breaker(app, "model:claude-opus-5-5", reason="ok", actor="t")
    assert (made["state"], made["changed"]) == ("closed", True)
    for scope in ("global", "tenant:acme", "model:claude-opus-5-5"):
        assert breakers.reset_breaker(app, scope, reason="ok", actor="t")["changed"] is False
    assert books.verify(app)["ok"]


@pytest.mark.parametrize("order", [breakers.halt, breakers.resume])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("reason", {"reason": ""}),
        ("reason", {"reason": "  "}),
        ("reason", {"reason": None}),
        ("reason", {"reason": "x" * 1_001}),
        ("reason", {"reason": "\x00"}),
        ("actor", {"actor": ""}),
        ("tenant", {"tenant": "*"}),
    ],
)
def test_orders_need_a_reason_and_an_actor(
    app: App, rows: Callable[[], object], order: Callable[..., object], field: str, change: dict[str, Any]
) -> None:
    """
    Without them nothing is halted or resumed.
    """
    before = rows()
    with pytest.raises(BadInput) as caught:
        order(app, **{"reason": "r", "actor": "a", **change})
    assert caught.value.field == field
    assert rows() == before


def test_scopes_that_are_not_there(app: App, acme: dict[str, Any], rows: Callable[[], object]) -> None:
    """
    Mistyped tenants, models and kinds are named with what was meant.
    """
    before = rows()
    with pytest.raises(Rejected, match='Did you mean "acme"'):
        breakers.halt(app, tenant="acne", reason="r", actor="t")
    with pytest.raises(Rejected, match='Did you mean "acme"'):
        breakers.reset_breaker(app, "tenant:acne", reason="r", actor="t")
    with pytest.raises(BadInput, match="claude-opus-5-5"):
        breakers.reset_breaker(app, "model:claude-opus-5-6", reason="r", actor="t")
    for scope in ("everything", "", None, 5, "key:x", "tenant:", "model:"):
        with pytest.raises(BadInput, match="scope"):
            breakers.reset_breaker(app, scope, reason="r", actor="t")  # type: ignore[arg-type]
    assert rows() == before
