"""
What training proposes to promise: kept on calls that it never saw, and only as far as anything is proven.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from outlay.admin import classifiers
from outlay.admin.policies import apply_policy, validate_policy
from outlay.admin.tenants import create_tenant
from outlay.calls import CallRequest, Completed
from outlay.client import Calls
from outlay.learned import parts
from outlay.learned.examples import Example
from outlay.learned.proposals import PROMISES, proposals
from outlay.learned.train import train
from outlay.wiring import App
from router.learned_read import read_model
from router.types import Hints

KINDS = {"greet the guest": 0.01, "sum the bill": 0.08, "prove the claim": 0.6}
"""How often the small tier fails at each."""
TREES = ["oak", "elm", "ash", "fir", "yew"]
POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
classifier = "learned"
[routing.learned]
max_risk = {risk}
[routing.calibration]
required = []
max_failed_ratio = 0.10
"""


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Fewer trees: the tests are about what is done with them."""
    kept, parts.TREES = parts.TREES, 8
    yield
    parts.TREES = kept


def examples(count: int, seed: int = 0) -> list[Example]:
    """Prompts of three kinds, which the large tier gets right nearly always."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        kind = chance.choice(list(KINDS))
        strong, weak = float(chance.random() < 0.97), float(chance.random() >= KINDS[kind])
        text = f"{kind} of {chance.choice(TREES)} number {chance.randrange(10**6)}"
        made.append(Example(text, "mail", weak, strong))
    return made


def served_small(app: App, rows: list[Example]) -> list[Example]:
    """The rows whose calls the policy in force sends to the small tier."""
    calls, found = Calls(app), []
    for row in rows:
        body = {
            "model": "outlay/auto",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": row.prompt}],
        }
        call = calls.start(CallRequest("acme", body, hints=Hints(task=row.task_class)))
        assert call.sending is not None
        model = call.sending.model
        call.resume(Completed(model, {"input_tokens": 5, "output_tokens": 5}))
        found += [row] if model == "claude-haiku-5-5" else []
    calls.close()
    return found


def failed(rows: list[Example]) -> int:
    """How often the small tier's answer is wrong where the large one's is right."""
    return sum(row.weak < 0.5 <= row.strong for row in rows)


def test_a_policy_with_what_was_proposed_keeps_the_promise_on_other_calls(app: App) -> None:
    """Of calls it never saw about the share that was told goes down, and no more of them fail."""
    create_tenant(app, "acme", credit="50", actor="test")
    rows = examples(750)
    made = classifiers.train_classifier(app, rows[:500], tenant="acme", actor="test")
    proposed = {one["promise"]: one for one in made["quality"]["proposals"]}
    assert tuple(proposed) == PROMISES
    tenth = proposed[0.10]
    assert tenth["state"] == "proven"
    assert 0.5 < tenth["share"] < 0.8  # two of the three kinds
    assert tenth["failed"] <= 0.10 * tenth["n"]
    apply_policy(app, POLICY.format(risk=tenth["max_risk"]), actor="test")
    small = served_small(app, rows[500:])
    assert len(small) / 250 == pytest.approx(tenth["share"], abs=0.06)
    assert failed(small) <= 0.10 * len(small)
    assert failed(rows[500:]) > 0.15 * 250  # without a classifier the promise would be broken
    shown = classifiers.show_classifier(app, made["version"])
    assert shown["quality"]["proposals"] == made["quality"]["proposals"]


def test_the_policy_is_warned_of_more_risk_than_is_proven(app: App) -> None:
    """Up to what was proposed for the promise of the policy, or for a stricter one, nothing is said."""

    def warned(risk: float, promise: str = "0.10") -> list[str]:
        text = POLICY.format(risk=risk).replace("ratio = 0.10", f"ratio = {promise}")
        found = validate_policy(text, app=app)["warnings"]
        return [one for one in found if one.startswith("routing.learned.max_risk")]

    made = classifiers.train_classifier(app, examples(500), actor="test")
    most = {one["promise"]: one["max_risk"] for one in made["quality"]["proposals"]}
    assert warned(most[0.10]) == warned(most[0.10], "0.12") == []
    over = warned(most[0.10] + 0.01)
    assert "max_failed_ratio = 0.1 only up to" in over[0]
    assert f"outlay classifier show {made['version']}" in over[0]
    assert "at no risk" in warned(0.01, "0.01")[0]


