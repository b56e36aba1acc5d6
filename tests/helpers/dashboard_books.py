"""
Books with a believable day in them, made through the real ledger, for tests of reports and pages.

Every call is a hold and its settlement with the decision row attached, as the flow writes them. Loaded by
path (tests are not packages): `conftest.py` of the folders that need it.
"""

import json
import random
from dataclasses import dataclass
from typing import Any

from ledger.types import Attachment, Note, Offer, OpenAccount, Reserve, Settle, TopUp
from outlay import records, tables
from outlay.ids import new_id
from outlay.settings import Settings
from outlay.wiring import App, open_app
from router.codec import to_json

NOON = 1_795_262_400_000_000  # 2026-11-21 12:00 UTC
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
USD = 1_000_000_000
MODELS = {"large": "claude-opus-5-5", "medium": "claude-sonnet-5-5", "small": "claude-haiku-5-5"}
PRICE = {"large": 100, "medium": 40, "small": 10}  # relative
TASKS = ("content/blog-post", "crm/summary", "support/reply", "code/review", "search/rerank")


@dataclass(frozen=True)
class Call:
    """One call as a test wants it in the books; money in nano-USD."""

    tenant: str
    at_us: int
    asked: str = "large"
    served: str = "large"
    cost_nanos: int = 10_000_000
    outcome: str = "served"
    code: str | None = None
    task: str | None = "crm/summary"
    level: int = 0
    ratio: float = 0.8
    route_reason: str = "task_route"
    reason: str | None = None
    offer_reason: str | None = None
    parent: str | None = None
    strategy: str | None = None
    role: str | None = None
    refusal: dict[str, Any] | None = None
    would: dict[str, Any] | None = None


def open_books(url: str) -> App:
    """Open books at an address, on either engine."""
    return open_app(Settings(database_url=url), migrate=True, check_clock=False)


def tenant(
    app: App, name: str, at_us: int, *, credit_nanos: int = 20 * USD, daily_nanos: int | None = 5 * USD,
    zone: str = "UTC",
) -> None:  # fmt: skip
    """Open an account."""
    app.ledger.do(OpenAccount(name, f"open-{name}", at_us, zone, credit_nanos, daily_nanos, actor="ana"))


def play(app: App, call: Call) -> str:
    """Write one call: a refused one as a note, an uncertain one as an open hold, others with a settlement."""
    decision_id = new_id(call.at_us)
    record = _record(call, decision_id)
    if call.outcome == "refused":
        row = records.row(record, outcome="refused", finished_us=call.at_us, code=call.code)
        app.ledger.do(Note(call.tenant, decision_id, call.at_us), [Attachment(tables.decision, row)])
        return decision_id
    plan = {**record, "offer": 0}
    bound = call.cost_nanos * 2
    held = app.ledger.do(
        Reserve(
            call.tenant, decision_id, call.at_us, decision_id,
            (Offer(bound, call.cost_nanos, json.dumps(plan)),), owner="test", enforce=False,
        )
    )  # fmt: skip
    if call.outcome in ("uncertain", "failed"):  # the hold stays as it is: to be captured, or given back
        row = records.row(
            plan, outcome=call.outcome, finished_us=call.at_us, code="no_answer",
            held_nanos=held.amount_nanos, cost_nanos=0 if call.outcome == "failed" else None,
        )  # fmt: skip
        app.ledger.do(Note(call.tenant, f"{decision_id}-n", call.at_us), [Attachment(tables.decision, row)])
        return decision_id
    asked_cost = call.cost_nanos * PRICE[call.asked] // PRICE[call.served]
    row = records.row(
        plan, outcome=call.outcome, finished_us=call.at_us + 900_000, code=call.code,
        held_nanos=held.amount_nanos, cost_nanos=call.cost_nanos, asked_cost_nanos=asked_cost,
        usage={"input_tokens": 812, "output_tokens": 264},
    )  # fmt: skip
    attach = [Attachment(tables.decision, row)]
    app.ledger.do(
        Settle(call.tenant, f"{decision_id}-s", call.at_us + 900_000, decision_id, call.cost_nanos), attach
    )
    return decision_id


def call(app: App, minutes_ago: int, **known: Any) -> str:
    """Play one call of acme, so many minutes before noon."""
    return play(app, Call(tenant="acme", at_us=NOON - minutes_ago * MINUTE_US, **known))


