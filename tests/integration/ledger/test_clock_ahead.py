"""
A process whose clock leaps ahead moves nobody's money, on either engine; what the provider billed is booked.
"""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from ledger import ClockAhead, Ledger, make_engine, reading, reads
from ledger.clocks import ClockCheck
from ledger.types import (
    Held,
    Offer,
    OpenAccount,
    Refused,
    Release,
    Renew,
    Renewed,
    Reserve,
    Result,
    SetBudget,
    Settle,
    Settled,
    Sweep,
    TopUp,
)

USD = 1_000_000_000
DAY_US = 86_400_000_000
TTL_US = 900_000_000


def now_us() -> int:
    """The clock of this machine."""
    return time.time_ns() // 1_000


@pytest.fixture
def checked(engine: Engine, open_ledger: Callable[..., Ledger]) -> Ledger:
    """A ledger that minds the clock, two tenants with 5 USD a day and credit that ends in half a day."""
    ledger = open_ledger(check=ClockCheck(engine, now_us))
    at = now_us()
    for tenant in ("acme", "bolt"):
        ledger.do(OpenAccount(tenant, "open", at, "UTC", 20 * USD, 5 * USD))
        ledger.do(TopUp(tenant, "promo", at, amount_nanos=7 * USD, kind="promo", expires_us=at + DAY_US // 2))
    return ledger


def reserve(tenant: str, key: str, at: int, usd: int = 3) -> Reserve:
    """Ask for a hold."""
    return Reserve(tenant, key, at, f"{tenant}-{key}", (Offer(usd * USD, usd * USD, "{}"),), TTL_US)


def rows(engine: Engine) -> list[tuple[object, ...]]:
    """All that a clock could move."""
    tables = ("ledger_account", "ledger_hold", "ledger_grant_lot", "ledger_budget_window", "ledger_transfer")
    with reading(engine) as conn:
        return [
            tuple(row)
            for name in tables
            for row in conn.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2")
        ]


def test_a_leap_moves_nothing(engine: Engine, checked: Ledger) -> None:
    """
    Neither a call nor a sweep nor an order of a machine that is a day ahead changes a row.
    """
    at = now_us()
    assert isinstance(checked.do(reserve("acme", "call", at)), Held)
    assert isinstance(checked.do(reserve("bolt", "call", at)), Held)
    before = rows(engine)
    for op in (
        reserve("acme", "leap", at + DAY_US),
        Sweep("acme", "sweep", at + DAY_US),
        TopUp("acme", "more", at + DAY_US, amount_nanos=USD),
        SetBudget("acme", "limit", at + DAY_US, limit_nanos=9 * USD),
    ):
        with pytest.raises(ClockAhead, match="set the clock"):
            checked.do(op)
    with pytest.raises(ClockAhead):
        checked.sweep(at + DAY_US)
    assert rows(engine) == before


def test_the_honest_have_one_budget_a_day(engine: Engine, checked: Ledger) -> None:
    """
    After the leap of another, an honest process is still refused what today's budget does not bear.
    """
    at = now_us()
    assert isinstance(checked.do(reserve("acme", "one", at)), Held)
    with pytest.raises(ClockAhead):
        checked.do(reserve("acme", "leap", at + 2 * DAY_US))
    assert isinstance(checked.do(reserve("acme", "two", now_us())), Refused)
    with reading(engine) as conn:
        hold = reads.hold(conn, "acme-one")
    assert hold is not None
    assert hold.state == "open"


def test_others_of_the_batch_pass(checked: Ledger) -> None:
    """
    Many operations that wait together: those that leap have the error, all others their answer.
    """
    at = now_us()
    waiting = [
        checked.submit(reserve(tenant, f"{n}", at + DAY_US * (n % 2), usd=0))
        for n in range(40)
        for tenant in ("acme", "bolt")
    ]
    answers: list[Result | None] = []
    for future in waiting:
        error = future.exception()
        assert error is None or isinstance(error, ClockAhead)
        answers.append(None if error is not None else future.result())
    assert [isinstance(answer, Held) for answer in answers] == [n % 2 == 0 for n in range(40) for _ in "ab"]


def test_a_true_cost_is_booked_now(engine: Engine, checked: Ledger) -> None:
    """
    A call that was begun before the leap is renewed and closed at the judge's instant: no other hold is
    captured, no credit lapses, and the account's clock stays.
    """
    at = now_us()
    for key in ("settled", "released", "stands"):
        assert isinstance(checked.do(reserve("acme", key, at, usd=1)), Held)
    leapt = at + DAY_US
    renewed = checked.do(Renew("acme", "r", leapt, "acme-settled", TTL_US))
    assert isinstance(renewed, Renewed)
    assert abs(renewed.expires_us - at - TTL_US) < 30_000_000
    settled = checked.do(Settle("acme", "s", leapt, "acme-settled", USD // 2))
    assert isinstance(settled, Settled)
    again = checked.do(Settle("acme", "s", leapt + 5, "acme-settled", USD // 2))
    assert isinstance(again, Settled)
    assert again.replayed
    checked.do(Release("acme", "l", leapt, "acme-released", "not sent"))
    with reading(engine) as conn:
        found = {key: reads.hold(conn, f"acme-{key}") for key in ("settled", "released", "stands")}
        account = reads.account(conn, "acme")
        last_at = conn.exec_driver_sql("SELECT max(last_at) FROM ledger_account").scalar_one()
    assert {key: hold.state for key, hold in found.items() if hold is not None} == {
        "settled": "settled", "released": "released", "stands": "open",
    }  # fmt: skip
    assert account is not None
    assert account.credit_nanos == 27 * USD - USD // 2
    assert abs(last_at - at) < 30_000_000


def test_a_skew_of_seconds_is_nobodys_business(checked: Ledger) -> None:
    """
    Machines whose clocks differ by half a minute share the books.
    """
    at = now_us()
    assert isinstance(checked.do(reserve("acme", "ahead", at + 30_000_000, usd=1)), Held)
    assert isinstance(checked.do(reserve("acme", "behind", at - 30_000_000, usd=1)), Held)
    assert checked.sweep(at + 30_000_000) == 0


def test_all_is_well_once_the_clock_is_right(checked: Ledger) -> None:
    """
    The key that was refused for its clock makes its hold when it comes again in time.
    """
    at = now_us()
    with pytest.raises(ClockAhead):
        checked.do(reserve("acme", "call", at + DAY_US))
    assert isinstance(checked.do(reserve("acme", "call", now_us())), Held)
    assert checked.sweep(now_us()) == 0


@pytest.mark.postgres
def test_the_databases_clock_is_read_again_after_a_lost_connection(postgres_books: str) -> None:
    """
    A question to the database's clock that finds the connection gone is asked again on a new one.
    """
    engine = make_engine(postgres_books)
    with Ledger(engine, check=ClockCheck(engine, now_us, lambda: 0)) as ledger:
        ledger.do(OpenAccount("acme", "open", now_us(), "UTC", 9 * USD, None))
        with engine.connect() as conn:
            conn.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database()"
            )
        with pytest.raises(ClockAhead):
            ledger.do(reserve("acme", "leap", now_us() + DAY_US))
        assert isinstance(ledger.do(reserve("acme", "call", now_us())), Held)
    engine.dispose()
