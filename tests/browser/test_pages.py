"""
The dashboard in a real browser: its link, its pages, and what operators do on them, checked in the books.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from traffic import STEPS, Clock, Traffic

from ledger import reads
from ledger.types import SetBudget
from outlay.admin import policies
from outlay.wiring import App

pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=1)]  # a busy machine may swallow one click
WAIT_MS = 30_000
USD = 1_000_000_000
CUT = """parts => parts.flatMap(part => [part, ...part.querySelectorAll("*")])
    .filter(node => node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 1
        && getComputedStyle(node).overflowX !== "visible").map(node => node.innerText)"""
"""What of some elements is cut off, or has to be scrolled to."""
PAGES = ("Overview", "Routing", "Tenants", "Policy")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One headless Chromium for all tests of the module, waited for as long as a busy machine may take."""
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


class Seen:
    """What a page asked for and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    @property
    def foreign(self) -> list[str]:
        """Requests that went to another host."""
        return [url for url in self.requests if urlsplit(url).hostname not in ("127.0.0.1", None)]


@pytest.fixture
def day(app: App, books: ModuleType, now_us: int) -> App:
    """Books with a day of four tenants."""
    books.a_day(app, now_us, calls=120)
    return app


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, served: str) -> Iterator[Visit]:
    """Open the dashboard by its link; afterwards nothing foreign was asked for and nothing complained."""
    contexts, seen = [], []

    def open_page(tenant: str | None = None, width: int = 1_440) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 1_000})
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        seen.append(Seen(page))
        page.goto(served)
        if tenant is not None:
            page.goto(served.split("?", maxsplit=1)[0] + f"?tenant={tenant}")
        expect(page.get_by_role("heading", name=tenant or "Overview", exact=True)).to_be_visible()
        return page

    yield open_page
    complaints = [complaint for one in seen for complaint in one.complaints]
    foreign = [url for one in seen for url in one.foreign]
    for context in contexts:
        context.close()
    assert foreign == []
    assert complaints == []


def go(page: Page, name: str) -> None:
    """Follow a link of the navigation; a form that still grows would have another first field in a moment."""
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
    path = "" if name == PAGES[0] else name.lower()
    page.wait_for_url(lambda url: urlsplit(url).path.strip("/").lower() == path, wait_until="commit")
    settled(page)


def settled(page: Page) -> None:
    """Wait until the page's script has run and nothing on it is stale."""
    expect(page.get_by_test_id("stApp")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=WAIT_MS
    )


def press(page: Page, name: str) -> None:
    """Click a button that stands: a click on what the next run draws anew is lost."""
    settled(page)
    button = page.get_by_role("button", name=name).first
    expect(button).to_be_visible()  # unlike a click it tells what is on the page instead
    button.click()


def test_the_link_opens_and_the_token_leaves_the_address(visit: Visit) -> None:
    """After the exchange the address has no token, and the page is there."""
    page = visit()
    assert "token" not in page.url


def test_without_the_link_nothing_is_shown(day: App, browser: Browser, served: str) -> None:
    """The bare address and a wrong token say how to get the link, and no figure."""
    base = served.split("?", maxsplit=1)[0]
    context = browser.new_context()
    page = context.new_page()
    for address in (base, f"{base}?token=wrong-wrong-wrong", f"{base}tenants"):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 401
        assert "outlay dashboard" in page.content()
        assert "acme" not in page.content()
    context.close()


def test_the_overview_is_found_under_its_name(day: App, visit: Visit, served: str) -> None:
    """Who writes its address as those of other pages are gets there, with the tenant of the address."""
    page = visit().context.new_page()  # apart: on a deep address Streamlit looks for its own paths below it
    page.goto(served.split("?", maxsplit=1)[0] + "overview?tenant=acme")
    expect(page.get_by_role("heading", name="acme", exact=True)).to_be_visible()
    settled(page)
    expect(page.get_by_text("Page not found")).to_have_count(0)
    expect(page.get_by_test_id("stSidebarNav").get_by_role("link")).to_have_count(len(PAGES))
    assert urlsplit(page.url).query == "tenant=acme"


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_every_page_renders_a_day(day: App, visit: Visit, tenant: str | None) -> None:
    """Every page is reached by its link and shows its charts and tables, without an error box."""
    page = visit(tenant)
    expect(page.get_by_test_id("stMetric")).to_have_count(4)
    expect(page.get_by_test_id("stVegaLiteChart").first.locator("canvas, svg").first).to_be_visible()
    for name in PAGES[1:]:
        go(page, name)
        heading = tenant if name == "Tenants" and tenant else name
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        settled(page)
        expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text("Step 1")).to_be_visible()