def _record(call: Call, decision_id: str) -> dict[str, Any]:
    reasons = [
        {
            "code": call.route_reason,
            "text": f"task {call.task} goes to tier {call.asked}",
            "numbers": {"task": call.task},
        }
    ]
    if call.asked != call.served:
        below = 0.2 if call.level > 1 else 0.5
        text = f"tenant/day has {call.ratio:.1%} left, under {below:.0%}: tier {call.asked} to {call.served}"
        numbers = {
            "gauge": "tenant/day", "ratio": call.ratio, "below": below, "limit_nanos": 5 * USD,
            "spent_nanos": int(5 * USD * (1 - call.ratio)), "expected_held_nanos": 12_000_000,
        }  # fmt: skip
        reasons.append({"code": call.reason or "degraded", "text": text, "numbers": numbers})
    reasons += [] if call.refusal is None else [call.refusal]
    cost = call.cost_nanos
    asked_cost = cost * PRICE[call.asked] // PRICE[call.served]
    offers = [_offer(call.served, cost)]
    if call.offer_reason is not None:
        offers[0]["reasons"] = [{"code": call.offer_reason, "text": "not affordable", "numbers": {}}]
    if call.served != "small":
        offers.append(_offer("small", cost // 2))
    known = records.opened(
        id=decision_id,
        tenant=call.tenant,
        at_us=call.at_us,
        surface="gateway",
        asked_model=MODELS[call.asked],
        parent=call.parent,
        attempt=0 if call.parent is None else 1,
        strategy=call.strategy,
        inputs=json.dumps({"profile": {"role": call.role}}),
    )
    return {
        **known,
        "task": call.task,
        "asked_tier": call.asked,
        "level": call.level,
        "ratio": call.ratio,
        "gauge": "tenant/day",
        "reasons": json.dumps(reasons),
        "would": None if call.would is None else json.dumps(call.would),
        "offers": to_json(offers),
        "counterfactual": json.dumps(_offer(call.asked, asked_cost)),
    }


def _offer(tier: str, cost_nanos: int) -> dict[str, Any]:
    return {
        "model": MODELS[tier], "tier": tier, "effort": "high" if tier == "large" else None,
        "max_tokens": 4096,
        "cost_bound_nanos": cost_nanos * 2, "expected_cost_nanos": cost_nanos, "reasons": [], "waits": True,
    }  # fmt: skip


def a_day(app: App, now_us: int, *, hours: int = 9, calls: int = 400) -> None:
    """
    Fill the books with the day of four tenants: one in its budget, one near its end, one out of credits,
    one halted as a runaway.
    """
    start_us = now_us - hours * HOUR_US
    chance = random.Random(7)
    tenant(app, "acme", start_us - HOUR_US, zone="Europe/Berlin")
    tenant(
        app,
        "globex",
        start_us - HOUR_US,
        zone="America/New_York",
        credit_nanos=140 * USD,
        daily_nanos=12 * USD,
    )
    tenant(
        app, "initech", start_us - HOUR_US, credit_nanos=int(1.2 * USD), daily_nanos=None, zone="Asia/Kolkata"
    )
    tenant(app, "umbrella", start_us - HOUR_US, credit_nanos=50 * USD, daily_nanos=20 * USD)
    app.ledger.do(TopUp("globex", "inv-7", start_us, 25 * USD, actor="ana", reason="invoice 7"))
    moments = sorted(start_us + int(chance.betavariate(2, 1.6) * hours * HOUR_US) for _ in range(calls))
    spent = {"acme": 0, "globex": 0, "initech": 0, "umbrella": 0}
    limit = {"acme": 5 * USD, "globex": 12 * USD, "initech": int(1.2 * USD), "umbrella": 20 * USD}
    for at_us in moments:
        name = chance.choices(list(spent), weights=(4, 4, 2, 1))[0]
        asked = chance.choices(list(MODELS), weights=(5, 3, 2))[0]
        left = 1 - spent[name] / limit[name]
        level = sum(left < below for below in (0.5, 0.2, 0.05))
        served = {0: asked, 1: {"large": "medium", "medium": "small"}.get(asked, asked)}.get(level, "small")
        base = (
            chance.uniform(0.6, 1.6)
            * {"acme": 95, "globex": 190, "initech": 55, "umbrella": 60}[name]
            * 1_000_000
        )
        cost = int(base * PRICE[served] / 100)
        common: dict[str, Any] = {
            "tenant": name,
            "at_us": at_us,
            "asked": asked,
            "level": level,
            "ratio": max(0.0, left),
        }
        if spent[name] + cost > limit[name] or (level == 3 and chance.random() < 0.8):
            code = "outlay_credit_exhausted" if name == "initech" else "outlay_budget_exhausted"
            code = (
                "outlay_priority_refused"
                if level == 3 and name != "initech" and chance.random() < 0.6
                else code
            )
            play(app, Call(**common, outcome="refused", code=code, task=chance.choice(TASKS)))
            continue
        outcome = "served" if chance.random() > 0.02 else "broken"
        play(app, Call(**common, served=served, cost_nanos=cost, outcome=outcome, task=chance.choice(TASKS)))
        spent[name] += cost
    app.circuit.halt("tenant:umbrella", "runaway loop in the nightly job", "ana", now_us - 20 * MINUTE_US)
