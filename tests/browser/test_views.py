"""
Every page without a browser: empty, with one row, with a day of traffic, with wrong input.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from json import loads
from types import ModuleType
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from traffic import STEPS, Clock, Traffic

from dashboard.kinds import KINDS
from dashboard.money_text import moment
from ledger import reads
from ledger.rows import KIND_NAMES
from ledger.types import Attachment, Note, Offer, Reserve, SetAccount, SetBudget, Settle, TopUp
from outlay import reports, reports_log, tables
from outlay.admin import policies, quality
from outlay.admin.captured import settle
from outlay.wiring import App
from router.policy import default_policy_text

Page = Callable[..., AppTest]
VIEWS = ("overview", "routing", "tenants", "policy")
USD = 1_000_000_000


def texts(test: AppTest) -> str:
    """Return all that a page says, joined."""
    elements = [*test.title, *test.subheader, *test.markdown, *test.caption, *test.error, *test.info]
    elements = [*elements, *test.success, *test.warning, *test.code]
    return "\n".join(str(element.value) for element in elements)


def credit(app: App, tenant: str) -> int:
    """Return a tenant's credit as the books have it."""
    with app.reading() as conn:
        found = reads.account(conn, tenant)
    assert found is not None
    return found.credit_nanos


@pytest.mark.parametrize("name", VIEWS)
def test_every_page_shows_itself_without_any_tenant(name: str, page: Page) -> None:
    """Empty books are no error on any page."""
    test = page(name)
    assert not test.exception
    assert not test.error


@pytest.mark.parametrize("name", ["overview", "routing", "tenants"])
def test_empty_books_say_what_to_do_first(name: str, page: Page) -> None:
    """Where there is no tenant, the page gives the command that creates one."""
    assert "outlay tenant create acme" in texts(page(name))