def test_a_narrow_window_shows_whole_figures(day: App, visit: Visit) -> None:
    """At 900 pixels no figure of a card is cut off."""
    page = visit("acme", width=900)
    for place in range(4):
        value = page.get_by_test_id("stMetricValue").nth(place)
        expect(value).to_be_visible()
        assert value.evaluate("node => node.scrollWidth <= node.clientWidth + 1")


@pytest.mark.parametrize("width", [1_280, 800])
def test_no_tile_and_no_change_of_settings_is_cut(
    app: App, books: ModuleType, now_us: int, visit: Visit, width: int
) -> None:
    """The longest zone, large amounts and a long reason are shown whole; only a narrow window scrolls."""
    zone = "America/Argentina/ComodRivadavia"
    books.tenant(app, "acme", now_us, credit_nanos=987_654_321 * USD, daily_nanos=None, zone=zone)
    books.play(app, books.Call("acme", now_us, cost_nanos=12_345_678 * USD))
    books.play(app, books.Call("acme", now_us + 1, served="small", outcome="failed"))
    until, reason = now_us + 3_600_000_000, "the campaign of the winter, as agreed with the customer by mail"
    order = SetBudget("acme", "raise", now_us, 87_654_321 * USD, valid_until_us=until, reason=reason)
    app.ledger.do(order)
    page = visit("acme", width=width)
    go(page, "Tenants")
    expect(page.get_by_test_id("stTable")).to_contain_text(reason)
    assert page.get_by_test_id("stMetric").evaluate_all(CUT) == []
    assert width < 1_280 or page.get_by_test_id("stTable").evaluate_all(CUT) == []
    go(page, "Overview")
    expect(page.get_by_text("0 of 1 downgrade")).to_be_visible()
    assert page.get_by_test_id("stMetric").evaluate_all(CUT) == []


def test_a_top_up_changes_the_balance(app: App, books: ModuleType, now_us: int, visit: Visit) -> None:
    """From the dialog to the books: the credit, its actor and its reason."""
    books.tenant(app, "acme", now_us)
    page = visit("acme")
    go(page, "Tenants")
    press(page, "Top up")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Amount in USD").fill("12.50")
    dialog.get_by_label("Reason").fill("invoice 7")
    dialog.get_by_role("button", name="Add credit").click()
    expect(page.get_by_text("acme was topped up")).to_be_visible()
    expect(page.get_by_test_id("stMetricValue").first).to_have_text("$32.50")
    expect(dialog).to_have_count(0)
    with app.reading() as conn:
        last = reads.statement(conn, "acme")[-1]
    assert (last.balance_nanos, last.actor, last.reason) == (32 * USD + USD // 2, "ben", "invoice 7")


def test_a_wrong_amount_is_told_in_the_dialog(app: App, books: ModuleType, now_us: int, visit: Visit) -> None:
    """The dialog stays, names the field and the fix, and takes the right amount afterwards."""
    books.tenant(app, "acme", now_us)
    page = visit("acme")
    go(page, "Tenants")
    press(page, "Top up")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Amount in USD").fill("-5")
    dialog.get_by_role("button", name="Add credit").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Amount in USD")
    dialog.get_by_label("Amount in USD").fill("5")
    dialog.get_by_role("button", name="Add credit").click()
    expect(page.get_by_text("acme was topped up")).to_be_visible()
    expect(page.get_by_test_id("stMetricValue").first).to_have_text("$25.00")


def test_halt_and_resume(app: App, books: ModuleType, now_us: int, visit: Visit) -> None:
    """Both are confirmed in a dialog with a reason, and stand in the books at once."""
    books.tenant(app, "acme", now_us)
    page = visit("acme")
    press(page, "Halt spending")
    page.get_by_label("Reason").fill("runaway agent")
    press(page, "Halt now")
    expect(page.get_by_text("Spending of acme is halted")).to_be_visible()
    assert [switch.halted for switch in app.circuit.standing().switches] == [True]
    press(page, "Resume spending")
    page.get_by_label("Reason").fill("agent was fixed")
    press(page, "Resume now")
    expect(page.get_by_role("button", name="Halt spending")).to_be_visible()
    expect(page.get_by_text("Spending of acme is halted")).to_have_count(0)
    assert [switch.halted for switch in app.circuit.standing().switches] == [False]


def test_a_threshold_is_saved_as_a_new_version(app: App, visit: Visit) -> None:
    """The preview shows the changed line, saving makes version 1, and History lists it."""
    page = visit()
    go(page, "Policy")
    below = page.get_by_label("Below, % left").first
    below.fill("60")
    below.press("Enter")
    expect(page.get_by_text("+below = 0.6")).to_be_visible()
    press(page, "Save as new version")
    expect(page.get_by_text("Saved as version 1")).to_be_visible()
    assert "below = 0.6\n" in policies.show_policy(app)["text"]
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("button", name="Roll back")).to_be_visible()


