"""
Functions and files stay short enough to be read at once.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 40
FILE_LINES_MAX = 400
LONG_FUNCTIONS = {
    "router/classify.py:profile_request": "a flat list of refusals, in the order of their codes",
}
LONG_FILES: dict[str, str] = {}


def sources() -> list[Path]:
    """The Python files of the packages that are shipped."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    names = tool["hatch"]["build"]["targets"]["wheel"]["packages"]
    return sorted(path for name in names for path in (ROOT / name).rglob("*.py"))


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Count the lines of a function that hold code: no docstring, comment or blank line."""
    numbers = set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    if ast.get_docstring(function) is not None:
        doc = function.body[0]
        numbers -= set(range(doc.lineno, (doc.end_lineno or doc.lineno) + 1))
    texts = (lines[number - 1].strip() for number in numbers)
    return sum(bool(text) and not text.startswith("#") for text in texts)


def functions() -> Iterator[tuple[str, int]]:
    """Every function as `file:name`, with its lines of code."""
    for path in sources():
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(ROOT).as_posix()}:{node.name}"
                yield name, code_lines(node, text.split("\n"))


def test_functions_are_short() -> None:
    """At most 40 lines of code, but for the exceptions named above with their reason."""
    long = {name: count for name, count in functions() if count > FUNCTION_LINES_MAX}
    assert {name: count for name, count in long.items() if name not in LONG_FUNCTIONS} == {}


def test_files_are_short() -> None:
    """At most 400 lines."""
    counts = {p.relative_to(ROOT).as_posix(): len(p.read_text("utf-8").splitlines()) for p in sources()}
    long = {name: count for name, count in counts.items() if count > FILE_LINES_MAX}
    assert {name: count for name, count in long.items() if name not in LONG_FILES} == {}


def test_exceptions_are_functions_that_exist() -> None:
    """Who shortens or moves an exception strikes it from the list."""
    counts = dict(functions())
    assert [name for name in LONG_FUNCTIONS if counts.get(name, 0) <= FUNCTION_LINES_MAX] == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("def f():\n    '''doc\n    more\n    '''\n    # why\n\n    return 1", 2),
        ("def f(\n    a,\n    b,\n):\n    return a", 5),
    ],
)
def test_only_code_is_counted(source: str, count: int) -> None:
    """Docstrings, comments and blank lines are free; a long signature is not."""
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function, source.split("\n")) == count
