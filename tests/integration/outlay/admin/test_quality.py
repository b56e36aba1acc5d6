"""
Quality scores: attached to decisions, counted once each, and heeded by the router.
"""

from collections.abc import Callable
from typing import Any

import pytest

from outlay.admin import decisions, quality
from outlay.admin.policies import apply_policy
from outlay.admin.replay import replay
from outlay.admin.tenants import create_tenant
from outlay.calls import CallRequest
from outlay.client import Calls
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected
from outlay.scores_sql import Score, Scores
from outlay.wiring import App
from router.types import Counts, Hints

MakeCall = Callable[..., str]
DAY_US = 86_400 * 1_000_000
HAIKU, OPUS = "claude-haiku-5-5", "claude-opus-5-5"
TIERS = f"""
[tiers.large]
models = ["{OPUS}"]
[tiers.small]
models = ["{HAIKU}"]
[routing]
default_tier = "large"
"""
POLICY = f"""{TIERS}
[routing.tasks]
"crm/*" = {{ tier = "small" }}
"""
CLASSIFIED = (
    TIERS.replace("[routing]", '[routing]\nclassifier = "complexity"')
    + """
[routing.complexity]
trivial = { tier = "small" }
simple = { tier = "small" }
standard = { tier = "small" }
[routing.calibration]
required = ["complexity"]
"""
)


@pytest.fixture
def lowered(app: App, acme: dict[str, Any], make_call: MakeCall) -> Callable[[], str]:
    """Make a call that asks for the large tier and is served by the small one, as its task says."""
    apply_policy(app, POLICY, actor="tester")
    return lambda: make_call(hints=Hints(task="crm/summary"))


def counted(app: App, tenant: str = "acme", days: int = 90) -> Any:
    """The evidence of a tenant, by class and model."""
    with app.reading() as connection:
        return app.scores.counted(connection, tenant, now_us() - days * DAY_US)


def put(app: App, number: int, *, failed: bool = False, **more: Any) -> None:
    """Write a score of a downgraded call that needs no decision."""
    fields: dict[str, Any] = {
        "id": f"s{number}", "decision_id": f"d{number}", "tenant": "acme", "task_class": "crm/summary",
        "served_tier": "small", "asked_tier": "large", "served_model": HAIKU, "downgraded": True,
        "score_ppm": 0 if failed else 1_000_000, "weight_ppm": 1_000_000, "source": "user", "comment": "",
        "actor": "tester", "at_us": now_us(),
    }  # fmt: skip
    assert app.scores.add(Score(**{**fields, **more}))


def test_a_score_is_kept_as_it_was_given(app: App, lowered: Callable[[], str]) -> None:
    """Value, weight, source, comment and actor come back, and `explain` shows them."""
    decision_id = lowered()
    said = quality.score(
        app, decision_id, 0.8, source="judge", weight=0.5, comment="good enough", actor="ana"
    )
    assert (said["value"], said["weight"], said["source"], said["comment"]) == (
        0.8,
        0.5,
        "judge",
        "good enough",
    )
    assert (said["actor"], said["task_class"], said["downgraded"]) == ("ana", "crm/summary", True)
    (shown,) = decisions.explain(app, decision_id)["scores"]
    assert (shown["score"], shown["value"], shown["counts"]) == (said["score"], 0.8, True)
    assert quality.scores(app, decision_id)["scores"] == [shown]


def test_a_decision_is_one_trial_whoever_judges_it(app: App, lowered: Callable[[], str]) -> None:
    """Three judges are one call; the newest of each counts, by weight: (1 x 0.25 + 0 x 0.5) / 0.75 < 0.5."""
    decision_id = lowered()
    quality.score(app, decision_id, True, source="user", actor="ana")
    quality.score(app, decision_id, False, source="user", weight=0.5, actor="ana")
    assert counted(app) == {"crm/summary": {HAIKU: Counts(0.5, 0.5)}}
    quality.score(app, decision_id, True, source="check", weight=0.25, actor="ana")
    assert counted(app) == {"crm/summary": {HAIKU: Counts(0.75, 0.75)}}
    quality.score(app, decision_id, True, source="judge", actor="ana")
    assert counted(app) == {"crm/summary": {HAIKU: Counts(1, 0)}}
    kept = [one["counts"] for one in quality.scores(app, decision_id)["scores"]]
    assert kept == [False, True, True, True]


