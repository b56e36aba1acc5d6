"""
Replay on the command line: what was compared, and that nothing was.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Outlay = Callable[..., Any]


def test_an_archive_without_decisions_is_told(outlay: Outlay, books: Path, tmp_path: Path) -> None:
    """
    Nothing compared is not "no difference".
    """
    empty = tmp_path / "empty"
    empty.touch()
    ran = outlay("replay", "--archive", str(empty))
    assert ran.status == 0
    assert f"Nothing was compared: {empty} has no decisions." in ran.out.replace("\n", "")
    assert "No difference" not in ran.out
    assert books.exists()


def test_a_decision_that_comes_out_the_same_is_no_difference(outlay: Outlay, decision: str) -> None:
    """
    One compared, and the same.
    """
    said = outlay("replay").out
    assert "No difference." in said
    assert "1 decided again, 1 came out the same" in said.replace("\n", " ")
    assert decision not in said


def test_a_file_that_is_no_archive_names_the_command_that_writes_one(outlay: Outlay, tmp_path: Path) -> None:
    """
    The fix can be typed.
    """
    other = tmp_path / "other"
    other.write_text("no archive")
    ran = outlay("replay", "--archive", str(other), "--json")
    assert (ran.status, ran.error["field"]) == (2, "archive")
    assert "outlay db archive" in ran.error["fix"]