@pytest.mark.parametrize("name", ["overview", "routing"])
def test_a_tenant_without_calls_is_told_how_to_send_some(
    name: str, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Before the first call the page shows the two variables that bring it."""
    books.tenant(app, "acme", now_us)
    test = page(name, "acme")
    assert not test.exception
    assert "ANTHROPIC_BASE_URL" in texts(test)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("tenant", [None, "acme"])
def test_every_page_shows_one_call(
    name: str, tenant: str | None, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """One call is enough for every chart and table."""
    books.tenant(app, "acme", now_us - 60_000_000)
    books.play(app, books.Call("acme", now_us - 5_000_000, served="medium", level=1, ratio=0.4))
    test = page(name, tenant)
    assert not test.exception
    assert not test.error


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("tenant", [None, "acme", "initech", "umbrella"])
def test_every_page_shows_a_day(
    name: str, tenant: str | None, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """A day of four tenants, one without a budget, one out of credit, one halted."""
    books.a_day(app, now_us, calls=60)
    assert not page(name, tenant).exception


def test_a_tenant_that_is_gone_from_the_books_is_no_error(page: Page) -> None:
    """A name kept in the browser's address may mean nothing here."""
    test = page("overview", "nobody")
    assert not test.exception
    assert "No tenant yet" in texts(test)


def test_overview_shows_the_ledgers_figures(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """Credit, spending and calls on the cards are those of the books."""
    books.tenant(app, "acme", now_us - 60_000_000)
    books.play(app, books.Call("acme", now_us - 5_000_000, cost_nanos=1_250_000_000))
    books.play(app, books.Call("acme", now_us - 4_000_000, outcome="refused", code="outlay_frozen"))
    test = page("overview", "acme")
    shown = {metric.label.split(",")[0]: (metric.value, metric.delta) for metric in test.metric}
    assert shown["Credit available"][0] == "$18.75"
    assert shown["Calls served"] == ("1", "1 refused")
    assert shown["Spent today"][0] == "$1.25"


def test_the_tile_counts_low_budgets_of_every_window(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """A month that is nearly spent counts as a day does; the tile says what is not in it."""
    books.tenant(app, "acme", now_us - 60_000_000)
    app.ledger.do(SetBudget("acme", "month", now_us - 50_000_000, 1_300_000_000, window="month"))
    books.play(app, books.Call("acme", now_us - 5_000_000, cost_nanos=1_250_000_000))
    tile = next(metric for metric in page("overview").metric if metric.label == "Spent today")
    assert tile.delta == "1 budget under 20 % left"
    assert "those of keys, tasks, users and tags" in tile.help


def test_halting_needs_a_reason(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """Without a reason nothing is halted and the dialog says what is missing; with one it is."""
    books.tenant(app, "acme", now_us)
    test = page("overview", "acme")
    _button(test, "Halt spending").click().run()
    _button(test, "Halt now").click().run()
    assert "reason" in texts(test)
    assert not app.circuit.standing().switches
    test.text_input(key="halt_reason").input("runaway").run()
    _button(test, "Halt now").click().run()
    (switch,) = app.circuit.standing().switches
    assert (switch.scope, switch.halted, switch.reason, switch.actor) == (
        "tenant:acme",
        True,
        "runaway",
        "ben",
    )


@pytest.mark.parametrize("amount", ["", "-3", "1e3", "1,5", "0", "12.3456789012", "abc", "99999999999"])
def test_a_wrong_amount_is_refused_at_its_field(
    amount: str, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """The dialog names the field and the fix; no money has moved."""
    books.tenant(app, "acme", now_us)
    test = page("tenants", "acme")
    _button(test, "Top up").click().run()
    test.text_input(key="top_up_amount").input(amount).run()
    _button(test, "Add credit").click().run()
    assert not test.exception
    assert test.error[0].value.startswith("Amount in USD")
    assert credit(app, "acme") == 20 * USD


def test_a_top_up_that_is_sent_twice_is_one(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """The key belongs to the dialog as it was opened: the same button pressed again moves nothing."""
    books.tenant(app, "acme", now_us)
    test = page("tenants", "acme")
    _button(test, "Top up").click().run()
    test.text_input(key="top_up_amount").input("10").run()
    key = test.session_state["order_key"]
    _button(test, "Add credit").click().run()
    assert credit(app, "acme") == 30 * USD
    _button(test, "Top up").click().run()
    test.session_state["order_key"] = key
    test.text_input(key="top_up_amount").input("10").run()
    _button(test, "Add credit").click().run()
    assert credit(app, "acme") == 30 * USD


def test_the_statement_shows_every_digit(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """Amounts of a billionth add up by eye, as the command line has them; the rest of 20 USD stays."""
    books.tenant(app, "acme", now_us - 60_000_000)
    books.play(app, books.Call("acme", now_us - 5_000_000, cost_nanos=12_345_679))
    lines = next(table.value for table in page("tenants", "acme").dataframe if "Change" in table.value)
    assert "−$0.012345679" in set(lines["Change"])
    assert lines["Credit after"][0] == "$19.987654321"
    assert "Change of debt" not in lines  # nothing was owed
    assert lines["Time"][1] == moment(now_us - 60_000_000, "UTC", seconds=True, year=True)


def test_the_statement_shows_what_became_debt(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """A line that takes no credit, but makes debt, says how much."""
    books.tenant(app, "acme", now_us - 60_000_000)
    app.ledger.do(Reserve("acme", "ask", now_us, "h", (Offer(10, 10),)))
    app.ledger.do(Settle("acme", "bill", now_us, "h", 20 * USD + 3))
    lines = next(table.value for table in page("tenants", "acme").dataframe if "Change" in table.value)
    assert list(zip(lines["Change"], lines["Change of debt"], strict=True))[:2] == [
        ("$0.00", "$0.000000003"), ("−$20.00", "$0.00"),
    ]  # fmt: skip


def test_a_frozen_tenant_reads_as_frozen(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """What keeps a tenant from spending stands on its card."""
    books.tenant(app, "acme", now_us)
    app.ledger.do(SetAccount("acme", "freeze", now_us + 1, frozen=True))
    test = page("tenants", "acme")
    assert "frozen" in [metric.value for metric in test.metric]


@pytest.mark.parametrize("name", ["overview", "tenants"])
def test_a_tenant_without_credit_says_why_nothing_passes(
    name: str, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """In the table and on its own page, with the credit that is still to come; one that runs says nothing."""
    books.tenant(app, "acme", now_us)
    assert "No call passes" not in texts(page(name, "acme"))
    books.tenant(app, "poor", now_us, credit_nanos=0)
    soon = now_us + 3_600_000_000
    app.ledger.do(TopUp("poor", "soon", now_us, 7 * USD, effective_us=soon))
    told = f"No credit is left; $7.00 comes {moment(soon, 'UTC', year=True)} UTC."
    listed = page(name)
    table = next(frame.value for frame in listed.dataframe if "State" in frame.value.columns)
    assert list(table["State"]) == ["running", "no credit"]
    assert f"- **poor**, no credit. {told}" in texts(listed).replace("\\", "")
    assert "- **acme**" not in texts(listed)
    assert told in texts(page(name, "poor")).replace("\\", "")


@pytest.mark.parametrize("name", ["overview", "tenants"])
def test_an_observed_tenant_with_nothing_left_says_so(
    name: str, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """It is not said to run as others do, nor that no call passes."""
    policies.apply_policy(app, default_policy_text().replace('"enforce"', '"observe"'), actor="ana")
    books.tenant(app, "acme", now_us)
    books.tenant(app, "poor", now_us, credit_nanos=0)
    listed = page(name)
    table = next(frame.value for frame in listed.dataframe if "State" in frame.value.columns)
    assert list(table["State"]) == ["running", "observed"]
    told = "Observe mode lets its calls pass all the same. No credit is left: top up."
    assert f"- **poor**, observed. {told}" in texts(listed).replace("\\", "")
    own = page(name, "poor")
    assert "No credit is left: top up." in texts(own).replace("\\", "")
    assert "what credit does not cover is absorbed" in texts(own)
    assert "No call passes" not in texts(own)


def test_observe_mode_tells_what_enforcement_would_have_done(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """In one place: what is booked, what would stop the tenant, and what its calls would have come to."""
    policies.apply_policy(app, default_policy_text().replace('"enforce"', '"observe"'), actor="ana")
    books.tenant(app, "acme", now_us - 60_000_000, daily_nanos=10_000_000)
    verdicts = (
        {"router": {"refusal": {"code": "outlay_priority_refused"}}},
        {"router": None, "ledger": {"refuse": "outlay_daily_budget_reached"}},
        {"router": {"offer": {"model": "claude-haiku-5-5"}}},
        {"router": {"offer": {"model": "claude-opus-5-5"}}},
    )
    for number, would in enumerate(verdicts):
        books.play(app, books.Call("acme", now_us - 5_000_000 + number, would=would))
    failed = books.Call("acme", now_us - 4_000_000, would=verdicts[0], outcome="failed")
    books.play(app, failed)
    (banner,) = (one.value.replace("\\", "") for one in page("overview", "acme").info)
    assert "The budget of the day, $0.01, is spent" in banner
    assert (
        "Of its 4 served calls of the period enforcement would have refused 2, and served 1 by another model"
        in banner
    )
    everybody = page("overview").info[0].value
    assert "Of 4 served calls of the period enforcement would have refused 2" in everybody


def test_the_kinds_of_a_statement_are_explained(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """Those that it has, in the words of the glossary; others would be in the way."""
    assert set(KINDS) == set(KIND_NAMES)
    books.tenant(app, "acme", now_us - 60_000_000)
    books.play(app, books.Call("acme", now_us - 5_000_000, cost_nanos=12_345_679))
    said = texts(page("tenants", "acme"))
    assert f"**topup**: {KINDS['topup']}" in said
    assert f"**settle**: {KINDS['settle']}" in said
    assert "**refund**" not in said


@pytest.mark.parametrize("name", ["overview", "tenants"])
def test_every_budget_of_a_tenant_is_shown(
    name: str, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Windows and scopes beside the day, with what is left, what it counts, and a raise with its end."""
    books.tenant(app, "acme", now_us)
    until = now_us + 3_600_000_000
    app.ledger.do(SetBudget("acme", "w", now_us, 30 * USD, window="week"))
    app.ledger.do(SetBudget("acme", "t", now_us, 0, scope="user:4711", counts="cost"))
    app.ledger.do(SetBudget("acme", "d", now_us, 9 * USD, valid_until_us=until))
    test = page(name, "acme")
    shown = next(frame.value for frame in test.dataframe if "Window" in frame.value.columns)
    assert list(shown["Calls of"]) == ["the tenant", "the tenant", "user 4711"]
    assert list(shown["Window"]) == ["day", "week", "day"]
    assert [str(limit) for limit in shown["Limit"]] == ["9.000000000", "30.000000000", "0E-9"]
    assert list(shown["Share left"]) == [100, 100, 0]
    assert "Held" not in shown.columns
    assert list(shown["Counts"]) == ["charge", "charge", "cost"]
    assert list(shown["Raised"].fillna("")) == [f"to {moment(until, 'UTC', year=True)}, then $5.00", "", ""]


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_the_amounts_of_a_table_have_as_many_decimals(
    tenant: str | None, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """A limit of 100 dollars, a third of a cent of it spent, and what is left are written alike."""
    books.tenant(app, "acme", now_us, credit_nanos=200 * USD, daily_nanos=100 * USD)
    books.play(app, books.Call("acme", now_us, cost_nanos=3_100_000))
    table = page("tenants", tenant).dataframe[0]
    formats = [
        column.get("type_config", {}).get("format", "") for column in loads(table.proto.columns).values()
    ]
    assert [form for form in formats if form.startswith("$")] == ["$%,.4f"] * 3


def test_debt_and_holds_have_columns_only_where_there_are_some(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Columns of nothing but zeros would push what matters out of a narrow window."""
    books.tenant(app, "acme", now_us)
    assert {"Held", "Owed"}.isdisjoint(page("tenants").dataframe[0].value.columns)
    app.ledger.do(Reserve("acme", "ask", now_us, "h", (Offer(10, 10),)))
    assert "Held" in page("tenants").dataframe[0].value.columns
    app.ledger.do(Settle("acme", "bill", now_us, "h", 20 * USD + 3))
    assert "Owed" in page("tenants").dataframe[0].value.columns


def test_a_new_tenant_with_a_wrong_zone_is_not_created(page: Page, app: App) -> None:
    """The zone is named with a fix, and there is no tenant."""
    test = page("tenants")
    _button(test, "New tenant").click().run()
    test.text_input(key="new_name").input("acme").run()
    test.text_input(key="new_zone").input("Europe/Berln").run()
    _button(test, "Create tenant").click().run()
    assert test.error[0].value.startswith("Time zone")
    assert "Europe/Berlin" in test.error[0].value.replace("\\", "")
    with app.reading() as conn:
        assert reads.tenants(conn) == ()


def test_a_new_tenants_key_is_shown_once(page: Page, app: App) -> None:
    """The secret stands on the page after the creation and is gone at the next run."""
    test = page("tenants")
    _button(test, "New tenant").click().run()
    test.text_input(key="new_name").input("acme").run()
    _button(test, "Create tenant").click().run()
    assert "olk_" in texts(test)
    assert "olk_" not in texts(test.run())


def test_thresholds_out_of_order_are_told_at_their_step(page: Page, app: App) -> None:
    """The router's own problem stands at the step, with the fix, and saving is off."""
    test = page("policy")
    below = next(field for field in test.number_input if field.key.endswith("step 1/below"))
    below.set_value(70.0).run()
    assert not test.exception
    (told,) = (error.value.replace("\\", "") for error in test.error)
    assert "the step before it (50 %) (found: 70 %). Order the steps" in told
    assert _button(test, "Save as new version").disabled
    assert policies.policy_history(app)["versions"] == []


def test_whole_shares_of_a_policy_are_shown(page: Page, app: App) -> None:
    """A file may write a share as 0 or 1, which is no fraction; the fields show it in percent."""
    text = (
        default_policy_text()
        .replace("hysteresis = 0.03", "hysteresis = 0")
        .replace("below = 0.50", "below = 1")
    )
    policies.apply_policy(app, text, actor="ana")
    test = page("policy")
    assert not test.exception
    assert {field.value for field in test.number_input} >= {0.0, 100.0}


def test_a_changed_threshold_is_saved_with_its_comments(page: Page, app: App) -> None:
    """The new version has the new number, the old comments, the actor and the note."""
    test = page("policy")
    next(field for field in test.number_input if field.key.endswith("step 0/below")).set_value(60.0).run()
    test.text_input(key="form_note").input("earlier").run()
    _button(test, "Save as new version").click().run()
    assert not test.exception
    shown = policies.show_policy(app)
    assert (shown["version"], shown["actor"], shown["note"]) == (1, "ben", "earlier")
    assert "below = 0.6" in shown["text"]
    assert "# Tiers stand from the highest to the lowest." in shown["text"]


def test_pacing_is_chosen_and_shown(page: Page, app: App) -> None:
    """The mode of the form is that of the file, pacing too, and a change of it is saved."""
    test = page("policy")
    (mode,) = [group for group in test.segmented_control if group.label == "Degradation"]
    mode.set_value("pace").run()
    _button(test, "Save as new version").click().run()
    assert 'mode = "pace"' in policies.show_policy(app)["text"]
    (shown,) = [group for group in page("policy").segmented_control if group.label == "Degradation"]
    assert shown.value == "pace"


def test_a_tenants_first_own_policy_keeps_its_day(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Saved from the policy for everybody, it sets neither the tenant's zone nor its budget."""
    books.tenant(app, "acme", now_us, zone="Europe/Berlin")
    test = page("policy", "acme")
    next(field for field in test.number_input if field.key.endswith("step 0/below")).set_value(60.0).run()
    _button(test, "Save as new version").click().run()
    assert policies.show_policy(app, tenant="acme")["tenant"] == "acme"
    with app.reading() as conn:
        found = reads.balance(conn, "acme", now_us)
    assert found is not None
    assert found.account.timezone == "Europe/Berlin"
    assert found.day is not None
    assert found.day.limit_nanos == 5 * USD


def test_a_version_saved_meanwhile_is_not_overwritten(page: Page, app: App) -> None:
    """Who began with an older version is told so; the other's version stays in force."""
    test = page("policy")
    next(field for field in test.number_input if field.key.endswith("step 0/below")).set_value(60.0).run()
    shown = policies.show_policy(app)
    policies.apply_policy(app, shown["text"].replace("0.50", "0.40"), actor="eve")
    _button(test, "Save as new version").click().run()
    assert "eve saved version 1 meanwhile" in texts(test)
    assert policies.show_policy(app)["version"] == 1
    assert "below = 0.40" in policies.show_policy(app)["text"]


def test_a_broken_file_names_its_fields(page: Page, app: App) -> None:
    """The whole file as text is checked as the command line does: unknown fields with what was meant."""
    test = page("policy")
    area = test.text_area[0]
    area.input(area.value.replace("hysteresis", "hysteresys")).run()
    assert any("hysteresys" in error.value for error in test.error)
    assert policies.policy_history(app)["versions"] == []


@pytest.fixture
def played(app: App) -> App:
    """A policy and calls that it lowered, some days ago."""
    policies.apply_policy(app, STEPS, actor="ana")
    traffic = Traffic(app, Clock())
    traffic.account("acme", 150_000_000)
    traffic.play(14)
    traffic.calls.close()
    return app


def test_a_draft_is_previewed_on_recent_traffic(page: Page, played: App) -> None:
    """The table says what the draft would have spent and lowered; another draft asks for a new one."""
    test = page("policy")
    below = next(field for field in test.number_input if field.key.endswith("step 0/below"))
    below.set_value(80.0).run()
    test.button(key="form_preview").click().run()
    assert not test.exception
    table = next(frame.value for frame in test.dataframe if "Spent then" in frame.value)
    assert list(table["Tenant"]) == ["acme"]
    assert float(table["Spent then"].iloc[0]) < float(table["Spent"].iloc[0])
    assert table["Lowered then"].iloc[0] > table["Lowered"].iloc[0]
    assert "Raised" not in table
    assert "would have gone otherwise" in texts(test)
    assert policies.show_policy(played)["version"] == 1
    next(field for field in test.number_input if field.key.endswith("step 0/below")).set_value(70.0).run()
    assert not any("Spent then" in frame.value for frame in test.dataframe)
    assert any("preview it again" in caption.value for caption in test.caption)


def test_a_preview_counts_the_calls_of_its_table(page: Page, played: App) -> None:
    """Calls of tenants that the draft does not reach are in no line; the text says how many there are."""
    other = Traffic(played, Clock())
    other.account("beta", None)
    other.play(3, tenant="beta")
    other.calls.close()
    policies.apply_policy(played, STEPS, tenant="beta", actor="ana")
    test = page("policy")
    test.button(key="form_preview").click().run()
    table = next(frame.value for frame in test.dataframe if "Spent then" in frame.value)
    assert list(table["Tenant"]) == ["acme"]
    assert f"of {table['Calls'].iloc[0]} calls would have gone otherwise" in texts(test)
    assert any("3 decisions stay as they are" in caption.value for caption in test.caption)


def test_a_preview_tells_raised_calls_from_lowered_ones(page: Page, app: App) -> None:
    """A call that its conversation kept above the tier asked for is raised, and lowered nowhere."""
    policies.apply_policy(app, STEPS, actor="ana")
    traffic = Traffic(app, Clock())
    traffic.account("acme", None)
    traffic.talk_above()
    traffic.calls.close()
    test = page("policy")
    test.button(key="form_preview").click().run()
    table = next(frame.value for frame in test.dataframe if "Spent then" in frame.value)
    assert [table[name].iloc[0] for name in ("Lowered", "Lowered then")] == [0, 0]
    assert [table[name].iloc[0] for name in ("Raised", "Raised then")] == [1, 1]


def test_a_preview_without_traffic_says_so(page: Page, app: App) -> None:
    """Where no call was made there is nothing to compare with."""
    test = page("policy")
    test.button(key="form_preview").click().run()
    assert not test.exception
    assert any("nothing to compare with" in info.value for info in test.info)


def test_an_older_version_is_brought_back(page: Page, app: App) -> None:
    """Rolling back makes a new version with the older text."""
    text = policies.show_policy(app)["text"]
    policies.apply_policy(app, text.replace("0.50", "0.60"), actor="ana")
    policies.apply_policy(app, text.replace("0.50", "0.70"), actor="ana")
    test = page("policy")
    test.selectbox(key="rollback").set_value(1).run()
    _button(test, "Roll back").click().run()
    _button(test, "Roll back now").click().run()
    shown = policies.show_policy(app)
    assert shown["version"] == 3
    assert "below = 0.60" in shown["text"]


def test_a_tenant_goes_back_to_the_policy_for_everybody(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """The choice stands in its history by that name, and the page then says whose policy holds."""
    books.tenant(app, "acme", now_us)
    policies.apply_policy(app, policies.show_policy(app)["text"], tenant="acme", actor="ana")
    test = page("policy", "acme")
    assert "acme's own" in texts(test)
    test.selectbox(key="rollback").set_value(0).run()
    _button(test, "Roll back").click().run()
    _button(test, "Roll back now").click().run()
    assert "The policy for everybody holds for acme again" in texts(test)
    assert "acme has no policy of its own" in texts(test)
    assert policies.show_policy(app, tenant="acme")["tenant"] is None


def test_a_decision_is_explained_by_its_id(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """The why view has the reasons in order, with their numbers as money."""
    books.tenant(app, "acme", now_us - 60_000_000)
    known = {"served": "small", "level": 2, "ratio": 0.1, "role": "planner"}
    decision = books.play(app, books.Call("acme", now_us, **known))
    test = page("routing", "acme")
    test.text_input(key="decision_id").input(decision).run()
    said = texts(test).replace("\\", "")
    assert said.index("task crm/summary goes to tier large") < said.index("tier large to small")
    assert "limit $5.00" in said
    assert "claude-haiku-5-5" in said
    assert "role planner" in said


def test_an_explained_hold_says_what_is_charge_and_what_is_cost(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """With a multiplier of 1.5 more is held of the credit than the call may cost at the provider."""
    books.tenant(app, "acme", now_us - 60_000_000)
    app.ledger.do(SetAccount("acme", "dear", now_us - 50_000_000, multiplier_ppm=1_500_000))
    decision = books.play(app, books.Call("acme", now_us, cost_nanos=20_000_000))
    test = page("routing", "acme")
    test.text_input(key="decision_id").input(decision).run()
    shown = next(table.value for table in test.dataframe if "Value" in table.value)
    lines = dict(shown.to_numpy().tolist())
    assert (lines["Held of the credit"], lines["At most, as billed"]) == ("$0.06", "$0.04")
    assert (lines["Charged to the tenant"], lines["Cost, as billed"]) == ("$0.03", "$0.02")


def test_a_corrected_call_is_shown_at_its_corrected_cost(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """The log and the explanation have the corrected cost, and no cost as asked; why names the first one."""
    books.tenant(app, "acme", now_us - 60_000_000)
    kept, told = (
        books.play(app, books.Call("acme", now_us - turn, cost_nanos=20_000_000)) for turn in (9, 0)
    )
    settle(app, told, "0.03", reason="invoice", actor="ana")
    test = page("routing", "acme")
    log = next(table.value for table in test.dataframe if "As asked" in table.value)
    shown = dict(zip(log["Cost"], log["As asked"], strict=True))
    assert shown == {Decimal("0.02"): Decimal("0.02"), Decimal("0.03"): None}
    lines = {}
    for decision in (kept, told):
        test.text_input(key="decision_id").input(decision).run()
        shown = next(table.value for table in test.dataframe if "Value" in table.value)
        lines[decision] = dict(shown.to_numpy().tolist())
    assert (lines[told]["Cost, as billed"], lines[told]["Cost, as recorded at first"]) == ("$0.03", "$0.02")
    assert "Cost, as recorded at first" not in lines[kept]


def test_a_refused_call_is_explained_as_one(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """Nothing served it, so nobody is asked to judge an answer."""
    books.tenant(app, "acme", now_us - 60_000_000)
    decision = books.play(app, books.Call("acme", now_us, outcome="refused", code="outlay_frozen"))
    test = page("routing", "acme")
    assert "No call was let through yet." in texts(test)
    test.text_input(key="decision_id").input(decision).run()
    assert "Why the call of claude-opus-5-5 was refused" in texts(test).replace("\\", "")
    assert "judged" not in texts(test)


def test_attempts_of_a_call_are_listed_with_each_of_them(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """A failed call and its fallback: whichever is looked up, both are shown in order."""
    books.tenant(app, "acme", now_us - 60_000_000)
    first = books.play(app, books.Call("acme", now_us - 1_000_000))
    second = books.play(app, books.Call("acme", now_us, served="medium", parent=first, strategy="fallback"))
    for looked_up, mark in ((first, ["this one", ""]), (second, ["", "this one"])):
        test = page("routing", "acme")
        test.text_input(key="decision_id").input(looked_up).run()
        assert "Attempts of this call" in texts(test)
        shown = next(frame.value for frame in test.dataframe if "Strategy" in frame.value.columns)
        assert list(shown["Decision"]) == [first, second]
        assert list(shown["Strategy"]) == ["first", "fallback"]
        assert list(shown[""]) == mark


def test_scores_of_an_answer_are_shown_with_who_gave_them(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Each score with its source and model; the newest of each source counts. Without one it says how."""
    books.tenant(app, "acme", now_us - 60_000_000)
    decision = books.play(app, books.Call("acme", now_us, served="small"))
    test = page("routing", "acme")
    test.text_input(key="decision_id").input(decision).run()
    assert f"outlay score {decision} pass" in texts(test)
    quality.score(app, decision, "fail", source="check", actor="cy")
    quality.score(app, decision, 0.75, source="judge", weight=0.5, comment="terse", actor="eve")
    quality.score(app, decision, "pass", source="check", actor="cy")
    quality.score(app, decision, "pass", source="check", model="claude-opus-5-5", actor="cy")
    test = page("routing", "acme")
    test.text_input(key="decision_id").input(decision).run()
    shown = next(frame.value for frame in test.dataframe if "Score" in frame.value.columns)
    assert list(shown["Score"]) == [0, 75, 100, 100]
    assert list(shown["Source"]) == ["check", "judge", "check", "check"]
    assert list(shown["Model"]) == [*["claude-haiku-5-5"] * 3, "claude-opus-5-5"]
    assert list(shown["Counts"]) == [False, True, True, True]
    assert list(shown["Who"])[1] == "eve"
    assert list(shown["Comment"])[1] == "terse"


def test_a_storm_of_refusals_is_one_line(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """The log shows what was served; refused calls are grouped by code, and listed where asked for."""
    books.tenant(app, "acme", now_us - 60_000_000)
    books.play(app, books.Call("acme", now_us - 9_000_000))
    for number in range(40):
        refused = books.Call("acme", now_us - 8_000_000 + number, outcome="refused", code="outlay_frozen")
        books.play(app, refused)

    def log(test: AppTest) -> list[str]:
        return list(next(table.value for table in test.dataframe if "Outcome" in table.value)["Outcome"])

    test = page("routing", "acme")
    groups = next(table.value for table in test.dataframe if "In the log" in table.value)
    assert groups[["Code", "Tenant", "Count", "In the log"]].to_numpy().tolist() == [
        ["frozen", "acme", 40, 40]
    ]
    assert log(test) == ["served"]
    assert log(test.toggle(key="log_refused").set_value(True).run()) == [*["refused: frozen"] * 40, "served"]
    assert (
        log(page("routing").selectbox(key="log_outcome").select("refused").run()) == ["refused: frozen"] * 40
    )


def test_a_storm_that_was_only_counted_is_told_below_the_reasons(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """What has no record has no reasons but its refusal; the page says of how many calls that is so."""
    books.tenant(app, "acme", now_us - 60_000_000)
    books.play(app, books.Call("acme", now_us - 8_000_000, outcome="refused", code="outlay_frozen"))
    assert "only counted" not in texts(page("routing", "acme"))
    minute_us = now_us - now_us % 60_000_000
    counted = {"tenant": "acme", "code": "outlay_frozen", "minute_us": minute_us, "count": 1_470}
    app.ledger.do(Note("acme", "storm", now_us), [Attachment(tables.refusal_count, counted)])
    told = texts(page("routing", "acme"))
    assert "1,470 refused calls of storms were only counted" in told
    assert "of their reasons only the refusal is known" in told


def test_a_rare_task_is_looked_for_bit_by_bit(
    page: Page, app: App, books: ModuleType, now_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a page of the log ended before it was full, it says how far it looked, and goes on from there."""
    in_small_bits = partial(reports_log.decisions, look_s=0.0, stretch=4)
    monkeypatch.setattr(reports_log, "decisions", in_small_bits)
    books.tenant(app, "acme", now_us - 60_000_000, zone="Asia/Kolkata")
    for number in range(13):
        task = "rare" if number == 11 else "often"
        books.play(app, books.Call("acme", now_us - 13_000_000 + number * 1_000_000, task=task))
    test = page("routing", "acme").selectbox(key="log_task").select("rare").run()
    back_to = f"{moment(now_us - 5_000_000, 'Asia/Kolkata', seconds=True)} Asia/Kolkata"
    assert f"1 match back to {back_to}; older calls were not looked at yet." in texts(test)
    _button(test, "Look further back").click().run()
    assert not test.exception
    assert "No match back to" in texts(test)
    _button(test, "Look further back").click().run()
    assert "No older decision matches." in texts(test)
    assert "back to" not in texts(test)
    assert _button(test, "Older").disabled


def test_the_deciding_reason_stands_where_a_narrow_window_shows_it(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """It is the point of the log, so that nothing but when and whose stands before it."""
    books.tenant(app, "acme", now_us)
    books.play(app, books.Call("acme", now_us))
    logs = [page("routing", tenant).dataframe[0].value for tenant in (None, "acme")]
    assert [list(log.columns[:3]) for log in logs] == [
        ["Time", "Tenant", "Deciding reason"], ["Time", "Deciding reason", "Task"],
    ]  # fmt: skip


def test_downgrades_say_that_a_call_can_name_several_reasons(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Else the bars would be added up to more calls than there were."""
    books.tenant(app, "acme", now_us)
    books.play(app, books.Call("acme", now_us))
    assert "one can name several" not in texts(page("overview"))
    books.play(app, books.Call("acme", now_us, served="small"))
    assert "one can name several" in texts(page("overview"))


def test_the_tile_and_the_bars_count_the_same_downgrades(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """One that failed saved nothing, and is counted all the same; the tile says so where the two differ."""
    books.tenant(app, "acme", now_us)

    def told(view: str) -> str:
        test = page(view, "acme")
        tiles = (tile.delta for tile in test.metric if tile.label.startswith("Saved"))
        return next(tiles, texts(test)).replace("\\", "")

    books.play(app, books.Call("acme", now_us - 2, served="small", outcome="failed"))
    assert told("overview") == "0 of 1 downgrade"
    assert "saved $0.00 over 0 of 1 call. Compared are downgraded calls that were served" in told("routing")
    (bar,) = reports.overview(app, "acme").downgrades
    assert bar.count == 1
    books.play(app, books.Call("acme", now_us - 1, served="small"))
    assert told("overview") == "1 of 2 downgrades"


def test_downgrades_that_all_saved_are_counted_once(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Where there is one number there is one number."""
    books.tenant(app, "acme", now_us)
    books.play(app, books.Call("acme", now_us, served="small"))
    tile = next(tile for tile in page("overview", "acme").metric if tile.label.startswith("Saved"))
    assert tile.delta == "1 downgrade"
    assert texts(page("routing", "acme")).replace("\\", "").count("Downgrades saved $0.09 over 1 call.") == 1


@pytest.mark.parametrize("name", ["overview", "tenants"])
def test_a_budget_that_counts_a_part_of_its_window_says_from_when(
    name: str, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """Set within its window it began at 0; on the clock of the tenant, and only where there is such a one."""
    opened = now_us - 60 * 86_400_000_000
    books.tenant(app, "acme", opened, zone="Asia/Kolkata")
    app.ledger.do(SetBudget("acme", "m", opened, 30 * USD, window="month"))

    def table() -> tuple[Any, str]:
        test = page(name, "acme")
        return next(one.value for one in test.dataframe if "Window" in one.value.columns), texts(test)

    whole, said = table()
    assert "Counts from" not in whole.columns
    assert "counts from then on" not in said
    set_us = reports.budgets(app, "acme")[0].now.starts_us + 1  # of the day: also within the week
    app.ledger.do(SetBudget("acme", "w", set_us, 9 * USD, window="week"))
    some, said = table()
    assert dict(zip(some["Window"], some["Counts from"].fillna(""), strict=True)) == {
        "day": "", "week": moment(set_us, "Asia/Kolkata"), "month": "",
    }  # fmt: skip
    assert "counts from then on; what was held before is not in it." in said


@pytest.mark.parametrize("given", ["nothing", "' OR 1=1 --", "<script>alert(1)</script>"])
def test_an_unknown_decision_is_told(
    given: str, page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """An id of nothing is answered with where ids are found."""
    books.tenant(app, "acme", now_us)
    test = page("routing")
    test.text_input(key="decision_id").input(given).run()
    assert not test.exception
    assert "outlay-decision-id" in texts(test)


def _button(test: AppTest, label: str) -> Any:
    """Return the button of this name."""
    return next(button for button in test.button if button.label == label)
