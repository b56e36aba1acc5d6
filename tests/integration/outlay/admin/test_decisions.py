"""
Decisions: explained whatever state their call is in, listed in pages.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ledger.types import Offer, Reserve, Sweep
from outlay.admin import books, decisions, policies, tenants
from outlay.calls import Completed, Failed, NotSent
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected
from outlay.fields import instant_text, instant_us
from outlay.wiring import App
from router.types import Hints

MakeCall = Callable[..., str]
Tamper = Callable[[str], None]
AFTER_ALL_US = 10_000 * 1_000_000


def test_a_served_call_is_explained(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    The explanation has who asked and served, why, the offers, the hold and the settlement; money is text.
    """
    told = decisions.explain(app, make_call())
    assert (told["recorded"], told["outcome"], told["tenant"]) == (True, "served", "acme")
    assert told["asked"] == {"model": "claude-opus-5-5", "tier": "large"}
    assert told["served"]["model"] == "claude-opus-5-5"
    assert told["reasons"][0]["code"] == "asked_model"
    assert told["offers"][0]["cost_bound_usd"] == told["hold"]["cost_bound_usd"] == told["held_usd"]
    assert told["settlement"]["cost_usd"] == told["cost_usd"]
    assert float(told["cost_usd"]) > 0
    assert (told["hold"]["state"], told["policy_version"], told["policy_tenant"]) == ("settled", 0, None)
    assert told["at"][-6:] in ("+01:00", "+02:00")
    assert "_nanos" not in json.dumps(told)
    assert '_us"' not in json.dumps(told)


def test_a_call_in_flight_is_explained_by_its_hold(
    app: App, acme: dict[str, Any], make_call: MakeCall
) -> None:
    """
    Before its end, a call is explained by the plan of its hold.
    """
    told = decisions.explain(app, make_call(outcome=None))
    assert (told["recorded"], told["outcome"], told["finished_at"]) == (False, "in_flight", None)
    assert told["served"]["model"] == "claude-opus-5-5"
    assert told["reasons"][0]["code"] == "asked_model"
    assert (told["hold"]["state"], told["settlement"]) == ("open", None)


