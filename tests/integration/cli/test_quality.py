"""
Scores on the command line: given once per key, shown with their decision, counted where a call was lowered.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outlay.clock import now_us
from outlay.scores_sql import Score
from outlay.settings import Settings
from outlay.wiring import open_app

Outlay = Callable[..., Any]
WORDS = [("pass", 1), ("fail", 0), ("true", 1), ("false", 0), ("0", 0), ("1", 1), ("0.333", 0.333)]


def test_a_score_is_given_once_per_key_and_explained(outlay: Outlay, decision: str) -> None:
    """
    The same key answers again and adds nothing; `explain` lists what was said, and by whom.
    """
    words = ("score", decision, "0.8", "--source", "check", "--weight", "0.5", "--comment", "fine")
    once = ("--idempotency-key", "verdict-1", "--actor", "ana", "--json")
    first, again = outlay(*words, *once).data, outlay(*words, *once).data
    assert (first["value"], first["weight"], first["source"], first["actor"]) == (0.8, 0.5, "check", "ana")
    assert (first["replayed"], again["replayed"], again["score"]) == (False, True, first["score"])
    (shown,) = outlay("explain", decision, "--json").data["scores"]
    assert (shown["value"], shown["comment"], shown["counts"]) == (0.8, "fine", True)
    assert "fine" in outlay("explain", decision).out


@pytest.mark.parametrize(("word", "value"), WORDS)
def test_words_and_shares_are_scores(outlay: Outlay, decision: str, word: str, value: float) -> None:
    """
    Pass and fail, or a number between.
    """
    assert outlay("score", decision, word, "--json").data["value"] == value


def test_the_calibration_tells_the_state_of_a_class(outlay: Outlay, books: Path) -> None:
    """
    Nothing at first; then calls, failures, bound, state, and how many more are needed.
    """
    assert outlay("calibration", "--json").data == {"classes": []}
    assert "No downgraded call" in outlay("calibration").out
    app = open_app(Settings(database_url=f"sqlite:///{books}"))
    for number in range(20):
        at_us = now_us()
        app.scores.add(
            Score(
                f"s{number}", f"d{number}", "acme", "mail", "small", "large", "claude-haiku-5-5", True,
                1_000_000, 1_000_000, "user", "", "test", at_us,
            )
        )  # fmt: skip
    app.close()
    (row,) = outlay("calibration", "--tenant", "acme", "--json").data["classes"]
    told = {name: row[name] for name in ("tenant", "task_class", "tier", "n", "failed", "state", "needed")}
    assert told == {
        "tenant": "acme", "task_class": "mail", "tier": "small", "n": 20, "failed": 0,
        "state": "not_enough", "needed": 9,
    }  # fmt: skip
    assert row["bound"] == pytest.approx(0.1391, abs=1e-4)
    out = outlay("calibration").out
    assert "not_enough" in out
    assert "13.9%" in out
