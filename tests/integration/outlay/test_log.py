"""
The decision log in pages, on both engines: nothing is lost, and a rare match does not read the whole log.
"""

import dashboard_books as books
import pytest
from dashboard_books import HOUR_US, MINUTE_US, NOON, call
from sqlalchemy import event

from outlay import reports_log
from outlay.admin.decisions import list_decisions
from outlay.reports_log import Filter, LogPage, Place
from outlay.wiring import App


@pytest.fixture
def acme(app: App) -> App:
    """Books with one tenant, since yesterday morning."""
    books.tenant(app, "acme", NOON - 30 * HOUR_US)
    return app


def pages(app: App, wanted: Filter, *, limit: int, look_s: float, stretch: int) -> list[LogPage]:
    """Read the log to its end, page by page."""
    found: list[LogPage] = []
    before: Place | None = None
    while not found or before is not None:
        page = reports_log.decisions(app, wanted, limit=limit, before=before, look_s=look_s, stretch=stretch)
        found.append(page)
        before = page.next_place
        assert len(found) < 50
    return found


@pytest.mark.parametrize("look_s", [0.0, 60.0])
@pytest.mark.parametrize("stretch", [1, 2, 3, 5, 100])
def test_the_log_is_paged_newest_first_without_loss(acme: App, look_s: float, stretch: int) -> None:
    """Pages joined are the whole log in order, also where instants are equal, however far a look reaches."""
    made = [call(acme, 5, cost_nanos=1) for _ in range(4)] + [call(acme, minutes) for minutes in (4, 3, 2)]
    found = pages(acme, Filter(), limit=3, look_s=look_s, stretch=stretch)
    seen = [row.id for page in found for row in page.rows]
    assert sorted(seen) == sorted(made)
    assert seen[:3] == made[:3:-1]
    assert len(set(seen)) == 7


@pytest.mark.parametrize("outcome", [None, "refused"])
@pytest.mark.parametrize(
    ("limit", "look_s", "stretch"), [(2, 60.0, 100), (2, 60.0, 1), (9, 0.0, 1), (9, 0.0, 3)]
)
def test_a_walk_by_ids_misses_nothing_behind_its_cursor(
    acme: App, outcome: str | None, limit: int, look_s: float, stretch: int
) -> None:
    """
    Among calls of one microsecond the id decides: also of those that are written while somebody walks, each
    that stands behind the cursor comes, and each call comes once.
    """

    def some() -> set[str]:
        other = {"outcome": "refused", "code": "outlay_frozen"}
        made = {call(acme, 5, cost_nanos=1) for _ in range(3)}
        refused = {call(acme, 5, **other) for _ in range(3)}
        return refused if outcome == "refused" else made | refused

    wanted, seen, cursor, pages = some(), list[str](), None, 0
    while pages == 0 or cursor is not None:
        page = list_decisions(
            acme, tenant="acme", outcome=outcome, limit=limit, before=cursor, look_s=look_s, stretch=stretch
        )
        seen += [one["id"] for one in page["decisions"]]
        cursor, pages = page["next"], pages + 1
        assert pages < 50
        if cursor is not None and pages < 3:
            wanted |= {late for late in some() if late < cursor}
    assert sorted(seen) == sorted(wanted)


def test_the_log_is_filtered(acme: App) -> None:
    """Each filter leaves what it names, and they are combined."""
    lowered = call(acme, 9, asked="large", served="small", task="a/b")
    refused = call(acme, 8, outcome="refused", code="outlay_frozen", task="a/b")
    plain = call(acme, 7, task="c")
    books.tenant(acme, "other", NOON - HOUR_US)
    other = books.play(acme, books.Call(tenant="other", at_us=NOON - MINUTE_US, task="a/b"))

    def ids(wanted: Filter) -> set[str]:
        return {row.id for row in reports_log.decisions(acme, wanted).rows}

    assert ids(Filter()) == {lowered, refused, plain, other}
    assert ids(Filter(tenant="acme")) == {lowered, refused, plain}
    assert ids(Filter(task="a/b")) == {lowered, refused, other}
    assert ids(Filter(outcome="refused")) == {refused}
    assert ids(Filter(downgraded=True)) == {lowered}
    assert ids(Filter(tenant="other", outcome="refused")) == set()


def test_a_page_that_is_not_full_says_how_far_it_looked(acme: App) -> None:
    """Out of time it has what it found so far, and goes on behind what it looked at."""
    old = call(acme, 60, task="rare")
    for minutes in range(50, 40, -1):
        call(acme, minutes)
    new = call(acme, 10, task="rare")
    found = pages(acme, Filter(task="rare"), limit=5, look_s=0.0, stretch=4)
    assert [[row.id for row in page.rows] for page in found] == [[new], [], [old]]
    looked_to = [page.looked_to_us for page in found]
    assert looked_to == [NOON - 44 * MINUTE_US, NOON - 49 * MINUTE_US, None]


def test_with_time_left_a_page_looks_on_until_it_is_full(acme: App) -> None:
    """Stretches without a match are passed over; what is read before the newest match does not grow."""
    rare = [call(acme, minutes, task="rare") for minutes in (60, 59)]
    for minutes in range(50, 40, -1):
        call(acme, minutes)
    page = reports_log.decisions(acme, Filter(task="rare"), limit=1, look_s=60.0, stretch=4)
    assert [row.id for row in page.rows] == [rare[1]]
    assert page.looked_to_us is None
    last = reports_log.decisions(acme, Filter(task="rare"), limit=1, before=page.next_place, look_s=60.0)
    assert ([row.id for row in last.rows], last.next_place) == ([rare[0]], None)


@pytest.mark.parametrize("wanted", [Filter(task="nobody"), Filter(tenant="acme", downgraded=True)])
def test_a_look_reads_no_call_beyond_its_stretch(acme: App, wanted: Filter) -> None:
    """What bounds it is an instant in the query itself, found by an index alone."""
    for minutes in range(30, 0, -1):
        call(acme, minutes)
    asked: list[str] = []
    event.listen(acme.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    page = reports_log.decisions(acme, wanted, look_s=0.0, stretch=10)
    assert (page.rows, page.looked_to_us) == ((), NOON - 11 * MINUTE_US)
    bounds = [text for text in asked if "outlay_decision" in text and "served_model" not in text]
    reads = [text for text in asked if "served_model" in text]
    assert len(bounds) == len(reads) == 1
    assert "outlay_decision.at_us >= " in reads[0]