def test_what_was_learned_by_heart_promises_nothing() -> None:
    """Where failures are luck, a model knows those of its own rows; only rows it does not know may speak."""
    chance = random.Random(5)
    words = [f"w{n}" for n in range(400)]
    rows = [
        Example(" ".join(chance.choices(words, k=8)), "mail", float(chance.random() > 0.3), 1.0)
        for _ in range(500)
    ]
    made = train(rows)
    model = read_model(made.weights)
    by_heart = proposals([(model.score(row.prompt, "mail").risk, row.weak < 0.5) for row in rows])
    assert by_heart[1]["state"] == "proven"  # what it would promise of its own rows
    assert [one["state"] for one in made.quality["proposals"][:4]] == ["infeasible"] * 4


def test_what_is_foreign_goes_to_the_large_tier_and_is_counted_in_the_share() -> None:
    """A class of nine examples is foreign: its calls are no part of the proof, but of all calls they are."""
    rows = examples(500)
    rare = [replace(row, task_class="rare") for row in examples(9, seed=1)]
    whole, with_rare = train(rows).quality["proposals"][-1], train([*rows, *rare]).quality["proposals"][-1]
    assert with_rare["share"] <= with_rare["n"] / 509 + 1e-4
    assert with_rare["n"] <= whole["n"] + 5


def test_a_prompt_that_is_repeated_counts_once() -> None:
    """Five hundred rows of fifty prompts are fifty trials; one of them failed where any of its rows did."""
    rows = examples(50)
    once = train(rows).quality["proposals"]
    often = train([row for row in rows for _ in range(10)]).quality["proposals"]
    assert {one["n"] <= 50 for one in (*once, *often)} == {True}
    assert often[0]["max_risk"] is None


def test_few_examples_promise_little_and_say_why() -> None:
    """Fifty passes do not prove 5 %; a small tier that always fails is infeasible however many there are."""
    fifty = proposals([(n / 50, False) for n in range(50)])
    assert (fifty[0]["state"], fifty[0]["max_risk"], fifty[0]["share"]) == ("not_enough", None, 0.0)
    assert (fifty[-1]["state"], fifty[-1]["share"]) == ("proven", 1.0)
    never = proposals([(n / 900, True) for n in range(900)])
    assert {one["state"] for one in never} == {"infeasible"}
    assert {one["state"] for one in proposals([(None, False)] * 900)} == {"not_enough"}


def test_what_is_infeasible_at_a_share_is_so_at_every_smaller_one() -> None:
    """And what is proven at one is so at every larger one, however many calls there are and whoever fails."""
    for calls in (1, 7, 20, 30, 40, 60, 80, 120, 400):
        for fails in (1, 2, 3, 6, 9, 15):
            for passing in (0.0, 0.1, 0.3, 0.5):  # a share of calls of the lowest scores that never fail
                rated = [(n / calls, n >= passing * calls and n % fails == 0) for n in range(calls)]
                states = [one["state"] for one in proposals(rated)]
                order = ["infeasible", "not_enough", "proven"]
                assert states == sorted(states, key=order.index), (calls, fails, passing)


def test_what_more_such_calls_would_prove_is_not_called_infeasible() -> None:
    """The lower half never fails: 30 calls are too few for 10 %, and the walk that waits for more fails."""
    few, many = (
        [one["state"] for one in proposals([(n / of, n >= of / 2) for n in range(of)])] for of in (60, 400)
    )
    assert few[:2] == ["not_enough"] * 2
    assert many == ["proven"] * 5
