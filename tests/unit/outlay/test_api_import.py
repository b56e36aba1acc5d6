"""What `import outlay` offers, loads and refuses."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import outlay
from outlay.siblings import SIBLINGS, check_siblings

ROOT = Path(__file__).parents[3]
HEAVY = ("streamlit", "pandas", "anthropic", "sqlalchemy", "pydantic", "genai_prices", "aiohttp")
NAMES = {
    "AsyncHold",
    "AsyncOutlay",
    "BadInput",
    "BooksUnavailable",
    "CallRefused",
    "Cascade",
    "ClockAhead",
    "Decision",
    "Hold",
    "JsonSchema",
    "Judge",
    "Length",
    "Matches",
    "Outlay",
    "OutlayError",
    "PolicyInvalid",
    "Rejected",
    "RunAttempt",
    "RunResult",
    "SchemaMismatch",
    "Speculative",
    "StatedConfidence",
    "Step",
    "StepResult",
    "Tool",
    "Verdict",
    "Workflow",
    "WorkflowResult",
    "__version__",
    "middleware",
    "open",
    "open_async",
}


def run(code: str, *, cwd: Path = ROOT, path: str = str(ROOT)) -> "subprocess.CompletedProcess[str]":
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": path, "PATH": ""},
    )


def test_the_documented_names_are_there() -> None:
    """`outlay.__all__` is the public API, and each of its names loads."""
    assert set(outlay.__all__) == NAMES
    assert all(getattr(outlay, name) is not None for name in NAMES)
    assert set(dir(outlay)) >= NAMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name says so."""
    with pytest.raises(AttributeError, match="opne"):
        outlay.opne  # type: ignore[attr-defined]  # noqa: B018


def test_import_is_light() -> None:
    """Importing outlay loads no library for I/O."""
    ran = run(f"import outlay, sys; print([n for n in {HEAVY!r} if n in sys.modules])")
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_import_is_quick() -> None:
    """Under 200 ms in a fresh interpreter; the best of three, as machines are busy."""
    code = "import time; t = time.perf_counter(); import outlay; print(time.perf_counter() - t)"
    assert min(float(run(code).stdout) for _ in range(3)) < 0.2


def test_books_load_neither_the_sdk_nor_the_dashboard(tmp_path: Path) -> None:
    """Holding money needs no provider."""
    code = (
        "import outlay, sys\n"
        "with outlay.open('sqlite:///books.db') as books: books.create_tenant('acme')\n"
        "print([n for n in ('anthropic', 'streamlit', 'pandas', 'aiohttp') if n in sys.modules])"
    )
    ran = run(code, cwd=tmp_path)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_our_own_siblings_are_accepted() -> None:
    """The packages beside this one are ours."""
    check_siblings(str(ROOT / "outlay" / "__init__.py"))


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_module_that_shadows_one_of_ours_is_named(tmp_path: Path, name: str) -> None:
    """A script of that name before ours on the path: one sentence with the file and both remedies."""
    (tmp_path / f"{name}.py").write_text("raise SystemExit('was imported')")
    started = time.monotonic()
    ran = run("import outlay", cwd=tmp_path, path=f"{tmp_path}:{ROOT}")
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: outlay needs its own package")
    assert f"{tmp_path / name}.py shadows it" in last
    assert "an environment of its own" in last
    assert "the gateway" in last
    assert time.monotonic() - started < 30


def test_a_module_of_that_name_that_is_loaded_is_named(tmp_path: Path) -> None:
    """Also one that was imported before."""
    code = "import sys, types; sys.modules['router'] = types.ModuleType('router'); import outlay"
    assert "'router'" in run(code, cwd=tmp_path).stderr.splitlines()[-1]
