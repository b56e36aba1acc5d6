"""
Evidence is counted when there is something new, soon enough and not too often.
"""

from typing import Any

import pytest
from sqlalchemy import event

from outlay.clock import now_us
from outlay.evidence import KEPT_OF_ALL_S, KEPT_S, RECOUNTED_S, EvidenceStore, wanted
from outlay.learned.from_scores import read_scores
from outlay.scores_sql import Score
from outlay.wiring import App
from router.policy import Policy, load_policy
from router.types import Counts

HAIKU = "claude-haiku-5-5"
TEXT = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
classifier = "KIND"
"""
POLICY = load_policy(TEXT.replace("KIND", "learned"))


class Seconds:
    """A clock that only the test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    """The clock of the store."""
    return Seconds()


@pytest.fixture
def store(app: App, seconds: Seconds) -> EvidenceStore:
    """The evidence of this process."""
    return EvidenceStore(app.scores, seconds)


@pytest.fixture
def statements(app: App) -> list[str]:
    """Every statement from now on."""
    seen: list[str] = []
    event.listen(app.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    return seen


def put(app: App, name: str, tenant: str = "acme", score_ppm: int = 1_000_000) -> None:
    """Write a score of a downgraded call."""
    made = Score(
        name, f"d-{name}", tenant, "mail", "small", "large", HAIKU, True, score_ppm, 1_000_000, "user", "",
        "test", now_us(),
    )  # fmt: skip
    assert app.scores.add(made)


def look(app: App, store: EvidenceStore, policy: Policy = POLICY) -> Any:
    """Read the evidence of acme as a call would."""
    with app.reading() as connection:
        return store.of(connection, policy, "acme", now_us())


def test_a_policy_that_asks_for_no_proof_costs_nothing(
    app: App, store: EvidenceStore, statements: list[str]
) -> None:
    """With the table alone nothing is read."""
    table = load_policy(TEXT.replace("KIND", "table"))
    assert not wanted(table)
    assert look(app, store, table) is None
    assert not [text for text in statements if "outlay_score" in text]


def test_a_new_score_is_heeded_soon(app: App, store: EvidenceStore, seconds: Seconds) -> None:
    """What was counted stands for some seconds, then a new score is seen."""
    put(app, "one")
    assert look(app, store)["mail"].models == {HAIKU: Counts(1, 0)}
    put(app, "two", score_ppm=0)
    seconds.now += KEPT_S - 0.1
    assert look(app, store)["mail"].n == 1
    seconds.now += 0.2
    found = look(app, store)["mail"]
    assert (found.n, found.failed) == (2, 1)


def test_without_a_new_score_nothing_is_counted_again(
    app: App, store: EvidenceStore, seconds: Seconds, statements: list[str]
) -> None:
    """Only the newest is looked up; after an hour all are counted, as old ones leave the window."""
    put(app, "one")
    look(app, store)
    del statements[:]
    for _ in range(3):
        seconds.now += KEPT_S + 1
        assert look(app, store)["mail"].n == 1
    assert not [text for text in statements if "ROW_NUMBER" in text]
    seconds.now += RECOUNTED_S
    look(app, store)
    assert [text for text in statements if "ROW_NUMBER" in text]


def test_others_are_kept_apart_and_longer(app: App, store: EvidenceStore, seconds: Seconds) -> None:
    """Their experience is the global table; it need not be fresh."""
    put(app, "one")
    put(app, "theirs", tenant="beta", score_ppm=0)
    found = look(app, store)["mail"]
    assert (found.n, found.failed, found.others) == (1, 0, {HAIKU: Counts(1, 1)})
    put(app, "more", tenant="beta")
    put(app, "two")
    seconds.now += KEPT_S + 1
    assert look(app, store)["mail"].others[HAIKU].n == 1
    seconds.now += KEPT_OF_ALL_S
    put(app, "three")
    assert look(app, store)["mail"].others[HAIKU].n == 2


def test_what_takes_long_is_kept_longer(app: App, seconds: Seconds) -> None:
    """A count that took a second stands for 200."""

    class Slow:
        """Scores that take their time."""

        def __getattr__(self, name: str) -> Any:
            return getattr(app.scores, name)

        def counted(self, *args: Any) -> Any:
            """Count, while the clock goes on."""
            seconds.now += 1
            return app.scores.counted(*args)

    store = EvidenceStore(Slow(), seconds)  # type: ignore[arg-type]
    put(app, "one")
    look(app, store)
    put(app, "two")
    seconds.now += 199
    assert look(app, store)["mail"].n == 1
    seconds.now += 2
    assert look(app, store)["mail"].n == 2


def test_training_tells_the_answers_of_several_models_to_one_call_apart(app: App) -> None:
    """One judge scored what served and what was tried beside it: neither verdict hides the other."""
    common = {"weight_ppm": 1_000_000, "source": "user", "comment": "", "actor": "test"}
    for number, (tier, model, below, ppm) in enumerate(
        (("large", "claude-opus-5-5", False, 1_000_000), ("small", HAIKU, True, 0))
    ):
        made = Score(
            id=f"s{number}", decision_id="d", tenant="acme", task_class="mail", served_tier=tier,
            asked_tier="large", served_model=model, downgraded=below, score_ppm=ppm, at_us=now_us() + number,
            **common,
        )  # fmt: skip
        assert app.scores.add(made)
    with app.reading() as connection:
        found = read_scores(connection, "acme")
    assert sorted((one.downgraded, one.value) for one in found) == [(False, 1.0), (True, 0.0)]
