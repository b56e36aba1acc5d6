"""
Trained classifiers in the database: stored once, found by tenant, used by calls.
"""

import json
from typing import Any

import pytest

from outlay.admin import classifiers
from outlay.admin.policies import apply_policy, rollback_policy, validate_policy
from outlay.admin.quality import score
from outlay.admin.tenants import create_tenant
from outlay.calls import CallRequest, Completed
from outlay.classifiers_sql import predicted
from outlay.client import Calls
from outlay.errors import Rejected
from outlay.learned.examples import Example
from outlay.learned.from_scores import Judged, table_model
from outlay.wiring import App
from router.learned import LearnedModel
from router.types import Hints

POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
classifier = "learned"
[routing.learned]
threshold = 0.3
[routing.calibration]
required = []
"""
BODY = {
    "model": "outlay/auto",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "summarise this mail"}],
}


def judged(weak: float, task: str = "mail") -> list[Judged]:
    """As many scores of downgraded calls as of others, which are always right."""
    return [Judged(task, down, weak if down else 1.0) for down in (True, False) for _ in range(30)]


def stored(app: App, monkeypatch: Any, tenant: str | None, weak: float) -> dict[str, Any]:
    """Train on given scores and store, for a tenant or for everybody."""
    model = table_model(judged(weak))
    monkeypatch.setattr(classifiers, "train", lambda _rows, _seed: model)
    return classifiers.train_classifier(app, [], tenant=tenant, actor="test")


def test_a_classifier_is_stored_once_and_never_changed(app: App, monkeypatch: Any) -> None:
    """The same weights have the same version; the table takes no change."""
    first, again = (stored(app, monkeypatch, None, 0.9) for _ in range(2))
    assert (first["version"], first["replayed"], again["replayed"]) == (again["version"], False, True)
    shown = classifiers.show_classifier(app, first["version"])
    assert shown["classes"]["mail"]["examples"] == 30
    assert shown["quality"]["ranking"] is None
    with pytest.raises(Rejected, match="there is no classifier"):
        classifiers.show_classifier(app, "nothing")


def test_a_tenants_own_goes_before_everybodys_and_no_other_tenants(app: App, monkeypatch: Any) -> None:
    """Newest of its own, else newest for everybody; another tenant's cannot even be named."""
    for name in ("acme", "zeta"):
        create_tenant(app, name, actor="test")
    own = stored(app, monkeypatch, "acme", 0.8)["version"]
    shared = stored(app, monkeypatch, None, 0.8)["version"]
    assert own.startswith("acme-")
    with app.reading() as connection:
        found = [app.classifiers.model(connection, name, None) for name in ("acme", "zeta")]
        assert [one.version for one in found if isinstance(one, LearnedModel)] == [own, shared]
        assert "not stored for this tenant" in str(app.classifiers.model(connection, "zeta", own))
        assert "not stored for this tenant" in str(app.classifiers.model(connection, "zeta", "nothing"))
    listed = classifiers.classifiers(app, "zeta")["classifiers"]
    assert [row["version"] for row in listed] == [shared]


@pytest.mark.parametrize(
    ("weak", "task", "model"),
    [
        (0.95, "mail", "claude-haiku-5-5"),
        (0.1, "mail", "claude-opus-5-5"),
        (0.95, "law", "claude-opus-5-5"),
    ],
    ids=["little to gain", "much to gain", "unknown task"],
)
def test_calls_are_routed_by_what_was_trained(
    app: App, monkeypatch: Any, weak: float, task: str, model: str
) -> None:
    """A task that training did not see is served by the larger tier."""
    create_tenant(app, "acme", credit="5", actor="test")
    version = stored(app, monkeypatch, "acme", weak)["version"]
    apply_policy(app, POLICY, actor="test")
    calls = Calls(app)
    call = calls.start(CallRequest("acme", BODY, hints=Hints(task=task)))
    assert call.sending is not None
    assert call.sending.model == model
    told = json.dumps([reason.numbers for reason in call.sending.reasons], default=dict)
    assert version in told
    call.resume(Completed(model, {"input_tokens": 5, "output_tokens": 5}))
    calls.close()


def test_own_scores_teach_what_they_can(app: App) -> None:
    """Scored decisions give a table of task classes, and say that nothing can be ranked by it."""
    create_tenant(app, "acme", credit="5", actor="test")
    apply_policy(app, POLICY.replace('"learned"', '"table"'), actor="test")
    calls = Calls(app)
    for served in range(24):
        named = "claude-opus-5-5" if served % 2 else "outlay/auto"
        call = calls.start(CallRequest("acme", {**BODY, "model": named}, hints=Hints(task="mail")))
        sending = call.sending
        assert sending is not None
        call.resume(Completed(sending.model, {"input_tokens": 5, "output_tokens": 5}))
        score(app, sending.decision_id, "pass", actor="test")
    calls.close()
    with pytest.raises(Rejected, match="0 scores of downgraded calls and 24 of others"):
        classifiers.train_on_scores(app, "acme", actor="test")


def test_a_useless_classifier_serves_only_where_it_is_named(app: App, monkeypatch: Any) -> None:
    """Neither the newest nor a tenant's own goes before one of use; alone it counts as none."""
    create_tenant(app, "acme", actor="test")
    kept = classifiers.train
    same = [Example(f"prompt {n}", "mail", 1.0, 1.0) for n in range(60)]
    useless = classifiers.train_classifier(app, same, tenant="acme", actor="test")
    assert (useless["automatic"], len(useless["warnings"])) == (False, 1)
    assert f'[routing.learned] version = "{useless["version"]}"' in useless["warnings"][0]

    def used(version: str | None = None) -> str:
        with app.reading() as connection:
            found = app.classifiers.model(connection, "acme", version)
        return found if isinstance(found, str) else found.version

    assert used() == "no classifier of use has been trained"
    assert used(useless["version"]) == useless["version"]
    shared = stored(app, monkeypatch, None, 0.8)
    assert (shared["automatic"], used()) == (True, shared["version"])
    monkeypatch.setattr(classifiers, "train", kept)
    other = [Example(f"other {n}", "mail", 1.0, 1.0) for n in range(60)]
    assert classifiers.train_classifier(app, other, tenant="acme", actor="test")["automatic"] is False
    assert used() == shared["version"]


def test_what_cannot_be_read_says_nothing() -> None:
    """A missing model is a reason, not an error."""
    said = predicted("no classifier has been trained", None, "hello", "mail")
    assert (said.gain, said.why) == (None, "no classifier has been trained")


def test_a_policy_whose_classifier_is_not_there_is_warned_of(app: App, monkeypatch: Any) -> None:
    """Without a classifier, or with one that is not stored, calls go to the larger tier: said at once."""

    def warned(text: str) -> list[str]:
        found = validate_policy(text, app=app)["warnings"]
        return [one for one in found if one.startswith("routing.") and "classifier" in one]

    assert "no classifier has been trained for everybody" in warned(POLICY)[0]
    stored(app, monkeypatch, None, 0.9)
    assert warned(POLICY) == []
    named = POLICY.replace("threshold = 0.3", 'threshold = 0.3\nversion = "nope"')
    assert warned(named)[0].startswith("routing.learned.version: classifier nope is not stored")
    assert warned(named.replace('classifier = "learned"', "")) == []
    applied = apply_policy(app, named, actor="test")
    assert warned(named)[0] in applied["warnings"]
    assert warned(named)[0] in rollback_policy(app, applied["version"], actor="test")["warnings"]