def test_a_draft_is_previewed_before_it_is_saved(app: App, visit: Visit) -> None:
    """An operator sees what a changed threshold would have done, call by call; nothing is saved by that."""
    policies.apply_policy(app, STEPS, actor="ana")
    traffic = Traffic(app, Clock())
    traffic.account("acme", 150_000_000)
    traffic.play(14)
    traffic.calls.close()
    page = visit()
    go(page, "Policy")
    below = page.get_by_label("Below, % left").first
    below.fill("80")
    below.press("Enter")
    expect(page.get_by_text("+below = 0.8")).to_be_visible()
    press(page, "Preview")
    expect(page.get_by_text("of 14 calls would have gone otherwise")).to_be_visible()
    page.get_by_text("Calls that would have gone otherwise").click()
    expect(page.get_by_test_id("stDataFrame").nth(1)).to_be_visible()
    settled(page)
    assert policies.show_policy(app)["version"] == 1


def test_a_threshold_out_of_order_shows_its_error(app: App, visit: Visit) -> None:
    """The router's problem stands in the step's own box, and there is nothing to save."""
    page = visit()
    go(page, "Policy")
    below = page.get_by_label("Below, % left").nth(1)
    below.fill("70")
    below.press("Enter")
    expect(page.get_by_role("alert").first).to_contain_text("Order the steps")
    expect(page.get_by_role("button", name="Save as new version").first).to_be_disabled()
    assert policies.policy_history(app)["versions"] == []


@pytest.mark.parametrize(
    ("label", "typed", "says"),
    [
        ("Below, % left", ("70", "150"), "Below: .*150 %.* 50 % for one half"),
        ("Below, % left", ("70", "-5"), "Below: .*-5 %"),
        ("Hysteresis, %", ("5", "100"), "Hysteresis: .*100 %"),
        ("max_tokens at most", ("4096", "-1"), "max_tokens at most: .*-1"),
    ],
)
def test_a_number_out_of_bounds_is_refused_and_not_an_older_one_saved(
    app: App, visit: Visit, label: str, typed: tuple[str, str], says: str
) -> None:
    """What the field shows is what is checked: after a good number and a bad one there is nothing to save."""
    page = visit()
    go(page, "Policy")
    save = page.get_by_role("button", name="Save as new version").first
    field = page.get_by_role("spinbutton", name=label).first
    field.fill(typed[0])
    field.press("Tab")
    expect(save).to_be_enabled()
    settled(page)
    field.fill(typed[1])
    field.press("Tab")
    expect(page.get_by_role("alert").first).to_have_text(re.compile(says))
    expect(save).to_be_disabled()
    assert policies.policy_history(app)["versions"] == []


def test_a_selected_decision_is_explained(day: App, visit: Visit) -> None:
    """A click on a row of the log opens why the call went as it did."""
    page = visit("acme")
    go(page, "Routing")
    settled(page)
    grid, explained = page.get_by_test_id("data-grid-canvas").first, page.get_by_text("Reasons, in order")
    expect(grid).to_be_visible()
    for _ in range(5):  # the grid takes clicks a moment after it is seen
        grid.click(position={"x": 18, "y": 54}, force=True)
        with suppress(AssertionError):
            expect(explained).to_be_visible(timeout=4_000)
            break
    expect(explained).to_be_visible()
    reasons = page.get_by_test_id("stMarkdownContainer").filter(has_text=re.compile("task .* goes to tier"))
    expect(reasons.first).to_be_visible()
    expect(page.get_by_text("Hold and settlement")).to_be_visible()


def test_new_traffic_appears_without_a_reload(app: App, books: ModuleType, now_us: int, visit: Visit) -> None:
    """The overview follows the books by itself."""
    books.tenant(app, "acme", now_us)
    page = visit("acme")
    expect(page.get_by_test_id("stMetricValue").first).to_have_text("$20.00")
    books.play(app, books.Call("acme", now_us + 1, cost_nanos=3 * USD))
    expect(page.get_by_test_id("stMetricValue").first).to_have_text("$17.00")
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
