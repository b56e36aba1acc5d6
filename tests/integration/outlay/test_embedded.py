"""Outlay in process, without a server: on SQLite, and the same on PostgreSQL; blocking and asynchronous."""

import asyncio
import logging
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

import outlay

BODY: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "hello"}],
}
OFFERS = [{"name": "big", "cost_usd": "0.60"}, {"name": "small", "cost_usd": "0.10"}]
POLICY = '[tiers.only]\nmodels = ["claude-haiku-5-5"]\n[routing]\ndefault_tier = "only"\n'


@pytest.fixture(
    params=["sqlite_url", pytest.param("postgres_books", marks=pytest.mark.postgres)],
    ids=["sqlite", "postgres"],
)
def url(request: pytest.FixtureRequest) -> str:
    """A database that is ready on either engine: an SQLite file is made where there is none."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def books(url: str) -> Any:
    """Books with the tenant acme: 1.00 USD of credits, 0.50 USD a day."""
    with outlay.open(url) as opened:
        opened.create_tenant("acme", credit="1.00", daily_budget="0.50")
        yield opened


def test_a_hold_for_a_request_is_settled_by_usage(books: Any) -> None:
    """The request comes back as it is to be sent; its usage is priced at the served model."""
    with books.hold("acme", BODY, task="mail") as hold:
        assert (hold.model, hold.request["model"], hold.max_tokens) == (BODY["model"], BODY["model"], 1000)
        assert Decimal(books.balance("acme")["held_usd"]) == Decimal(hold.held_usd) > 0
        settled = hold.settle(usage={"input_tokens": 1000, "output_tokens": 100})
    # 1,000 at 2 USD a million and 100 at 10
    assert settled["cost_usd"] == "0.003"
    assert books.balance("acme")["credit_usd"] == "0.997"
    assert books.explain(hold.id)["outcome"] == "served"


def test_the_first_offer_that_fits_is_taken(books: Any) -> None:
    """The day's budget does not bear the big one."""
    hold = books.hold("acme", offers=OFFERS, tags={"team": "a"})
    assert (hold.model, hold.offer, hold.request) == ("small", 1, None)
    hold.settle(cost_usd="0.07")
    assert books.balance("acme")["day"]["spent_usd"] == "0.07"


def test_a_refusal_tells_the_reset_on_the_tenants_clock(books: Any) -> None:
    """The same text as in its balance, in the numbers and in the words, and in those of a step."""
    books.create_tenant("globex", credit="5", daily_budget="0.50", timezone="Asia/Kolkata")
    books.hold("globex", offers=[{"name": "most", "cost_usd": "0.48"}]).settle(cost_usd="0.48")
    resets_at = books.balance("globex")["day"]["resets_at"]
    assert resets_at.endswith("T00:00:00+05:30")
    for refused in ({"offers": OFFERS}, {"request": BODY, "priority": "low"}):
        with pytest.raises(outlay.CallRefused) as caught:
            books.hold("globex", **refused)
        told = caught.value.refused
        assert told.details["resets_at"] == resets_at
        assert books.explain(told.decision_id)["reasons"][-1]["numbers"]["resets_at"] == resets_at


def test_a_released_hold_gives_everything_back(books: Any) -> None:
    """Nothing was called: nothing is paid."""
    books.hold("acme", offers=OFFERS).release("changed my mind")
    balance = books.balance("acme")
    assert (balance["credit_usd"], balance["held_usd"]) == ("1.00", "0.00")


def test_a_renewed_hold_stays_longer(books: Any) -> None:
    """Its expiry moves."""
    hold = books.hold("acme", offers=OFFERS, ttl_s=60)
    before = hold.expires_at
    hold.renew(3600)
    assert hold.expires_at > before
    hold.release()


def test_a_body_that_raises_gives_nothing_back(books: Any, caplog: Any) -> None:
    """The provider may have been called by then: the hold stays, and a warning says so."""
    with (
        caplog.at_level(logging.WARNING, "outlay"),
        pytest.raises(ZeroDivisionError),
        books.hold("acme", offers=OFFERS) as hold,
    ):
        raise ZeroDivisionError
    assert books.balance("acme")["held_usd"] == "0.10"
    assert hold.id in caplog.text
    assert "settle it" in caplog.text
    hold.settle(cost_usd="0.05")


