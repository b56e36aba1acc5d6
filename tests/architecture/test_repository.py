"""
What must not lie in the repository: addresses of package registries, paths of somebody's machine, secrets.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = "tests/architecture/test_repository.py"
FORBIDDEN = {
    "address of a package registry": re.compile(
        r"https?://[\w.:@-]*(?:pypi|pythonhosted|artifactory|nexus|devpi)[\w.-]*|--(?:extra-)?index-url|_INDEX_URL"
    ),
    "path of a developer's machine": re.compile(r"(?<![\w.~$}<-])/(?:work|root|home|Users)/[\w.-]+/[\w.-]*"),
    "key of a provider": re.compile(r"sk-ant-[\w-]{20,}"),
    "whole secret of Outlay": re.compile(r"\bolk_[\w-]{43}\b"),
}
EXAMPLES = {("tests/unit/outlay/test_settings.py", "/home/x/.local")}
"""Made-up paths that a test is about."""


def files() -> list[Path]:
    """The text files that git keeps."""
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if run.returncode != 0:
        pytest.skip("this is no git repository, or git is not installed")
    names = [name for name in run.stdout.decode().split("\0") if name and name != OWN]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def text_of(path: Path) -> str | None:
    """The file as text; None where it is none."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_file_has(kind: str) -> None:
    """A clone works on any machine, and says nothing about the one that it was written on."""
    found = [
        (path.relative_to(ROOT).as_posix(), hit.group())
        for path in files()
        if (text := text_of(path)) is not None
        for hit in FORBIDDEN[kind].finditer(text)
    ]
    assert [one for one in found if one not in EXAMPLES] == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("address of a package registry", "index = https://" + "pypi.example.org/simple"),
        ("address of a package registry", "pip install --extra-index-url x"),
        ("path of a developer's machine", "File /" + "home/ana/outlay/ledger.py"),
        ("path of a developer's machine", 'open("/' + 'root/outlay/books.db")'),
        ("key of a provider", "ANTHROPIC_API_KEY=sk-ant-api03-abcdefghijklmnopqrst"),
        ("whole secret of Outlay", "olk_" + "a" * 43),
    ],
)
def test_the_patterns_find(kind: str, text: str) -> None:
    """Each pattern finds what it is for."""
    assert FORBIDDEN[kind].search(text) is not None


def test_no_file_is_large() -> None:
    """No database, trace or picture slips in: at most 1 MB a file."""
    assert [path.name for path in files() if path.stat().st_size > 1_000_000] == []
