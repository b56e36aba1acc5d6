"""The simulated provider as a process: its command, clients that leave, and ends by signal."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from simulated import simulated

from simulator import bill, run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start providers that bill into tmp_path/bill.jsonl and end with the test."""
    with ExitStack() as started:
        yield lambda **settings: started.enter_context(simulated(tmp_path / "bill.jsonl", **settings))


@contextmanager
def _stream(url: str, text: str) -> Iterator[http.client.HTTPResponse]:
    body = {
        "model": "claude-haiku-5-5",
        "max_tokens": 4000,
        "stream": True,
        "thinking": {"type": "disabled"},
        "messages": [{"role": "user", "content": text}],
    }
    headers = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc)) as connection:
        connection.request("POST", "/v1/messages", json.dumps(body), headers)
        with connection.getresponse() as response:
            yield response


def _line(path: Path) -> bill.Line:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = list(bill.lines(path)) if path.exists() else []
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError("nothing was billed")


def _leave(url: str, wishes: str) -> None:
    with _stream(url, f"[[sim {wishes}]]") as response:
        assert response.readline() == b"event: message_start\n"


def test_a_stream_whose_client_left_is_billed_in_full(start: Callable[..., str], tmp_path: Path) -> None:
    """By default the provider generates on to the end, and bills it."""
    _leave(start(), "output_tokens=1000 stall_ms=500")
    line = _line(tmp_path / "bill.jsonl")
    assert (line.usage.output_tokens, line.outcome) == (1000, "client_left")


def test_generation_can_stop_with_the_client(start: Callable[..., str], tmp_path: Path) -> None:
    """With bill_on_disconnect = generated only what was generated is billed."""
    _leave(start(arguments=["--bill-on-disconnect", "generated"]), "output_tokens=1000 stall_ms=500")
    line = _line(tmp_path / "bill.jsonl")
    assert line.outcome == "client_left"
    assert 1 <= line.usage.output_tokens < 1000


def test_the_bill_is_written_before_the_last_event(start: Callable[..., str], tmp_path: Path) -> None:
    """Once the client has seen message_delta, the line is in the file."""
    with _stream(start(), "[[sim output_tokens=100]]") as response:
        while response.readline() != b"event: message_delta\n":
            pass
        (line,) = bill.lines(tmp_path / "bill.jsonl")
    assert line.outcome == "complete"


def test_an_open_stream_is_billed_when_the_provider_is_stopped(tmp_path: Path) -> None:
    """A stream cut by the provider's own end is billed too."""
    url, process = run.start(tmp_path / "bill.jsonl")
    with _stream(url, "[[sim output_tokens=1000 stall_ms=60000]]") as response:
        assert response.readline() == b"event: message_start\n"
        process.terminate()
        process.wait(timeout=20)
    assert _line(tmp_path / "bill.jsonl").usage.output_tokens == 1000


def test_a_killed_provider_leaves_a_readable_bill(tmp_path: Path) -> None:
    """After kill -9 the bill has every answered call, whole; the next process goes on with it."""
    path = tmp_path / "bill.jsonl"
    for _ in range(2):
        url, process = run.start(path)
        with _stream(url, "[[sim output_tokens=100]]") as response:
            response.read()
        process.kill()
        process.wait()
    assert [line.usage.output_tokens for line in bill.lines(path)] == [100, 100]


def test_a_scenario_file_is_obeyed(start: Callable[..., str], tmp_path: Path) -> None:
    """Faults of the file strike."""
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('[[phases]]\nfault = "overload_529"\n')
    with _stream(start(scenario=scenario), "x") as response:
        assert response.status == 529


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        ([], 2, "--bill"),
        (["--bill", "{tmp}/b", "--port", "x"], 2, "--port"),
        (["--bill", "{tmp}/b", "--latency-ms", "-1"], 2, "latency_ms = -1"),
        (["--bill", "{tmp}/b", "--scenario", "{tmp}/none.toml"], 1, "none.toml"),
        (["--bill", "{tmp}/no/folder/b"], 1, "no/folder"),
        (["--bill", "{tmp}/b", "--port", "99999"], 1, "99999"),
    ],
)
def test_wrong_arguments_end_with_one_line(
    tmp_path: Path, arguments: list[str], status: int, named: str
) -> None:
    """A mistake is named on stderr without a traceback, with exit status 2; what is missing with 1."""
    command = [sys.executable, "-m", "simulator", *(text.format(tmp=tmp_path) for text in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == status
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


def test_start_says_why_it_failed(tmp_path: Path) -> None:
    """A provider that cannot start raises with its own words."""
    with pytest.raises(run.StartError, match=r"none\.toml"):
        run.start(tmp_path / "bill.jsonl", scenario=tmp_path / "none.toml")
