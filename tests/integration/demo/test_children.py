"""
Children are waited for, watched, and always stopped.
"""

import os
import time
from pathlib import Path

import pytest

from outlay.demo import children
from outlay.demo.children import Child, ChildFailed, Children, answers_http, free_port, wait_until

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""
GRUMPY = "import sys\nprint('one')\nsys.exit('the last word')\n"


def _environ(folder: Path) -> dict[str, str]:
    (folder / "stubborn.py").write_text(STUBBORN)
    (folder / "grumpy.py").write_text(GRUMPY)
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_a_child_is_ready_when_it_answers_and_gone_at_the_end(tmp_path: Path) -> None:
    """Leaving the context ends the process; a second stop does nothing."""
    port = free_port()
    with Children(tmp_path, _environ(tmp_path)) as started:
        child = started.start("web", "http.server", [str(port), "--bind", "127.0.0.1"])
        wait_until(child, lambda: answers_http(port, "/"))
        assert started.fallen() is None
        assert child.ended() is None
    assert child.process.poll() is not None
    assert not answers_http(port, "/")
    started.stop()


def test_children_are_stopped_when_something_fails(tmp_path: Path) -> None:
    """An error in the parent leaves no process behind."""
    started: list[Child] = []

    def fail() -> None:
        with Children(tmp_path, _environ(tmp_path)) as family:
            started.append(family.start("web", "http.server", [str(free_port()), "--bind", "127.0.0.1"]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert started[0].process.poll() is not None


def test_a_child_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """Waiting ends at once, with status and the end of the log."""
    with Children(tmp_path, _environ(tmp_path)) as started:
        child = started.start("grumpy", "grumpy", [])
        with pytest.raises(ChildFailed, match=r"the grumpy ended with status 1\none\nthe last word"):
            wait_until(child, lambda: False)
        assert "the last word" in (started.fallen() or "")


def test_a_child_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """The wait has an end."""
    with Children(tmp_path, _environ(tmp_path)) as started:
        child = started.start("web", "http.server", [str(free_port()), "--bind", "127.0.0.1"])
        with pytest.raises(ChildFailed, match=r"did not answer within 0\.2 s"):
            wait_until(child, lambda: False, timeout_s=0.2)


def test_a_child_that_does_not_want_to_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ignores the polite signal gets the other one."""
    monkeypatch.setattr(children, "STOP_TIMEOUT_S", 0.3)
    with Children(tmp_path, _environ(tmp_path)) as started:
        child = started.start("stubborn", "stubborn", [])
        deadline = time.monotonic() + 30
        while "up" not in child.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert child.process.returncode == -9