def test_a_call_whose_owner_died_is_explained(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    A captured hold has its record and a settlement at the whole hold.
    """
    decision_id = make_call(outcome=None)
    app.ledger.do(Sweep("acme", "sweep", now_us() + AFTER_ALL_US))
    told = decisions.explain(app, decision_id)
    assert (told["recorded"], told["outcome"], told["hold"]["state"]) == (True, "uncertain", "expired")
    assert told["settlement"]["charge_usd"] == told["hold"]["amount_usd"]


@pytest.mark.parametrize(
    "plan", ["", "not json", "[]", "{}", '{"id": 1, "offer": 7}', '{"offer": 0, "id": "x", "offers": "["}']
)
def test_a_hold_with_any_plan_is_explained(app: App, acme: dict[str, Any], plan: str) -> None:
    """
    Whatever plan somebody gave a hold, it is shown and nothing fails.
    """
    hold = Reserve("acme", "k", now_us(), "some-hold", (Offer(1_000, 1_000, plan),), request_hash="x")
    app.ledger.do(hold)
    told = decisions.explain(app, "some-hold")
    assert (told["id"], told["recorded"], told["hold"]["state"]) == ("some-hold", False, "open")
    assert told["plan"] == plan


def test_failures_and_refusals_are_explained(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    An error of the provider costs nothing; its hold is released and says why.
    """
    failed = decisions.explain(app, make_call(outcome=Failed(529, "overloaded_error")))
    assert (failed["outcome"], failed["cost_usd"], failed["settlement"]) == ("failed", "0.00", None)
    assert (failed["hold"]["state"], failed["hold"]["released_for"]) == ("released", "overloaded_error")
    unsent = decisions.explain(app, make_call(outcome=NotSent("refused connection")))
    assert (unsent["outcome"], unsent["code"]) == ("failed", "not_sent")
    tenants.create_tenant(app, "poor", actor="t")
    refused = decisions.explain(app, make_call("poor"))
    assert (refused["outcome"], refused["code"]) == ("refused", "outlay_credit_exhausted")
    assert (refused["hold"], refused["settlement"], refused["served"]) == (None, None, None)


def test_what_is_not_there(app: App, acme: dict[str, Any]) -> None:
    """
    An unknown decision is refused, and no text makes the question fail otherwise.
    """
    for wanted in ("nothing", "acme", "x" * 200):
        with pytest.raises(Rejected) as caught:
            decisions.explain(app, wanted)
        assert caught.value.code == "unknown_decision"
    for wanted in ("", None, 5, "x" * 201, "a\x00"):
        with pytest.raises(BadInput, match="decision"):
            decisions.explain(app, wanted)  # type: ignore[arg-type]


def test_decisions_are_listed_in_pages(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    Pages follow each other without gap or repeat, newest first, and the last one says so.
    """
    tenants.create_tenant(app, "beta", credit="5", actor="t")
    made = [make_call() for _ in range(5)]
    other = make_call("beta")
    make_call(outcome=None)
    seen: list[str] = []
    before = None
    while True:
        page = decisions.list_decisions(app, tenant="acme", limit=2, before=before)
        seen += [row["id"] for row in page["decisions"]]
        before = page["next"]
        if before is None:
            break
    assert seen == made[::-1]
    assert decisions.list_decisions(app)["decisions"][0]["id"] == other
    failed = make_call(outcome=Failed(500))
    assert [row["id"] for row in decisions.list_decisions(app, outcome="failed")["decisions"]] == [failed]
    row = decisions.list_decisions(app, tenant="beta")["decisions"][0]
    assert row["reasons"][0]["code"] == "asked_model"
    assert row["at"].endswith("+00:00")


def test_a_rare_outcome_is_looked_for_in_stretches(
    app: App, acme: dict[str, Any], make_call: MakeCall
) -> None:
    """
    A page that ended before it was full says how far back it looked, and `next` goes on from there.
    """
    old = make_call(outcome=Failed(500))
    plain = [make_call() for _ in range(6)]
    pages, before = [], None
    while not pages or before is not None:
        page = decisions.list_decisions(app, outcome="failed", before=before, look_s=0.0, stretch=4)
        pages.append(page)
        before = page["next"]
    assert [[row["id"] for row in page["decisions"]] for page in pages] == [[], [old]]
    reached = decisions.explain(app, pages[0]["next"])
    assert reached["id"] == plain[1]
    assert pages[0]["looked_to"] == instant_text(instant_us(reached["at"], "at", "UTC"), "UTC")
    assert pages[1]["looked_to"] is None


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("limit", {"limit": 0}),
        ("limit", {"limit": 1_001}),
        ("limit", {"limit": "5"}),
        ("outcome", {"outcome": "good"}),
        ("before", {"before": ""}),
        ("tenant", {"tenant": "*"}),
    ],
)
def test_bad_pages(app: App, field: str, change: dict[str, Any]) -> None:
    """
    What cannot be listed is named.
    """
    with pytest.raises(BadInput) as caught:
        decisions.list_decisions(app, **change)
    assert caught.value.field == field
    with pytest.raises(Rejected, match="no decision"):
        decisions.list_decisions(app, before="nothing")


def test_a_session_remembers_its_models(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    The newest served call of a session gives model and prompt size; other sessions and tenants do not.
    """
    tenants.create_tenant(app, "beta", credit="5", actor="t")
    usage = {
        "input_tokens": 100,
        "output_tokens": 5,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 3,
    }
    make_call(hints=Hints(session="s1"))
    make_call(hints=Hints(session="s1"), outcome=Completed("claude-opus-5-5", usage))
    make_call(hints=Hints(session="s1"), outcome=Failed(500))
    make_call("beta", hints=Hints(session="s2"))
    with app.reading() as connection:
        session = decisions.list_decisions(app, tenant="acme")["decisions"][0]["session"]
        memory = app.sessions.memory(connection, "acme", session)
        assert memory is not None
        assert (memory.last_model, memory.cached_tokens) == ("claude-opus-5-5", 23)
        assert memory.models == {"claude-opus-5-5"}
        assert memory.last_us > 0
        assert app.sessions.memory(connection, "beta", session) is None
        assert app.sessions.memory(connection, "acme", "other") is None


def test_books_that_are_right_verify(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    After calls of every end, all checks hold.
    """
    make_call()
    make_call(outcome=Failed(500))
    make_call(outcome=None)
    told = books.verify(app)
    assert told["ok"], told["problems"]
    assert all(told["checks"].values())
    assert (told["tenants"], told["problems"]) == (1, [])
    assert told["transfers"] >= 2
    assert {"circuit", "decisions", "policies", "chain"} <= set(told["checks"])


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("UPDATE outlay_decision SET hold_id = 'gone'", "decisions"),
        ("UPDATE outlay_decision SET cost_nanos = cost_nanos - 1", "decisions"),
        ("UPDATE outlay_decision SET tenant = 'beta'", "decisions"),
        ("DELETE FROM outlay_policy WHERE version = 1", "policies"),
        ("UPDATE circuit_state SET reason = 'nothing'", "circuit"),
        ("UPDATE ledger_account SET wallet = wallet + 1", "lots"),
    ],
)
def test_books_that_were_changed_do_not_verify(
    app: App, acme: dict[str, Any], make_call: MakeCall, tamper: Tamper, change: str, check: str
) -> None:
    """
    A change by hand is found, and the check is named.
    """
    policy = '[tiers.only]\nmodels = ["claude-opus-5-5"]\n[routing]\ndefault_tier = "only"\n'
    policies.apply_policy(app, policy, actor="t")
    policies.apply_policy(app, policy, actor="t")
    app.circuit.halt("tenant:other", "why", "who", now_us())
    make_call()
    tamper(change)
    told = books.verify(app)
    assert told["ok"] is False
    assert told["checks"][check] is False
    assert any(problem.startswith(f"{check}: ") for problem in told["problems"])
