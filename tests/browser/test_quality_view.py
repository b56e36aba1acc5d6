"""
The routing page shows what scores prove of each task class.
"""

from collections.abc import Callable
from types import ModuleType

from streamlit.testing.v1 import AppTest

from outlay.admin import quality
from outlay.wiring import App

Page = Callable[..., AppTest]


def play(app: App, books: ModuleType, now_us: int, task: str, calls: int, failed: int) -> None:
    """Write downgraded calls of a task, and a score of each."""
    for number in range(calls):
        call = books.Call("acme", now_us - 9_000_000 + number, served="small", task=task)
        quality.score(app, books.play(app, call), number >= failed, actor="test")


def test_each_state_is_shown_with_its_numbers(page: Page, app: App, books: ModuleType, now_us: int) -> None:
    """Proven, not enough evidence with what is missing, infeasible: one row for each class."""
    books.tenant(app, "acme", now_us - 60_000_000)
    play(app, books, now_us, "crm/summary", 29, 0)
    play(app, books, now_us, "mail", 20, 0)
    play(app, books, now_us, "poems", 30, 12)
    for tenant in ("acme", None):
        test = page("routing", tenant)
        assert not test.exception
        shown = next(frame.value for frame in test.dataframe if "Task class" in frame.value)
        assert list(shown["Task class"]) == ["crm/summary", "mail", "poems"]
        assert list(shown["State"]) == ["proven", "not enough evidence: 9 more passes", "infeasible"]
        assert list(shown["Failed"]) == [0, 0, 12]
        assert shown["At most"][0] < 10 < shown["At most"][1]


def test_without_scores_the_page_says_how_to_give_some(
    page: Page, app: App, books: ModuleType, now_us: int
) -> None:
    """An empty table would explain nothing."""
    books.tenant(app, "acme", now_us)
    test = page("routing", "acme")
    assert "Calibration" in [heading.value for heading in test.subheader]
    assert any("outlay score DECISION_ID" in caption.value for caption in test.caption)