def test_one_half_is_a_pass(app: App, lowered: Callable[[], str]) -> None:
    """What fails is under 0.5."""
    for value in (0.5, 0.499999):
        quality.score(app, lowered(), value, actor="ana")
    assert counted(app) == {"crm/summary": {HAIKU: Counts(2, 1)}}


def test_only_downgraded_calls_are_evidence(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """A call that got what it asked for may be scored, but proves nothing."""
    asked = quality.score(app, make_call(), "pass", actor="ana")
    assert not asked["downgraded"]
    assert counted(app) == {}


def test_a_refused_call_has_no_answer_to_score(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """Nobody can have judged it; another model's answer, got elsewhere, may still be scored."""
    decision_id = make_call(hints=Hints(privacy="nowhere"))
    with pytest.raises(BadInput, match="no answer") as refused:
        quality.score(app, decision_id, "fail", actor="ana")
    assert refused.value.field == "decision"
    assert quality.scores(app, decision_id)["scores"] == []
    assert quality.score(app, decision_id, "fail", model=HAIKU, actor="ana")["model"] == HAIKU


def test_another_models_answer_to_the_same_call_is_evidence(
    app: App, acme: dict[str, Any], make_call: MakeCall
) -> None:
    """A cheaper model, tried beside the one that served, is a trial of its own; nobody was downgraded."""
    decision_id = make_call()
    quality.score(app, decision_id, "pass", actor="ana")
    tried = quality.score(app, decision_id, "fail", model=HAIKU, actor="ana")
    assert (tried["model"], tried["downgraded"]) == (HAIKU, True)
    (found,) = counted(app).values()
    assert found == {HAIKU: Counts(1, 1)}
    assert [one["counts"] for one in quality.scores(app, decision_id)["scores"]] == [True, True]
    with pytest.raises(BadInput, match="haiku") as refused:
        quality.score(app, decision_id, 1, model="claude-haiku-55", actor="ana")
    assert refused.value.field == "model"


def test_the_same_key_scores_once(app: App, lowered: Callable[[], str]) -> None:
    """Sent again it is answered again; with another value it is refused; another tenant's key is its own."""
    decision_id = lowered()
    first, again = (quality.score(app, decision_id, 1, idempotency_key="k", actor="ana") for _ in range(2))
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["score"] == first["score"]
    with pytest.raises(Rejected, match="another score") as refused:
        quality.score(app, decision_id, 0, idempotency_key="k", actor="ana")
    assert refused.value.code == "key_conflict"
    assert len(quality.scores(app, decision_id)["scores"]) == 1


def test_a_tenant_judges_its_own_calls_only(app: App, lowered: Callable[[], str]) -> None:
    """Another tenant's decision does not exist for it."""
    decision_id = lowered()
    for what in (
        lambda: quality.score(app, decision_id, 1, actor="x", of_tenant="other"),
        lambda: quality.scores(app, decision_id, of_tenant="other"),
        lambda: quality.score(app, "nothing", 1, actor="x"),
    ):
        with pytest.raises(Rejected) as refused:
            what()
        assert refused.value.code == "unknown_decision"
    assert quality.score(app, decision_id, 1, actor="x", of_tenant="acme")["replayed"] is False


@pytest.mark.parametrize("value", [-0.1, 1.1, "good", "nan", float("nan"), None, [], "", "1e400"])
def test_what_is_no_score_is_refused(app: App, lowered: Callable[[], str], value: object) -> None:
    """Refused with field and fix, and nothing is written."""
    decision_id = lowered()
    with pytest.raises(BadInput) as refused:
        quality.score(app, decision_id, value, actor="ana")
    assert refused.value.field == "score"
    assert quality.scores(app, decision_id)["scores"] == []


@pytest.mark.parametrize("weight", [0, -1, 1.01, True, "much"])
def test_what_is_no_weight_is_refused(app: App, lowered: Callable[[], str], weight: object) -> None:
    """A judge counts for something, and for one call at most."""
    with pytest.raises(BadInput) as refused:
        quality.score(app, lowered(), 1, weight=weight, actor="ana")
    assert refused.value.field == "weight"


def test_scores_grow_old(app: App, acme: dict[str, Any]) -> None:
    """What is older than the window no longer counts."""
    put(app, 1, at_us=now_us() - 89 * DAY_US)
    put(app, 2, at_us=now_us() - 91 * DAY_US)
    assert counted(app) == {"crm/summary": {HAIKU: Counts(1, 0)}}
    assert counted(app, days=92) == {"crm/summary": {HAIKU: Counts(2, 0)}}


def test_what_others_saw_is_kept_apart(app: App, acme: dict[str, Any]) -> None:
    """One tenant's evidence is its own; the global table has everybody's."""
    put(app, 1)
    put(app, 2, tenant="beta", failed=True)
    assert counted(app) == {"crm/summary": {HAIKU: Counts(1, 0)}}
    with app.reading() as connection:
        everybody = app.scores.counted_of_all(connection, 0)
    assert everybody["beta"] == {"crm/summary": {HAIKU: Counts(1, 1)}}


def test_the_state_of_each_class_is_told(app: App, acme: dict[str, Any]) -> None:
    """Proven, not enough, infeasible: with calls, failures, bound and what is needed."""
    apply_policy(app, POLICY, actor="tester")
    create_tenant(app, "beta", actor="tester")
    for number in range(29):
        put(app, number)
        put(app, 100 + number, task_class="mail", failed=number < 9)
    put(app, 200, tenant="beta", task_class="mail")
    found = quality.calibration(app)["classes"]
    assert [(row["tenant"], row["task_class"], row["tier"], row["state"]) for row in found] == [
        ("acme", "crm/summary", "small", "proven"),
        ("acme", "mail", "small", "infeasible"),
        ("beta", "mail", "small", "not_enough"),
    ]
    assert (found[0]["n"], found[0]["failed"], found[0]["needed"]) == (29, 0, 0)
    assert found[0]["bound"] <= 0.10
    assert found[1]["failed_ratio"] == pytest.approx(9 / 29)
    assert found[2]["needed"] > 28  # beta's own pass, and acme's failures delay its proof
    assert quality.calibration(app, "beta")["classes"] == found[2:]
    with pytest.raises(Rejected):
        quality.calibration(app, "nobody")


def test_a_classifier_waits_for_the_proof_and_then_acts(
    app: App, acme: dict[str, Any], make_call: MakeCall
) -> None:
    """The same call stays large without evidence and goes to the small tier with it; replay agrees."""
    apply_policy(app, CLASSIFIED, actor="tester")
    waiting = decisions.explain(app, make_call(hints=Hints(task="mail/spam")))
    assert waiting["served"]["tier"] == "large"
    told = {reason["code"]: reason for reason in waiting["reasons"]}
    assert told["downgrade_not_proven"]["numbers"]["needed"] == 29
    assert told["downgrade_not_proven"]["numbers"]["task_class"] == "mail/spam"
    for number in range(29):
        put(app, number, task_class="mail/spam")
    calls = Calls(app)  # a new process: the first one keeps what it has read for some seconds
    body = {"model": OPUS, "max_tokens": 1_000, "messages": [{"role": "user", "content": "hello"}]}
    try:
        sending = calls.start(CallRequest("acme", body, hints=Hints(task="mail/spam"))).sending
    finally:
        calls.close()
    assert sending is not None
    assert sending.model == HAIKU
    assert "downgrade_proven" in [reason.code for reason in sending.reasons]
    assert replay(app)["different"] == []


def test_of_very_many_scores_the_newest_count(app: App, acme: dict[str, Any]) -> None:
    """Counting stays quick: the oldest are left out."""
    for number in range(5):
        put(app, number, failed=number < 3, at_us=now_us() - (5 - number) * 1_000_000)
    with app.reading() as connection:
        found = Scores(app.engine, most=3).counted(connection, "acme", 0)
    assert found == {"crm/summary": {HAIKU: Counts(3, 1)}}
