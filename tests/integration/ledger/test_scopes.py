"""
A tenant with a budget for each of its end users: a batch loads and keeps those that its operations need.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from ledger import Ledger, kept, reading, reads
from ledger.books import Books
from ledger.budget import budget_id
from ledger.driver_postgres import PostgresDriver
from ledger.driver_sqlite import SqliteDriver
from ledger.drivers import Driver
from ledger.rows import DAY
from ledger.store_sql import SqlStore
from ledger.types import (
    AccountSet,
    BudgetSet,
    Held,
    Offer,
    OpenAccount,
    Operation,
    Reason,
    Refused,
    Reserve,
    SetAccount,
    SetBudget,
    Settle,
    Settled,
)
from ledger.verify import verify
from ledger.writer import Committer, Item

NOW_US = 1_763_700_000 * 1_000_000
DAY_US = 86_400 * 1_000_000
USERS = tuple(f"user:u{number}" for number in range(8))


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one batch had: how many budgets, and whether it looked at the database before its lock."""

    budgets: int
    looked: bool


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Loaded]:
    """A tenant with more than three budgets has many; lists what each batch of one had."""
    monkeypatch.setattr(kept, "WHOLE_MAX", 3)
    seen: list[Loaded] = []
    load = SqlStore.load

    def listed(self: SqlStore, driver: Driver, ops: Sequence[Operation]) -> dict[str, Books]:
        books = load(self, driver, ops)
        seen.append(Loaded(len(books["acme"].budgets), not self._assumed))
        return books

    monkeypatch.setattr(SqlStore, "load", listed)
    return seen


def opened(ledger: Ledger, users: Sequence[str] = USERS) -> None:
    """Open the tenant with 1,000 of credit and 600 a day, and each user with 100 a day."""
    ledger.do(OpenAccount("acme", "open", NOW_US, "UTC", 1_000, 600))
    for user in users:
        ledger.do(SetBudget("acme", f"limit {user}", NOW_US, 100, user))


def reserve(name: str, user: str, cost: int = 10) -> Reserve:
    """Ask for a hold of a user."""
    return Reserve("acme", f"hold:{name}", NOW_US, name, (Offer(cost, cost),), scopes=("key:k", user))


def spent(held: object) -> dict[str, tuple[int, int]]:
    """Return what a hold's gauges say is spent and held, by scope."""
    assert isinstance(held, Held), held
    return {gauge.scope: (gauge.spent_nanos, gauge.held_nanos) for gauge in held.gauges[1:]}


