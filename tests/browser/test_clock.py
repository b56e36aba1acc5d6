"""
One clock for every page: that of the chosen tenant's zone, UTC for all tenants; wherever a time stands, its
zone is told.
"""

import re
from collections.abc import Callable
from types import ModuleType

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.money_text import moment
from ledger.types import SetBudget, TopUp
from outlay.admin import policies
from outlay.wiring import App

Page = Callable[..., AppTest]
VIEWS = ("overview", "routing", "tenants", "policy")
ZONES = {"umbrella": "UTC", "globex": "America/New_York", "initech": "Asia/Kolkata"}
TIME = re.compile(r"\d{1,2} [A-Z][a-z]{2}(?: \d{4})? \d\d:\d\d(?::\d\d)?")
USD = 1_000_000_000


@pytest.fixture
def day(app: App, books: ModuleType, now_us: int) -> App:
    """A day of tenants in four zones, one halted, one refused for money, one with credit to come."""
    books.a_day(app, now_us, calls=120)
    soon = now_us + 3_600_000_000
    app.ledger.do(TopUp("initech", "soon", now_us, USD, effective_us=soon))
    app.ledger.do(SetBudget("globex", "raise", now_us, 30 * USD, valid_until_us=soon))
    number = {"gauge": "tenant/day", "needed_usd": "7", "resets_at": soon}
    text = "the day budget is spent; it resets at 2026-11-22T05:00:00+00:00"
    told = {"code": "outlay_daily_budget_reached", "text": text, "numbers": number}
    books.play(app, books.Call("acme", now_us, outcome="refused", code=told["code"], refusal=told))
    policies.apply_policy(app, policies.show_policy(app)["text"], actor="ana")
    policies.apply_policy(app, policies.show_policy(app)["text"], tenant="globex", actor="ana")
    return app


def prose(test: AppTest) -> str:
    """All that a page says outside of tables, as it is read."""
    elements = [*test.markdown, *test.caption, *test.error, *test.warning, *test.info, *test.success]
    return "\n".join(str(element.value) for element in elements).replace("\\", "")


def with_times(test: AppTest) -> int:
    """How many tables of a page have a time in them."""
    tables = [one.value for one in (*test.dataframe, *test.table)]
    return sum(any(TIME.search(str(cell)) for cell in table.to_numpy().flat) for table in tables)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("tenant", [None, "globex", "initech"])
def test_every_time_is_told_with_the_zone_of_its_page(
    name: str, tenant: str | None, page: Page, day: App
) -> None:
    """In sentences right behind it, below each table that has some; no page tells times of two zones."""
    zone = ZONES.get(tenant or "", "UTC")
    test = page(name, tenant)
    assert not test.exception
    said = prose(test)
    untold = [said[found.start() : found.end() + 30] for found in TIME.finditer(said)
              if not said[found.end() :].startswith(f" {zone}")]  # fmt: skip
    assert untold == []
    assert said.count(f"Times are in {zone}.") >= with_times(test)
    assert not any(f"Times are in {other}." in said for other in ZONES.values() if other != zone)


@pytest.mark.parametrize(("tenant", "zone"), [(None, "UTC"), ("globex", "America/New_York")])
def test_a_decision_is_explained_on_the_clock_of_its_page(
    tenant: str | None, zone: str, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Also the instants within its reasons and numbers."""
    books.tenant(app, "globex", now_us - 60_000_000, zone="America/New_York")
    numbers = {"resets_us": now_us, "resets_at": "2026-11-22T05:00:00+00:00", "needed_usd": "0.25"}
    told = {"code": "x", "text": "it resets at 2026-11-22T05:00:00+00:00", "numbers": numbers}
    decision = books.play(app, books.Call("globex", now_us, outcome="refused", code="x", refusal=told))
    test = page("routing", tenant)
    test.text_input(key="decision_id").input(decision).run()
    said = prose(test)
    at = moment(now_us, zone, seconds=True)
    assert f"globex, {at} {zone}" in said
    assert f"resets {at} {zone}" in said
    midnight = f"{'22 Nov 05:00' if tenant is None else '22 Nov 00:00'} {zone}"
    assert f"it resets at {midnight}" in said
    assert f"resets at {midnight}, needed $0.25" in said


@pytest.mark.parametrize(("tenant", "told"), [
    ("All tenants", "All times are in UTC. Choose a tenant"),
    ("initech", "All times are in Asia/Kolkata, the tenant's own time zone."),
])  # fmt: skip
def test_the_sidebar_tells_the_rule(tenant: str, told: str, app: App, books: ModuleType, now_us: int) -> None:
    """Beside the choice that decides it, on every page."""
    books.tenant(app, "initech", now_us, zone="Asia/Kolkata")
    test = AppTest.from_string("from dashboard import frame\nframe.sidebar()\n", default_timeout=60).run()
    test.selectbox(key="tenant").select(tenant).run()
    assert told in prose(test)


def test_today_of_all_tenants_says_whose_day_it_is(page: Page, day: App) -> None:
    """The day of the chart is one of UTC; the days of the tenants end when theirs do."""
    test = page("overview")
    test.segmented_control(key="span").set_value("today").run()
    assert "Saved, today in UTC" in [metric.label for metric in test.metric]
    shown = next(frame.value for frame in test.dataframe if "Day ends" in frame.value)
    assert list(shown["Day ends"].str[-5:]) != ["00:00"] * 4
    mine = page("overview", "globex").segmented_control(key="span").set_value("today").run()
    assert "Saved, today" in [metric.label for metric in mine.metric]
