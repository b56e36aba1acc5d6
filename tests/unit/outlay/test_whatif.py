"""
The parts of a preview: books of differences, the ledger's rule on headroom, bills at other models.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay.whatif.admission import taken
from outlay.whatif.bill import Asked, as_booked, cost_then
from outlay.whatif.books import Books, Move, with_day_limit
from outlay.whatif.recorded import Recorded, Served, Then
from outlay.whatif.sums import OTHERS, TASKS_MAX, Sums, kind_of
from pricing.cost import cost_nanos
from pricing.facts import geo_ppm
from pricing.load import load_prices
from pricing.table import PriceTable
from pricing.usage import Usage
from router.types import Budget, Headroom, Offer

AT_US = 1_795_000_000_000_000
DAY_END = AT_US + 10_000_000
OPUS = Served("claude-opus-5-5", "large", "medium", 1_000)
HAIKU = Served("claude-haiku-5-5", "small", None, 1_000)
RANKS = {"large": 0, "medium": 1, "small": 2}


@pytest.fixture(scope="module")
def prices() -> PriceTable:
    """The real prices."""
    return load_prices()


def money(spent: int = 0, held: int = 0, expected: int = 0, resets_us: int = DAY_END) -> Headroom:
    """A day of 1000 and credits of 5000."""
    day = Budget("tenant/day", 1_000, spent, held, expected, resets_us)
    return Headroom((day,), 5_000 - held, 5_000 - expected)


def row(**changed: Any) -> dict[str, Any]:
    """A served call as the log has it."""
    return {
        "id": "d", "tenant": "acme", "at_us": AT_US, "finished_us": AT_US + 5, "outcome": "served",
        "code": None, "task": "blog", "session": "s", "asked_model": "outlay/auto", "asked_tier": "large",
        "served_model": OPUS.model, "served_tier": OPUS.tier, "effort": OPUS.effort, "max_tokens": 1_000,
        "level": 0, "offers": "[]", "inputs": "{}", "prices": "", "policy_tenant": "*", "policy_version": 1,
        "held_nanos": 900, "cost_nanos": 100, "booked_nanos": None, "usage": None, "parent": None,
        "strategy": None, **changed,
    }  # fmt: skip


def test_books_without_a_difference_are_the_recorded_ones() -> None:
    """
    Nothing moved: the very same value comes back, whatever is in it.
    """
    books, now = Books(), money(10, 20, 5)
    books.advance(AT_US)
    assert books.headroom("acme", now) is now


def test_a_call_is_held_while_it_runs_and_spent_afterwards() -> None:
    """
    A call that would have held 30 more and cost 7 less: both books, day and credits, at both times.
    """
    books, now = Books(), money(100, 50, 20)
    books.run("acme", now, Move(held=30, expected=10, spent=-7), AT_US + 5)
    during = books.headroom("acme", now)
    assert (during.budgets[0].spent_nanos, during.budgets[0].held_nanos) == (100, 80)
    assert during.budgets[0].expected_held_nanos == 30
    assert (during.credit_available_nanos, during.credit_expected_nanos) == (4_920, 4_970)
    assert books.headroom("other", now) is now
    books.advance(AT_US + 5)
    after = books.headroom("acme", now)
    assert (after.budgets[0].spent_nanos, after.budgets[0].held_nanos) == (93, 50)
    assert (after.credit_available_nanos, after.credit_expected_nanos) == (4_957, 4_987)


def test_a_new_window_forgets_the_day_and_not_the_credits() -> None:
    """
    What was saved yesterday is no part of today's budget, and still in the credits.
    """
    books = Books()
    books.run("acme", money(), Move(0, 0, -40), AT_US + 1)
    books.advance(DAY_END + 1)
    tomorrow = money(5, resets_us=DAY_END + 86_400_000_000)
    found = books.headroom("acme", tomorrow)
    assert found.budgets == tomorrow.budgets
    assert found.credit_available_nanos == 5_040


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 9))),
)
def test_every_hold_is_given_back_and_every_cost_stays(moves: list[tuple[int, int, int, int]]) -> None:
    """
    Once all calls have ended nothing more is held, and what was spent is the sum of the differences.
    """
    books, now = Books(), money(500, 300, 200)
    for held, expected, spent, takes in moves:
        books.run("acme", now, Move(held, expected, spent), AT_US + takes)
    books.advance(AT_US + 9)
    found = books.headroom("acme", now)
    total = sum(spent for _, _, spent, _ in moves)
    assert found.budgets[0].held_nanos == 300
    assert found.budgets[0].spent_nanos == max(0, 500 + total)
    assert found.credit_available_nanos == 4_700 - total


def test_a_limit_that_is_there_already_changes_nothing() -> None:
    """
    Only another limit makes other headroom; only the tenant's day is meant.
    """
    now = money()
    assert with_day_limit(now, 1_000) is now
    assert with_day_limit(now, None).budgets[0].limit_nanos is None
    assert with_day_limit(now, 0).budgets[0].limit_nanos == 0
    key = Headroom((Budget("key:k/day", 7),))
    assert with_day_limit(key, 1) is key


@pytest.mark.parametrize(
    ("spent", "held", "expected", "answer"),
    [
        (0, 0, 0, 0),
        (500, 0, 0, 0),
        (501, 0, 0, 1),
        (501, 400, 0, "outlay_budget_busy"),
        (901, 0, 0, "outlay_daily_budget_reached"),
        (300, 300, 100, "outlay_budget_busy"),
    ],
)
def test_the_ledgers_rule_takes_the_first_offer_that_fits(
    spent: int, held: int, expected: int, answer: int | str
) -> None:
    """
    Offers of 500 and 100 in a day of 1000: at the border, over it, and where only holds stand in the way.
    """
    offers = [Offer("m", "t", None, 1, cost, cost // 2) for cost in (500, 100)]
    assert taken(offers, money(spent, held, expected)) == answer


def test_credits_refuse_too() -> None:
    """
    Without credits left nothing fits; without any books of credits everything does.
    """
    offers = [Offer("m", "t", None, 1, 500, 100)]
    assert taken(offers, Headroom((), 499, 499)) == "outlay_credit_exhausted"
    assert taken(offers, Headroom((), 500, 500)) == 0
    assert taken(offers, Headroom()) == 0
    assert taken(offers, Headroom((), 999, 999, multiplier_ppm=2_000_000)) == "outlay_credit_exhausted"


def test_usage_is_priced_at_the_other_model(prices: PriceTable) -> None:
    """
    1000 in, 800 out and cut at max_tokens 500, 2000 from the cache: warm it is read, cold it is written.
    """
    usage = '{"input_tokens":1000,"output_tokens":800,"cache_read_input_tokens":2000}'
    past, then = Recorded(row(usage=usage), None), Served(HAIKU.model, "small", None, 500)
    rates = prices.price(HAIKU.model, AT_US).rates(3_000)
    plain = 1_000 * rates.input + 500 * rates.output
    for cold, rate in ((False, rates.cache_read), (True, rates.cache_write_5m)):
        cost, estimated = cost_then(past, then, 1, prices, cold=cold, asked=Asked())
        assert (cost, estimated) == (-(-(plain + 2_000 * rate) // 1_000), False)


def test_what_was_asked_counts_where_the_usage_is_silent(prices: PriceTable) -> None:
    """
    A call asked to run fast in the US costs so at a model that can; haiku runs at standard, wherever it is.
    """
    past = Recorded(row(usage='{"input_tokens":1000,"output_tokens":100}'), None)
    asked = Asked("fast", "us")
    for then, speed, ppm in ((OPUS, "fast", 1_100_000), (HAIKU, "standard", geo_ppm(HAIKU.model, "us"))):
        price = prices.price(then.model, AT_US, speed=speed)
        wanted = cost_nanos(Usage(1_000, 100), price, geo_ppm=ppm)
        assert cost_then(past, then, 1, prices, cold=False, asked=asked) == (wanted, False)


def test_without_usage_the_cost_follows_the_expectation(prices: PriceTable) -> None:
    """
    A call that its caller settled at 100 where 50 were expected costs twice the expectation elsewhere too.
    """
    offers = (
        '[{"model":"claude-opus-5-5","effort":"medium","max_tokens":1000,"expected_cost_nanos":50,'
        '"cost_bound_nanos":900}]'
    )
    past = Recorded(row(offers=offers), None)
    assert cost_then(past, HAIKU, 10, prices, cold=False, asked=Asked()) == (20, True)
    assert cost_then(Recorded(row(), None), HAIKU, 10, prices, cold=False, asked=Asked()) == (10, True)


@pytest.mark.parametrize(
    ("now", "then", "kind"),
    [
        (OPUS, OPUS, None),
        (OPUS, Served(OPUS.model, "other name", OPUS.effort, 1_000), None),
        (OPUS, HAIKU, "model"),
        (OPUS, Served(OPUS.model, "large", "low", 1_000), "effort"),
        (OPUS, Served(OPUS.model, "large", "medium", 9), "max_tokens"),
        (OPUS, None, "refused"),
        (None, OPUS, "served"),
        (None, None, None),
    ],
)
def test_what_changes_is_named(now: Served | None, then: Served | None, kind: str | None) -> None:
    """
    Another name for a tier is no change; what the provider is asked for is.
    """
    past = Recorded(row() if now is not None else row(outcome="refused", served_model=None), None)
    assert kind_of(past, Then(then, None, 0)) == kind


def test_sums_count_calls_once_and_money_always() -> None:
    """
    A second attempt of the same call adds its money, and no call; tasks beyond the bound share one line.
    """
    sums = Sums()
    sums.add(Recorded(row(), None), Then(HAIKU, None, 30, asked_tier="large"), RANKS, RANKS)
    sums.add(Recorded(row(parent="d"), None), Then(OPUS, None, 100, asked_tier="large"), RANKS, RANKS)
    total = sums.total
    assert (total.calls, total.spend_now, total.spend_then) == (1, 200, 130)
    assert (total.downgrades_now, total.downgrades_then, total.changed) == (0, 1, 1)
    for number in range(TASKS_MAX + 5):
        sums.add(Recorded(row(task=f"t{number}"), None), Then(OPUS, None, 100), RANKS, RANKS)
    assert len(sums.tasks["acme"]) == TASKS_MAX + 1
    assert sums.tasks["acme"][OTHERS].calls == 6


def test_a_call_is_changed_once_by_the_first_of_its_attempts_that_goes_otherwise() -> None:
    """
    The first attempt stays, the second goes to another model, the third is refused: one call, by its model.
    """
    sums, refused = Sums(), Then(None, "outlay_credit_exhausted", 0)
    again = [Recorded(row(id=f"d{number}", parent="d"), None) for number in (1, 2)]
    wanted = [(Recorded(row(), None), Then(OPUS, None, 100), False), (again[0], Then(HAIKU, None, 30), True)]
    for past, then, changed in [*wanted, (again[1], refused, False)]:
        assert sums.add(past, then, RANKS, RANKS) is changed
    lines = (sums.total, sums.tenants["acme"], sums.tasks["acme"]["blog"])
    assert [(line.calls, line.changed) for line in lines] == [(1, 1)] * 3
    assert (dict(sums.kinds), sums.codes_then) == ({"model": 1}, {})


@pytest.mark.parametrize(
    ("past", "then", "now_nanos", "then_nanos", "estimated_nanos"),
    [
        ({"booked_nanos": 300}, Then(OPUS, None, 100), 300, 300, 0),  # as it was: the very cost
        ({"booked_nanos": 300}, Then(HAIKU, None, 30), 300, 90, 90),  # in proportion, and an estimate
        ({"booked_nanos": 0}, Then(HAIKU, None, 30), 0, 0, 0),  # nothing was billed
        ({"booked_nanos": 300}, Then(None, "refused", 0), 300, 0, 0),
        ({"booked_nanos": 100}, Then(HAIKU, None, 30), 100, 30, 0),  # recorded as billed
        ({"cost_nanos": None, "outcome": "uncertain", "booked_nanos": 90}, Then(OPUS, None, 900), 90, 90, 0),
        ({"cost_nanos": None, "outcome": "uncertain"}, Then(OPUS, None, 900), 900, 900, 0),
        ({"cost_nanos": 0, "outcome": "failed", "booked_nanos": 7}, Then(HAIKU, None, 0), 7, 7, 0),
        ({"cost_nanos": 0, "booked_nanos": 7}, Then(HAIKU, None, 30), 7, 30, 30),  # no proportion to go by
        ({"cost_nanos": 0, "outcome": "failed", "booked_nanos": 7}, Then(None, "refused", 0), 7, 0, 0),
    ],
)
def test_a_corrected_call_counts_as_the_books_have_it_now_and_then(
    past: dict[str, Any], then: Then, now_nanos: int, then_nanos: int, estimated_nanos: int
) -> None:
    """
    What it would have cost elsewhere is corrected in the same proportion, or a correction would look like a
    change.
    """
    recorded, sums = Recorded(row(**past), None), Sums()
    sums.add(recorded, as_booked(recorded, then), RANKS, RANKS)
    total = sums.total
    assert (total.spend_now, total.spend_then, total.estimated_nanos) == (
        now_nanos, then_nanos, estimated_nanos
    )  # fmt: skip


def test_a_call_is_downgraded_or_raised_by_the_tiers_of_the_policy_of_its_time() -> None:
    """
    Kept above the tier asked for it is raised; a tier that its policy does not name counts as below.
    """
    sums, turned = Sums(), {"small": 0, "large": 1}
    kept = Recorded(row(asked_tier="small"), None)
    sums.add(kept, Then(HAIKU, None, 30, asked_tier="small"), RANKS, RANKS)
    sums.add(kept, Then(OPUS, None, 100, asked_tier="small"), RANKS, turned)
    sums.add(kept, Then(OPUS, None, 100, asked_tier="tiny"), RANKS, RANKS)
    total = sums.total
    assert (total.raised_now, total.raised_then) == (3, 0)
    assert (total.downgrades_now, total.downgrades_then) == (0, 2)


def test_a_call_of_which_nobody_knows_cost_its_hold() -> None:
    """
    A captured call is booked at what was held; a refused one at nothing.
    """
    assert Recorded(row(cost_nanos=None, outcome="uncertain"), None).cost_nanos == 900
    assert Recorded(row(outcome="refused", cost_nanos=None), None).cost_nanos == 0
