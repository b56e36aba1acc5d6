"""
How long the pages of the dashboard read, over thirty days of many decisions, by the roll-up and without it.

    python -m benchmarks.dashboard_pages --engine sqlite --decisions 1000000

The decisions are made, not played: rows as wide as real ones, written straight into the log; calls of the
last day, and those whose end nobody saw, have holds in the ledger as well. Before any time is told, what the
roll-up says is compared with what the log itself says, to the nano-dollar.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.databases import postgres
from ledger.own_driver import connect
from ledger.statements import texts
from ledger.types import Attachment, Offer, OpenAccount, Refused, Release, Reserve, Settle
from ledger.writer import Committer, Item
from ledger.writes import Writes
from outlay import records, reports, reports_calls, reports_log, reports_routing, tallies
from outlay.admin.history import history
from outlay.reports_periods import Span, period
from outlay.settings import Settings
from outlay.tables import decision
from outlay.wiring import App, open_app
from router.codec import to_json

DAY_US: Final = 86_400 * 1_000_000
DAYS: Final = 30
BATCH: Final = 2_000
CREDIT_NANOS: Final = 10**15
PRICES: Final = {"large": 40_000_000, "medium": 8_000_000, "small": 1_000_000}
TIERS: Final = tuple(PRICES)
LOWERING: Final = ("degraded", "paced", "downgrade_proven", "too_slow")
STAYING: Final = ("unrouted_task", "task_route", "complexity", "exempt", "worth_it")
INPUTS: Final = to_json({"profile": {"text": "x" * 2_500}})
GOAL_S: Final = 1.5
BATCHES: Final = 40
TRIGGER_OFF: Final = {
    "sqlite": "DROP TRIGGER IF EXISTS outlay_decision_tallied",
    "postgresql": "ALTER TABLE outlay_decision DISABLE TRIGGER outlay_decision_tallied",
}


def main() -> None:
    """
    Make the log, compare, measure, print.
    """
    given = _given()
    if given.database is not None:
        _measure(given, given.database)
    elif given.engine == "postgresql":
        with postgres(given.postgres_url) as new_database:
            _measure(given, new_database())
    else:
        with tempfile.TemporaryDirectory() as folder:
            _measure(given, f"sqlite:///{Path(folder) / 'pages.db'}")


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time of the dashboard's pages.")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=12)
    parser.add_argument("--looks", type=int, default=3, help="of each page; the median is told")
    parser.add_argument("--make-s", type=float, default=600.0, help="stop making decisions after so long")
    parser.add_argument("--postgres-url", default=None)
    parser.add_argument("--database", default=None, help="address of books that an earlier run made")
    parser.add_argument("--keep", action="store_true", help="make the books at --database")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measure(given: argparse.Namespace, url: str) -> None:
    app = open_app(Settings(database_url=url), migrate=True, check_clock=False)
    try:
        if given.database is None or given.keep:
            began = time.perf_counter()
            made = fill(app, given.decisions, given.tenants, time.time_ns() // 1_000, given.make_s)
            print(f"{made} decisions made in {time.perf_counter() - began:.0f} s", flush=True)
        _report(app, given)
    finally:
        app.close()


def _report(app: App, given: argparse.Namespace) -> None:
    now_us = _newest(app)
    naive_s = _compared(app, now_us)
    found = {name: _median(look, given.looks) for name, look in _pages(app, now_us).items()}
    told: dict[str, Any] = {
        "engine": app.engine.dialect.name, "load": round(os.getloadavg()[0], 1), **_written(app), **naive_s,
        **found,
    }  # fmt: skip
    slowest = max(found.values())
    told["all_within_goal"] = slowest <= GOAL_S
    print(json.dumps(told) if given.json else "\n".join(f"{name}: {value}" for name, value in told.items()))


def _written(app: App) -> dict[str, int]:
    """
    Write decisions of this instant in batches as the ledger's writer does, with the roll-up's trigger and
    without; microseconds of a decision, the medians: on SQLite those of the processor.
    """
    clock = time.process_time if app.engine.dialect.name == "sqlite" else time.perf_counter
    driver, now_us = connect(app.engine), time.time_ns() // 1_000
    made = Writes(app.engine.dialect, texts(app.engine.dialect.name))
    rows = [{**row, "at_us": now_us} for row in _rows(BATCHES * 64, 12, now_us)]
    found = {}
    for name in ("decision_us", "decision_without_roll_up_us"):
        took = []
        for first in range(0, len(rows), 64):
            batch = [{**row, "id": f"{name}-{row['id']}"} for row in rows[first : first + 64]]
            writes = made.statements({}, [Attachment(decision, row) for row in batch])
            driver.begin_and_select([])
            began = clock()
            driver.commit(writes)
            took.append((clock() - began) / 64 * 1_000_000)
        found[name] = round(statistics.median(took))
        driver.select([(TRIGGER_OFF[app.engine.dialect.name], ())])
    driver.close()
    return found


def _newest(app: App) -> int:
    with app.reading() as conn:
        newest = reports_calls.history(conn, None)[1]
    assert newest is not None, "there are no decisions"
    return newest


def _compared(app: App, now_us: int) -> dict[str, float]:
    """
    Read the month from the log and from the roll-up; they must say the same.
    """
    seen = period(Span.MONTH, "UTC", now_us)
    with app.reading() as conn:
        began = time.perf_counter()
        from_log = tallies.of_period(conn, seen, None, rolled=False)
        between = time.perf_counter()
        rolled_up = tallies.of_period(conn, seen, None)
        ended = time.perf_counter()
    assert from_log == rolled_up, "the roll-up is not what the log says"
    cost_nanos = sum(one.cost_nanos for one in rolled_up)
    assert cost_nanos == sum(bar.cost_nanos for bar in reports_calls.tier_spend(rolled_up))
    return {"month_from_the_log_s": round(between - began, 3), "month_s": round(ended - between, 3)}


def _pages(app: App, now_us: int) -> dict[str, Callable[[], object]]:
    """
    Return what each page asks of the books, for all tenants and for the busiest.
    """
    looks: dict[str, Callable[[], object]] = {}
    for tenant in (None, "t0"):
        for span in (Span.MONTH, Span.WEEK, Span.TODAY, Span.HOUR, None):
            whose = f"{tenant or 'all'} {span or 'auto'}"
            looks[f"overview {whose}"] = lambda tenant=tenant, span=span: reports.overview(
                app, tenant, span=span, now_us=now_us
            )
            looks[f"routing {whose}"] = lambda tenant=tenant, span=span: reports_routing.routing(
                app, tenant, span=span, now_us=now_us
            )
        for name, wanted in (
            ("log", {}), ("log downgraded", {"downgraded": True}), ("log refused", {"outcome": "refused"}),
            ("log of a task that no call has", {"task": "nobody/has-it"}),
        ):  # fmt: skip
            log = reports_log.Filter(tenant=tenant, **wanted)  # type: ignore[arg-type]  # names as above
            looks[f"{name} {tenant or 'all'}"] = lambda log=log: reports_log.decisions(app, log)
    looks["tenants"] = lambda: reports.tenants(app, now_us=now_us)
    looks["statement t0"] = lambda: reports.statement(app, "t0")
    looks["budgets t0"] = lambda: reports.budgets(app, "t0", now_us=now_us)
    looks["history t0"] = lambda: history(app, "t0", limit=50)
    return looks


def _median(look: Callable[[], object], looks: int) -> float:
    took = []
    for _ in range(looks):
        began = time.perf_counter()
        look()
        took.append(time.perf_counter() - began)
    return round(statistics.median(took), 3)


def fill(app: App, count: int, tenants: int, now_us: int, most_s: float) -> int:
    """
    Write decisions of the thirty days before an instant; returns how many there was time for.
    """
    for number in range(tenants):
        op = OpenAccount(f"t{number}", "open", now_us - DAYS * DAY_US, "UTC", CREDIT_NANOS, 10**14)
        app.ledger.do(op)
    ends, made, rows = time.monotonic() + most_s, 0, _rows(count, tenants, now_us)
    held = Committer(app.engine, None)
    while time.monotonic() < ends:
        batch = list(islice(rows, BATCH))
        if not batch:
            break
        with app.engine.begin() as conn:
            conn.execute(sa.insert(decision), batch)
        _hold(held, [row for row in batch if _has_hold(row, now_us)])
        made += len(batch)
    held.disconnect()
    if app.engine.dialect.name == "postgresql":  # what its autovacuum does in time
        with app.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.exec_driver_sql("VACUUM ANALYZE")
    return made


def _has_hold(row: dict[str, Any], now_us: int) -> bool:
    unseen = row["outcome"] in ("uncertain", "failed")
    return row["hold_id"] is not None and (unseen or row["at_us"] > now_us - DAY_US)


def _hold(held: Committer, rows: Sequence[dict[str, Any]]) -> None:
    """
    Hold the money of calls, and close them; of those whose end nobody saw some are told later.
    """
    items = []
    for row in rows:
        offers = (Offer(row["held_nanos"], row["held_nanos"] // 2, "{}"),)
        at_us, name = row["at_us"], row["id"]
        items.append(Item(Reserve(row["tenant"], name, at_us, name, offers), ()))
        if row["outcome"] == "failed":
            items.append(Item(Release(row["tenant"], f"{name}-r", at_us, name, "failed"), ()))
        elif row["outcome"] != "uncertain" or row["at_us"] % 2:
            cost = row["cost_nanos"] or row["held_nanos"] // 3
            items.append(Item(Settle(row["tenant"], f"{name}-s", at_us, name, cost), ()))
    for first in range(0, len(items), 500):
        held.run(items[first : first + 500])
    assert not any(item.error or isinstance(item.result, Refused) for item in items)


def _rows(count: int, tenants: int, now_us: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    weights = [1 / (1 + number) for number in range(tenants)]
    names = [f"t{number}" for number in range(tenants)]
    for number in range(count):
        at_us = now_us - (DAYS * DAY_US - 1) * (count - number) // count
        yield _row(chance, chance.choices(names, weights)[0], at_us, number)


def _row(chance: random.Random, tenant: str, at_us: int, number: int) -> dict[str, Any]:
    asked = chance.randrange(3)
    served = min(2, asked + (chance.random() < 0.3))
    kind = chance.choices(("served", "refused", "failed", "uncertain", "broken"), (90, 5, 3, 1, 1))[0]
    cost = PRICES[TIERS[served]] * chance.randint(50, 200) // 100 + number % 7
    plan = records.opened(
        id=f"{at_us:016x}{number:08x}", tenant=tenant, at_us=at_us, surface="gateway",
        asked_model=f"claude-{TIERS[asked]}", task=f"team-{number % 9}/task-{number % 40}", inputs=INPUTS,
        session=f"s{number // 5}", asked_tier=TIERS[asked], reasons=to_json(_reasons(chance, asked, served)),
        offers=to_json([_offer(chance, TIERS[served], cost), _offer(chance, "small", cost // 2)]),
        counterfactual=to_json(_offer(chance, TIERS[asked], cost)), policy_version=1, prices="0" * 16,
    )  # fmt: skip
    if kind == "refused":
        code = chance.choice(("outlay_daily_budget_reached", "outlay_priority_refused"))
        return records.row(plan, outcome=kind, finished_us=at_us, code=code)
    billed = kind in ("served", "broken")
    return records.row(
        {**plan, "offer": 0}, outcome=kind, finished_us=at_us, code=None if billed else "no_answer",
        held_nanos=cost * 2, cost_nanos=cost if billed else None if kind == "uncertain" else 0,
        asked_cost_nanos=cost * PRICES[TIERS[asked]] // PRICES[TIERS[served]] if billed else None,
        usage={"input_tokens": 800, "output_tokens": 200} if billed else None,
    )  # fmt: skip


def _reasons(chance: random.Random, asked: int, served: int) -> list[dict[str, Any]]:
    codes = chance.sample(STAYING, chance.randint(1, 2))
    if asked != served:
        codes.append(chance.choice(LOWERING))
    if chance.random() < 0.2:
        codes.append("switch_suppressed_cache")
    numbers = {"cost_nanos": chance.randint(-900, 9_000), "ratio": 0.4321, "limit_nanos": 5_000_000_000}
    return [
        {"code": code, "text": f"it is so because of {code}, in a sentence", "numbers": numbers}
        for code in codes
    ]


def _offer(chance: random.Random, tier: str, cost: int) -> dict[str, Any]:
    own = [{"code": "affordability", "text": "max_tokens fits the money", "numbers": {}}]
    return {
        "model": f"claude-{tier}", "tier": tier, "effort": None, "max_tokens": 4_096,
        "cost_bound_nanos": cost * 2, "expected_cost_nanos": cost, "waits": True,
        "reasons": own if chance.random() < 0.05 else [],
    }  # fmt: skip


if __name__ == "__main__":
    main()
