"""
What the pages show can be done: links lead somewhere, commands parse, examples compile, first steps run.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from outlay.cli.main import build
from router.policy import default_policy_text, load_policy

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")],
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
IMAGE_BYTES_MAX = 400_000


def named(path: Path) -> str:
    """A page as a test names it."""
    return path.relative_to(ROOT).as_posix()


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    without_code = FENCE.sub("", path.read_text("utf-8"))
    heads = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def blocks(language: str) -> list[Any]:
    """Every fenced block of a language, with its page."""
    return [
        pytest.param(code, id=f"{named(path)}:{number}")
        for path in PAGES
        for number, (kind, code) in enumerate(FENCE.findall(path.read_text("utf-8")))
        if kind == language
    ]


def command_lines() -> list[Any]:
    """Every line that calls `outlay` in a block without a language; continued lines are joined."""
    found: dict[str, str] = {}
    for path in PAGES:
        if path.name == "cli.md":
            continue
        for kind, code in FENCE.findall(path.read_text("utf-8")):
            for line in code.replace("\\\n", " ").splitlines() if kind == "" else ():
                words = re.sub(r"^\$ |^([A-Z_]+=\S+ )+|^outlay-env/bin/", "", line)
                if words.startswith("outlay "):
                    found.setdefault(words, named(path))
    return [pytest.param(line, id=f"{place}: {line}") for line, place in found.items()]


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    """A link within the repository names a file, and a heading of it where it has an anchor."""
    broken = []
    for target in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("line", command_lines())
def test_commands_parse(line: str) -> None:
    """A command on a page exists, with these options and arguments."""
    words = shlex.split(line.partition(" > ")[0].partition(" | ")[0], comments=True)[1:]
    command: Any = typer.main.get_command(build())
    while hasattr(command, "commands"):
        assert words, line
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    command.make_context(line, words)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_compiles(code: str) -> None:
    """An example is Python; `await` and `async with` may stand at its top."""
    compile(code, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def table_of(part: str) -> str:
    """The first word of the table that a part of a TOML file begins with."""
    return part.lstrip("[").partition("]")[0].partition(".")[0]


@pytest.mark.parametrize("code", [block for block in blocks("toml") if "simulator" not in str(block.id)])
def test_toml_is_a_policy(code: str) -> None:
    """An example is a policy; what it leaves out is taken from the packaged one."""
    given = tomllib.loads(code)
    parts = re.split(r"(?m)^(?=\[)", default_policy_text())
    load_policy(code + "".join(part for part in parts if table_of(part) not in given))


def test_the_first_steps_run(tmp_path: Path) -> None:
    """What the quickstart does after the installation, but for the servers, in an empty folder."""
    code = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
    lines = [line for kind, block in FENCE.findall(code) if kind == "" for line in block.splitlines()]
    wanted = ("outlay tenant create", "outlay balance", "outlay explain --list", "outlay verify")
    steps = [line for line in lines if line.startswith(wanted)]
    assert len(steps) == len(wanted)
    environ = {**os.environ, "OUTLAY_DATABASE_URL": "sqlite:///books.db"}
    for step in steps:
        words = [sys.executable, "-m", "outlay.cli", *shlex.split(step)[1:]]
        run = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, (step, run.stderr)
    assert (tmp_path / "books.db").exists()


def test_make_targets_exist() -> None:
    """`make` is only told what it knows."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    told = {
        target
        for path in PAGES
        for _, code in FENCE.findall(path.read_text("utf-8"))
        for target in re.findall(r"^make (\w+)", code, re.MULTILINE)
    }
    assert told <= targets
    assert {"demo", "test"} <= told


def test_scripts_exist() -> None:
    """`python PATH` on a page names a script of this repository, `python -m NAME` one of its modules."""
    text = "\n".join(path.read_text("utf-8") for path in PAGES)
    for script in re.findall(r"python ((?:docs|benchmarks|examples)/\S+?\.py)", text):
        assert (ROOT / script).is_file(), script
    for module in set(re.findall(r"python -m (\w+)", text)) - {"venv", "pip"}:
        assert (ROOT / module).is_dir(), module


def test_tests_that_are_named_exist() -> None:
    """The README names the tests behind its claims."""
    for name in re.findall(r"`(tests/\S+?\.py)`", (ROOT / "README.md").read_text("utf-8")):
        assert (ROOT / name).is_file(), name


def test_pictures_are_small() -> None:
    """A clone does not carry megabytes of screenshots."""
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > IMAGE_BYTES_MAX] == []


def test_every_page_is_linked() -> None:
    """Each page can be reached from the README."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for target in LINK.findall(path.read_text("utf-8")):
            there = (path.parent / target.partition("#")[0]).resolve()
            if there.suffix == ".md" and there.exists() and there not in seen:
                waiting.append(there)
    assert [named(path) for path in PAGES if path not in seen] == []


def test_decisions_have_their_parts() -> None:
    """Each record says context, choice, what was rejected, and what would change our mind."""
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        text = path.read_text("utf-8")
        if path.name != "0012-dependencies.md":
            for part in ("## Context", "## Choice", "## Rejected", "## What would change our mind"):
                assert part in text, path.name


def test_every_dependency_has_its_reason() -> None:
    """A package is only depended on with a line that says what for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=;! ]", one)[0] for one in requirements}

    text = (ROOT / "docs" / "decisions" / "0012-dependencies.md").read_text("utf-8")
    assert set(re.findall(r"^\| ([a-z][\w-]+) \|", text, re.MULTILINE)) - {"package"} == names(
        project["dependencies"]
    )
    for name in names(project["optional-dependencies"]["dev"]):
        assert name in text, name
