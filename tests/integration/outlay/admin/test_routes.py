"""
What is said of a route: where pacing may lead, which steps bound it, what is left to a classifier.
"""

from typing import Any

import pytest

from outlay.admin import policies
from outlay.admin.routes import show_route
from outlay.wiring import App
from router.policy import default_policy_text

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"


def shown(app: App, *changes: tuple[str, str], task: str = "review") -> dict[str, Any]:
    """What is said of a task for large under the default policy with changes."""
    text = default_policy_text().replace("[routing.tasks]", '[routing.tasks]\nreview = { tier = "large" }', 1)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    policies.apply_policy(app, text, actor="t")
    return show_route(app, task)


PACE = ('mode = "steps"', 'mode = "pace"')


def test_pacing_is_told_tier_by_tier_with_the_steps_as_bounds(app: App) -> None:
    """Pacing may lower the call to each tier below in turn; the owner's steps are listed all the same."""
    found = shown(app, PACE)
    assert found["served"]["model"] == OPUS
    assert [one["model"] for one in found["pace"]] == [SONNET, HAIKU]
    assert [(one["below"], one.get("model")) for one in found["steps"]] == [
        (0.5, SONNET), (0.2, HAIKU), (0.05, None),
    ]  # fmt: skip


def test_pacing_ends_at_the_floor_and_pulls_its_levers(app: App) -> None:
    """A floor stops it; effort comes first where the policy names one; low priorities end up refused."""
    floored = ('{ tier = "large" }', '{ tier = "large", floor = "medium" }')
    assert [one["model"] for one in shown(app, PACE, floored)["pace"]] == [SONNET]
    levers = ('exempt = ["critical"]', 'exempt = ["critical"]\npace = { effort = "low", refuse = ["low"] }')
    low = ('{ tier = "large" }', '{ tier = "large", priority = "low" }')
    found = shown(app, PACE, levers, low)["pace"]
    assert [(one.get("model"), one.get("effort"), one.get("refused")) for one in found] == [
        (OPUS, "low", None), (SONNET, "low", None), (HAIKU, "low", None),
        (None, None, "outlay_priority_refused"),
    ]  # fmt: skip
    exempt = ('{ tier = "large" }', '{ tier = "large", priority = "critical" }')
    assert shown(app, PACE, exempt)["pace"] == []


def test_without_pacing_nothing_is_said_of_it(app: App) -> None:
    """Under steps there are steps only."""
    assert shown(app)["pace"] is None


@pytest.mark.parametrize("kind", ["llm", "learned"])
def test_a_classifier_that_was_not_asked_is_said_to_decide_at_the_call(app: App, kind: str) -> None:
    """Nobody asked it here: it is not blamed for an answer that it did not give."""
    found = shown(app, ('classifier = "table"', f'classifier = "{kind}"'), task="zzz")
    (reason,) = [one for one in found["reasons"] if one["code"] == "classified"]
    assert reason["text"].startswith(f"the {kind} classifier decides at the call")
    assert "tier medium" in reason["text"]
    assert not any("gave no answer" in one["text"] for one in found["reasons"])
