"""
The reference says what the code does: every code, status, name, variable and endpoint, and no other.
"""

import importlib.util
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import outlay
from circuit.types import HaltCode
from outlay import refusals
from outlay.cli.main import build
from outlay.errors import OutlayError
from outlay.hint_words import HEADERS, check_headers
from outlay.settings import Settings
from outlay.tables import metadata
from router.types import NUMBER_HINTS, TEXT_HINTS, ReasonCode

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
CODE = re.compile(r'"(outlay_[a-z_]+)"')
NO_CODES = {
    str(one.name)
    for table in metadata.tables.values()
    for one in (table, *table.indexes, *table.constraints)
    if one.name is not None
}
"""Names of tables, indexes and constraints, which look like codes."""


def page(name: str) -> str:
    """One page of the reference."""
    return (REFERENCE / name).read_text("utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    body = text.partition(f"\n{heading}\n")[2]
    assert body, f"no heading {heading!r}"
    return re.split(rf"\n#{{1,{len(level)}}} ", body)[0]


def table(text: str) -> Iterator[tuple[str, ...]]:
    """The rows of the tables in a text, without heads and rules; marks of code are taken off."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and not set(cells[0]) <= {"-"} and cells[0].startswith("`"):
            yield tuple(cell.strip("`") for cell in cells)


def script(name: str) -> ModuleType:
    """A script of the docs folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes() -> dict[str, refusals.Shape]:
    """Every refusal of a call, by its code."""
    return {str(shape.code): shape for shape in refusals.SHAPES}


def test_the_command_reference_is_current() -> None:
    """Who changes a command runs `python docs/make_cli_reference.py`."""
    assert page("cli.md") == script("make_cli_reference").text()


def test_the_gateway_tables_are_current() -> None:
    """Who changes a refusal or an endpoint runs `python docs/make_gateway_reference.py`."""
    assert page("gateway.md") == script("make_gateway_reference").text(page("gateway.md"))


def test_refusals_are_tabled_with_status_type_and_retry() -> None:
    """The table on the page equals the table in the code, read by a second hand."""
    rows = table(section(page("gateway.md"), "### Calls that are not let through"))
    assert {row[0]: row[1:] for row in rows} == {
        code: (str(shape.status), shape.error_type, "yes" if shape.retry else "no")
        for code, shape in shapes().items()
    }


def test_every_reason_is_explained() -> None:
    """Each code has a row, and each row a code."""
    rows = {row[0] for row in table(section(page("reasons.md"), "## Reasons"))}
    assert rows == {*ReasonCode, "own_offers"}
    assert str(HaltCode.RUNAWAY) in section(page("reasons.md"), "## Reasons")


def test_every_refusal_is_explained() -> None:
    """Each code that the source can answer with has a row."""
    places = [*(ROOT / "outlay").rglob("*.py"), *(ROOT / "gateway").rglob("*.py")]
    found = {code for path in places for code in CODE.findall(path.read_text("utf-8"))}
    rows = {row[0] for row in table(section(page("reasons.md"), "## Refusals"))}
    assert rows == (found | set(shapes())) - NO_CODES


def test_every_order_has_an_example() -> None:
    """Each body is read as the gateway reads it, each command as the command line does."""
    made = script("make_gateway_reference")
    assert set(made.EXAMPLES) == set(made.order_bodies())
    for request, (body, line) in made.EXAMPLES.items():
        made.order_bodies()[request].model_validate_json(body)
        command: Any = typer.main.get_command(build())
        words = shlex.split(line)[1:]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(line, words)


def test_every_code_has_its_status_tabled() -> None:
    """Whoever catches a code finds its row on the gateway's page, also where it is raised in process only."""
    explained = {row[0] for row in table(section(page("reasons.md"), "## Refusals"))}
    rows = [row for row in table(section(page("gateway.md"), "## Refusals")) if len(row) == 4]
    assert {row[0] for row in rows if row[1].isdigit()} == explained


def test_outcomes_are_explained() -> None:
    """The five outcomes of a call."""
    rows = {row[0] for row in table(section(page("reasons.md"), "## Outcomes"))}
    assert rows == {"served", "refused", "failed", "broken", "uncertain"}


def test_documented_names_are_those_of_the_package() -> None:
    """`outlay.__all__` is the public interface, no more and no less."""
    assert {row[0] for row in table(section(page("python.md"), "## Names"))} == set(outlay.__all__)


@pytest.mark.parametrize("name", outlay.__all__)
def test_each_public_name_loads(name: str) -> None:
    """No name promises what is not there."""
    assert getattr(outlay, name) is not None


def test_documented_methods_are_those_of_the_books() -> None:
    """Each method has a row with its own parameters, on both kinds of books."""
    text = section(page("python.md"), "## Methods of `Outlay`")
    rows = re.findall(r"`(\w+)\(([^)]*)\)`", "\n".join(re.findall(r"^\| (.*?) \| ", text, re.MULTILINE)))
    public = {name for name, _ in inspect.getmembers(outlay.Outlay, inspect.isfunction) if name[0] != "_"}
    assert {name for name, _ in rows} == public
    for name, written in rows:
        parameters = {part.strip().strip("*=") for part in written.split(",") if part.strip()}
        for kind in (outlay.Outlay, outlay.AsyncOutlay):
            assert parameters == set(inspect.signature(getattr(kind, name)).parameters) - {"self"}, name


def test_public_errors_are_documented() -> None:
    """Every error that Outlay raises on purpose is public and explained."""
    kinds = {kind.__name__ for kind in OutlayError.__subclasses__()} | {"OutlayError"}
    assert kinds <= {row[0] for row in table(section(page("python.md"), "## Names"))}


def test_every_variable_is_documented() -> None:
    """The variables that the source names are those of the page."""
    places = [path for name in ("outlay", "gateway", "dashboard") for path in (ROOT / name).rglob("*.py")]
    named = {hit for path in places for hit in re.findall(r"\bOUTLAY_[A-Z_]+\b", path.read_text("utf-8"))}
    text = page("environment.md")
    rows = {row[0] for row in table(text)}
    assert rows - {"ANTHROPIC_API_KEY"} == named - {"OUTLAY_DASHBOARD_ACTOR", "OUTLAY_"}
    assert "OUTLAY_DASHBOARD_ACTOR" in text


def test_documented_defaults_are_those_of_the_settings() -> None:
    """What a process takes where a variable is not set."""
    settings = Settings.from_env({"HOME": "~"})
    rows = {row[0]: row[1] for row in table(page("environment.md"))}
    assert rows["OUTLAY_UPSTREAM_URL"] == settings.upstream_url
    assert rows["OUTLAY_HOST"] == settings.host
    assert rows["OUTLAY_PORT"] == str(settings.port)
    assert settings.database_url == "sqlite:///~/.local/share/outlay/outlay.db"


def test_every_hint_header_is_documented() -> None:
    """The gateway's page has each header that a caller may send."""
    named = {f"outlay-{name.replace('_', '-')}" for name in (*TEXT_HINTS, *NUMBER_HINTS, "pin", "tags")}
    rows = {row[0] for row in table(section(page("gateway.md"), "### Headers that a caller may send"))}
    assert rows == named | {"outlay-idempotency-key"} == set(HEADERS)


def test_every_documented_header_may_be_sent() -> None:
    """Those of answers, too: a client may send back what it was told. No other `outlay-*` header may."""
    written = page("gateway.md")
    for title in ("### Headers that a caller may send", "### Headers of an answer"):
        rows = re.findall(r"`(outlay-[a-z-]+)`", section(written, title))
        assert len(rows) > 8
        check_headers(rows)


def test_every_answer_header_is_documented() -> None:
    """The gateway's page has each header that an answer carries."""
    text = (ROOT / "outlay" / "answers.py").read_text("utf-8")
    named = set(re.findall(r'"(outlay-[a-z-]+)"', text))
    written = section(page("gateway.md"), "### Headers of an answer")
    assert named == set(re.findall(r"`(outlay-[a-z-]+)`", written))