def test_a_closed_hold_warns_of_nothing(books: Any, caplog: Any) -> None:
    """Settled or released: no word."""
    with caplog.at_level(logging.WARNING, "outlay"):
        with books.hold("acme", offers=OFFERS) as hold:
            hold.settle(cost_usd="0.01")
        with books.hold("acme", offers=OFFERS) as hold:
            hold.release()
    assert caplog.text == ""


def test_refusals_carry_code_and_numbers(books: Any) -> None:
    """CallRefused tells what was needed and what was there."""
    with pytest.raises(outlay.CallRefused) as caught:
        books.hold("acme", offers=[{"name": "huge", "cost_usd": "7"}])
    refused = caught.value.refused
    assert (refused.code, refused.status, refused.retry) == ("outlay_credit_exhausted", 402, False)
    assert refused.details["needed_usd"] == "7.00"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"offers": [{"name": "a", "cost_usd": 0.5}]}, "cost_usd"),
    ({"offers": [{"name": "a", "cost_usd": "-1"}]}, "cost_usd"),
    ({"offers": [{"name": "a", "cost": "1"}]}, "cost"),
    ({"offers": []}, "offers"),
    ({"offers": OFFERS, "ttl_s": 0}, "ttl_s"),
    ({"offers": OFFERS, "priorty": "high"}, "priorty"),
    ({}, "offers"),
]


@pytest.mark.parametrize(("named", "field"), WRONG)
def test_bad_input_names_its_field(books: Any, named: dict[str, Any], field: str) -> None:
    """Nothing is held by an order that cannot be used."""
    with pytest.raises(outlay.BadInput) as caught:
        books.hold("acme", **named)
    assert field in caught.value.field
    assert books.balance("acme")["held_usd"] == "0.00"


def test_a_key_never_holds_twice(books: Any) -> None:
    """The same key again gives the hold that stands, and no second one."""
    first = books.hold("acme", offers=OFFERS, idempotency_key="k-1")
    assert books.hold("acme", offers=OFFERS, idempotency_key="k-1").id == first.id
    assert books.balance("acme")["held_usd"] == "0.10"


def test_a_decision_holds_nothing_and_writes_nothing(books: Any) -> None:
    """decide says what would be offered, and whether there is money."""
    found = books.decide("acme", {**BODY, "model": "outlay/small"})
    assert (found.model, found.tier, found.may_spend) == ("claude-haiku-5-5", "small", True)
    assert Decimal(found.expected_cost_usd) <= Decimal(found.cost_bound_usd)
    assert books.balance("acme")["held_usd"] == "0.00"
    assert len(books.statement("acme")["lines"]) == 1


def test_a_decision_says_when_there_is_no_money(books: Any) -> None:
    """A call that is routed, but that nothing is left for."""
    books.create_tenant("poor")
    assert books.decide("poor", BODY, priority="critical").may_spend is False


def test_a_budget_of_costs_is_measured_in_costs(books: Any) -> None:
    """
    What a tenant pays twenty times over counts once in a budget of what the provider bills: the call is
    neither made smaller nor called too dear, and the hold says the same.
    """
    books.create_tenant("dear", credit="100", multiplier="20")
    whole = books.decide("dear", BODY)
    bound = Decimal(whole.cost_bound_usd)
    books.set_budget("dear", str(100 * bound), window="month", counts="cost")
    assert books.decide("dear", BODY) == whole
    hold = books.hold("dear", BODY)
    assert (hold.model, hold.max_tokens) == (whole.model, whole.max_tokens)
    hold.release()
    books.set_budget("dear", str(bound / 2), window="month")
    assert books.decide("dear", BODY).model == "claude-haiku-5-5"
    books.set_budget("dear", "0", window="month")
    assert books.decide("dear", BODY, priority="critical").may_spend is False


def test_a_decision_that_is_refused_raises(books: Any) -> None:
    """A halt holds for decisions, too."""
    books.halt(reason="test", tenant="acme")
    with pytest.raises(outlay.CallRefused, match="outlay_kill_switch"):
        books.decide("acme", BODY)
    books.resume(reason="test", tenant="acme")
    assert books.decide("acme", BODY).may_spend


