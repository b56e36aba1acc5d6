"""
The roll-up of decisions, on both engines: it says what the log says, however often a decision was told.
"""

from itertools import permutations, product
from typing import Any

import dashboard_books as books
import pytest
from dashboard_books import MINUTE_US, NOON, call
from sqlalchemy import event, select, text

from ledger.types import Attachment, Note
from outlay import records, reports, reports_log, reports_routing, tables, tallies
from outlay.admin.archive import archive
from outlay.admin.books import verify
from outlay.admin.captured import settle
from outlay.fields import instant_text
from outlay.reports_calls import Count, downgraded, lowered
from outlay.reports_log import Filter
from outlay.reports_periods import Span, period
from outlay.tally_sql import DAY_US, QUARTER_US
from outlay.wiring import App
from router.codec import to_json

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Apia")


@pytest.fixture
def week(app: App) -> App:
    """Books with a day of four tenants, one of them with calls on each of eight days before it."""
    books.a_day(app, NOON, calls=80)
    for minutes in range(5, 8 * 24 * 60, 437):
        call(app, minutes, asked="large", served="small", cost_nanos=minutes)
        call(app, minutes, cost_nanos=7, outcome=("uncertain", "failed", "broken")[minutes % 3])
    return app


@pytest.mark.parametrize("zone", ZONES)
def test_every_period_is_counted_as_the_log_has_it(week: App, zone: str) -> None:
    """
    Bucket by bucket and to the nano-dollar, wherever days begin, also in the middle of a quarter of an hour.
    """
    with week.reading() as conn:
        for span in Span:
            for now_us in (NOON, NOON - 7 * MINUTE_US):
                for tenant in (None, "acme"):
                    seen = period(span, zone, now_us)
                    from_log = tallies.of_period(conn, seen, tenant, rolled=False)
                    assert tallies.of_period(conn, seen, tenant) == from_log
                    assert span is Span.QUARTER or sum(one.cost_nanos for one in from_log) > 0
    assert verify(week)["checks"]["tallies"]


def test_a_decision_that_is_told_twice_counts_once(app: App) -> None:
    """
    The record of a call whose end nobody saw stands when its capture tells it again, and so does its count.
    """
    books.tenant(app, "acme", NOON - DAY_US)
    unseen = call(app, 30, cost_nanos=40, outcome="uncertain")
    app.ledger.sweep(NOON + DAY_US)
    with app.reading() as conn:
        row = dict(conn.execute(tables.decision.select()).one()._mapping)
    app.ledger.do(Note("acme", "again", NOON), [Attachment(tables.decision, row, ignore=True)])
    settle(app, unseen, "0.00000003", reason="the provider's bill", actor="fin")
    seen = reports.overview(app, span=Span.WEEK, now_us=NOON)
    assert seen is not None
    assert seen.outcomes == (Count("uncertain", 1),)
    assert [(bar.cost_nanos, bar.calls) for bar in seen.spend] == [(30, 1)]
    assert verify(app)["checks"]["tallies"]


def test_the_log_and_the_roll_up_agree_on_what_is_downgraded(app: App) -> None:
    """
    Whatever was asked for and served, in whatever order of tiers, and also of tiers that it does not name.
    """
    named = (None, "large", "medium", "small", "gone")
    for asked, served in product(named, named):
        known = records.opened(
            id=f"{asked}-{served}", tenant="acme", at_us=NOON, surface="python", asked_model="m",
            asked_tier=asked, offers=to_json([{"model": "n", "tier": served}]), offer=0,
        )  # fmt: skip
        row = records.row(known, outcome="served", finished_us=NOON, cost_nanos=1)
        app.ledger.do(Note("acme", known["id"], NOON), [Attachment(tables.decision, row)])
    decided = tables.decision.c
    tiers = ("large", "medium", "small")
    for order in (order for size in range(4) for order in permutations(tiers, size)):
        rows = select(decided.asked_tier, decided.served_tier).where(downgraded(order))
        with app.reading() as conn:
            from_log = {(row.asked_tier, row.served_tier) for row in conn.execute(rows)}
            counted = tallies.of_period(conn, period(Span.QUARTER, "UTC", NOON + 1), None)
        assert {(one.asked, one.served) for one in lowered(counted, order)} == from_log
        assert len(from_log) == 12 - len(order) * (len(order) - 1) // 2


