"""
What import-linter cannot see: that its contracts name every package, and what an import really loads.
"""

import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
IO_LIBRARIES = (
    "aiohttp", "alembic", "anthropic", "fastapi", "httpx", "httpx2", "pandas", "psycopg", "redis", "requests",
    "sqlalchemy", "starlette", "streamlit", "urllib3", "uvicorn",
)  # fmt: skip
HEAVY = (*IO_LIBRARIES, "altair", "genai_prices", "pydantic", "rich", "typer")
IMPORT_S_MAX = 1.0


def configuration() -> dict[str, object]:
    """The one configuration file."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def packages() -> set[str]:
    """The packages that stand at the root; `docs`, `tests` and the like have no `__init__.py`."""
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def loaded_by(statements: str, names: tuple[str, ...]) -> set[str]:
    """Run statements in a Python of their own; tell which of the libraries they have loaded."""
    said = f"{statements}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    run = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split()) & set(names)


def test_every_root_package_is_under_the_import_contracts() -> None:
    """A new package cannot stand outside of the layers, the type check or the wheel."""
    tool = configuration()["tool"]
    assert isinstance(tool, dict)
    assert set(tool["importlinter"]["root_packages"]) == packages()
    assert set(tool["mypy"]["packages"]) == packages()
    assert set(tool["hatch"]["build"]["targets"]["wheel"]["packages"]) == packages()


def test_every_root_package_stands_in_a_layer_or_apart() -> None:
    """Each package is in the layers' contract; only the simulated provider stands beside it."""
    tool = configuration()["tool"]
    assert isinstance(tool, dict)
    layers = next(one for one in tool["importlinter"]["contracts"] if one["type"] == "layers")["layers"]
    named = {name for layer in layers for name in re.findall(r"\w+", layer)}
    assert named | {"simulator"} == packages()


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Each can be read after what it is made of; imports within functions, and for types alone, count too."""
    graph = grimp.build_graph(*sorted(packages()), cache_dir=None)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


def test_decision_code_loads_no_library_that_does_io() -> None:
    """Prices and routing can be used where there is no database and no network."""
    assert loaded_by("import router, pricing", IO_LIBRARIES) == set()


def test_decision_modules_load_no_library_that_does_io() -> None:
    """Their modules as well, not only the packages' front doors."""
    modules = "router.choose, router.classify, router.codec, router.translate, pricing.bound, pricing.cost"
    assert loaded_by(f"import {modules}", IO_LIBRARIES) == set()


def test_importing_outlay_loads_nothing_heavy() -> None:
    """`import outlay` is nearly free; each name is loaded at its first use."""
    assert loaded_by("import outlay", HEAVY) == set()


def test_opening_books_loads_neither_dashboard_nor_sdk(sqlite_url: str) -> None:
    """An application that embeds Outlay pays for the database alone."""
    unwanted = ("streamlit", "pandas", "altair", "anthropic", "fastapi", "starlette", "aiohttp", "uvicorn")
    statements = f"import outlay\nwith outlay.open({sqlite_url!r}) as books: books.create_tenant('acme')"
    assert loaded_by(statements, unwanted) == set()


def test_importing_outlay_takes_less_than_a_second() -> None:
    """A generous bound for slow machines; `benchmarks/import_time.py` prints the number."""
    clock = "import time; t = time.perf_counter(); import outlay; print(time.perf_counter() - t)"
    run = subprocess.run(
        [sys.executable, "-c", clock], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert float(run.stdout) < IMPORT_S_MAX