def test_a_top_up_is_carried_out_once(books: Any) -> None:
    """The same key gives the same answer."""
    first = books.top_up("acme", "2", idempotency_key="inv-1")
    again = books.top_up("acme", "2", idempotency_key="inv-1")
    assert (first["transfer"], again["replayed"]) == (again["transfer"], True)
    assert books.balance("acme")["credit_usd"] == "3.00"


def test_another_process_settles_a_hold(books: Any, url: str) -> None:
    """A hold is known by tenant and id."""
    hold = books.hold("acme", offers=OFFERS)
    with outlay.open(url) as other:
        assert other.settle("acme", hold.id, cost_usd="0.02")["charge_usd"] == "0.02"
        with pytest.raises(outlay.CallRefused, match="outlay_unknown_hold"):
            other.settle("acme", "no-such-hold", cost_usd="0.02")


def test_threads_together_never_overspend(books: Any) -> None:
    """Sixteen threads want 0.10 each of a budget of 0.50: five get it."""
    barrier, got, refused = Barrier(16), [], set()

    def one() -> None:
        barrier.wait()
        try:
            books.hold("acme", offers=OFFERS[1:]).settle(cost_usd="0.10")
            got.append(1)
        except outlay.CallRefused as error:
            refused.add(error.refused.code)

    threads = [Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books.balance("acme")["day"]["spent_usd"] == f"0.{len(got)}0"
    assert 0 < len(got) <= 5
    assert refused <= {"outlay_budget_busy", "outlay_daily_budget_reached"}


def test_a_policy_is_applied_when_it_differs(url: str, tmp_path: Path) -> None:
    """Text or file; the same again makes no new version."""
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    from outlay.admin.policies import policy_history

    for policy in (POLICY, file, str(file)):
        with outlay.open(url, policy=policy) as opened:
            assert [row["version"] for row in policy_history(opened.app)["versions"]] == [1]
    with outlay.open(url, policy=POLICY + "\n# changed\n") as opened:
        assert len(policy_history(opened.app)["versions"]) == 2


@pytest.mark.parametrize("policy", ["nowhere.toml", "", "[tiers]\nx = 1"])
def test_a_policy_that_cannot_be_used_opens_nothing(sqlite_url: str, policy: str) -> None:
    """A wrong path or text is said at once."""
    with pytest.raises((outlay.BadInput, outlay.PolicyInvalid)):
        outlay.open(sqlite_url, policy=policy)


def test_the_environment_names_the_books(monkeypatch: Any, sqlite_url: str) -> None:
    """Without an address the environment's is taken."""
    monkeypatch.setenv("OUTLAY_DATABASE_URL", sqlite_url)
    with outlay.open() as opened:
        opened.create_tenant("acme")
    with outlay.open(sqlite_url) as again:
        assert again.balance("acme")["tenant"] == "acme"


@pytest.mark.parametrize("url", ["nonsense", "", "mysql://x/y"])
def test_an_address_that_cannot_be_used_is_named(url: str) -> None:
    """A clear error, no traceback from below."""
    with pytest.raises(outlay.BadInput):
        outlay.open(url)


def test_the_asynchronous_books_do_the_same(url: str) -> None:
    """Each method is awaited; forty holds at once are each settled."""

    async def work() -> None:
        async with outlay.open_async(url) as books:
            await books.create_tenant("acme", credit="1.00")
            await books.top_up("acme", "1.00")
            async with await books.hold("acme", BODY) as hold:
                await hold.renew(120)
                assert (await hold.settle(usage={"input_tokens": 1000, "output_tokens": 100}))[
                    "late"
                ] is False
            released = await books.hold("acme", offers=OFFERS)
            await released.release()

            async def one() -> None:
                held = await books.hold("acme", offers=[{"name": "x", "cost_usd": "0.01"}])
                await held.settle(cost_usd="0.001")

            await asyncio.gather(*(one() for _ in range(40)))
            balance = await books.balance("acme")
            assert (balance["credit_usd"], balance["held_usd"]) == ("1.957", "0.00")
            assert (await books.decide("acme", BODY)).may_spend
            with pytest.raises(outlay.CallRefused):
                await books.hold("acme", offers=[{"name": "x", "cost_usd": "9"}])
            await books.halt(reason="test")
            with pytest.raises(outlay.CallRefused, match="kill_switch"):
                await books.decide("acme", BODY)
            await books.resume(reason="test")
            await books.set_budget("acme", "1")
            assert (await books.explain(hold.id))["outcome"] == "served"
            assert (await books.statement("acme", limit=1))["lines"]

    asyncio.run(work())


def test_opening_can_be_awaited(sqlite_url: str) -> None:
    """Without a block the caller closes; a second close does nothing."""

    async def work() -> None:
        books = await outlay.open_async(sqlite_url)
        await books.create_tenant("acme")
        await books.close()
        await books.close()

    asyncio.run(work())


def test_the_async_books_stay_in_their_loop(sqlite_url: str) -> None:
    """Used from another loop they say so, and nothing is held."""
    runner = asyncio.Runner()

    async def opened() -> Any:
        return await outlay.open_async(sqlite_url)

    books = runner.run(opened())
    with pytest.raises(RuntimeError, match="event loop"):
        asyncio.run(books.hold("acme", offers=OFFERS))
    runner.run(books.close())
    runner.close()


def test_answers_are_scored_in_process(books: Any) -> None:
    """A truth value or a share; the score stands with its decision."""
    with books.hold("acme", BODY) as hold:
        hold.settle(usage={"input_tokens": 1000, "output_tokens": 100})
    assert books.score(hold.id, True, source="check")["value"] == 1
    assert books.score(hold.id, 0.25, weight=0.5, comment="dull")["weight"] == 0.5
    assert [one["value"] for one in books.explain(hold.id)["scores"]] == [1, 0.25]
    assert books.calibration("acme") == {"classes": []}  # it was served as asked: no evidence of downgrades


def test_answers_are_scored_in_a_loop(url: str) -> None:
    """The same, awaited."""

    async def run() -> Any:
        async with outlay.open_async(url) as books:
            await books.create_tenant("acme", credit="1.00")
            hold = await books.hold("acme", BODY)
            await hold.settle(cost_usd="0.001")
            scored = await books.score(hold.id, 0.8)
            return scored["value"], await books.calibration()

    assert asyncio.run(run()) == (0.8, {"classes": []})


@pytest.mark.parametrize(
    "use",
    [
        lambda books: books.balance("acme"),
        lambda books: books.statement("acme"),
        lambda books: books.halt(reason="late"),
        lambda books: books.decide("acme", BODY),
        lambda books: books.hold("acme", BODY),
    ],
    ids=["balance", "statement", "halt", "decide", "hold"],
)
def test_closed_books_answer_nothing(url: str, use: Any) -> None:
    """Neither reads nor orders nor calls: a handle that outlived its block says that it is closed."""
    with outlay.open(url) as closed:
        closed.create_tenant("acme", credit="1")
    closed.close()
    with pytest.raises(outlay.BooksUnavailable, match="closed"):
        use(closed)
    with outlay.open(url) as books:
        assert books.balance("acme")["halted"] is False


def test_asynchronous_books_that_are_closed_answer_nothing(url: str) -> None:
    """As blocking ones."""

    async def late() -> None:
        async with outlay.open_async(url) as closed:
            await closed.create_tenant("acme", credit="1")
        for use in (closed.balance("acme"), closed.halt(reason="late"), closed.decide("acme", BODY)):
            with pytest.raises(outlay.BooksUnavailable, match="closed"):
                await use

    asyncio.run(late())


def test_no_folder_is_made_for_a_mistyped_address(tmp_path: Path) -> None:
    """It is refused with its name and the fix; a file in a folder that is there is made."""
    folder = tmp_path / "typo"
    with pytest.raises(outlay.BadInput, match=f"no folder {folder} .*Make the folder first"):
        outlay.open(f"sqlite:///{folder}/books.db")
    assert not folder.exists()
    folder.mkdir()
    outlay.open(f"sqlite:///{folder}/books.db").close()
