"""
A call whose cost an operator corrects, on both engines: every sum of spending says what the statement says.
"""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import dashboard_books as books
import pytest
from dashboard_books import NOON, USD, call
from sqlalchemy import event, func, select

from ledger import tables as ledger_tables
from ledger.types import Correct, Note
from outlay import reports, reports_log, reports_routing, tables, tallies
from outlay.admin.archive import archive
from outlay.admin.books import verify
from outlay.admin.captured import settle
from outlay.admin.decisions import explain, list_decisions
from outlay.admin.statements import statement
from outlay.corrected import corrected
from outlay.fields import instant_text, usd
from outlay.reports_calls import Savings
from outlay.reports_log import Filter
from outlay.reports_periods import Span, period
from outlay.tally_sql import DAY_US
from outlay.wiring import App
from pricing.money import format_usd

AT_FIRST = 40_000_000
KEPT = 7_000_000


@pytest.fixture
def acme(app: App) -> App:
    """Books with one tenant."""
    books.tenant(app, "acme", NOON - DAY_US)
    return app


def correct(app: App, hold_id: str, nanos: int) -> None:
    """Tell the true cost of a call."""
    settle(app, hold_id, str(usd(nanos)), reason="invoice", confirmed=True, actor="fin")


def figures(app: App) -> Iterator[tuple[str, int]]:
    """Give every sum of what the calls of acme cost, by where it stands."""
    seen = reports.overview(app, "acme", span=Span.WEEK, now_us=NOON)
    routing = reports_routing.routing(app, "acme", span=Span.WEEK, now_us=NOON)
    assert seen is not None
    assert routing is not None
    yield "spend of the overview", sum(bar.cost_nanos for bar in seen.spend)
    yield "cells of routing", sum(cell.cost_nanos for cell in routing.cells)
    yield "rows of the log", sum(row.cost_nanos or 0 for row in reports_log.decisions(app, Filter()).rows)
    listed = list_decisions(app)["decisions"]
    yield "list of decisions", sum(nanos(one["cost_usd"]) for one in listed)
    yield "explanations", sum(nanos(explain(app, one["id"])["cost_usd"]) for one in listed)
    with app.reading() as connection:
        for rolled in (True, False):
            counted = tallies.of_period(connection, period(Span.TODAY, "UTC", NOON), None, rolled=rolled)
            yield f"tallies, rolled up: {rolled}", sum(one.cost_nanos for one in counted)


def nanos(dollars: str) -> int:
    """Read an amount; one below 0 is a correction downwards."""
    return int(Decimal(dollars) * USD)


def stated(app: App) -> int:
    """Give what the statement's costs add up to."""
    costs = [line["cost_usd"] for line in statement(app, "acme")["lines"]]
    return sum(nanos(cost) for cost in costs if cost is not None)


