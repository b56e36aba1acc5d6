"""
Training on a tenant's own scored calls: prompts from a file, scores from the books, both tiers' answers.
"""

from pathlib import Path

import pytest

from outlay.admin import classifiers
from outlay.admin.policies import apply_policy
from outlay.admin.quality import score
from outlay.admin.tenants import create_tenant
from outlay.calls import CallRequest, Completed, Link
from outlay.client import Calls
from outlay.errors import BadInput, Rejected
from outlay.learned.examples import Example
from outlay.learned.from_prompts import Asked, join, read_prompts
from outlay.wiring import App
from router.types import Hints

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.medium]
models = ["claude-sonnet-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
[routing.tasks]
mail = { tier = "small" }
"""


@pytest.fixture
def tenant(app: App) -> str:
    """A tenant with credit, whose calls of task mail are lowered to the small tier."""
    create_tenant(app, "acme", credit="50", actor="test")
    apply_policy(app, POLICY, actor="test")
    return "acme"


def called(app: App, count: int = 1, task: str = "mail", **more: object) -> list[str]:
    """Make calls that ask for the large model; their decisions."""
    calls, found = Calls(app), []
    for number in range(count):
        body = {
            "model": OPUS,
            "max_tokens": 9,
            "messages": [{"role": "user", "content": f"question {number}"}],
        }
        call = calls.start(CallRequest("acme", body, hints=Hints(task=task), **more))  # type: ignore[arg-type]
        sending = call.sending
        assert sending is not None
        call.resume(Completed(sending.model, {"input_tokens": 5, "output_tokens": 5}))
        found.append(sending.decision_id)
    calls.close()
    return found


def joined(app: App, *ids: str, policy: str = POLICY) -> tuple[tuple[Example, ...], dict[str, int]]:
    """What becomes of a prompt of each decision."""
    apply_policy(app, policy, actor="test")
    with app.reading() as connection:
        rules = app.policies.applied(connection, "acme").policy
        found = join(connection, "acme", rules, [Asked(one, f"prompt of {one}") for one in ids])
    return found.examples, dict(found.left_out)


def test_prompts_and_scores_become_a_classifier(app: App, tenant: str, tmp_path: Path) -> None:
    """Served by the small tier, tried on the large one, both scored: sixty such calls are sixty examples."""
    ids = called(app, 60)
    for place, decision in enumerate(ids):
        score(app, decision, place % 2 == 0, actor="test")
        score(app, decision, "pass", model=OPUS, source="offline", actor="test")
    file = tmp_path / "prompts.csv"
    lines = (f"{one},{'greet' if n % 2 == 0 else 'prove'} number {n}" for n, one in enumerate(ids))
    file.write_text("decision,prompt\n" + "\n".join(lines) + "\nno-such-one,hello\n")
    made = classifiers.train_on_prompts(app, read_prompts(str(file)), tenant=tenant, actor="test")
    assert made["tenant"] == "acme"
    assert made["quality"]["examples"] == made["joined"]["examples"] == 60
    assert (made["quality"]["weak"], made["quality"]["strong"]) == (0.5, 1.0)
    assert made["joined"]["left_out"] == {"unknown_decision": 1}
    assert "60 of 61 rows with scores for both tiers; 1 without a decision" in made["joined"]["text"]
    assert list(classifiers.show_classifier(app, made["version"])["classes"]) == ["mail"]


def test_what_cannot_be_joined_is_counted_by_why(app: App, tenant: str) -> None:
    """No decision of this tenant, no score, a score of one side only: nothing is guessed."""
    bare, small, large, both = called(app, 4)
    for decision in (small, both):
        score(app, decision, 0.2, actor="test")
    for decision in (large, both):
        score(app, decision, 0.9, model=OPUS, actor="test")
    create_tenant(app, "zeta", credit="5", actor="test")
    examples, left_out = joined(app, bare, small, large, both, "nothing")
    assert examples == (Example(f"prompt of {both}", "mail", 0.2, 0.9),)
    assert left_out == {"no_score": 1, "no_larger_tier": 1, "no_smaller_tier": 1, "unknown_decision": 1}
    with app.reading() as connection:
        rules = app.policies.applied(connection, "zeta").policy
        assert join(connection, "zeta", rules, [Asked(both, "p")]).left_out == {"unknown_decision": 1}


def test_the_newest_of_each_judge_counts_by_its_weight(app: App, tenant: str) -> None:
    """Two judges of the small tier's answer, one of whom changed his mind."""
    (one,) = called(app)
    score(app, one, "fail", source="judge", actor="test")
    score(app, one, "pass", source="judge", actor="test")
    score(app, one, "fail", source="user", weight="0.25", actor="test")
    score(app, one, "pass", model=OPUS, actor="test")
    ((example,), _) = joined(app, one)
    assert (example.weak, example.strong) == (0.8, 1.0)  # (1 x 1 + 0 x 0.25) / 1.25


def test_tiers_that_the_policy_names_count_alone(app: App, tenant: str) -> None:
    """Of three tiers' answers the highest and the lowest, else those of [routing.learned]."""
    (one,) = called(app)
    score(app, one, 0.1, actor="test")
    score(app, one, 0.5, model=SONNET, actor="test")
    score(app, one, 0.9, model=OPUS, actor="test")

    def scores(rule: str) -> tuple[float, float] | dict[str, int]:
        examples, left_out = joined(app, one, policy=f"{POLICY}[routing.learned]\n{rule}")
        return (examples[0].weak, examples[0].strong) if examples else left_out

    assert scores("") == (0.1, 0.9)
    assert scores('smaller = "medium"') == (0.5, 0.9)
    assert scores('larger = "medium"') == (0.1, 0.5)
    renamed = POLICY.replace("tiers.small", "tiers.tiny").replace('"small"', '"tiny"')
    assert joined(app, one, policy=renamed)[0][0].weak == 0.1


def test_attempts_of_one_call_are_compared(app: App, tenant: str) -> None:
    """A cascade's cheap attempt and the one that came after have decisions of their own, and one prompt."""
    (first,) = called(app)
    (second,) = called(app, task="law", link=Link(parent=first, attempt=1))
    score(app, first, "fail", actor="test")
    score(app, second, "pass", actor="test")
    for named in (first, second):
        ((example,), _) = joined(app, named)
        assert (example.prompt, example.weak, example.strong) == (f"prompt of {named}", 0.0, 1.0)


def test_too_few_joined_rows_are_refused_with_their_counts(app: App, tenant: str) -> None:
    """Whoever brings the file learns what to score."""
    (one,) = called(app)
    asked = [Asked(one, "p"), Asked("nothing", "q")]
    with pytest.raises(Rejected, match=r"0 of 2 rows .*; 1 without a score; 1 without a decision") as refused:
        classifiers.train_on_prompts(app, asked, tenant=tenant, actor="test")
    assert refused.value.code == "examples_refused"
    with pytest.raises(Rejected, match="nobody"):
        classifiers.train_on_prompts(app, asked, tenant="nobody", actor="test")


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("decision,prompt\n,hello\n", "{file}, row 2: decision", "is not the id"),
        ("prompt,note\nhello,x\n", "file", "has no column decision; its columns: prompt, note"),
        ("call_id,text\nd1,hello\n", "file", "has no column prompt; its columns: call_id, text"),
        (f"decision,prompt\n{'d' * 201},hello\n", "{file}, row 2: decision", "is not the id"),
        ("decision,prompt\nd1,hello\nd2,\n", "{file}, row 3: prompt", "is not a text"),
        ("decision,prompt\nd1,hello\nd2,a\nd1,b\n", "{file}, row 4: decision", "row 2 already"),
        ('{"decision": 7, "prompt": "hello"}', "{file}, row 1: decision", "is not the id"),
        ('{"decision": "d1"', "{file}:1", "no JSON object"),
        ("decision,prompt\n", "file", "has no rows"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path: Path, text: str, field: str, said: str) -> None:
    """File, row, field and fix; nothing is skipped silently."""
    file = tmp_path / "prompts"
    file.write_text(text)
    with pytest.raises(BadInput, match=said) as refused:
        read_prompts(str(file))
    assert refused.value.field == field.format(file=file)
    assert "outlay-decision-id" in str(refused.value) or "once" in str(refused.value)


def test_prompts_are_read_from_csv_and_json_lines(tmp_path: Path) -> None:
    """Quoted line breaks stay; the id may stand under the names that exports give it."""
    file = tmp_path / "prompts"
    file.write_text('call_id,prompt\nd1,"two\nlines"\n')
    assert read_prompts(str(file)) == [Asked("d1", "two\nlines")]
    file.write_text('{"decision_id": "d1", "prompt": "hello"}\n')
    assert read_prompts(str(file)) == [Asked("d1", "hello")]
