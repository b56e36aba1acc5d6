"""
How long a preview and a replay take on a long log, and in how much memory.

    python -m benchmarks.preview --decisions 100000 [--json]

Decisions of five tenants over six days are made by the real router and written as the flow writes them; then
the log is replayed, and previewed under the same policy and under an earlier threshold. What must be so is
checked before anything is told: the replay reproduces all, the same policy changes nothing.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert

from ledger.types import OpenAccount
from outlay import records
from outlay.admin import policies
from outlay.admin.preview import preview_policy
from outlay.admin.replay import replay
from outlay.ids import new_id
from outlay.prices_sql import keep_prices
from outlay.settings import Settings
from outlay.tables import decision
from outlay.wiring import App, open_app
from pricing.cost import cost_nanos
from pricing.usage import Usage
from router.classify import profile_request
from router.codec import Inputs, to_json
from router.codec import replay as choose
from router.policy import default_policy_text, load_policy
from router.types import Budget, Headroom, Hints, Profile, Refusal, Rights

DAY_US: Final = 86_400 * 1_000_000
TENANTS: Final = 5
BATCH: Final = 2_000
CREDIT_NANOS: Final = 10**13


def main() -> None:
    """
    Make a log, measure, print.
    """
    parser = argparse.ArgumentParser(description="Time of previews and replays.")
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        app = open_app(Settings(database_url=f"sqlite:///{path}"), migrate=True)
        try:
            found = {"decisions": given.decisions, **_measured(app, given.decisions)}
        finally:
            app.close()
        found["bytes_per_decision"] = path.stat().st_size // given.decisions
    print(json.dumps(found) if given.json else "\n".join(f"{name}: {value}" for name, value in found.items()))


def _measured(app: App, count: int) -> dict[str, Any]:
    text = default_policy_text()
    policies.apply_policy(app, text, actor="benchmark")
    _fill(app, count)
    before_mb = _peak_mb()
    times: dict[str, float] = {}
    replayed = _timed("replay", times, lambda: replay(app))
    same = _timed("preview_same", times, lambda: preview_policy(app, text))
    other = _timed(
        "preview_other", times, lambda: preview_policy(app, text.replace("below = 0.50", "below = 0.80"))
    )
    assert replayed["same"] == count, replayed["different"][:1]
    assert same["changed"] == 0, same["changes"][:1]
    assert other["changed"] > 0
    return {
        **times,
        "changed": other["changed"],
        "peak_mb_before": before_mb,
        "peak_mb": _peak_mb(),
    }


def _timed(name: str, times: dict[str, float], run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Take the time on the clock and on the processor, which a machine that is shared does not stretch."""
    began, processor = time.perf_counter(), time.process_time()
    found = run()
    times[f"{name}_s"] = round(time.perf_counter() - began, 1)
    times[f"{name}_cpu_s"] = round(time.process_time() - processor, 1)
    return found


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _fill(app: App, count: int) -> None:
    now_us = time.time_ns() // 1_000
    began_us = now_us - 6 * DAY_US
    for number in range(TENANTS):
        op = OpenAccount(f"t{number}", f"open {number}", began_us, "UTC", CREDIT_NANOS, None)
        app.ledger.do(op)
    rows: list[dict[str, object]] = []
    for row in _rows(app, count, began_us):
        rows.append(row)
        if len(rows) == BATCH:
            _write(app, rows)
    _write(app, rows)


def _write(app: App, rows: list[dict[str, object]]) -> None:
    if rows:
        with app.engine.begin() as connection:
            connection.execute(insert(decision), rows)
        rows.clear()


def _profiles() -> list[Profile]:
    policy, found = load_policy(default_policy_text()), []
    for model in ("outlay/auto", "claude-opus-5-5"):
        for words in (50, 400):
            messages = [{"role": "user", "content": f"{model} " * words}]
            body = {"model": model, "max_tokens": 2_000, "messages": messages}
            hints = Hints(task=f"task {words}")
            made = profile_request(body, hints, Rights(), policy, expected_output_tokens=300)
            assert isinstance(made, Profile)
            found.append(made)
    return found


def _rows(app: App, count: int, began_us: int) -> Iterator[dict[str, object]]:
    """Decide calls one after the other, each on what those before it have spent."""
    chance, policy, profiles = random.Random(1), load_policy(default_policy_text()), _profiles()
    digest = keep_prices(app.engine, app.prices, began_us)
    limit_nanos = count * 5_000_000 // (TENANTS * 6)
    spent: dict[tuple[str, int], int] = {}
    level = dict.fromkeys((f"t{number}" for number in range(TENANTS)), 0)
    for number in range(count):
        at_us = began_us + number * 6 * DAY_US // count
        tenant, profile = chance.choice(list(level)), chance.choice(profiles)
        ends_us = at_us - at_us % DAY_US + DAY_US
        gone = spent.get((tenant, ends_us), 0)
        day = Budget("tenant/day", limit_nanos, gone, 0, 0, ends_us)
        inputs = Inputs(profile, Headroom((day,), CREDIT_NANOS, CREDIT_NANOS), level[tenant], {}, at_us)
        made = choose(inputs, policy, app.prices)
        opened = records.opened(
            id=new_id(at_us), tenant=tenant, at_us=at_us, surface="gateway", asked_model=profile.asked_model,
            task=profile.task, session=f"auto:{number}", inputs=to_json(inputs), prices=digest,
            policy_version=1,
        )  # fmt: skip
        level[tenant] = made.level or 0
        if isinstance(made, Refusal):
            yield records.row(opened, outcome="refused", code=str(made.code), finished_us=at_us)
            continue
        offer, output = made.offers[0], chance.randint(50, 500)
        usage = Usage(input_tokens=profile.bound.text_bytes // 4, output_tokens=min(output, offer.max_tokens))
        cost = cost_nanos(usage, app.prices.price(offer.model, at_us))
        spent[(tenant, ends_us)] = gone + cost
        yield records.row(
            {**records.decided(opened, made), "offer": 0},
            outcome="served",
            finished_us=at_us + 1_000_000,
            held_nanos=offer.cost_bound_nanos,
            cost_nanos=cost,
            usage={"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        )


if __name__ == "__main__":
    main()
