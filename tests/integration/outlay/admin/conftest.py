"""
An app over an empty database of each engine, a tenant in it, and real calls through the flow.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from outlay.admin.tenants import create_tenant
from outlay.calls import CallRequest, Completed, Outcome
from outlay.client import Calls
from outlay.settings import Settings
from outlay.wiring import App, open_app

USAGE = {"input_tokens": 100, "output_tokens": 50}
MakeCall = Callable[..., str]


@pytest.fixture
def app(books_url: str) -> Iterator[App]:
    """An open app, once on each engine."""
    made = open_app(Settings(database_url=books_url), check_clock=False)
    yield made
    made.close()


@pytest.fixture
def acme(app: App) -> dict[str, Any]:
    """A tenant with 20 USD, 5 USD a day, in Berlin."""
    return create_tenant(app, "acme", credit="20", daily_budget="5", timezone="Europe/Berlin", actor="tester")


@pytest.fixture
def make_call(app: App) -> Iterator[MakeCall]:
    """Carry a call out and return the id of its decision; without an outcome it stays in flight."""
    calls = Calls(app)

    def make(
        tenant: str = "acme",
        *,
        outcome: Outcome | None = Completed("claude-opus-5-5", USAGE),
        **more: Any,
    ) -> str:
        body = {
            "model": "claude-opus-5-5",
            "max_tokens": 1_000,
            "messages": [{"role": "user", "content": "hello"}],
        }
        call = calls.start(CallRequest(tenant, body, **more))
        if call.sending is None:
            assert call.result is not None
            return call.result.decision_id
        decision_id = call.sending.decision_id
        if outcome is not None:
            call.resume(outcome)
        return decision_id

    yield make
    calls.close()


@pytest.fixture
def rows(app: App) -> Callable[[], dict[str, int]]:
    """Count the rows of every table, to see that nothing was written."""

    def count() -> dict[str, int]:
        tables = (
            "ledger_account", "ledger_op", "ledger_transfer", "ledger_budget", "ledger_grant_lot",
            "ledger_budget_window", "outlay_api_key", "outlay_policy", "circuit_event", "circuit_state",
        )  # fmt: skip
        with app.reading() as connection:
            return {
                name: int(connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one())
                for name in tables
            }

    return count


@pytest.fixture
def tamper(app: App) -> Callable[[str], None]:
    """Change what the triggers forbid to change, as somebody with the database in hand could."""
    names = ("decision_no_update", "policy_no_delete", "decision_no_change", "policy_no_change")

    def change(statement: str) -> None:
        with app.engine.begin() as connection:
            for name in names:
                table = "" if connection.dialect.name == "sqlite" else f" ON outlay_{name.partition('_')[0]}"
                connection.execute(text(f"DROP TRIGGER IF EXISTS outlay_{name}{table}"))
            connection.exec_driver_sql(statement)

    return change