@pytest.mark.parametrize("outcome", ["served", "broken", "uncertain", "failed"])
def test_every_sum_says_what_the_statement_says(acme: App, outcome: str) -> None:
    """
    Corrected up, down, to nothing and back: no figure keeps the cost that was recorded at first.
    """
    call(acme, 20, cost_nanos=KEPT)
    told = call(acme, 95, asked="large", served="small", cost_nanos=AT_FIRST, outcome=outcome)
    acme.ledger.sweep(NOON + DAY_US)
    for cost in (AT_FIRST * 3, AT_FIRST // 4, 0, AT_FIRST):
        correct(acme, told, cost)
        assert dict(figures(acme)) == dict.fromkeys(dict(figures(acme)), KEPT + cost)
        assert stated(acme) == KEPT + cost
        assert verify(acme)["problems"] == []


def test_the_explanation_says_what_was_recorded_at_first(acme: App) -> None:
    """
    The cost is the corrected one, beside it what the record says: alike of a call that was not corrected.
    """
    told, kept = call(acme, 9, cost_nanos=AT_FIRST), call(acme, 8, cost_nanos=KEPT)
    unseen = call(acme, 7, outcome="uncertain", cost_nanos=AT_FIRST)
    correct(acme, told, 2 * AT_FIRST)
    shown = {
        one: (found["cost_usd"], found["recorded_cost_usd"])
        for one in (told, kept, unseen)
        for found in (explain(acme, one),)
    }
    assert shown == {told: ("0.08", "0.04"), kept: ("0.007", "0.007"), unseen: ("0.08", None)}
    assert (explain(acme, told)["asked_cost_usd"], explain(acme, kept)["asked_cost_usd"]) == (None, "0.007")
    found = reports_routing.why(acme, told)
    assert found is not None
    assert (found.record["cost_nanos"], found.record["recorded_nanos"]) == (2 * AT_FIRST, AT_FIRST)


def test_a_corrected_call_claims_no_savings(acme: App) -> None:
    """
    Its usage is not what was billed, so nobody knows what it would have cost as asked; put back, it
    counts again.
    """
    call(acme, 20, asked="large", served="small", cost_nanos=KEPT)
    told = call(acme, 15, asked="large", served="small", cost_nanos=AT_FIRST)

    def saved() -> tuple[Savings, list[int]]:
        seen = reports_routing.routing(acme, now_us=NOON)
        assert seen is not None
        return seen.savings, [cell.asked_cost_nanos for cell in seen.cells]

    before = saved()
    assert (before[0].downgraded, before[0].calls) == (2, 2)
    correct(acme, told, 0)
    assert saved() == (Savings(2, 1, 10 * KEPT, KEPT), [10 * KEPT])
    correct(acme, told, 5 * AT_FIRST)
    assert saved() == (Savings(2, 1, 10 * KEPT, KEPT), [10 * KEPT + 5 * AT_FIRST])
    correct(acme, told, AT_FIRST)
    assert saved() == before


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_every_bucket_has_the_corrections_of_its_own_calls(app: App, zone: str) -> None:
    """
    Calls of eight days, some corrected, some twice: each bucket adds up to its calls' costs in the ledger.
    """
    chance, tiers = random.Random(3), list(books.MODELS)
    books.tenant(app, "acme", NOON - 9 * DAY_US, daily_nanos=None)
    known = [
        call(app, minutes, cost_nanos=1_000 + minutes, served=chance.choice(tiers))
        for minutes in range(5, 8 * 24 * 60, 437)
    ]
    for hold_id in chance.choices(known, k=12):
        correct(app, hold_id, chance.randrange(50_000))
    hold, decision = ledger_tables.hold.c, tables.decision.c
    for span in Span:
        for tenant in (None, "acme"):
            with app.reading() as connection:
                seen = period(span, zone, NOON)
                counted = tallies.of_period(connection, seen, tenant)
                assert counted == tallies.of_period(connection, seen, tenant, rolled=False)
                for from_us, to_us in seen.buckets():
                    among = (hold.id == decision.hold_id, decision.at_us >= max(from_us, seen.from_us))
                    within = (*among, decision.at_us < min(to_us, seen.to_us))
                    truth = connection.execute(select(func.sum(hold.actual)).where(*within)).scalar()
                    in_it = [one.cost_nanos for one in counted if one.starts_us == from_us]
                    assert sum(in_it) == (truth or 0)
    assert verify(app)["ok"]


def test_a_correction_reaches_its_own_tenant_only(acme: App) -> None:
    """
    Another tenant's figures stay; those of all tenants have it.
    """
    books.tenant(acme, "globex", NOON - DAY_US)
    call(acme, 20, cost_nanos=KEPT)
    told = books.play(acme, books.Call("globex", NOON - 10**9, cost_nanos=AT_FIRST))
    correct(acme, told, 2 * AT_FIRST)
    for tenant, cost in (("acme", KEPT), ("globex", 2 * AT_FIRST), (None, KEPT + 2 * AT_FIRST)):
        seen = reports.overview(acme, tenant, span=Span.WEEK, now_us=NOON)
        assert seen is not None
        assert sum(bar.cost_nanos for bar in seen.spend) == cost


def test_the_record_and_the_roll_up_are_never_changed(acme: App) -> None:
    """
    A correction is one transaction of the ledger: what it changes in the figures is read from there.
    """
    told = call(acme, 95, cost_nanos=AT_FIRST)

    def stored() -> list[Any]:
        with acme.reading() as connection:
            return [connection.execute(table.select()).all() for table in (tables.decision, tables.tally)]

    before = stored()
    correct(acme, told, 2 * AT_FIRST)
    correct(acme, told, 2 * AT_FIRST)
    assert stored() == before


def test_a_correction_that_no_sum_would_find_is_named(acme: App) -> None:
    """
    `verify` goes by the same orders as the sums: one under another key is told, as they would miss it.
    """
    told = call(acme, 9, cost_nanos=KEPT)
    acme.ledger.do(Correct("acme", "not an order", NOON, told, reason="bill", cost_nanos=5))
    said = f"decision {told} cost {format_usd(KEPT)}, its hold is settled at 0.000000005 USD"
    assert verify(acme)["problems"] == [f"decisions: {said}"]


def test_an_archived_call_takes_its_correction_with_it(
    acme: App, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Corrected, then archived: nothing of it is left in any sum.
    """
    monkeypatch.setattr("outlay.admin.archive.KEPT_US", -(10**16))
    correct(acme, call(acme, 95, cost_nanos=AT_FIRST), 2 * AT_FIRST)
    archive(acme, instant_text(NOON + 9 * DAY_US), f"{tmp_path}/old.jsonl")
    call(acme, 20, cost_nanos=KEPT)
    assert set(dict(figures(acme)).values()) == {KEPT}
    assert verify(acme)["ok"]


def test_an_order_is_looked_for_since_its_calls_period(acme: App) -> None:
    """
    A call of the period's first instant, corrected by a clock that is far behind: the order is as old as the
    call, and no older, so it is found; a period that began later does not read it.
    """
    seen = period(Span.TODAY, "UTC", NOON)
    told = call(acme, (NOON - seen.from_us) // books.MINUTE_US, cost_nanos=AT_FIRST)
    acme.ledger.do(Correct("acme", "admin:early", 1, told, reason="bill", cost_nanos=KEPT))
    with acme.reading() as connection:
        assert sum(one.cost_nanos for one in tallies.of_period(connection, seen, None)) == KEPT
        at_us = connection.execute(
            select(ledger_tables.op.c.at).where(ledger_tables.op.c.key == "admin:early")
        ).scalar_one()
        assert corrected(connection, since_us=at_us) == {(told, KEPT)}
        assert corrected(connection, since_us=at_us + 1) == frozenset()


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_corrections_are_found_by_the_keys_of_orders(sqlite_books: str, tenant: str | None) -> None:
    """
    SQLite does not read the answers to every call's key for them, nor every call of the period.
    """
    app = books.open_books(sqlite_books)
    books.tenant(app, "acme", NOON - DAY_US)
    correct(app, call(app, 30, cost_nanos=KEPT), AT_FIRST)
    app.ledger.do(Note("acme", "call's own", NOON))
    asked: list[tuple[str, Any]] = []
    event.listen(app.engine, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
    reports.overview(app, tenant, span=Span.MONTH, now_us=NOON)
    plans = []
    with app.reading() as connection:
        for statement_, values in tuple(asked):
            if "ledger_op" in statement_ or "ledger_hold.actual -" in statement_:
                plans.append(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement_}", values).all())
    app.close()
    steps = [row[3] for plan in plans for row in plan]
    assert any("SEARCH o USING PRIMARY KEY (tenant=? AND key>? AND key<?)" in step for step in steps), steps
    assert any("SEARCH outlay_decision USING INDEX sqlite_autoindex" in step for step in steps), steps
    assert not any(step.startswith(("SCAN o", "SCAN outlay_decision")) for step in steps), steps