def test_of_many_budgets_only_those_that_are_named_are_loaded(
    ledger: Ledger, open_ledger: Callable[..., Ledger], loads: list[Loaded]
) -> None:
    """
    A user's first call reads that user's, and the next one nothing, whatever other users there are; also the
    first call of a process, which does not know yet how many there are.
    """
    opened(ledger)
    fresh = open_ledger()
    loads.clear()
    for number, user in enumerate(
        ("user:u0", "user:u0", "user:u1", "user:u0", "user:stranger", "user:stranger")
    ):
        assert isinstance(fresh.do(reserve(f"h{number}", user)), Held)
    assert [one.budgets for one in loads] == [2, 2, 3, 3, 3, 3]
    assert [one.looked for one in loads] == [True, False, True, False, True, False]
    loads.clear()
    assert isinstance(fresh.do(Settle("acme", "settle:h2", NOW_US, "h2", 7)), Settled)
    assert loads == [Loaded(3, looked=False)]
    ledger.do(reserve("theirs", "user:u2"))
    loads.clear()
    assert spent(fresh.do(reserve("after", "user:u1"))) == {"tenant": (7, 70), "user:u1": (7, 10)}
    assert loads[-1] == Loaded(2, looked=True), "what another writer has changed was read whole"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lists, of each exchange that reads, how many rows of budgets and windows came."""
    seen: list[int] = []
    for kind, name in (
        (SqliteDriver, "select"),  # also the one that begins
        (PostgresDriver, "begin_and_select"),
        (PostgresDriver, "select"),
    ):
        ask = getattr(kind, name)

        def noted(self: Any, queries: Any, ask: Any = ask) -> Any:
            answers = ask(self, queries)
            rows = [
                len(one) for (text, _), one in zip(queries, answers, strict=True) if "ledger_budget" in text
            ]
            seen.append(sum(rows))
            return answers

        monkeypatch.setattr(kind, name, noted)
    return seen


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize(("budgets", "rows"), [(2, [4]), (3, [6]), (4, [1, 4]), (9, [1, 4])])
def test_the_first_batch_learns_who_has_many(
    ledger: Ledger, open_ledger: Callable[..., Ledger], asked: list[int], budgets: int, rows: list[int]
) -> None:
    """
    Up to the bound all budgets and windows come with the lock; above it only word that there are more, and
    one exchange later the two budgets that the call needs, with their windows. Nothing else is ever read.
    """
    opened(ledger, USERS[: budgets - 1])
    for user in USERS[: budgets - 1]:
        assert isinstance(ledger.do(reserve(f"of {user}", user)), Held)  # makes its window
    fresh = open_ledger()
    asked.clear()
    assert spent(fresh.do(reserve("first", USERS[0]))) == {"tenant": (0, 10 * budgets), USERS[0]: (0, 20)}
    assert asked == rows


def test_a_tenant_that_came_to_many_is_read_by_scope(
    ledger: Ledger, open_ledger: Callable[..., Ledger], loads: list[Loaded]
) -> None:
    """
    Two writers have all of a tenant's budgets. One adds more of them than are loaded whole: the next batch
    of each sees every one that it names, and a limit set a moment ago refuses.
    """
    opened(ledger, USERS[:2])
    other = open_ledger()
    assert spent(other.do(reserve("a", USERS[0]))) == {"tenant": (0, 10), USERS[0]: (0, 10)}
    for user in USERS[2:]:
        assert isinstance(ledger.do(SetBudget("acme", f"limit {user}", NOW_US, 5, user)), BudgetSet)
    for writer in (other, ledger):
        refused = writer.do(reserve("b", USERS[5]))
        assert isinstance(refused, Refused)
        assert refused.numbers["budget_scope"] == USERS[5]
        assert loads[-1].budgets == 2
        held = writer.do(reserve(f"c {id(writer)}", USERS[0]))
        assert spent(held)["tenant"] == (0, 20 if writer is other else 30)


def test_many_and_few_share_the_first_batch(
    engine: Engine, open_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    One batch of a new process: a tenant with many budgets, one with few, one that nobody opened, and the
    settlement of a hold whose user no operation names. Each counts in its own limits.
    """
    monkeypatch.setattr(kept, "WHOLE_MAX", 3)
    first = open_ledger()
    opened(first)
    first.do(OpenAccount("few", "open", NOW_US, "UTC", 1_000, 600))
    first.do(reserve("theirs", USERS[6], 40))
    call = reserve("a", USERS[1], 100)
    settle = Settle("acme", "settle:theirs", NOW_US, "theirs", 30)
    ops = [
        settle, call, replace(call, tenant="few", hold_id="b", key="hold:b"), replace(call, tenant="nobody"),
    ]  # fmt: skip
    items = [Item(op, ()) for op in ops]
    committer = Committer(engine, None)
    committer.run(items)
    settled, held, few, nobody = (item.answer() for item in items)
    assert isinstance(settled, Settled)
    assert spent(held) == {"tenant": (30, 100), USERS[1]: (0, 100)}
    assert spent(few) == {"tenant": (0, 100)}
    assert isinstance(nobody, Refused)
    assert nobody.reason is Reason.UNKNOWN_TENANT
    again = Item(reserve("over", USERS[6], 71), ())
    committer.run([again])
    assert isinstance(again.result, Refused)
    assert (again.result.reason, again.result.numbers["budget_scope"]) == (Reason.BUDGET_EXHAUSTED, USERS[6])
    committer.disconnect()
    with reading(engine) as connection:
        assert verify(connection).problems == ()


@pytest.mark.usefixtures("loads")
def test_every_limit_counts_also_where_it_was_not_loaded(
    ledger: Ledger, open_ledger: Callable[..., Ledger]
) -> None:
    """
    The budget of a user who was never heard of refuses the user's first call.
    """
    opened(ledger)
    fresh = open_ledger()
    fresh.do(reserve("warm", "user:u0"))
    for user in USERS[1:]:
        refused = fresh.do(reserve(f"much {user}", user, 101))
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.numbers["budget_scope"]) == (Reason.BUDGET_EXHAUSTED, user)
    assert spent(fresh.do(reserve("fits", "user:u5", 100)))["user:u5"] == (0, 100)
    refused = fresh.do(reserve("more", "user:u5", 1))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BUDGET_BUSY


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize("settled", [False, True])
def test_a_repetition_shows_the_scopes_of_its_hold(
    ledger: Ledger, open_ledger: Callable[..., Ledger], *, settled: bool
) -> None:
    """
    Asked again for another user under the same request, with the hold of another writer: the gauges are
    those that limit the hold.
    """
    opened(ledger)
    mine = replace(reserve("mine", "user:u3", 40), key="request", request_hash="the same")
    open_ledger().do(mine)
    ledger.do(reserve("warm", "user:u0"))
    if settled:
        assert isinstance(ledger.do(Settle("acme", "settle:mine", NOW_US, "mine", 25)), Settled)
    again = ledger.do(replace(mine, hold_id="other", scopes=("user:u4",)))
    assert isinstance(again, Held)
    assert (again.hold_id, again.replayed) == ("mine", True)
    assert spent(again)["user:u3"] == ((25, 0) if settled else (0, 40))