def test_what_is_archived_leaves_the_figures_too(
    week: App, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The roll-up counts what is in the log, no more: a stretch of time without decisions has no row.
    """
    monkeypatch.setattr("outlay.admin.archive.KEPT_US", -(10**16))
    month = period(Span.MONTH, "UTC", NOON)
    with week.reading() as conn:
        before = sum(one.calls for one in tallies.of_period(conn, month, None))
    done = archive(week, instant_text(NOON + DAY_US), f"{tmp_path}/old.jsonl")
    with week.reading() as conn:
        left = tallies.of_period(conn, month, None)
        assert left == tallies.of_period(conn, month, None, rolled=False)
        empty = conn.execute(text("SELECT count(*) FROM outlay_tally WHERE calls <= 0")).scalar()
    assert sum(one.calls for one in left) == before - done["decisions"] < before
    assert empty == 0
    assert verify(week)["checks"]["tallies"]


@pytest.mark.parametrize("change", ["cost_nanos = cost_nanos + 1", "calls = calls + 1", "codes = 'other'"])
def test_a_changed_roll_up_is_found(app: App, change: str) -> None:
    """
    `verify` names the tenant and the stretch of time of what is not counted as the log has it.
    """
    books.tenant(app, "acme", NOON - DAY_US)
    call(app, 30)
    with app.engine.begin() as conn:
        conn.execute(text(f"UPDATE outlay_tally SET {change} WHERE width_us = {QUARTER_US}"))
    found = verify(app)
    assert not found["checks"]["tallies"]
    assert found["problems"] == [
        "tallies: decisions of acme from 2026-11-21T11:30:00+00:00 on are not counted as the log has them"
    ]


def test_of_busy_books_the_newest_calls_name_the_tasks(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The tasks to choose from are those of the newest calls of the period, and the count is theirs.
    """
    monkeypatch.setattr(reports_routing, "CALLS_MAX", 3)
    books.tenant(app, "acme", NOON - DAY_US)
    for minutes, task in ((9, "old"), (8, "b"), (7, "a"), (6, "a")):
        call(app, minutes, task=task)
    seen = reports_routing.routing(app, now_us=NOON)
    assert seen is not None
    assert seen.tasks == (Count("a", 2), Count("b", 1))


@pytest.mark.parametrize(
    ("from_us", "to_us", "found"),
    [
        (0, 0, ()),
        (0, 1, ((0, 0, 1),)),
        (0, DAY_US, ((DAY_US, 0, DAY_US),)),
        (1, QUARTER_US, ((0, 1, QUARTER_US),)),
        (QUARTER_US, DAY_US, ((QUARTER_US, QUARTER_US, DAY_US),)),
        (
            DAY_US - QUARTER_US - 1,
            2 * DAY_US + QUARTER_US + 1,
            (
                (0, DAY_US - QUARTER_US - 1, DAY_US - QUARTER_US),
                (QUARTER_US, DAY_US - QUARTER_US, DAY_US),
                (DAY_US, DAY_US, 2 * DAY_US),
                (QUARTER_US, 2 * DAY_US, 2 * DAY_US + QUARTER_US),
                (0, 2 * DAY_US + QUARTER_US, 2 * DAY_US + QUARTER_US + 1),
            ),
        ),
    ],
)
def test_a_stretch_of_time_is_covered_by_the_widest_whole_steps(
    from_us: int, to_us: int, found: tuple[tuple[int, int, int], ...]
) -> None:
    """
    Days where whole days lie in it, quarters of an hour around them, and the log for what is left.
    """
    assert tallies.parts(from_us, to_us, (DAY_US, QUARTER_US)) == found


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_refusals_and_unseen_calls_are_found_by_their_indexes(sqlite_books: str, tenant: str | None) -> None:
    """
    SQLite, which has no statistics here as in most books, does not read every call of the period for them.
    """
    app = books.open_books(sqlite_books)
    books.tenant(app, "acme", NOON - DAY_US)
    call(app, 30, outcome="refused", code="outlay_frozen")
    asked: list[tuple[str, Any]] = []
    event.listen(app.engine, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
    reports.overview(app, tenant, span=Span.MONTH, now_us=NOON)
    reports_log.decisions(app, Filter(tenant=tenant, outcome="refused", code="outlay_frozen"))
    wanted = {
        "= 'refused'": "outlay_decision_refused",
        "WHERE outlay_decision.outcome IN ('uncertain'": "unseen",
    }
    found = dict.fromkeys(wanted, 0)
    with app.reading() as conn:
        for statement, values in tuple(asked):
            for part, index in wanted.items():
                if part in statement:
                    found[part] += 1
                    plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
                    assert any(index in row[3] for row in plan), (statement, plan)
    app.close()
    assert found["= 'refused'"] == 2
    assert min(found.values()) > 0
