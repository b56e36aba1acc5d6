"""
What every command has in common: its shared options, the opened books, and how its answer leaves.

A command is a function that takes `Common` first and returns an `Answer`; it neither prints nor catches.
"""

import dataclasses
import getpass
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlay.cli.output import Block, Pairs, print_answer

if TYPE_CHECKING:
    from outlay.settings import Settings
    from outlay.wiring import App

PANEL = "Shared options"
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.", rich_help_panel=PANEL)]
Actor = Annotated[
    str | None,
    typer.Option("--actor", metavar="NAME", help="Who does this; the system user.", rich_help_panel=PANEL),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url", metavar="URL", help="The books; OUTLAY_DATABASE_URL.", rich_help_panel=PANEL
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of what went wrong.", rich_help_panel=PANEL)
]
_SHARED = {"as_json": (Json, False), "actor": (Actor, None), "database_url": (DatabaseUrl, None)}
_SHARED_ALL = {**_SHARED, "debug": (Debug, False)}


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a command says.

    Attributes:
        data: Goes out as it is with `--json`.
        blocks: The same for people.
        status: Exit status: 0, or 1 where the command found something wrong.
        plain: Replaces both on standard output, as CSV and TOML do.
    """

    data: Mapping[str, Any]
    blocks: Sequence[Block] = ()
    status: int = 0
    plain: str | None = None


@dataclass(frozen=True, slots=True)
class Common:
    """
    The shared options of one command line.
    """

    as_json: bool
    actor: str
    database_url: str | None

    def settings(self) -> "Settings":
        """
        Read the settings; the command line wins over the environment.
        """
        from outlay.settings import Settings, normal_url

        settings = Settings.from_env(os.environ)
        if self.database_url is None:
            return settings
        return dataclasses.replace(settings, database_url=normal_url(self.database_url))

    @contextmanager
    def opened(self, *, new: bool = False) -> Iterator["App"]:
        """
        Open the books for one command, and close them whatever happens.

        Args:
            new: Make them where there are none yet, and say so.
        """
        from outlay.database import missing_file, refuse_new
        from outlay.wiring import open_app

        settings = self.settings()
        if not new:
            refuse_new(settings.database_url)
        made = missing_file(settings.database_url)
        app = open_app(settings)
        if made is not None and not self.as_json:
            typer.echo(f"New books: {made}", err=True)
        try:
            yield app
        finally:
            app.close()


def in_pairs(data: Mapping[str, Any], *more: Block) -> Answer:
    """
    Answer with names and values, one pair a line; for people more may follow.
    """
    return Answer(data, (Pairs(tuple(data.items())), *more))


def command(group: typer.Typer, name: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """
    Put a function on the command line under a name, with the shared options added to its own.
    """

    def register(body: Callable[..., Answer]) -> Callable[..., Answer]:
        group.command(name)(_entry(body))
        return body

    return register


def _entry(body: Callable[..., Answer]) -> Callable[..., None]:
    """Make what typer calls: it opens the shared options, runs the command and sends its answer out."""

    def entry(**given: Any) -> None:
        common = _common(given)
        _refuse_both(common, given)
        answer = _translated(body, common, given)
        print_answer(answer.data, answer.blocks, answer.plain, as_json=common.as_json)
        if answer.status != 0:
            raise typer.Exit(answer.status)

    own = list(inspect.signature(body).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in _SHARED_ALL.items()
    ]
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    everything = [*keywords, *shared]
    entry.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    entry.__annotations__ = {parameter.name: parameter.annotation for parameter in everything}
    entry.__doc__ = body.__doc__
    entry.__name__ = body.__name__
    return entry


def _common(given: dict[str, Any]) -> Common:
    """Take the shared options out of what typer gave."""
    taken = {name: given.pop(name) for name in _SHARED}
    given.pop("debug")
    if taken["actor"] is None:
        taken["actor"] = _system_user()
    return Common(**taken)


def _refuse_both(common: Common, given: Mapping[str, Any]) -> None:
    """Refuse two forms of one answer: the one that was left out would be missed."""
    if common.as_json and given.get("as_csv"):
        from outlay.errors import BadInput

        raise BadInput("csv", None, "--csv and --json are two forms of one answer", "Give one of them.")


def _translated(body: Callable[..., Answer], common: Common, given: Mapping[str, Any]) -> Answer:
    from outlay.errors import BadInput, translated

    try:
        with translated():
            return body(common, **given)
    except BadInput as error:
        error.field = _as_typed(body, error.field)
        raise


def _as_typed(body: Callable[..., Answer], field: str) -> str:
    """Name a field by its option where that has another name: `since` is typed as --from."""
    parameter = inspect.signature(body).parameters.get(field)
    known = getattr(parameter.annotation, "__metadata__", ()) if parameter is not None else ()
    typed = [str(info.default).partition("/")[0] for info in known]  # where typer keeps an option's name
    option = next((name for name in typed if name.startswith("--")), field)
    return field if option[2:].replace("-", "_") == field else option


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        return f"uid-{os.getuid()}"