def test_an_order_finds_the_budget_that_it_changes(
    ledger: Ledger, open_ledger: Callable[..., Ledger], loads: list[Loaded]
) -> None:
    """
    A limit that is not loaded is changed, not made a second time; a scope that cannot be is refused as ever.
    """
    opened(ledger)
    fresh = open_ledger()
    fresh.do(reserve("warm", "user:u0"))
    answer = fresh.do(SetBudget("acme", "lower", NOW_US, 5, "user:u6"))
    assert isinstance(answer, BudgetSet)
    assert answer.limit_before_nanos == 100
    assert loads[-1].budgets == 3, "the tenant's, and those of both users"
    for scope in ("user:\0", "user:a\nb", "", "nobody"):
        refused = fresh.do(SetBudget("acme", f"wrong {scope!r}", NOW_US, 5, scope))
        assert isinstance(refused, Refused)
        assert refused.numbers["field"] == "scope"
    assert isinstance(fresh.do(reserve("odd", "user:\0")), Held)


@pytest.mark.parametrize("first", [False, True])
def test_a_new_zone_moves_every_budget(
    engine: Engine, ledger: Ledger, open_ledger: Callable[..., Ledger], loads: list[Loaded], *, first: bool
) -> None:
    """
    Also those that were not loaded, and as the first order of a process; afterwards the window that runs and
    the one behind it are both found.
    """
    opened(ledger)
    ledger.do(reserve("warm", "user:u0"))
    mover = open_ledger() if first else ledger
    moved = mover.do(SetAccount("acme", "move", NOW_US, timezone="Asia/Tokyo"))
    assert isinstance(moved, AccountSet)
    assert loads[-1].budgets == 9
    assert moved.timezone_from_us is not None
    ledger.do(reserve("back", "user:u1"))
    other = open_ledger()
    for writer in (ledger, other, ledger):
        for user in USERS[2:4]:
            held = writer.do(reserve(f"{len(loads)}", user))
            assert isinstance(held, Held)
            assert {gauge.resets_us for gauge in held.gauges[1:]} == {moved.timezone_from_us}
    held = other.do(replace(reserve("next", "user:u7"), now_us=moved.timezone_from_us))
    assert isinstance(held, Held)
    assert {gauge.starts_us for gauge in held.gauges[1:]} == {moved.timezone_from_us}
    with reading(engine) as connection:
        assert verify(connection).problems == ()


def test_ever_more_users_stay_within_the_bound(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, loads: list[Loaded]
) -> None:
    """
    What is known of users counts, also that they have no budget; at the bound it is read anew as it is named.
    """
    monkeypatch.setattr(kept, "ROWS_MAX", 30)
    opened(ledger)
    for number in range(60):
        ledger.do(replace(reserve(f"h{number}", f"user:new{number}", 0), offers=(Offer(0, 0),)))
        ledger.do(Settle("acme", f"settle:h{number}", NOW_US, f"h{number}", 0))
        store = ledger._writer._committer._store
        books = store._kept._tenants.get("acme")
        assert books is None or len(books.books.scopes or ()) <= 30
    assert sum(not one.looked for one in loads) >= 50, "the settlements had all that they need"


def test_a_look_reads_what_it_shows(engine: Engine, loads: list[Loaded]) -> None:
    """What is shown for some scopes is what all the books say of them, and budgets of others are not read."""
    ledger = Ledger(engine)
    ledger.do(OpenAccount("acme", "open", NOW_US, "UTC", 1_000_000, 900_000))
    for place, user in enumerate(USERS):
        ledger.do(SetBudget("acme", user, NOW_US, 1_000 * place, scope=user))
    assert isinstance(ledger.do(reserve("h", USERS[2], 70)), Held)
    ledger.close()
    found: list[object] = []
    event.listen(engine, "before_cursor_execute", lambda *seen: found.append(seen[3]))
    with reading(engine) as connection:
        whole = reads.balance(connection, "acme", NOW_US)
        found.clear()
        shown = reads.gauges(connection, "acme", (USERS[2], "user:none", "nul\0"), NOW_US)
    assert whole is not None
    wanted = [gauge for gauge in whole.gauges if gauge.name in ("credit", "tenant/day", f"{USERS[2]}/day")]
    assert list(shown) == wanted
    assert [gauge.held_nanos for gauge in shown] == [70, 70, 70]
    both = tuple(budget_id("acme", scope, DAY) for scope in ("tenant", USERS[2]))
    assert found == [("acme",), ("acme", "tenant", "user:none", USERS[2]), (NOW_US, *both)]
