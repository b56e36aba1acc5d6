"""
Runs `outlay up` as its users do: as a process of its own, in a folder of its own.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def up() -> Iterator[Run]:
    """Start `outlay up` with more words; what still runs at the end is stopped."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "outlay.cli", "up", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture
def left_behind() -> Callable[[str], list[str]]:
    """Name the processes whose command line or environment mentions a folder."""

    def find(word: str) -> list[str]:
        found = []
        for folder in Path("/proc").iterdir():
            try:
                said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            except OSError:
                continue
            if folder.name.isdigit() and int(folder.name) != os.getpid() and word.encode() in said:
                found.append((folder / "cmdline").read_text("utf-8", "replace").replace("\0", " "))
        return found

    return find
