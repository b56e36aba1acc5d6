"""The start of the dashboard: what cannot work is said in one sentence before anything is served."""

import socket

import pytest

from dashboard.__main__ import main


@pytest.mark.parametrize(
    "arguments",
    [["--port", "99999"], ["--port", "-1"], ["--port", "x"], ["--token", "short"], ["--token", "a b" * 9]],
)
def test_wrong_arguments_are_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The argument is named, and the exit status is that of usage errors."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_books_that_cannot_be_opened_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """No page is served over a database that is none of ours."""
    assert main(["--database-url", "mysql://x", "--port", "0"]) == 1
    assert "use sqlite or postgresql" in capsys.readouterr().err


def test_a_taken_port_is_told_with_the_remedy(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where somebody else listens, the message says which argument to change."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["--database-url", sqlite_url, "--port", str(other.getsockname()[1])]) == 1
    assert "--port" in capsys.readouterr().err
